"""Randomised copies: the same pixels the same score, other pixels other copies, and the mean of what they score."""

import numpy as np
import pytest

from forensics.config import ScanConfig
from forensics.detectors.protocol import Subject
from forensics.randomised import randomised, randomised_logits
from forensics.scan import Scanner


class MeanBank:
    """An opinion that is the crop's mean, and one that is the surroundings' spread; keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Subject] = []

    def calibrated_logits(self, subjects):
        self.shown += subjects
        return {
            "mean": np.array([subject.crop.mean() for subject in subjects]),
            "spread": np.array([subject.surroundings.std() for subject in subjects]),
        }


@pytest.fixture
def subjects(portrait) -> list[Subject]:
    crops = [portrait[60 + 8 * i : 188 + 8 * i, 160:288].copy() for i in range(2)]
    return [Subject(crops[0], portrait[30:230, 140:340].copy()), Subject.of_crop(crops[1])]


def test_without_copies_the_subjects_are_scored_as_they_are(subjects):
    bank = MeanBank()
    assert randomised_logits(bank, subjects, 0)["mean"].tolist() == [s.crop.mean() for s in subjects]
    assert [id(shown) for shown in bank.shown] == [id(subject) for subject in subjects]


def test_the_logit_is_the_mean_over_the_copies(subjects):
    bank = MeanBank()
    logits = randomised_logits(bank, subjects, 5)
    assert len(bank.shown) == 10
    for number in (0, 1):
        copies = bank.shown[number::2]
        assert logits["mean"][number] == pytest.approx(np.mean([copy.crop.mean() for copy in copies]))
        assert logits["spread"][number] == pytest.approx(np.mean([copy.surroundings.std() for copy in copies]))
        assert len({copy.crop.tobytes() for copy in copies}) == 5
        assert all(copy.crop.shape == subjects[number].crop.shape for copy in copies)
    # Where crop and surroundings are one, they stay one: each is compressed once.
    assert all(copy.surroundings is copy.crop for copy in bank.shown[1::2])
    again = randomised_logits(MeanBank(), subjects, 5)
    assert all(np.array_equal(again[name], logits[name]) for name in logits)


def test_what_is_drawn_follows_from_the_pixels(subjects):
    """A change of one grey level gives other copies, not the same ones with that change."""
    first = MeanBank()
    randomised_logits(first, subjects, 3)
    changed = subjects[1].crop.copy()
    changed[0, 0, 0] ^= 1
    second = MeanBank()
    randomised_logits(second, [Subject.of_crop(changed)], 3)
    middle = slice(32, 96)
    for before, after in zip(first.shown[1::2], second.shown, strict=True):
        assert not np.array_equal(before.crop[middle, middle], after.crop[middle, middle])


def test_copies_stay_pictures_of_the_same(subjects):
    crop = subjects[1].crop
    for number in range(4):
        copy = randomised(subjects[1], 7, number).crop
        assert copy.dtype == np.uint8
        assert 0.5 < np.abs(copy.astype(int) - crop).mean() < 12


def test_a_scan_scores_copies_where_it_is_asked_to(portrait, tmp_path):
    from PIL import Image

    Image.fromarray(portrait[60:240, 140:320]).save(tmp_path / "face.png")
    scores = []
    for copies in (0, 2, 2):
        with Scanner(ScanConfig(view="face", randomised=copies, stability=False)) as scanner:
            record = scanner.scan(tmp_path / "face.png", explain=False).record
        assert record.verdict is not None
        scores.append((record.verdict.probability, record.configuration["randomised"]))
    assert scores[1] == scores[2]
    assert scores[0] != scores[1]
    assert scores[0][1] == 0
