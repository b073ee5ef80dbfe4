"""Perceptual hashes: the bits that the spectrum says, found again after what happens to pictures, and not elsewhere."""

import cv2
import numpy as np
import pytest
from scipy.fft import idctn

from forensics.features import perceptual_hash
from forensics.features.perceptual_hash import (
    MAX_DISTANCE,
    MIN_CORRELATION,
    SIDE_PX,
    correlations,
    is_flat,
    luma_of,
    near_hashes,
    perceptual_hashes,
)


def luma(pixels: np.ndarray) -> np.ndarray:
    return luma_of(cv2.resize(pixels, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA))


def jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)


def shifted(pixels: np.ndarray, levels: int) -> np.ndarray:
    return np.clip(pixels.astype(int) + levels, 0, 255).astype(np.uint8)


ALTERED = {
    "JPEG 30": lambda p: jpeg(p, 30),
    "half the size and JPEG 60": lambda p: jpeg(cv2.resize(p, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 60),
    "quarter of the size": lambda p: cv2.resize(p, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA),
    "double size": lambda p: cv2.resize(p, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
    "brighter": lambda p: shifted(p, 25),
    "darker": lambda p: shifted(p, -25),
    "blurred": lambda p: cv2.GaussianBlur(p, (0, 0), 2),
}


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    data = pytest.importorskip("skimage.data", reason="scikit-image's pictures are not installed")
    return {name: np.ascontiguousarray(getattr(data, name)()[:, :, :3]) for name in ("astronaut", "coffee", "chelsea")}


def test_bits_are_the_low_frequencies_above_their_median():
    rng = np.random.default_rng(3)
    low = rng.permutation(64).reshape(8, 8) - 31.5
    spectrum = np.zeros((SIDE_PX, SIDE_PX))
    spectrum[0, 0], spectrum[1:9, 1:9] = 128 * SIDE_PX, 4 * low
    spectrum[0, 1:], spectrum[1:, 0] = rng.normal(0, 500, (2, SIDE_PX - 1))  # first row and column do not count
    (found,) = perceptual_hashes(idctn(spectrum, norm="ortho")[None])
    assert [int(bit) for bit in f"{int(found):064b}"] == (low > 0).ravel().astype(int).tolist()


def test_brightness_and_contrast_change_no_bit():
    rng = np.random.default_rng(0)
    lumas = rng.normal(128, 20, (50, SIDE_PX, SIDE_PX)).astype(np.float32)
    assert np.array_equal(perceptual_hashes(lumas), perceptual_hashes(lumas * 0.5 + 40))
    assert np.all(np.bitwise_count(perceptual_hashes(lumas)) == 32)


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="thumbnails are"):
        perceptual_hashes(np.zeros((SIDE_PX, SIDE_PX), np.float32))
    assert len(perceptual_hashes(np.zeros((0, SIDE_PX, SIDE_PX), np.float32))) == 0


@pytest.mark.parametrize("change", ALTERED)
def test_the_same_picture_is_found_after(pictures, change):
    for pixels in pictures.values():
        pair = np.stack([luma(pixels), luma(ALTERED[change](pixels))])
        hashes = perceptual_hashes(pair)
        assert np.bitwise_count(hashes[0] ^ hashes[1]) <= MAX_DISTANCE
        assert correlations(pair[:1], pair[1:])[0] >= MIN_CORRELATION


def test_other_pictures_are_not_found(pictures):
    lumas = np.stack([luma(pixels) for pixels in pictures.values()])
    hashes = perceptual_hashes(lumas)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert np.bitwise_count(hashes[i] ^ hashes[j]) > MAX_DISTANCE
        assert correlations(lumas[[i]], lumas[[j]])[0] < MIN_CORRELATION


def test_correlations_are_those_of_numpy():
    rng = np.random.default_rng(1)
    left, right = rng.normal(100, 30, (2, 20, SIDE_PX, SIDE_PX)).astype(np.float32)
    right[:10] += 2 * left[:10]
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(left, right, strict=True)]
    assert correlations(left, right) == pytest.approx(expected, abs=1e-5)
    assert correlations(left, 3 - 2 * left) == pytest.approx(-1, abs=1e-5)
    assert correlations(left[:1], np.full((1, SIDE_PX, SIDE_PX), 7.0)).tolist() == [0.0]


def test_flat_pictures_are_told():
    rng = np.random.default_rng(0)
    lumas = np.stack(
        [np.full((SIDE_PX, SIDE_PX), 16.0), rng.normal(16, 0.5, (SIDE_PX,) * 2), rng.normal(16, 9, (SIDE_PX,) * 2)]
    )
    assert is_flat(lumas.astype(np.float32)).tolist() == [True, True, False]


@pytest.mark.parametrize("chunk", [1, 64, 1 << 20])
def test_all_near_pairs_are_found_once(monkeypatch, chunk):
    monkeypatch.setattr(perceptual_hash, "CHUNK", chunk)
    rng = np.random.default_rng(2)
    left, right = (rng.integers(0, 2**64, n, np.uint64) for n in (37, 23))
    right[::3] = left[:8] ^ (rng.integers(0, 2**64, 8, np.uint64) & np.uint64(0x0101_0101_0101_0101))
    naive = {
        (i, j, (int(left[i]) ^ int(right[j])).bit_count())
        for i in range(37)
        for j in range(23)
        if (int(left[i]) ^ int(right[j])).bit_count() <= 20
    }
    found = [
        (int(i), int(j), int(d))
        for rows, columns, distances in near_hashes(left, right, 20)
        for i, j, d in zip(rows, columns, distances, strict=True)
    ]
    assert len(naive) >= 8
    assert len(found) == len(naive)
    assert set(found) == naive
    assert list(near_hashes(left, right[:0])) == []
    assert list(near_hashes(left[:0], right)) == []
