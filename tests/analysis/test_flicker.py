"""Flicker: a face whose light is fitted anew for each frame, against lamps, drift and noise that a camera explains."""

from dataclasses import replace

import numpy as np
import pytest
from clips import (
    clip_of,
    degenerate_clips,
    face_clip,
    film,
    flickering,
    make_track,
    times_of,
    track_clip,
)

from forensics.analysis.flicker import ANALYSIS, light_and_colour, measure_flicker, second_differences

N = 100
NONE_REPEATS = np.zeros(N, bool)


def test_most_faces_lit_anew_per_frame_are_inconsistent():
    states = [ANALYSIS.examine(flickering(seed)).state for seed in range(20)]
    assert states.count("inconsistent") >= 16


@pytest.mark.parametrize("spread", [0.01, 0.03])
def test_the_spread_is_measured_in_per_cent(spread):
    n = 3 * N
    gain = 1 + np.repeat(np.random.default_rng(0).normal(0, spread, (n, 1)), 3, 1)
    flicker = measure_flicker(make_track(0, times_of(n), gain=gain), np.zeros(n, bool))
    assert flicker is not None
    assert flicker.alone[0] == pytest.approx(100 * spread, rel=0.25)
    assert flicker.alone[1] < 0.3 * flicker.alone[0]


def test_colour_alone_is_seen_too():
    rng = np.random.default_rng(1)
    gain = np.ones((N, 3))
    gain[:, 0] += rng.normal(0, 0.03, N)
    flicker = measure_flicker(make_track(1, times_of(N), gain=gain), NONE_REPEATS)
    assert flicker is not None
    assert flicker.alone[1] == pytest.approx(3.0, rel=0.25)
    assert flicker.ratio > 4


def test_a_lamp_that_flickers_on_everything_is_ordinary():
    rng = np.random.default_rng(2)
    lamp = 1 + rng.normal(0, 0.04, (N, 1))
    track = make_track(2, times_of(N))
    faces = np.clip(track.faces * lamp[:, None, None], 0, 255).astype(np.uint8)
    lit = replace(track, faces=faces, around=(track.around * lamp).astype(np.float32))
    finding = ANALYSIS.examine(track_clip(lit))
    assert finding.state == "consistent"
    assert finding.measures["brightness: surroundings (%)"] > 3
    alone = ANALYSIS.examine(track_clip(replace(track, faces=faces)))
    assert alone.state == "inconsistent"


def test_slow_light_and_repeated_frames_do_not_count():
    ramp = np.linspace(0.7, 1.2, N)[:, None] * np.ones(3)
    times = times_of(N)
    assert ANALYSIS.examine(face_clip(3, N, gain=ramp)).state == "consistent"
    shown = np.repeat(np.arange(N // 2), 2)
    track = make_track(3, times)
    twice = clip_of(film(3, N)[shown], replace(track, faces=track.faces[shown], around=track.around[shown]))
    assert ANALYSIS.examine(twice).state == "consistent"


def test_the_worst_of_several_faces_is_named():
    rng = np.random.default_rng(4)
    calm = make_track(4, times_of(N))
    wild = replace(make_track(5, times_of(N), gain=1 + rng.normal(0, 0.05, (N, 3))), id=7)
    finding = ANALYSIS.examine(replace(track_clip(calm), tracks=(calm, wild)))
    assert finding.measures["face"] == 7
    assert finding.measures["faces judged"] == 2
    assert "face 7" in finding.observation
    assert finding.plots[0].name == "flicker-face-7"


@pytest.mark.parametrize("wrong", [{"eyes_px": 10.0}, {"gain": np.full((N, 3), 0.01)}])
def test_small_and_dark_faces_are_not_judged(wrong):
    rng = np.random.default_rng(6)
    shaken = {"gain": 1 + rng.normal(0, 0.05, (N, 3)), **wrong}
    assert ANALYSIS.examine(face_clip(6, N, **shaken)).state == "inconclusive"


def test_without_faces_it_is_not_applicable():
    assert ANALYSIS.examine(clip_of(film(0, 30))).state == "not applicable"


def test_second_differences_keep_the_spread_of_noise_and_lose_slopes():
    at = np.column_stack([np.arange(4998) + k for k in range(3)])
    noise = np.random.default_rng(7).normal(0, 2.0, 5000)
    assert second_differences(noise, at).std() == pytest.approx(2.0, rel=0.05)
    assert np.abs(second_differences(np.arange(5000.0), at)).max() < 1e-9


def test_colour_ratios_do_not_see_brightness():
    rgb = np.array([[100.0, 120.0, 90.0], [50.0, 60.0, 45.0]])
    light = light_and_colour(rgb)
    assert light[0, 0] - light[1, 0] == pytest.approx(np.log(2), abs=0.02)
    assert light[0, 1:] == pytest.approx(light[1, 1:], abs=0.01)


def test_degenerate_clips_raise_nothing_and_nothing_is_infinite():
    for name, clip in degenerate_clips().items():
        finding = ANALYSIS.examine(clip)
        # Noise instead of a face does flicker: all else cannot be judged, or shows nothing.
        assert finding.state != "inconsistent" or name == "face of noise", name
        assert all(np.isfinite(v) for v in finding.measures.values() if isinstance(v, float)), name
        assert all(np.isfinite(y).all() for plot in finding.plots for y in plot.curves.values()), name


def test_the_same_clip_gives_the_same_finding():
    a, b = ANALYSIS.examine(flickering(3)), ANALYSIS.examine(flickering(3))
    assert (a.observation, a.measures, a.statistic) == (b.observation, b.measures, b.statistic)
