"""A clip through a trained translator: every frame at its own time, its colours steadied, the sound carried over.

    decode in the child process -> network, tile by tile -> steady the colours -> encode -> join the sound

Frames come upright, so that a rotation that the file only noted is in the pixels of the output. A clip whose network
enlarges is `scale` times as large; where a side is odd, H.264 adds a copy of its edge. Nothing outlives a few frames.
"""

import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from forensics.common.errors import MediaError
from forensics.common.outcomes import Outcome
from forensics.common.prefetch import prefetch
from forensics.common.progress import Bar, Progress
from forensics.common.text import printable
from forensics.media.reader import MediaReader, MediaStream
from forensics.media.types import MediaLimits, Sampling, SoundReport
from forensics.perturb.clip import recompress_clip
from generators.clip_source import ticks_of, with_sound
from generators.pictures import Picture
from generators.translation.loaded import LoadedTranslator
from generators.translation.steady import DEFAULT_SMOOTH_S, Steadier
from generators.translation.tiles import translate
from generators.video import MP4_CRF

CLIP_SUFFIX = ".mp4"
# x264's preset, the face swap's: slower is smaller, not better to look at.
PRESET = "veryfast"
MAX_FRAMES = 200_000  # 1.8 hours at 30 frames a second
# Decoded frames that wait at a time; a 1080p frame has 6 MB.
WAITING = 4


@dataclass(frozen=True)
class HowClips:
    """How clips are translated. smooth_s: of `steady.Steadier`."""

    tile_px: int
    smooth_s: float = DEFAULT_SMOOTH_S
    limits: MediaLimits = field(default_factory=MediaLimits)


@dataclass(frozen=True)
class ClipDone:
    """What became of a clip. has_sound: the source; errors: one line each, of damage that was passed over."""

    frames: int
    has_sound: bool
    sound: SoundReport
    errors: tuple[str, ...]


def translate_clip(
    loaded: LoadedTranslator, source: Path, output: Path, how: HowClips, tags: Mapping[str, str], progress: Progress
) -> ClipDone:
    """Write `source` (a video) as `output` (.mp4), translated; the file appears whole or not at all.

    Raises MediaError for what is no clip, cannot be decoded, reaches a limit, or cannot be encoded; UsageError for outputs
    of the network that are not finite; OSError where the output cannot be written.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name[:40]}.") as name:
        silent, joined = Path(name) / "pictures.mp4", Path(name) / f"joined{CLIP_SUFFIX}"
        frames, has_sound, errors = _encode(loaded, source, silent, how, tags, progress)
        sound = with_sound(silent, source, joined, tags, how.limits)
        joined.replace(output)
    return ClipDone(frames, has_sound, sound, errors)


def _encode(
    loaded: LoadedTranslator, source: Path, silent: Path, how: HowClips, tags: Mapping[str, str], progress: Progress
) -> tuple[int, bool, tuple[str, ...]]:
    """The translated frames as a clip without sound; how many, whether there is a sound to join, what was damaged."""
    name = printable(source.name)
    sampling = Sampling(max_frames=MAX_FRAMES, every_frame=True)
    with MediaReader(how.limits) as reader, reader.open(source, sampling) as stream:
        info = stream.info
        if info.kind != "video":
            raise MediaError("a picture that is named as a clip", "give it the suffix of its format")
        if info.frames_found > MAX_FRAMES:
            raise MediaError(
                f"{info.frames_found} frames, more than {MAX_FRAMES}",
                "cut it into shorter ones",
                Outcome.LIMIT_EXCEEDED,
            )
        with progress.task(f"translating {name}", info.frames_found) as bar:
            try:
                count = recompress_clip(
                    _translated(loaded, stream, how, bar), silent, MP4_CRF, PRESET, metadata=tags,
                    ticks_per_s=ticks_of(info.time_base), pixel_aspect=info.sample_aspect_ratio,
                )  # fmt: skip
            except ValueError as error:
                raise MediaError(
                    f"it cannot be encoded: {error}", "convert it to a clip of one size, with times that rise"
                ) from error
        return count, info.has_audio, stream.summary.errors if stream.summary else ()


def _translated(
    loaded: LoadedTranslator, stream: MediaStream, how: HowClips, bar: Bar
) -> Iterator[tuple[float, Picture]]:
    """Time and translated frame, in order."""
    steadier = Steadier(how.smooth_s)
    with ExitStack() as stack:
        samples = prefetch(stream, WAITING)
        if isinstance(samples, Generator):  # its thread ends here, and not when the garbage is collected
            stack.callback(samples.close)
        for sample in samples:
            drawn = translate(loaded, sample.pixels, how.tile_px)
            yield sample.timestamp_s, steadier.steadied(sample.timestamp_s, sample.pixels, drawn)
            bar(1)
