"""Swaps between still pictures: every real gets a face of somebody else, and is written beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.faces.types import FaceDetector
from generators.stills.config import SwapStillsConfig
from generators.stills.donors import Donors
from generators.stills.located import Picture, Still, face_size_px, read_still
from generators.stills.painting import Strokes, drawn_strokes, swap_face
from generators.stills.pairs import Mask, write_family

GENERATOR = "still-swap"
STROKES_STREAM = 0x57A0
DONORS_IN_MEMORY = 256


@dataclass(frozen=True, eq=False)
class SwapRecipe:
    """Whose face, and how it is painted."""

    donor: Still
    strokes: Strokes


class SwapFamily:
    """`pairs.Family` of swaps by warped triangles."""

    generator = GENERATOR

    def __init__(self, stills: Sequence[Still], config: SwapStillsConfig) -> None:
        self._config = config
        self._donors = Donors(stills, config.seed, config.donors)
        self._read = lru_cache(DONORS_IN_MEMORY)(read_still)

    def recipe(self, still: Still, number: int) -> SwapRecipe | None:
        """See `pairs.Family`."""
        donor = self._donors.choose(still, number)
        if donor is None:
            return None
        rng = rng_for(self._config.seed, STROKES_STREAM, still.index, number)
        return SwapRecipe(donor, drawn_strokes(rng, face_size_px(still.landmarks)))

    def paint(self, still: Still, picture: Picture, recipe: SwapRecipe) -> tuple[Picture, Mask]:
        """See `pairs.Family`."""
        donor = self._read(recipe.donor.item.path, self._config.max_side)
        return swap_face(donor, recipe.donor.landmarks, picture, still.landmarks, recipe.strokes)

    def shown(self, recipe: SwapRecipe) -> Mapping[str, str]:
        """See `pairs.Family`."""
        strokes = recipe.strokes
        return {
            "donor": recipe.donor.item.source or recipe.donor.item.path.stem,
            "outline": strokes.outline,
            "colour": strokes.colour,
            "blend": strokes.blend,
            "erode": f"{strokes.erode:.3f}",
            "feather": f"{strokes.feather:.3f}",
            "face_px": f"{strokes.face_px:.0f}",
        }


def swap_stills(
    data: Sequence[Path],
    folder: Path,
    config: SwapStillsConfig,
    detector: FaceDetector,
    progress: Progress,
    overwrite: bool = False,
) -> Path:
    """Make the family in `folder`; the path of its manifest. A finished folder of the same recipe is left as it is.

    Raises UsageError for a folder of something else, ManifestError for data without reals.
    """
    about = f"Face swaps between photographs (seed {config.seed}): a face warped by landmarks onto another person's."
    return write_family(
        "swap", data, folder, config, config.dataset, lambda stills: SwapFamily(stills, config), about, detector, progress,
        overwrite,
    )  # fmt: skip
