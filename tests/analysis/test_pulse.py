"""A pulse of known rate, drawn into skin under noise and 8 bits: found where it is, and not where it is not."""

from dataclasses import replace

import numpy as np
import pytest
from clips import (
    clip_of,
    degenerate_clips,
    face_clip,
    film,
    make_track,
    saved_again,
    times_of,
    track_clip,
    uneven_times,
)

from forensics.analysis.pulse import ANALYSIS, MIN_SECONDS
from forensics.analysis.skin_signal import band, pos, signal_to_noise_db, spectrum_of, steady_stretch

SHARED = "shared rate (per minute)"
FALSE_ALARMS = 0.05  # the stated rate: a pulse that is not there


def examine(seed: int, times_s: np.ndarray, **keywords):
    return ANALYSIS.examine(track_clip(make_track(seed, times_s, **keywords)))


# --- a pulse that is there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bpm", [50.0, 72.0, 110.0, 150.0])
@pytest.mark.parametrize("timing", ["25", "30", "uneven"])
def test_a_pulse_is_recovered(bpm, timing):
    times = uneven_times(1, 240) if timing == "uneven" else times_of(10 * int(timing) + 1, float(timing))
    findings = [examine(seed, times, pulse=bpm, amplitude=0.006, noise=1.5) for seed in (1, 3, 5)]
    for finding in findings:
        assert finding.measures[SHARED] == pytest.approx(bpm, abs=3)
        assert finding.state in ("consistent", "inconclusive")
    # A head that sways at the same rate by chance makes one inconclusive.
    assert sum(finding.state == "consistent" for finding in findings) >= 2
    assert "consistent with a pulse" in next(f for f in findings if f.state == "consistent").observation


def test_most_pulses_of_half_a_per_cent_are_found():
    rates = np.random.default_rng(0).uniform(60, 160, 20)
    findings = [examine(seed, times_of(251), pulse=float(bpm), amplitude=0.005) for seed, bpm in enumerate(rates)]
    assert sum(finding.state == "consistent" for finding in findings) >= 16
    for finding, bpm in zip(findings, rates, strict=True):
        assert finding.measures[SHARED] == pytest.approx(bpm, abs=3)


# --- none ---------------------------------------------------------------------------------------------------------


def test_no_pulse_is_seldom_taken_for_one_and_never_held_against_a_clip():
    states = []
    for seed in range(100, 140):
        noise = float(np.random.default_rng(seed).uniform(0.3, 2.5))
        times = times_of(251) if seed % 2 else uneven_times(seed, 240)
        states.append(examine(seed, times, noise=noise).state)
    assert "inconsistent" not in states
    assert states.count("suspicious") + states.count("consistent") <= FALSE_ALARMS * len(states)


def test_compression_that_hides_the_pulse_is_inconclusive():
    clip = saved_again(track_clip(make_track(1, times_of(251), pulse=72.0, amplitude=0.0005)))
    assert ANALYSIS.examine(clip).state == "inconclusive"


@pytest.mark.parametrize("seed", [0, 1])
def test_a_lamp_that_all_share_is_no_pulse(seed):
    finding = examine(seed, times_of(251), lamp_bpm=90.0)
    assert finding.state == "inconclusive"
    assert finding.measures["peak shared with"] == "the surroundings"


def test_a_nodding_head_is_no_pulse():
    times = times_of(251)
    track = make_track(2, times, pulse=80.0)
    nods = (4 * np.sin(2 * np.pi * 80 / 60 * times))[:, None] * (0.0, 1.0)
    moving = replace(track, landmarks=(track.landmarks + nods[:, None]).astype(np.float32))
    finding = ANALYSIS.examine(track_clip(moving))
    assert finding.state == "inconclusive"
    assert finding.measures["peak shared with"] == "the movement of the face"


# --- two rates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_regions_with_different_clear_rates_are_suspicious(seed):
    rates = {"forehead": 70.0, "left cheek": 70.0, "right cheek": 112.0}
    finding = examine(seed, times_of(251), pulse=rates)
    assert finding.state == "suspicious"
    assert finding.statistic >= 20
    assert "right cheek 112" in finding.observation


def test_a_harmonic_is_not_another_rate():
    finding = examine(3, times_of(251), pulse={"forehead": 60.0, "left cheek": 60.0, "right cheek": 120.0})
    assert finding.state != "suspicious"


# --- too little ---------------------------------------------------------------------------------------------------


def test_short_slow_and_dark_tracks_are_inconclusive():
    assert examine(0, times_of(int(25 * MIN_SECONDS) - 5), pulse=72.0).state == "inconclusive"
    slow = examine(0, times_of(120, 10.0), pulse=72.0)
    assert slow.state == "inconclusive"
    assert "at 10.0 frames per second" in slow.observation
    assert examine(0, times_of(251), pulse=72.0, gain=np.full((251, 3), 0.02)).state == "inconclusive"
    assert ANALYSIS.examine(face_clip(0, 30, eyes_px=9.0)).state == "inconclusive"
    assert ANALYSIS.examine(clip_of(film(0, 30))).state == "not applicable"


def test_a_rate_made_of_repeats_does_not_count():
    shown = np.repeat(np.arange(126), 2)[:251]
    track = make_track(1, times_of(251), pulse=72.0)
    twice = clip_of(film(1, 126, sway=12)[shown], replace(track, faces=track.faces[shown]))
    finding = ANALYSIS.examine(twice)
    assert finding.state == "inconclusive"
    assert "at 12.5 frames per second" in finding.observation


# --- parts --------------------------------------------------------------------------------------------------------


def test_pos_keeps_the_pulse_and_drops_brightness():
    times = np.arange(300) / 30
    beat = np.sin(2 * np.pi * 1.2 * times)[:, None] * (0.33, 0.77, 0.53) / 100
    shine = 0.05 * np.sin(2 * np.pi * 2.1 * times)[:, None]
    signal = pos(np.array([180.0, 130.0, 100.0]) * (1 + beat) * (1 + shine), 30.0)
    power = (np.abs(spectrum_of(signal[None], 30.0)) ** 2).mean(1)[0]
    assert band()[np.argmax(power)] == pytest.approx(1.2, abs=0.03)
    assert signal_to_noise_db(power, 1.2) > 10
    with pytest.raises(ValueError, match="48 samples"):
        pos(np.ones((47, 3)), 30.0)


def test_the_longest_stretch_without_a_gap():
    times = np.concatenate([np.arange(10), np.arange(20, 50), np.arange(60, 65)]) / 10
    assert steady_stretch(times) == slice(10, 40)
    assert steady_stretch(times[:0]) == slice(0, 0)


def test_degenerate_clips_raise_nothing_and_nothing_is_infinite():
    for name, clip in degenerate_clips().items():
        finding = ANALYSIS.examine(clip)
        assert finding.state in ("inconclusive", "not applicable"), name
        assert all(np.isfinite(v) for v in finding.measures.values() if isinstance(v, float)), name
        assert all(np.isfinite(y).all() for plot in finding.plots for y in plot.curves.values()), name


def test_the_same_clip_gives_the_same_finding():
    a, b = (examine(3, times_of(251), pulse=72.0) for _ in range(2))
    assert (a.observation, a.measures, a.statistic) == (b.observation, b.measures, b.statistic)
