"""Attacks on a small network that the test trains: what they reach, and the bounds that they never leave."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from eval.attacks import (
    ATTACKS,
    apply_patch,
    ascend,
    craft_pictures,
    largest_change,
    logits_of,
    make_attack,
    quantise,
    rms_change,
    train_patch,
)
from eval.attacks.pictures import BATCH, batches_by_size, to_batch
from eval.attacks.transforms import resize_and_restore, straight_through_jpeg
from forensics.common.errors import DetectorError, UsageError
from forensics.common.seeds import rng_for
from forensics.media.image import read_image
from forensics.perturb import jpeg
from forensics.perturb import resize_and_restore as resize_and_restore_reference

SIDE = 96
PERIOD_PX = 8.0
AMPLITUDE = 3.0  # grey levels


def draw(label: int, index: int, side: int = SIDE) -> np.ndarray:
    """Label 0: upright stripes; 1: lying ones; random phase and colour under noise that is stronger than the stripes."""
    rng = rng_for(7, label, index, 1)
    rows, columns = np.mgrid[:side, :side]
    wave = np.sin(2 * np.pi * (rows if label else columns) / PERIOD_PX + rng.uniform(0, 2 * np.pi))
    picture = rng.uniform(110, 146, 3) + AMPLITUDE * wave[:, :, None] + rng.normal(0, 8, (side, side, 3))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


class Striped(nn.Module):
    """Resizes to half and normalises inside, as the detectors do; one place with the right stripes is enough for it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.ReLU())
        self.head = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        small = F.interpolate(x, (48, 48), mode="bilinear", antialias=True, align_corners=False)
        features: torch.Tensor = self.layers((small - 0.5) / 0.05)
        logits: torch.Tensor = self.head(features.amax((2, 3)))
        return logits[:, 0]


@pytest.fixture(scope="module")
def network() -> Striped:
    """Trained for a few seconds, over 95 % right on pictures that it has not seen."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Striped()
        pictures = to_batch([draw(i % 2, i) for i in range(256)])
        labels = torch.arange(256) % 2
        optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
        for step in range(70):
            part = torch.from_numpy(rng_for(0, step).permutation(256)[:32])
            loss = F.binary_cross_entropy_with_logits(network(pictures[part]), labels[part].float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    network.eval()
    fresh, truth = fresh_pictures(100)
    assert accuracy(network, fresh, truth) > 0.95
    return network


def fresh_pictures(n: int, side: int = SIDE) -> tuple[list[np.ndarray], list[int]]:
    labels = [i % 2 for i in range(n)]
    return [draw(label, 10_000 + i, side) for i, label in enumerate(labels)], labels


def accuracy(network: nn.Module, pictures: list[np.ndarray], labels: list[int]) -> float:
    return float(np.mean((logits_of(network, pictures) > 0) == np.array(labels)))


def saved(pictures: list[np.ndarray], folder: Path) -> list[np.ndarray]:
    """Written as PNG and read back."""
    for index, picture in enumerate(pictures):
        assert cv2.imwrite(str(folder / f"{index}.png"), picture[:, :, ::-1])
    return [read_image(folder / f"{index}.png") for index in range(len(pictures))]


@pytest.mark.parametrize(("name", "epsilon"), [("fgsm", 4.0), ("pgd", 4.0), ("pgd-8bit", 4.0), ("pgd-l2", 2.0)])
def test_attack_defeats_the_network_within_epsilon_on_the_saved_png(network, tmp_path, name, epsilon):
    pictures, labels = fresh_pictures(60)
    crafted = craft_pictures(network, pictures, labels, range(60), make_attack(name, epsilon, steps=10))
    read_back = saved([one.pixels for one in crafted], tmp_path)
    assert accuracy(network, pictures, labels) > 0.95
    assert accuracy(network, read_back, labels) < 0.10
    distance = rms_change if ATTACKS[name].norm == "l2" else largest_change
    assert max(distance(a, b) for a, b in zip(read_back, pictures, strict=True)) <= epsilon
    if name != "pgd-l2":
        assert max(largest_change(a, b) for a, b in zip(read_back, pictures, strict=True)) == epsilon  # it is all used


def test_the_control_changes_as_much_and_fools_nobody(network):
    pictures, labels = fresh_pictures(60)
    crafted = craft_pictures(network, pictures, labels, range(60), make_attack("noise", 4.0))
    changes = np.stack([one.pixels.astype(int) - picture for one, picture in zip(crafted, pictures, strict=True)])
    assert set(np.unique(changes)) == {-4, 4} and abs(changes.mean()) < 0.05
    assert accuracy(network, [one.pixels for one in crafted], labels) > 0.9


def test_pgd_is_never_worse_than_the_picture_as_it_is(network):
    """One enormous step overshoots; what is given back is then the picture itself."""
    pictures, labels = fresh_pictures(10)
    sign = np.where(np.array(labels) == 1, -1.0, 1.0)
    for name in ("pgd", "pgd-l2", "pgd-8bit"):
        crafted = craft_pictures(network, pictures, labels, range(10), make_attack(name, 90.0, steps=1))
        moved = sign * (np.array([one.logit_in_memory for one in crafted]) - logits_of(network, pictures))
        assert moved.min() >= -1e-5


@pytest.mark.parametrize("epsilon", [0.4, 2.5])
def test_epsilon_between_levels_is_rounded_inwards(network, epsilon):
    pictures, labels = fresh_pictures(6)
    for name in ("fgsm", "pgd", "pgd-8bit"):
        crafted = craft_pictures(network, pictures, labels, range(6), make_attack(name, epsilon, steps=3))
        found = max(largest_change(one.pixels, b) for one, b in zip(crafted, pictures, strict=True))
        assert found == math.floor(epsilon)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "patch"])
def test_zero_epsilon_gives_the_picture_back(network, name):
    pictures, labels = fresh_pictures(4)
    crafted = craft_pictures(network, pictures, labels, range(4), make_attack(name, 0.0, steps=3))
    assert all(np.array_equal(one.pixels, picture) for one, picture in zip(crafted, pictures, strict=True))


def test_gradients_pass_through_resize_and_normalisation():
    """On a mean over the resized and normalised picture every source pixel has its part, and FGSM moves each of them."""
    pictures = [draw(1, i) for i in range(3)]

    def brightness(x: torch.Tensor) -> torch.Tensor:
        small = F.interpolate(x, (32, 32), mode="bilinear", antialias=True, align_corners=False)
        return ((small - 0.5) / 0.25).mean((1, 2, 3))

    crafted = craft_pictures(brightness, pictures, [1, 0, 1], range(3), make_attack("fgsm", 2.0))
    for one, picture, change in zip(crafted, pictures, (-2, 2, -2), strict=True):
        assert np.array_equal(one.pixels, picture.astype(int) + change)


def test_a_saturated_logit_is_no_defence(network):
    """Scaled by 500 the loss against the true label has a gradient of zero in float32; the attack must not care."""
    pictures, labels = fresh_pictures(20)

    def sure(x: torch.Tensor) -> torch.Tensor:
        return 500.0 * network(x)

    crafted = craft_pictures(sure, pictures, labels, range(20), make_attack("pgd", 4.0, steps=5))
    assert accuracy(network, [one.pixels for one in crafted], labels) < 0.10


def test_8bit_pgd_is_the_same_before_and_after_saving(network, tmp_path):
    """At an epsilon that fools some pictures only: every logit in memory is that of the file, to rounding of floats."""
    pictures, labels = fresh_pictures(40)
    crafted = craft_pictures(network, pictures, labels, range(40), make_attack("pgd-8bit", 1.0, steps=10))
    after = logits_of(network, saved([one.pixels for one in crafted], tmp_path))
    before = np.array([one.logit_in_memory for one in crafted])
    assert np.allclose(before, after, atol=1e-4)
    assert np.array_equal(before > 0, after > 0)
    assert 0.1 < np.mean((after > 0) == np.array(labels)) < 0.9


def test_more_steps_and_restarts_never_do_worse(network):
    pictures, labels = fresh_pictures(20)
    sign = np.where(np.array(labels) == 1, -1.0, 1.0)

    def margins(**options: int) -> np.ndarray:
        attack = make_attack("pgd", 1.0, **options)
        crafted = craft_pictures(network, pictures, labels, range(20), attack)
        return sign * np.array([one.logit_in_memory for one in crafted])

    assert np.all(margins(steps=4, restarts=3) >= margins(steps=4) - 1e-5)
    assert margins(steps=10).mean() > margins(steps=1).mean()


def test_robust_pgd_survives_jpeg_better(network):
    """Counted over pictures and qualities; the difference must be far from chance (McNemar's exact test, p < 0.001)."""
    pictures, labels = fresh_pictures(40)
    plain = craft_pictures(network, pictures, labels, range(40), make_attack("pgd", 1.0, steps=6))
    robust = craft_pictures(network, pictures, labels, range(40), make_attack("pgd-robust", 1.0, steps=6))

    def fooled(crafted: list, quality: int) -> np.ndarray:
        return (logits_of(network, [jpeg(one.pixels, quality) for one in crafted]) > 0) != np.array(labels)

    first = np.concatenate([fooled(plain, quality) for quality in (50, 70)])
    second = np.concatenate([fooled(robust, quality) for quality in (50, 70)])
    only_robust, only_plain = int(np.sum(second & ~first)), int(np.sum(first & ~second))
    tail = sum(math.comb(only_robust + only_plain, k) for k in range(only_plain + 1)) / 2 ** (only_robust + only_plain)
    assert tail < 0.001, (first.mean(), second.mean(), only_robust, only_plain)
    assert max(largest_change(one.pixels, b) for one, b in zip(robust, pictures, strict=True)) <= 1


def test_straight_through_jpeg_is_jpeg_with_the_gradient_of_the_identity():
    picture = draw(1, 3)
    x = to_batch([picture]).requires_grad_(True)
    seen = straight_through_jpeg(x, 50)
    assert np.array_equal((seen[0].detach().permute(1, 2, 0).numpy() * 255).round(), jpeg(picture, 50))
    weights = torch.rand(seen.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((weights * seen).sum(), x)
    assert torch.equal(gradient, weights)


def test_differentiable_resize_agrees_with_the_perturbation():
    picture = cv2.GaussianBlur(draw(1, 3), (0, 0), 2)
    seen = resize_and_restore(to_batch([picture]), 0.5)[0].permute(1, 2, 0).numpy() * 255
    expected = resize_and_restore_reference(picture, 0.5)
    assert np.abs(seen - expected).mean() < 1.0


def test_patch_is_one_square_of_one_percent_and_fools(network):
    pictures, labels = fresh_pictures(60)
    fakes = [picture for picture, label in zip(pictures, labels, strict=True) if label == 1]
    patch = train_patch(network, fakes, 1, range(30), make_attack("patch", 1.0, steps=40))
    patched = [apply_patch(picture, patch, key) for key, picture in enumerate(fakes)]
    places = set()
    for before, after in zip(fakes, patched, strict=True):
        changed = (before != after).any(2)
        rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
        assert 0 < changed.sum() <= 0.01 * changed.size
        assert np.ptp(rows) < 9 and np.ptp(columns) < 9  # floor(sqrt(1 % of 96 x 96)) = 9
        places.add((rows[0], columns[0]))
        inside = after[rows[0] : rows[0] + 9, columns[0] : columns[0] + 9]
        assert np.array_equal(inside, patch.pixels)
    assert len(places) == 1
    assert (logits_of(network, fakes) > 0).mean() > 0.95
    assert (logits_of(network, patched) > 0).mean() < 0.1


def test_patch_anywhere_has_other_places_and_other_sizes_have_other_patches(network):
    pictures = [draw(0, i, side) for i, side in enumerate((96, 96, 128, 64))]
    attack = make_attack("patch", 1.0, steps=4, place="random")
    patch = train_patch(network, pictures, 0, range(4), attack)
    places = []
    for key, picture in enumerate(pictures):
        changed = (apply_patch(picture, patch, key) != picture).any(2)
        assert 0 < changed.sum() <= 0.01 * changed.size
        places.append((int(np.flatnonzero(changed.any(1))[0]), int(np.flatnonzero(changed.any(0))[0])))
    assert places[0] != places[1]
    again = train_patch(network, pictures, 0, range(4), attack)
    assert np.array_equal(patch.pixels, again.pixels)


def test_patch_on_pictures_without_room_is_refused(network):
    with pytest.raises(UsageError, match="smaller than 2 pixels"):
        train_patch(network, [draw(0, 0, 16)], 0, [0], make_attack("patch", 1.0))
    with pytest.raises(ValueError, match="train_patch"):
        craft_pictures(network, [draw(0, 0)], [0], [0], make_attack("patch", 1.0))


@pytest.mark.parametrize("name", ["pgd", "pgd-l2", "pgd-8bit", "pgd-robust", "noise"])
def test_same_seed_same_bytes_and_another_seed_others(network, name):
    pictures, labels = fresh_pictures(6)
    first, again, other = (
        craft_pictures(network, pictures, labels, range(6), make_attack(name, 3.0, steps=3, seed=seed))
        for seed in (0, 0, 1)
    )
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.pixels, b.pixels) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("name", ["fgsm", "pgd", "pgd-l2", "pgd-8bit", "pgd-robust", "noise"])
def test_batch_size_and_order_do_not_matter(name):
    """On a linear detector, whose gradient has no rounding of its own, results are equal to the last pixel."""
    weights = torch.from_numpy(np.sign(rng_for(3, 1).normal(size=(3, 40, 40))).astype(np.float32))

    def linear(x: torch.Tensor) -> torch.Tensor:
        return (x * weights).sum((1, 2, 3))

    pictures, labels = fresh_pictures(5, 40)
    attack = make_attack(name, 3.0, steps=3)
    together = craft_pictures(linear, pictures, labels, range(5), attack)
    alone = craft_pictures(linear, pictures, labels, range(5), attack, batch=1)
    turned = craft_pictures(linear, pictures[::-1], labels[::-1], range(4, -1, -1), attack, batch=3)[::-1]
    for a, b, c in zip(together, alone, turned, strict=True):
        assert np.array_equal(a.pixels, b.pixels)
        assert np.array_equal(a.pixels, c.pixels)


def test_each_picture_may_have_a_threshold_of_its_own():
    """A robust attack pulls hardest by what is not over its threshold yet: the thresholds decide the way."""
    weights = torch.from_numpy(rng_for(3, 1).normal(size=(3, 32, 32)).astype(np.float32))

    def curved(x: torch.Tensor) -> torch.Tensor:
        return 20 * (((x * weights) ** 2).mean((1, 2, 3)) - (x * weights).mean((1, 2, 3)))

    pictures, labels = fresh_pictures(3, 32)
    attack = make_attack("pgd-robust", 4.0, steps=3)
    thresholds = [-20.0, 5.0, 20.0]
    together = craft_pictures(curved, pictures, labels, range(3), attack, thresholds)
    for i, threshold in enumerate(thresholds):
        (alone,) = craft_pictures(curved, pictures[i : i + 1], labels[i : i + 1], [i], attack, threshold)
        assert np.array_equal(alone.pixels, together[i].pixels)
    others = craft_pictures(curved, pictures, labels, range(3), attack, thresholds[::-1])
    assert not all(np.array_equal(a.pixels, b.pixels) for a, b in zip(others, together, strict=True))


@pytest.mark.parametrize(("side", "expected"), [(512, [16, 4]), (1024, [4] * 5), (3000, [1] * 20)])
def test_batches_of_large_pictures_are_small(side, expected):
    picture = np.broadcast_to(np.uint8(0), (side, side, 3))
    found = list(batches_by_size([picture] * 20, BATCH))
    assert [len(indices) for indices in found] == expected
    assert [index for indices in found for index in indices] == list(range(20))


def test_sizes_are_mixed_and_order_is_kept(network):
    pictures = [draw(1, i, side) for i, side in enumerate((96, 64, 96, 80, 64))]
    crafted = craft_pictures(network, pictures, [1] * 5, range(5), make_attack("fgsm", 4.0), batch=2)
    assert [one.pixels.shape for one in crafted] == [picture.shape for picture in pictures]
    assert all(largest_change(one.pixels, b) == 4 for one, b in zip(crafted, pictures, strict=True))


def test_linear_detector_gives_the_exact_answer():
    """FGSM on a linear detector is the optimum: every value of a fake moves by epsilon against its weight's sign."""
    weights = torch.from_numpy(rng_for(4, 1).normal(size=(3, 8, 8)).astype(np.float32))
    picture = np.full((8, 8, 3), 100, np.uint8)
    for label, sign in ((1, -1), (0, 1)):
        for name in ("fgsm", "pgd", "pgd-8bit"):
            (one,) = craft_pictures(
                lambda x: (x * weights).sum((1, 2, 3)), [picture], [label], [0], make_attack(name, 3.0)
            )
            expected = 100 + sign * 3 * np.sign(weights.permute(1, 2, 0).numpy())
            assert np.array_equal(one.pixels, expected), (label, name)


def test_pictures_at_the_ends_of_the_range_stay_in_it(network):
    pictures = [np.zeros((96, 96, 3), np.uint8), np.full((96, 96, 3), 255, np.uint8)]
    for name in ("fgsm", "pgd", "pgd-l2", "pgd-8bit"):
        crafted = craft_pictures(network, pictures, [0, 1], range(2), make_attack(name, 4.0, steps=3))
        distance = rms_change if name == "pgd-l2" else largest_change
        assert all(distance(one.pixels, b) <= 4 for one, b in zip(crafted, pictures, strict=True))  # nothing wrapped


def test_parameters_get_no_gradient_and_training_mode_is_refused(network):
    pictures, labels = fresh_pictures(2)
    for parameter in network.parameters():
        parameter.grad = None
    craft_pictures(network, pictures, labels, range(2), make_attack("pgd", 2.0, steps=2))
    assert all(parameter.grad is None for parameter in network.parameters())
    network.train()
    try:
        with pytest.raises(ValueError, match="training mode"):
            craft_pictures(network, pictures, labels, range(2), make_attack("pgd", 2.0))
    finally:
        network.eval()


def test_a_detector_that_gives_no_numbers_is_an_error():
    picture = draw(0, 0)
    with pytest.raises(DetectorError):
        ascend(
            lambda x: x.sum((1, 2, 3)) * torch.nan, to_batch([picture]), torch.tensor([0]), make_attack("pgd", 2.0), [0]
        )
    with pytest.raises(DetectorError, match="1, 3"):
        ascend(lambda x: x.sum((2, 3)), to_batch([picture]), torch.tensor([0]), make_attack("pgd", 2.0), [0])


@pytest.mark.parametrize(
    ("name", "epsilon", "options"),
    [("cw", 2.0, {}), ("pgd", -1.0, {}), ("pgd", math.nan, {}), ("pgd", 200.0, {}), ("pgd", 2.0, {"restarts": 0}),
     ("pgd", 2.0, {"steps": -1})],
)  # fmt: skip
def test_attacks_that_make_no_sense_are_refused(name, epsilon, options):
    with pytest.raises(UsageError):
        make_attack(name, epsilon, **options)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    epsilon=st.floats(0, 20),
    norm=st.sampled_from(["linf", "l2"]),
    stretch=st.floats(0.1, 3.0),
)
def test_quantise_never_leaves_the_ball(seed, epsilon, norm, stretch):
    """Also for floats that lie outside of it, and at black and white."""
    rng = rng_for(seed, 5)
    original = rng.choice(np.array([0, 1, 100, 200, 254, 255], np.uint8), (9, 7, 3))
    wild = np.clip(original / 255.0 + rng.normal(0, stretch * (epsilon + 0.1) / 255.0, original.shape), 0, 1)
    found = quantise(wild, original, epsilon, norm)
    distance = rms_change(found, original) if norm == "l2" else largest_change(found, original)
    assert distance <= epsilon
    if epsilon == 0:
        assert np.array_equal(found, original)


def test_quantise_rounds_to_the_nearest_level_inside_the_ball():
    original = np.full((1, 4, 3), 100, np.uint8)
    wanted = np.array([100.4, 101.6, 102.5, 97.0])[None, :, None].repeat(3, 2) / 255.0
    assert quantise(wanted, original, 2.0)[0, :, 0].tolist() == [100, 102, 102, 98]
    assert quantise(wanted, original, 2.9)[0, :, 0].tolist() == [100, 102, 102, 98]
    assert quantise(wanted, original, 3.0)[0, :, 0].tolist() == [100, 102, 102, 97]


def test_quantise_l2_uses_its_budget():
    """Rounding would leave the ball of 1.5 RMS; what is taken back is little."""
    rng = rng_for(0, 9)
    original = np.full((64, 64, 3), 128, np.uint8)
    change = rng.normal(0, 1, original.shape)
    change *= 1.5 / np.sqrt(np.mean(change**2))
    assert rms_change(np.uint8(np.rint(128 + change)), original) > 1.5
    found = quantise((128 + change) / 255.0, original, 1.5, "l2")
    assert 1.49 < rms_change(found, original) <= 1.5


def test_quantise_refuses_what_is_no_picture():
    with pytest.raises(ValueError, match="shapes"):
        quantise(np.zeros((4, 4, 3)), np.zeros((4, 5, 3), np.uint8), 1.0)
    with pytest.raises(ValueError, match="not numbers"):
        quantise(np.full((4, 4, 3), np.nan), np.zeros((4, 4, 3), np.uint8), 1.0)
