"""The lists of DeepfakeBench (and of DF40, which has the same form).

Yan, Zhang, Yuan, Lyu, Wu: DeepfakeBench: A Comprehensive Benchmark of Deepfake Detection (NeurIPS 2023), arXiv 2307.01426;
Yan et al.: DF40 (NeurIPS 2024), arXiv 2406.13495. One JSON per data set in preprocessing/dataset_json/, as rearrange.py of
github.com/SCLBD/DeepfakeBench writes and abstract_dataset.py reads them:

    {DATASET: {LABEL: {"train"|"val"|"test": {["c23"|"c40"|"raw":] {VIDEO: {"label": LABEL, "frames": [PATH, ...]}}}}}}

with labels such as FF-real, FF-DF, DFD_fake, CelebDFv2_real, DFDCP_FakeA (test_config.yaml, label_dict). Paths are those of
the machine that wrote the list: absolute, or relative to a folder of data sets, or with backslashes. They are looked for
below the given folder (itself, rgb/, datasets/, datasets/rgb/) by dropping leading folders, the same ones for a whole list;
nothing outside is opened. A path with `..` is refused.

Lists overlap: FF-DF.json is part of FaceForensics++.json, and whole sets stand in train, val and test alike. A frame is
read once; one that is in several splits is test, else train: what anybody trained or tested on is not a choice for dev.

Frames are aligned by five landmarks, cut with a margin of 1.3 and resized to 256 (preprocess.py). That is rotated and
resampled, not the frame of this project's crops, so `view` is `scene`: faces are found in them again. Limits: a face finder
can miss a face that fills the picture, which the coverage shows; masks and landmarks are not read, nor LMDB files.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from eval.datasets.layout import SPLIT_NAMES, Layout, Reading, canonical_compression, counted
from eval.datasets.origins import (
    Origin,
    celebdf_manipulated,
    celebdf_original,
    dfd_manipulated,
    dfd_original,
    ffpp_manipulated,
    ffpp_original,
)
from eval.datasets.tree import Tree, head_of, is_there, read_json, subfolders
from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item
from forensics.common.text import printable

LIST_FOLDER = "dataset_json"  # also dataset_json_v3 and the like
BASES = ("", "rgb", "datasets", "datasets/rgb")
# METHOD/c23/frames/VIDEO/FRAME: with less, a frame of one method could be taken for another's of the same number.
SHORTEST_TAIL = 5
SPLIT_ORDER = ("test", "train", "dev")
# Lists of FaceForensics++ that hold some of its methods; the real videos are the same.
FFPP_LISTS = ("faceforensics++", "faceshifter", "ff-df", "ff-f2f", "ff-fs", "ff-nt", "ff-fh", "ff-sh")
DATASETS = {"deepfakedetection": "dfd", "celeb-df-v1": "celebdf-v1", "celeb-df-v2": "celebdf-v2"}
GENERATORS = {
    "ff-df": "deepfakes",
    "ff-f2f": "face2face",
    "ff-fs": "faceswap",
    "ff-nt": "neuraltextures",
    "ff-fh": "faceshifter",
    "ff-sh": "faceshifter",
    "dfd_fake": "deepfakedetection",
    "celebdfv1_fake": "celeb-synthesis",
    "celebdfv2_fake": "celeb-synthesis",
    "dfdcp_fakea": "dfdcp-a",
    "dfdcp_fakeb": "dfdcp-b",
    "df_fake": "df-vae",  # DeeperForensics-1.0's method (Jiang et al. 2020, arXiv 2001.03024)
}
_REAL = re.compile(r"(.*[_-])?real", re.IGNORECASE)
_FAKE = re.compile(r"(?:(.*)[_-])?fake[a-z]?", re.IGNORECASE)
_DF40_DOMAIN = re.compile(r".+_(ff|cdf)")
_HEAD = re.compile(r'\s*\{\s*"[^"]+"\s*:\s*\{\s*"[^"]+"\s*:\s*\{\s*"(train|val|test)"\s*:\s*\{')


@dataclass(frozen=True)
class _Video:
    """One video of one list."""

    list_file: Path
    dataset: str
    label: str
    split: str
    compression: str
    name: str
    frames: tuple[str, ...]


@dataclass
class _Frame:
    """One picture, and every list entry that names it."""

    video: _Video
    entry: str
    splits: set[str]


@dataclass
class _Tally:
    """What the notes will say."""

    missing_frames: int = 0
    repeated: int = 0
    bare: int = 0
    missing_videos: set[tuple[str, str, str]] = field(default_factory=set)


def recognises(path: Path) -> bool:
    """A list, or a folder with lists of this form in it, in dataset_json/ or in preprocessing/dataset_json/."""
    if path.is_file():
        return path.suffix.lower() == ".json" and _HEAD.match(head_of(path)) is not None
    return path.is_dir() and any(_HEAD.match(head_of(file)) for file in _candidates(path))


def read(path: Path, compression: str | None = None) -> Reading:
    """Frames of all lists that lie there, or of the one that `path` is.

    Raises ManifestError for a malformed list, an unknown label or split, a path with `..`, or when no frame is there;
    UsageError for a compression that is not there.
    """
    files = [path] if path.is_file() else [file for file in _candidates(path) if _HEAD.match(head_of(file))]
    tree = Tree(_root_of(path) if path.is_file() or path.name.startswith(LIST_FOLDER) else path)
    # Lists of several methods (DF40's FSAll_ff.json) last: the method's own list names it better.
    files.sort(key=lambda file: ("all" in file.stem.lower(), file.name))
    tally = _Tally()
    frames: dict[Path, _Frame] = {}
    levels: set[str] = set()
    for file in files:
        if path.is_dir():
            tree.check_inside(file.absolute())
        finder = _Finder(tree)
        for video in _videos(file, tally):
            levels.add(video.compression)
            if compression is None or video.compression == canonical_compression(compression):
                _add(frames, video, finder, tally)
    if compression is not None and canonical_compression(compression) not in levels:
        present = ", ".join(sorted(levels - {""})) or "none"
        raise UsageError(f"the lists of {path} have no compression {compression}", f"there are: {present}")
    if not frames and tally.missing_frames:
        raise ManifestError(
            f"none of the {tally.missing_frames} listed frames is below {tree.path}",
            "give the folder that holds the data sets (FaceForensics++/, ...) with the lists in dataset_json/ in it",
        )
    return Reading(_items(tree, frames), tree.path, tuple(_notes(tally, frames)))


def _candidates(path: Path) -> list[Path]:
    places = [path]
    for parent in (path, path / "preprocessing"):
        if is_there(parent.is_dir):
            places += [folder for folder in subfolders(parent) if folder.name.startswith(LIST_FOLDER)]
    return [file for place in places for file in sorted(place.glob("*.json")) if not file.name.startswith(".")]


def _root_of(path: Path) -> Path:
    """The folder that the data sets lie in, by where DeepfakeBench keeps its lists."""
    folder = (path.parent if path.is_file() else path).absolute()
    folder = folder.parent if folder.name.startswith(LIST_FOLDER) else folder
    return folder.parent if folder.name == "preprocessing" else folder


def _videos(file: Path, tally: _Tally) -> Iterator[_Video]:
    content, _ = read_json(file)
    for dataset, labels in _level(content, str(file)).items():
        for label, splits in _level(labels, f"{file}: {dataset}").items():
            for split, below in _level(splits, f"{file}: {dataset}/{label}").items():
                place = f"{file}: {dataset}/{label}/{split}"
                if split not in SPLIT_NAMES:
                    raise ManifestError(f"{file}: split is {split!r:.100}", "one of train, val, test")
                for compression, name, facts in _entries(_level(below, place), place, tally):
                    yield _video(file, dataset, label, SPLIT_NAMES[split], compression, name, facts)


def _entries(below: dict[str, object], place: str, tally: _Tally) -> Iterator[tuple[str, str, dict[str, object]]]:
    """(compression, video, its facts): the level of compressions is there for FaceForensics++ only."""
    for name, facts in below.items():
        if name in ("label", "frames", "masks") and not isinstance(facts, dict):
            tally.bare += name == "label"  # rearrange.py writes a test video of DFDC in place of the list of val
            continue
        held = _level(facts, f"{place}/{name}")
        if "frames" in held and isinstance(held["frames"], list):
            yield "", name, held
            continue
        for video, inner in held.items():
            yield canonical_compression(name), video, _level(inner, f"{place}/{name}/{video}")


def _video(
    file: Path, dataset: str, group: str, split: str, compression: str, name: str, facts: dict[str, object]
) -> _Video:
    place = f"{file}: {group}/{name}"
    label, frames = facts.get("label"), facts.get("frames")
    if not isinstance(label, str) or not isinstance(frames, list) or not all(isinstance(x, str) for x in frames):
        raise ManifestError(
            f"{place} has no label and list of frames", '{"label": "FF-DF", "frames": ["....png", ...]}'
        )
    if _label(label, place) != _label(group, place):
        raise ManifestError(f"{place}: label is {label!r:.100} under {group}", "the list contradicts itself")
    return _Video(file, dataset, label, split, compression, name, tuple(frames))


def _level(value: object, place: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise ManifestError(f"{place}: expected an object, found {value!r:.60}", "see rearrange.py of DeepfakeBench")
    return value


def _label(name: str, place: str) -> int:
    """0 for `..._real`, 1 for `..._fake` and the methods of FaceForensics++."""
    if _REAL.fullmatch(name):
        return 0
    if _FAKE.fullmatch(name) or name.lower() in GENERATORS:
        return 1
    raise ManifestError(f"{place}: label is {name!r:.100}", "labels end in _real or _fake, or are FF-DF, FF-F2F, ...")


class _Finder:
    """Finds the frames of one list below the root; remembers which leading folders of its paths stand for what."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._bases = [tree.path / base for base in BASES]
        self._known: list[tuple[tuple[str, ...], Path]] = []

    def find(self, entry: str, place: str) -> Path | None:
        """The file, or None where it is not there. Raises ManifestError for a path with `..` or a link that leaves."""
        parts = PurePosixPath(entry.replace("\\", "/")).parts
        if ".." in parts or "\0" in entry:
            self._tree.listed(entry.replace("\\", "/"), place)  # raises
        for prefix, base in self._known:
            if parts[: len(prefix)] == prefix:
                found = self._file(base.joinpath(*parts[len(prefix) :]), place)
                if found is not None or prefix:
                    return found
        for dropped in range(max(len(parts) - SHORTEST_TAIL, 0) + 1):
            if parts[dropped:][:1] in ((), ("/",)):
                continue
            for base in self._bases:
                found = self._file(base.joinpath(*parts[dropped:]), place)
                if found is not None:
                    self._known.append((parts[:dropped], base))
                    self._known.sort(key=lambda known: -len(known[0]))  # an empty prefix fits everything: last
                    return found
        return None

    def _file(self, path: Path, place: str) -> Path | None:
        if not is_there(path.is_file):
            return None
        self._tree.check_inside(path, place)
        return path


def _add(frames: dict[Path, _Frame], video: _Video, finder: _Finder, tally: _Tally) -> None:
    found = 0
    for entry in video.frames:
        place = f"{video.list_file}: {video.label}/{video.name}"
        path = finder.find(entry, place)
        if path is None:
            tally.missing_frames += 1
            continue
        found += 1
        known = frames.get(path)
        if known is None:
            frames[path] = _Frame(video, entry, {video.split})
            continue
        _check_same(known.video, known.entry, video, entry, place)
        known.splits.add(video.split)
        tally.repeated += 1
    if video.frames and not found:
        tally.missing_videos.add((video.label, video.compression, video.name))


def _check_same(known: _Video, known_entry: str, video: _Video, entry: str, place: str) -> None:
    """A file may be listed often, but as one thing. Raises ManifestError."""
    if _label(known.label, place) != _label(video.label, place):
        raise ManifestError(f"{place}: {entry!r:.200} is real in one list, fake in another", "keep the right list")
    is_same_entry = entry.replace("\\", "/") == known_entry.replace("\\", "/")
    if not is_same_entry and (known.label, known.name) != (video.label, video.name):
        raise ManifestError(
            f"{place}: {entry!r:.200} and {known_entry!r:.200} lead to one file",
            "give the folder that holds the data sets, not one inside it",
        )


def _items(tree: Tree, frames: dict[Path, _Frame]) -> tuple[Item, ...]:
    # Pictures of several videos in one folder are told apart by the video's name in the list.
    holders: dict[Path, set[str]] = defaultdict(set)
    for path, frame in frames.items():
        holders[path.parent].add(frame.video.name)
    items = []
    for path in sorted(frames):
        video = frames[path].video
        folder = tree.name(path.parent)
        identity = folder if len(holders[path.parent]) == 1 else f"{folder}/{printable(video.name)}"
        label = _label(video.label, str(video.list_file))
        origin = _origin(video, label)
        items.append(
            Item(
                path=path,
                label=label,
                generator=_generator(video.label) if label else "",
                dataset=_dataset(video),
                source=printable(origin.source),
                identity=origin.identity,
                split=next(split for split in SPLIT_ORDER if split in frames[path].splits),
                extra={"video": identity, "donor": origin.donor, "compression": video.compression},
            )
        )
    return tuple(items)


def _generator(label: str) -> str:
    """`FF-DF` -> deepfakes, `blendface_Fake` -> blendface."""
    match = _FAKE.fullmatch(label)
    return GENERATORS.get(label.lower()) or printable((match[1] if match and match[1] else label).lower())


def _dataset(video: _Video) -> str:
    """The collection whose reals the video's fakes are compared with, each compression by itself."""
    name = video.dataset.lower()
    base = "ffpp" if name.removesuffix("_c40") in FFPP_LISTS else DATASETS.get(name, printable(name))
    domain = _DF40_DOMAIN.fullmatch(name)
    base = f"df40-{domain[1]}" if domain else base
    return f"{base}-{video.compression}" if video.compression else base


def _origin(video: _Video, label: int) -> Origin:
    dataset = _dataset(video)
    origin: Origin | None = None
    name = video.name
    if dataset.startswith("df40") and label:  # `993_989_facedancer`
        name = re.sub(rf"_{re.escape(_generator(video.label))}$", "", name, flags=re.IGNORECASE)
    if dataset.startswith(("ffpp", "df40-ff")):
        origin = ffpp_manipulated(name) if label else ffpp_original(name)
    elif dataset.startswith("dfd"):
        origin = dfd_manipulated(name) if label else dfd_original(name)
    elif dataset.startswith(("celebdf", "df40-cdf")):
        origin = celebdf_manipulated(name) if label else celebdf_original(name)
    return origin or Origin(video.name)


def _notes(tally: _Tally, frames: dict[Path, _Frame]) -> list[str]:
    notes = []
    if tally.missing_frames:
        videos = counted(len(tally.missing_videos), "video")
        notes.append(f"{counted(tally.missing_frames, 'listed frame')} not here, among them all of {videos}")
    if tally.repeated:
        notes.append(
            f"{counted(tally.repeated, 'repeated entry', 'repeated entries')} in the lists: each frame is read once"
        )
    several = sum(len(frame.splits) > 1 for frame in frames.values())
    if several:
        notes.append(
            f"{counted(several, 'frame')} listed in several splits: taken as {', else '.join(SPLIT_ORDER[:2])}"
        )
    if tally.bare:
        notes.append(f"{counted(tally.bare, 'split')} without names of videos left out")
    return notes


LAYOUT = Layout(
    name="deepfakebench",
    description="DeepfakeBench and DF40: the frames that the lists in dataset_json/ name",
    looks="dataset_json/ with lists such as FaceForensics++.json, beside the folders of frames; or one such list",
    recognises=recognises,
    read=read,
)
