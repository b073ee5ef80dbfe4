"""The perturbations of a robustness bench: what each is called, how strong it can be, and the five strengths that are run.

A condition is a perturbation at a strength, written `jpeg:50`. Everything is applied alike to real and fake pictures, and
depends on the picture, the strength and (noise alone) the random generator that is given.

The families are those of robustness benches for forensics: compression, scaling, blur, noise, colour (DeeperForensics-1.0,
Jiang et al. 2020, arXiv 2001.03024, section 3.3; five levels each as in ImageNet-C, Hendrycks and Dietterich 2019, arXiv
1903.12261). The strengths are those of this project: from hardly visible to what is still watched and shared.
Limits: one perturbation at a time, but for delivery by a platform; strengths of different families are not comparable.

Another one is registered by `register(Perturbation(...))`, and is then known to `parse_condition`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from forensics.common.errors import UsageError
from forensics.perturb.avc import CRF_MAX, CRF_MIN, h264
from forensics.perturb.picture import (
    Picture,
    add_noise,
    blur,
    crop_borders,
    deliver,
    gamma,
    jpeg,
    resize_and_restore,
    shift_colour,
    webp,
)

Change = Callable[[Picture, float, np.random.Generator], Picture]

# Longest side in pixels -> JPEG quality: how platforms deliver what was uploaded, mildest compression first.
PLATFORM_QUALITIES = {2048: 75, 1080: 70, 1600: 50}
# Level -> gain around mid-grey, offset in grey levels, saturation: a filter that fades a picture, a little to nearly grey.
COLOUR_LEVELS = {
    1: (0.95, 3.0, 0.85),
    2: (0.9, 6.0, 0.7),
    3: (0.8, 12.0, 0.5),
    4: (0.7, 18.0, 0.3),
    5: (0.6, 24.0, 0.1),
}


@dataclass(frozen=True)
class Perturbation:
    """One thing that happens to pictures, at any strength of its range.

    name: as in `name:strength`. title, unit: for tables and axes. strengths: those of the grid, from mild to strong.
    lowest, highest: the range, ends included; `is_whole` where a strength is a whole number; `only_listed` where only the
    strengths of the grid have a meaning. keeps_size is False where the result may be smaller than the picture. note:
    what the strength means.
    """

    name: str
    title: str
    unit: str
    strengths: tuple[float, ...]
    lowest: float
    highest: float
    change: Change
    note: str
    is_whole: bool = False
    only_listed: bool = False
    keeps_size: bool = True

    def __post_init__(self) -> None:
        if not self.strengths or len(set(self.strengths)) != len(self.strengths):
            raise ValueError(f"{self.name}: strengths are one or more, and differ")
        for strength in self.strengths:
            self.check(strength)

    @property
    def conditions(self) -> "tuple[Condition, ...]":
        """One per strength of the grid, from mild to strong."""
        return tuple(Condition(self.name, strength) for strength in self.strengths)

    @property
    def range_text(self) -> str:
        """The strengths that are allowed, in words."""
        if self.only_listed:
            return "one of " + ", ".join(f"{strength:g}" for strength in self.strengths)
        return f"{'a whole number ' if self.is_whole else ''}from {self.lowest:g} to {self.highest:g}"

    def check(self, strength: float) -> None:
        """Raise UsageError, with the range, for a strength outside it."""
        allowed = (
            self.lowest <= strength <= self.highest
            and (not self.is_whole or float(strength).is_integer())
            and (not self.only_listed or strength in self.strengths)
        )
        if not allowed:  # NaN too
            raise UsageError(
                f"{self.name} has no strength {strength:g}", f"{self.unit} of {self.name}: {self.range_text}"
            )

    def apply(self, picture: Picture, strength: float, rng: np.random.Generator) -> Picture:
        """The perturbed copy of a (H, W, 3) uint8 RGB picture, in memory order.

        Raises UsageError for a strength outside the range and ValueError for anything but such a picture, or for one
        that the codec cannot hold.
        """
        self.check(strength)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise ValueError(f"(H, W, 3) uint8 RGB is expected, not {picture.shape} {picture.dtype}")
        return np.ascontiguousarray(self.change(picture, strength, rng))


@dataclass(frozen=True)
class Condition:
    """A perturbation at a strength. `str()` gives what `parse_condition` reads."""

    name: str
    strength: float

    def __post_init__(self) -> None:
        perturbation(self.name).check(self.strength)
        object.__setattr__(self, "strength", float(self.strength))  # 50 and 50.0 are one condition, in files too

    def __str__(self) -> str:
        short = f"{self.strength:g}"
        return f"{self.name}:{short if float(short) == self.strength else repr(self.strength)}"

    @property
    def perturbation(self) -> Perturbation:
        return perturbation(self.name)

    @property
    def keeps_size(self) -> bool:
        """Whether the result is as large as the picture."""
        return self.perturbation.keeps_size

    @property
    def label(self) -> str:
        """For tables: `JPEG, quality 50`."""
        return f"{self.perturbation.title}, {self.perturbation.unit} {self.strength:g}"

    def apply(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """See `Perturbation.apply`."""
        return self.perturbation.apply(picture, self.strength, rng)


def _colour(picture: Picture, level: float) -> Picture:
    gain, offset, saturation = COLOUR_LEVELS[int(level)]
    return shift_colour(picture, gain, offset, saturation)


GRID: dict[str, Perturbation] = {}


def register(new: Perturbation) -> None:
    """Make a perturbation known by its name. Raises ValueError for a name that is taken or could not be typed."""
    if new.name in GRID:
        raise ValueError(f"there is a perturbation {new.name} already")
    if not new.name or not new.name.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"a perturbation's name is made of letters, digits, dash and underscore, not {new.name!r}")
    GRID[new.name] = new


def perturbation(name: str) -> Perturbation:
    """The perturbation of that name. Raises UsageError, naming those that exist."""
    if name not in GRID:
        raise UsageError(f"no perturbation is called {name!r}", f"there are: {', '.join(GRID)}")
    return GRID[name]


def parse_condition(text: str) -> Condition:
    """`jpeg:50` -> the condition: any strength of the perturbation's range. Raises UsageError, naming what is allowed."""
    name, colon, strength = text.strip().partition(":")
    known = perturbation(name)
    try:
        value = float(strength)
    except ValueError:
        said = f"{strength!r} is no strength of {name}" if colon else f"{name} needs a strength"
        hint = f"write {name}:{known.strengths[len(known.strengths) // 2]:g}; {known.unit}: {known.range_text}"
        raise UsageError(said, hint) from None
    if not math.isfinite(value):
        raise UsageError(f"{strength!r} is no strength of {name}", f"{known.unit} of {name}: {known.range_text}")
    return Condition(name, value)


for _built_in in (
    Perturbation(
        name="jpeg",
        title="JPEG",
        unit="quality",
        strengths=(90.0, 75.0, 60.0, 45.0, 30.0),
        lowest=1,
        highest=100,
        is_whole=True,
        change=lambda picture, strength, _: jpeg(picture, int(strength)),
        note="libjpeg's quality, 4:2:0 chroma; lower is stronger",
    ),
    Perturbation(
        name="webp",
        title="WebP",
        unit="quality",
        strengths=(90.0, 75.0, 60.0, 45.0, 30.0),
        lowest=1,
        highest=100,
        is_whole=True,
        change=lambda picture, strength, _: webp(picture, int(strength)),
        note="libwebp's lossy quality, 4:2:0 chroma; lower is stronger",
    ),
    Perturbation(
        name="h264",
        title="H.264",
        unit="CRF",
        strengths=(18.0, 23.0, 28.0, 34.0, 40.0),
        lowest=CRF_MIN,
        highest=CRF_MAX,
        change=lambda picture, strength, _: h264(picture, strength),
        note="x264's constant rate factor of one intra frame, preset medium; higher is stronger",
    ),
    Perturbation(
        name="resize",
        title="Resize and restore",
        unit="share of the side",
        strengths=(0.8, 0.65, 0.5, 0.35, 0.25),
        lowest=0.01,
        highest=1.0,
        change=lambda picture, strength, _: resize_and_restore(picture, strength),
        note="reduced to this share of each side by area averaging, enlarged again bicubically; lower is stronger",
    ),
    Perturbation(
        name="blur",
        title="Gaussian blur",
        unit="sigma px",
        strengths=(0.5, 1.0, 1.5, 2.0, 3.0),
        lowest=0.1,
        highest=20.0,
        change=lambda picture, strength, _: blur(picture, strength),
        note="standard deviation in pixels",
    ),
    Perturbation(
        name="noise",
        title="Gaussian noise",
        unit="sigma",
        strengths=(2.0, 5.0, 10.0, 15.0, 25.0),
        lowest=0.0,
        highest=128.0,
        change=add_noise,
        note="standard deviation in grey levels of 255, independent per pixel and channel",
    ),
    Perturbation(
        name="gamma",
        title="Gamma",
        unit="exponent",
        strengths=(0.8, 1.25, 0.67, 1.5, 0.5),
        lowest=0.1,
        highest=10.0,
        change=lambda picture, strength, _: gamma(picture, strength),
        note="below 1 brightens, above 1 darkens; ordered by the distance from 1 in the logarithm",
    ),
    Perturbation(
        name="colour",
        title="Fading",
        unit="level",
        strengths=tuple(float(level) for level in COLOUR_LEVELS),
        lowest=1,
        highest=5,
        is_whole=True,
        change=lambda picture, strength, _: _colour(picture, strength),
        note="less contrast and saturation, more brightness: the five settings of COLOUR_LEVELS",
    ),
    Perturbation(
        name="crop",
        title="Centre crop",
        unit="share of the side",
        strengths=(0.95, 0.9, 0.85, 0.8, 0.7),
        lowest=0.1,
        highest=1.0,
        keeps_size=False,
        change=lambda picture, strength, _: crop_borders(picture, strength),
        note="the middle, this share of each side, at its native resolution: the picture becomes smaller",
    ),
    Perturbation(
        name="platform",
        title="Platform delivery",
        unit="longest side px",
        strengths=tuple(float(side_px) for side_px in PLATFORM_QUALITIES),
        lowest=min(PLATFORM_QUALITIES),
        highest=max(PLATFORM_QUALITIES),
        only_listed=True,
        keeps_size=False,
        change=lambda picture, strength, _: deliver(picture, int(strength), PLATFORM_QUALITIES[int(strength)]),
        note="reduced to the longest side where larger, then JPEG: 2048 at 75, 1080 at 70, 1600 at 50; in this order for "
        "pictures below 1080 pixels, which only the JPEG quality changes",
    ),
):
    register(_built_in)
