"""Augmentation: what it may do to a crop, and that its generator alone decides."""

import inspect

import cv2
import numpy as np
import pytest

from forensics.common.seeds import rng_for
from forensics.training import augment as room
from forensics.training.augment import MIN_CROP_SHARE, augment, augment_tile


@pytest.fixture(scope="module")
def crop(portrait) -> np.ndarray:
    return portrait[40:200, 150:310]


@pytest.mark.parametrize("side", [24, 65, 160])
def test_a_smaller_square_of_the_same_type(portrait, side):
    source = portrait[40 : 40 + side, 150 : 150 + side]
    before = source.copy()
    for seed in range(40):
        found = augment(source, rng_for(seed))
        assert found.dtype == np.uint8
        assert found.shape == (found.shape[0], found.shape[0], 3)
        assert round(side * MIN_CROP_SHARE) <= found.shape[0] <= side
    assert np.array_equal(source, before)


def test_the_generator_alone_decides(crop):
    first = [augment(crop, rng_for(3, i)) for i in range(20)]
    np.random.seed(1)  # noqa: NPY002  (the global generator must not matter)
    again = [augment(crop, rng_for(3, i)) for i in range(20)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({picture.tobytes() for picture in first}) == 20


def test_it_takes_the_pixels_and_no_label():
    assert list(inspect.signature(augment).parameters) == ["crop", "rng"]
    assert list(inspect.signature(augment_tile).parameters) == ["crop", "side", "rng"]


def test_the_picture_is_still_the_picture(crop):
    """Of many draws, each correlates with the crop's own middle or its mirror image far more than noise does."""
    small = cv2.resize(crop, (16, 16), interpolation=cv2.INTER_AREA).astype(float).ravel()
    mirrored = cv2.resize(crop[:, ::-1], (16, 16), interpolation=cv2.INTER_AREA).astype(float).ravel()
    seen = set()
    for seed in range(60):
        found = cv2.resize(augment(crop, rng_for(seed)), (16, 16), interpolation=cv2.INTER_AREA).astype(float).ravel()
        as_is, flipped = (float(np.corrcoef(found, other)[0, 1]) for other in (small, mirrored))
        assert max(as_is, flipped) > 0.4  # of noise: 0.06 at one standard deviation
        seen.add(as_is > flipped)
    assert seen == {True, False}


# --- the halves of a pair -----------------------------------------------------------------------------------------

SIDES = 160, 97, 260


def ramp(side: int) -> np.ndarray:
    """Red rises to the right and green downwards, blue is flat: a pixel tells where it was and in which colour."""
    position = (np.arange(side) + 0.5) / side
    plane = np.stack([*np.broadcast_arrays(position[None, :], position[:, None]), np.full((side, side), 0.5)], -1)
    return np.round(40 + 170 * plane).astype(np.uint8)


@pytest.fixture
def steps(monkeypatch) -> list[tuple[object, ...]]:
    """Which degradations a picture meets, with their settings; the noise is not laid on."""
    met: list[tuple[object, ...]] = []

    def spy(name: str, only_noted: bool) -> None:
        inner = getattr(room, name)

        def noted(picture, *settings, **named):
            numbers = [value for value in settings if not isinstance(value, np.random.Generator)]
            met.append((name, *numbers, *sorted(named.items())))
            return picture if only_noted else inner(picture, *settings, **named)

        monkeypatch.setattr(room, name, noted)

    for name in ("shift_colour", "resize_and_restore", "blur", "add_noise", "h264", "jpeg"):
        spy(name, only_noted=name == "add_noise")
    return met


def tile(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return augment_tile(picture, 64, rng)


@pytest.mark.parametrize("change", [augment, tile])
def test_generators_in_the_same_state_do_the_same_to_pictures_of_any_size(steps, change):
    kinds = set()
    for seed in range(40):
        met = []
        for side in SIDES:
            steps.clear()
            change(ramp(side), rng_for(seed))
            met.append(list(steps))
        assert met[0] == met[1] == met[2]
        kinds |= {step[0] for step in met[0]}
    assert {"shift_colour", "h264", "jpeg"} <= kinds


def test_the_halves_of_a_pair_are_framed_flipped_and_coloured_alike(steps):
    flips = 0
    for seed in range(25):
        first, second = (augment(ramp(side), rng_for(seed)) for side in (96, 192))
        assert 0.99 < second.shape[0] / first.shape[0] / 2 < 1.01
        # At the same place the same pixel of the scene, in the same colour.
        same_size = cv2.resize(second, first.shape[:2], interpolation=cv2.INTER_AREA)
        assert np.abs(same_size.astype(int) - first).mean() < 4
        flips += bool(first[:, :4, 0].mean() > first[:, -4:, 0].mean())
    assert 5 < flips < 20


@pytest.mark.parametrize("side", [24, 64, 100, 400])
def test_a_tile_is_of_native_resolution(portrait, side, monkeypatch):
    for name in ("P_COLOUR", "P_TILE_SCALE", "P_TILE_RESIZE", "P_TILE_BLUR", "P_TILE_H264", "P_TILE_JPEG"):
        monkeypatch.setattr(room, name, 0.0)
    source = portrait[:side, :side]
    shrunk = source if side <= 256 else cv2.resize(source, (256, 256), interpolation=cv2.INTER_AREA)
    kept, places = min(64, side), set()
    for seed in range(12):
        found = augment_tile(source, 64, rng_for(seed))
        assert found.shape == (kept, kept, 3)
        hits = []
        for view in (found, np.ascontiguousarray(found[:, ::-1])):
            error = cv2.matchTemplate(shrunk, view, cv2.TM_SQDIFF)
            top, left = (int(i) for i in np.unravel_index(error.argmin(), error.shape))
            hits += [(top, left)] * np.array_equal(shrunk[top : top + kept, left : left + kept], view)
        assert len(hits) == 1
        places.add(hits[0])
    assert len(places) == 1 if side <= 64 else len(places) > 6


def test_a_reduced_tile_shows_more_of_the_picture(portrait, monkeypatch):
    for name in ("P_COLOUR", "P_TILE_RESIZE", "P_TILE_BLUR", "P_TILE_H264", "P_TILE_JPEG"):
        monkeypatch.setattr(room, name, 0.0)
    monkeypatch.setattr(room, "P_TILE_SCALE", 1.0)
    monkeypatch.setattr(room, "TILE_SCALES", (0.5, 0.5))
    halved = cv2.resize(portrait[:200, :200], (100, 100), interpolation=cv2.INTER_AREA)
    found = augment_tile(portrait[:200, :200], 100, rng_for(0))
    assert np.array_equal(found, halved) or np.array_equal(found[:, ::-1], halved)
    small = portrait[:40, :40]
    assert augment_tile(small, 64, rng_for(0)).shape == small.shape
