"""A conditional system draws what it was asked for, in the eyes of a classifier that knows real pictures alone."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from generators.config import GanConfig
from generators.objectives import OBJECTIVES
from generators.system import System, configured, system_named

CLASSES = 10
IMAGE_PX = 16
BATCH = 32
STEPS = 300
RATE = 2e-3  # ten times the preset's: the test has seconds
PER_CLASS = 30
CHANCE = 1 / CLASSES


@pytest.fixture(scope="module")
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """scikit-learn's 1797 handwritten digits: (N, 3, 16, 16) float32 in [-1, 1], and their classes."""
    data = load_digits()
    gray = torch.from_numpy(data.images).float()[:, None] / 8 - 1
    x = F.interpolate(gray, size=(IMAGE_PX, IMAGE_PX), mode="bilinear").expand(-1, 3, -1, -1)
    return x.contiguous(), torch.from_numpy(data.target)


@pytest.fixture(scope="module")
def classifier(digits: tuple[torch.Tensor, torch.Tensor]) -> LogisticRegression:
    x, y = digits
    model = LogisticRegression(max_iter=200, C=0.1).fit(_rows(x[:1200]), y[:1200])
    assert model.score(_rows(x[1200:]), y[1200:]) > 0.88  # the last third: other writers
    return model


@pytest.mark.parametrize("conditioning", ["projection", "concatenation"])
def test_samples_of_a_class_are_classified_as_that_class(
    conditioning: str, digits: tuple[torch.Tensor, torch.Tensor], classifier: LogisticRegression
) -> None:
    """Of five seeds tried (0..4), all pass with either conditioning."""
    values = {"image_px": IMAGE_PX, "width": 16, "classes": CLASSES, "learning_rate_g": RATE, "learning_rate_d": RATE}
    system = system_named("cgan")
    config = configured(system, "cpu", {**values, "conditioning": conditioning})
    untrained, trained = _generators(system, config, *digits)
    asked = torch.arange(CLASSES).repeat_interleave(PER_CLASS)
    torch.manual_seed(1)
    z = torch.randn(len(asked), config.latent)
    before, after = (_accuracy(classifier, network, z, asked) for network in (untrained, trained))
    # 300 samples: chance is 0.10 +- 0.02.
    assert before < 2.5 * CHANCE
    assert after > 6 * CHANCE
    # The answer follows the question: asked for the next class, the same noise gives the next class.
    others = (asked + 1) % CLASSES
    assert _accuracy(classifier, trained, z, others) > 6 * CHANCE


def _generators(
    system: System, config: GanConfig, x: torch.Tensor, y: torch.Tensor, seed: int = 0
) -> tuple[torch.nn.Module, torch.nn.Module]:
    """The generator as it begins, and after a plain loop of the game."""
    torch.manual_seed(seed)
    untrained = system.generator(config)
    torch.manual_seed(seed)
    generator, discriminator = system.generator(config), system.discriminator(config)
    objective = OBJECTIVES[config.objective]()
    betas = (config.beta1, config.beta2)
    adam_g = torch.optim.Adam(generator.parameters(), config.learning_rate_g, betas)
    adam_d = torch.optim.Adam(discriminator.parameters(), config.learning_rate_d, betas)
    for _ in range(STEPS):
        rows = torch.randint(len(x), (BATCH,))
        fake_y = torch.randint(CLASSES, (BATCH,))
        fake = generator(torch.randn(BATCH, config.latent), fake_y)
        real_outputs = discriminator(x[rows], y[rows])
        loss_d = objective.discriminator_loss(real_outputs, discriminator(fake.detach(), fake_y), fake_y)
        adam_d.zero_grad()
        loss_d.backward()
        adam_d.step()
        loss_g = objective.generator_loss(discriminator(fake, fake_y), fake_y)
        adam_g.zero_grad()
        loss_g.backward()
        adam_g.step()
    return untrained, generator


@torch.no_grad()
def _accuracy(classifier: LogisticRegression, generator: torch.nn.Module, z: torch.Tensor, y: torch.Tensor) -> float:
    # With the batch's own statistics: so short a training leaves no settled running ones.
    return float(classifier.score(_rows(generator.train()(z, y)), y))


def _rows(x: torch.Tensor) -> np.ndarray:
    return x.mean(1).flatten(1).numpy()
