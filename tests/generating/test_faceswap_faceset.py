"""A folder of faces: what is written comes back, splits are blocks of time, a stranger's folder cannot lead elsewhere."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from forensics.common.errors import ManifestError, UsageError
from generators.faceswap.alignment import TEMPLATE
from generators.faceswap.extraction.faceset import (
    RECORD,
    ClipRow,
    FaceRow,
    FaceSetRecord,
    claim,
    file_name,
    read_face_set,
    read_record,
    splits,
    write_record,
)
from generators.pictures import write_png

SHA = "ab" * 32


def clip_row(sha256: str = SHA, name: str = "drawn.mp4") -> ClipRow:
    return ClipRow(
        name=name, sha256=sha256, width=640, height=480, frames=3, duration_s=0.12, mean_fps=25.0, is_complete=True,
        errors=(), options={"fps": None}, detector="colours", version="1", tracks=(),
    )  # fmt: skip


def face_row(frame: int, split: str | None = "train", sha256: str = SHA, **changes) -> FaceRow:
    landmarks = tuple((x / 2 + 100, y / 2 + 60) for x, y in TEMPLATE.tolist())
    row = {
        "clip": sha256, "frame": frame, "timestamp_s": frame / 25, "track": 1, "box": (100, 60, 228, 188),
        "landmarks": landmarks, "confidence": 0.99, "yaw_deg": 0.0, "roll_deg": 0.0, "sharpness": 12.5,
        "file": file_name(sha256, frame, 1) if split else None, "left_out": None if split else "blurred", "split": split,
    }  # fmt: skip
    return FaceRow(**(row | changes))


def flat(level: int) -> np.ndarray:
    return np.full((256, 256, 3), level, np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two faces to train on, one held out, one left out."""
    rows = (face_row(0), face_row(1, None), face_row(2), face_row(3, "held_out"))
    for row in rows:
        if row.file:
            write_png(tmp_path / row.file, flat(10 * row.frame + 50))
    write_record(tmp_path, FaceSetRecord(clips=(clip_row(),), faces=rows))
    return tmp_path


def changed(folder: Path, change) -> Path:
    """The folder with its record changed as raw JSON."""
    raw = json.loads((folder / RECORD).read_text())
    change(raw)
    (folder / RECORD).write_text(json.dumps(raw))
    return folder


def test_what_is_written_comes_back(folder: Path) -> None:
    faces = read_face_set(folder)
    assert [row.frame for row in faces.rows] == [0, 2, 3]
    assert faces.pictures("train")[:, 0, 0, 0].tolist() == [50, 70]
    assert faces.pictures("train").shape == (2, 256, 256, 3)
    assert faces.pictures("held_out")[:, 5, 5].tolist() == [[80, 80, 80]]
    # Half the template's size anywhere in the frame: in the aligned picture, the template itself.
    np.testing.assert_allclose(faces.landmarks("train"), np.stack([TEMPLATE] * 2), atol=1e-6)
    before = (folder / RECORD).read_bytes()
    write_record(folder, faces.record)
    assert (folder / RECORD).read_bytes() == before


def test_fingerprint_follows_what_training_sees(folder: Path) -> None:
    first = read_face_set(folder).sha256
    assert read_face_set(folder).sha256 == first
    changed(folder, lambda raw: raw["clips"][0].update(name="renamed.mp4"))
    assert read_face_set(folder).sha256 == first
    write_png(folder / file_name(SHA, 2, 1), flat(99))
    second = read_face_set(folder).sha256
    changed(folder, lambda raw: raw["faces"][0].update(split="held_out"))
    assert len({first, second, read_face_set(folder).sha256}) == 3


def test_splits_are_blocks_of_time() -> None:
    times = [i / 4 for i in range(48)]
    found = splits(times, 12.0)
    held_out = [time for time, split in zip(times, found, strict=True) if split == "held_out"]
    assert held_out == [2, 2.25, 2.5, 2.75, 7, 7.25, 7.5, 7.75]
    # Short, or nothing in a third second: the last fifth.
    assert splits([0, 0.5, 1, 1.5, 2.2], 2.4) == ["train"] * 4 + ["held_out"]
    assert splits([10.0 + i / 100 for i in range(11)], 60.0) == ["train"] * 9 + ["held_out"] * 2
    assert splits([0.0], 0.0) == ["train"]
    assert splits([], 9.0) == []


@pytest.mark.parametrize(
    "file",
    [
        "../secret.png",
        "/etc/passwd",
        "faces/../../x.png",
        "faces/abababab-000000-1.png\n",
        "faces\\abababab-000000-1.png",
    ],
)
def test_a_path_out_of_the_folder_is_refused(folder: Path, file: str) -> None:
    changed(folder, lambda raw: raw["faces"][0].update(file=file))
    with pytest.raises(ManifestError, match="not a set of faces"):
        read_face_set(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    write_png(secret, flat(1))
    picture = folder / file_name(SHA, 0, 1)
    picture.unlink()
    picture.symlink_to(secret)
    faces = read_face_set(folder)
    for use in (lambda: faces.pictures("train"), lambda: faces.sha256):
        with pytest.raises(ManifestError, match="outside"):
            use()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw.update(format="forensics-faceset-9"), "format"),
        (lambda raw: raw.update(more=1), "more"),
        (lambda raw: raw["faces"][0].update(landmarks=[[0, 0]] * 4), "landmarks"),
        (lambda raw: raw["faces"][0].update(box=[0, 0, float("nan"), 1]), "box"),
        (lambda raw: raw["faces"][0].update(left_out="blurred"), "reason"),
        (lambda raw: raw["faces"].append(raw["faces"][0]), "twice"),
        (lambda raw: raw["faces"][0].update(clip="cd" * 32), "not there"),
        (lambda raw: raw["clips"][0].update(sha256="../" * 20), "sha256"),
    ],
)
def test_a_hostile_record_is_one_line(folder: Path, change, message: str) -> None:
    with pytest.raises(ManifestError, match=message) as caught:
        read_face_set(changed(folder, change))
    assert "\n" not in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 5000, b"null"])
def test_what_is_no_record_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / RECORD).write_bytes(content)
    with pytest.raises(ManifestError, match="not a set of faces"):
        read_face_set(tmp_path)


def test_odd_pictures_are_errors(folder: Path) -> None:
    path = folder / file_name(SHA, 0, 1)
    write_png(path, np.zeros((128, 256, 3), np.uint8))
    with pytest.raises(ManifestError, match="256 x 128"):
        read_face_set(folder).pictures("train")
    write_png(path, np.zeros((300, 300, 3), np.uint8))
    with pytest.raises(ManifestError, match="more than the limit"):
        read_face_set(folder).pictures("train")
    path.write_bytes(b"\x89PNG\r\n\x1a\n cut off")
    with pytest.raises(ManifestError, match=path.name):
        read_face_set(folder).pictures("train")
    path.unlink()
    with pytest.raises(ManifestError, match=path.name):
        read_face_set(folder).pictures("train")
    with pytest.raises(ManifestError, match="cannot read"):
        _ = read_face_set(folder).sha256


def test_landmarks_that_coincide_are_an_error(folder: Path) -> None:
    changed(folder, lambda raw: raw["faces"][0].update(landmarks=[[5, 5]] * 5))
    with pytest.raises(ManifestError, match="coincide"):
        read_face_set(folder).landmarks("train")


def test_no_set_and_an_empty_set(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"holds no alignments\.json"):
        read_face_set(tmp_path)
    write_record(tmp_path, FaceSetRecord())
    with pytest.raises(ManifestError, match="holds no faces"):
        read_face_set(tmp_path)


def test_a_set_grows_and_shrinks_by_clips(folder: Path) -> None:
    record = read_record(folder)
    assert record is not None
    other = "cd" * 32
    grown = record.extended(clip_row(other), [face_row(0, sha256=other)])
    assert [clip.sha256 for clip in grown.clips] == [SHA, other]
    assert len(grown.faces_of(SHA)) == 4
    assert grown.without(other) == record
    assert len(grown.extended(clip_row(other), []).faces) == 4
    with pytest.raises(ValueError, match="twice"):
        record.extended(clip_row(SHA[:8] + "0" * 56), [])


def test_whose_folder_it_is(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert len(claim(folder, overwrite=False).faces) == 4
    foreign = tmp_path_factory.mktemp("foreign")
    (foreign / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"thesis\.tex"):
        claim(foreign, overwrite=False)
    assert claim(foreign, overwrite=True) == FaceSetRecord()
    with pytest.raises(UsageError, match="is a file"):
        claim(foreign / "thesis.tex", overwrite=True)
    (foreign / RECORD).write_text("{}}")
    with pytest.raises(UsageError, match="not a set"):
        claim(foreign, overwrite=False)
    # A run that was killed in its first clip leaves no record, only its hidden folder.
    begun = tmp_path_factory.mktemp("begun")
    (begun / ".pending-abababab").mkdir()
    assert claim(begun, overwrite=False) == FaceSetRecord()


def test_what_is_no_face_is_not_hashed(folder: Path) -> None:
    picture = folder / file_name(SHA, 0, 1)
    picture.write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(ManifestError, match="larger than a face"):
        _ = read_face_set(folder).sha256
    picture.unlink()
    os.mkfifo(picture)
    with pytest.raises(ManifestError, match="no regular file"):
        _ = read_face_set(folder).sha256
