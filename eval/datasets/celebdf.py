"""Celeb-DF, versions 1 and 2.

Li, Yang, Sun, Qi, Lyu: Celeb-DF: A Large-scale Challenging Dataset for DeepFake Forensics (CVPR 2020), arXiv 1909.12962;
folders as in the READMEs of github.com/yuezunli/celeb-deepfakeforensics:

    Celeb-real/id0_0000.mp4   YouTube-real/00170.mp4   Celeb-synthesis/id0_id1_0000.mp4   List_of_testing_videos.txt

A line of the list is `1 YouTube-real/00170.mp4`, and there **1 = real**, 0 = fake: the opposite of everywhere here. Labels
are taken from the folders, and a list that contradicts them is refused. What is listed is test, everything else train (the
authors give no validation part). Videos may also lie in a `videos/` below each folder, or as `frames/VIDEO/*.png`
(DeepfakeBench's arrangement). `dataset` is `celebdf-v1` or `celebdf-v2` by the folder's name (Celeb-DF-v2), else `celebdf`.

Limits: train and test share persons (the list is by video), so figures by identity cluster, and `audit` reports the
leakage; the names in version 1 and 2 are not known to mean the same persons. Who is seen in YouTube-real is not told.
"""

import re
from pathlib import Path

from eval.datasets.layout import Layout, Reading, counted
from eval.datasets.origins import Origin, celebdf_manipulated, celebdf_original
from eval.datasets.tree import Clip, Tree, find_folder, is_there, read_lines
from forensics.common.errors import ManifestError
from forensics.common.manifest import Item

FOLDERS = {"celeb-real": 0, "youtube-real": 0, "celeb-synthesis": 1}
GENERATOR = "celeb-synthesis"
TEST_LIST = "List_of_testing_videos.txt"
LABEL_IN_LIST = {"1": 0, "0": 1}  # 1 = real in this file
_LINE = re.compile(r"([01])\s+(\S.*)")
_VERSION = re.compile(r"v([12])(?![0-9])", re.IGNORECASE)

# (folder in lower case, name of the video): how a listed file is found, wherever below its folder it lies.
Key = tuple[str, str]


def recognises(path: Path) -> bool:
    """A folder with Celeb-real or Celeb-synthesis in it."""
    return path.is_dir() and any(find_folder(path, name) for name in ("celeb-real", "celeb-synthesis"))


def read(path: Path, compression: str | None = None) -> Reading:
    """Videos (or frames) of the three folders.

    Raises ManifestError for a malformed list, one that contradicts the folders or leads outside, or one of which nothing
    is there.
    """
    del compression  # one compression only
    tree = Tree(path)
    clips: list[tuple[Key, Clip]] = [
        ((name, clip.name), clip)
        for name in FOLDERS
        if (folder := find_folder(tree.path, name)) is not None
        for clip in tree.clips(folder, direct=True)
    ]
    list_file = tree.path / TEST_LIST
    listed, notes = (
        _read_list(tree, list_file) if is_there(list_file.is_file) else (None, [f"no {TEST_LIST}: nothing has a split"])
    )
    missing = len(listed - {key for key, _ in clips}) if listed else 0
    if listed and missing == len(listed):
        raise ManifestError(f"none of the {missing} videos of {list_file} is there", "check what was downloaded")
    if listed and missing:
        notes.append(f"{missing} of {counted(len(listed), 'video')} of {TEST_LIST} not here")
    dataset = _dataset_name(tree.path)
    found: list[Item] = []
    unnamed = 0
    for key, clip in clips:
        origin = _origin(key)
        unnamed += origin is None
        split = "" if listed is None else "test" if key in listed else "train"
        found += _items(FOLDERS[key[0]], clip, origin or Origin(clip.name), dataset, split)
    if unnamed:
        shown = counted(unnamed, "fake")
        notes.append(f"{shown} named in another form than id0_id1_0000: each is taken as a recording of its own")
    if len({clip.is_frames for _, clip in clips}) > 1:
        notes.append("some folders are read as videos, others as frames: the kind of file may tell the label")
    return Reading(tuple(sorted(found, key=lambda item: item.path)), tree.path, tuple(notes))


def _items(label: int, clip: Clip, origin: Origin, dataset: str, split: str) -> list[Item]:
    return [
        Item(
            path=file,
            label=label,
            generator=GENERATOR if label else "",
            dataset=dataset,
            source=origin.source,
            identity=origin.identity,
            split=split,
            extra={"video": clip.video, "donor": origin.donor},
        )
        for file in clip.files
    ]


def _origin(key: Key) -> Origin | None:
    folder, name = key
    return celebdf_manipulated(name) if FOLDERS[folder] else celebdf_original(name)


def _read_list(tree: Tree, file: Path) -> tuple[set[Key], list[str]]:
    tree.check_inside(file)
    listed: set[Key] = set()
    repeated = 0
    for place, line in read_lines(file):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ManifestError(f"{place}: not a label and a path: {line!r:.100}", "e.g. 1 YouTube-real/00170.mp4")
        entry = tree.listed(match[2], place).relative_to(tree.path)
        folder = entry.parts[0].lower() if entry.parts else ""
        if folder not in FOLDERS:
            raise ManifestError(f"{place}: unknown folder in {match[2]!r:.100}", f"one of {', '.join(FOLDERS)}")
        if FOLDERS[folder] != LABEL_IN_LIST[match[1]]:
            raise ManifestError(
                f"{place}: label {match[1]} for a video of {entry.parts[0]}",
                "in this file 1 means real and 0 fake: the list was changed, use the official one",
            )
        repeated += (folder, entry.stem) in listed
        listed.add((folder, entry.stem))
    return listed, [f"{counted(repeated, 'repeated line')} in {TEST_LIST} ignored"] if repeated else []


def _dataset_name(path: Path) -> str:
    match = _VERSION.search(path.name)
    return f"celebdf-v{match[1]}" if match else "celebdf"


LAYOUT = Layout(
    name="celebdf",
    description="Celeb-DF v1 or v2: videos of the list of testing videos are test, all others train",
    looks="Celeb-real/, YouTube-real/, Celeb-synthesis/ and List_of_testing_videos.txt",
    recognises=recognises,
    read=read,
)
