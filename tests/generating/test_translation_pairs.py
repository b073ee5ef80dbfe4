"""What inputs are made of pictures by, and which pairs a step sees."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from skimage import data

from generators.data.pictures import pictures_of
from generators.translation.degradations import (
    STRENGTHS,
    degrading,
    edges,
    gray,
    hazy,
    holed,
    making,
    noisy,
    reduced,
    sketch,
)
from generators.translation.pairs import Source, endless, judged
from generators.translation_config import TranslationConfig


@pytest.fixture(scope="module")
def portrait():
    return np.ascontiguousarray(data.astronaut()[:128, 150:278])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_noise_has_the_deviation_that_is_asked_for():
    grey = np.full((128, 128, 3), 128, np.uint8)
    difference = noisy(grey, 25, rng()).astype(float) - 128
    assert abs(difference.std() - 25) < 0.5
    assert abs(difference.mean()) < 0.5


def test_haze_brightens_the_dark_and_lowers_contrast(portrait):
    thin, thick = hazy(portrait, 0.3, rng()), hazy(portrait, 1.5, rng())
    assert portrait.std() > thin.std() > thick.std()
    assert thick.min() > portrait.min()


def test_drawings(portrait):
    lines = edges(portrait)
    assert set(np.unique(lines)) == {0, 255}
    assert 0.01 < (lines == 0).mean() < 0.5
    assert (gray(portrait)[..., 0] == gray(portrait)[..., 2]).all()
    pencil = sketch(portrait)
    assert np.median(pencil) > 200  # paper
    assert (pencil < 150).mean() > 0.02
    hole = holed(portrait, rng())
    changed = (hole != portrait).any(2)
    assert 0.02 < changed.mean() < 0.3
    assert reduced(portrait, 4).shape == (32, 32, 3)


@pytest.mark.parametrize("task", [name for name in STRENGTHS if name != "none"])
def test_degradations_repeat_and_differ(portrait, task):
    maker = degrading(task, 0, 0)
    first = maker(portrait, rng(1))
    assert first.shape == portrait.shape
    assert first.dtype == np.uint8
    assert (first == maker(portrait, rng(1))).all()
    if task != "colourise":
        assert (first != maker(portrait, rng(2))).any()


@pytest.mark.parametrize("make", ["edges", "sketch", "gray", "mask"])
def test_makers_keep_the_size(portrait, make):
    assert making(make)(portrait[:37, :61], rng()).shape == (37, 61, 3)


def batches(config, source, step, rollbacks=0, share=None):
    with ThreadPoolExecutor(2) as pool:
        stream = endless(source, config, step, rollbacks, share or slice(0, config.batch_size), pool)
        return [next(stream) for _ in range(3)]


@pytest.fixture(scope="module")
def source():
    pixels = np.random.default_rng(0).integers(0, 256, (7, 48, 48, 3), np.uint8)
    return Source(pictures_of(pixels))


def test_a_step_sees_the_same_pairs_whenever_it_is_asked_for(source):
    config = TranslationConfig(task="denoise", image_px=32, picture_px=48, batch_size=4)
    from_start, from_two = batches(config, source, 0), batches(config, source, 2)
    assert (from_start[2].given == from_two[0].given).all()
    assert (from_start[2].target == from_two[0].target).all()
    other = batches(config, source, 2, rollbacks=1)[0]
    assert (other.given != from_two[0].given).any()


def test_processes_share_one_batch(source):
    config = TranslationConfig(task="denoise", image_px=32, picture_px=48, batch_size=4)
    whole = batches(config, source, 5)[0]
    parts = [batches(config, source, 5, share=part)[0] for part in (slice(0, 2), slice(2, 4))]
    assert (np.concatenate([part.given for part in parts]) == whole.given).all()


def test_given_pairs_are_cut_and_mirrored_together(source):
    inverted = pictures_of(255 - source.targets.batch(np.arange(7)))
    config = TranslationConfig(image_px=16, picture_px=48, batch_size=7)
    for pairs in batches(config, Source(source.targets, inverted), 0):
        assert (pairs.given == 255 - pairs.target).all()


def test_enlargement_is_given_less(source):
    config = TranslationConfig(image_px=32, picture_px=48, scale=4, batch_size=2)
    pairs = batches(config, source, 0)[0]
    assert pairs.given.shape == (2, 8, 8, 3)
    assert pairs.target.shape == (2, 32, 32, 3)


def test_figures_are_measured_on_the_middle_at_one_strength(source):
    config = TranslationConfig(task="denoise", image_px=32, picture_px=48, batch_size=2)
    pairs = judged(source, config, [0, 6])
    assert (pairs.target == source.targets.batch(np.array([0, 6]))[:, 8:40, 8:40]).all()
    assert (pairs.given == judged(source, config, [0, 6]).given).all()
    weaker = judged(source, config.model_copy(update={"judged": 5.0}), [0, 6])

    def error(pairs):
        return np.abs(pairs.given.astype(int) - pairs.target).mean()

    assert error(weaker) < error(pairs) / 2
