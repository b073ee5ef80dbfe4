"""Data of generators: which rows are taken, what their pixels are, classes, hostile files."""

import io
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from rich.console import Console

from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item, read_manifest, write_manifest
from forensics.common.progress import Progress
from forensics.faces.types import Face
from generators.data import rows as rows_module
from generators.data.pictures import DataRequest, Pictures, load_pictures, pictures_of

PX = 16


class Said(Progress):
    """Progress that keeps its lines."""

    def __init__(self) -> None:
        self.buffer = io.StringIO()
        super().__init__(console=Console(file=self.buffer, width=500))

    @property
    def text(self) -> str:
        return self.buffer.getvalue()


def load(tmp_path: Path, *data: Path, px: int = PX, said: Said | None = None, detector=None, **options) -> Pictures:
    request = DataRequest(data=data, **options)
    return load_pictures(request, px, tmp_path / "cache", said or Said(), workers=2, detector=detector)


def plain(value: int, height: int = PX, width: int = PX) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def write(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 and picture.shape[2] == 3 else picture)
    return path


def pixels(pictures: Pictures) -> np.ndarray:
    return pictures.batch(np.arange(len(pictures)))


def grey_values(pictures: Pictures) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in pixels(pictures)]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Ten rows; the picture of row i is of grey 10 i. Reals: 0-6 (train 0-3, dev 4, test 5, no split 6); fakes: 7-9."""
    root, splits = tmp_path / "set", ["train"] * 4 + ["dev", "test", "", "train", "train", "test"]
    items = [
        Item(
            write(root / f"images/{i}.png", plain(10 * i)),
            label=int(i >= 7),
            split=split,
            identity="anna" if i % 2 else "bert",
            extra={"camera": "x" if i < 2 else "y"},
        )
        for i, split in enumerate(splits)
    ]
    write_manifest(root / "manifest.csv", items)
    return root / "manifest.csv"


# Which rows


def test_reals_of_the_train_split_are_the_default_and_counts_are_said(tmp_path: Path, manifest: Path) -> None:
    said = Said()
    pictures = load(tmp_path, manifest, said=said)
    assert grey_values(pictures) == [0, 10, 20, 30]
    assert [item.split for item in pictures.items] == ["train"] * 4
    assert "4 of 10 taken; left out: 3 without label 0, 3 not in split train" in said.text
    assert pixels(pictures).shape == (4, PX, PX, 3) and pixels(pictures).dtype == np.uint8
    assert pictures.labels.tolist() == [0] * 4 and pictures.class_names == () and pictures.view == "scene"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"split": "test"}, [50]),
        ({"label": "1"}, [70, 80]),
        ({"label": "1", "split": "any"}, [70, 80, 90]),
        ({"label": "any", "split": "any"}, list(range(0, 100, 10))),
    ],
)
def test_label_and_split_choose_rows(tmp_path: Path, manifest: Path, options: dict, expected: list[int]) -> None:
    assert grey_values(load(tmp_path, manifest.parent, **options)) == expected  # a folder that holds a manifest


def test_a_manifest_without_any_split_gives_all_its_rows(tmp_path: Path) -> None:
    items = [Item(write(tmp_path / f"{i}.png", plain(i)), 0) for i in range(3)]
    write_manifest(tmp_path / "m.csv", items)
    assert len(load(tmp_path, tmp_path / "m.csv")) == 3


def test_a_plain_folder_is_read_below_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "some"
    for i, name in enumerate(["b/2.png", "a/9.jpg", "a/1.PNG", "c.png"]):
        write(folder / name, plain(i * 10))
    (folder / ".hidden.png").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    (folder / "b/clip.mp4").write_bytes(b"x")
    (folder / "b/back").symlink_to(folder)  # a loop
    said = Said()
    pictures = load(tmp_path, folder, said=said)
    assert [item.path.name for item in pictures.items] == ["1.PNG", "9.jpg", "2.png", "c.png"]
    assert "4 of 5 taken; left out: 1 clips" in said.text


def test_test_rows_do_not_come_in_by_the_folder_of_their_pictures(tmp_path: Path, manifest: Path) -> None:
    with pytest.raises(UsageError, match=r"6 of the pictures in .*images are not of label 0 and split train"):
        load(tmp_path, manifest.parent / "images")
    with pytest.raises(UsageError, match=r"manifest\.csv lies in it"):
        load(tmp_path, manifest.parent.parent)
    assert len(load(tmp_path, manifest.parent / "images", label="any", split="any")) == 10


def row(root: Path, name: str, split: str, label: int = 0) -> Item:
    path = root / name
    return Item(path if path.exists() else write(path, plain(50)), label, split=split)


@pytest.mark.parametrize("other", [{"split": "test"}, {"split": "train", "label": 1}])
@pytest.mark.parametrize("in_two", [False, True])
@pytest.mark.parametrize("is_first", [False, True])
def test_a_file_with_two_verdicts_is_left_out(tmp_path: Path, other: dict, in_two: bool, is_first: bool) -> None:
    rows = [row(tmp_path, "x.png", "train"), row(tmp_path, "y.png", "train")]
    against = [row(tmp_path, "y.png", **other)]
    written = [rows, against] if in_two else [rows + against]
    written = [part[::-1] for part in written[::-1]] if is_first else written
    data = [tmp_path / f"m{i}.csv" for i in range(len(written))]
    for path, part in zip(data, written, strict=True):
        write_manifest(path, part)
    said = Said()
    pictures = load(tmp_path, *data, said=said)
    assert [item.path.name for item in pictures.items] == ["x.png"]
    assert "1 that another row gives another label or split" in said.text
    everything = load(tmp_path, *data, label="any", split="any")
    assert sorted(item.path.name for item in everything.items) == ["x.png", "y.png"]


@pytest.mark.parametrize("is_first", [False, True])
def test_a_folder_gives_nothing_that_a_given_manifest_excludes(tmp_path: Path, is_first: bool) -> None:
    write_manifest(tmp_path / "cm.csv", [row(tmp_path, "c/x.png", "train"), row(tmp_path, "c/y.png", "test")])
    row(tmp_path, "c/z.png", "")
    data = [tmp_path / "cm.csv", tmp_path / "c"]
    said = Said()
    pictures = load(tmp_path, *(data[::-1] if is_first else data), said=said)
    assert sorted(item.path.name for item in pictures.items) == ["x.png", "z.png"]
    assert "1 that another row gives another label or split" in said.text


@pytest.mark.parametrize("links_to", ["folder", "pictures"])
def test_links_to_test_pictures_are_refused(tmp_path: Path, manifest: Path, links_to: str) -> None:
    images, links = manifest.parent / "images", tmp_path / "links"
    links.mkdir()
    for name in ("0.png", "5.png"):  # train and test
        (links / name).symlink_to(images / name)
    if links_to == "folder":
        (links / "all").symlink_to(images)
    with pytest.raises(UsageError, match=rf"{1 if links_to == 'pictures' else 6} of the pictures in .*links are not"):
        load(tmp_path, links)


def test_a_manifest_far_above_a_folder_is_found(tmp_path: Path) -> None:
    write_manifest(
        tmp_path / "manifest.csv", [row(tmp_path, "a/b/c/d/x.png", "train"), row(tmp_path, "a/b/c/d/y.png", "test")]
    )
    with pytest.raises(UsageError, match=r"1 of the pictures in .*d are not of label 0 and split train"):
        load(tmp_path, tmp_path / "a/b/c/d")


def test_a_manifest_above_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{folder}/{i}.png" for folder in "abc" for i in range(2)]
    write_manifest(tmp_path / "manifest.csv", [row(tmp_path, name, "train") for name in names])
    read: list[Path] = []
    monkeypatch.setattr(rows_module, "read_manifest", lambda path: read.append(path) or read_manifest(path))
    assert len(load(tmp_path, *(tmp_path / folder for folder in "abc"))) == 6
    assert read.count(tmp_path / "manifest.csv") == 1


def test_clips_of_a_manifest_are_counted(tmp_path: Path) -> None:
    rows = [Item(write(tmp_path / "a.png", plain(1)), 0), Item(tmp_path / "b.MP4", 0)]
    write_manifest(tmp_path / "m.csv", rows)
    said = Said()
    assert len(load(tmp_path, tmp_path / "m.csv", said=said)) == 1
    assert "1 of 2 taken; left out: 1 clips" in said.text


def test_a_file_is_taken_once_whatever_it_is_called(tmp_path: Path, manifest: Path) -> None:
    said = Said()
    (tmp_path / "other").mkdir()
    (tmp_path / "other/link.png").symlink_to(manifest.parent / "images/0.png")
    pictures = load(tmp_path, manifest, manifest.parent, tmp_path / "other", said=said)
    assert grey_values(pictures) == [0, 10, 20, 30]
    assert "4 that are there twice (taken once)" in said.text and "1 that are there twice" in said.text


def test_a_limit_draws_the_same_pictures_and_more_of_them_hold_fewer(tmp_path: Path, manifest: Path) -> None:
    options = {"label": "any", "split": "any"}
    four, again, six = (grey_values(load(tmp_path, manifest, limit=n, **options)) for n in (4, 4, 6))
    assert four == again == sorted(four) and set(four) < set(six) and len(six) == 6


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "does not exist"),
        ("empty", "holds no picture"),
        ("one.png", "is one file"),
        ("bad.csv", "no column"),
    ],
)
def test_data_that_are_none(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    write(tmp_path / "one.png", plain(0))
    with pytest.raises((ManifestError, UsageError), match=message):
        load(tmp_path, tmp_path / name)


def test_nothing_asked_for_is_an_error(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.csv", [Item(tmp_path / "a.png", 1)])
    with pytest.raises(ManifestError, match="label 0, split train"):
        load(tmp_path, tmp_path / "m.csv")


@pytest.mark.parametrize("options", [{"label": "2"}, {"limit": 0}, {"cache_gb": -1}, {"data": ()}, {"nonsense": 1}])
def test_requests_are_validated(options: dict) -> None:
    with pytest.raises(ValidationError):
        DataRequest(**{"data": (Path("x"),), **options})


# Pixels


def test_the_middle_square_is_taken(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40, 1] = 200
    wide[:, 40:, 2] = 200
    write(tmp_path / "in/wide.png", wide)
    write(tmp_path / "in/tall.png", wide.transpose(1, 0, 2))
    assert (pixels(load(tmp_path, tmp_path / "in")) == (0, 200, 0)).all()


@pytest.mark.parametrize("side", [32, 48, 256, 1024])
def test_shrinking_averages_areas(tmp_path: Path, side: int) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    write(tmp_path / "in/noise.png", noise)
    means = noise.reshape(PX, side // PX, PX, side // PX, 3).mean((1, 3))
    assert np.abs(pixels(load(tmp_path, tmp_path / "in"))[0] - means).max() <= 0.51  # rounding


def test_shrinking_by_no_whole_number_does_not_alias(tmp_path: Path) -> None:
    """The finest checkerboard has no detail below its own frequency: its mean is all that may be left."""
    board = (np.indices((250, 250)).sum(0) % 2 * 255).astype(np.uint8)
    write(tmp_path / "in/board.png", np.repeat(board[..., None], 3, 2))
    assert np.abs(pixels(load(tmp_path, tmp_path / "in")) - 127.5).max() <= 12


def test_pictures_of_the_asked_size_are_copied(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (PX, PX, 3), np.uint8)
    write(tmp_path / "in/noise.png", noise)
    assert (pixels(load(tmp_path, tmp_path / "in"))[0] == noise).all()


def test_enlarging_is_said_when_it_is_common(tmp_path: Path) -> None:
    for i in range(12):
        write(tmp_path / f"in/{i}.png", plain(90, 10 if i == 0 else 20, 20))
    said = Said()
    found = load(tmp_path, tmp_path / "in", said=said)
    assert (pixels(found) == 90).all() and "enlarged" not in said.text
    write(tmp_path / "in/12.png", plain(90, 10, 20))
    load(tmp_path, tmp_path / "in", said=(said := Said()))
    assert "2 of 13 pictures are smaller than 16 px" in said.text


def jpeg_with_orientation(path: Path, picture: np.ndarray, orientation: int) -> None:
    image, exif = Image.fromarray(picture), Image.Exif()
    exif[0x0112] = orientation
    image.save(path, quality=95, exif=exif)


def test_kinds_of_pictures(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    deep = np.full((PX, PX), 0x8000, np.uint16)
    half = np.zeros((64, 64, 3), np.uint8)
    half[:32] = 255  # white above; orientation 3 turns it upside down
    write(folder / "a16.png", deep)
    write(folder / "brgba.png", np.dstack([plain(200), np.full((PX, PX), 255, np.uint8)]))
    write(folder / "cgrey.png", plain(60)[..., 0])
    jpeg_with_orientation(folder / "dturned.jpg", half, 3)
    sixteen, rgba, grey, turned = pixels(load(tmp_path, folder))
    assert (sixteen == 128).all() and (rgba == 200).all() and (grey == 60).all()
    assert turned[:6].mean() < 10 and turned[-6:].mean() > 245


def huge_png(side: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def test_hostile_files_cost_nothing_but_themselves(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    write(folder / "good0.png", plain(11))
    write(folder / "good1.png", plain(22))
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = cv2.imencode(".jpg", noise)[1].tobytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("not a picture\n" * 50)
    (folder / "empty.png").touch()
    (folder / "huge.png").write_bytes(huge_png(60_000))
    (folder / "film.jpg").write_bytes(b"\0\0\0\x20ftypisom" + bytes(100))
    write(folder / "dot.png", plain(1, 1, 1))
    names = sorted(path.name for path in folder.iterdir())
    os.mkfifo(folder / "pipe.png")
    (folder / "folder.png").mkdir()
    rows = [Item(folder / name, 0) for name in [*names, "pipe.png", "folder.png", "gone.png", "nul\0.png"]]
    write_manifest(tmp_path / "m.csv", rows)
    said = Said()
    pictures = load(tmp_path, tmp_path / "m.csv", said=said)
    assert grey_values(pictures) == [11, 22]
    assert pictures.missed == {"unreadable": 9, "too small": 1}
    assert "9 left out, unreadable: cut.jpg (damaged: " in said.text and "and 4 more" in said.text
    assert "1 left out, too small: dot.png (1 x 1 pixels)" in said.text


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.csv", [Item(tmp_path / "gone.png", 0)])
    with pytest.raises(ManifestError, match="no file gave a picture"):
        load(tmp_path, tmp_path / "m.csv")


# Faces


class Finder:
    """Says that a face of FACE_PX pixels lies where the picture is brightest; black pictures have none."""

    name = "finder"
    min_confidence = 0.5
    face_px = 32

    def detect(self, frames):
        found = []
        for frame in frames:
            ys, xs = np.nonzero(frame[..., 0] > 150)
            reference = np.array([[69, 63], [160, 64], [114, 107], [77, 165], [151, 164]]) / 224.0
            points = (np.array([xs.min(), ys.min()]) if len(xs) else 0) + reference * self.face_px
            box = np.array([*points.min(0), *points.max(0)], np.float32)
            found.append([Face(box, points.astype(np.float32), 0.99)] if len(xs) else [])
        return found

    def refine(self, frames, boxes):
        return None


def spot(left: int, top: int, height: int = 100, width: int = 160) -> np.ndarray:
    """A bright square of 32 px with a dark red rest."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = 90
    picture[top : top + 32, left : left + 32] = 255
    return picture


@pytest.mark.parametrize("cache_gb", [8, 0])
def test_faces_are_cropped_in_scenes_and_left_in_crops(tmp_path: Path, cache_gb: float) -> None:
    folder = tmp_path / "in"
    rows = [
        Item(write(folder / "a.png", spot(10, 50)), 0, view="scene"),
        Item(write(folder / "b.png", plain(0)), 0, view="scene"),
        Item(write(folder / "c.png", plain(77, 40, 40)), 0, view="face"),
        Item(write(folder / "d.png", spot(120, 3)), 0, view="scene"),
    ]
    write_manifest(folder / "manifest.csv", rows)
    said = Said()
    pictures = load(tmp_path, folder, faces=True, detector=Finder(), cache_gb=cache_gb, said=said)
    first, crop, last = pixels(pictures)
    assert first.min() == 255 and last.min() == 255 and (crop == 77).all()
    assert pictures.view == "face" and pictures.missed == {"without a face": 1}
    assert "1 left out, without a face: b.png" in said.text
    assert load(tmp_path, folder, detector=Finder()).view == "scene"  # not asked for: nobody looks for faces
    assert len(load(tmp_path, folder, detector=Finder())) == 4


def test_rows_that_are_faces_need_no_detector(tmp_path: Path) -> None:
    rows = [Item(write(tmp_path / f"{i}.png", plain(i)), 0, view="face") for i in range(2)]
    write_manifest(tmp_path / "m.csv", rows)
    assert load(tmp_path, tmp_path / "m.csv").view == "face"


def test_a_face_is_found_in_a_portrait(tmp_path: Path, portrait: np.ndarray) -> None:
    write(tmp_path / "in/portrait.png", portrait)
    face = load(tmp_path, tmp_path / "in", px=64, faces=True)
    assert face.view == "face"
    expected = cv2.resize(
        portrait[50:180, 165:285], (64, 64), interpolation=cv2.INTER_AREA
    )  # by hand, roughly the face
    middle = cv2.resize(portrait, (64, 64), interpolation=cv2.INTER_AREA)
    found = pixels(face)[0].astype(float)
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > np.corrcoef(found.ravel(), middle.ravel())[0, 1] + 0.2


# Classes


def test_classes_by_column_and_extra_column(tmp_path: Path, manifest: Path) -> None:
    by_identity = load(tmp_path, manifest, class_by="identity")
    assert by_identity.class_names == ("anna", "bert") and by_identity.labels.tolist() == [1, 0, 1, 0]
    assert by_identity.labels.dtype == np.int64
    by_camera = load(tmp_path, manifest, class_by="camera")
    assert by_camera.class_names == ("x", "y") and by_camera.labels.tolist() == [0, 0, 1, 1]
    by_label = load(tmp_path, manifest, class_by="label", label="any")
    assert by_label.class_names == ("0", "1") and by_label.labels.tolist() == [0, 0, 0, 0, 1, 1]


def test_classes_by_folder(tmp_path: Path) -> None:
    for i, name in enumerate(["zoo/deep/1.png", "zoo/2.png", "ant/3.png", "ant/4.png", "5.png", "6.png"]):
        write(tmp_path / "in" / name, plain(i))
    said = Said()
    pictures = load(tmp_path, tmp_path / "in", class_by="folder", said=said)
    assert pictures.class_names == ("ant", "unnamed", "zoo")
    assert pictures.labels.tolist() == [1, 1, 0, 0, 2, 2]
    assert "2 pictures have no folder" in said.text


def test_small_classes_are_named(tmp_path: Path, manifest: Path) -> None:
    with pytest.raises(ManifestError, match=r"3 of 4 classes have fewer than 2 pictures: dev, test, unnamed"):
        load(tmp_path, manifest, class_by="split", split="any")


def test_a_class_that_loses_its_pictures_is_named(tmp_path: Path) -> None:
    for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png"):
        write(tmp_path / "in" / name, plain(5))
    (tmp_path / "in/b/2.png").write_text("damaged")
    with pytest.raises(ManifestError, match="1 of 2 classes have fewer than 2 pictures: b"):
        load(tmp_path, tmp_path / "in", class_by="folder")


def test_a_column_that_does_not_exist(tmp_path: Path, manifest: Path) -> None:
    with pytest.raises(UsageError, match="'hair'") as caught:
        load(tmp_path, manifest, class_by="hair")
    assert caught.value.hint == "classes can be by: none, folder, label, identity, split, view, camera"


# In memory


def test_pictures_of_an_array() -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3), np.uint8)
    pictures = pictures_of(array)
    batch = pictures.batch(np.array([3, 0, 3]))
    assert len(pictures) == 5 and pictures.px == 8 and np.array_equal(batch, array[[3, 0, 3]])
    batch[:] = 0
    assert np.array_equal(pixels(pictures), array)
    assert pictures.sha256 == pictures_of(array.copy()).sha256 != pictures_of(array[::-1]).sha256
