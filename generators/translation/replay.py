"""Pictures that were drawn before, shown to a discriminator again, so that the game does not go round in circles.

Shrivastava et al. 2016, arXiv 1612.07828, section 2.3; Zhu et al. 2017, arXiv 1703.10593, section 4: 50 pictures.
"""

import numpy as np
import torch

SWAPPED_SHARE = 0.5


class ReplayPool:
    """Up to `size` pictures; the first ones that come fill it."""

    def __init__(self, size: int, picture: tuple[int, int, int], device: torch.device) -> None:
        """picture: (C, H, W) of each; size 0: none is kept."""
        self.pictures = torch.zeros(size, *picture, device=device)
        self.count = 0

    @torch.no_grad()
    def exchange(self, drawn: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """drawn (N, C, H, W) float32 -> as many, to be judged: one by one, each as it is while the pool fills up; then
        with even odds as it is, or one of the pool, whose place it takes."""
        size = len(self.pictures)
        if not size:
            return drawn
        shown = drawn.clone()
        for row in range(len(drawn)):
            if self.count < size:
                self.pictures[self.count] = drawn[row]
                self.count += 1
            elif rng.random() < SWAPPED_SHARE:
                place = int(rng.integers(size))
                shown[row] = self.pictures[place]
                self.pictures[place] = drawn[row]
        return shown
