"""Noise level: its measurement, and parts whose level their brightness and texture do not explain."""

import cv2
import numpy as np
import pytest
from forgeries import as_png, inside_and_outside, other_noise

from forensics.analysis.noise import examine, noise_level


@pytest.mark.parametrize("spread", [1.5, 4.0, 10.0])
def test_the_level_of_white_noise_is_its_standard_deviation(spread):
    rng = np.random.default_rng(11)
    gray = np.clip(np.rint(rng.normal(128, spread, (256, 320))), 0, 255).astype(np.uint8)
    level = noise_level(gray)
    assert level.shape == (16, 20)
    assert np.median(level) == pytest.approx(spread, rel=0.06)


def test_a_ramp_has_no_noise():
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :], (128, 256))
    assert noise_level(np.ascontiguousarray(ramp)).max() == 0


def test_the_map_is_higher_in_the_part():
    pairs = []
    for seed in range(8):
        picture, box = other_noise(seed)
        pairs.append(inside_and_outside(examine(picture).maps[0].values, box, picture.pixels.shape))
    assert sum(inside > 2 * outside for inside, outside in pairs) >= 7


def test_what_has_no_noise_is_not_judged():
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (256, 256, 3))
    assert examine(as_png(np.ascontiguousarray(ramp))).state == "inconclusive"


@pytest.mark.parametrize("seed", range(5))
def test_shot_noise_is_explained_by_brightness(seed):
    rng = np.random.default_rng(seed)
    light = cv2.resize(rng.uniform(30, 220, (5, 5)).astype(np.float32), (320, 320), interpolation=cv2.INTER_CUBIC)
    noisy = rng.normal(light, np.sqrt(np.clip(light, 1, None)) * 0.5)
    gray = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    assert examine(as_png(np.repeat(gray[..., None], 3, 2))).state == "consistent"
