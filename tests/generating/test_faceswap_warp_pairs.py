"""Training pairs: the published recipe's numbers, pictures that lie on each other, and draws that repeat."""

from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import cv2
import numpy as np
import pytest

from generators.faceswap.alignment import ALIGNED_PX, TEMPLATE, scale_of, transform, warped
from generators.faceswap.config import SwapConfig
from generators.faceswap.training.training import outlines
from generators.faceswap.training.warp_pairs import (
    CENTRE,
    GRID,
    SEEN_FROM,
    SEEN_PX,
    Faces,
    Pairs,
    composed,
    endless,
    pairs,
    prepared,
    random_affine,
    seen_by,
    spread,
    target_matrix,
    warped_grid,
)

CONFIG = SwapConfig()
STILL = SwapConfig(rotation_deg=0, zoom=0, shift=0, flip=0, warp_px=0)
DRAWS = 4000


def still_grid() -> np.ndarray:
    line = np.linspace(128 - 110, 128 + 110, GRID)
    return np.stack(np.meshgrid(line, line), -1)


def drawn_faces(n: int = 6, image_px: int = 64) -> Faces:
    """Smooth faces with a bright ellipse, whose outlines are those ellipses."""
    rng = np.random.default_rng(0)
    pictures, masks = [], []
    for k in range(n):
        noise = rng.uniform(0, 255, (ALIGNED_PX, ALIGNED_PX, 3)).astype(np.float32)
        picture = cv2.GaussianBlur(noise, (0, 0), 10)
        picture = 60 + (picture - picture.mean()) * 2
        mask = np.zeros((ALIGNED_PX, ALIGNED_PX), np.uint8)
        cv2.ellipse(mask, (120 + 3 * k, 130), (60, 80), 10, 0, 360, 255, -1)
        picture[mask > 0] += 120
        pictures.append(picture.clip(0, 255).astype(np.uint8))
        masks.append(mask)
    return prepared(np.stack(pictures), np.stack(masks), image_px)


def assert_same(left: Pairs, right: Pairs) -> None:
    for name in ("warped", "target", "mask"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))


def test_affine_draws_are_the_recipes() -> None:
    """Rotation within 10 degrees, zoom and shift within .05, half of the faces mirrored: limits, means and spreads."""
    draws = np.random.default_rng(1)
    angles, zooms, shifts, flips = [], [], [], []
    for _ in range(DRAWS):
        matrix = random_affine(draws, CONFIG)
        is_flipped = np.linalg.det(matrix[:, :2]) < 0
        flips.append(is_flipped)
        if is_flipped:  # mirrored last, about the middle: undone first
            matrix = composed(np.array([[-1, 0, 2 * CENTRE], [0, 1, 0]]), matrix)
        angles.append(np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0])))
        zooms.append(scale_of(matrix) - 1)
        shifts.append(transform(np.array([CENTRE, CENTRE]), matrix) - CENTRE)
    x_shifts, y_shifts = np.array(shifts).T
    for values, limit in ((np.array(angles), 10), (np.array(zooms), 0.05), (x_shifts, 12.8), (y_shifts, 12.8)):
        assert np.abs(values).max() <= limit * (1 + 1e-9)
        assert np.abs(values).max() > 0.99 * limit
        # Uniform: mean 0, standard deviation limit / sqrt(3); five standard errors of either.
        assert abs(values.mean()) < 5 * limit / np.sqrt(3 * DRAWS)
        assert values.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    # Binomial: 0.5 +- 5 standard errors.
    assert abs(np.mean(flips) - 0.5) < 5 * 0.5 / np.sqrt(DRAWS)
    correlations = np.corrcoef(np.stack([angles, zooms, x_shifts, y_shifts]))
    assert np.abs(correlations - np.eye(4)).max() < 0.08


@pytest.mark.parametrize(("flip", "share"), [(0.0, 0.0), (1.0, 1.0)])
def test_mirroring_can_be_had_never_and_always(flip: float, share: float) -> None:
    draws, config = np.random.default_rng(2), SwapConfig(flip=flip)
    mirrored = [np.linalg.det(random_affine(draws, config)[:, :2]) < 0 for _ in range(50)]
    assert np.mean(mirrored) == share


def test_the_grid_is_moved_by_six_pixels() -> None:
    assert (SEEN_FROM, SEEN_PX) == (128 - 110, 220)
    draws = np.random.default_rng(3)
    moved = np.stack([warped_grid(draws, CONFIG.warp_px) - still_grid() for _ in range(DRAWS // 10)])
    assert moved.shape[1:] == (5, 5, 2)
    n = moved.size
    assert moved.std() == pytest.approx(6, abs=5 * 6 / np.sqrt(2 * n))
    assert abs(moved.mean()) < 5 * 6 / np.sqrt(n)
    assert np.abs(moved.mean(0)).max() < 6 * 6 / np.sqrt(len(moved))  # no point is favoured
    np.testing.assert_array_equal(warped_grid(draws, 0), still_grid())


def test_the_grid_spreads_as_published() -> None:
    """64 px: the 5 x 5 map is resized to 80 x 80 and cropped to [8:72]."""
    grid = warped_grid(np.random.default_rng(4), 6.0)
    x, y = spread(grid, 64)
    for ours, k in ((x, 0), (y, 1)):
        published = cv2.resize(grid[..., k].astype(np.float32), (80, 80))[8:72, 8:72]
        np.testing.assert_allclose(ours, published, atol=1e-3)


@pytest.mark.parametrize("px", [32, 64, 96, 128, 208])
def test_an_unmoved_grid_spreads_as_the_network_sees(px: int) -> None:
    x, y = spread(still_grid(), px)
    centres = np.stack(np.meshgrid(np.arange(px), np.arange(px)), -1)
    np.testing.assert_allclose(transform(np.stack([x, y], -1), seen_by(px)), centres, atol=1e-4)


@pytest.mark.parametrize("px", [32, 64, 112])
def test_target_of_an_unmoved_grid_is_what_the_network_sees(px: int) -> None:
    matrix = target_matrix(still_grid(), px)
    line = np.linspace(0, px, GRID) - 0.5
    np.testing.assert_allclose(transform(still_grid(), matrix), np.stack(np.meshgrid(line, line), -1), atol=1e-9)
    np.testing.assert_allclose(matrix, seen_by(px), atol=1e-9)


def test_target_is_drawn_where_the_warped_face_is() -> None:
    """A grid that is turned, zoomed and shifted as a whole: input and target are one picture."""
    turned = np.asarray(cv2.getRotationMatrix2D((128.0, 128.0), 8, 1.04))
    grid = transform(still_grid(), turned)
    points = transform(grid, target_matrix(grid, 64))
    line = np.linspace(0, 64, GRID) - 0.5
    np.testing.assert_allclose(points, np.stack(np.meshgrid(line, line), -1), atol=1e-9)


@pytest.mark.parametrize("px", [32, 64, 128])
def test_without_a_warp_input_target_and_sight_are_one(px: int) -> None:
    faces = drawn_faces(3, px)
    made = pairs(faces, np.arange(3), STILL.model_copy(update={"image_px": px}), (0, 0, 0))
    # The bright ellipse has a hard edge, where two kinds of interpolation round differently.
    assert np.abs(made.warped.astype(int) - made.target).max() <= 3
    assert np.abs(made.warped.astype(int) - made.target).mean() < 0.1
    smooth = smooth_faces()
    made = pairs(prepared(smooth, np.zeros(smooth.shape[:3], np.uint8), px), np.arange(len(smooth)), STILL.model_copy(
        update={"image_px": px}), (0, 0, 0))  # fmt: skip
    seen = np.stack([warped(face, seen_by(px), px) for face in smooth]).astype(int)
    assert np.abs(made.warped.astype(int) - made.target).max() <= 1
    assert np.abs(made.target - seen).max() <= 2


def smooth_faces() -> np.ndarray:
    x, y = np.meshgrid(np.arange(256.0), np.arange(256.0))
    waves = [128 + 100 * np.sin(x / 40 + k) * np.cos(y / 50 - k) for k in range(3)]
    return np.stack([np.stack(waves, -1)] * 2).round().astype(np.uint8)


def test_the_mask_lies_as_the_target() -> None:
    """A face that is its own mask: whatever is drawn, the picture of the one is that of the other."""
    mask = np.zeros((1, ALIGNED_PX, ALIGNED_PX), np.uint8)
    cv2.ellipse(mask[0], (128, 128), (50, 75), 20, 0, 360, 255, -1)  # inside of what is seen: no border to repeat
    faces = prepared(np.repeat(mask[..., None], 3, -1), mask, 64)
    config = SwapConfig()
    made = pairs(faces, np.zeros(40, np.int64), config, (0, 0, 0))
    for channel in range(3):
        assert np.abs(made.target[..., channel].astype(int) - made.mask).max() <= 1
    # The warp goes elsewhere, and the target follows it: nearer than an unwarped face would be.
    far = np.abs(made.warped[..., 0].astype(int) - made.mask).mean()
    unmoved = np.abs(made.warped[..., 0].astype(int) - cv2.warpAffine(mask[0], seen_by(64), (64, 64))).mean()
    assert 1 < far < unmoved


def test_a_mirrored_face_is_mirrored() -> None:
    config = STILL.model_copy(update={"flip": 1.0})
    faces = drawn_faces(1)
    plain = pairs(faces, np.zeros(1, np.int64), STILL, (0, 0, 0))
    mirrored = pairs(faces, np.zeros(1, np.int64), config, (0, 0, 0))
    # What is seen reaches from 18 to 238: half a pixel right of the middle of 256, about which faces are mirrored.
    shift = (CENTRE - (SEEN_FROM + SEEN_PX / 2)) * 2 * 64 / SEEN_PX
    moved = np.float32([[1, 0, shift], [0, 1, 0]])
    expected = cv2.warpAffine(np.ascontiguousarray(plain.target[0, :, ::-1]), moved, (64, 64))[:, 4:-4]
    difference = np.abs(mirrored.target[0, :, 4:-4].astype(int) - expected)
    assert difference.mean() < 1.5
    assert difference.mean() < np.abs(plain.target[0, :, 4:-4].astype(int) - expected).mean() / 5


def test_same_seed_same_pairs_and_any_other_stream_others() -> None:
    faces, indices = drawn_faces(), np.array([0, 1, 2, 3])
    first = pairs(faces, indices, CONFIG, (0, 0, 7))
    assert_same(first, pairs(faces, indices, CONFIG, (0, 0, 7)))
    for other in (
        pairs(faces, indices, CONFIG, (0, 0, 8)),  # another step
        pairs(faces, indices, CONFIG, (1, 0, 7)),  # another person
        pairs(faces, indices, CONFIG, (0, 1, 7)),  # after a rollback
        pairs(faces, indices, CONFIG.model_copy(update={"seed": 1}), (0, 0, 7)),
    ):
        assert not np.array_equal(first.warped, other.warped)
    # Rows of one batch are warped differently.
    same_face = pairs(faces, np.zeros(2, np.int64), CONFIG, (0, 0, 7))
    assert not np.array_equal(same_face.warped[0], same_face.warped[1])


def test_any_pool_any_start_and_any_share_give_the_same_pairs() -> None:
    people = (drawn_faces(5), drawn_faces(3))
    config = SwapConfig(batch_size=4)

    def some(step: int, n: int, workers: int, rows: slice = slice(None)) -> list[tuple[Pairs, ...]]:
        with ThreadPoolExecutor(workers) as pool:
            return list(islice(endless(people, config, step, 0, rows, pool), n))

    whole = some(0, 7, 1)
    for other, start in ((some(0, 7, 4), 0), (some(3, 4, 2), 3)):
        for before, now in zip(whole[start:], other, strict=True):
            for left, right in zip(before, now, strict=True):
                assert_same(left, right)
    halves = some(2, 1, 1, slice(0, 2))[0], some(2, 1, 1, slice(2, 4))[0]
    for who in (0, 1):
        joined = Pairs(*(np.concatenate([getattr(h[who], n) for h in halves]) for n in ("warped", "target", "mask")))
        assert_same(joined, whole[2][who])


def test_faces_are_averaged_to_about_twice_the_size() -> None:
    for px in (32, 64, 96, 128, 256):
        faces = drawn_faces(1, px)
        assert faces.pictures.shape[1] == min(256, round(2 * px * 256 / 220))
        assert faces.masks.shape == faces.pictures.shape[:3]
    board = (np.indices((256, 256)).sum(0) % 2 * 255).astype(np.uint8)
    reduced = prepared(np.repeat(board[None, ..., None], 3, -1), board[None], 32).pictures[0, 4:-4, 4:-4]
    assert np.abs(reduced.astype(int) - 127).max() < 40


def test_pixels_come_from_the_face_alone() -> None:
    """A face of one colour has pairs of that colour to the last pixel: the border is repeated, not black."""
    faces = prepared(np.full((1, 256, 256, 3), 90, np.uint8), np.full((1, 256, 256), 255, np.uint8), 64)
    made = pairs(faces, np.zeros(64, np.int64), SwapConfig(shift=0.2, rotation_deg=40), (0, 0, 0))
    assert (made.warped == 90).all()
    assert (made.target == 90).all()
    assert made.mask.min() == 0  # beyond the face there is no outline


def test_the_outline_holds_eyes_and_mouth() -> None:
    mask = outlines(TEMPLATE[None])[0]
    assert mask.shape == (256, 256)
    for x, y in TEMPLATE.round().astype(int):
        assert mask[y, x] == 255
    assert mask[0].max() == mask[-1].max() == 0
    assert 0.15 < (mask > 127).mean() < 0.7
