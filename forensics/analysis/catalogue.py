"""All analyses in the order of a report, and how reliable each was where that was measured.

Reliability comes from `reliability.json`, which `tests/bench/bench_evidence.py` writes: AUC of each analysis' statistic
and its share of false alarms on authentic pictures, with intervals. What has no entry was not measured, and says so.
"""

import json
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.resources import files
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field

from forensics.analysis.protocol import Analysis, Needs
from forensics.common.errors import UsageError
from forensics.common.operating_point import Interval

# Of the file, then of a still picture, then of a clip.
MODULES = (
    "container", "c2pa", "thumbnail", "jpeg_tables", "gop",
    "ela", "jpeg_ghosts", "double_quantisation", "jpeg_grid", "noise", "resampling", "copy_move", "spectrum_peaks",
    "frames", "flicker", "jitter", "identity", "pulse",
)  # fmt: skip
RELIABILITY_FILE = "reliability.json"
# A detector of this AUC (lower end of its interval) is called so; below the first it is near chance.
STRENGTH_STEPS: tuple[tuple[float, "Strength"], ...] = ((0.85, "strong"), (0.70, "moderate"), (0.55, "weak"))
# False alarms that an analysis without a measurement is designed for.
DESIGNED_FALSE_ALARMS = 0.05


@cache
def analyses() -> tuple[Analysis[Any], ...]:
    """Every analysis, each once."""
    return tuple(cast(Analysis[Any], import_module(f"forensics.analysis.{name}").ANALYSIS) for name in MODULES)


def chosen(only: Sequence[str], skip: Sequence[str]) -> tuple[Analysis[Any], ...]:
    """Those that are asked for, in the report's order. Raises UsageError for a name that none has, and for none left."""
    known = {analysis.name for analysis in analyses()}
    for name in (*only, *skip):
        if name not in known:
            raise UsageError(f"there is no analysis '{name}'", "`forensics inspect list` names them")
    found = tuple(a for a in analyses() if (not only or a.name in only) and a.name not in skip)
    if not found:
        raise UsageError("--only and --skip leave no analysis", "leave one of them out")
    return found


def needed(found: Sequence[Analysis[Any]]) -> set[Needs]:
    """What these look at."""
    return {analysis.needs for analysis in found}


Strength = Literal["not measured", "near chance", "weak", "moderate", "strong"]


class Reliability(BaseModel):
    """How well an analysis told altered from authentic files where that was measured. AUC 0.5 is chance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: str
    auc: Interval
    false_alarms: Interval = Field(description="share of authentic files called suspicious or inconsistent")


class Reliabilities(BaseModel):
    """reliability.json: an entry by the name of each analysis that was measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    analyses: dict[str, Reliability]


@cache
def _reliabilities() -> Reliabilities:
    text = (files("forensics.analysis") / RELIABILITY_FILE).read_text(encoding="utf-8")
    return Reliabilities.model_validate_json(text)


def reliability_of(name: str) -> Reliability | None:
    """What was measured of an analysis; None where nothing was."""
    return _reliabilities().analyses.get(name)


def strength_of(name: str) -> Strength:
    """How far a finding of the analysis can be relied on, by the lower end of its AUC's interval."""
    found = reliability_of(name)
    if found is None:
        return "not measured"
    return next((word for least, word in STRENGTH_STEPS if found.auc.low >= least), "near chance")


def false_alarm_rate(name: str) -> float:
    """Share of authentic files that the analysis calls suspicious or inconsistent: the mean of Jeffreys' posterior of what
    was measured (none of 37 is no proof of never), else what it is designed for.
    """
    found = reliability_of(name)
    if found is None:
        return DESIGNED_FALSE_ALARMS
    alarms = found.false_alarms
    return (alarms.value * alarms.n + 0.5) / (alarms.n + 1)


def reliability_text(entries: dict[str, dict[str, Any]]) -> str:
    """The text of reliability.json."""
    return json.dumps({"analyses": entries}, indent=2, sort_keys=True) + "\n"
