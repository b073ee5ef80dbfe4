"""Detectors by name, and the bank that fuses them."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from forensics.common.errors import DetectorError, UsageError, WeightsError
from forensics.common.operating_point import OperatingPoint
from forensics.common.outcomes import Outcome
from forensics.detectors import registry
from forensics.detectors.bank import DetectorBank
from forensics.detectors.model_set import Calibration, Domain, ModelSet
from forensics.detectors.protocol import logit, sigmoid
from forensics.detectors.registry import detector_names, load_detector

CPU = torch.device("cpu")


class Red:
    """Score = mean of the red channel."""

    name = "red"
    description = "how red it is"

    def score(self, crops):
        return np.array([crop[..., 0].mean() / 255 for crop in crops])


class Green:
    """Score = mean of the green channel; explains itself."""

    name = "green"
    description = "how green it is"

    def score(self, crops):
        return np.array([crop[..., 1].mean() / 255 for crop in crops])

    def explain(self, crops):
        return [crop[..., 1].astype(np.float32) / 255 for crop in crops]


def point(fake: float) -> OperatingPoint:
    return OperatingPoint(
        threshold_fake=fake,
        threshold_real=0.1,
        test_set="none",
        false_positive_rate=None,
        false_negative_rate=None,
        false_positive_rates={},
    )


FUSION = Calibration(coefficients={"red": 1.5, "green": 0.5}, intercept=-0.75)
ALONE = Calibration(coefficients={"red": 2.0}, intercept=0.5)


def described(**calibrations: Calibration) -> ModelSet:
    return ModelSet(
        name="test",
        version="0",
        licence="none",
        trained_on="nothing",
        weights={},
        calibrations=calibrations,
        operating_points={name: point(0.6 + 0.1 * i) for i, name in enumerate(calibrations)},
        domain=Domain(min_crop_px=1, min_sharpness=0),
    )


@pytest.fixture
def plugins(monkeypatch):
    """An installed package that offers two detectors and something that is none."""
    offered = {name: EntryPoint(name, f"{__name__}:{kind}", registry.ENTRY_POINT_GROUP) for name, kind in
               {"red": "Red", "green": "Green", "broken": "point"}.items()}  # fmt: skip
    objects = {"red": Red, "green": Green, "broken": object}

    class Offer:
        def __init__(self, point: EntryPoint) -> None:
            self.name = point.name

        def load(self):
            return objects[self.name]

    def entry_points(group: str, name: str | None = None):
        assert group == "forensics.detectors"
        return [Offer(entry) for key, entry in offered.items() if name in (None, key)]

    monkeypatch.setattr(registry, "entry_points", entry_points)


def colours() -> list[np.ndarray]:
    return [np.full((30, 30, 3), colour, np.uint8) for colour in [(200, 30, 0), (30, 220, 0), (128, 128, 0)]]


def test_a_package_s_detector_is_found_by_name(plugins, tmp_path):
    assert set(detector_names()) == {*registry.BUILT_IN, "broken", "green", "red"}
    assert detector_names() == sorted(detector_names())
    assert isinstance(load_detector("red", described(), tmp_path, CPU), Red)


def test_what_is_no_detector_is_refused(plugins, tmp_path):
    with pytest.raises(UsageError, match="broken") as caught:
        load_detector("broken", described(), tmp_path, CPU)
    assert "protocol" in caught.value.hint


def test_an_unknown_name_is_refused_with_the_known_ones(plugins, tmp_path):
    with pytest.raises(UsageError, match="no detector 'blue'") as caught:
        load_detector("blue", described(), tmp_path, CPU)
    assert all(name in caught.value.hint for name in ("default", "cnn", "spectrum", "red", "FILE.py"))


def test_without_plugins_the_built_in_ones_are_known():
    assert {"cnn", "spectrum"} <= set(detector_names())


def test_the_fusion_is_the_calibrated_sum_and_brings_its_members(plugins, tmp_path):
    bank = DetectorBank(["default"], described(default=FUSION, red=ALONE), tmp_path, CPU)
    assert [(o.name, o.is_calibrated, o.weight) for o in bank.opinions] == [
        ("default", True, None),
        ("red", True, 1.5),
        ("green", False, 0.5),
    ]
    assert bank.primary == "default"
    assert bank.operating_point == point(0.6)
    logits = bank.calibrated_logits(colours())
    raw_red, raw_green = logit(Red().score(colours())), logit(Green().score(colours()))
    np.testing.assert_allclose(logits["default"], -0.75 + 1.5 * raw_red + 0.5 * raw_green)
    np.testing.assert_allclose(logits["red"], 0.5 + 2 * raw_red)
    np.testing.assert_allclose(logits["green"], raw_green)
    np.testing.assert_allclose(sigmoid(logits["green"]), Green().score(colours()))


def test_an_uncalibrated_detector_alone_has_no_primary(plugins, tmp_path):
    bank = DetectorBank(["green"], described(default=FUSION), tmp_path, CPU)
    assert [(o.name, o.is_calibrated, o.weight) for o in bank.opinions] == [("green", False, None)]
    assert bank.primary is None
    assert bank.operating_point is None
    assert list(bank.calibrated_logits(colours())) == ["green"]


def test_the_first_calibrated_name_is_primary(plugins, tmp_path):
    model_set = described(default=FUSION, red=ALONE)
    assert DetectorBank(["green", "red", "default"], model_set, tmp_path, CPU).primary == "red"
    assert DetectorBank(["green", "default", "red"], model_set, tmp_path, CPU).primary == "default"
    bank = DetectorBank(["red", "red"], model_set, tmp_path, CPU)
    assert [opinion.name for opinion in bank.opinions] == ["red"]
    assert bank.operating_point == point(0.7)


def test_the_first_detector_that_can_explains(plugins, tmp_path):
    maps = DetectorBank(["red", "green"], described(), tmp_path, CPU).explain(colours())
    assert [float(heat.mean()) for heat in maps] == pytest.approx([30 / 255, 220 / 255, 128 / 255])
    assert DetectorBank(["red"], described(), tmp_path, CPU).explain(colours()) == [None] * 3


class Failing(Green):
    """Fails as it is told to."""

    name = "failing"

    def __init__(self, error: BaseException | None = None, scores: object = None, maps: object = None) -> None:
        self._error, self._scores, self._maps = error, scores, maps

    def score(self, crops):
        if self._error is not None:
            raise self._error
        return self._scores

    def explain(self, crops):
        if self._error is not None:
            raise self._error
        return self._maps


@pytest.fixture
def bank_of(monkeypatch, tmp_path):
    """A bank with one detector of an installed package."""

    def make(detector: Failing) -> DetectorBank:
        class Offer:
            def load(self):
                return lambda: detector

        monkeypatch.setattr(registry, "entry_points", lambda **_: [Offer()])
        return DetectorBank(["failing"], described(), tmp_path, CPU)

    return make


@pytest.mark.parametrize("error", [RuntimeError("no kernel"), KeyError("layer"), AssertionError(), StopIteration()])
def test_what_a_detector_raises_is_the_item_s_outcome(bank_of, error):
    with pytest.raises(DetectorError, match=f"failing failed: {type(error).__name__}") as caught:
        bank_of(Failing(error)).calibrated_logits(colours())
    assert caught.value.outcome is Outcome.DETECTOR_ERROR
    assert bank_of(Failing(error)).explain(colours()) == [None] * 3


@pytest.mark.parametrize("scores", [None, ["a", "b", "c"], [[0.1], [0.2, 0.3], []], [0.5, 0.5], [0.1, 0.2, np.nan]])
def test_what_are_no_scores_is_the_item_s_outcome(bank_of, scores):
    with pytest.raises(DetectorError, match="failing"):
        bank_of(Failing(scores=scores)).calibrated_logits(colours())


@pytest.mark.parametrize(
    "maps", [None, [], [np.zeros(3)] * 3, [np.full((2, 2), 1.5)] * 3, [np.full((2, 2), np.nan)] * 3, ["a", "b", "c"]]
)
def test_what_are_no_heatmaps_is_not_shown(bank_of, maps):
    assert bank_of(Failing(maps=maps)).explain(colours()) == [None] * 3


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_an_interruption_is_no_fault_of_the_detector(bank_of, error):
    for ask in (bank_of(Failing(error)).calibrated_logits, bank_of(Failing(error)).explain):
        with pytest.raises(type(error)):
            ask(colours())


def test_an_entry_point_that_cannot_be_loaded_is_named(monkeypatch, tmp_path):
    class Offer:
        def load(self):
            raise ModuleNotFoundError("No module named 'keras'")

    monkeypatch.setattr(registry, "entry_points", lambda **_: [Offer()])
    with pytest.raises(UsageError, match="entry point mine cannot be loaded: ModuleNotFoundError: No module") as caught:
        load_detector("mine", described(), tmp_path, CPU)
    assert "package" in caught.value.hint


def test_no_detectors_give_no_opinions(tmp_path):
    bank = DetectorBank([], described(), tmp_path, CPU)
    assert bank.opinions == []
    assert bank.calibrated_logits(colours()) == {}


def test_a_set_without_a_fusion_cannot_give_one(plugins, tmp_path):
    with pytest.raises(WeightsError, match="no fusion 'default'") as caught:
        DetectorBank(["default"], described(red=ALONE), tmp_path, CPU)
    assert "--detector" in caught.value.hint
