"""audit.json: what an audit found, as a schema. Nothing in it depends on the clock: the same data give the same bytes.

Labels: 1 = fake, 0 = real. Paths begin with the name of their DATA. An undefined figure is null, with its reason.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

SCHEMA_VERSION: Literal["1.0"] = "1.0"
MAX_EXAMPLES = 20
MAX_UNREADABLE = 1000
Outcome = Literal["found", "none found", "not tested"]
Strength = Literal["none found", "weak", "strong", "not tested"]
Kind = Literal["clean", "shortcuts", "leakage", "leakage and shortcuts", "not tested"]


class Part(BaseModel):
    """Base of all parts."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataPart(Part):
    """One DATA of the command."""

    name: str
    layout: str
    n: int
    n_real: int
    n_fake: int
    by_split: dict[str, tuple[int, int]] = Field(description="reals and fakes per split; empty name: none")
    data_sets: list[str]
    generators: dict[str, int] = Field(description="fakes per generator")
    notes: list[str]


class UnreadableFile(Part):
    """A file that could not be read, and why."""

    path: str
    message: str


class UnreadablePart(Part):
    """Files that were listed and could not be read: no check but those of sources and identities knows them."""

    n: int
    files: list[UnreadableFile] = Field(description=f"the first {MAX_UNREADABLE}")


class ItemRef(Part):
    """An item of an example."""

    path: str
    label: int
    split: str
    data_set: str


class Example(Part):
    """One finding: what its items share, and some of them."""

    what: str = Field(description="SHA-256 of the file, source, identity; empty for near-duplicates")
    n_items: int
    items: list[ItemRef]
    hash_distance: int | None = Field(None, description="differing bits of 64")
    correlation: float | None = Field(None, description="of the 32 x 32 luma thumbnails")


class LeakageFinding(Part):
    """One check for leakage."""

    check: str
    title: str
    is_leakage: bool = Field(description="false: worth knowing, but not leakage in itself")
    outcome: Outcome
    reason: str = Field(description="why it was not tested, or what to know about it")
    n: int = Field(description="groups (files, sources, people) or pairs found")
    n_items: int = Field(description="items concerned")
    between: dict[str, int] = Field(description="groups or pairs per two sides, e.g. `dev | test`")
    examples: list[Example] = Field(description=f"up to {MAX_EXAMPLES}; near-duplicates by falling correlation")


class StrongestFeature(Part):
    """The single feature that separates the classes most, by itself, in the sample: an explanation, not a test."""

    name: str
    auc: float = Field(description="above 0.5: greater in fakes; below: greater in reals")
    real: float = Field(description="median over the reals; for a yes-or-no feature the share")
    fake: float


class ShortcutResult(Part):
    """How well one group of features predicts the label."""

    group: str
    title: str
    n_real: int
    n_fake: int
    n_clusters: int = Field(
        description="groups that share a source or an identity; folds and bootstrap keep them whole"
    )
    auc: float | None = Field(description="out of fold; 0.5 and below is chance")
    auc_low: float | None = Field(description="95 % interval, bootstrap over clusters")
    auc_high: float | None
    strength: Strength
    reason: str = Field(description="why it was not tested; empty if it was")
    sentence: str
    strongest: StrongestFeature | None = Field(description="null unless a shortcut was found")


class ShortcutBlock(Part):
    """A set of fakes against a set of reals."""

    subject: str
    data_set: str | None = Field(description="null: all data sets together")
    generator: str | None = Field(description="null: all generators")
    groups: list[ShortcutResult]


class Verdict(Part):
    """What it amounts to."""

    kind: Kind
    sentence: str


class AuditReport(Part):
    """The contents of audit.json."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    tool: str = "deepfake-forensics"
    tool_version: str
    options: dict[str, str | int | float | bool | None]
    thresholds: dict[str, float]
    data: list[DataPart]
    unreadable: UnreadablePart
    leakage: list[LeakageFinding]
    shortcuts: list[ShortcutBlock]
    verdict: Verdict

    def to_json(self) -> str:
        """Indented JSON with a final newline."""
        return self.model_dump_json(indent=2) + "\n"
