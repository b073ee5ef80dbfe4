"""Jitter: an inner face that trembles against its head, against errors of landmarks and movement that do not count."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from clips import (
    clip_of,
    degenerate_clips,
    draw_head,
    face_clip,
    film,
    make_track,
    times_of,
    track_clip,
    trembling,
)

from forensics.analysis.face_tracks import aligned_shape
from forensics.analysis.jitter import ANALYSIS, measure_jitter, regions, relative_shifts, shape_residual
from forensics.faces.mean_shape import five_of

N = 100
NONE_REPEATS = np.zeros(N, bool)


def moved(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    return cv2.warpAffine(picture, matrix, (64, 64), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def test_most_trembling_faces_are_inconsistent():
    states = [ANALYSIS.examine(trembling(seed)).state for seed in range(20)]
    assert states.count("inconsistent") >= 16


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("x", "y"), [(0.5, 0.0), (0.0, -0.8), (0.6, 0.4)])
def test_a_shift_of_the_inner_face_is_measured_and_one_of_the_whole_is_not(seed, x, y):
    head = draw_head(seed)
    inner = regions()[0][..., None]
    wide = cv2.dilate(inner[..., 0], np.ones((9, 9), np.uint8))[..., None]
    slipped = head * (1 - wide) + moved(head, x, y) * wide
    pictures = np.rint(np.stack([head, slipped, moved(head, x, y), head])).clip(0, 255).astype(np.uint8)
    alone, _, together = relative_shifts(pictures)
    assert alone == pytest.approx([x, y], abs=0.2)
    assert np.abs(together).max() < 0.2


def test_errors_of_landmarks_as_a_whole_drop_out():
    rng = np.random.default_rng(0)
    track = make_track(0, times_of(N), noise=0.5)
    shaken = [np.rint(moved(face.astype(np.float32), *rng.normal(0, 0.7, 2))) for face in track.faces]
    before = measure_jitter(track, NONE_REPEATS)
    after = measure_jitter(replace(track, faces=np.clip(shaken, 0, 255).astype(np.uint8)), NONE_REPEATS)
    assert before is not None
    assert after is not None
    assert after.picture < before.picture + 0.6
    trembles = measure_jitter(make_track(0, times_of(N), noise=0.5, shift=rng.normal(0, 0.7, (N, 2))), NONE_REPEATS)
    assert trembles is not None
    assert trembles.picture > before.picture + 1.5


def test_landmarks_that_tremble_against_each_other_count_and_a_moving_face_does_not():
    rng = np.random.default_rng(1)
    clip = face_clip(1, N)
    (track,) = clip.tracks
    noise = rng.normal(0, 0.06 * 34, track.landmarks.shape)
    loose = replace(track, landmarks=(track.landmarks + noise).astype(np.float32))
    assert ANALYSIS.examine(replace(clip, tracks=(loose,))).state == "inconsistent"
    together = np.cumsum(rng.normal(0, 4, (N, 1, 2)), axis=0)
    carried = replace(track, landmarks=(track.landmarks + together).astype(np.float32))
    a, b = (measure_jitter(one, NONE_REPEATS) for one in (track, carried))
    assert a is not None
    assert b is not None
    assert a.landmarks == pytest.approx(b.landmarks, rel=0.02)


def test_without_texture_around_only_the_landmarks_are_compared():
    track = make_track(2, times_of(N))
    faces = track.faces.copy()
    outer = cv2.dilate((regions()[1] > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    faces[:, outer] = 90
    finding = ANALYSIS.examine(track_clip(replace(track, faces=faces)))
    assert finding.measures["inner face against surroundings (% of the eyes' distance)"] is None
    assert "too little texture" in finding.observation
    assert finding.state == "consistent"


def test_shapes_do_not_depend_on_place_size_and_turn():
    target = five_of(aligned_shape())
    turn = np.array([[0.8, -0.6], [0.6, 0.8]])
    bent = target + np.random.default_rng(3).normal(0, 0.5, (5, 2))
    placed = np.stack([bent, 3.0 * bent @ turn.T + (100, 40)]).astype(np.float32)
    a, b = shape_residual(placed)
    assert a == pytest.approx(b, abs=1e-3)
    assert not np.isfinite(shape_residual(np.zeros((1, 5, 2), np.float32))).any()


def test_small_faces_are_not_judged_and_without_faces_it_is_not_applicable():
    assert ANALYSIS.examine(face_clip(4, N, eyes_px=12.0)).state == "inconclusive"
    assert ANALYSIS.examine(clip_of(film(0, 30))).state == "not applicable"


def test_degenerate_clips_raise_nothing_and_nothing_is_infinite():
    for name, clip in degenerate_clips().items():
        finding = ANALYSIS.examine(clip)
        # Landmarks of noise are as loose as any can be: all else cannot be judged, or shows nothing.
        assert finding.state != "inconsistent" or name in ("wild landmarks", "face of noise"), name
        assert all(np.isfinite(v) for v in finding.measures.values() if isinstance(v, float)), name
        assert all(np.isfinite(y).all() for plot in finding.plots for y in plot.curves.values()), name


def test_the_same_clip_gives_the_same_finding():
    a, b = ANALYSIS.examine(trembling(3)), ANALYSIS.examine(trembling(3))
    assert (a.observation, a.measures, a.statistic) == (b.observation, b.measures, b.statistic)
