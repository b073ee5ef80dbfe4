"""A clip's faces through time: every frame, its time, whose face; on clips that are drawn here."""

from pathlib import Path

import numpy as np
import pytest
from faceswap_clips import GREEN, RED, ColourDetector, blank, draw_face, moving_person, write_frames

from forensics.common.errors import MediaError, UsageError
from forensics.common.progress import Progress
from forensics.faces.types import Face
from forensics.media.reader import MediaReader
from forensics.media.types import DecodeSummary, MediaInfo, Sample
from generators.faceswap.extraction.tracks import (
    ClipFaces,
    FrameFaces,
    TrackedFace,
    chosen_tracks,
    follow_clip,
    load_face_detector,
    track_spans,
)

QUIET = Progress(quiet=True)


def frame_of(index: int, time_s: float, sizes: dict[int, float]) -> FrameFaces:
    """A frame with a face of each size, by track."""
    faces = tuple(
        TrackedFace(track, Face(np.array([0, 0, size, size], np.float32), np.zeros((5, 2), np.float32), 1.0))
        for track, size in sizes.items()
    )
    return FrameFaces(index, time_s, False, faces)


def clip_of(frames: list[FrameFaces]) -> ClipFaces:
    info = MediaInfo("video", "mp4", "h264", 100, 100)
    return ClipFaces(Path("drawn.mp4"), "0" * 64, info, DecodeSummary(len(frames), len(frames)), tuple(frames))


@pytest.fixture(scope="module")
def two_people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.2 s of 25 frames a second: a small red face all the time, a large green one in frames 10 to 19."""
    frames = []
    for index in range(30):
        frame = blank()
        draw_face(frame, 10 + index, 20, 40, RED, index)
        if 10 <= index < 20:
            draw_face(frame, 140, 40 + index - 10, 90, GREEN, index)
        frames.append(frame)
    return write_frames(tmp_path_factory.mktemp("clips") / "two.mp4", frames)


def test_every_frame_with_its_time_and_tracks(two_people: Path) -> None:
    seen = []
    with MediaReader() as reader:
        clip = follow_clip(
            two_people, ColourDetector(), QUIET, reader=reader,
            on_frame=lambda sample, found: seen.append((sample.index, sample.pixels.shape, len(found.faces))),
        )  # fmt: skip
    assert [frame.index for frame in clip.frames] == list(range(30))
    assert [frame.timestamp_s for frame in clip.frames] == pytest.approx([i / 25 for i in range(30)], abs=1e-4)
    assert [shape for _, shape, _ in seen] == [(160, 240, 3)] * 30
    assert [n for *_, n in seen] == [2 if 10 <= i < 20 else 1 for i in range(30)]
    assert clip.summary.is_complete
    assert {tracked.track for frame in clip.frames for tracked in frame.faces} == {1, 2}
    for index, frame in enumerate(clip.frames):
        red = next(tracked.face for tracked in frame.faces if tracked.track == 1)
        assert red.box.tolist() == pytest.approx([10 + index, 20, 50 + index, 60], abs=2.5)
    # 40 px x 1.2 s against 90 px x 0.4 s.
    assert [(span.track, span.frames) for span in clip.spans()] == [(1, 30), (2, 10)]
    assert clip.spans()[0].weight == pytest.approx(48, rel=0.1)
    assert chosen_tracks(clip) == (1,)


def test_fewer_frames_a_second_and_at_most(two_people: Path) -> None:
    spread = follow_clip(two_people, ColourDetector(), QUIET, fps=5)
    assert 6 <= len(spread.frames) <= 7
    assert spread.frames[-1].timestamp_s > 0.9
    assert [frame.index for frame in follow_clip(two_people, ColourDetector(), QUIET, max_frames=4).frames] == [
        0,
        1,
        2,
        3,
    ]


def test_weight_is_size_times_time() -> None:
    # Frames 0.1 s apart; then a gap of 5 s, of which no face gets more than a second.
    frames = [frame_of(i, i / 10, {1: 100.0, 2: 30.0}) for i in range(3)]
    frames += [frame_of(3, 0.3, {2: 30.0}), frame_of(4, 5.3, {2: 30.0})]
    spans = {span.track: span for span in track_spans(frames)}
    assert spans[1].weight == pytest.approx(100 * 0.3)
    assert spans[2].weight == pytest.approx(30 * (0.3 + 1.0 + 1.0))
    assert [span.track for span in track_spans(frames)] == [2, 1]
    assert spans[2].share == 1
    assert spans[1].share == pytest.approx(3 / 5)
    assert spans[1].last_s == pytest.approx(0.2)
    assert track_spans([]) == ()


def test_choice_of_tracks() -> None:
    clip = clip_of([frame_of(i, i / 25, {1: 50.0, 4: 80.0, 7: 20.0}) for i in range(5)])
    assert chosen_tracks(clip) == (4,)
    assert chosen_tracks(clip, (7, 1)) == (1, 7)
    assert chosen_tracks(clip, "all") == (1, 4, 7)
    with pytest.raises(UsageError, match="no track 3") as caught:
        chosen_tracks(clip, (1, 3))
    assert "1, 4, 7" in caught.value.hint
    assert chosen_tracks(clip_of([frame_of(0, 0, {})])) == ()


def test_a_picture_is_a_clip_of_one_frame(tmp_path: Path) -> None:
    import cv2

    path = tmp_path / "still.png"
    cv2.imwrite(str(path), moving_person(1)[0][:, :, ::-1])
    clip = follow_clip(path, ColourDetector(), QUIET)
    assert [len(frame.faces) for frame in clip.frames] == [1]
    assert clip.spans()[0].weight > 0


def test_a_clip_that_breaks_off_gives_what_came_before(tmp_path: Path, clip_writer) -> None:
    whole = clip_writer(tmp_path / "whole.mkv", moving_person(60))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    clip = follow_clip(cut, ColourDetector(), QUIET)
    assert 10 < len(clip.frames) < 60
    assert all(frame.faces for frame in clip.frames)
    assert clip.frames[5].timestamp_s == pytest.approx(5 / 25, abs=2e-3)


class BrokenReader:
    """A decoder that dies after some frames."""

    info = MediaInfo("video", "mp4", "h264", 240, 160, frames_found=50)
    summary = None

    def __init__(self, n: int) -> None:
        self.n = n

    def open(self, _path, _sampling):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def __iter__(self):
        for index, frame in enumerate(moving_person(self.n)):
            yield Sample(index, index / 25, frame)
        raise MediaError("the decoder crashed on this file (status 11)")


def test_a_decoder_that_dies_is_told_of(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"any")
    clip = follow_clip(path, ColourDetector(), QUIET, reader=BrokenReader(20))
    # The window that was being filled when it died is lost.
    assert 0 < len(clip.frames) <= 20
    assert not clip.summary.is_complete
    assert clip.summary.errors == ("the decoder crashed on this file (status 11)",)
    with pytest.raises(MediaError, match="crashed"):
        follow_clip(path, ColourDetector(), QUIET, reader=BrokenReader(0))


def test_what_is_no_clip_is_an_error(tmp_path: Path) -> None:
    text = tmp_path / "a.mp4"
    text.write_text("ffconcat version 1.0\nfile other.mp4\n")
    with pytest.raises(MediaError, match="playlist"):
        follow_clip(text, ColourDetector(), QUIET)
    with pytest.raises(MediaError, match="cannot read"):
        follow_clip(tmp_path / "missing.mp4", ColourDetector(), QUIET)


def test_detectors_by_name() -> None:
    with pytest.raises(UsageError, match="needs its model"):
        load_face_detector("yunet")
    with pytest.raises(UsageError, match="no face detector"):
        load_face_detector("haar")
