"""Appearance along a track: a face that becomes another within a shot, against light, blinks and cuts."""

from dataclasses import replace

import numpy as np
import pytest
from clips import (
    changing,
    clip_of,
    degenerate_clips,
    draw_head,
    face_clip,
    film,
    make_track,
    times_of,
)

from forensics.analysis.identity import ANALYSIS, WINDOW, appearance, find_jump

N = 100


def test_most_faces_that_become_another_are_inconsistent():
    states = [ANALYSIS.examine(changing(seed)).state for seed in range(20)]
    assert states.count("inconsistent") >= 16


@pytest.mark.parametrize("frame", [30, 50, 71])
def test_the_jump_is_found_at_its_frame(frame):
    clip = face_clip(0, N, other_from=frame)
    jump = find_jump(clip.tracks[0], np.ones(N))
    assert jump is not None
    assert abs(jump.position - frame) <= 1
    finding = ANALYSIS.examine(clip)
    assert finding.measures["time (s)"] == pytest.approx(frame / 25, abs=0.05)
    assert f"{clip.times_s[jump.position]:.2f} s" in finding.observation
    assert finding.plots[0].marks[0][1] == "largest jump"


def test_other_people_differ_more_than_one_under_other_light():
    heads = [draw_head(seed) for seed in range(8)]
    described = appearance(np.rint(heads).astype(np.uint8))
    darker = appearance(np.rint([0.6 * head for head in heads]).astype(np.uint8))
    sloped = appearance(np.rint([head * np.linspace(0.8, 1.1, 64)[None, :, None] for head in heads]).astype(np.uint8))
    own = max(np.linalg.norm(described - other, axis=1).max() for other in (darker, sloped))
    between = np.linalg.norm(described[:, None] - described[None], axis=2)
    assert own < 0.75 * between[~np.eye(8, dtype=bool)].min()
    assert np.linalg.norm(described, axis=1).max() <= 1


def test_a_change_that_does_not_last_is_none():
    clip = face_clip(1, N)
    other = face_clip(1, N, other_from=0)
    faces = clip.tracks[0].faces.copy()
    faces[50 : 50 + WINDOW // 3] = other.tracks[0].faces[50 : 50 + WINDOW // 3]
    assert ANALYSIS.examine(replace(clip, tracks=(replace(clip.tracks[0], faces=faces),))).state == "consistent"


def test_a_change_of_the_whole_picture_or_of_all_the_head_is_none():
    clip = face_clip(2, N)
    (track,) = clip.tracks
    other = make_track(9, times_of(N))
    late = np.arange(N) >= 50
    another_head = np.where(late[:, None, None, None], other.faces, track.faces)
    assert ANALYSIS.examine(replace(clip, tracks=(replace(track, faces=another_head),))).state == "consistent"
    swapped = face_clip(2, N, other_from=50)
    assert ANALYSIS.examine(swapped).state == "inconsistent"
    gray = swapped.gray.copy()
    gray[50:] = np.roll(gray[50:], 30, axis=2)
    assert ANALYSIS.examine(replace(swapped, gray=gray)).state == "consistent"


def test_a_face_that_changes_while_it_is_not_seen_is_not_judged_there():
    clip = face_clip(3, N, other_from=50)
    (track,) = clip.tracks
    kept = np.concatenate([np.arange(45), np.arange(55, N)])
    parts = (track.frames, track.times_s, track.landmarks, track.faces, track.around)
    gappy = type(track)(1, *(part[kept] for part in parts))
    assert ANALYSIS.examine(replace(clip, tracks=(gappy,))).state == "consistent"


def test_short_tracks_are_not_judged_and_without_faces_it_is_not_applicable():
    assert ANALYSIS.examine(face_clip(4, 4 * WINDOW - 1)).state == "inconclusive"
    assert ANALYSIS.examine(clip_of(film(0, 30))).state == "not applicable"


def test_degenerate_clips_raise_nothing_and_nothing_is_infinite():
    for name, clip in degenerate_clips().items():
        finding = ANALYSIS.examine(clip)
        assert finding.state != "inconsistent", name
        assert all(np.isfinite(v) for v in finding.measures.values() if isinstance(v, float)), name
        assert all(np.isfinite(y).all() for plot in finding.plots for y in plot.curves.values()), name


def test_the_same_clip_gives_the_same_finding():
    a, b = ANALYSIS.examine(changing(3)), ANALYSIS.examine(changing(3))
    assert (a.observation, a.measures, a.statistic) == (b.observation, b.measures, b.statistic)
