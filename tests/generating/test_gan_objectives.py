"""Objectives against numbers worked by hand, against torch's cross-entropies, and by the gradients they give."""

import math
from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from generators.config import ObjectiveName
from generators.networks.madgan import WhichGenerator
from generators.objectives import OBJECTIVES

REAL = torch.tensor([2.0, -1.0])
FAKE = torch.tensor([0.5, -3.0])


def log1pexp(v: float) -> float:
    return math.log(1 + math.exp(v))


def mean(*values: float) -> float:
    return sum(values) / len(values)


LOGISTIC = mean(log1pexp(-2), log1pexp(1)) + mean(log1pexp(0.5), log1pexp(-3))
WORKED = {  # D's loss and G's, from the formulas in the papers
    "minimax": (LOGISTIC, mean(-log1pexp(0.5), -log1pexp(-3))),
    "non_saturating": (LOGISTIC, mean(log1pexp(-0.5), log1pexp(3))),
    "hinge": (mean(0, 2) + mean(1.5, 0), mean(-0.5, 3)),
    "lsgan": (0.5 * (mean(1, 4) + mean(0.25, 9)), 0.5 * mean(0.25, 16)),
}


def test_every_name_of_the_configuration_has_its_objective() -> None:
    assert set(OBJECTIVES) == set(get_args(ObjectiveName)) == set(WORKED)


@pytest.mark.parametrize("name", sorted(WORKED))
def test_losses_are_the_numbers_worked_by_hand(name: ObjectiveName) -> None:
    objective = OBJECTIVES[name]()
    loss_d, loss_g = WORKED[name]
    assert objective.discriminator_loss(REAL, FAKE, None).item() == pytest.approx(loss_d, rel=1e-6)
    assert objective.generator_loss(FAKE, None).item() == pytest.approx(loss_g, rel=1e-6)


def test_minimax_and_non_saturating_are_torchs_binary_cross_entropies() -> None:
    real, fake = torch.randn(2, 64, generator=torch.Generator().manual_seed(0)) * 4
    expected = F.binary_cross_entropy_with_logits(real, torch.ones(64)) + F.binary_cross_entropy_with_logits(
        fake, torch.zeros(64)
    )
    for name in ("minimax", "non_saturating"):
        torch.testing.assert_close(OBJECTIVES[name]().discriminator_loss(real, fake, None), expected)
    torch.testing.assert_close(
        OBJECTIVES["minimax"]().generator_loss(fake, None), -F.binary_cross_entropy_with_logits(fake, torch.zeros(64))
    )
    torch.testing.assert_close(
        OBJECTIVES["non_saturating"]().generator_loss(fake, None),
        F.binary_cross_entropy_with_logits(fake, torch.ones(64)),
    )


def gradient(loss: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, at)[0]


@pytest.mark.parametrize("name", sorted(WORKED))
def test_discriminators_push_reals_up_and_fakes_down_and_generators_push_fakes_up(name: ObjectiveName) -> None:
    objective = OBJECTIVES[name]()
    real, fake = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    loss = objective.discriminator_loss(real, fake + 0.25, None)
    assert gradient(loss, real) < 0  # descent raises it
    assert gradient(objective.discriminator_loss(real, fake + 0.25, None), fake) > 0
    assert gradient(objective.generator_loss(fake, None), fake) < 0


def test_minimax_saturates_where_the_discriminator_is_sure_and_non_saturating_does_not() -> None:
    sure = torch.full((1,), -12.0, requires_grad=True)
    assert gradient(OBJECTIVES["minimax"]().generator_loss(sure, None), sure).abs() < 1e-5
    assert gradient(OBJECTIVES["non_saturating"]().generator_loss(sure, None), sure).item() == pytest.approx(
        -1, abs=1e-4
    )


def test_hinge_leaves_alone_what_is_beyond_the_margin() -> None:
    real, fake = torch.tensor([1.5], requires_grad=True), torch.tensor([-1.5], requires_grad=True)
    loss = OBJECTIVES["hinge"]().discriminator_loss(real, fake, None)
    assert loss == 0
    assert gradient(loss, real) == 0


def test_an_output_says_real_above_zero_but_above_a_half_for_least_squares() -> None:
    outputs = torch.tensor([-0.2, 0.2, 0.4, 0.6])
    for name in ("minimax", "non_saturating", "hinge"):
        assert (OBJECTIVES[name]().realness(outputs) > 0).tolist() == [False, True, True, True]
    assert (OBJECTIVES["lsgan"]().realness(outputs) > 0).tolist() == [False, False, False, True]


@pytest.mark.parametrize("name", sorted(WORKED))
def test_losses_of_half_precision_outputs_are_float32(name: ObjectiveName) -> None:
    objective = OBJECTIVES[name]()
    assert objective.discriminator_loss(REAL.bfloat16(), FAKE.bfloat16(), None).dtype == torch.float32
    assert objective.generator_loss(FAKE.bfloat16(), None).dtype == torch.float32
    assert math.isfinite(objective.discriminator_loss(REAL.half() * 1e4, FAKE.half() * 1e4, None).item())


# Three columns: two generators, real. Probabilities of the rows: (1, 2, 5) / 8 and (2, 1, 1) / 4.
OUTPUTS = torch.log(torch.tensor([[1.0, 2.0, 5.0], [2.0, 1.0, 1.0]]))


def test_madgans_cross_entropies_are_the_numbers_worked_by_hand() -> None:
    game, y = WhichGenerator(), torch.tensor([1, 0])
    real = -mean(math.log(5 / 8), math.log(1 / 4))
    fake = -mean(math.log(2 / 8), math.log(2 / 4))
    assert game.discriminator_loss(OUTPUTS, OUTPUTS, y).item() == pytest.approx(real + fake, rel=1e-6)
    assert game.generator_loss(OUTPUTS, y).item() == pytest.approx(real, rel=1e-6)
    saturating = WhichGenerator(saturating=True).generator_loss(OUTPUTS, y)
    assert saturating.item() == pytest.approx(mean(math.log(3 / 8), math.log(3 / 4)), rel=1e-6)


def test_madgans_realness_is_the_logit_of_the_probability_of_real() -> None:
    game = WhichGenerator()
    torch.testing.assert_close(torch.sigmoid(game.realness(OUTPUTS)), torch.tensor([5 / 8, 1 / 4]))
    torch.testing.assert_close(game.realness(OUTPUTS + 7.0), game.realness(OUTPUTS))  # a softmax does not see a shift


def test_madgan_with_one_generator_is_the_plain_game() -> None:
    logits = torch.randn(32, generator=torch.Generator().manual_seed(1)) * 3
    two = torch.stack([torch.zeros(32), logits], 1)
    y = torch.zeros(32, dtype=torch.int64)
    plain = OBJECTIVES["non_saturating"]()
    torch.testing.assert_close(
        WhichGenerator().discriminator_loss(two, two.flip(0), y), plain.discriminator_loss(logits, logits.flip(0), None)
    )
    torch.testing.assert_close(WhichGenerator().generator_loss(two, y), plain.generator_loss(logits, None))


def test_madgan_needs_to_know_whose_fakes_they_are() -> None:
    with pytest.raises(ValueError, match="fake_y"):
        WhichGenerator().discriminator_loss(OUTPUTS, OUTPUTS, None)
