"""Golden scores: twenty drawn pictures and two clips score as pinned, so that a change of preprocessing or library shows.

A failure names the first stage that changed: drawn and decoded point at OpenCV, Pillow or PyAV; faces at the face detector;
crop at the canonical frame; framed at the resize; logits alone at a network, its weights or torch. New weights change the
logits only: python tests/golden/make_golden.py --accept "new weights: ..."
"""

import copy
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
from golden_measures import STAGES, _pins_of, block_means, differences, measure_all, read_pins
from golden_pictures import golden_pictures

from forensics.common.aggregation import Aggregation
from forensics.recording import TrackLog


@pytest.fixture(scope="module")
def changes(portrait, tmp_path_factory) -> list[tuple[str, str, str]]:
    return differences(read_pins(), measure_all(portrait, tmp_path_factory.mktemp("golden")))


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_is_as_pinned(changes, stage):
    found = [f"{name}: {text}" for name, at, text in changes if at == stage]
    assert not found, f"{stage} changed:\n" + "\n".join(found)


def test_what_is_pinned_is_what_is_promised(portrait):
    pins, pictures = read_pins(), golden_pictures(portrait)
    assert len(pictures) == len({picture.name for picture in pictures}) == 20
    assert set(pins) == {picture.name for picture in pictures} | {"clip-fake", "clip-real"}
    for name, pinned in pins.items():
        assert {"default", "cnn", "texture", "spectrum", "durall", "frank"} <= set(pinned["logits"]), name
        assert np.isfinite(list(pinned["logits"].values())).all()
        assert pinned["faces"]["tracks"] == 1, f"{name}: one face, or the score of another one may be compared"
    for opinion in ("default", "cnn", "texture"):
        values = [pinned["logits"][opinion] for pinned in pins.values()]
        assert np.ptp(values) > 0.5, "pictures that all score alike would show no change"


@pytest.mark.parametrize(
    ("stage", "key", "by"),
    [("drawn", "blocks", 0.002), ("crop", "sides_px", 1), ("faces", "boxes_px", 0.2), ("logits", "cnn", 0.0011)],
)
def test_a_change_beyond_the_tolerance_is_named_with_its_stage(stage, key, by):
    pins = read_pins()
    changed = copy.deepcopy(pins)
    name = "scene-plain"
    value = changed[name][stage][key]
    changed[name][stage][key] = [value[0] + by, *value[1:]] if isinstance(value, list) else value + by
    ((at, where, text),) = differences(pins, changed)
    assert (at, where) == (name, stage)
    assert text.startswith(f"{key}: ")
    small = copy.deepcopy(pins)
    small[name]["logits"]["cnn"] += 0.0009
    assert differences(pins, small) == []
    small[name]["logits"]["cnn"] = float("nan")
    assert len(differences(pins, small)) == 1
    del changed[name]
    assert differences(pins, changed) == [(name, "drawn", "is pinned, and no longer measured")]


def test_a_clips_crop_is_not_chosen_by_the_score_and_its_score_is_the_scans(tmp_path):
    def subject(grey: int) -> SimpleNamespace:
        return SimpleNamespace(crop=np.full((8, 8, 3), grey, np.uint8), surroundings=np.zeros((8, 8, 3), np.uint8))

    def scanner(logits: list[float], kept: list[int]) -> SimpleNamespace:
        log = TrackLog(1, {"default": Aggregation(method="median")})
        log.logits["default"] = logits
        log.samples = [SimpleNamespace(box=(0, 0, 8, 8), crop_px=8) for _ in logits]
        log.kept = [SimpleNamespace(subjects=[subject(grey)]) for grey in kept]
        stream = [SimpleNamespace(pixels=np.zeros((8, 8, 3), np.uint8)) for _ in logits]
        reader = SimpleNamespace(open=lambda *_: nullcontext(stream))
        return SimpleNamespace(reader=reader, scan=lambda *_, **__: SimpleNamespace(logs=(log,)))

    pins = _pins_of(scanner([0.0, 1.0, 8.0], [255, 0]), scanner([0.0], [51]), tmp_path / "a.mp4", {})
    assert pins["crop"]["first"] == [0.2] * 48
    assert pins["logits"] == {"default": 1.0}


def test_a_fingerprint_says_where_a_picture_changed():
    picture = np.zeros((64, 48, 3), np.uint8)
    picture[:16, :12, 1] = 255
    means = np.array(block_means(picture)).reshape(4, 4, 3)
    assert means[0, 0].tolist() == [0, 1, 0]
    assert means.sum() == 1
