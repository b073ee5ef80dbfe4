"""Traces of resampling: the period of a known factor, in all of a picture and in a part of it."""

import cv2
import numpy as np
import pytest
from forgeries import as_png, resampled_part, scene

from forensics.analysis.blocks import luma
from forensics.analysis.periodicity import frequencies, is_searched
from forensics.analysis.resampling import WINDOW_PX, examine, global_peak, predictability, window_spectra


@pytest.mark.parametrize("factor", [1.2, 1.37, 1.45])
def test_the_period_of_an_enlargement_is_found(factor):
    large = cv2.resize(scene(0), None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    windows = window_spectra(luma(large))
    (row, column), tail = global_peak(windows, is_searched(WINDOW_PX, without_jpeg=True))
    f = np.abs(frequencies(WINDOW_PX)[[row, column]])
    # One of the axes has the peak at 1 / factor, folded to below a half; the other has none, or the same.
    assert tail < -6
    assert f.max() == pytest.approx(1 - 1 / factor, abs=0.012)


@pytest.mark.parametrize("factor", [1.2, 1.37, 1.45])
def test_a_resize_of_the_whole_is_told_and_not_held_against_it(factor):
    large = cv2.resize(scene(0), None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    finding = examine(as_png(large))
    assert "whole picture has a period" in finding.observation
    assert finding.state in ("consistent", "suspicious")


def test_predictability_is_one_on_a_ramp_and_low_on_noise():
    ramp = np.ascontiguousarray(np.broadcast_to(np.arange(200, dtype=np.uint8)[None, :], (64, 200)))
    assert predictability(ramp)[2:-2, 2:-2].min() == pytest.approx(1)
    noise = np.random.default_rng(0).integers(0, 256, (64, 200)).astype(np.uint8)
    assert predictability(noise).mean() < 0.05


def test_the_window_lies_on_the_part():
    hits = 0
    for seed in range(6):
        picture, box = resampled_part(seed)
        values = examine(picture).maps[0].values
        row, column = np.unravel_index(int(values.argmax()), values.shape)
        # Windows begin every 32 pixels at this size.
        x, y = column * 32 + WINDOW_PX / 2, row * 32 + WINDOW_PX / 2
        hits += box[0] <= x <= box[2] and box[1] <= y <= box[3]
    assert hits >= 5
