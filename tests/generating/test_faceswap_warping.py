"""The warp of whole clips and pictures: drawn people in, another's colour out, and what is written beside."""

from concurrent.futures import ThreadPoolExecutor

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from faceswap_clips import GREEN, RED, ColourDetector, blank, draw_face, landmarks_at, moving_person, write_frames

from forensics.common.errors import UsageError
from forensics.common.files import sha256_of_file
from forensics.common.manifest import read_manifest
from forensics.common.progress import Progress
from forensics.faces.types import Face
from generators.faceswap.config import RenderConfig
from generators.faceswap.rendering.rendering import Placed
from generators.faceswap.rendering.source_faces import (
    MOST_POSES,
    POSE_STEP,
    SourceFace,
    _candidate,
    choose,
    nearest,
    source_faces,
)
from generators.faceswap.rendering.warping import WarpPainter, warp

QUIET = Progress(quiet=True)
PLAIN = RenderConfig(colour="none", smooth_s=0.0)


def turned(shift: float, side: float = 80.0) -> np.ndarray:
    """Landmarks whose nose is moved aside: a head that looks that way."""
    points = landmarks_at(30, 30, side)
    points[2, 0] += shift
    return points.astype(np.float32)


def face_with(shift: float) -> Face:
    points = turned(shift)
    return Face(np.concatenate([points.min(0), points.max(0)]), points, 1.0)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    return (
        write_frames(folder / "a.mp4", moving_person(12, GREEN, 90)),
        write_frames(folder / "b.mp4", [*moving_person(9, RED), blank(), blank(), blank()]),
    )


@pytest.fixture(scope="module")
def warped_clip(clips, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "swapped.mp4"
    return warp(*clips, ColourDetector(), output, PLAIN, QUIET, threads=1)


@pytest.fixture(scope="module")
def best_face(clips):
    return source_faces(clips[0], ColourDetector(), QUIET)


def frames_of(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_the_target_wears_the_sources_colour_where_the_mask_says(warped_clip, clips):
    made, masks, before = (frames_of(path) for path in (warped_clip.output, warped_clip.mask, clips[1]))
    assert len(made) == len(masks) == len(before) == 12
    assert (warped_clip.frames, warped_clip.swapped) == (12, 9)
    for k in range(9):
        inside, outside = masks[k][:, :, 0] > 250, cv2.dilate(masks[k][:, :, 0], np.ones((9, 9))) < 3
        assert inside.sum() > 1000
        assert np.abs(np.median(made[k][inside], axis=0) - GREEN).max() < 25
        assert np.abs(made[k][outside].astype(int) - before[k][outside]).mean() < 3
    assert all(mask.max() < 5 for mask in masks[9:])


def test_the_manifest_says_that_it_is_fake_and_whose(warped_clip):
    (row,) = read_manifest(warped_clip.manifest)
    assert (row.label, row.generator, row.identity, row.source) == (1, "landmark-warp", "a", "b")
    assert row.path.name == "swapped.mp4" and row.mask == "swapped.mask.mp4"
    assert (row.extra["pose"], row.extra["source_track"], len(row.extra["source_sha256"])) == ("best", "", 64)
    assert 0 <= float(row.extra["source_time_s"]) < 12 / 25


def test_a_named_track_is_looked_for_in_every_frame(clips):
    detector = ColourDetector()
    (face,) = source_faces(clips[0], detector, QUIET, track=1)
    assert face.sha256 == sha256_of_file(clips[0]) and face.timestamp_s * 25 == pytest.approx(
        round(face.timestamp_s * 25), abs=1e-3
    )
    spared = ColourDetector()
    source_faces(clips[0], spared, QUIET)
    assert detector.calls > spared.calls


def test_a_picture_becomes_a_picture(tmp_path, clips):
    frame = blank()
    draw_face(frame, 60, 40, 90, RED)
    target = tmp_path / "target.png"
    cv2.imwrite(str(target), frame[:, :, ::-1])
    done = warp(clips[0], target, ColourDetector(), tmp_path / "out" / "made.png", PLAIN, QUIET, threads=1)
    made, mask = (cv2.imread(str(path))[:, :, ::-1] for path in (done.output, done.mask))
    np.testing.assert_array_equal(made[mask == 0], frame[mask == 0])
    assert np.abs(np.median(made[mask[:, :, 0] == 255], axis=0) - GREEN).max() < 25
    assert read_manifest(done.manifest)[0].mask == "made.mask.png"
    with pytest.raises(UsageError, match="exists"):
        warp(clips[0], target, ColourDetector(), done.output, PLAIN, QUIET)


@pytest.mark.parametrize(("target", "name", "message"), [(1, "x.png", "is a clip"), (1, "x.gif", "not written")])
def test_an_output_of_another_kind_is_an_error(clips, tmp_path, target, name, message):
    detector = ColourDetector()
    with pytest.raises(UsageError, match=message):
        warp(clips[0], clips[target], detector, tmp_path / name, PLAIN, QUIET)
    assert detector.calls == 0
    assert not (tmp_path / name).exists()


def test_a_source_without_a_face_is_an_error(clips, tmp_path):
    empty = write_frames(tmp_path / "empty.mp4", [blank()] * 3)
    with pytest.raises(UsageError, match="no face"):
        warp(empty, clips[1], ColourDetector(), tmp_path / "x.mp4", PLAIN, QUIET)


def test_a_missing_predictor_is_said_before_anything_is_decoded(clips, tmp_path, monkeypatch):
    def missing():
        raise UsageError("68 landmarks need dlib", "install it")

    monkeypatch.setattr("generators.faceswap.rendering.warping.load_predictor", missing)
    detector = ColourDetector()
    with pytest.raises(UsageError, match="dlib"):
        warp(*clips, detector, tmp_path / "x.mp4", PLAIN, QUIET, landmarks="model")
    assert detector.calls == 0


def test_the_best_face_is_sharp_large_and_frontal():
    faces = [_candidate(0, face_with(14), 9.0), _candidate(1, face_with(0), 8.0), _candidate(2, face_with(0), 2.0)]
    assert [face.index for face in choose(faces, "best")] == [1]
    assert [face.index for face in choose(faces, "nearest")] == [1, 0]
    many = [_candidate(k, face_with(k - 40), 1.0) for k in range(80)]
    kept = choose(many, "nearest")
    assert len(kept) <= MOST_POSES
    assert len({tuple(np.round(face.turn / POSE_STEP).astype(int)) for face in kept}) == len(kept)


def test_the_nearest_pose_is_taken_and_kept_against_flicker():
    faces = [SourceFace(blank(), np.zeros((68, 2)), np.array([yaw, 0.0])) for yaw in (-0.3, 0.0, 0.3)]
    assert nearest(faces, np.array([0.28, 0.0]), None) == 2
    assert nearest(faces, np.array([0.16, 0.0]), 1) == 1
    assert nearest(faces, np.array([0.16, 0.0]), None) == 2
    assert nearest(faces, np.array([0.25, 0.0]), 1) == 2


def test_the_sources_pixels_are_those_of_its_frame(best_face):
    (face,) = best_face
    inside = face.picture[tuple(np.round(face.points[30]).astype(int)[::-1])]
    assert np.abs(inside.astype(int) - GREEN).max() < 30
    assert (face.points >= 0).all() and (face.points < face.picture.shape[1::-1]).all()


def test_landmarks_that_coincide_are_said_and_the_frame_stays(best_face):
    frame = moving_person(1)[0]
    with ThreadPoolExecutor(1) as pool:
        painter = WarpPainter(best_face, "mean", PLAIN, pool)
        (painted,) = painter.paint([frame], [[Placed(1, np.full((5, 2), 50.0), np.zeros(2))]])
    assert painted.problems == ("landmarks that coincide",) and not painted.mask.any()
    np.testing.assert_array_equal(painted.frame, frame)


def test_the_help_teaches():
    from generators.faceswap.cli.warp import command

    shown = CliRunner().invoke(command, ["--help"])
    assert shown.exit_code == 0
    assert "warp A.mp4 B.mp4" in shown.output and "--pose" in shown.output and "--mask" not in shown.output
