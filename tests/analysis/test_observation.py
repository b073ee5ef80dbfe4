"""What is kept of a clip in one pass: grey pictures, faces laid on the mean face, rings; and its bounds."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from clips import make_track, times_of

from forensics.analysis import observation
from forensics.analysis.face_tracks import (
    FACE_PX,
    aligned_shape,
    eye_distance_px,
    face_mask,
    robust_sd,
    skin_regions,
    state_of,
    triples,
)
from forensics.analysis.observation import GRAY_PX, MAX_TRACKS, MIN_TRACK_FRAMES, align_face, observe, ring_mean
from forensics.faces.mean_shape import five_of
from forensics.faces.types import Face
from forensics.media.types import Sample


class Scripted:
    """Finds faces at the squares that the script has for the number that is written into the frame's first pixel."""

    name = "scripted"
    min_confidence = 0.5

    def __init__(self, script) -> None:
        self.script = script

    def detect(self, frames):
        return [self.script(int(frame[0, 0, 0])) for frame in frames]

    def refine(self, frames, boxes):
        return None


def face_at(x: float, y: float, size: float) -> Face:
    marks = five_of(aligned_shape()) / FACE_PX * size + (x, y)
    return Face(np.array([x, y, x + size, y + size], np.float32), marks.astype(np.float32), 0.99)


def frame_of(number: int, height: int = 180, width: int = 320, level: int = 90) -> np.ndarray:
    pixels = np.full((height, width, 3), level, np.uint8)
    pixels[0, 0] = number % 256
    return pixels


def samples(n: int, step_s: float = 0.04, **keywords: int) -> Iterator[Sample]:
    for number in range(n):
        yield Sample(number, number * step_s, frame_of(number, **keywords))


# --- one pass -----------------------------------------------------------------------------------------------------


def test_all_frames_and_one_track():
    clip = observe(samples(30), Scripted(lambda n: [face_at(40 + n, 50, 80)]), 1.2)
    assert clip.times_s == pytest.approx(np.arange(30) * 0.04)
    assert clip.gray.shape == (30, 54, 96)
    assert clip.gray.dtype == np.uint8
    assert clip.scale == pytest.approx(320 / 96)
    assert clip.is_complete
    (track,) = clip.tracks
    assert track.frames.tolist() == list(range(30))
    assert track.times_s == pytest.approx(clip.times_s)
    assert track.landmarks.shape == (30, 5, 2)
    assert track.faces.shape == (30, FACE_PX, FACE_PX, 3)
    assert track.around.shape == (30, 3)
    assert track.around == pytest.approx(90.0)
    assert eye_distance_px(track) == pytest.approx(80 / FACE_PX * 0.52 * 32, rel=0.1)


def test_a_missing_face_leaves_a_gap_and_keeps_the_indices_of_frames():
    clip = observe(samples(40), Scripted(lambda n: [] if 10 <= n < 15 else [face_at(40, 50, 80)]), 1.6)
    (track,) = clip.tracks
    assert track.frames.tolist() == [*range(10), *range(15, 40)]
    assert track.times_s == pytest.approx(clip.times_s[track.frames])


def test_a_first_part_is_not_complete():
    assert observe(samples(30), Scripted(lambda _n: []), 60.0).is_complete is False
    cut = observe(samples(30), Scripted(lambda _n: []), 1.2, max_frames=20)
    assert len(cut.times_s) == 20
    assert cut.is_complete is False


def test_no_more_frames_are_taken_than_wanted_and_a_window_at_a_time():
    taken = []

    def counted() -> Iterator[Sample]:
        for sample in samples(500):
            taken.append(sample.index)
            yield sample

    observe(counted(), Scripted(lambda _n: []), 20.0, max_frames=50)
    assert taken == list(range(50))


def test_times_that_do_not_rise_are_left_out():
    times = [0.0, 0.04, 0.04, 0.02, 0.08, 0.12]
    stream = (Sample(i, t, frame_of(i)) for i, t in enumerate(times))
    clip = observe(stream, Scripted(lambda _n: []), 0.16)
    assert clip.times_s == pytest.approx([0.0, 0.04, 0.08, 0.12])


def test_only_the_longest_tracks_are_kept(monkeypatch):
    monkeypatch.setattr(observation, "MAX_OPEN_TRACKS", 9)

    def script(n: int) -> list[Face]:
        # Twelve places in a row; the later ones are seen for fewer frames.
        return [face_at(5 + 26 * place, 40, 24) for place in range(12) if n < 40 - 2 * place]

    clip = observe(samples(40), Scripted(script), 1.6)
    lengths = [len(track.frames) for track in clip.tracks]
    assert len(lengths) == MAX_TRACKS
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[0] == 40


def test_a_moment_of_a_face_is_no_track():
    clip = observe(samples(40), Scripted(lambda n: [face_at(40, 50, 80)] * (n < MIN_TRACK_FRAMES - 1)), 1.6)
    assert clip.tracks == ()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 8), (1, 500), (500, 1), (30, 20)])
def test_odd_shapes_and_a_change_of_size(height, width):
    clip = observe(samples(30, height=height, width=width), Scripted(lambda _n: [face_at(2, 2, 30)]), 1.2)
    assert max(clip.gray.shape[1:]) == GRAY_PX
    assert min(clip.gray.shape[1:]) >= 1
    stream = (Sample(i, i * 0.04, frame_of(i, height + i % 2, width + 3)) for i in range(20))
    assert observe(stream, Scripted(lambda _n: []), 0.8).gray.shape[0] == 20


def test_no_frames_and_broken_landmarks():
    empty = observe(iter(()), Scripted(lambda _n: []), 0.0)
    assert (len(empty.times_s), empty.gray.shape[0], empty.tracks) == (0, 0, ())

    def broken(n: int) -> list[Face]:
        good = face_at(40, 50, 80)
        marks = good.landmarks * 0 if n % 3 == 0 else good.landmarks * np.nan if n % 3 == 1 else good.landmarks
        return [Face(good.box, marks, 0.99)]

    clip = observe(samples(60), Scripted(broken), 2.4)
    assert all(np.isfinite(track.landmarks).all() for track in clip.tracks)


def test_it_is_deterministic():
    a, b = (observe(samples(20), Scripted(lambda n: [face_at(40 + n, 50, 80)]), 0.8) for _ in range(2))
    assert np.array_equal(a.gray, b.gray)
    assert np.array_equal(a.tracks[0].faces, b.tracks[0].faces)


# --- faces --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "degrees"), [(40, 0), (64, 20), (150, -15), (300, 0)])
def test_a_face_comes_to_lie_on_the_mean_face(size, degrees):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    marks = (five_of(aligned_shape()) - 32) / FACE_PX * size @ turn.T + (200, 180)
    frame = np.full((360, 400, 3), 40, np.uint8)
    for k, (x, y) in enumerate(marks):
        cv2.circle(frame, (round(x), round(y)), max(2, size // 20), (255 if k < 2 else 200, 200, 200), -1)
    luma = cv2.cvtColor(align_face(frame, marks), cv2.COLOR_RGB2GRAY).astype(float)
    for x, y in five_of(aligned_shape()):
        spot = luma[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5] - 40
        row, column = np.mgrid[-4:5, -4:5]
        offset = np.array([(spot * column).sum(), (spot * row).sum()]) / spot.sum()
        assert np.add(offset, (round(x), round(y))) == pytest.approx([x, y], abs=1.0)


def test_a_reduced_face_does_not_alias():
    board = (np.indices((600, 600)).sum(0) % 2 * 255).astype(np.uint8)
    marks = five_of(aligned_shape()) * 8 + 40
    assert align_face(np.repeat(board[..., None], 3, 2), marks).std() < 4


def test_regions_lie_in_the_face_and_apart():
    masks = list(skin_regions().values())
    assert len(masks) == 3
    assert all(mask.sum() > 60 for mask in masks)
    assert np.sum(masks, axis=0).max() == 1
    assert not (np.any(masks, axis=0) & ~face_mask()).any()
    eyes = np.rint(five_of(aligned_shape())[:2]).astype(int)
    assert not any(mask[y, x] for mask in masks for x, y in eyes)


def test_a_portraits_regions_are_skin(portrait):
    marks = np.array([[203.4, 103.6], [247.5, 104.4], [224.1, 127.7], [204.0, 143.1], [242.9, 143.7]])
    face = align_face(portrait, marks).astype(float)
    for name, mask in skin_regions().items():
        red, green, blue = face[mask].mean(0)
        assert red > green > blue, name
    assert face[skin_regions()["left cheek"]].std(0).max() < 40


# --- rings and helpers --------------------------------------------------------------------------------------------


def test_the_ring_leaves_the_box_out():
    frame = np.full((100, 100, 3), 50, np.uint8)
    frame[40:60, 40:60] = 250
    box = np.array([40, 40, 60, 60], np.float32)
    assert ring_mean(frame, box) == pytest.approx(50.0)
    frame[34:66, 34:40] = 110  # 32 x 6 of the ring's 32 x 32 - 20 x 20 pixels
    assert ring_mean(frame, box) == pytest.approx(50 + 60 * 32 * 6 / 624, abs=0.01)
    everything = np.array([-5, -5, 200, 200], np.float32)
    assert ring_mean(frame, everything) == pytest.approx(frame.mean((0, 1)), abs=0.01)
    assert np.isfinite(ring_mean(frame, np.array([500, 500, 520, 520], np.float32))).all()


def test_triples_step_over_repeats_and_not_over_gaps():
    track = make_track(0, times_of(20))
    is_repeat = np.zeros(20, bool)
    is_repeat[5] = True
    found = triples(track, is_repeat).tolist()
    assert [3, 4, 6] in found
    assert not any(5 in three for three in found)
    assert len(found) == 17
    kept = np.array([*range(8), *range(14, 20)])
    parts = (track.frames, track.times_s, track.landmarks, track.faces, track.around)
    gappy = type(track)(1, *(part[kept] for part in parts))
    assert all(three[2] <= 7 or three[0] >= 8 for three in triples(gappy, np.zeros(20, bool)))
    assert triples(gappy, np.ones(20, bool)).shape == (0, 3)


def test_states_and_spreads():
    assert (state_of(1.9, 2, 4), state_of(2.0, 2, 4)) == ("consistent", "suspicious")
    assert (state_of(3.9, 2, 4), state_of(4.0, 2, 4)) == ("suspicious", "inconsistent")
    values = np.random.default_rng(0).normal(3, 2, 5000)
    assert robust_sd(np.append(values, [1e9] * 50)) == pytest.approx(2, rel=0.05)
    assert robust_sd(np.zeros(0)) == 0.0
