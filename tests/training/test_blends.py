"""Pseudo-fakes: what they change and what they leave alone, on pictures and landmarks that the test makes."""

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
import pytest

from forensics.common.seeds import rng_for
from forensics.faces.canonical import REFERENCE_LANDMARKS
from forensics.faces.mean_shape import face_hull, place_mean_shape
from forensics.training.blending import (
    Blend,
    blends,
    compositing,
    face_blend,
    masks,
    part_blend,
    pose_distance,
    self_blend,
    warp_blend,
)

KINDS = ("self", "warp", "part", "face")


@lru_cache(maxsize=16)
def texture(side: int, seed: int) -> np.ndarray:
    """A picture with detail at every scale, of another colour for each seed."""
    rng = rng_for(seed, 7)
    picture = np.zeros((side, side, 3), np.float32)
    for cells in (4, 16, 48, min(side, 224)):
        noise = rng.normal(0, 22, (cells, cells, 3)).astype(np.float32)
        picture += cv2.resize(noise, (side, side), interpolation=cv2.INTER_LINEAR)
    picture = np.clip(picture + rng.uniform(80, 170, 3), 0, 255).astype(np.uint8)
    picture.setflags(write=False)  # crops of a cache are
    return picture


def make(kind: str, crop: np.ndarray, landmarks: np.ndarray, seed: int, donor_side: int = 160) -> Blend:
    rng = rng_for(seed, 1)
    if kind in ("self", "warp"):
        return {"self": self_blend, "warp": warp_blend}[kind](crop, landmarks, rng)
    two = {"part": part_blend, "face": face_blend}[kind]
    return two(crop, landmarks, texture(donor_side, seed + 1000), REFERENCE_LANDMARKS * donor_side, rng)


@pytest.mark.parametrize("kind", KINDS)
def test_outside_the_mask_nothing_and_inside_it_something_is_changed(kind):
    crop = texture(224, 0)
    for seed in range(6):
        blend = make(kind, crop, REFERENCE_LANDMARKS * 224, seed)
        assert blend.fake.shape == blend.real.shape == (224, 224, 3)
        assert blend.fake.dtype == blend.real.dtype == np.uint8
        assert blend.mask.shape == (224, 224)
        assert blend.mask.dtype == np.float32
        assert blend.mask.min() == 0
        assert 0.25 - 1e-6 <= blend.mask.max() <= 1
        outside = blend.mask == 0
        np.testing.assert_array_equal(blend.fake[outside], blend.real[outside])
        assert np.abs(blend.fake.astype(int) - blend.real)[~outside].max() > 1
        half = np.mean(blend.mask > 0.5 * blend.mask.max())
        assert 0.005 < half < 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_stream_gives_the_same_bytes(kind):
    crop = texture(160, 1)
    first, again, other = (make(kind, crop, REFERENCE_LANDMARKS * 160, seed) for seed in (5, 5, 6))
    for name in ("real", "fake", "mask"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert (first.mask != other.mask).any()


@pytest.mark.parametrize("kind", ("warp", "part", "face"))
def test_only_a_self_blend_changes_the_real_half(kind):
    crop = texture(128, 2)
    for seed in range(6):
        np.testing.assert_array_equal(make(kind, crop, REFERENCE_LANDMARKS * 128, seed).real, crop)


def test_a_self_blend_transforms_the_surroundings_about_every_second_time():
    crop = texture(128, 3)
    untouched = [np.array_equal(make("self", crop, REFERENCE_LANDMARKS * 128, s).real, crop) for s in range(40)]
    assert 8 <= sum(untouched) <= 32


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", (48, 97, 1000))
def test_crops_of_any_size_get_masks_of_the_same_share(kind, side):
    crop = texture(side, 4)
    shares = []
    for seed in range(1 if side == 1000 else 5):
        blend = make(kind, crop, REFERENCE_LANDMARKS * side, seed, donor_side=300 if side == 48 else 90)
        np.testing.assert_array_equal(blend.fake[blend.mask == 0], blend.real[blend.mask == 0])
        shares.append(blend.mask.mean())
    assert 0.005 < np.mean(shares) < 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_masks_stay_near_the_face(kind):
    """A small face in the corner of a large crop: nothing further away than the brows are lifted and rims are wide."""
    side, scale, corner = 256, 90, np.array([20, 150])
    landmarks = REFERENCE_LANDMARKS * scale + corner
    hull = face_hull(place_mean_shape(landmarks), 0.35).astype(np.float32)
    blank = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(blank, np.rint(hull).astype(np.int32), 1)
    reach = 2 * (masks.KERNELS_PX[1] // 2) * side // masks.CANVAS_PX[0] + 0.05 * side
    far = cv2.distanceTransform(1 - blank, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) > reach
    assert far.mean() > 0.4
    for seed in range(8):
        blend = make(kind, texture(side, 5), landmarks, seed)
        assert blend.mask.max() > 0.2
        assert (blend.mask[far] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_face_at_the_rim_is_cut_off_and_one_outside_refused(kind):
    crop = texture(128, 6)
    for seed in range(4):
        blend = make(kind, crop, REFERENCE_LANDMARKS * 128 + (50, -40), seed)
        np.testing.assert_array_equal(blend.fake[blend.mask == 0], blend.real[blend.mask == 0])
        assert blend.mask[:, 64:].sum() > 2 * blend.mask[:, :64].sum()
    with pytest.raises(ValueError, match="inside"):
        make(kind, crop, REFERENCE_LANDMARKS * 128 + 1000, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.full((5, 2), 60.0), "coincide"),
        (np.array([[20, 50], [60, 50], [40, 50], [20, 50], [60, 50.0]]), "coincide"),
        (np.full((5, 2), np.nan), "finite"),
        (np.zeros((68, 2)), r"\(5, 2\)"),
    ],
)
def test_landmarks_that_are_no_face_are_refused(kind, landmarks, message):
    with pytest.raises(ValueError, match=message):
        make(kind, texture(96, 7), landmarks, 0)


@pytest.mark.parametrize("two", (part_blend, face_blend))
def test_the_donor_is_checked_as_well(two: Callable[..., Blend]):
    crop, landmarks = texture(96, 8), REFERENCE_LANDMARKS * 96
    with pytest.raises(ValueError, match="coincide"):
        two(crop, landmarks, crop, np.zeros((5, 2)), rng_for(0, 0))
    with pytest.raises(ValueError, match="uint8"):
        two(crop, landmarks, crop[:50], landmarks, rng_for(0, 0))
    with pytest.raises(ValueError, match="uint8"):
        two(crop.astype(np.float32), landmarks, crop, landmarks, rng_for(0, 0))


def test_a_flat_crop_has_no_detail_to_lose_but_colours_to_change():
    flat = np.full((96, 96, 3), 120, np.uint8)
    with pytest.raises(ValueError, match="flat"):
        warp_blend(flat, REFERENCE_LANDMARKS * 96, rng_for(0, 0))
    blend = self_blend(flat, REFERENCE_LANDMARKS * 96, rng_for(0, 0))
    assert np.abs(blend.fake.astype(int) - blend.real).max() > 1


def test_a_warped_face_has_lost_detail_inside_its_mask():
    crop = texture(224, 9)
    for seed in range(6):
        blend = make("warp", crop, REFERENCE_LANDMARKS * 224, seed)
        whole = cv2.erode((blend.mask > 0.99).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        sharp, dull = (np.abs(cv2.Laplacian(p, cv2.CV_32F)).mean(2) for p in (blend.real, blend.fake))
        assert dull[whole].mean() < 0.7 * sharp[whole].mean()


def test_a_part_comes_from_the_donor_at_its_own_place():
    """Crop all grey; the donor's left eye is the only red thing in it: red appears where the crop's left eye is."""
    side, donor_side = 200, 320
    crop = cv2.cvtColor(texture(side, 10)[:, :, 0], cv2.COLOR_GRAY2RGB)
    donor = cv2.cvtColor(texture(donor_side, 11)[:, :, 0], cv2.COLOR_GRAY2RGB)
    x, y = np.rint(REFERENCE_LANDMARKS[0] * donor_side).astype(int)
    cv2.circle(donor, (int(x), int(y)), 20, (255, 0, 0), -1)
    landmarks = REFERENCE_LANDMARKS * side * 0.9 + (8, 12)
    seen = 0
    for seed in range(10):
        blend = part_blend(crop, landmarks, donor, REFERENCE_LANDMARKS * donor_side, rng_for(seed, 3))
        redness = blend.fake[:, :, 0].astype(int) - blend.fake[:, :, 2]
        if redness.max() < 60:
            continue
        rows, columns = np.nonzero(redness > redness.max() / 2)
        assert np.hypot(columns.mean() - landmarks[0, 0], rows.mean() - landmarks[0, 1]) < 6
        seen += 1
    assert seen >= 3


def test_a_swap_of_a_face_with_itself_at_another_size_is_nearly_the_same_face():
    """Registration: a donor that is the crop itself, enlarged, falls back onto the crop but for the small move."""
    crop = cv2.GaussianBlur(texture(160, 12), (0, 0), 4)
    donor = cv2.resize(crop, (320, 320), interpolation=cv2.INTER_CUBIC)
    own, other = [], []
    for seed in range(8):
        same = face_blend(crop, REFERENCE_LANDMARKS * 160, donor, REFERENCE_LANDMARKS * 320, rng_for(seed, 4))
        turned = face_blend(crop, REFERENCE_LANDMARKS * 160, donor[::-1], REFERENCE_LANDMARKS * 320, rng_for(seed, 4))
        for blend, changes in ((same, own), (turned, other)):
            changes.append(np.abs(blend.fake.astype(int) - blend.real)[blend.mask > 0.9].mean())
    assert np.mean(own) < 0.5 * np.mean(other)


def test_a_donor_gives_no_pixels_that_it_does_not_have():
    """The donor shows only its face's right half: masks end where it ends."""
    donor = texture(160, 13)[:, 80:][:80]
    donor_landmarks = REFERENCE_LANDMARKS * 160 - (80, 0)
    for seed in range(8):
        blend = face_blend(texture(160, 14), REFERENCE_LANDMARKS * 160, donor, donor_landmarks, rng_for(seed, 5))
        assert (blend.mask[:, :70] == 0).all()


def test_gradients_take_the_colours_of_the_surroundings():
    """A flat red source cloned on a flat grey target has no gradients: nothing of it is left."""
    target = np.full((128, 128, 3), 100, np.uint8)
    source = np.full((128, 128, 3), (200, 40, 60), np.uint8)
    mask = np.zeros((128, 128), np.float32)
    cv2.circle(mask, (64, 64), 30, 1.0, -1)
    cloned = compositing.cloned(source, target, mask)
    assert np.abs(cloned[mask > 0].astype(int) - 100).max() <= 3
    np.testing.assert_array_equal(compositing.cloned(source, target, np.zeros_like(mask)), source)


def test_a_part_may_be_cloned_at_the_very_border(monkeypatch):
    monkeypatch.setattr(blends, "P_POISSON", 1.0)
    crop = texture(128, 15)
    for seed in range(6):
        landmarks = REFERENCE_LANDMARKS * 128 + (45, -30)
        blend = part_blend(crop, landmarks, texture(90, 16), REFERENCE_LANDMARKS * 90, rng_for(seed, 6))
        np.testing.assert_array_equal(blend.fake[blend.mask == 0], blend.real[blend.mask == 0])


def test_pose_distance_is_zero_for_a_similar_face_and_grows_with_a_turn():
    frontal = REFERENCE_LANDMARKS * 200
    turn = np.deg2rad(20)
    rotated = frontal @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) * 0.4 + (30, 7)
    assert pose_distance(frontal, rotated) < 1e-9
    distances = [
        pose_distance(frontal, frontal + np.array([[0, 0]] * 2 + [[shift, 0]] + [[0, 0]] * 2)) for shift in (10, 40)
    ]
    assert 0 < distances[0] < distances[1]
    with pytest.raises(ValueError, match="coincide"):
        pose_distance(frontal, np.zeros((5, 2)))
