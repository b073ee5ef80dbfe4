"""`forensics bench explain` on drawn fakes whose masks are known, with a detector whose heatmaps are known."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from eval.cli.explain import command
from eval.explanations import blends, judging, run
from eval.explanations.blends import blended, crop_landmarks
from eval.explanations.config import ExplainConfig
from eval.explanations.faces import MaskedFace
from eval.explanations.judging import Explained, could_not_be_measured
from eval.explanations.results import ExplanationResults
from eval.explanations.run import limited, run_explanations
from forensics.common.errors import DetectorError, UsageError
from forensics.common.manifest import Item
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.detectors.model_set import load_model_set
from forensics.detectors.protocol import Explainer
from forensics.faces.canonical import REFERENCE_LANDMARKS
from forensics.faces.types import Face

QUIET = Progress(quiet=True)
SIDE = 64


class RedDetector:
    """Score: the largest share of red in the crop; heatmap: where the picture is red, or one corner."""

    name = "cnn"
    description = "knows red"
    looks_away = False

    def score(self, crops):
        return np.array([min(1.0, float((crop[..., 0] > 200).mean() * 4)) for crop in crops])

    def explain(self, crops):
        if self.looks_away:
            heat = np.zeros((8, 8), np.float32)
            heat[7, 7] = 1
            return [heat] * len(crops)
        return [(crop[..., 0] > 200).astype(np.float32) for crop in crops]


class Faces:
    """Finds two faces side by side in every scene."""

    name = "told"
    min_confidence = 0.9

    def detect(self, frames):
        return [[self._face(0), self._face(SIDE)] if frame.shape[1] >= 2 * SIDE else [] for frame in frames]

    def refine(self, frames, boxes):
        return None

    @staticmethod
    def _face(left: int) -> Face:
        landmarks = (REFERENCE_LANDMARKS * SIDE + np.array([left, 0])).astype(np.float32)
        return Face(np.array([left, 0, left + SIDE, SIDE], np.float32), landmarks, 0.99)


@pytest.fixture(autouse=True)
def known_parts(monkeypatch):
    detector = RedDetector()
    monkeypatch.setattr(judging, "load_detector", lambda *_: detector)
    monkeypatch.setattr(run, "face_detector", lambda _device: Faces())
    return detector


def draw(folder: Path, name: str, box: tuple[int, int, int, int] | None, width: int = SIDE) -> np.ndarray:
    """A grey picture with a red box (left, top, right, bottom), and its mask beside it."""
    picture = rng_for(7, len(name)).integers(90, 110, (SIDE, width, 3)).astype(np.uint8)
    mask = np.zeros((SIDE, width), np.uint8)
    if box:
        left, top, right, bottom = box
        picture[top:bottom, left:right] = (255, 0, 0)
        mask[top:bottom, left:right] = 1  # any value but 0
    cv2.imwrite(str(folder / name), picture[..., ::-1])
    cv2.imwrite(str(folder / f"{Path(name).stem}.mask.png"), mask)
    return mask


def write_rows(folder: Path, rows: list[str]) -> Path:
    path = folder / "manifest.csv"
    path.write_text("\n".join(["path,label,generator,dataset,source,split,view,mask", *rows]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def drawn(tmp_path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    rows = []
    for number in range(4):
        draw(folder, f"f{number}.png", (8 + 8 * number, 16, 24 + 8 * number, 40))
        rows.append(f"f{number}.png,1,boxes,drawn,s{number},test,face,f{number}.mask.png")
    draw(folder, "plain.png", (8, 8, 30, 30))
    draw(folder, "real.png", None)
    rows += ["plain.png,1,boxes,drawn,s9,test,face,", "real.png,0,,drawn,s0,test,face,"]
    return write_rows(folder, rows)


def explain(data: Path, output: Path, **options) -> ExplanationResults:
    return run_explanations(ExplainConfig(draws=200, quiet=True, **options), [data], output, QUIET)


def test_a_detector_that_shows_what_was_altered_gets_full_marks(drawn, tmp_path):
    results = explain(drawn, tmp_path / "out")
    assert (results.n_fakes, results.n_without_mask) == (5, 1)
    assert results.detectors[0].outcomes == {"measured": 4}
    cell = next(cell for cell in results.cells if cell.calls == "all")
    assert (cell.dataset, cell.generator, cell.n, cell.n_clusters) == ("drawn", "boxes", 4, 4)
    for measure in (cell.pointing, cell.tolerant, cell.energy, cell.iou):
        assert measure.heatmap.value == pytest.approx(1)
        assert measure.heatmap.value > measure.centred.value
    assert cell.energy.chance.value == pytest.approx(16 * 24 / SIDE**2)
    assert cell.mask_share == pytest.approx(16 * 24 / SIDE**2)
    with (tmp_path / "out" / "explanations.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [f"f{number}.png" for number in range(4)]
    assert all(float(row["heatmap_energy"]) == pytest.approx(1) for row in rows)
    sheet = cv2.imread(str(tmp_path / "out" / "explanations.png"))
    assert sheet.shape == (136, 4 * 264, 3)


def test_one_that_looks_away_gets_none(drawn, tmp_path, known_parts):
    known_parts.looks_away = True
    cell = explain(drawn, tmp_path / "out").cells[0]
    assert (cell.pointing.heatmap.value, cell.tolerant.heatmap.value) == (0, 0)
    assert cell.iou.heatmap.value < 0.05  # the corner's cell is smaller than the mask: some of the cold pixels count
    assert cell.pointing.above_chance.value == pytest.approx(-cell.pointing.chance.value)
    assert cell.pointing.above_chance.high < 0


def test_the_same_command_writes_the_same_bytes(drawn, tmp_path):
    for name in ("one", "two"):
        explain(drawn, tmp_path / name, seed=3)
    for name in ("explanations.csv", "explanations.md", "explanations.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    first, second = (json.loads((tmp_path / name / "explanations.json").read_text()) for name in ("one", "two"))
    assert first["provenance"].pop("clock").keys() == second["provenance"].pop("clock").keys()
    assert first == second
    assert ExplanationResults.model_json_schema()["properties"]["cells"]


def test_the_face_that_is_most_suspicious_is_the_one_that_is_measured(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    draw(folder, "right.png", (SIDE + 16, 16, SIDE + 40, 48), 2 * SIDE)
    other = draw(folder, "left.png", (10, 10, 50, 50), 2 * SIDE)
    cv2.imwrite(str(folder / "left.mask.png"), np.roll(other, SIDE, axis=1))  # altered where the detector does not look
    draw(folder, "nobody.png", (8, 8, 30, 30))
    (folder / "torn.mask.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    draw(folder, "torn.png", (8, 8, 30, 30), 2 * SIDE)
    (folder / "torn.mask.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    draw(folder, "size.png", (8, 8, 30, 30), 2 * SIDE)
    cv2.imwrite(str(folder / "size.mask.png"), np.ones((SIDE, SIDE), np.uint8))
    draw(folder, "all.png", (0, 0, 2 * SIDE, SIDE), 2 * SIDE)
    names = ["right", "left", "nobody", "torn", "size", "all"]
    data = write_rows(folder, [f"{name}.png,1,boxes,drawn,{name},test,scene,{name}.mask.png" for name in names])
    results = explain(data, tmp_path / "out")
    assert results.detectors[0].outcomes == {
        "measured": 1, "all_altered": 1, "mask_mismatch": 1, "mask_unreadable": 1, "no_face": 1, "nothing_altered": 1,
    }  # fmt: skip
    cell = results.cells[0]
    assert cell.iou.heatmap.value == pytest.approx(1)
    assert cell.mask_share == pytest.approx(24 * 32 / SIDE**2)


def test_clips_are_measured_frame_by_frame_with_the_mask_of_that_moment(tmp_path, clip_writer):
    frames, masks = [], []
    for number in range(25):
        left = 8 + 2 * (number // 12)
        frame, mask = np.full((SIDE, SIDE, 3), 90, np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8)
        frame[16:48, left : left + 24], mask[16:48, left : left + 24] = (255, 0, 0), 255
        frames.append(frame)
        masks.append(mask)
    clip_writer(tmp_path / "c.mp4", frames)
    clip_writer(tmp_path / "c.mask.mp4", masks)
    clip_writer(tmp_path / "short.mask.mp4", masks[:5])
    clip_writer(tmp_path / "d.mp4", frames)
    rows = ["c.mp4,1,g,d,c,test,face,c.mask.mp4", "d.mp4,1,g,d,d,test,face,short.mask.mp4"]
    results = explain(write_rows(tmp_path, rows), tmp_path / "out", sample_fps=4.0)
    assert results.detectors[0].outcomes == {"measured": 1, "mask_mismatch": 1}
    with (tmp_path / "out" / "explanations.csv").open(encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert int(row["faces"]) >= 4
    assert float(row["heatmap_iou"]) > 0.8
    assert float(row["mask_share"]) == pytest.approx(24 * 32 / SIDE**2, rel=0.1)


def test_real_faces_blended_with_themselves(drawn, tmp_path, monkeypatch):
    seen = []

    def blend(crop, landmarks, rng):
        mask = np.zeros(crop.shape[:2], np.float32)
        top, left = rng.integers(4, 30, 2)
        mask[top : top + 20, left : left + 20] = 1
        fake = crop.copy()
        fake[mask > 0] = (255, 0, 0)
        seen.append((top, left, landmarks))
        return SimpleNamespace(real=crop, fake=fake, mask=mask)

    monkeypatch.setattr(blends, "self_blend", blend)
    config = ExplainConfig(draws=100, quiet=True, self_blends=drawn)
    results = run_explanations(config, [], tmp_path / "out", QUIET)
    assert (results.n_fakes, results.n_self_blends) == (0, 1)
    assert results.cells[0].generator == "self-blend"
    assert results.cells[0].iou.heatmap.value == pytest.approx(1)
    run_explanations(config, [], tmp_path / "again", QUIET)
    assert seen[0][:2] == seen[1][:2]
    # `Faces` sees one in the picture only once it has its border of half a side, and that is taken off again.
    assert np.allclose(seen[0][2], REFERENCE_LANDMARKS * SIDE - SIDE / 2, atol=1e-3)
    assert np.allclose(crop_landmarks(np.zeros((SIDE, SIDE, 3), np.uint8), None), REFERENCE_LANDMARKS * SIDE, atol=1e-3)


def test_the_blends_that_training_uses_differ_from_their_real_only_below_the_mask(portrait):
    crop = np.ascontiguousarray(portrait[60:240, 150:330])
    landmarks = (REFERENCE_LANDMARKS * 180).astype(np.float32)
    face = blended(crop, landmarks, rng_for(1, 2))
    assert face.crop.shape == crop.shape
    assert face.altered.shape == crop.shape[:2]
    assert 0.01 < face.altered.mean() < 1
    again = blended(crop, landmarks, rng_for(1, 2))
    assert np.array_equal(face.crop, again.crop)


@pytest.mark.parametrize("wrong", ["score", "range", "raise", "shape"])
def test_a_detector_that_fails_costs_its_item_only(wrong):
    class Broken(RedDetector):
        def score(self, crops):
            return np.array([2.0]) if wrong == "score" else super().score(crops)

        def explain(self, crops):
            if wrong == "raise":
                raise KeyError("nothing")
            return [np.full((4, 4), 3, np.float32) if wrong == "range" else np.zeros(4, np.float32)]

    crop, mask = np.zeros((32, 32, 3), np.uint8), np.eye(32, dtype=bool)
    judge = Explained("broken", 0.5, "", "", Broken())
    with pytest.raises(DetectorError, match="broken"):
        judge.judge([[MaskedFace(crop, mask)]])


def test_detectors_without_heatmaps_are_refused_with_a_hint(monkeypatch):
    model_set, folder = load_model_set()
    silent = SimpleNamespace(name="spectrum", description="", score=lambda crops: np.zeros(len(crops)))
    assert not isinstance(silent, Explainer)
    monkeypatch.setattr(judging, "load_detector", lambda *_: silent)
    for name in ("spectrum", "default", "mine.py"):
        with pytest.raises(UsageError) as caught:
            Explained.load(name, model_set, folder, None)
        assert "--detector cnn" in caught.value.hint


def test_a_limit_is_on_what_is_measured():
    items = [Item(Path(f"/x/{number}.png"), number % 2) for number in range(40)]
    config = ExplainConfig(limit=5)
    fakes = [place for place, item in enumerate(items) if item.label]
    assert len(limited(items, fakes, config)) == 5
    assert limited(items, fakes, config) == sorted(set(limited(items, fakes, config)) & set(fakes))
    assert limited(items, [], config) == []


def test_the_exit_status_is_of_failures_alone(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("good", "nobody", "torn"):
        draw(folder, f"{name}.png", (SIDE + 16, 16, SIDE + 40, 48), (1 if name == "nobody" else 2) * SIDE)
    row = "{0}.png,1,boxes,drawn,{0},test,scene,{0}.mask.png"

    def status(*names: str) -> int:
        data = write_rows(folder, [row.format(name) for name in names])
        arguments = [str(data), "-o", str(tmp_path / "-".join(names)), "-q", "--draws", "100"]
        return CliRunner().invoke(command, arguments, standalone_mode=False).return_value

    (folder / "torn.mask.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert [status("good", "nobody"), status("good", "torn"), status("nobody")] == [0, 3, 4]
    for outcome in Outcome:
        assert could_not_be_measured(str(outcome)) == (not outcome.analysed)
    assert "no failure" in CliRunner().invoke(command, ["--help"]).output


def test_a_sheet_of_an_earlier_run_does_not_stay(drawn, tmp_path):
    explain(drawn, tmp_path / "out")
    assert (tmp_path / "out" / "explanations.png").exists()
    for mask in drawn.parent.glob("*.mask.png"):
        mask.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    explain(drawn, tmp_path / "out")
    assert not (tmp_path / "out" / "explanations.png").exists()
    (tmp_path / "out" / "explanations.png").write_bytes(b"mine")
    with pytest.raises(UsageError, match="not written by this tool"):
        explain(drawn, tmp_path / "out")


def test_the_command_prints_figures_and_says_what_is_missing(drawn, tmp_path):
    arguments = [str(drawn), "-o", str(tmp_path / "out"), "-q", "--draws", "100"]
    done = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert done.exception is None
    assert done.return_value == 0
    assert "drawn / boxes" in done.output
    assert "1 of 5 fakes have no mask: left out" in done.output
    for arguments, message in (
        (["-o", str(tmp_path / "a")], "nothing to measure"),
        ([str(write_rows(drawn.parent, ["real.png,0,,drawn,s0,test,face,"])), "-o", str(tmp_path / "b")], "has a mask"),
    ):
        failed = CliRunner().invoke(command, [*arguments, "-q"], standalone_mode=False)
        assert isinstance(failed.exception, UsageError)
        assert message in failed.exception.message
