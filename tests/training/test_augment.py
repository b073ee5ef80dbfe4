"""Augmentation: what it may do to a crop, and that its generator alone decides."""

import inspect

import numpy as np
import pytest

from forensics.common.seeds import rng_for
from forensics.training.augment import MIN_CROP_SHARE, augment


@pytest.fixture(scope="module")
def crop(portrait) -> np.ndarray:
    return portrait[40:200, 150:310]


@pytest.mark.parametrize("side", [24, 65, 160])
def test_a_smaller_square_of_the_same_type(portrait, side):
    source = portrait[40 : 40 + side, 150 : 150 + side]
    before = source.copy()
    for seed in range(40):
        found = augment(source, rng_for(seed))
        assert found.dtype == np.uint8
        assert found.shape == (found.shape[0], found.shape[0], 3)
        assert round(side * MIN_CROP_SHARE) <= found.shape[0] <= side
    assert np.array_equal(source, before)


def test_the_generator_alone_decides(crop):
    first = [augment(crop, rng_for(3, i)) for i in range(20)]
    np.random.seed(1)  # noqa: NPY002  (the global generator must not matter)
    again = [augment(crop, rng_for(3, i)) for i in range(20)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({picture.tobytes() for picture in first}) == 20


def test_it_takes_the_pixels_and_no_label():
    assert list(inspect.signature(augment).parameters) == ["crop", "rng"]


def test_the_picture_is_still_the_picture(crop):
    """Of many draws, each correlates with the crop's own middle or its mirror image far more than noise does."""
    import cv2

    small = cv2.resize(crop, (16, 16), interpolation=cv2.INTER_AREA).astype(float).ravel()
    mirrored = cv2.resize(crop[:, ::-1], (16, 16), interpolation=cv2.INTER_AREA).astype(float).ravel()
    seen = set()
    for seed in range(60):
        found = cv2.resize(augment(crop, rng_for(seed)), (16, 16), interpolation=cv2.INTER_AREA).astype(float).ravel()
        as_is, flipped = (float(np.corrcoef(found, other)[0, 1]) for other in (small, mirrored))
        assert max(as_is, flipped) > 0.5
        seen.add(as_is > flipped)
    assert seen == {True, False}
