"""attack.json: which sets were made, and what every target makes of them, as a schema. Labels and scores: 1 = fake."""

from typing import Literal

from pydantic import Field

from eval.results import SCHEMA_VERSION, DatasetPart, Part, ProvenancePart

ThreatModel = Literal["white-box", "white-box in part", "transfer", "control"]


class LeftOut(Part):
    """An item that could not be attacked."""

    set: str = Field("", description="folder of the one set that it is not in; empty: it is in none")
    path: str
    label: int
    outcome: str
    message: str


class SetPart(Part):
    """One adversarial set: victim, attack, budget. Success: the victim's score is on the wrong side of its threshold."""

    folder: str
    victim: str
    members: list[str] = Field(description="detectors whose gradient was followed")
    without_gradient: list[str] = Field(description="members of a fusion that could not take part")
    attack: str
    epsilon: float
    unit: str
    steps: int
    step_size: float
    restarts: int
    seed: int
    recipe_sha256: str
    n_real: int
    n_fake: int
    success_clean: float | None = Field(description="share on the wrong side before any attack")
    success_before: float | None = Field(description="share on the wrong side in memory, before saving")
    success_after: float | None = Field(description="the same for the saved PNG, scored as any input is")
    n_not_scored_after: int = Field(description="pictures that the victim scored before saving and not after")
    largest_change: int = Field(description="grey levels of 255, over all saved pictures")
    mean_rms_change: float = Field(description="grey levels of 255, within the attacked squares")


class Figure(Part):
    """A figure with its 95 % interval; all null where it is undefined, the interval where every draw gives the same."""

    value: float | None
    low: float | None
    high: float | None


class CellPart(Part):
    """One target on one set, on the pictures that it scored both clean and attacked."""

    set: str = Field(description="the set's folder")
    victim: str
    attack: str
    epsilon: float
    unit: str
    target: str
    threat_model: ThreatModel
    family: str = Field(description="a data set, or `all`")
    n_real: int
    n_fake: int
    n_clusters: int
    n_lost: int = Field(description="attacked pictures that had a score when clean, and have none now")
    auc_clean: Figure
    auc_fakes_attacked: Figure = Field(description="adversarial fakes against clean reals")
    auc_both_attacked: Figure = Field(description="adversarial fakes against adversarial reals")
    flipped: Figure = Field(description="share of attacked pictures whose call at the threshold changed")
    fnr_clean: Figure = Field(description="share of fakes called real")
    fnr_attacked: Figure
    fpr_clean: Figure = Field(description="share of reals called fake")
    fpr_attacked: Figure = Field(description="the same for attacked reals; null where only fakes were attacked")
    inconclusive_clean: Figure = Field(
        description="share of verdicts `inconclusive`; null for detectors without verdicts"
    )
    inconclusive_attacked: Figure


class AttackResults(Part):
    """The contents of attack.json."""

    schema_version: str = SCHEMA_VERSION
    dataset: DatasetPart
    sets: list[SetPart]
    cells: list[CellPart]
    thresholds: dict[str, float] = Field(description="per target: called fake at or above this score")
    n_attackable: int
    left_out: list[LeftOut]
    provenance: ProvenancePart

    def to_json(self) -> str:
        """Indented JSON with a final newline."""
        return self.model_dump_json(indent=2) + "\n"
