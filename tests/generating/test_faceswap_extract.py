"""Clips to a set of faces: what is kept, what is left out and why, what a second and a stopped run do."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from faceswap_clips import GREEN, RED, ColourDetector, blank, draw_face, moving_person, write_frames

from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file
from forensics.media.image import read_image
from forensics.perturb.clip import recompress_clip
from generators.faceswap.alignment import TEMPLATE
from generators.faceswap.cli.extract import command
from generators.faceswap.extraction.contact import CAPTION_PX, CELL_PX, COLUMNS, contact_sheet, evenly
from generators.faceswap.extraction.extract import LOCK, extract, tracks_sheet
from generators.faceswap.extraction.extract_config import ExtractConfig
from generators.faceswap.extraction.extract_outcome import NothingExtractedError, as_lines
from generators.faceswap.extraction.faceset import FaceSet, read_face_set
from generators.faceswap.locks import locked

CONFIG = ExtractConfig(threads=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def reasons(faces: FaceSet) -> dict[int, str]:
    return {row.frame: row.left_out for row in faces.record.faces if row.left_out}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    write_frames(folder / "red.mp4", moving_person(30))
    write_frames(folder / "green.mp4", moving_person(20, GREEN))
    both = []
    for index in range(10):
        frame = blank()
        draw_face(frame, 10 + index, 20, 60, RED, index)
        draw_face(frame, 130, 30 + index, 90, GREEN, index)
        both.append(frame)
    write_frames(folder / "both.mp4", both)
    write_frames(folder / "empty.mp4", [blank()] * 5)
    (folder / "broken.mp4").write_bytes(b"not a clip at all")
    return folder


@pytest.fixture(scope="module")
def red(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceSet:
    """The set of one clip; tests do not change it."""
    return extract([clips / "red.mp4"], tmp_path_factory.mktemp("red"), CONFIG, detector=ColourDetector()).faces


def test_faces_lie_where_the_template_has_them(red: FaceSet) -> None:
    assert len(red.rows) == 30
    assert len(red.of("held_out")) == 6  # of 1.2 s: the last fifth
    pictures = np.concatenate([red.pictures("train"), red.pictures("held_out")])
    landmarks = np.concatenate([red.landmarks("train"), red.landmarks("held_out")])
    np.testing.assert_allclose(landmarks, np.broadcast_to(TEMPLATE, landmarks.shape), atol=2)
    for x, y in TEMPLATE[:2].round().astype(int):
        # Eyes are a third as bright as the skin around.
        assert (pictures[:, y, x, 0] < 0.6 * RED[0]).all()
    left, right = pictures[:, 128, 30, 0], pictures[:, 128, 4, 0]
    assert (abs(left.astype(int) - RED[0]) < 25).all()
    assert (abs(right.astype(int) - 128) < 25).all()


def test_the_record_says_where_each_picture_is_from(red: FaceSet, clips: Path) -> None:
    clip = red.record.clips[0]
    assert clip.sha256 == sha256_of_file(clips / "red.mp4")
    assert (clip.name, clip.width, clip.height, clip.frames) == ("red.mp4", 240, 160, 30)
    assert clip.mean_fps == pytest.approx(25, abs=0.1)
    assert clip.is_complete
    assert [(track.track, track.is_chosen) for track in clip.tracks] == [(1, True)]
    assert clip.options["min_face_px"] == 48
    for row in red.rows:
        assert row.file == f"faces/{clip.sha256[:8]}-{row.frame:06d}-1.png"
        assert row.timestamp_s == pytest.approx(row.frame / 25, abs=1e-3)
        assert row.box[0] == pytest.approx(20 + row.frame % 40, abs=3)
    assert {p.name for p in red.folder.iterdir()} == {"alignments.json", "contact.png", "faces"}


def test_a_second_run_is_the_same_and_decodes_nothing(clips: Path, tmp_path: Path, red: FaceSet) -> None:
    detector = ColourDetector()
    extract([clips / "red.mp4"], tmp_path / "set", CONFIG, detector=detector)
    before, calls = contents(tmp_path / "set"), detector.calls
    assert before == contents(red.folder)
    again = extract([clips / "red.mp4"], tmp_path / "set", CONFIG, detector=detector)
    assert again.outcomes[0].is_known
    assert detector.calls == calls > 0
    assert contents(tmp_path / "set") == before
    # A picture that is gone is made again.
    (tmp_path / "set" / str(red.rows[3].file)).unlink()
    assert not extract([clips / "red.mp4"], tmp_path / "set", CONFIG, detector=detector).outcomes[0].is_known
    assert contents(tmp_path / "set") == before


def test_other_clips_extend_and_other_options_replace(clips: Path, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    extract([clips / "red.mp4"], folder, CONFIG, detector=ColourDetector())
    both = extract([clips / "green.mp4"], folder, CONFIG, detector=ColourDetector()).faces
    assert [clip.name for clip in both.record.clips] == ["red.mp4", "green.mp4"]
    assert len(both.rows) == 50
    fewer = CONFIG.model_copy(update={"max_faces": 7})
    replaced = extract([clips / "red.mp4"], folder, fewer, detector=ColourDetector()).faces
    assert len(replaced.rows) == 27
    on_disk = {f"faces/{path.name}" for path in (folder / "faces").iterdir()}
    assert on_disk == {row.file for row in replaced.rows}
    assert list(reasons(replaced).values()) == ["surplus"] * 23
    frames = [row.frame for row in replaced.rows if row.clip == sha256_of_file(clips / "red.mp4")]
    assert (frames[0], frames[-1]) == (0, 29)


def test_the_largest_person_or_who_is_asked_for(clips: Path, tmp_path: Path) -> None:
    largest = extract([clips / "both.mp4"], tmp_path / "a", CONFIG, detector=ColourDetector())
    assert largest.outcomes[0].left_out == (("other_track", 10),)
    green = largest.faces.picture(largest.faces.rows[0])[128, 30]
    assert np.abs(green.astype(int) - GREEN).max() < 30
    sheet = read_image(largest.faces.folder / tracks_sheet(largest.faces.record.clips[0].sha256))
    assert sheet.shape[1] == 2 * CELL_PX + 2
    text = "\n".join(as_lines(largest))
    assert "10 faces kept" in text
    assert "1 other track" in text
    other = next(track.track for track in largest.faces.record.clips[0].tracks if not track.is_chosen)
    chosen = CONFIG.model_copy(update={"track": (str(other),)})
    asked = extract([clips / "both.mp4"], tmp_path / "b", chosen, detector=ColourDetector()).faces
    assert np.abs(asked.picture(asked.rows[0])[128, 30].astype(int) - RED).max() < 30
    everybody = CONFIG.model_copy(update={"track": ("all",)})
    assert len(extract([clips / "both.mp4"], tmp_path / "c", everybody, detector=ColourDetector()).faces.rows) == 20


@pytest.mark.parametrize(
    ("track", "names", "message"),
    [
        (("9",), ["both.mp4"], "no track 9"),
        (("-1",), ["both.mp4"], "is no track"),
        (("1",), ["red.mp4", "both.mp4"], "one clip"),
    ],
)
def test_wishes_that_cannot_be_met(clips: Path, tmp_path: Path, track: tuple, names: list[str], message: str) -> None:
    config = CONFIG.model_copy(update={"track": track})
    with pytest.raises(UsageError, match=message):
        extract([clips / name for name in names], tmp_path / "set", config, detector=ColourDetector())


def test_blurred_small_and_cut_off_faces_are_left_out(tmp_path: Path) -> None:
    frames = moving_person(30)
    for index in (5, 6, 17):
        frames[index] = cv2.GaussianBlur(frames[index], (0, 0), 4)
    small, outside = blank(), blank()
    draw_face(small, 30, 40, 32, RED)
    draw_face(outside, -30, 30, 90, RED)
    clip = write_frames(tmp_path / "clip.mp4", [*frames, small, outside])
    faces = extract([clip], tmp_path / "set", CONFIG.model_copy(update={"track": ("all",)}), detector=Drawn()).faces
    assert reasons(faces) == {5: "blurred", 6: "blurred", 17: "blurred", 30: "too_small", 31: "cut_off"}
    assert [row.frame for row in faces.record.faces] == list(range(32))
    kept = CONFIG.model_copy(update={"track": ("all",), "keep_blurred": True, "min_face_px": 16.0})
    assert reasons(extract([clip], tmp_path / "set", kept, detector=Drawn()).faces) == {31: "cut_off"}


class Drawn(ColourDetector):
    """As ColourDetector, but knows how far a face that touches the left edge goes on outside."""

    def _faces(self, frame):
        faces = super()._faces(frame)
        for face in faces:
            height = face.box[3] - face.box[1]
            if face.box[0] < 1:
                shift = height - (face.box[2] - face.box[0])
                face.landmarks[:, 0] = (face.landmarks[:, 0] - face.box[0]) * height / (height - shift) - shift
                face.box[0] -= shift
        return faces


def test_of_a_person_at_rest_ten_a_second_stay(tmp_path: Path) -> None:
    still = moving_person(1)[0]
    clip = write_frames(tmp_path / "still.mp4", [*[still] * 25, *moving_person(10)])
    faces = extract([clip], tmp_path / "set", CONFIG, detector=ColourDetector()).faces
    at_rest = [row for row in faces.rows if row.frame < 25]
    assert 8 <= len(at_rest) <= 10  # 1 s; every third frame of 25 a second
    assert sum(row.frame >= 25 for row in faces.rows) >= 9
    assert set(reasons(faces).values()) == {"near_duplicate"}
    everything = CONFIG.model_copy(update={"keep_duplicates": True})
    assert len(extract([clip], tmp_path / "set", everything, detector=ColourDetector()).faces.rows) == 35


def test_a_bad_clip_costs_only_itself(clips: Path, tmp_path: Path) -> None:
    named = [clips / name for name in ("broken.mp4", "empty.mp4", "green.mp4", "missing.mp4")]
    result = extract(named, tmp_path / "set", CONFIG, detector=ColourDetector())
    assert result.exit_status == 3
    assert [outcome.kept for outcome in result.outcomes] == [0, 0, 20, 0]
    assert "no face in 5 frames" in "\n".join(as_lines(result))
    assert [clip.name for clip in result.faces.record.clips] == ["green.mp4"]


def test_no_face_at_all_is_an_error(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingExtractedError, match="no face in 5 frames, and nothing from 1 other clip") as caught:
        extract([clips / "empty.mp4", clips / "broken.mp4"], tmp_path / "set", CONFIG, detector=ColourDetector())
    assert caught.value.exit_status == 4
    assert caught.value.hint
    assert not (tmp_path / "set").exists()
    strict = CONFIG.model_copy(update={"min_face_px": 500.0})
    with pytest.raises(NothingExtractedError, match="all faces were left out: 30 too small"):
        extract([clips / "red.mp4"], tmp_path / "set", strict, detector=ColourDetector())


def test_a_stopped_run_leaves_whole_clips_and_goes_on(clips: Path, tmp_path: Path) -> None:
    named, folder = [clips / "green.mp4", clips / "red.mp4"], tmp_path / "set"
    with pytest.raises(KeyboardInterrupt):
        extract(named, folder, CONFIG, detector=ColourDetector(fails_after=35))
    assert [clip.name for clip in read_face_set(folder).record.clips] == ["green.mp4"]
    assert len(list((folder / "faces").iterdir())) == 20
    assert not list(folder.glob(".*"))
    # What a kill leaves, too: a hidden folder, a picture that was moved before the record was written.
    (folder / ".pending-abababab").mkdir()
    (folder / "faces" / "abababab-000001-1.png").write_bytes(b"half")
    (folder / "faces" / "notes.txt").write_text("mine")
    result = extract(named, folder, CONFIG, detector=ColourDetector())
    assert [outcome.is_known for outcome in result.outcomes] == [True, False]
    (folder / "faces" / "notes.txt").unlink()
    whole = tmp_path / "whole"
    extract(named, whole, CONFIG, detector=ColourDetector())
    assert contents(folder) == contents(whole)


def test_a_foreign_folder_is_not_touched(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "mine.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="no extraction wrote"):
        extract([clips / "red.mp4"], tmp_path, CONFIG, detector=ColourDetector())
    extract([clips / "red.mp4"], tmp_path, CONFIG, overwrite=True, detector=ColourDetector())
    assert (tmp_path / "faces" / "mine.png").read_bytes() == b"mine"


def test_two_runs_do_not_write_one_folder(clips: Path, tmp_path: Path) -> None:
    with locked(tmp_path / LOCK), pytest.raises(UsageError, match="another extraction is running"):
        extract([clips / "missing.mp4"], tmp_path, detector=ColourDetector())


def test_what_the_file_system_says_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("generators.faceswap.extraction.extract._extract", full)
    with pytest.raises(UsageError, match="No space left"):
        extract([], tmp_path)


def test_contact_sheet_is_even_and_small() -> None:
    assert evenly(5) == [0, 1, 2, 3, 4]
    assert len(evenly(1000)) == 120
    assert (evenly(1000)[0], evenly(1000)[-1]) == (0, 999)
    assert evenly(0) == []
    sheet = contact_sheet([np.full((256, 256, 3), level, np.uint8) for level in range(13)], ["x"] * 13)
    assert sheet.shape == (2 * (CELL_PX + CAPTION_PX) + 2, COLUMNS * (CELL_PX + 2) - 2, 3)
    assert sheet[CELL_PX + CAPTION_PX + 2, 0].tolist() == [12, 12, 12]


def test_command(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generators.faceswap.extraction.extract.load_face_detector", lambda *_: ColourDetector())
    arguments = [str(clips / "green.mp4"), "--output", str(tmp_path / "set"), "--quiet", "--threads", "1"]
    shown = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert (shown.exception, shown.return_value) == (None, 0)
    assert "green.mp4: 20 faces kept, 4 of them held out\n  left out: none\n" in shown.stdout
    as_json = CliRunner().invoke(
        command, [*arguments, str(clips / "empty.mp4"), "--format", "json"], standalone_mode=False
    )
    assert as_json.return_value == 3
    result = json.loads(as_json.stdout)
    assert [(clip["kept"], clip["is_known"]) for clip in result["clips"]] == [(20, True), (0, False)]
    assert result["sha256"] == read_face_set(tmp_path / "set").sha256
    wrong = CliRunner().invoke(command, [*arguments, "--fps", "0"], standalone_mode=False)
    assert isinstance(wrong.exception, UsageError)


def test_a_photographed_face_by_the_default_detector(portrait: np.ndarray, tmp_path: Path) -> None:
    """The astronaut, moved about: MTCNN's landmarks put her eyes where the template has them."""
    pytest.importorskip("facenet_pytorch", reason="the default face detector is not installed")
    frames = [np.ascontiguousarray(np.roll(portrait, (2 * i, 5 * i), (0, 1))) for i in range(9)]
    clip = tmp_path / "astronaut.mp4"
    recompress_clip(((i / 25, frame) for i, frame in enumerate(frames)), clip, crf=18, preset="ultrafast")
    faces = extract([clip], tmp_path / "set", CONFIG.model_copy(update={"keep_duplicates": True})).faces
    assert len(faces.rows) == 9
    assert faces.record.clips[0].detector == "mtcnn"
    moved = [np.array(row.landmarks).mean(0) for row in faces.rows]
    np.testing.assert_allclose(np.diff(moved, axis=0), np.broadcast_to([5, 2], (8, 2)), atol=2.5)
    assert np.abs(faces.landmarks("train") - TEMPLATE).max() < 15
    assert max(abs(row.yaw_deg) for row in faces.rows) < 25
    steady = faces.pictures("train").astype(float)
    assert np.abs(steady[0] - steady[-1]).mean() < 12  # the same face at the same place
