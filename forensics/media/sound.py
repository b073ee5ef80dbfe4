"""The sound of a user's clip, carried over into a clip that was encoded here: the parent's side of `forensics.media.join`.

Both files are read by the confined child, which for this job may write one file: a temporary one beside the output, no
larger than what goes into it. The output appears whole or not at all.
"""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from forensics.common.errors import MediaError, UsageError
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, SoundReport

# FFmpeg's muxers by the output's name.
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
# Beside the packets themselves: an index of the sound, which is smaller than the sound, and headers.
OVERHEAD_BYTES = 1 << 20


def add_sound(
    video: Path,
    source: Path,
    output: Path,
    metadata: Mapping[str, str] | None = None,
    limits: MediaLimits | None = None,
) -> SoundReport:
    """Write the pictures of `video` and the sound of `source`, packets unchanged, as `output`: MP4, MOV or MKV by its name.

    video: an encoded clip whose times count from the first frame of `source`, as `Sampling(every_frame=True)` gives them;
    in the output frames and sound have the times of `source`. metadata: tags of the output (title, comment, ...); those of
    the two files are not taken over. A source without sound, or with a sound that the output cannot hold, is said in the
    report. Raises UsageError for an output that cannot be, MediaError where a file cannot be read or the output written.
    """
    name = FORMATS.get(output.suffix.lower())
    if name is None:
        raise UsageError(f"'{output.suffix}' clips are not written", f"one of {', '.join(FORMATS)}")
    limits = limits or MediaLimits()
    try:
        if output.exists() and output.samefile(source):
            raise UsageError(f"{output} is the clip that is read", "choose another --output")
        most = video.stat().st_size + 2 * source.stat().st_size + OVERHEAD_BYTES
        output.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name[:40]}.", suffix=".tmp")
    except OSError as error:
        raise MediaError(
            f"the sound cannot be carried over: {error.strerror}", "check the paths and their permissions"
        ) from error
    os.close(handle)
    part = Path(temporary)
    job = {
        "video": str(video.resolve()),
        "output": str(part.resolve()),
        "format": name,
        "metadata": dict(metadata or {}),
        "max_file_bytes": most,
    }
    try:
        with MediaReader(limits) as reader:
            report = reader.ask(source, job, SoundReport, "sound")
        part.chmod(0o644)
        part.replace(output)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return report
