"""Excess of a spectrum over its neighbourhood, places that are searched, and false alarms of noise."""

import numpy as np
import pytest
from scipy.stats import gamma

from forensics.analysis.periodicity import EULER, excess, frequencies, is_searched, log10_tail


def test_one_peak_stands_out_by_its_height():
    log = np.zeros((64, 64), np.float32)
    log[20, 40] = 5
    above = excess(log)
    assert np.unravel_index(above.argmax(), above.shape) == (20, 40)
    assert above[20, 40] == pytest.approx(5)


def test_a_line_along_an_axis_does_not_stand_out():
    log = np.zeros((64, 64), np.float32)
    log[32, :] = 5
    assert excess(log).max() == pytest.approx(0, abs=1e-5)


def test_logarithms_of_noise_lie_eulers_constant_below():
    power = np.random.default_rng(0).exponential(size=100_000)
    assert np.log(power).mean() == pytest.approx(-EULER, abs=0.02)


def test_multiples_of_an_eighth_are_left_out():
    searched = is_searched(128, without_jpeg=True)
    everything = is_searched(128, without_jpeg=False)
    f = frequencies(128)
    for down, across in ((0.25, 0.125), (0.375, 0.0), (0.0, 0.25)):
        place = int(np.argmin(np.abs(f - down))), int(np.argmin(np.abs(f - across)))
        assert everything[place] and not searched[place]
    assert searched[int(np.argmin(np.abs(f - 0.1875))), 64]


def test_each_frequency_is_searched_once():
    searched = is_searched(64, without_jpeg=False)
    mirrored = np.roll(searched[::-1, ::-1], 1, (0, 1))
    assert not (searched & mirrored)[1:, 1:].any()


@pytest.mark.parametrize("averaged", [1.0, 4.0, 30.0])
@pytest.mark.parametrize("ratio", [1.5, 3.0, 8.0])
def test_the_tail_is_not_understated(averaged, ratio):
    exact = float(gamma.logsf(ratio * averaged, averaged) / np.log(10))
    assert exact - 1e-9 <= float(log10_tail(ratio, averaged)) <= 0
