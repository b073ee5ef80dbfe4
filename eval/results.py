"""results.json: what a benchmark found, as a schema. Figures only; the scores that they come from are in scores.csv.

`by_generator[G]` holds the fakes of G against all reals of the data sets that have fakes of G; `by_dataset[D]` all of D;
`overall` everything pooled. An undefined figure is null, and `undefined` says why. A failure (no face, unreadable) has no
score: figures are on what was scored, and `failures_counted_wrong` gives them with every failure counted as an error.

Versions: 1.1 added `risk`, `risk_by_dataset` and `clips`, which results of 1.0 do not have; a first number other than 1
would be another format.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION = "1.1"
Level = Literal["item", "frame", "track", "video"]


class Part(BaseModel):
    """Base of all parts."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class FailuresBlock(Part):
    """The same figures with failures counted as wrong: a failed fake scores below, a failed real above everything."""

    n_failed_real: int
    n_failed_fake: int
    auc: float | None
    accuracy: float | None
    fpr: float | None
    fnr: float | None


class MetricsBlock(Part):
    """Figures of one detector on one set of scored items; rates are at `threshold` (called fake when score >= it)."""

    level: Level = Field(description="what one row is: item (a picture), frame, track, or video")
    n_real: int
    n_fake: int
    n_clusters: int = Field(description="groups that share a source or an identity; the bootstrap draws these")
    auc: float | None
    auc_low: float | None = Field(description="95 % interval, bootstrap over clusters")
    auc_high: float | None
    ap: float | None = Field(description="average precision at the set's own share of fakes")
    eer: float | None = Field(description="equal error rate")
    accuracy: float | None
    tpr_at_fpr_1: float | None = Field(description="share of fakes found where at most 1 % of reals are called fake")
    tpr_at_fpr_5: float | None
    fpr: float | None = Field(description="share of reals at or above the threshold")
    fnr: float | None = Field(description="share of fakes below the threshold")
    ece: float | None = Field(description="expected calibration error, 15 equal bins, at the set's own share of fakes")
    brier: float | None
    ece_even_prior: float | None = Field(description="the same with both classes weighing one half")
    brier_even_prior: float | None
    threshold: float
    intervals: dict[str, tuple[float, float]] = Field(description="95 % intervals of the other figures, same draws")
    undefined: dict[str, str] = Field(description="why a figure is null")
    failures_counted_wrong: FailuresBlock | None = Field(
        description="null where nothing failed, or at levels below the file"
    )


class CoverageBlock(Part):
    """What became of the inputs."""

    n: int
    n_scored: int
    share: float | None
    n_partial: int = Field(description="scored, but damaged or cut off: on what could be decoded")
    outcomes: dict[str, int]
    real: dict[str, int] = Field(description="outcomes of the reals")
    fake: dict[str, int] = Field(description="outcomes of the fakes")
    verdicts: dict[str, dict[str, int]] | None = Field(
        description="where the detector gives verdicts: per class, how many were called what"
    )


class RiskPoint(Part):
    """The error where the least sure inputs are left out until this share of all inputs is decided."""

    coverage: float
    error: float | None = Field(description="null where fewer inputs have a score")
    low: float | None = Field(description="95 % interval, bootstrap over clusters")
    high: float | None


class RiskBlock(Part):
    """Error against coverage: fake is called at 0.5, the distance of a score from 0.5 is how sure the call is.

    Both classes weigh one half, or the only one everything; what has no score is left out first.
    """

    scored: float = Field(description="share of the inputs that have a score: the greatest coverage")
    error_scored: float | None = Field(description="the error where all of these are decided")
    aurc: float | None = Field(description="area under the curve: mean error over all coverages up to `scored`")
    points: list[RiskPoint]


class ClipPart(Part):
    """One clip and what was said of it."""

    path: str
    label: int
    dataset: str
    generator: str
    outcome: str
    score: float | None
    verdict: str | None = Field(description="null for detectors without verdicts")


class DetectorPart(Part):
    """One detector's figures: per family first, then pooled."""

    description: str
    fingerprint: str = Field(description="SHA-256 over all that its scores depend on beside the input; empty: unknown")
    threshold: float
    threshold_origin: str
    coverage: CoverageBlock
    coverage_by_dataset: dict[str, CoverageBlock]
    by_generator: dict[str, MetricsBlock]
    by_dataset: dict[str, MetricsBlock]
    by_level: dict[str, MetricsBlock] = Field(description="clips and frames of videos: the other levels, pooled")
    overall: MetricsBlock
    risk_by_dataset: dict[str, RiskBlock] = Field({}, description="error against coverage, per data set")
    risk: RiskBlock | None = Field(None, description="the same, pooled")
    clips: list[ClipPart] = Field([], description="every clip with its verdict, where there are at most 100")


class DatasetPart(Part):
    """What was judged on."""

    names: list[str]
    layout: str
    split: str
    limit: int | None
    n: int
    n_real: int
    n_fake: int
    generators: dict[str, int] = Field(description="fakes per generator")
    datasets: dict[str, dict[str, int]] = Field(description="per data set: reals and fakes")
    sha256: str = Field(description="over the sorted SHA-256 of all inputs and labels; empty where files were not read")
    notes: list[str]


class ProvenancePart(Part):
    """What it takes to get the same figures again."""

    tool: str = "deepfake-forensics"
    tool_version: str
    options: dict[str, str | int | float | bool | list[str] | None]
    weights: dict[str, str] = Field(description="SHA-256 per file of the set of weights")
    weights_trained_on: str
    seed: int
    bootstrap_draws: int
    clusters: str
    environment: dict[str, str]
    clock: dict[str, str | float] = Field(description="when, and how long; the only part that differs on a re-run")


class Results(Part):
    """The contents of results.json."""

    schema_version: str = SCHEMA_VERSION
    detectors: dict[str, DetectorPart]
    dataset: DatasetPart
    provenance: ProvenancePart

    def to_json(self) -> str:
        """Indented JSON with a final newline."""
        return self.model_dump_json(indent=2) + "\n"
