"""compare.json, what `forensics bench compare` found, and compare.md, the same for a reader.

A difference is the AUC of detector a less that of detector b on the items that both scored; an undefined figure is null,
and `undefined` says why.
"""

from typing import Literal

from pydantic import Field

from eval.report.markdown import bullets, markdown_section
from eval.report.tables import UNDEFINED, Cell, Notes, Row, Table
from eval.results import Part
from forensics.report.markdown import markdown_text

SCHEMA_VERSION = "1.0"
PairedBy = Literal["sha256", "path"]
Kind = Literal["generator", "data set", "pooled"]


class SignificancePart(Part):
    """A two-sided paired test of equal AUCs; null where no variance can be estimated."""

    z: float | None
    p: float | None
    p_holm: float | None = Field(description="adjusted for all tests of this kind in the table (Holm 1979)")


class FamilyPart(Part):
    """Two detectors on one set of items that both scored; `difference` is AUC a less AUC b."""

    kind: Kind
    name: str
    n_real: int
    n_fake: int
    n_clusters: int = Field(description="groups that share a source or an identity")
    auc_a: float | None
    auc_b: float | None
    difference: float | None
    low: float | None = Field(description="95 % interval of the difference, bootstrap over clusters")
    high: float | None
    delong: SignificancePart = Field(description="DeLong et al. 1988: rows as independent")
    clustered: SignificancePart = Field(
        description="the same test with the variance of clustered rows (Obuchowski 1997)"
    )
    undefined: str = Field(description="why figures are null; empty where none is")


class PairPart(Part):
    """Two columns and what became of their items."""

    a: str
    b: str
    paired_by: PairedBy
    n_items_a: int
    n_items_b: int
    n_shared: int
    n_both_scored: int
    n_only_a_scored: int = Field(description="shared items that a scored and b did not")
    n_only_b_scored: int
    n_neither_scored: int
    families: list[FamilyPart] = Field(description="generators, data sets, everything pooled; equal sets of items once")


class ColumnPart(Part):
    """One detector of one file, under the name that the pairs use."""

    name: str
    detector: str
    scores: str = Field(description="the scores.csv that was read")


class Comparison(Part):
    """The contents of compare.json."""

    schema_version: str = SCHEMA_VERSION
    tool_version: str
    seed: int
    bootstrap_draws: int
    columns: list[ColumnPart]
    pairs: list[PairPart]

    def to_json(self) -> str:
        """Indented JSON with a final newline."""
        return self.model_dump_json(indent=2) + "\n"


def render_comparison(comparison: Comparison) -> str:
    """compare.md: one table per pair of columns."""
    parts = ["# Comparison", *(_pair_section(pair) for pair in comparison.pairs)]
    parts += [
        "## How",
        bullets(
            [
                "Only items that both scored; AUC a less AUC b. Scores and labels: 1 = fake, 0 = real.",
                f"Intervals: 95 %, percentiles of {comparison.bootstrap_draws:,} bootstrap draws of groups of items that "
                f"share a source or an identity; seed {comparison.seed}.",
                "DeLong: the paired test of DeLong, DeLong and Clarke-Pearson (1988), which takes items as independent. "
                "Clustered: the same with the variance of clustered items (Obuchowski 1997); believe this one.",
                "In brackets, p adjusted for all tests of its kind in all tables here (Holm 1979).",
                *(f"{markdown_text(c.name)}: {markdown_text(c.scores)}" for c in comparison.columns),
            ]
        ),
    ]
    return "\n\n".join(parts) + "\n"


def p_text(test: SignificancePart) -> str:
    """`p (adjusted p)`; undefined where there is none."""
    if test.p is None or test.p_holm is None:
        return UNDEFINED
    return f"{_p(test.p)} ({_p(test.p_holm)})"


def difference_text(family: FamilyPart) -> str:
    """`+0.012 [-0.003, +0.027]`."""
    if family.difference is None:
        return UNDEFINED
    interval = "" if family.low is None or family.high is None else f" [{family.low:+.3f}, {family.high:+.3f}]"
    return f"{family.difference:+.3f}{interval}"


def shares_text(pair: PairPart) -> str:
    """What became of the items of a pair, in one line."""
    text = f"{pair.n_shared:,} shared items, paired by {pair.paired_by}; {pair.n_both_scored:,} scored by both"
    lost = {"only a": pair.n_only_a_scored, "only b": pair.n_only_b_scored, "neither": pair.n_neither_scored}
    text += "".join(f", {count:,} by {who}" for who, count in lost.items() if count)
    unshared = {"a": pair.n_items_a - pair.n_shared, "b": pair.n_items_b - pair.n_shared}
    return text + "".join(f"; {count:,} items are in {who} alone" for who, count in unshared.items() if count)


def undefined_pairs(comparison: Comparison) -> int:
    """How many pairs have no difference even with everything pooled."""
    return sum(pair.families[-1].difference is None for pair in comparison.pairs)


def _pair_section(pair: PairPart) -> str:
    notes = Notes()
    rows = []
    for family in pair.families:
        note = notes.number(family.undefined) if family.undefined else None
        cells = (
            *(Cell(UNDEFINED if value is None else f"{value:.3f}") for value in (family.auc_a, family.auc_b)),
            Cell(difference_text(family), note=note),
            Cell(UNDEFINED if family.delong.z is None else f"{family.delong.z:.2f}"),
            Cell(p_text(family.delong)),
            Cell(p_text(family.clustered)),
        )
        counts = (f"{family.n_real:,}", f"{family.n_fake:,}", f"{family.n_clusters:,}")
        rows.append(Row(family.kind, family.name, counts, cells))
    table = Table(
        title=f"{pair.a} (a) against {pair.b} (b)",
        meaning=f"{shares_text(pair)}.",
        label_title="Family",
        count_titles=("reals", "fakes", "groups"),
        columns=("AUC a", "AUC b", "a - b [95 %]", "DeLong z", "DeLong p (Holm)", "clustered p (Holm)"),
        rows=tuple(rows),
        notes=notes.texts,
    )
    return "\n\n".join(markdown_section(table, 2))


def _p(value: float) -> str:
    return "<0.001" if value < 0.0005 else f"{value:.3f}"
