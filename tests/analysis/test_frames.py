"""The order of frames: copies, rhythms, jumps and freezes that the test put there, and clips that have none."""

from dataclasses import replace

import numpy as np
import pytest
from clips import clip_of, copied, degenerate_clips, film, saved_again, scenery

from forensics.analysis.frames import ANALYSIS, FREEZE_FRAMES, MAX_IRREGULAR, find_jumps
from forensics.analysis.repetition import MIN_RETURN_FRAMES, find_repeats, find_return, find_rhythm, frame_steps


def examine(gray: np.ndarray, fps: float = 25.0):
    return ANALYSIS.examine(clip_of(gray, fps=fps))


def pan(n: int, step: float = 1.0) -> np.ndarray:
    """A camera that pans evenly over a photograph, with a little noise: (n, 54, 96)."""
    picture = scenery(0)
    rng = np.random.default_rng(1)
    places = np.arange(n) * step
    columns = np.arange(picture.shape[1])
    frames = [
        np.stack([np.interp(x + np.arange(96), columns, row, period=picture.shape[1]) for row in picture[40:94]])
        for x in places
    ]
    return np.clip(np.rint(np.stack(frames) + rng.normal(0, 0.3, (n, 54, 96))), 0, 255).astype(np.uint8)


# --- copies -------------------------------------------------------------------------------------------------------


def test_most_copies_are_found():
    states = [ANALYSIS.examine(copied(seed)).state for seed in range(20)]
    assert states.count("inconsistent") >= 16


@pytest.mark.parametrize(("first", "second", "length"), [(10, 60, 10), (40, 100, 24), (70, 20, 16)])
def test_a_copy_is_found_where_it_is(first, second, length):
    gray = film(3, 150, noise=0.3)
    gray[second : second + length] = gray[first : first + length]
    found = find_return(gray, frame_steps(gray))
    assert found is not None
    assert abs(found.first - min(first, second)) <= 1
    assert found.lag == abs(first - second)
    assert abs(found.length - length) <= 2


def test_a_copy_shorter_than_a_third_of_a_second_is_not_claimed():
    gray = film(3, 150, noise=0.3)
    gray[100:104] = gray[40:44]
    assert find_return(gray, frame_steps(gray)) is None


def test_the_observation_names_both_places():
    gray = film(3, 150, noise=0.3)
    gray[100:120] = gray[40:60]
    finding = examine(gray)
    assert finding.state == "inconsistent"
    assert "from 1.60 s on are shown again from 4.00 s on" in finding.observation
    assert finding.statistic == pytest.approx(20 / MIN_RETURN_FRAMES, abs=0.3)
    assert {words for _, words in finding.plots[0].marks} >= {"shown", "shown again"}


# --- ordinary handling --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [(24, 30), (25, 30), (24, 25), (24, 60), (15, 30), (15, 60), (20, 30)])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_conversion_of_the_rate_is_recognised_and_is_ordinary(source, target, seed):
    n = 240
    shown = np.floor(np.arange(n) * source / target + 0.37).astype(int)
    clip = clip_of(film(seed, n, sway=12, noise=0.3)[shown], fps=target)
    finding = ANALYSIS.examine(saved_again(clip))
    assert finding.state == "consistent"
    assert finding.measures["share of new frames by the rhythm"] == pytest.approx(source / target, abs=0.01)
    assert f"from {source:.1f} to {target:.1f} frames per second" in finding.observation


def test_repeats_at_random_have_no_rhythm():
    rng = np.random.default_rng(0)
    for _ in range(20):
        is_repeat = rng.random(250) < 0.2
        assert find_rhythm(is_repeat, np.ones(250, bool)) is None


def test_repeats_are_found_amid_motion_and_not_in_a_still_scene():
    gray = pan(60)
    gray[30] = gray[29]
    assert np.flatnonzero(find_repeats(frame_steps(gray))).tolist() == [30]
    still = np.repeat(pan(1), 60, axis=0)
    assert not find_repeats(frame_steps(still)).any()
    assert examine(still).state == "inconclusive"


# --- frames left out, and freezes ---------------------------------------------------------------------------------


def test_one_jump_is_told_and_two_are_suspicious():
    shown = np.arange(90)
    one, two = np.delete(shown, [40]), np.delete(shown, [30, 60])
    gray = pan(90, step=0.8)
    assert find_jumps(frame_steps(gray), np.zeros(90, bool)).size == 0
    assert examine(gray).state == "consistent"
    told = examine(gray[one])
    assert (told.state, told.measures["jumps in motion"]) == ("consistent", 1)
    assert "at 1 places (1.60 s)" in told.observation
    suspected = examine(gray[two])
    assert (suspected.state, suspected.measures["jumps in motion"]) == ("suspicious", 2)


def test_many_jumps_do_not_become_a_copy():
    gray = pan(220, step=0.8)
    finding = examine(gray[np.delete(np.arange(220), np.arange(20, 210, 15))])
    assert finding.measures["jumps in motion"] > 10
    assert finding.state == "suspicious"
    assert finding.statistic == MAX_IRREGULAR


def test_a_freeze_amid_motion_is_suspicious_and_a_pause_at_the_end_is_not():
    gray = pan(90)
    frozen = gray.copy()
    frozen[40 : 40 + FREEZE_FRAMES + 1] = gray[40]
    finding = examine(frozen)
    assert (finding.state, finding.measures["freezes"]) == ("suspicious", 1)
    ended = gray.copy()
    ended[70:] = gray[70]
    assert examine(ended).state == "consistent"


def test_a_variable_rate_is_told_and_is_ordinary():
    clip = clip_of(pan(60))
    times = clip.times_s + np.where(np.arange(60) >= 30, 0.1, 0.0)
    finding = ANALYSIS.examine(replace(clip, times_s=times))
    assert finding.state == "consistent"
    assert finding.measures["gaps in time"] == 1


# --- hostile input ------------------------------------------------------------------------------------------------


def test_degenerate_clips_are_never_inconsistent_and_nothing_is_infinite():
    for name, clip in degenerate_clips().items():
        finding = ANALYSIS.examine(clip)
        assert finding.state in ("inconclusive", "not applicable", "consistent"), name
        assert all(np.isfinite(v) for v in finding.measures.values() if isinstance(v, float)), name
        assert all(np.isfinite(y).all() for plot in finding.plots for y in plot.curves.values()), name


def test_the_same_clip_gives_the_same_finding():
    a, b = ANALYSIS.examine(copied(3)), ANALYSIS.examine(copied(3))
    assert (a.observation, a.measures, a.statistic) == (b.observation, b.measures, b.statistic)
