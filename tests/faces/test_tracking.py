"""Faces through time, with a detector that follows a script: what is detected, what is confirmed, and which track it is."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.faces import tracking
from forensics.faces.canonical import REFERENCE_LANDMARKS
from forensics.faces.tracking import (
    KEYFRAME_EVERY,
    WINDOW_KEYFRAMES,
    FrameFaces,
    Observation,
    Tracker,
    follow_faces,
    is_cut,
    make_thumbnail,
    match_faces,
)
from forensics.faces.types import Face, iou
from forensics.media.types import Sample

WINDOW = KEYFRAME_EVERY * WINDOW_KEYFRAMES
# Keyframes of the first five windows: every fourth, and the last of each window.
KEYFRAMES = {0, 4, 8, 11, 15, 19, 23, 27, 31, 35, 39, 43, 47, 51, 55, 59}

Script = Callable[[int], list[Face]]


def face_at(x: float, y: float = 40.0, size: float = 40.0, confidence: float = 0.99) -> Face:
    box = np.array([x, y, x + size, y + size], np.float32)
    landmarks = (REFERENCE_LANDMARKS * size + [x, y]).astype(np.float32)
    return Face(box, landmarks, confidence)


def picture(number: int, level: int = 100) -> np.ndarray:
    """A flat frame that carries its number in two pixels."""
    pixels = np.full((64, 96, 3), level, np.uint8)
    pixels[0, 0], pixels[0, 1] = number % 250, number // 250
    return pixels


def number_of(pixels: np.ndarray) -> int:
    return int(pixels[0, 0, 0]) + 250 * int(pixels[0, 1, 0])


def samples(n: int, level: Callable[[int], int] = lambda _n: 100, step_s: float = 0.25) -> Iterator[Sample]:
    for number in range(n):
        yield Sample(number, number * step_s, picture(number, level(number)))


class Scripted:
    """Finds what the script says is in a frame; `refine` confirms what lies under the box, if `confirms` allows."""

    name = "scripted"
    min_confidence = 0.9

    def __init__(self, script: Script, confirms: Callable[[int], bool] | None = lambda _n: True) -> None:
        self.script, self.confirms = script, confirms
        self.detected: list[int] = []
        self.refined: list[int] = []

    def detect(self, frames):
        numbers = [number_of(frame) for frame in frames]
        self.detected += numbers
        return [self.script(number) for number in numbers]

    def refine(self, frames, boxes):
        if self.confirms is None:
            return None
        found = []
        for frame, box in zip(frames, boxes, strict=True):
            number = number_of(frame)
            self.refined.append(number)
            near = [face for face in self.script(number) if iou(face.box, box) > 0.5]
            found.append(near[0] if near and self.confirms(number) else None)
        return found


def run(n: int, detector: Scripted, **keywords) -> list[FrameFaces]:
    return list(follow_faces(samples(n, **keywords), detector))


def ids_of(frames: list[FrameFaces]) -> list[list[int]]:
    tracker = Tracker()
    return [tracker.update(frame) for frame in frames]


# --- every sample, once, in order ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=61)
@given(st.integers(0, 60), st.sampled_from(["one", "none", "flicker"]), st.booleans(), st.sampled_from([1, 3, 7, 1000]))
def test_every_sample_comes_out_once_and_in_order(n, kind, can_refine, scene):
    script: Script = {
        "one": lambda _n: [face_at(20)],
        "none": lambda _n: [],
        "flicker": lambda n: [face_at(20)] * (n % 3 > 0),
    }[kind]
    detector = Scripted(script, (lambda n: n % 5 > 0) if can_refine else None)
    frames = run(n, detector, level=lambda number: 40 + 120 * (number // scene % 2))
    assert [frame.sample.index for frame in frames] == list(range(n))
    assert len(detector.detected) == len(set(detector.detected)), "a sample was searched twice"
    # Found exactly where the script has it, whichever way it was found.
    assert [len(frame.observations) for frame in frames] == [len(script(number)) for number in range(n)]
    assert [frame.is_after_cut for frame in frames] == [i > 0 and i % scene == 0 for i in range(n)]


# --- what is detected and what is confirmed -----------------------------------------------------------------------


def test_keyframes_may_be_further_apart_and_nothing_is_missed():
    script: Script = lambda n: [face_at(10 + 0.5 * n)] if n % 20 else []  # noqa: E731
    rare, usual = Scripted(script), Scripted(script)
    found = list(follow_faces(samples(60), rare, keyframe_every=12))
    assert [frame.sample.index for frame in found] == list(range(60))
    assert [len(frame.observations) for frame in found] == [len(script(number)) for number in range(60)]
    run(60, usual)
    assert len(rare.detected) < len(usual.detected)


def test_a_calm_scene_is_detected_at_keyframes_and_confirmed_between():
    detector = Scripted(lambda n: [face_at(10 + 0.5 * n)])
    frames = run(60, detector)
    assert set(detector.detected) == KEYFRAMES
    assert set(detector.refined) == set(range(60)) - KEYFRAMES
    assert len(detector.refined) == 60 - len(KEYFRAMES)
    for number, frame in enumerate(frames):
        (observation,) = frame.observations
        assert observation.found_by == ("detected" if number in KEYFRAMES else "tracked")
        # What is measured anew, not what was interpolated.
        assert observation.face.box[0] == pytest.approx(10 + 0.5 * number)


def test_boxes_are_interpolated_by_time_and_not_by_number():
    times = [0.0, 0.1, 0.2, 0.3, 2.0]
    boxes = []

    class Recording(Scripted):
        def refine(self, frames, given_boxes):
            boxes.extend(float(box[0]) for box in given_boxes)
            return super().refine(frames, given_boxes)

    stream = (Sample(i, t, picture(i)) for i, t in enumerate(times))
    detector = Recording(lambda n: [face_at(10 + 10 * times[n] / 2)])
    list(follow_faces(stream, detector))
    assert boxes == pytest.approx([10.5, 11.0, 11.5])


def test_what_is_not_confirmed_is_searched():
    detector = Scripted(lambda _n: [face_at(20)], confirms=lambda n: n not in (5, 30))
    frames = run(40, detector)
    assert set(detector.detected) == {n for n in KEYFRAMES if n < 40} | {5, 30}
    assert frames[5].observations[0].found_by == "detected"
    assert all(len(frame.observations) == 1 for frame in frames)


def test_when_one_of_two_faces_is_not_confirmed_both_are_searched_and_none_is_doubled():
    def script(n: int) -> list[Face]:
        return [face_at(5)] if n == 6 else [face_at(5), face_at(50)]

    detector = Scripted(script)
    frames = run(10, detector)
    assert 6 in detector.detected
    assert [len(frame.observations) for frame in frames] == [1 if n == 6 else 2 for n in range(10)]
    assert frames[6].observations[0].found_by == "detected"


def test_an_unsure_confirmation_does_not_count():
    def script(n: int) -> list[Face]:
        return [face_at(20, confidence=0.85 if n == 2 else 0.99)]

    frames = run(5, Scripted(script))
    assert [len(frame.observations) for frame in frames] == [1, 1, 0, 1, 1]


def test_faces_that_differ_between_keyframes_are_searched_between():
    detector = Scripted(lambda n: [face_at(5)] if n < 6 else [face_at(5), face_at(50)])
    frames = run(20, detector)
    assert {5, 6, 7} <= set(detector.detected)
    assert not {5, 6, 7} & set(detector.refined)
    assert [len(frame.observations) for frame in frames] == [1] * 6 + [2] * 14


def test_a_face_seen_only_between_empty_keyframes_is_found():
    detector = Scripted(lambda n: [face_at(20)] if n in (5, 6) else [])
    frames = run(12, detector)
    assert [n for n, frame in enumerate(frames) if frame.observations] == [5, 6]


def test_without_a_last_stage_every_sample_is_searched_once():
    detector = Scripted(lambda _n: [face_at(20)], confirms=None)
    frames = run(30, detector)
    assert sorted(detector.detected) == list(range(30))
    assert all(frame.observations[0].found_by == "detected" for frame in frames)


def test_nothing_is_confirmed_across_a_cut():
    detector = Scripted(lambda _n: [face_at(20)])
    frames = run(20, detector, level=lambda n: 40 if n < 6 else 160)
    assert [n for n, frame in enumerate(frames) if frame.is_after_cut] == [6]
    assert {5, 6, 7} <= set(detector.detected)


def test_a_cut_between_windows_is_seen():
    frames = run(WINDOW + 5, Scripted(lambda _n: [face_at(20)]), level=lambda n: 40 if n < WINDOW else 160)
    assert [n for n, frame in enumerate(frames) if frame.is_after_cut] == [WINDOW]


def test_weak_detections_are_no_faces():
    frames = run(8, Scripted(lambda _n: [face_at(5, confidence=0.89), face_at(50, confidence=0.9)]))
    assert all(len(frame.observations) == 1 for frame in frames)
    assert frames[0].observations[0].face.box[0] == 50


# --- memory -------------------------------------------------------------------------------------------------------


def test_frames_are_taken_one_window_at_a_time():
    taken = []

    def counted() -> Iterator[Sample]:
        for sample in samples(3 * WINDOW):
            taken.append(sample.index)
            yield sample

    stream = follow_faces(counted(), Scripted(lambda _n: [face_at(20)]))
    assert taken == []
    most = 0
    for given_out, _ in enumerate(stream, start=1):
        most = max(most, len(taken) - given_out)
    assert most < WINDOW
    assert len(taken) == 3 * WINDOW


def test_a_window_is_bounded_in_bytes_too(monkeypatch):
    monkeypatch.setattr(tracking, "WINDOW_BYTES", 3 * picture(0).nbytes)
    taken = []

    def counted() -> Iterator[Sample]:
        for sample in samples(30):
            taken.append(sample.index)
            yield sample

    stream = follow_faces(counted(), Scripted(lambda _n: [face_at(20)]))
    first = next(stream)
    assert len(taken) == 3
    assert [first.sample.index, *(frame.sample.index for frame in stream)] == list(range(30))


# --- tracks -------------------------------------------------------------------------------------------------------


def test_one_face_is_one_track_and_ids_begin_at_one():
    assert ids_of(run(30, Scripted(lambda n: [face_at(10 + n)]))) == [[1]] * 30


def test_a_cut_ends_all_tracks():
    frames = run(20, Scripted(lambda _n: [face_at(10), face_at(60)]), level=lambda n: 40 if n < 8 else 160)
    assert ids_of(frames) == [[1, 2]] * 8 + [[3, 4]] * 12


def frame(time_s: float, *faces: Face, after_cut: bool = False) -> FrameFaces:
    observations = tuple(Observation(face, "detected") for face in faces)
    return FrameFaces(Sample(0, time_s, picture(0)), observations, after_cut)


def test_a_short_gap_keeps_the_track_and_a_long_one_does_not():
    present = {0.0, 0.25, 1.0, 3.0}
    frames = [frame(t, *([face_at(20)] if t in present else [])) for t in np.arange(0, 3.25, 0.25)]
    found = [ids[0] for ids in ids_of(frames) if ids]
    assert found == [1, 1, 1, 2]


def test_one_missing_sample_is_bridged_however_far_samples_are_apart():
    frames = [frame(0, face_at(20)), frame(10), frame(20, face_at(20)), frame(30), frame(40), frame(50, face_at(20))]
    assert ids_of(frames) == [[1], [], [1], [], [], [2]]


def test_the_order_in_which_faces_are_listed_does_not_matter():
    left, right = face_at(10), face_at(60)
    assert ids_of([frame(0, left, right), frame(0.25, right, left), frame(0.5, right)]) == [[1, 2], [2, 1], [2]]


def test_two_faces_that_pass_each_other_keep_their_ids():
    # They pass at different heights: their boxes overlap, but each overlaps itself more.
    frames = [frame(0.25 * n, face_at(5 + 3 * n, y=10), face_at(65 - 3 * n, y=34)) for n in range(21)]
    assert ids_of(frames) == [[1, 2]] * 21


def test_the_assignment_is_the_best_in_total_and_not_the_first():
    # Each face has moved by a quarter of its width, half way towards where the other one was.
    before, after = [face_at(0), face_at(20)], [face_at(10), face_at(30)]
    assert match_faces(before, after) == [(0, 0), (1, 1)]


def test_faces_far_apart_or_of_other_size_are_not_matched():
    assert match_faces([face_at(0)], [face_at(60)]) == []
    assert match_faces([face_at(0, size=40)], [face_at(0, size=20)]) == []
    assert match_faces([], [face_at(0)]) == match_faces([face_at(0)], []) == []


def test_the_same_box_with_other_landmarks_is_another_face():
    face = face_at(20)
    turned = Face(face.box, face.landmarks + np.float32(0.7 * 40), face.confidence)
    assert match_faces([face], [turned]) == []


# --- cuts ---------------------------------------------------------------------------------------------------------


def cut_between(earlier: np.ndarray, later: np.ndarray) -> bool:
    return is_cut(make_thumbnail(earlier), make_thumbnail(later))


def test_cuts(portrait):
    flipped = np.ascontiguousarray(portrait[::-1])
    assert not cut_between(portrait, portrait)
    assert not cut_between(portrait, np.roll(portrait, 8, 1))
    assert not cut_between(portrait, np.clip(portrait.astype(int) + 12, 0, 255).astype(np.uint8))
    assert cut_between(portrait, np.full_like(portrait, 20))
    assert cut_between(portrait, 255 - portrait)
    assert cut_between(portrait, flipped)
    assert cut_between(portrait, portrait[:-2])


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 60), st.integers(-50, 50), st.integers(1, 60))
def test_iou_counts_pixels(ax, bx, aw, by, bw):
    def cells(x: int, y: int, w: int) -> set[tuple[int, int]]:
        return {(x + i, y + j) for i in range(w) for j in range(w)}

    a, b = np.array([ax, 0, ax + aw, aw], np.float32), np.array([bx, by, bx + bw, by + bw], np.float32)
    first, second = cells(ax, 0, aw), cells(bx, by, bw)
    assert iou(a, b) == pytest.approx(len(first & second) / len(first | second), abs=1e-6)
    assert iou(a, b) == pytest.approx(iou(b, a))
