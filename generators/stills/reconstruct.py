"""Faces redrawn by an autoencoder: the traces of a swap's decoder, on the own face of each person.

The face is aligned, drawn by one of three decoders, and pasted back through a soft outline, or as the whole square (which
covers a tight crop altogether). What is learnt of it is the decoder's look, not another person's features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.faces.mean_shape import face_hull, place_mean_shape
from forensics.faces.types import FaceDetector
from generators.faceswap.alignment import transform
from generators.faceswap.masks import eroded_and_feathered, hull_mask
from generators.faceswap.rendering.colour import ColourMatch, match_colour
from generators.faceswap.rendering.paste import paste_back
from generators.stills.autoencoder.network import UPSAMPLINGS, Upsampling
from generators.stills.autoencoder.redrawer import Redrawer, square_of, to_square
from generators.stills.config import ReconstructConfig
from generators.stills.located import Picture, Still
from generators.stills.pairs import Mask, write_family

GENERATOR = "still-autoencoder"
RECIPE_STREAM = 0xAE0D
FACE_SHARE, MATCHED_SHARE = 0.7, 0.5
ERODE, FEATHER = (0.0, 0.06), (0.03, 0.25)
# A square's rim: soft enough to leave no line in a scene.
SQUARE_FEATHER = (0.02, 0.08)


@dataclass(frozen=True)
class RedrawRecipe:
    """Which decoder, what of its drawing is used, and how it is mixed in."""

    decoder: Upsampling
    region: Literal["face", "square"]
    colour: ColourMatch
    erode: float
    feather: float


class RedrawFamily:
    """`pairs.Family` of reconstructions."""

    generator = GENERATOR

    def __init__(self, redrawer: Redrawer, config: ReconstructConfig) -> None:
        self._redrawer, self._config = redrawer, config

    def recipe(self, still: Still, number: int) -> RedrawRecipe:
        """See `pairs.Family`."""
        rng = rng_for(self._config.seed, RECIPE_STREAM, still.index, number)
        decoder = UPSAMPLINGS[int(rng.integers(len(UPSAMPLINGS)))]
        is_face, is_matched = rng.random() < FACE_SHARE, rng.random() < MATCHED_SHARE
        erode, feather, rim = (
            float(rng.uniform(*ERODE)),
            float(rng.uniform(*FEATHER)),
            float(rng.uniform(*SQUARE_FEATHER)),
        )
        region = self._config.region
        if region == "drawn":
            region = "face" if is_face else "square"
        colour: ColourMatch = "lab" if is_matched else "none"
        if region == "face":
            return RedrawRecipe(decoder, "face", colour, erode, feather)
        return RedrawRecipe(decoder, "square", colour, 0.0, rim)

    def paint(self, still: Still, picture: Picture, recipe: RedrawRecipe) -> tuple[Picture, Mask]:
        """See `pairs.Family`."""
        px = self._redrawer.config.image_px
        matrix = to_square(still.landmarks, px)
        before = square_of(picture, still.landmarks, px)
        drawn = self._redrawer.draw(before[None], recipe.decoder)[0]
        if recipe.region == "face":
            outline = hull_mask(face_hull(place_mean_shape(transform(still.landmarks, matrix))), px, px)
        else:
            outline = np.ones((px, px), np.float32)
        mask = eroded_and_feathered(outline, recipe.erode, recipe.feather)
        return paste_back(picture, match_colour(drawn, before, mask, recipe.colour), mask, matrix)

    def shown(self, recipe: RedrawRecipe) -> Mapping[str, str]:
        """See `pairs.Family`."""
        return {
            "decoder": recipe.decoder,
            "region": recipe.region,
            "colour": recipe.colour,
            "erode": f"{recipe.erode:.3f}",
            "feather": f"{recipe.feather:.3f}",
            "face_px": str(self._redrawer.config.image_px),
            "checkpoint": self._redrawer.sha256,
        }


def reconstruct_stills(
    data: Sequence[Path],
    redrawer: Redrawer,
    folder: Path,
    config: ReconstructConfig,
    detector: FaceDetector,
    progress: Progress,
    overwrite: bool = False,
) -> Path:
    """Make the family in `folder`; the path of its manifest. A finished folder of the same recipe is left as it is.

    Raises UsageError for a folder of something else, ManifestError for data without reals.
    """
    about = f"Faces redrawn by an autoencoder of {redrawer.config.image_px} px (seed {config.seed})."
    return write_family(
        "reconstruct", data, folder, config, config.dataset, lambda _: RedrawFamily(redrawer, config), about, detector,
        progress, overwrite, {"autoencoder": redrawer.sha256},
    )  # fmt: skip
