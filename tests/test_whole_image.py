"""Pictures without a face: judged by their tiles, with a calibration, words and a page of their own."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from eval.config import ScoringConfig
from eval.scoring import Scorer
from forensics.cli.scan import command as scan_command
from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file
from forensics.common.manifest import Item
from forensics.common.operating_point import OperatingPoint
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.detectors.bank import DetectorBank
from forensics.detectors.fingerprint import detector_fingerprint
from forensics.detectors.model_set import DEFAULT_FOLDER, Calibration, Domain, load_model_set
from forensics.detectors.protocol import Subject, logit, sigmoid
from forensics.detectors.spectrum import load as load_spectrum
from forensics.faces.canonical import crop_face, crop_surroundings, reduce_surroundings
from forensics.faces.still import detect_in_stills
from forensics.features.tiles import spread_tiles
from forensics.perturb import jpeg
from forensics.report.html import IndexEntry, render_index, render_page
from forensics.report.pictures import pixels_sha256
from forensics.report.summary import csv_text
from forensics.scan import STABILITY_JPEG_QUALITY, Scanner, ScanResult

WHOLE = Calibration(coefficients={"spectrum": 0.5}, intercept=0.25)
QUIET = Progress(quiet=True)


def point(fake: float = 0.9, real: float = 0.1) -> OperatingPoint:
    return OperatingPoint(
        threshold_fake=fake, threshold_real=real, test_set="drawn pictures", false_positive_rate=None,
        false_negative_rate=None, false_positive_rates={},
    )  # fmt: skip


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The shipped spectrum with a calibration for whole pictures: light, and its scores can be computed by hand."""
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(DEFAULT_FOLDER / "spectrum.safetensors", folder)
    model_set, _ = load_model_set()
    only = {"spectrum": model_set.weights["spectrum"]}
    assert sha256_of_file(folder / "spectrum.safetensors") == only["spectrum"].sha256
    changed = model_set.model_copy(
        update={
            "weights": only,
            "calibrations": {"spectrum": model_set.calibrations["spectrum"], "whole-image": WHOLE},
            "operating_points": {"spectrum": point(0.6, 0.4), "whole-image": point()},
        }
    )
    (folder / "model.json").write_text(changed.model_dump_json(), encoding="utf-8")
    return folder


def drawn(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.0 + seed), np.uint8)


def write(path: Path, picture: np.ndarray) -> Path:
    cv2.imwrite(str(path), picture[:, :, ::-1])
    return path


def scan(path: Path, weights: Path | None, explain: bool = False, **options) -> ScanResult:
    config = ScanConfig(weights=weights, device="cpu", threads=1, **{"view": "whole", **options})
    with Scanner(config) as scanner:
        assert scanner.faces is None
        return scanner.scan(path, explain=explain)


def tile_logits(picture: np.ndarray, weights: Path) -> np.ndarray:
    detector = load_spectrum(*load_model_set(weights), None)
    return logit(detector.score(spread_tiles(picture)))


def test_the_mean_over_the_tiles_is_calibrated(tmp_path: Path, weights: Path) -> None:
    picture = drawn(530, 800)
    result = scan(write(tmp_path / "a.png", picture), weights, explain=True)
    record = result.record
    raw = tile_logits(picture, weights)
    assert len(raw) == 6 and raw.std() > 0
    expected = float(0.25 + 0.5 * raw.mean())
    assert result.top_logits == pytest.approx({"whole-image": expected, "spectrum": raw.mean()})
    assert record.outcome is Outcome.SCORED
    assert record.verdict is not None
    assert record.verdict.probability == pytest.approx(float(sigmoid(np.array(expected))), abs=1e-5)
    assert record.verdict.operating_point == point()
    assert [(part.name, part.is_calibrated, part.weight) for part in record.detectors] == [
        ("whole-image", True, None),
        ("spectrum", False, 0.5),
    ]
    assert (record.input.view, record.schema_version) == ("whole", "1.2")
    (track,) = record.tracks
    (sample,) = track.samples
    assert sample.box == (0, 0, 800, 530)
    assert (sample.crop_px, sample.found_by) == (530, "given")
    # What is shown is the tile that weighs most, as it was analysed.
    strongest = spread_tiles(picture)[int(np.argmax(raw))]
    assert [moment.crop_sha256 for moment in record.moments] == [pixels_sha256(strongest)]
    assert np.array_equal(result.pictures[0].crop, strongest)
    assert record.moments[0].probability == pytest.approx(record.verdict.probability, abs=1e-6)


def test_a_clip_has_the_mean_over_its_samples(tmp_path: Path, weights: Path, clip_writer) -> None:
    clip = clip_writer(tmp_path / "a.mp4", [drawn(256, 300, seed=i % 3) for i in range(50)])
    result = scan(clip, weights)
    (log,) = result.logs
    assert len(log.samples) == 8
    assert np.ptp(log.logits["whole-image"]) > 0
    assert result.top_logits["whole-image"] == pytest.approx(np.mean(log.logits["whole-image"]))
    verdict = result.record.verdict
    assert verdict is not None and verdict.top_track == 1
    assert result.record.media is not None and result.record.media.kind == "video"
    shown = render_page(result.record, result.pictures)
    assert "The picture as a whole" in shown


def test_a_picture_that_is_too_small_has_no_score(tmp_path: Path, weights: Path) -> None:
    result = scan(write(tmp_path / "a.png", drawn(63, 300)), weights, explain=True)
    record = result.record
    assert (record.outcome, record.tracks, result.top_logits) == (Outcome.TOO_SMALL, [], {})
    assert record.message == "the picture is too small to be judged (300 x 63 pixels, from 64 on a side)"
    assert record.verdict is not None
    assert (record.verdict.label, record.verdict.probability) == ("inconclusive", None)
    assert scan(write(tmp_path / "b.png", drawn(64, 300)), weights).record.outcome is Outcome.SCORED


def test_a_range_of_whole_pictures_is_kept(tmp_path: Path, weights: Path) -> None:
    model_set, _ = load_model_set(weights)
    changed = model_set.model_copy(update={"whole_image_domain": Domain(min_crop_px=128, min_sharpness=0)})
    (weights / "model.json").write_text(changed.model_dump_json(), encoding="utf-8")
    record = scan(write(tmp_path / "a.png", drawn(100, 300)), weights).record
    assert record.outcome is Outcome.TOO_SMALL
    assert "the picture is smaller than the validated range (100 pixels, from 128)" in record.message
    prints = {detector_fingerprint("whole-image", one, weights) for one in (model_set, changed)}
    assert len(prints) == 2


@pytest.mark.parametrize(("intercept", "label"), [(20.0, "likely fake"), (0.0, "inconclusive"), (-20.0, "likely real")])
def test_no_word_of_the_page_is_about_faces(tmp_path: Path, weights: Path, intercept: float, label: str) -> None:
    model_set, _ = load_model_set(weights)
    fixed = Calibration(coefficients={"spectrum": 0.001}, intercept=intercept)
    changed = model_set.model_copy(update={"calibrations": {"whole-image": fixed}})
    (weights / "model.json").write_text(changed.model_dump_json(), encoding="utf-8")
    result = scan(write(tmp_path / "a.png", drawn(256, 256)), weights, explain=True)
    assert result.record.verdict is not None and result.record.verdict.label == label
    page = render_page(result.record, result.pictures)
    assert "No face was looked for" in page
    assert "a picture as a whole: no face was looked for" in page
    for words in ("Face tracks", "Face as analysed", "real face", "Real faces", "The faces examined", "heat map"):
        assert words not in page
    index = render_index([IndexEntry(result.record, "a.html")])
    assert "not looked for" in index
    (row,) = csv_text([result.record]).splitlines()[1:]
    assert ",0.5,,0.0," in row  # prior, no count of faces, moment


def test_the_shipped_weights_say_what_they_lack(tmp_path: Path) -> None:
    if "whole-image" in load_model_set()[0].calibrations:
        pytest.skip("the shipped weights judge whole pictures")
    with pytest.raises(WeightsError, match="no calibration 'whole-image'") as caught:
        Scanner(ScanConfig(view="whole", device="cpu"))
    assert "--whole-image" in caught.value.hint


def test_a_single_detector_gives_scores_without_a_verdict(tmp_path: Path, weights: Path) -> None:
    """Its own calibration was fitted on faces."""
    picture = drawn(256, 256)
    record = scan(write(tmp_path / "a.png", picture), weights, detector=("spectrum",)).record
    assert record.verdict is not None
    assert record.verdict.probability is None
    assert "not calibrated" in record.verdict.reasons[0]
    assert record.detectors[0].score == pytest.approx(float(sigmoid(tile_logits(picture, weights))[0]), abs=1e-5)
    with pytest.raises(UsageError, match="durall judges faces"):
        Scanner(ScanConfig(view="whole", detector=("durall",), device="cpu"))


def test_a_picture_without_a_face_is_told_of_it(tmp_path: Path, weights: Path, monkeypatch) -> None:
    path = write(tmp_path / "a.png", np.full((120, 120, 3), 90, np.uint8))
    for folder, is_told in ((weights, True), (None, "whole-image" in load_model_set()[0].calibrations)):
        with Scanner(ScanConfig(weights=folder, detector=("spectrum",), device="cpu", threads=1)) as scanner:
            record = scanner.scan(path).record
        assert record.outcome is Outcome.NO_FACE
        assert "--view face" in record.hint
        assert ("--whole-image" in record.hint) == is_told


@pytest.fixture
def given(monkeypatch) -> list[list[Subject]]:
    """What every bank is given to score."""
    calls: list[list[Subject]] = []
    original = DetectorBank.calibrated_logits

    def listen(self: DetectorBank, subjects):
        calls.append(list(subjects))
        return original(self, subjects)

    monkeypatch.setattr(DetectorBank, "calibrated_logits", listen)
    return calls


def test_a_face_comes_with_its_surroundings_and_both_are_compressed_again(
    tmp_path: Path, portrait: np.ndarray, given: list[list[Subject]]
) -> None:
    path = write(tmp_path / "a.png", portrait)
    with Scanner(ScanConfig(detector=("spectrum",), device="cpu", threads=1)) as scanner:
        assert scanner.faces is not None
        scanner.scan(path, explain=False)
        face = detect_in_stills(scanner.faces, [portrait])[0][0]
    (first,), (again,) = given
    crop, around = crop_face(portrait, face.landmarks), crop_surroundings(portrait, face.landmarks)
    assert np.array_equal(first.crop, crop) and np.array_equal(first.surroundings, around)
    assert around.shape[0] > crop.shape[0]
    assert np.array_equal(again.crop, jpeg(crop, STABILITY_JPEG_QUALITY))
    assert np.array_equal(again.surroundings, jpeg(around, STABILITY_JPEG_QUALITY))


def test_the_surroundings_of_a_face_crop_are_itself(tmp_path: Path, given: list[list[Subject]]) -> None:
    for side in (200, 300):
        picture = drawn(side, side)
        options = {"view": "face", "detector": ("spectrum",), "stability": False}
        scan(write(tmp_path / f"{side}.png", picture), None, **options)
        (subject,) = given[-1]
        assert np.array_equal(subject.crop, picture)
        assert np.array_equal(subject.surroundings, reduce_surroundings(picture))
        assert (subject.surroundings is subject.crop) == (side == 200)


def test_all_tiles_are_compressed_again(tmp_path: Path, weights: Path, given: list[list[Subject]]) -> None:
    picture = drawn(256, 800)
    scan(write(tmp_path / "a.png", picture), weights)
    tiles, again = given
    raw = tile_logits(picture, weights)
    order = np.argsort(-raw, kind="stable")
    assert len(tiles) == 3
    assert [pixels_sha256(one.crop) for one in again] == [
        pixels_sha256(jpeg(tiles[i].crop, STABILITY_JPEG_QUALITY)) for i in order
    ]
    assert all(one.surroundings is one.crop for one in again)


def test_the_command(tmp_path: Path, weights: Path) -> None:
    path = write(tmp_path / "a.png", drawn(256, 256))
    base = [str(path), "--weights", str(weights), "--device", "cpu", "--threads", "1", "-q", "--whole-image"]
    done = CliRunner().invoke(scan_command, [*base, "--format", "json"], standalone_mode=False)
    assert done.exception is None, done.exception
    record = json.loads(done.stdout)
    assert record["input"]["view"] == record["configuration"]["view"] == "whole"
    table = CliRunner().invoke(scan_command, base, standalone_mode=False)
    assert table.exception is None and "a.png" in table.stdout
    wrong = CliRunner().invoke(scan_command, [*base, "--view", "face"], standalone_mode=False)
    assert isinstance(wrong.exception, UsageError) and "contradict" in wrong.exception.message


def test_a_benchmark_judges_items_as_a_whole(tmp_path: Path, weights: Path) -> None:
    paths = [write(tmp_path / "a.png", drawn(256, 256)), write(tmp_path / "b.png", drawn(50, 90))]
    items = [Item(paths[0], 1, view="whole"), Item(paths[1], 0)]
    config = ScoringConfig(
        detector=("default", "spectrum"), weights=(weights,), workers=1, device="cpu", whole_image=True
    )
    scorer = Scorer(config, None, QUIET)
    assert scorer.thresholds == {"whole-image": 0.9, "spectrum": 0.5}
    found = scorer.score(items)
    record = scan(paths[0], weights).record
    assert record.verdict is not None
    assert found["whole-image"][0].score == pytest.approx(record.verdict.probability, abs=1e-5)
    assert found["whole-image"][0].verdict == record.verdict.label
    assert found["spectrum"][0].score == pytest.approx(record.tracks[0].scores["spectrum"], abs=1e-5)
    assert [score[1].outcome for score in found.values()] == [Outcome.TOO_SMALL] * 2
    assert "300" not in found["spectrum"][1].message and "too small" in found["spectrum"][1].message
    assert found["spectrum"][1].score is None

    of_faces = Scorer(config.model_copy(update={"whole_image": False, "detector": ("spectrum",)}), None, QUIET)
    with pytest.raises(UsageError, match=r"a\.png is to be judged as a whole") as caught:
        of_faces.score(items)
    assert "--whole-image" in caught.value.hint
