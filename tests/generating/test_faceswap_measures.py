"""Figures of a swap against scikit-image, hand-made landmarks and changes, and series whose spread is known."""

import numpy as np
import pytest

from generators.faceswap.measures import (
    PSNR_CEILING_DB,
    block_interval,
    few_blocks_factor,
    flicker_ratio,
    frame_difference,
    landmark_errors,
    mean_interval,
    percentile_interval,
    psnr,
    seconds_covered,
    share_interval,
    ssim,
    time_blocks,
    wilson,
)


def pictures(n, px, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, px, px, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def pair(portrait):
    face = portrait[60:188, 160:288]
    rng = np.random.default_rng(1)
    other = np.clip(face + rng.normal(0, 20, face.shape), 0, 255).astype(np.uint8)
    return np.stack([face, other]), np.stack([other[::-1], face])


def test_ssim_and_psnr_are_scikit_images(pair):
    metrics = pytest.importorskip("skimage.metrics")
    a, b = pair
    options = {
        "gaussian_weights": True,
        "sigma": 1.5,
        "use_sample_covariance": False,
        "channel_axis": 2,
        "data_range": 255,
    }
    expected = [metrics.structural_similarity(x, y, **options) for x, y in zip(a, b, strict=True)]
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)
    expected = [metrics.peak_signal_noise_ratio(x, y, data_range=255) for x, y in zip(a, b, strict=True)]
    assert psnr(a, b) == pytest.approx(expected, abs=1e-9)


def test_equal_pictures_are_equal_and_a_known_error_has_its_decibels():
    a = pictures(2, 16)
    assert ssim(a, a) == pytest.approx(1)
    assert psnr(a, a).tolist() == [PSNR_CEILING_DB] * 2
    grey = np.full((1, 16, 16, 3), 100, np.uint8)
    assert psnr(grey, grey + 5)[0] == pytest.approx(20 * np.log10(255 / 5))


def test_a_mask_counts_only_what_it_shows():
    a = pictures(1, 64)
    b = a.copy()
    b[:, :, 40:] = 255 - b[:, :, 40:]
    left = np.zeros((1, 64, 64), np.float32)
    left[:, :, :32] = 1
    assert ssim(a, b, left)[0] == pytest.approx(1)
    assert psnr(a, b, left)[0] == PSNR_CEILING_DB
    assert ssim(a, b, 1 - left)[0] < ssim(a, b)[0] < 1
    assert psnr(a, b, np.ones_like(left)) == pytest.approx(psnr(a, b))
    assert np.isnan(ssim(a, b, np.zeros_like(left))[0])


@pytest.mark.parametrize(
    ("a", "b", "mask"),
    [
        (pictures(1, 16), pictures(2, 16), None),
        (pictures(1, 16), pictures(1, 16).astype(np.float32), None),
        (pictures(1, 16), pictures(1, 16), np.ones((1, 8, 8), np.float32)),
        (pictures(1, 10), pictures(1, 10), None),
        (pictures(1, 16)[:0], pictures(1, 16)[:0], None),
    ],
)
def test_pictures_that_do_not_match_are_an_error(a, b, mask):
    with pytest.raises(ValueError, match=r"batches|mask|window"):
        ssim(a, b, mask)


def test_landmark_error_is_a_share_of_the_eyes_distance():
    points = np.array([[[0, 0], [50, 0], [25, 30], [5, 60], [45, 60]]], float)
    assert landmark_errors(points + np.array([3, 4]), points) == pytest.approx([0.1])
    assert np.isnan(landmark_errors(points * np.nan, points)[0])


def test_flicker_is_change_against_change():
    region = np.zeros((8, 8), np.float32)
    region[:4] = 1
    a = np.full((8, 8, 3), 50, np.uint8)
    b = a.copy()
    b[:4] += 6
    b[4:] += 100  # outside of the region
    assert frame_difference(a, b, region) == pytest.approx(6)
    assert flicker_ratio(np.array([2.0, 4.0]), np.array([1.0, 2.0])) == 2
    assert np.isnan(flicker_ratio(np.array([1.0]), np.array([0.0])))


# -- intervals


def test_blocks_are_of_a_second_and_of_one_clip():
    times = np.concatenate([np.arange(20) / 10, np.arange(5) / 10, 60 + np.arange(12) / 10])
    clips = np.repeat([0, 1, 1], [20, 5, 12])
    blocks = time_blocks(times, clips)
    assert {len(set(clips[block])) for block in blocks} == {1}
    assert all(np.ptp(times[block]) <= 1 for block in blocks)
    # 11 places of ten rows in the first; the second's stretches are of 5 rows (one block) and of 12 (three).
    assert [len(block) for block in blocks] == [10] * 11 + [5] + [10] * 3
    assert seconds_covered(blocks, len(times)) == pytest.approx(3.7)
    assert time_blocks(np.array([3.0]))[0].tolist() == [0]
    assert time_blocks(np.array([])) == []


def test_frames_that_move_together_have_a_wider_interval():
    rng = np.random.default_rng(0)
    seconds = rng.normal(0, 1, 40)
    together, apart = np.repeat(seconds, 30), rng.normal(0, 1, 1200)
    blocks = time_blocks(np.arange(1200) / 30)
    found = mean_interval(together, blocks, 0)
    # 40 independent seconds: 1.96 / sqrt(40) to either side.
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * seconds.std() / np.sqrt(40), rel=0.3)
    independent = mean_interval(apart, blocks, 0)
    assert (independent.high - independent.low) / 2 == pytest.approx(1.96 / np.sqrt(1200), rel=0.3)
    assert found.low < found.value < found.high


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for run in range(60):
        rng = np.random.default_rng(run)
        values = np.repeat(rng.normal(5, 1, 30), 10)
        found = mean_interval(values, time_blocks(np.arange(300) / 10), run)
        covered += found.low <= 5 <= found.high
    assert (
        49 <= covered <= 60
    )  # blocks of a second in seconds that do not overlap: a little too narrow, as the text says


def test_few_seconds_have_no_interval_and_seeds_repeat():
    values, blocks = np.arange(14.0), time_blocks(np.arange(14) / 10)
    assert mean_interval(values, blocks, 0) == mean_interval(values, blocks, 1)
    assert mean_interval(values, blocks, 0).low is None
    values, blocks = np.random.default_rng(0).normal(size=90), time_blocks(np.arange(90) / 10)
    assert mean_interval(values, blocks, 3) == mean_interval(values, blocks, 3)
    assert mean_interval(values, blocks, 3) != mean_interval(values, blocks, 4)


def test_missing_values_are_left_out_and_counted_out():
    values = np.arange(100.0)
    values[::2] = np.nan
    blocks = time_blocks(np.arange(100) / 10)
    found = mean_interval(values, blocks, 0)
    assert (found.value, found.n) == (50.0, 50)
    assert percentile_interval(values, 95, blocks, 0).value == pytest.approx(np.percentile(values[1::2], 95))
    nothing = mean_interval(values * np.nan, blocks, 0)
    assert np.isnan(nothing.value)
    assert (nothing.n, nothing.low) == (0, None)


def test_a_share_of_all_is_not_certain():
    blocks = time_blocks(np.arange(100) / 10)
    everything = share_interval(np.ones(100), blocks, 0)
    # Wilson's lower bound for ten of ten.
    assert (everything.value, everything.high) == (1, 1)
    assert everything.low == pytest.approx(10 / (10 + 1.959964**2))
    nothing = share_interval(np.zeros(100), blocks, 0)
    assert (nothing.value, nothing.low) == (0, 0)
    assert nothing.high == pytest.approx(1 - everything.low)
    # Short of five seconds Wilson's alone; and one row that differs does not make it narrower than that.
    few = share_interval(np.ones(30), time_blocks(np.arange(30) / 10), 0)
    assert (few.low, few.high) == pytest.approx((3 / (3 + 1.959964**2), 1))
    nearly = np.ones(100)
    nearly[50] = 0
    found = share_interval(nearly, blocks, 0)
    assert found.low <= wilson(0.99, 10)[0] < found.value < found.high <= 1
    half = share_interval(np.repeat([0.0, 1.0], 50), blocks, 0)
    assert half.low < half.value == 0.5 < half.high


def test_a_ratio_of_sums_is_resampled_in_pairs():
    rng = np.random.default_rng(0)
    driving = rng.uniform(1, 2, 300)
    found = block_interval(
        lambda rows: flicker_ratio(3 * driving[rows], driving[rows]), time_blocks(np.arange(300) / 30), 300, 0
    )
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))


def test_wilsons_interval_is_as_published():
    # Newcombe, Stat. Med. 17 (1998), table I, method 3.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0 / 20, 20) == pytest.approx((0, 0.1611), abs=5e-5)


def test_few_blocks_are_widened_by_students_quantile():
    assert few_blocks_factor(5) == pytest.approx(2.7764 / 1.959964 * np.sqrt(5 / 4), rel=1e-4)
    assert few_blocks_factor(1000) == pytest.approx(1, abs=0.003)
    covered = 0
    for run in range(60):
        seconds = np.random.default_rng(run).normal(5, 1, 6)
        found = mean_interval(np.repeat(seconds, 10), time_blocks(np.arange(60) / 10), run)
        covered += found.low <= 5 <= found.high
    assert covered >= 50
    assert mean_interval(np.arange(40.0), time_blocks(np.arange(40) / 10), 0).low is None
