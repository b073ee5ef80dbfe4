"""Peaks of the spectrum: drawn periods are found, those of JPEG and of texture are not held against a picture."""

import cv2
import numpy as np
import pytest
from forgeries import as_jpeg, as_png, saved, scene

from forensics.analysis.spectrum_peaks import TILE_PX, examine, tile_corners, was_jpeg


def with_wave(period: float, amplitude: float) -> np.ndarray:
    wave = amplitude * np.sin(2 * np.pi * np.arange(320) / period)
    return np.clip(np.rint(scene(2) + wave[None, :, None]), 0, 255).astype(np.uint8)


def test_a_period_of_sixteen_thirds_is_found_in_a_jpeg():
    # Three sixteenths of a cycle per pixel: on the lattice of up-sampling, and none of JPEG's.
    finding = examine(as_jpeg(with_wave(16 / 3, 3), 90))
    assert abs(finding.measures["frequency_across"]) == pytest.approx(3 / 16, abs=1 / TILE_PX)
    assert abs(finding.measures["frequency_down"]) <= 1 / TILE_PX
    assert finding.state == "suspicious"


def test_a_period_that_is_none_of_up_sampling_is_told_and_not_held_against_it():
    finding = examine(as_png(with_wave(5.0, 3)))
    assert finding.state == "consistent"
    assert finding.measures["peaks"] >= 1
    assert "other frequencies do" in finding.observation


def transposed_convolution(small: np.ndarray, kernel: int, stride: int) -> np.ndarray:
    """All weights one: where kernels overlap, pixels are written more often (Odena et al. 2016)."""
    side = stride * small.shape[0]
    large = np.zeros((side + kernel, side + kernel))
    for down in range(kernel):
        for across in range(kernel):
            large[down : down + side : stride, across : across + side : stride] += small
    return large[stride : side - stride, stride : side - stride]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("layers", "kernel", "stride"), [(1, 5, 4), (2, 3, 2)])
def test_kernels_that_overlap_unevenly_leave_a_lattice(seed, layers, kernel, stride):
    gray = cv2.cvtColor(scene(seed), cv2.COLOR_RGB2GRAY).astype(np.float64)
    painted = cv2.resize(gray, (80, 80), interpolation=cv2.INTER_AREA)
    for _ in range(layers):
        painted = transposed_convolution(painted, kernel, stride)
    # What later layers leave of it: a tenth.
    side = len(painted)
    mixed = 0.9 * gray[:side, :side] + 0.1 * painted * (gray.mean() / painted.mean())
    finding = examine(as_png(np.repeat(np.clip(np.rint(mixed), 0, 255).astype(np.uint8)[..., None], 3, 2)))
    assert finding.state in ("suspicious", "inconsistent")
    assert {abs(finding.measures[f"frequency_{way}"]) for way in ("down", "across")} <= {0, 0.25, 0.5}


def test_blocks_of_jpeg_are_recognised_whatever_the_format():
    assert was_jpeg(as_jpeg(scene(0), 95))
    assert was_jpeg(as_png(saved(scene(0), 75)))
    assert was_jpeg(as_png(np.ascontiguousarray(saved(scene(0), 75)[3:, 5:])))
    rng = np.random.default_rng(0)
    assert not was_jpeg(as_png(rng.integers(0, 256, (300, 300, 3)).astype(np.uint8)))


@pytest.mark.parametrize("shape", [(128, 128), (256, 256), (3_000, 4_000), (128, 9_000), (130, 5_000)])
def test_tiles_lie_inside_and_are_few(shape):
    corners = tile_corners(*shape)
    assert 1 <= len(corners) <= 48
    assert corners.min() == 0
    assert (corners.max(0) + TILE_PX <= shape).all()
    assert len(np.unique(corners, axis=0)) == len(corners)
