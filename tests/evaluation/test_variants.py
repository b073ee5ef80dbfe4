"""Perturbed copies of items: the pixels that the perturbation gave, the times that the clip had, the same bytes again."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from eval.variants import ALL_FRAMES, PerturbedVariant
from forensics.common.errors import MediaError
from forensics.common.files import sha256_of_file
from forensics.media.reader import MediaReader
from forensics.media.types import Sampling
from forensics.perturb.grid import Condition

SAMPLING = Sampling(4.0, 240)


def make(path: Path, folder: Path, condition: Condition, seed: int = 0, sampling: Sampling = SAMPLING) -> Path:
    folder.mkdir(exist_ok=True)
    with MediaReader() as reader:
        return PerturbedVariant(condition, sampling, seed).make(path, sha256_of_file(path), reader, folder)


def samples_of(path: Path, sampling: Sampling) -> list[tuple[float, np.ndarray]]:
    with MediaReader() as reader, reader.open(path, sampling) as stream:
        return [(sample.timestamp_s, sample.pixels) for sample in stream]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8))
    return path


def test_picture_holds_the_very_pixels(picture: Path, tmp_path: Path) -> None:
    condition = Condition("jpeg", 30)
    found = cv2.imread(str(make(picture, tmp_path / "out", condition)))[:, :, ::-1]
    expected = condition.apply(np.ascontiguousarray(cv2.imread(str(picture))[:, :, ::-1]), np.random.default_rng(0))
    assert np.array_equal(found, expected)


def test_noise_depends_on_seed_picture_and_strength_alone(picture: Path, tmp_path: Path) -> None:
    def pixels(name: str, condition: Condition, seed: int) -> np.ndarray:
        return np.asarray(cv2.imread(str(make(picture, tmp_path / name, condition, seed))))

    first = pixels("a", Condition("noise", 10), 0)
    assert np.array_equal(first, pixels("b", Condition("noise", 10), 0))
    assert not np.array_equal(first, pixels("c", Condition("noise", 10), 1))


def test_clip_keeps_the_samples_and_their_times(examples: Path, tmp_path: Path) -> None:
    copy = make(examples / "real.mp4", tmp_path / "out", Condition("blur", 3))
    before, after = samples_of(examples / "real.mp4", SAMPLING), samples_of(copy, SAMPLING)
    # A clip's time begins at its first frame.
    assert [time_s for time_s, _ in after] == pytest.approx([time_s - before[0][0] for time_s, _ in before], abs=2e-5)
    sharp, blurred = (cv2.Laplacian(frames[0][1], cv2.CV_32F).var() for frames in (before, after))
    assert blurred < sharp / 2


def test_h264_compresses_every_frame_of_a_clip(examples: Path, tmp_path: Path) -> None:
    before = samples_of(examples / "real.mp4", ALL_FRAMES)
    sizes = []
    for crf in (18, 40):
        copy = make(examples / "real.mp4", tmp_path / str(crf), Condition("h264", crf))
        assert f"crf={crf}".encode() in copy.read_bytes()
        assert len(samples_of(copy, ALL_FRAMES)) == len(before) > len(samples_of(copy, SAMPLING))
        sizes.append(copy.stat().st_size)
    assert sizes[1] < sizes[0] / 3


def test_what_cannot_be_decoded_is_a_typed_error(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("not a picture")
    with pytest.raises(MediaError):
        make(path, tmp_path / "out", Condition("jpeg", 30))


def test_key_names_condition_and_seed() -> None:
    keys = {
        PerturbedVariant(Condition(name, strength), SAMPLING, seed).key
        for name, strength, seed in (("jpeg", 30, 0), ("jpeg", 45, 0), ("webp", 30, 0), ("jpeg", 30, 1))
    }
    assert len(keys) == 4
