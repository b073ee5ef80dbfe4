"""The DeepFake Detection Challenge set.

Dolhansky et al.: The DeepFake Detection Challenge Dataset (2020), arXiv 2006.07397. Every part is a folder with its videos
and a metadata.json, as the challenge's data page describes it (filename, label, original, split):

    dfdc_train_part_0/metadata.json   {"owxbbpjpch.mp4": {"label": "FAKE", "split": "train", "original": "wynotylpnm.mp4"},
                                       "vpmyeepbep.mp4": {"label": "REAL", "split": "train"}}

The validation and test parts come with a metadata.json that says `"is_fake": 0 or 1` in place of the label, or with a
labels.csv (`filename,label`, 1 = fake); their split is the name of their folder. Videos lie beside the list, or in a
`videos/` beside it. Parts are looked for up to three folders below the root.

Limits: which of the eight methods made a fake is not told, so `generator` is `dfdc`; nor are persons: clusters are by
original. Some fakes have a fake voice only; they are labelled FAKE all the same.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from eval.datasets.layout import SPLIT_NAMES, Layout, Reading, counted
from eval.datasets.tree import Tree, head_of, is_there, read_json, read_lines, subfolders
from forensics.common.errors import ManifestError
from forensics.common.manifest import Item
from forensics.common.text import printable

METADATA, LABELS_CSV = "metadata.json", "labels.csv"
DEPTH = 3  # train/dfdc_train_part_00/dfdc_train_part_0/metadata.json: archives that unpack into a folder of their own
LABELS = {"REAL": 0, "FAKE": 1}
GENERATOR = DATASET = "dfdc"
# How the lists begin: other collections have files of these names too.
_HEADS = {
    METADATA: re.compile(r'\s*\{\s*"[^"]*"\s*:\s*\{[^{}]*"(label|is_fake)"\s*:'),
    LABELS_CSV: re.compile(r"\s*filename\s*,\s*label\b", re.IGNORECASE),
}


@dataclass(frozen=True)
class _Entry:
    file: str
    label: int
    original: str
    split: str


def recognises(path: Path) -> bool:
    """A folder that has, up to three folders down, a metadata.json or labels.csv of the challenge's form."""
    return path.is_dir() and any(_HEADS[file.name].match(head_of(file)) for file in _lists(path))


def read(path: Path, compression: str | None = None) -> Reading:
    """Videos of all parts.

    Raises ManifestError for a malformed list, an unknown label or split, an entry that leads outside, or when none of the
    listed videos is there.
    """
    del compression  # one compression only
    tree = Tree(path)
    items: dict[Path, Item] = {}
    listed = missing = repeated = orphans = 0
    for file in _lists(tree.path):
        tree.check_inside(file)
        entries, doubles = _read_metadata(file) if file.name == METADATA else _read_labels(file)
        repeated += doubles
        listed += len(entries)
        for entry in entries:
            video = _find(tree, file, entry.file)
            if video is None:
                missing += 1
                continue
            item = _item(tree, video, entry)
            if items.setdefault(video, item).label != item.label:
                raise ManifestError(
                    f"{file}: {entry.file!r:.100} is real in one list, fake in another", "keep the right one"
                )
            repeated += items[video] is not item
            orphans += items[video] is item and entry.label == 1 and not entry.original
    if listed and not items:
        raise ManifestError(
            f"none of the {counted(listed, 'video')} that {path} lists is there", "unpack the videos beside it"
        )
    notes = []
    if missing:
        notes.append(f"{missing} of {counted(listed, 'listed video')} not here")
    if repeated:
        notes.append(f"{repeated} repeated in the lists, read once")
    if orphans:
        shown = counted(orphans, "fake")
        notes.append(f"{shown} listed without an original: each is taken as a recording of its own")
    return Reading(tuple(items[video] for video in sorted(items)), tree.path, tuple(notes))


def _item(tree: Tree, video: Path, entry: _Entry) -> Item:
    return Item(
        path=video,
        label=entry.label,
        generator=GENERATOR if entry.label else "",
        dataset=DATASET,
        source=printable(PurePosixPath(entry.original or entry.file).stem),
        split=entry.split,
        extra={"video": tree.stem(video), "donor": ""},
    )


def _find(tree: Tree, list_file: Path, entry: str) -> Path | None:
    for folder in (list_file.parent, list_file.parent / "videos"):
        video = tree.listed(entry, str(list_file), folder)
        if is_there(video.is_file):
            return video
    return None


def _lists(root: Path) -> list[Path]:
    """Lists of all parts, sorted. Where both lie in one folder, only metadata.json: it says more."""
    found, folders = [], [root]
    for depth in range(DEPTH + 1):
        for folder in folders:
            file = next((folder / name for name in _HEADS if is_there((folder / name).is_file)), None)
            found += [file] if file else []
        folders = [below for folder in folders for below in subfolders(folder)] if depth < DEPTH else []
    return sorted(found)


def _read_metadata(file: Path) -> tuple[list[_Entry], int]:
    content, repeated = read_json(file)
    if not isinstance(content, dict):
        raise ManifestError(f"{file}: not a list of videos", '{"aaa.mp4": {"label": "REAL", "split": "train"}, ...}')
    return [_metadata_entry(file, name, facts) for name, facts in content.items()], repeated


def _metadata_entry(file: Path, name: str, facts: object) -> _Entry:
    place = f"{file}: {name!r:.100}"
    if not isinstance(facts, dict):
        raise ManifestError(f"{place} has no label", '{"label": "REAL" or "FAKE", "split": "train", "original": ...}')
    original = facts.get("original") or ""
    if not isinstance(original, str):
        raise ManifestError(f"{place}: original is {original!r:.100}", "the name of a video, or nothing")
    split = facts.get("split")
    return _Entry(name, _label(place, facts), original, _split(place, split) if split else _split_of_folder(file))


def _label(place: str, facts: dict[str, object]) -> int:
    if "label" in facts:
        label = facts["label"]
        if isinstance(label, str) and label.upper() in LABELS:
            return LABELS[label.upper()]
        raise ManifestError(f"{place}: label is {label!r:.100}", "labels are REAL and FAKE")
    is_fake = facts.get("is_fake")
    if isinstance(is_fake, int) and is_fake in (0, 1):
        return int(is_fake)
    raise ManifestError(f"{place}: neither a label nor is_fake (0 or 1)", "labels are REAL and FAKE")


def _split(place: str, split: object) -> str:
    if isinstance(split, str) and split.lower() in SPLIT_NAMES:
        return SPLIT_NAMES[split.lower()]
    raise ManifestError(f"{place}: split is {split!r:.100}", "one of train, validation, test")


def _split_of_folder(file: Path) -> str:
    """The split that the list's folder is named after, or ""; `dfdc_train_part_0` is train by its name."""
    name = file.parent.name.lower()
    return "train" if name.startswith("dfdc_train") else SPLIT_NAMES.get(name, "")


def _read_labels(file: Path) -> tuple[list[_Entry], int]:
    (_, header), *lines = read_lines(file) or [(str(file), "")]
    columns = [name.strip().lower() for name in header.split(",")]
    if not {"filename", "label"} <= set(columns):
        raise ManifestError(f"{file} has no columns filename and label", "the header should be filename,label")
    entries: dict[str, _Entry] = {}
    repeated = 0
    for place, line in lines:
        row = dict(zip(columns, line.split(","), strict=False))  # names of the challenge hold no comma
        name, label = row.get("filename", "").strip(), row.get("label", "").strip()
        if label not in ("0", "1"):
            raise ManifestError(f"{place}: label is {label!r:.100}", "in labels.csv 1 is fake, 0 real")
        entry = _Entry(name, int(label), "", _split_of_folder(file))
        if entries.get(name, entry) != entry:
            raise ManifestError(f"{place}: {name!r:.100} is there twice, and differs", "keep the right one")
        repeated += name in entries
        entries[name] = entry
    return list(entries.values()), repeated


LAYOUT = Layout(
    name="dfdc",
    description="DeepFake Detection Challenge: parts with a metadata.json (or labels.csv), fakes linked to originals",
    looks="folders such as dfdc_train_part_0/ with a metadata.json",
    recognises=recognises,
    read=read,
)
