"""Scores through the scan path: each detector by itself, known ones not computed again, one failure costs one score."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from eval.config import ScoringConfig
from eval.score_cache import ScoreCache
from eval.scoring import Scorer
from forensics.common.errors import UsageError
from forensics.common.manifest import Item, read_manifest
from forensics.common.outcomes import Outcome
from forensics.common.progress import Progress
from forensics.config import ScanConfig, options_hash
from forensics.scan import Scanner

QUIET = Progress(quiet=True)


def test_scores_are_those_of_a_scan(tmp_path: Path, portrait: np.ndarray) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), portrait[:, :, ::-1])
    item = Item(path, 0)
    found = Scorer(ScoringConfig(detector=("cnn", "default"), workers=1), None, QUIET).score([item])
    with Scanner(ScanConfig()) as scanner:
        record = scanner.scan(path, explain=False).record
    assert record.verdict is not None
    assert found["default"][0].score == pytest.approx(record.verdict.probability, abs=1e-5)
    assert found["default"][0].verdict == record.verdict.label
    assert found["cnn"][0].score == pytest.approx(record.tracks[0].scores["cnn"], abs=1e-5)
    assert found["cnn"][0].verdict is None
    assert list(found) == ["cnn", "default"]


def test_known_scores_are_not_computed_again(red_folder: Callable[..., Path], tmp_path: Path) -> None:
    items = read_manifest(red_folder([("a.png", 0, 20, ""), ("b.png", 1, 200, "g")]))
    counter = tmp_path / "count.py"
    counter.write_text(
        f"def predict(path):\n    with open({str(tmp_path / 'calls')!r}, 'a') as file:\n        file.write(path)\n"
        "    return 0.25\n",
        encoding="utf-8",
    )
    config = ScoringConfig(detector=(str(counter),), workers=1)
    cache = ScoreCache(tmp_path / "c.jsonl")
    first = Scorer(config, cache, QUIET).score(items)
    calls = (tmp_path / "calls").read_text()
    assert Scorer(config, ScoreCache(tmp_path / "c.jsonl"), QUIET).score(items) == first
    assert (tmp_path / "calls").read_text() == calls
    # Another content of the same FILE.py is another detector.
    counter.write_text(counter.read_text().replace("0.25", "0.75"), encoding="utf-8")
    assert Scorer(config, cache, QUIET).score(items)["count"][0].score == 0.75


def test_failing_detector_costs_only_its_own_scores(red_folder: Callable[..., Path], red_detector: Path) -> None:
    """20 pixels are too few for a spectrum (which raises), and enough for the network."""
    items = read_manifest(red_folder([("a.png", 0, 51, "")], side=20))
    found = Scorer(ScoringConfig(detector=("spectrum", "cnn", str(red_detector)), workers=1), None, QUIET).score(items)
    assert found["red"][0].score == pytest.approx(0.2, abs=0.01)
    assert found["spectrum"][0].outcome is Outcome.DETECTOR_ERROR
    assert found["spectrum"][0].score is None
    assert found["cnn"][0].outcome in (Outcome.SCORED, Outcome.TOO_SMALL)


def test_bad_items_have_outcomes(red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path) -> None:
    items = read_manifest(red_folder([("a.png", 0, 51, "")]))
    (tmp_path / "text.png").write_text("not a picture", encoding="utf-8")
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((90, 90, 3), 120, np.uint8))
    items += [Item(tmp_path / "text.png", 1), Item(tmp_path / "none.png", 1), Item(blank, 0)]
    found = Scorer(ScoringConfig(detector=("default", str(red_detector))), None, QUIET).score(items)
    assert [score.outcome for score in found["default"]][1:] == [
        Outcome.UNREADABLE,
        Outcome.UNREADABLE,
        Outcome.NO_FACE,
    ]
    assert [score.score for score in found["default"]][1:] == [None, None, None]
    assert found["red"][1].outcome is Outcome.DETECTOR_ERROR
    assert found["red"][3].score == pytest.approx(120 / 255, abs=0.01)


def test_number_of_workers_changes_nothing(red_folder: Callable[..., Path], red_detector: Path) -> None:
    items = read_manifest(red_folder([(f"{i}.png", i % 2, 10 * i, "") for i in range(12)]))
    scores = [
        Scorer(ScoringConfig(detector=(str(red_detector), "spectrum"), workers=n), None, QUIET).score(items)
        for n in (1, 3)
    ]
    assert scores[0] == scores[1]
    assert [round(one.score * 255) for one in scores[0]["red"] if one.score is not None] == [10 * i for i in range(12)]


def test_clip_has_tracks_and_frames(examples: Path) -> None:
    found = Scorer(ScoringConfig(workers=1), None, QUIET).score([Item(examples / "fake.mp4", 1)])["default"][0]
    with Scanner(ScanConfig()) as scanner:
        record = scanner.scan(examples / "fake.mp4", explain=False).record
    assert record.verdict is not None
    assert found.is_clip
    assert found.score == pytest.approx(record.verdict.probability, abs=1e-4)
    assert found.track == record.verdict.top_track
    assert [len(track.frames) for track in found.tracks] == [len(track.samples) for track in record.tracks]


def test_equally_named_detectors_are_refused(tmp_path: Path, red_detector: Path) -> None:
    other = tmp_path / "other" / "red.py"
    other.parent.mkdir()
    other.write_text(red_detector.read_text(), encoding="utf-8")
    with pytest.raises(UsageError, match="called red"):
        Scorer(ScoringConfig(detector=(str(red_detector), str(other))), None, QUIET)


def test_unknown_detector_and_two_weight_sets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no detector 'guess'"):
        Scorer(ScoringConfig(detector=("guess",)), None, QUIET)
    with pytest.raises(UsageError, match="two sets"):
        Scorer(ScoringConfig(weights=(tmp_path, tmp_path / "b")), None, QUIET)


def test_what_decides_scores_reaches_the_scan_and_the_keys_of_the_cache() -> None:
    default = ScoringConfig(device="cpu").scan_config(("cnn",), "face")
    for name, value in {"randomised": 3, "engine": "compile", "precision": "bf16", "sample_fps": 9.0}.items():
        changed = ScoringConfig.model_validate({"device": "cpu", name: value}).scan_config(("cnn",), "face")
        assert getattr(changed, name) == value
        assert options_hash(changed.analysis_options()) != options_hash(default.analysis_options())
