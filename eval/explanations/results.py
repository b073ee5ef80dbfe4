"""explanations.json: how well heatmaps agree with masks, as a schema. Labels and scores: 1 = fake."""

from typing import Literal

from pydantic import Field

from eval.results import SCHEMA_VERSION, DatasetPart, Part, ProvenancePart

Calls = Literal["all", "detected", "missed"]


class MeanPart(Part):
    """A mean over items with its 95 % interval; the interval is null with fewer than two clusters."""

    value: float
    low: float | None
    high: float | None


class MeasurePart(Part):
    """One measure of the detector's heatmaps beside its controls on the same items, and the paired differences."""

    heatmap: MeanPart
    chance: MeanPart = Field(description="a random point, or a constant map: follows from the mask alone")
    centred: MeanPart = Field(description="a map that always shows the middle of the crop")
    above_chance: MeanPart = Field(description="heatmap - chance, paired")
    above_centred: MeanPart = Field(description="heatmap - centred, paired")


class CellPart(Part):
    """One detector on one family of fakes; `all` stands for everything pooled."""

    detector: str
    dataset: str
    generator: str
    calls: Calls = Field(description="detected: score at or above the detector's threshold; missed: below; all: both")
    n: int = Field(description="items that were measured")
    n_clusters: int = Field(description="groups that share a source or an identity; the bootstrap draws these")
    n_blank: int = Field(description="items whose maps hold no heat at all: they are measured as chance")
    mask_share: float = Field(description="mean share of the crop that the mask covers")
    pointing: MeasurePart = Field(description="share of items whose hottest place lies in the mask")
    tolerant: MeasurePart = Field(description="the same within 15/224 of the crop's side")
    energy: MeasurePart = Field(description="share of the heat that lies in the mask")
    iou: MeasurePart = Field(description="mask against as many of the hottest pixels, intersection over union")


class DetectorPart(Part):
    """A detector, and what became of the items that it was asked about."""

    name: str
    fingerprint: str
    threshold: float
    threshold_origin: str
    outcomes: dict[str, int] = Field(description="measured, or why not, per number of items")


class ExplanationResults(Part):
    """The contents of explanations.json."""

    schema_version: str = SCHEMA_VERSION
    dataset: DatasetPart
    n_fakes: int
    n_without_mask: int = Field(description="fakes whose row names no mask: left out")
    n_self_blends: int
    detectors: list[DetectorPart]
    cells: list[CellPart]
    provenance: ProvenancePart

    def to_json(self) -> str:
        """Indented JSON with a final newline."""
        return self.model_dump_json(indent=2) + "\n"
