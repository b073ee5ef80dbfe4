"""Folders named real and fake: what people make themselves, and what most collections of pictures are published as.

The form of Wang et al.: CNN-generated images are surprisingly easy to spot (CVPR 2020), arXiv 1912.11035 (README of
github.com/PeterWang512/CNNDetection: a folder per generator, with `0_real` and `1_fake` in it, some with classes between):

    real/*.jpg  fake/stylegan/*.png          a folder below fake/ is the generator
    train/real/  train/fake/  real/test/     a folder above or below is the split: train, val, valid, dev, test
    progan/0_real/  progan/1_fake/           the first folder above is the generator, and has reals of its own
    progan/airplane/0_real/                  the folders between are classes of objects: all in the data set of progan
    real/videos/a.mp4  fake/frames/v1/0.png  folders named videos, images, frames say nothing; pictures below frames/
                                             are frames of one video, all others stand alone

Names may have any case. `dataset` is the folder's name, or NAME-progan where generators have reals of their own, so that
fakes meet the reals beside them. `train` is taken as a split only where at least half of the folders beside it are splits
(it is a class of CNNDetection too, between `sofa` and `tvmonitor`).

Limits: nothing tells which original a fake was made from, so every file is its own `source`, and intervals are as narrow as
if all were independent: a manifest with `source` is better. A folder of classes given by itself (progan/ with airplane/ in
it) looks like one of generators: give the folder above. Fakes of which no folder names the generator have none.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eval.datasets.layout import SPLIT_NAMES, Layout, Reading, counted
from eval.datasets.tree import Tree, subfolders, video_identities
from forensics.common.errors import ManifestError
from forensics.common.manifest import Item
from forensics.common.text import printable
from forensics.media.sniff import VIDEO_SUFFIXES

LABELS = {"real": 0, "0_real": 0, "fake": 1, "1_fake": 1}
FRAMES = "frames"
CONTAINERS = ("videos", "images", FRAMES)
DEPTH = 2  # folders above real/ and fake/ where they are looked for, not counting a split's: progan/airplane/0_real

Parts = tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """What the folders above a file say."""

    label: int
    split: str
    above: Parts  # neither split nor container, outermost first
    below: Parts
    is_frame: bool


def recognises(path: Path) -> bool:
    """A folder with both real/ and fake/ (or 0_real/ and 1_fake/) in it, or in its splits, generators or their classes."""
    return path.is_dir() and len({LABELS[name] for name in _label_names(path, DEPTH)}) == 2


def read(path: Path, compression: str | None = None) -> Reading:
    """All pictures and videos that lie in a folder with a label's name.

    Raises ManifestError where one path has two labels or two splits, and for links that lead outside.
    """
    del compression  # the layout knows none
    tree = Tree(path)
    files = tree.media(tree.path)
    held = [file.relative_to(tree.path).parts[:-1] for file in files]
    splits = _split_folders(parts for parts in held if any(part.lower() in LABELS for part in parts))
    identities = video_identities(tree, [file for file in files if file.suffix.lower() in VIDEO_SUFFIXES])
    items, outside = [], 0
    for file, parts in zip(files, held, strict=True):
        place = _place(tree.name(file), parts, splits)
        if place is None:
            outside += 1
            continue
        items.append(_item(tree, file, place, identities))
    notes = [f"{counted(outside, 'file')} outside real/ and fake/ left out"] if outside else []
    unnamed = sum(item.label == 1 and not item.generator for item in items)
    if unnamed:
        notes.append(f"{counted(unnamed, 'fake')} without a generator: none of the folders names it")
    return Reading(tuple(items), tree.path, tuple(notes))


def _label_names(path: Path, depth: int) -> set[str]:
    names: set[str] = set()
    for folder in subfolders(path):
        lowered = folder.name.lower()
        if lowered in LABELS:
            names.add(lowered)
        elif lowered in SPLIT_NAMES:
            names |= _label_names(folder, depth)
        elif depth:
            names |= _label_names(folder, depth - 1)
    return names


def _split_folders(held: Iterable[Parts]) -> set[Parts]:
    """Folders (as parts from the root) that are splits, judged by the folders beside them."""
    children: dict[Parts, set[str]] = defaultdict(set)
    for parts in held:
        for depth, part in enumerate(parts):
            if part.lower() not in LABELS and part.lower() not in CONTAINERS:
                children[parts[:depth]].add(part)
    found = set()
    for parent, names in children.items():
        splits = {name for name in names if name.lower() in SPLIT_NAMES}
        if 2 * len(splits) >= len(names):
            found |= {(*parent, name) for name in splits}
    return found


def _place(shown: str, parts: Parts, splits: set[Parts]) -> _Place | None:
    """None for a file that no folder labels."""
    labelled = [depth for depth, part in enumerate(parts) if part.lower() in LABELS]
    if not labelled:
        return None
    labels = {LABELS[parts[depth].lower()] for depth in labelled}
    if len(labels) > 1:
        raise ManifestError(
            f"{shown} lies in real and in fake at once", "rename one of the folders, or write a manifest"
        )
    frames = next((depth for depth, part in enumerate(parts) if part.lower() == FRAMES), None)
    is_frame = frames is not None and len(parts) > frames + 1
    meaning = parts[:frames] if is_frame else parts
    named = {SPLIT_NAMES[part.lower()] for depth, part in enumerate(meaning) if parts[: depth + 1] in splits}
    if len(named) > 1:
        raise ManifestError(f"{shown} lies in two splits at once", "rename one of the folders, or write a manifest")
    telling = [
        (depth, printable(part))
        for depth, part in enumerate(meaning)
        if depth not in labelled and parts[: depth + 1] not in splits and part.lower() not in CONTAINERS
    ]
    return _Place(
        label=labels.pop(),
        split=named.pop() if named else "",
        above=tuple(part for depth, part in telling if depth < labelled[0]),
        below=tuple(part for depth, part in telling if depth > labelled[0]),
        is_frame=is_frame,
    )


def _item(tree: Tree, file: Path, place: _Place, identities: dict[Path, str]) -> Item:
    video = identities.get(file, tree.name(file.parent) if place.is_frame else "")
    name = printable(tree.path.name) or "folder"
    return Item(
        path=file,
        label=place.label,
        generator=next(iter((*place.below, *place.above)), "").lower() if place.label else "",
        dataset=f"{name}-{place.above[0]}" if place.above else name,
        source=video or tree.name(file),
        split=place.split,
        extra={"video": video, "donor": ""},
    )


LAYOUT = Layout(
    name="folder",
    description="folders real/ and fake/ (or 0_real/ and 1_fake/); folders beside them name generator and split",
    looks="real/ and fake/",
    recognises=recognises,
    read=read,
)
