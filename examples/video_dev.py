"""Clips of a manifest, real and fake, through one H.264 encode: pieces of about five seconds, and a manifest of them.

What is compared must not differ by its file: every clip, whatever its history, is reduced to one size limit and encoded by
one encoder at one constant rate factor, in pieces of one length. Masks of fakes are cut alike, without loss.

    python examples/video_dev.py clips/manifest.csv swaps/manifest.csv --output set
    python examples/video_dev.py clips/manifest.csv --list-pairs        which real clips to swap, two by two
    python examples/video_dev.py clips/manifest.csv --copies --seconds 8 --output reduced

The last writes copies of the clips under their own names, without loss but reduced to the size limit, so that swaps of them
cost less and nothing that the set would keep is lost.

Rows of a swap of `forensics generate faceswap` become rows of its target's data set: identity is the target's person,
source the recording that the face comes from, so that statistics join the swap to both persons. A trained swap says only
whose face it wears, as its model calls it: `--worn source=NAME` says which clip (file name without suffix) shows that
person. A row without a source gets its file's name as one, a row without an identity its source; `--same-person X=Y` says
that source X shows who source Y shows. The column `made_of` names the clip that a piece comes from.

Limits: sound is left out. What the files' histories left in the pixels stays there: a recording that was hardly compressed
before differs from one that was shared twice, and audits should ask.
"""

import argparse
import hashlib
import itertools
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import ForensicsError, ManifestError, UsageError
from forensics.common.files import safe_name
from forensics.common.manifest import Item, read_manifest, write_manifest
from forensics.common.progress import Progress
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, Sample, Sampling
from forensics.perturb.clip import recompress_clip

Frame = NDArray[np.uint8]

SECONDS = 5.0
# What is left of a clip at its end is a piece of its own if it is long enough for a face track.
SHORTEST_SHARE = 0.5
# Video platforms deliver about this: 720p at a rate factor a little above x264's default of 23.
CRF = 26.0
PRESET = "medium"
LONGEST_SIDE_PX = 1280
GOP_FRAMES = 50  # a keyframe about every two seconds, as streaming has
LOSSLESS = 0.0  # of masks and copies
COPY_PRESET = "ultrafast"
# The same in every file: the label stands in the manifest alone.
NOTE = "development set for detectors of synthetic media; manifest.csv says which clips are synthetic"
# What `forensics generate faceswap` calls the data set of its clips.
GENERATED = "forensics-generate"
EVERY_FRAME = Sampling(max_frames=100_000, every_frame=True)


@dataclass(frozen=True)
class Encode:
    """How every piece is encoded."""

    crf: float = CRF
    preset: str = PRESET
    longest_px: int = LONGEST_SIDE_PX
    seconds: float = SECONDS


def reduced_size(width: int, height: int, longest_px: int) -> tuple[int, int]:
    """Even width and height, with the longer one at most `longest_px`; never larger than it was."""
    scale = min(1.0, longest_px / max(width, height))
    even = [max(2, 2 * round(side * scale / 2)) for side in (width, height)]
    return even[0], even[1]


def pieces_of(
    samples: Iterator[Sample], seconds: float, end_s: float
) -> Iterator[tuple[int, Iterator[tuple[float, Frame]]]]:
    """Number of each piece and its frames, with times from the piece's start; a short rest at the end is left out."""
    for number, group in itertools.groupby(samples, key=lambda sample: int(sample.timestamp_s // seconds)):
        if number > 0 and end_s - number * seconds < SHORTEST_SHARE * seconds:
            return
        yield number, _from_zero(group)


def _from_zero(samples: Iterator[Sample]) -> Iterator[tuple[float, Frame]]:
    start_s: float | None = None
    for sample in samples:
        start_s = sample.timestamp_s if start_s is None else start_s
        yield sample.timestamp_s - start_s, sample.pixels


def encode_pieces(clip: Path, stem: Path, encode: Encode, reader: MediaReader, is_mask: bool = False) -> list[Path]:
    """Write a clip's pieces as STEM-00.mp4 and so on; pieces that are there stay. Gives their paths in order.

    Raises MediaError for a clip that cannot be decoded.
    """
    made = []
    with reader.open(clip, EVERY_FRAME) as stream:
        size = reduced_size(stream.info.width, stream.info.height, encode.longest_px)
        for number, frames in pieces_of(iter(stream), encode.seconds, stream.info.duration_s):
            path = stem.with_name(f"{stem.name}-{number:02d}{'.mask' if is_mask else ''}.mp4")
            made.append(path)
            if path.exists():
                continue
            crf = LOSSLESS if is_mask else encode.crf
            recompress_clip(_resized(frames, size), path, crf, encode.preset, GOP_FRAMES, metadata={"comment": NOTE})
    return made


def _resized(frames: Iterator[tuple[float, Frame]], size: tuple[int, int]) -> Iterator[tuple[float, Frame]]:
    for time_s, frame in frames:
        yield time_s, np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def copy_clips(items: Sequence[Item], output: Path, encode: Encode, progress: Progress) -> list[Item]:
    """The first seconds of each clip, reduced, without loss, and a manifest; copies that are there stay. Gives the rows.

    Raises ManifestError for two clips of one name, MediaError for a clip that cannot be decoded.
    """
    clips_by_name(items)
    rows = []
    with MediaReader(MediaLimits(max_wall_s=3600.0), threads=1) as reader, progress.task("copying", len(items)) as bar:
        for item in items:
            path = output / f"{item.path.stem}.mp4"
            if not path.exists():
                with reader.open(item.path, EVERY_FRAME) as stream:
                    size = reduced_size(stream.info.width, stream.info.height, encode.longest_px)
                    _, frames = next(pieces_of(iter(stream), encode.seconds, stream.info.duration_s))
                    recompress_clip(_resized(frames, size), path, LOSSLESS, COPY_PRESET, GOP_FRAMES)
            rows.append(replace(item, path=path))
            bar(1)
    write_manifest(output / "manifest.csv", rows)
    return rows


def pairs_of(items: Sequence[Item]) -> list[tuple[Item, Item]]:
    """Real clips two by two in the manifest's order: few are joined, so that many groups stay independent.

    The last of an odd number is left alone. Raises ManifestError for two clips of one name: so would their swaps be.
    """
    reals = [item for item in items if item.label == 0]
    clips_by_name(reals)
    return list(zip(reals[::2], reals[1::2], strict=False))


def clips_by_name(items: Sequence[Item]) -> dict[str, Item]:
    """Clips that are no swaps made here, by the file name without suffix that a swap knows them by.

    Raises ManifestError for two clips of one name.
    """
    found: dict[str, Item] = {}
    for item in items:
        if item.dataset == GENERATED:
            continue
        other = found.setdefault(item.path.stem, item)
        if other is not item:
            raise ManifestError(
                f"{other.path} and {item.path} have one name", "rename one: swaps name the clips that they are made of"
            )
    return found


def as_one_set(
    items: Sequence[Item], same_person: Mapping[str, str], worn: Mapping[str, str] | None = None
) -> list[Item]:
    """The rows with data set, source and identity as the module says. worn: clips by the name of the face they show.

    Raises ManifestError for two clips of one name, and for a swap of no clip here or with the face of none.
    """
    clips = clips_by_name(items)
    person = _persons(list(clips.values()), same_person)
    found = []
    for item in items:
        if item.dataset != GENERATED:
            found.append(replace(item, source=source_of(item), identity=person[item.path.stem], extra={}))
            continue
        target = clips.get(item.extra.get("target", ""))
        if target is None:
            raise ManifestError(
                f"{item.path}: its target is no clip of the manifests", "list the target's manifest too"
            )
        giver = clips.get((worn or {}).get(item.identity, item.identity))
        if giver is None:
            raise ManifestError(
                f"{item.path} wears the face of '{item.identity}', which is no clip of the manifests",
                f"list that clip's manifest too, or say which clip shows it: --worn {item.identity}=NAME",
            )
        source, identity = source_of(giver), person[target.path.stem]
        found.append(replace(item, dataset=target.dataset, source=source, identity=identity, extra={}))
    return found


def source_of(item: Item) -> str:
    """The recording that a clip comes from; the file's name where the manifest does not say."""
    return item.source or item.path.stem


def _persons(clips: Sequence[Item], same_person: Mapping[str, str]) -> dict[str, str]:
    """Who each clip shows, by the clip's name; sources that are no clip's are passed over."""
    own = {clip.path.stem: clip.identity or source_of(clip) for clip in clips}
    by_source = {source_of(clip): own[clip.path.stem] for clip in clips}
    joined: dict[str, str] = {}

    def joined_name(name: str) -> str:
        while name in joined:
            name = joined[name]
        return name

    for source, other in same_person.items():
        if source in by_source:
            a, b = joined_name(by_source[source]), joined_name(by_source.get(other, other))
            if a != b:
                joined[a] = b
    return {clip: joined_name(name) for clip, name in own.items()}


def build(items: Sequence[Item], output: Path, encode: Encode, split: str, progress: Progress) -> list[Item]:
    """Encode all clips and write `manifest.csv`; a second call does what is missing. Gives the rows.

    An item's mask is the path of a clip (see `read_clips`). Raises ManifestError for a mask that is not there, or a clip
    that is listed twice.
    """
    stems = [stem_of(item) for item in items]
    for item, name in zip(items, stems, strict=True):
        if item.mask and not Path(item.mask).is_file():
            raise ManifestError(f"{item.path}: its mask {item.mask} is missing", "make it again, or clear the column")
        if stems.count(name) > 1:
            raise ManifestError(f"{item.path} is listed twice", "list each clip once")
    rows: list[Item] = []
    folder = output / f"crf{encode.crf:g}-{encode.longest_px}px-{encode.seconds:g}s"
    with MediaReader(MediaLimits(max_wall_s=3600.0), threads=1) as reader, progress.task("encoding", len(items)) as bar:
        for item, name in zip(items, stems, strict=True):
            bar.describe(item.path.name)
            stem = folder / name
            pieces = encode_pieces(item.path, stem, encode, reader)
            masks = encode_pieces(Path(item.mask), stem, encode, reader, is_mask=True) if item.mask else []
            for number, piece in enumerate(pieces):
                shown = masks[number].relative_to(output).as_posix() if number < len(masks) else ""
                extra = {"made_of": item.path.name}
                rows.append(replace(item, path=piece, split=split, mask=shown, extra=extra))
            bar(1)
    write_manifest(output / "manifest.csv", rows)
    return rows


def stem_of(item: Item) -> str:
    """Name of a clip's pieces: label, generator, file's name, and a hash of its path, since two files may have one name."""
    kind = f"fake-{item.generator or 'unnamed'}" if item.label else "real"
    digest = hashlib.sha256(str(item.path).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{safe_name(f'{kind}-{item.path.stem}')}-{digest}"


def read_clips(manifest: Path) -> list[Item]:
    """Rows of view `scene`, with the path of a mask as it is from the manifest's folder. Raises ManifestError."""
    folder = manifest.absolute().parent
    items = [item for item in read_manifest(manifest) if item.view == "scene"]
    return [replace(item, mask=str(folder / item.mask)) if item.mask else item for item in items]


def named(values: Sequence[str], option: str) -> dict[str, str]:
    """Values A=B of an option as a mapping. Raises UsageError for another form."""
    found = {}
    for value in values:
        name, separator, other = value.partition("=")
        if not (name and separator and other):
            raise UsageError(f"{option} {value} is not of the form A=B", f"for example {option} one=other")
        found[name] = other
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="+", type=Path, metavar="MANIFEST")
    parser.add_argument("--output", type=Path, metavar="DIR")
    parser.add_argument("--list-pairs", action="store_true")
    parser.add_argument("--copies", action="store_true")
    parser.add_argument("--split", default="dev", choices=["train", "dev", "test"])
    parser.add_argument("--crf", type=float, default=CRF)
    parser.add_argument("--longest", type=int, default=LONGEST_SIDE_PX, metavar="PX")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--same-person", action="append", default=[], metavar="SOURCE=SOURCE")
    parser.add_argument("--worn", action="append", default=[], metavar="FACE=NAME")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    try:
        items = [item for manifest in given.manifests for item in read_clips(manifest)]
        if given.list_pairs:
            for a, b in pairs_of(items):
                print(f"{a.path}\t{b.path}")
            return
        if given.output is None:
            parser.error("--output is missing")
        encode = Encode(given.crf, PRESET, given.longest, given.seconds)
        if given.copies:
            rows = copy_clips(items, given.output.absolute(), encode, Progress())
            print(f"{len(rows)} copies in {given.output / 'manifest.csv'}")
            return
        rows = as_one_set(items, named(given.same_person, "--same-person"), named(given.worn, "--worn"))
        rows = build(rows, given.output.absolute(), encode, given.split, Progress())
    except ForensicsError as error:
        sys.exit(f"error: {error.message}\nhint: {error.hint}")
    fakes = sum(row.label for row in rows)
    print(f"{len(rows) - fakes} real and {fakes} fake clips in {given.output / 'manifest.csv'}")


if __name__ == "__main__":
    main()
