"""Alignment of faces: points that go there and come back, pictures that do, and reductions without aliases."""

import cv2
import numpy as np
import pytest

from generators.faceswap.alignment import (
    ALIGNED_PX,
    EYE_DISTANCE_PX,
    EYES_AT,
    TEMPLATE,
    aligning,
    inverse,
    rescaled,
    scale_of,
    similarity,
    transform,
    warped,
)


def random_similarity(rng: np.random.Generator, smallest: float = 0.2, largest: float = 5.0) -> np.ndarray:
    """Any rotation, a scale, and a shift of up to 500 px."""
    scale, angle = np.exp(rng.uniform(np.log(smallest), np.log(largest))), rng.uniform(-np.pi, np.pi)
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    return np.column_stack([[[a, -b], [b, a]], rng.uniform(-500, 500, 2)])


def smooth_picture(size_px: int, rng: np.random.Generator) -> np.ndarray:
    noise = rng.uniform(0, 255, (size_px, size_px, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 8)
    low, high = blurred.min(), blurred.max()
    return ((blurred - low) / (high - low) * 255).round().astype(np.uint8)


def test_a_similarity_is_found_again_from_points_that_it_moved() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        matrix = random_similarity(rng)
        points = rng.uniform(-300, 300, (5, 2))
        np.testing.assert_allclose(similarity(points, transform(points, matrix)), matrix, atol=1e-9)


def test_points_go_there_and_come_back() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        face = transform(TEMPLATE, random_similarity(rng)) + rng.normal(0, 2, (5, 2))
        matrix = aligning(face)
        points = rng.uniform(-1000, 1000, (20, 2))
        assert np.abs(transform(transform(points, matrix), inverse(matrix)) - points).max() < 1e-6
        # A face that is not quite the template: its own points come near the template, and back within half a pixel.
        assert np.abs(transform(transform(face, matrix), inverse(matrix)) - face).max() < 0.5


def test_the_fit_is_the_least_squares_one() -> None:
    """No other similarity near it is better, and a mirrored face is not mirrored back."""
    rng = np.random.default_rng(3)
    source, target = rng.normal(0, 50, (7, 2)), rng.normal(0, 50, (7, 2))
    matrix = similarity(source, target)
    best = np.square(transform(source, matrix) - target).sum()
    for _ in range(200):
        step = rng.normal(0, 1, 4) * [1e-3, 1e-3, 0.1, 0.1]
        other = matrix + np.array([[step[0], -step[1], step[2]], [step[1], step[0], step[3]]])
        assert np.square(transform(source, other) - target).sum() >= best
    mirrored = TEMPLATE * [-1, 1]
    assert np.linalg.det(similarity(mirrored, TEMPLATE)[:, :2]) > 0


def test_the_template_has_its_eyes_where_it_says() -> None:
    assert TEMPLATE.shape == (5, 2)
    np.testing.assert_allclose(TEMPLATE[:2].mean(0), EYES_AT)
    assert np.linalg.norm(TEMPLATE[1] - TEMPLATE[0]) == pytest.approx(EYE_DISTANCE_PX, abs=0.01)
    np.testing.assert_allclose(aligning(TEMPLATE), [[1, 0, 0], [0, 1, 0]], atol=1e-9)


@pytest.mark.parametrize("where", [0.0, 1e6])
def test_landmarks_that_coincide_are_an_error(where: float) -> None:
    with pytest.raises(ValueError, match="coincide"):
        aligning(np.full((5, 2), where))
    with pytest.raises(ValueError, match="coincide"):
        similarity(TEMPLATE, np.zeros((5, 2)))
    with pytest.raises(ValueError, match="coincide"):
        aligning(np.full((5, 2), np.nan))
    with pytest.raises(ValueError, match="inverse"):
        inverse(np.zeros((2, 3)))


@pytest.mark.parametrize("factor", [0.25, 0.5, 1.0, 3.0])
def test_a_rescaled_matrix_covers_the_same_ground(factor: float) -> None:
    """The edges of the destination, half a pixel outside the outer centres, come from the same points."""
    matrix = random_similarity(np.random.default_rng(4))
    size = 64
    edges = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [-0.5, size - 0.5], [size - 0.5, size - 0.5]])
    edges_then = np.where(edges < 0, -0.5, size * factor - 0.5)
    before = transform(edges, inverse(matrix))
    after = transform(edges_then, inverse(rescaled(matrix, factor)))
    np.testing.assert_allclose(after, before, atol=1e-9)
    assert scale_of(rescaled(matrix, factor)) == pytest.approx(scale_of(matrix) * factor)


def test_half_the_size_is_the_mean_of_four_pixels() -> None:
    """Of a ramp, on which linear and cubic interpolation agree."""
    x, y = np.meshgrid(np.arange(64.0), np.arange(64.0))
    ramp = (2 * x + y).astype(np.float32)
    half = warped(ramp, rescaled(np.array([[1.0, 0, 0], [0, 1, 0]]), 0.5), 32)
    expected = ramp.reshape(32, 2, 32, 2).mean((1, 3))
    np.testing.assert_allclose(half[4:-4, 4:-4], expected[4:-4, 4:-4], atol=0.1)


def test_a_smooth_picture_goes_there_and_comes_back() -> None:
    rng = np.random.default_rng(5)
    picture = smooth_picture(200, rng)
    for angle, scale in ((0.0, 1.0), (17.0, 1.3), (-40.0, 1.6), (90.0, 0.9)):
        matrix = np.asarray(cv2.getRotationMatrix2D((99.5, 99.5), angle, scale))
        matrix[:, 2] += 128 - 99.5 + rng.uniform(-3, 3, 2)
        there = warped(picture, matrix, ALIGNED_PX)
        back = warped(there, inverse(matrix), 200)
        inside = slice(60, 140)  # in view at every angle and scale
        difference = back[inside, inside].astype(int) - picture[inside, inside]
        assert np.abs(difference).max() <= 4
        assert np.abs(difference).mean() < 1


def test_what_is_seen_lies_where_the_matrix_says() -> None:
    """A blob's centre of mass, in a large picture of which a small part is touched."""
    picture = np.zeros((600, 900), np.float32)
    at = np.array([612.3, 203.7])
    x, y = np.meshgrid(np.arange(900), np.arange(600))
    picture += np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / (2 * 9.0**2)).astype(np.float32)
    for angle, scale in ((0, 1.0), (30, 0.7), (-100, 2.0), (10, 0.2)):
        matrix = np.asarray(cv2.getRotationMatrix2D((float(at[0]), float(at[1])), angle, scale))
        matrix[:, 2] += [100 - at[0], 140 - at[1]]
        out = warped(picture, matrix, ALIGNED_PX).clip(0)
        x_out, y_out = np.meshgrid(np.arange(ALIGNED_PX), np.arange(ALIGNED_PX))
        centre = np.array([(x_out * out).sum(), (y_out * out).sum()]) / out.sum()
        np.testing.assert_allclose(centre, transform(at, matrix), atol=0.1)


@pytest.mark.parametrize("shrink", [3.3, 4.7, 7.3])
def test_a_large_reduction_has_no_aliases(shrink: float) -> None:
    """A checkerboard of single pixels becomes grey, not another pattern; a plain resampling is no such thing."""
    size = int(ALIGNED_PX * shrink)
    board = (np.indices((size, size)).sum(0) % 2 * 255).astype(np.uint8)
    matrix = rescaled(np.array([[1.0, 0, 0], [0, 1, 0]]), 1 / shrink)
    middle = slice(8, -8)
    out = warped(board, matrix, ALIGNED_PX)[middle, middle].astype(float)
    assert np.abs(out - 127.5).max() <= 16
    assert out.std() < 6
    plain = cv2.warpAffine(board, matrix, (ALIGNED_PX, ALIGNED_PX), flags=cv2.INTER_CUBIC)[middle, middle]
    assert plain.std() > 2 * max(out.std(), 1)


@pytest.mark.parametrize("shift", [-5000.0, 5000.0])
def test_a_square_that_leaves_the_picture_repeats_its_edge(shift: float) -> None:
    picture = np.full((40, 50, 3), 30, np.uint8)
    picture[:, -5:] = 200
    matrix = np.array([[1.0, 0, shift], [0, 1, 0]])
    out = warped(picture, matrix, 64)
    assert out.shape == (64, 64, 3)
    assert out.dtype == np.uint8
    assert (out == (200 if shift < 0 else 30)).all()
