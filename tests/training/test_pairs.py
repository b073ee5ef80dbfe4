"""The two pictures of a pair: stored ones as they are, pseudo-fakes made of a real one that is shown beside them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from forensics.common.manifest import Item
from forensics.common.seeds import rng_for
from forensics.faces.canonical import REFERENCE_LANDMARKS
from forensics.training import pairs
from forensics.training.blending import Blend
from forensics.training.crops import Crops
from forensics.training.pairs import pictures_of
from forensics.training.plan import Pair

SIDES = 96, 120, 80
COINCIDING = 2  # the item whose landmarks allow no blending


@pytest.fixture(scope="module")
def crops(portrait) -> Crops:
    """Faces in three sizes with their surroundings; the last one's landmarks lie on one point."""
    face, around = portrait[45:205, 150:310], portrait[0:272, 94:366]
    stored: list[np.ndarray] = []
    places, start = [], 0
    for side in SIDES:
        place = []
        for picture, size in ((face, side), (around, round(side * 1.7))):
            stored.append(cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA))
            place += [start, size]
            start += stored[-1].size
        places.append(place)
    landmarks = np.array([REFERENCE_LANDMARKS * side for side in SIDES], np.float32)
    landmarks[COINCIDING] = 40.0
    pixels = np.concatenate([picture.ravel() for picture in stored])
    pixels.setflags(write=False)  # as those of a file are
    items = tuple(Item(Path(f"/{i}.png"), i % 2, dataset="d") for i in range(3))
    return Crops(items, np.array(places, np.int64), landmarks, pixels, {})


def test_a_stored_pair_is_real_and_fake_as_they_are(crops):
    (real, no), (fake, yes) = pictures_of(crops, Pair(0, 1), "face", rng_for(0))
    assert (no, yes) == (0, 1)
    assert np.array_equal(real, crops[0])
    assert np.array_equal(fake, crops[1])


def test_a_head_that_sees_surroundings_is_given_them(crops):
    shown = pictures_of(crops, Pair(0, 1), "surroundings", rng_for(0))
    assert [(picture.shape[0], label) for picture, label in shown] == [(163, 0), (204, 1)]
    assert all(np.array_equal(picture, crops.surroundings(i)) for i, (picture, _) in enumerate(shown))


@pytest.mark.parametrize(("pair", "index", "label"), [(Pair(0, None), 0, 0), (Pair(None, 1), 1, 1)])
def test_a_half_comes_alone(crops, pair, index, label):
    ((picture, found),) = pictures_of(crops, pair, "face", rng_for(0))
    assert found == label
    assert np.array_equal(picture, crops[index])


BLENDED = [
    Pair(0, blending="self"),
    Pair(0, blending="warp"),
    Pair(0, blending="part", donors=(1,)),
    Pair(0, blending="face", donors=(1,)),
]


@pytest.mark.parametrize("pair", BLENDED, ids=lambda pair: pair.blending)
def test_a_pseudo_fake_stands_beside_its_real(crops, pair):
    before = crops.pixels.copy()
    changed = set()
    for seed in range(6):
        (real, no), (fake, yes) = pictures_of(crops, pair, "face", rng_for(seed))
        assert (no, yes) == (0, 1)
        assert real.shape == fake.shape == crops[0].shape
        assert real.dtype == fake.dtype == np.uint8
        assert not np.array_equal(real, fake)
        changed.add(not np.array_equal(real, crops[0]))
        again = pictures_of(crops, pair, "face", rng_for(seed))
        assert all(np.array_equal(a, b) for (a, _), (b, _) in zip(again, ((real, 0), (fake, 1)), strict=True))
    assert np.array_equal(crops.pixels, before)
    if pair.blending != "self":  # whose real may share the colours of the fake
        assert changed == {False}


@pytest.mark.parametrize(("kind", "donor"), [("self", None), ("warp", None), ("part", 1), ("face", 1)])
def test_each_kind_is_made_by_its_own_function_of_real_and_donor(crops, monkeypatch, kind, donor):
    calls = []

    def note(*arguments: object) -> Blend:
        calls.append(arguments)
        return Blend(crops[1], crops[0], np.ones((96, 96), np.float32))

    table = pairs.OF_ONE if donor is None else pairs.OF_TWO
    monkeypatch.setitem(table, kind, note)
    rng = rng_for(0)
    (real, no), (fake, yes) = pictures_of(
        crops, Pair(0, blending=kind, donors=() if donor is None else (donor,)), "face", rng
    )
    # The real is what the function returned as such, not what is stored.
    assert (no, yes) == (0, 1)
    assert np.array_equal(real, crops[1])
    assert np.array_equal(fake, crops[0])
    expected = [crops[0], crops.landmarks[0], *([] if donor is None else [crops[1], crops.landmarks[1]])]
    ((*given, last),) = calls
    assert last is rng
    assert all(np.array_equal(a, b) for a, b in zip(given, expected, strict=True))


@pytest.mark.parametrize("kind", ["self", "warp"])
def test_landmarks_that_coincide_leave_the_real_alone(crops, kind):
    ((picture, label),) = pictures_of(crops, Pair(COINCIDING, blending=kind), "face", rng_for(0))
    assert label == 0
    assert np.array_equal(picture, crops[COINCIDING])


@pytest.mark.parametrize("kind", ["part", "face"])
def test_so_do_the_donor_s(crops, kind):
    ((picture, label),) = pictures_of(crops, Pair(0, blending=kind, donors=(COINCIDING,)), "face", rng_for(0))
    assert label == 0
    assert np.array_equal(picture, crops[0])


def test_of_several_donors_the_nearest_in_pose_is_taken(crops, monkeypatch):
    """The others look to the side: their noses are off the middle."""
    landmarks = np.stack([REFERENCE_LANDMARKS * 90] * 4).astype(np.float32)
    landmarks[1, 2, 0] += 30
    landmarks[2] = REFERENCE_LANDMARKS * 45 + 11  # half the size, elsewhere: the same pose
    landmarks[3, 2, 0] -= 20
    some = Crops(crops.items[:1] * 4, crops.places[[0, 1, 1, 1]], landmarks, crops.pixels, {})
    taken = []

    def note(_crop, _landmarks, _donor, donor_landmarks, _rng) -> Blend:
        taken.append(donor_landmarks)
        return Blend(crops[0], crops[0], np.ones((96, 96), np.float32))

    monkeypatch.setitem(pairs.OF_TWO, "face", note)
    for donors in ((1, 2, 3), (3, 1, 2), (3, 1)):
        pictures_of(some, Pair(0, blending="face", donors=donors), "face", rng_for(0))
    assert [next(i for i in range(4) if np.array_equal(found, landmarks[i])) for found in taken] == [2, 2, 3]
