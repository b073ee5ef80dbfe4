"""What pictures meet on their way: deterministic, size-keeping, and as strong as asked for."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.common.seeds import rng_for
from forensics.perturb import add_noise, blur, jpeg, resize_and_restore, shift_colour
from forensics.perturb import picture as picture_module


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).mean())


def png_bytes(picture: np.ndarray) -> int:
    return len(cv2.imencode(".png", picture)[1])


ALL = {
    "jpeg": lambda p: jpeg(p, 50),
    "resize": lambda p: resize_and_restore(p, 0.37),
    "blur": lambda p: blur(p, 1.1),
    "noise": lambda p: add_noise(p, 4.0, rng_for(1)),
    "colour": lambda p: shift_colour(p, 1.1, 5.0, 0.8, 1.1),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(96, 64), (33, 47), (1, 1), (8, 200)])
def test_shape_dtype_determinism_and_an_untouched_input(name, shape, portrait):
    picture = np.ascontiguousarray(portrait[60 : 60 + shape[0], 180 : 180 + shape[1]])
    before = picture.copy()
    changed = ALL[name](picture)
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    assert np.array_equal(changed, ALL[name](picture))
    assert np.array_equal(picture, before)
    if min(shape) > 1:
        assert not np.array_equal(changed, picture)


def test_a_flipped_view_is_treated_as_its_copy(portrait):
    view = portrait[100:180, 180:260][:, ::-1]
    for change in ALL.values():
        assert np.array_equal(change(view), change(np.ascontiguousarray(view)))


def test_jpeg_quality_is_a_scale(portrait):
    crop = portrait[40:200, 150:310]
    by_quality = {quality: jpeg(crop, quality) for quality in (10, 30, 60, 90, 100)}
    errors = [error(crop, picture) for picture in by_quality.values()]
    assert errors == sorted(errors, reverse=True)
    assert errors[1] > 1.5 * errors[3]
    # Coarser steps leave fewer different values: the picture compresses better afterwards.
    assert png_bytes(by_quality[30]) < 0.95 * png_bytes(by_quality[90])


def test_jpeg_keeps_the_colour_order():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 220
    assert np.abs(jpeg(red, 90).reshape(-1, 3).mean(0) - [220, 0, 0]).max() < 6


def test_reduction_removes_fine_detail_and_keeps_coarse():
    x = np.arange(128)
    fine, coarse = (
        np.repeat(np.tile(np.rint(127.5 + 100 * np.cos(2 * np.pi * x / period)), (128, 1))[..., None], 3, 2).astype(
            np.uint8
        )
        for period in (3, 32)
    )
    assert resize_and_restore(fine, 0.25).std() < 0.3 * fine.std()
    assert resize_and_restore(coarse, 0.25).std() > 0.85 * coarse.std()
    assert np.array_equal(resize_and_restore(fine, 1.0), fine)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 70), st.integers(1, 70), st.floats(0.01, 1.0))
def test_reduction_restores_any_size(height, width, factor):
    picture = np.full((height, width, 3), 77, np.uint8)
    assert np.array_equal(resize_and_restore(picture, factor), picture)


def test_blur_spreads_a_point_by_its_sigma():
    picture = np.zeros((65, 65, 3), np.uint8)
    picture[28:37, 28:37] = 255  # a box of nine pixels has variance (81 - 1) / 12 per axis
    spread = blur(picture, 3.0)[:, :, 0].astype(np.float64)
    x = np.arange(65) - 32
    variance = (spread.sum(0) * x**2).sum() / spread.sum()
    assert variance == pytest.approx(80 / 12 + 9.0, rel=0.05)


def test_noise_has_the_asked_deviation_and_depends_on_its_generator_only():
    grey = np.full((200, 200, 3), 128, np.uint8)
    noisy = add_noise(grey, 5.0, rng_for(1))
    difference = noisy.astype(np.float64) - 128
    assert difference.std() == pytest.approx(np.sqrt(25 + 1 / 12), rel=0.02)  # rounding adds 1/12
    assert abs(difference.mean()) < 0.1
    np.random.seed(0)  # noqa: NPY002  (the global generator must not matter)
    assert np.array_equal(noisy, add_noise(grey, 5.0, rng_for(1)))
    assert not np.array_equal(noisy, add_noise(grey, 5.0, rng_for(2)))
    assert np.array_equal(add_noise(grey, 0.0, rng_for(1)), grey)


# One block, a last one that is not full, one row in a block, and a picture without rows.
@pytest.mark.parametrize(("shape", "block"), [((40, 30), 1 << 20), ((41, 33), 1000), ((5, 64), 3), ((0, 7), 10)])
@pytest.mark.parametrize("flipped", [False, True])
def test_blocks_of_rows_give_what_the_whole_picture_gives(monkeypatch, shape, block, flipped):
    monkeypatch.setattr(picture_module, "BLOCK_VALUES", block)
    picture = rng_for(5).integers(0, 256, (*shape, 3), np.uint8)
    picture = picture[:, ::-1] if flipped else picture
    noise = rng_for(1).normal(0.0, 7.5, picture.shape).astype(np.float32)
    rng = rng_for(1)
    assert np.array_equal(add_noise(picture, 7.5, rng), np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8))
    used_up = rng_for(1)
    used_up.normal(0.0, 7.5, picture.shape)
    assert rng.random() == used_up.random()
    for gamma in (1.0, 0.8):
        values = (picture.astype(np.float32) - 127.5) * 1.2 + 127.5 + 4.0
        luma = (values @ np.array([0.299, 0.587, 0.114], np.float32))[:, :, None]
        values = np.clip(luma + (values - luma) * 0.7, 0, 255)
        values = values if gamma == 1.0 else 255.0 * (values / 255.0) ** gamma
        assert np.array_equal(shift_colour(picture, 1.2, 4.0, 0.7, gamma), np.rint(values).astype(np.uint8))


@pytest.mark.parametrize(
    "change", [lambda p: add_noise(p, 4.0, rng_for(1)), lambda p: shift_colour(p, 1.1, 5, 0.8, 1.1)]
)
def test_a_large_picture_takes_little_memory_beside_it(change):
    picture = np.zeros((3000, 2000, 3), np.uint8)
    tracemalloc.start()
    try:
        change(picture)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < picture.nbytes + 40 * picture_module.BLOCK_VALUES


def test_noise_is_clipped_and_does_not_wrap_around():
    black, white = np.zeros((50, 50, 3), np.uint8), np.full((50, 50, 3), 255, np.uint8)
    assert add_noise(black, 6.0, rng_for(1)).max() < 60
    assert add_noise(white, 6.0, rng_for(1)).min() > 195


def test_colour_identity_changes_nothing():
    every = np.stack(np.meshgrid(*[np.arange(0, 256, 15)] * 3), -1).reshape(-1, 18, 3).astype(np.uint8)
    assert np.array_equal(shift_colour(every, 1.0, 0.0, 1.0), every)
    assert np.array_equal(shift_colour(every, 1.0, 0.0, 1.0, 1.0), every)


def test_colour_parameters_do_what_they_say(portrait):
    grey = np.full((4, 4, 3), 100, np.uint8)
    assert (shift_colour(grey, 1.0, 20.0, 1.0) == 120).all()
    assert (shift_colour(grey, 2.0, 0.0, 1.0) == 72).all()  # 127.5 - 2 * 27.5, rounded to even
    assert (shift_colour(grey, 1.0, 0.0, 1.0, 2.0) == round(255 * (100 / 255) ** 2)).all()
    assert (shift_colour(grey, 1.0, 300.0, 1.0) == 255).all()
    assert (shift_colour(grey, 1.0, -300.0, 1.0, 0.5) == 0).all()
    colourless = shift_colour(portrait[::8, ::8], 1.0, 0.0, 0.0)
    assert np.ptp(colourless, axis=2).max() == 0
    luma = portrait[::8, ::8] @ np.array([0.299, 0.587, 0.114])
    assert np.abs(colourless[:, :, 0] - luma).max() <= 0.51
