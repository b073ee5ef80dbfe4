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
from forensics.detectors.protocol import Subject, logit, sigmoid
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


def subjects() -> list[Subject]:
    return [Subject.of_crop(crop) for crop in colours()]


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
    logits = bank.calibrated_logits(subjects())
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
    assert list(bank.calibrated_logits(subjects())) == ["green"]


def test_the_first_calibrated_name_is_primary(plugins, tmp_path):
    model_set = described(default=FUSION, red=ALONE)
    assert DetectorBank(["green", "red", "default"], model_set, tmp_path, CPU).primary == "red"
    assert DetectorBank(["green", "default", "red"], model_set, tmp_path, CPU).primary == "default"
    bank = DetectorBank(["red", "red"], model_set, tmp_path, CPU)
    assert [opinion.name for opinion in bank.opinions] == ["red"]
    assert bank.operating_point == point(0.7)


def test_the_first_detector_that_can_explains(plugins, tmp_path):
    maps = DetectorBank(["red", "green"], described(), tmp_path, CPU).explain(subjects())
    assert [float(heat.mean()) for heat in maps] == pytest.approx([30 / 255, 220 / 255, 128 / 255])
    assert DetectorBank(["red"], described(), tmp_path, CPU).explain(subjects()) == [None] * 3


class Around:
    """Score = mean of the blue channel of what it sees: the surroundings."""

    name = "around"
    description = "how blue the surroundings are"
    sees = "surroundings"

    def score(self, crops):
        return np.array([crop[..., 2].mean() / 255 for crop in crops])

    def explain(self, crops):
        return [np.ones((2, 2), np.float32) for _ in crops]


@pytest.fixture
def with_around(monkeypatch):
    """Red sees the face, Around its surroundings, Blind neither."""

    class Blind(Around):
        name = "blind"
        sees = "nothing"

    class TileRed(Red):
        name = "tile_red"
        judges_pictures = True

    kinds = {"red": Red, "green": Green, "around": Around, "blind": Blind, "tile_red": TileRed}

    class Offer:
        def __init__(self, name: str) -> None:
            self.name = name

        def load(self):
            return kinds[self.name]

    monkeypatch.setattr(
        registry, "entry_points", lambda group, name=None: [Offer(key) for key in kinds if name in (None, key)]
    )


def blue_around(blue: int) -> Subject:
    crop = np.full((30, 30, 3), (51, 102, 0), np.uint8)
    around = np.full((51, 51, 3), (0, 0, blue), np.uint8)
    return Subject(crop, around)


def test_each_detector_is_given_what_it_sees(with_around, tmp_path):
    bank = DetectorBank(["red", "around"], described(), tmp_path, CPU)
    found = bank.calibrated_logits([blue_around(51), blue_around(204)])
    np.testing.assert_allclose(sigmoid(found["red"]), [0.2, 0.2])
    np.testing.assert_allclose(sigmoid(found["around"]), [0.2, 0.8])


def test_a_map_of_the_surroundings_is_not_drawn_over_the_face(with_around, tmp_path):
    maps = DetectorBank(["around", "green"], described(), tmp_path, CPU).explain([blue_around(1)])
    assert [float(heat.mean()) for heat in maps] == pytest.approx([0.4])
    assert DetectorBank(["around"], described(), tmp_path, CPU).explain([blue_around(1)]) == [None]


def test_what_sees_neither_is_refused(with_around, tmp_path):
    with pytest.raises(UsageError, match="blind says that it sees 'nothing'"):
        DetectorBank(["blind"], described(), tmp_path, CPU)


WHOLE = Calibration(coefficients={"around": 2.0, "tile_red": 1.0}, intercept=-0.5)


def test_pictures_as_a_whole_have_a_fusion_of_their_own(with_around, tmp_path):
    alone = Calibration(coefficients={"around": 3.0}, intercept=0.0)
    model_set = described(**{"default": FUSION, "whole-image": WHOLE, "around": alone})
    bank = DetectorBank(["default"], model_set, tmp_path, CPU, whole=True)
    assert [(o.name, o.is_calibrated, o.weight) for o in bank.opinions] == [
        ("whole-image", True, None),
        ("around", False, 2.0),  # its own calibration was fitted on faces
        ("tile_red", False, 1.0),
    ]
    assert bank.primary == "whole-image"
    assert bank.operating_point == point(0.7)
    tiles = subjects()
    found = bank.calibrated_logits(tiles)
    blue, red = (logit(kind().score(colours())) for kind in (Around, Red))
    np.testing.assert_allclose(found["whole-image"], -0.5 + 2 * blue + red)
    assert DetectorBank(["whole-image"], model_set, tmp_path, CPU, whole=True).opinions == bank.opinions
    assert DetectorBank(["red"], model_set, tmp_path, CPU).judges_pictures
    assert not DetectorBank(["red"], described(default=FUSION), tmp_path, CPU).judges_pictures


def test_what_judges_faces_alone_judges_no_picture(with_around, tmp_path):
    model_set = described(**{"default": FUSION, "whole-image": WHOLE})
    with pytest.raises(UsageError, match="detector red judges faces") as caught:
        DetectorBank(["red"], model_set, tmp_path, CPU, whole=True)
    assert "spectrum" in caught.value.hint
    with pytest.raises(UsageError, match="'whole-image' judges pictures as a whole") as caught:
        DetectorBank(["whole-image"], model_set, tmp_path, CPU)
    assert "--whole-image" in caught.value.hint


def test_weights_without_that_fusion_say_so(with_around, tmp_path):
    with pytest.raises(WeightsError, match="no calibration 'whole-image'") as caught:
        DetectorBank(["default"], described(default=FUSION), tmp_path, CPU, whole=True)
    assert "--whole-image" in caught.value.hint


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
        bank_of(Failing(error)).calibrated_logits(subjects())
    assert caught.value.outcome is Outcome.DETECTOR_ERROR
    assert bank_of(Failing(error)).explain(subjects()) == [None] * 3


@pytest.mark.parametrize("scores", [None, ["a", "b", "c"], [[0.1], [0.2, 0.3], []], [0.5, 0.5], [0.1, 0.2, np.nan]])
def test_what_are_no_scores_is_the_item_s_outcome(bank_of, scores):
    with pytest.raises(DetectorError, match="failing"):
        bank_of(Failing(scores=scores)).calibrated_logits(subjects())


@pytest.mark.parametrize(
    "maps", [None, [], [np.zeros(3)] * 3, [np.full((2, 2), 1.5)] * 3, [np.full((2, 2), np.nan)] * 3, ["a", "b", "c"]]
)
def test_what_are_no_heatmaps_is_not_shown(bank_of, maps):
    assert bank_of(Failing(maps=maps)).explain(subjects()) == [None] * 3


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError()])
def test_an_interruption_is_no_fault_of_the_detector(bank_of, error):
    for ask in (bank_of(Failing(error)).calibrated_logits, bank_of(Failing(error)).explain):
        with pytest.raises(type(error)):
            ask(subjects())


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
    assert bank.calibrated_logits(subjects()) == {}


def test_a_set_without_a_fusion_cannot_give_one(plugins, tmp_path):
    with pytest.raises(WeightsError, match="no fusion 'default'") as caught:
        DetectorBank(["default"], described(red=ALONE), tmp_path, CPU)
    assert "--detector" in caught.value.hint
