"""FaceForensics++ and the DeepFakeDetection videos that are shipped with it.

Roessler et al.: FaceForensics++: Learning to Detect Manipulated Facial Images (ICCV 2019), arXiv 1901.08971; folders,
names and splits as in dataset/ of github.com/ondyari/FaceForensics (README.md, extract_compressed_videos.py, splits/):

    original_sequences/{youtube,actors}/{raw,c23,c40}/videos/000.mp4          or  .../images/000/0000.png
    manipulated_sequences/{Deepfakes,Face2Face,FaceSwap,NeuralTextures,FaceShifter,DeepFakeDetection}/{raw,c23,c40}/...
    train.json val.json test.json  (in the root or in splits/): lists of pairs, [["071", "054"], ...]

`dataset` is `ffpp-c23` for the YouTube sequences and what was made of them, `dfd-c23` for the actors and
DeepFakeDetection: fakes meet reals of the same recordings and the same compression, never others. Any other method's
folder is read as a method. Frames are read only where there are no videos. A fake has a split when target and donor are in
the same one (all official pairs are); DeepFakeDetection has no official split.

Limits: the number of a sequence stands for a person, though a few YouTube videos gave two sequences. Frames in `frames/`
as DeepfakeBench cuts them are aligned crops, but not in this project's frame: `view` stays `scene`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from eval.datasets.layout import Layout, Reading, canonical_compression, counted
from eval.datasets.origins import Origin, dfd_manipulated, dfd_original, ffpp_manipulated, ffpp_original
from eval.datasets.tree import Clip, Tree, is_there, read_json
from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item
from forensics.common.text import printable

ORIGINALS, MANIPULATED = "original_sequences", "manipulated_sequences"
ACTORS, YOUTUBE = "actors", "youtube"
DFD_METHOD = "deepfakedetection"
SPLIT_FILES = {"train.json": "train", "val.json": "dev", "test.json": "test"}
_COMPRESSION = re.compile(r"raw|c\d{1,2}")


@dataclass(frozen=True)
class _Group:
    """One folder of videos: a method (or the originals) at one compression."""

    folder: Path
    label: int
    method: str  # lower case; youtube or actors for originals
    compression: str

    @property
    def is_dfd(self) -> bool:
        return self.method in (ACTORS, DFD_METHOD)


@dataclass
class _Tally:
    """What the notes will say."""

    unnamed: int = 0
    across: int = 0
    sequences: set[str] = field(default_factory=set)
    kinds: set[bool] = field(default_factory=set)


def recognises(path: Path) -> bool:
    """A folder with one of the two folders of sequences."""
    return is_there((path / ORIGINALS).is_dir) or is_there((path / MANIPULATED).is_dir)


def read(path: Path, compression: str | None = None) -> Reading:
    """Videos (or frames) of all methods, of one compression or all.

    Raises ManifestError for malformed splits and links that lead outside; UsageError for a compression that is not there.
    """
    tree = Tree(path)
    groups, notes = _groups(tree)
    if compression is not None:
        present = sorted({group.compression for group in groups})
        groups = [group for group in groups if group.compression == canonical_compression(compression)]
        if not groups:
            raise UsageError(
                f"{path} holds no videos at compression {compression}", f"there are: {', '.join(present) or 'none'}"
            )
    splits, split_notes = _read_splits(tree)
    tally = _Tally()
    items = [
        item for group in groups for clip in tree.clips(group.folder) for item in _items(group, clip, splits, tally)
    ]
    if splits and tally.sequences and not tally.sequences & splits.keys():
        raise ManifestError(f"none of the sequences that the splits of {path} list is there", "check train.json")
    items.sort(key=lambda item: item.path)
    return Reading(tuple(items), tree.path, (*notes, *split_notes, *_notes(tally, splits)))


def _groups(tree: Tree) -> tuple[list[_Group], list[str]]:
    groups, notes = [], []
    for top, label in ((ORIGINALS, 0), (MANIPULATED, 1)):
        for folder in tree.folders(tree.path / top) if is_there((tree.path / top).is_dir) else []:
            method = printable(folder.name).lower()
            if label == 0 and method not in (YOUTUBE, ACTORS):
                notes.append(f"{tree.name(folder)} was left out: originals lie in {YOUTUBE} and {ACTORS}")
                continue
            levels: dict[str, Path] = {}
            for below in tree.folders(folder):
                if _COMPRESSION.fullmatch(below.name.lower()) is None:  # masks, models
                    continue
                kept = levels.setdefault(canonical_compression(below.name), below)
                if kept is not below:
                    notes.append(f"{tree.name(below)} was left out: {kept.name} is the same compression")
            groups += [_Group(below, label, method, level) for level, below in sorted(levels.items())]
    return groups, notes


def _items(group: _Group, clip: Clip, splits: dict[str, str], tally: _Tally) -> list[Item]:
    origin = _origin(group, clip.name)
    if origin is None:
        tally.unnamed += 1
        origin = Origin(clip.name)
    tally.kinds.add(clip.is_frames)
    split = ""
    if not group.is_dfd:
        tally.sequences.add(origin.source)
        split = splits.get(origin.source, "")
        if origin.donor and splits.get(origin.donor, "") != split:
            tally.across += 1
            split = ""
    extra = {"video": clip.video, "donor": origin.donor, "compression": group.compression}
    return [
        Item(
            path=file,
            label=group.label,
            generator=group.method if group.label else "",
            dataset=f"{'dfd' if group.is_dfd else 'ffpp'}-{group.compression}",
            source=origin.source,
            identity=origin.identity,
            split=split,
            extra=dict(extra),
        )
        for file in clip.files
    ]


def _origin(group: _Group, name: str) -> Origin | None:
    if group.is_dfd:
        return dfd_manipulated(name) if group.label else dfd_original(name)
    return ffpp_manipulated(name) if group.label else ffpp_original(name)


def _read_splits(tree: Tree) -> tuple[dict[str, str], list[str]]:
    """Sequence -> split, from the files that are there."""
    splits: dict[str, str] = {}
    repeated, absent = 0, []
    for name, split in SPLIT_FILES.items():
        places = (tree.path / name, tree.path / "splits" / name)
        file = next((place for place in places if is_there(place.is_file)), None)
        if file is None:
            absent.append(name)
            continue
        tree.check_inside(file)
        for sequence in _sequences(file):
            known = splits.setdefault(sequence, split)
            if known != split:
                raise ManifestError(
                    f"{file}: sequence {sequence} is in the split '{known}' too", "use the official files"
                )
            repeated += 1
    repeated -= len(splits)
    notes = [f"no {', '.join(absent)}: those splits are empty"] if absent else []
    if repeated:
        notes.append(f"{counted(repeated, 'sequence number')} listed more than once in the splits")
    return splits, notes


def _sequences(file: Path) -> list[str]:
    pairs, _ = read_json(file)
    if not isinstance(pairs, list):
        raise ManifestError(f"{file}: not a list of pairs", 'the official file is [["071", "054"], ...]')
    found = []
    for number, pair in enumerate(pairs, 1):
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(name, str) for name in pair)):
            raise ManifestError(
                f"{file}: entry {number} is {pair!r:.80}", "an entry is a pair of sequence numbers in quotes"
            )
        found += pair
    return found


def _notes(tally: _Tally, splits: dict[str, str]) -> list[str]:
    notes = []
    if tally.unnamed:
        shown = counted(tally.unnamed, "video")
        notes.append(
            f"{shown} named in another form than TARGET_DONOR: each is taken as an original recording of its own"
        )
    if tally.across:
        shown = counted(tally.across, "fake")
        notes.append(f"{shown} join recordings of two splits, or of none, and have no split themselves")
    missing = len(splits.keys() - tally.sequences)
    if missing and tally.sequences:
        notes.append(f"{missing} of {len(splits)} sequences that the splits list are not here")
    if len(tally.kinds) > 1:
        notes.append("some methods are read as videos, others as frames: the kind of file may tell the label")
    return notes


LAYOUT = Layout(
    name="ffpp",
    description="FaceForensics++ with DeepFakeDetection: compressions kept apart, official splits where they lie there",
    looks="original_sequences/ and manipulated_sequences/",
    recognises=recognises,
    read=read,
)
