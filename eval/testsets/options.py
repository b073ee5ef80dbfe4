"""Options of `forensics bench testset`: one object for the command line, the help text and the recipe in testset.json.

Light to import, so that `--help` is fast.
"""

import math
import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from forensics.common.errors import UsageError
from forensics.common.manifest import SPLITS
from forensics.common.text import printable

DEFAULT_NAME = "testset"
# What `auto` writes where histories differ: high enough to keep most traces, and with the chroma that most files have.
SHARED_JPEG_QUALITY = 95
RATIO_TOLERANCE = 1e-6
# These say how a set is built, not what is in it.
RUN_ONLY = frozenset({"workers", "overwrite", "quiet"})


class BuildOptions(BaseModel):
    """What goes into a set, and how. The same options, inputs and seed give the same bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    real: tuple[str, ...] = Field((), description="DATA that gives reals; may be repeated")
    fake: tuple[str, ...] = Field((), description="DATA that gives fakes, attack sets too; may be repeated")
    layout: str = Field("auto", description="layout of labelled DATA; auto recognises it")
    compression: str | None = Field(None, description="FaceForensics++: only c0, c23 or c40")
    splits: str = Field("test=1", description="shares of the rows that have no split yet: train=0.6,dev=0.2,test=0.2")
    from_split: Literal["train", "dev", "test", "all"] | None = Field(
        None, description="take rows of this split only; a row never changes its split. Default: the splits of --splits"
    )
    crossing: Literal["error", "drop", "keep"] = Field(
        "error",
        description="for a source or identity that is in two splits of DATA: stop; drop its rows; or keep rows where DATA "
        "has them, as long as this set has one of those splits only",
    )
    per_family: int | None = Field(
        None, ge=1, description="rows at most per family and split: a data set of reals, a generator of fakes"
    )
    perturb: tuple[str, ...] = Field(
        (),
        description="add a perturbed copy of every picture of both classes, as jpeg:50, or laundered by a network: "
        "restore:denoise, restore:deblock, srgan:x2, with =RUN for one of your own; may be repeated",
    )
    encode: str = Field(
        "auto",
        description="keep: files as they are; png; jpeg:Q (4:2:0); auto: keep if file format, JPEG tables and metadata of "
        f"both classes are alike, else jpeg:{SHARED_JPEG_QUALITY} for all. Clips are always copied",
    )
    size: int | None = Field(
        None, ge=16, le=1 << 14, description="reduce the longest side of pictures to this many pixels; never enlarges"
    )
    name: str = Field(DEFAULT_NAME, min_length=1, max_length=80, description="what the set is called")
    pool: Literal["auto", "yes", "no"] = Field(
        "auto",
        description="give all rows the set's name as their data set, so that every generator is measured against all "
        "reals; auto: if a generator has no reals of its own data set here",
    )
    licence: str | None = Field(None, description="terms of the set, for its datasheet")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of splits, samples and perturbations")
    audit: bool = Field(True, description="look for shortcuts in the finished set and say so in its datasheet")
    workers: int = Field(0, ge=0, le=256, description="files worked on at the same time; 0: one per core, four at most")
    overwrite: bool = Field(False, description="replace another set, or write beside files of others, in --output")
    quiet: bool = Field(False, description="say nothing on standard error but errors")

    @property
    def shares(self) -> dict[str, float]:
        """Share per split. Raises UsageError."""
        return parse_splits(self.splits)

    @property
    def taken_splits(self) -> frozenset[str]:
        """Rows that have one of these splits are taken, and stay in it."""
        if self.from_split is None:
            return frozenset(self.shares)
        return frozenset(SPLITS if self.from_split == "all" else (self.from_split,))

    @property
    def asked_encoding(self) -> tuple[str, int | None]:
        """As `parse_encode`. Raises UsageError for copies that are to be reduced, too."""
        asked = parse_encode(self.encode)
        if asked[0] == "keep" and self.size is not None:
            raise UsageError("--encode keep copies files, --size changes them", "--encode png, jpeg:Q or auto")
        return asked

    def with_absolute_paths(self) -> "BuildOptions":
        """The same, whatever folder a rebuild is started in. Raises UsageError for a name that is not text."""
        for path in (*self.real, *self.fake):
            if printable(path) != path:
                raise UsageError(f"{path} cannot be written into a recipe", "rename it: its name is not valid UTF-8")
        return self.model_copy(
            update={
                name: tuple(str(Path(path).absolute()) for path in getattr(self, name)) for name in ("real", "fake")
            }
        )


def parse_splits(text: str) -> dict[str, float]:
    """`train=0.6,dev=0.2,test=0.2` -> shares that add up to 1. Raises UsageError."""
    hint = "for example --splits train=0.6,dev=0.2,test=0.2"
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, number = (piece.strip() for piece in part.partition("="))
        try:
            share = float(number)
        except ValueError:
            share = math.nan
        if name not in SPLITS or name in shares or not 0 < share <= 1:
            raise UsageError(f"--splits: '{part.strip()}' is not a split with its share", hint)
        shares[name] = share
    if abs(sum(shares.values()) - 1) > RATIO_TOLERANCE:
        raise UsageError(f"--splits: the shares add up to {sum(shares.values()):g}, not to 1", hint)
    return {name: shares[name] for name in SPLITS if name in shares}


def parse_encode(text: str) -> tuple[str, int | None]:
    """`keep`, `png`, `auto` -> (it, None); `jpeg:Q` -> ("jpeg", Q). Raises UsageError."""
    if text in ("keep", "png", "auto"):
        return text, None
    found = re.fullmatch(r"jpeg:(\d{1,3})", text)
    if found is None or not 1 <= int(found[1]) <= 100:
        raise UsageError(f"--encode: '{text}' is not known", "keep, png, jpeg:Q with Q from 1 to 100, or auto")
    return "jpeg", int(found[1])
