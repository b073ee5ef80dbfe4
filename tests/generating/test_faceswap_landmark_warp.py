"""The warp: triangles land where they must, the own face stays, only the mask changes."""

import cv2
import numpy as np
import pytest

from forensics.faces.mean_shape import MEAN_SHAPE
from generators.faceswap.rendering.landmark_warp import WarpSettings, mean_triangles, triangle_map, warp_face

PLAIN = WarpSettings(colour="none", blend="alpha", erode_share=0.0, feather_share=0.0)
# The face of the portrait, by its five landmarks.
PORTRAIT_POINTS = (MEAN_SHAPE - MEAN_SHAPE[30]) * 82 + [226, 127]


def coordinates(height: int, width: int) -> np.ndarray:
    """A picture whose red and green tell x and y."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, 128)], 2).astype(np.uint8)


def test_two_known_triangles_go_where_their_corners_go():
    here = np.array([[10.0, 10], [50, 10], [50, 50], [10, 50]])
    there = np.array([[100.0, 20], [180, 20], [180, 60], [100, 100]])
    map_x, map_y, inside = triangle_map(here, there, np.array([[0, 1, 3], [1, 2, 3]], np.int32), 64, 64)
    # A quarter along both edges of the first triangle; the middle of the second's long edge and its corner.
    assert (map_x[20, 20], map_y[20, 20]) == pytest.approx((120, 40), abs=1e-3)
    weights = np.array([0.25, 0.5, 0.25])
    x, y = np.round(weights @ here[[1, 2, 3]]).astype(int)
    assert (map_x[y, x], map_y[y, x]) == pytest.approx(tuple(weights @ there[[1, 2, 3]]), abs=1e-3)
    assert inside[10:51, 10:51].all() and not inside[:9].any() and not inside[:, 52:].any()
    assert map_x[0, 0] == -1 and map_y[0, 0] == -1


def test_a_triangle_without_area_is_left_out():
    here = np.array([[10.0, 10], [30, 10], [50, 10], [10, 50]])
    map_x, _, inside = triangle_map(here, here + 7, np.array([[0, 1, 2], [0, 2, 3]], np.int32), 64, 64)
    assert np.isfinite(map_x).all() and inside.sum() > 500
    assert map_x[20, 20] == pytest.approx(27, abs=1e-3)


def test_the_mean_faces_triangles_tile_its_hull():
    triangles = mean_triangles(0.1)
    assert set(triangles.ravel().tolist()) == set(range(78))
    points = np.concatenate([MEAN_SHAPE, MEAN_SHAPE[17:27] + 0.1 * (MEAN_SHAPE[17:27].mean(0) - MEAN_SHAPE[8])])
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]).sum() / 2
    assert area == pytest.approx(cv2.contourArea(cv2.convexHull(points.astype(np.float32))), rel=1e-5)


@pytest.mark.parametrize("blend", ["alpha", "poisson"])
@pytest.mark.parametrize("colour", ["none", "lab", "histogram"])
def test_the_own_face_stays(portrait, blend, colour):
    settings = WarpSettings(colour=colour, blend=blend)
    out, used = warp_face(portrait, PORTRAIT_POINTS, portrait, PORTRAIT_POINTS, settings)
    np.testing.assert_array_equal(out[used == 0], portrait[used == 0])
    assert (used > 0).sum() > 5000
    limit = 0 if (blend, colour) == ("alpha", "none") else 3
    assert np.abs(out.astype(int) - portrait)[used > 0].max() <= limit


@pytest.mark.parametrize("angle_deg", [0, 25])
def test_every_pixel_of_a_moved_face_comes_from_its_place(angle_deg):
    source = coordinates(256, 256)
    source_points = (MEAN_SHAPE - 0.5) * 90 + 120
    turn = cv2.getRotationMatrix2D((120, 120), angle_deg, 1.4) + np.array([[0, 0, 90], [0, 0, 60]])
    target_points = source_points @ turn[:, :2].T + turn[:, 2]
    target = np.zeros((400, 420, 3), np.uint8)
    out, used = warp_face(source, source_points, target, target_points, PLAIN)
    y, x = np.nonzero(used == 255)
    assert len(y) > 10_000
    back = cv2.invertAffineTransform(turn)
    wanted = np.column_stack([x, y]) @ back[:, :2].T + back[:, 2]
    assert np.abs(out[y, x, :2] - wanted).max() < 1.01
    assert not out[used == 0].any()


def test_a_larger_source_is_averaged(portrait):
    """A chequerboard of single pixels, four times reduced, is grey; skipped pixels would leave a pattern."""
    y, x = np.mgrid[:800, :800]
    board = np.repeat((((x + y) % 2) * 255).astype(np.uint8)[:, :, None], 3, 2)
    out, used = warp_face(board, (MEAN_SHAPE - 0.5) * 400 + 400, portrait, PORTRAIT_POINTS, PLAIN)
    inside = out[used == 255].astype(float)
    assert inside.std() < 8 and inside.mean() == pytest.approx(127.5, abs=3)


def test_an_open_mouth_takes_its_place(portrait):
    """The lower lip of the source, painted, lies on the lower lip of a target whose mouth is open."""
    source = portrait.copy()
    cv2.circle(source, tuple(np.round(PORTRAIT_POINTS[57]).astype(int).tolist()), 3, (0, 255, 0), -1)
    opened = PORTRAIT_POINTS.copy()
    opened[[55, 56, 57, 58, 59, 65, 66, 67]] += [0, 8]
    out, _ = warp_face(source, PORTRAIT_POINTS, portrait, opened, PLAIN)
    x, y = np.round(opened[57]).astype(int)
    assert out[y, x].tolist() == pytest.approx([0, 255, 0], abs=30)


@pytest.mark.parametrize("shift", [(-200, 0), (0, -115), (270, 380), (-5000, 0)])
@pytest.mark.parametrize("blend", ["alpha", "poisson"])
def test_faces_at_the_border_and_beyond(portrait, shift, blend):
    points = PORTRAIT_POINTS + np.array(shift)
    out, used = warp_face(portrait, PORTRAIT_POINTS, portrait, points, WarpSettings(blend=blend))
    np.testing.assert_array_equal(out[used == 0], portrait[used == 0])
    assert (used.max() == 0) == (shift[0] == -5000)
    again, _ = warp_face(portrait, PORTRAIT_POINTS, portrait, points, WarpSettings(blend=blend))
    np.testing.assert_array_equal(out, again)


@pytest.mark.parametrize("points", [np.zeros((5, 2)), np.full((68, 2), np.nan)])
def test_other_points_are_an_error(portrait, points):
    with pytest.raises(ValueError, match="68"):
        warp_face(portrait, points, portrait, PORTRAIT_POINTS)
