"""The grid of a robustness bench: names, ranges, strengths from mild to strong, and that a strength is what it says."""

import dataclasses

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.common.errors import UsageError
from forensics.common.seeds import rng_for
from forensics.perturb import jpeg
from forensics.perturb.grid import (
    COLOUR_LEVELS,
    GRID,
    PLATFORM_QUALITIES,
    Condition,
    Perturbation,
    parse_condition,
    perturbation,
    register,
)

NAMES = ["jpeg", "webp", "h264", "resize", "blur", "noise", "gamma", "colour", "crop", "platform"]
EVERY = [condition for name in NAMES for condition in GRID[name].conditions]
# PSNR in dB of the portrait's face after each strength: a codec's next release may move them a little, a wrong strength
# moves them a lot (neighbours are at least 0.5 dB apart, most of them 2).
PINNED_PSNR = {
    "jpeg": (38.00, 35.07, 33.70, 32.80, 31.58),
    "webp": (39.02, 35.27, 34.29, 33.36, 32.01),
    "h264": (35.65, 32.83, 30.21, 27.14, 24.58),
    "resize": (35.57, 33.49, 31.66, 28.78, 26.79),
    "blur": (39.37, 30.58, 27.91, 26.23, 24.06),
    "noise": (42.14, 34.31, 28.35, 24.88, 20.60),
    "gamma": (25.82, 25.32, 20.97, 19.96, 16.56),
    "colour": (33.74, 27.79, 22.35, 19.13, 16.84),
    "platform": (35.07, 34.58, 33.09),
}


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


@pytest.fixture(scope="module")
def face(portrait) -> np.ndarray:
    return np.ascontiguousarray(portrait[:224, 128:352])


def test_the_grid_is_complete():
    assert list(GRID) == NAMES
    assert {name: len(GRID[name].strengths) for name in NAMES} == dict.fromkeys(NAMES, 5) | {"platform": 3}
    for name, one in GRID.items():
        assert one.name == name
        assert one.title
        assert one.unit
        assert one.note
        assert [condition.strength for condition in one.conditions] == list(one.strengths)
    assert GRID["jpeg"].strengths == GRID["webp"].strengths == (90, 75, 60, 45, 30)
    assert GRID["h264"].strengths == (18, 23, 28, 34, 40)
    assert PLATFORM_QUALITIES == {1080: 70, 1600: 50, 2048: 75}


@pytest.mark.parametrize("name", PINNED_PSNR)
def test_each_strength_does_what_it_did(name, face):
    measured = [psnr(condition.apply(face, rng_for(1)), face) for condition in GRID[name].conditions]
    assert measured == pytest.approx(PINNED_PSNR[name], abs=0.3)


@pytest.mark.parametrize("name", sorted(PINNED_PSNR))
def test_stronger_is_further_from_the_picture(name, portrait):
    picture = np.ascontiguousarray(portrait[200:400, 60:260])  # not the one that is pinned
    measured = [psnr(condition.apply(picture, rng_for(1)), picture) for condition in GRID[name].conditions]
    if name == "gamma":  # alternately brighter and darker: each direction by itself
        assert measured[0] > measured[2] > measured[4]
        assert measured[1] > measured[3]
        distances = np.abs(np.log(GRID[name].strengths))
        assert (np.diff(distances) > 0).all()
    else:
        assert (np.diff(measured) < -0.3).all()


@pytest.mark.parametrize("condition", EVERY, ids=str)
def test_the_same_three_give_the_same_pixels(condition, face):
    before = face.copy()
    changed = condition.apply(face, rng_for(3))
    assert changed.dtype == np.uint8
    assert changed.ndim == 3
    assert changed.flags.c_contiguous
    assert not np.shares_memory(changed, face)
    np.testing.assert_array_equal(changed, condition.apply(face, rng_for(3)))
    np.testing.assert_array_equal(face, before)
    np.testing.assert_array_equal(changed, condition.apply(np.asfortranarray(face), rng_for(3)))
    assert changed.shape == face.shape or not condition.perturbation.keeps_size


@pytest.mark.parametrize("condition", EVERY, ids=str)
def test_flat_thin_and_odd_pictures_are_carried_through(condition):
    for shape in ((1, 57, 3), (57, 1, 3), (1, 1, 3), (31, 45, 3)):
        for level in (0, 128, 255):
            changed = condition.apply(np.full(shape, level, np.uint8), rng_for(0))
            if condition.perturbation.keeps_size:
                assert changed.shape == shape
            else:
                assert all(1 <= side <= before for side, before in zip(changed.shape, shape, strict=True))
            if condition.name not in ("noise", "gamma", "colour"):
                assert np.abs(changed.astype(int) - level).max() <= 2


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
    ],
)
def test_anything_but_a_picture_is_a_typed_error(picture):
    for name in NAMES:
        with pytest.raises(ValueError, match="uint8 RGB is expected"):
            GRID[name].conditions[0].apply(picture, rng_for(0))


def test_jpeg_quality_reaches_the_encoder(face):
    """Not in the slot of the flag, where every quality would be the default; and it is JPEG, not a mosaic."""
    qualities = (90, 75, 60, 45, 30)
    outputs = [parse_condition(f"jpeg:{quality}").apply(face, rng_for(0)) for quality in qualities]
    for one, quality in zip(outputs, qualities, strict=True):
        encoded = cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        np.testing.assert_array_equal(one, cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1])
    sizes = [
        len(cv2.imencode(".jpg", face[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]) for quality in qualities
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 5
    default = cv2.imdecode(cv2.imencode(".jpg", face[..., ::-1])[1], cv2.IMREAD_COLOR)[..., ::-1]
    assert all(not np.array_equal(one, default) for one in outputs)


def test_jpeg_is_no_mosaic(face):
    """A mosaic loses what differs inside its squares, edges first; JPEG at 30 keeps far more of it at a similar look."""
    for square in (2, 4):
        small = cv2.resize(face, (224 // square, 224 // square), interpolation=cv2.INTER_AREA)
        mosaic = cv2.resize(small, (224, 224), interpolation=cv2.INTER_NEAREST)
        assert psnr(jpeg(face, 30), face) > psnr(mosaic, face) + 1.5
    strong = jpeg(face, 10).reshape(56, 4, 56, 4, 3)
    assert np.ptp(strong, axis=(1, 3)).mean() > 2  # inside a mosaic's square nothing differs


def test_noise_has_its_sigma_and_independent_seeds():
    grey = np.full((256, 256, 3), 128, np.uint8)
    for condition in GRID["noise"].conditions:
        one, other = (condition.apply(grey, rng_for(seed)).astype(np.float64) - 128 for seed in (1, 2))
        assert one.std() == pytest.approx(np.sqrt(condition.strength**2 + 1 / 12), rel=0.02)
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.02
        assert abs(np.corrcoef(one[..., 0].ravel(), one[..., 1].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("name", [name for name in NAMES if name != "noise"])
def test_only_noise_depends_on_the_generator(name, face):
    condition = GRID[name].conditions[2]
    rng = rng_for(5)
    np.testing.assert_array_equal(condition.apply(face, rng), condition.apply(face, rng_for(6)))
    assert rng.random() == rng_for(5).random()  # nothing was drawn


def test_resize_and_blur_are_as_strong_as_they_say():
    x = np.arange(256)
    grating = np.rint(127.5 + 100 * np.cos(2 * np.pi * x / 16))[None, :, None] * np.ones((64, 1, 3))
    blurred = parse_condition("blur:2").apply(grating.astype(np.uint8), rng_for(0)).astype(np.float64)
    expected = np.exp(-0.5 * (2 * np.pi / 16 * 2.0) ** 2)  # the transform of a Gaussian at 1/16 cycles per pixel
    assert np.ptp(blurred[32, 32:-32, 0]) / 200 == pytest.approx(expected, rel=0.05)
    # Below half of 2 / 3 cycles per pixel nothing survives a reduction to a third.
    fine = np.where(np.arange(240) % 2, 255, 0)[None, :, None] * np.ones((60, 1, 3))
    assert np.ptp(parse_condition("resize:0.25").apply(fine.astype(np.uint8), rng_for(0))) <= 2


def test_fading_goes_one_way():
    levels = np.array([COLOUR_LEVELS[level] for level in range(1, 6)])
    assert (np.diff(levels, axis=0) * [-1, 1, -1] > 0).all()
    red = np.full((8, 8, 3), (200, 40, 40), np.uint8)
    spread = [int(np.ptp(condition.apply(red, rng_for(0))[0, 0])) for condition in GRID["colour"].conditions]
    assert spread == sorted(spread, reverse=True)
    assert spread[0] < 160


def test_platforms_reduce_what_is_larger(portrait):
    large = cv2.resize(portrait, (2400, 1800), interpolation=cv2.INTER_LINEAR)
    for condition in GRID["platform"].conditions:
        side_px = int(condition.strength)
        assert condition.apply(large, rng_for(0)).shape == (side_px * 3 // 4, side_px, 3)
        same = condition.apply(portrait, rng_for(0))
        np.testing.assert_array_equal(same, jpeg(portrait, PLATFORM_QUALITIES[side_px]))


@pytest.mark.parametrize(
    ("text", "name", "strength", "label"),
    [
        ("jpeg:50", "jpeg", 50.0, "JPEG, quality 50"),
        (" h264:23.5 ", "h264", 23.5, "H.264, CRF 23.5"),
        ("noise:0", "noise", 0.0, "Gaussian noise, sigma 0"),
        ("blur:1e0", "blur", 1.0, "Gaussian blur, sigma px 1"),
        ("platform:1080", "platform", 1080.0, "Platform delivery, longest side px 1080"),
        ("crop:0.123456789012", "crop", 0.123456789012, "Centre crop, share of the side 0.123457"),
    ],
)
def test_a_condition_is_read_and_written(text, name, strength, label):
    condition = parse_condition(text)
    assert condition == Condition(name, strength)
    assert condition.label == label
    assert parse_condition(str(condition)) == condition


def test_conditions_of_equal_strength_are_one():
    assert Condition("jpeg", 50) == Condition("jpeg", 50.0) == parse_condition("jpeg:50.0")
    assert repr(Condition("jpeg", 50)) == repr(Condition("jpeg", 50.0))
    assert str(Condition("crop", 1 / 3)) == f"crop:{1 / 3!r}"
    assert len({str(condition) for condition in EVERY}) == len(EVERY)
    assert len({condition.label for condition in EVERY}) == len(EVERY)
    assert [parse_condition(str(condition)) for condition in EVERY] == EVERY


@given(st.sampled_from([name for name in NAMES if name != "platform"]), st.floats(0, 1))
@settings(deadline=None, max_examples=60)
def test_any_strength_of_the_range_works(name, share):
    one = GRID[name]
    strength = one.lowest + share * (one.highest - one.lowest)
    condition = Condition(name, round(strength) if one.is_whole else strength)
    assert parse_condition(str(condition)) == condition
    picture = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    changed = parse_condition(str(condition)).apply(picture, rng_for(0))
    assert changed.dtype == np.uint8
    assert changed.shape == picture.shape or not one.keeps_size


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("jpeg:0", "quality of jpeg: a whole number from 1 to 100"),
        ("jpeg:101", "a whole number from 1 to 100"),
        ("jpeg:50.5", "a whole number from 1 to 100"),
        ("webp:0", "from 1 to 100"),
        ("h264:52", "CRF of h264: from 0 to 51"),
        ("h264:-1", "from 0 to 51"),
        ("resize:1.5", "from 0.01 to 1"),
        ("resize:0", "from 0.01 to 1"),
        ("blur:0", "from 0.1 to 20"),
        ("noise:-1", "from 0 to 128"),
        ("gamma:0", "from 0.1 to 10"),
        ("colour:1.5", "a whole number from 1 to 5"),
        ("colour:6", "from 1 to 5"),
        ("crop:0", "from 0.1 to 1"),
        ("platform:1200", "longest side px of platform: one of 2048, 1080, 1600"),
        ("jpeg:nan", "from 1 to 100"),
        ("jpeg:inf", "from 1 to 100"),
        ("jpeg:-1e999", "from 1 to 100"),
        ("jpeg:high", "write jpeg:60; quality: a whole number from 1 to 100"),
        ("jpeg:", "write jpeg:60"),
        ("jpeg", "write jpeg:60"),
        ("jpeg:50:60", "write jpeg:60"),
    ],
)
def test_a_strength_outside_the_range_is_a_usage_error_that_names_it(text, hint):
    with pytest.raises(UsageError) as caught:
        parse_condition(text)
    assert hint in caught.value.hint
    assert "jpeg" in caught.value.message or not text.startswith("jpeg")
    assert "\n" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("text", ["pixelate:3", "", ":5", "JPEG:50", "jpeg 50", "jpeg\n:50x:"])
def test_an_unknown_name_is_a_usage_error_that_names_the_known_ones(text):
    with pytest.raises(UsageError) as caught:
        parse_condition(text)
    assert caught.value.hint == f"there are: {', '.join(NAMES)}"


def test_strengths_are_checked_wherever_they_come_in(face):
    with pytest.raises(UsageError, match="no strength 200"):
        GRID["jpeg"].apply(face, 200, rng_for(0))
    with pytest.raises(UsageError, match="no strength 200"):
        Condition("jpeg", 200)
    with pytest.raises(UsageError, match="no strength nan"):
        Condition("noise", float("nan"))
    with pytest.raises(UsageError, match="no perturbation is called 'mosaic'"):
        Condition("mosaic", 2)
    with pytest.raises(UsageError, match="no perturbation is called 'mosaic'"):
        perturbation("mosaic")


def invert(name: str = "invert", **changes) -> Perturbation:
    made = Perturbation(
        name=name,
        title="Inversion",
        unit="share",
        strengths=(0.5, 1.0),
        lowest=0,
        highest=1,
        change=lambda picture, strength, _: np.rint(picture * (1 - strength) + (255 - picture) * strength).astype(
            np.uint8
        ),
        note="a test",
    )
    return dataclasses.replace(made, **changes)


def test_another_perturbation_is_registered_by_its_name(face):
    register(invert())
    try:
        np.testing.assert_array_equal(parse_condition("invert:1").apply(face, rng_for(0)), 255 - face)
        assert parse_condition("invert:0.5").label == "Inversion, share 0.5"
        with pytest.raises(ValueError, match="invert already"):
            register(invert())
    finally:
        del GRID["invert"]
    mirrored = invert(change=lambda picture, *_: picture[:, ::-1]).apply(face, 1.0, rng_for(0))
    assert mirrored.flags.c_contiguous  # what the next in line may rely on
    np.testing.assert_array_equal(mirrored, face[:, ::-1])
    for name in ("", "a:b", "a b", "a,b"):
        with pytest.raises(ValueError, match="letters, digits"):
            register(invert(name))
    with pytest.raises(ValueError, match="strengths are one or more"):
        invert(strengths=())
    with pytest.raises(ValueError, match="and differ"):
        invert(strengths=(1.0, 1.0))
    with pytest.raises(UsageError, match="invert has no strength 2"):
        invert(strengths=(1.0, 2.0))
