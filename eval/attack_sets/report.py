"""attack.md: the transfer matrix as Markdown, generated, never typed."""

from collections.abc import Callable, Iterable

from eval.attack_sets.results import AttackResults, CellPart, Figure
from eval.report.markdown import bullets, facts_of, markdown_section
from eval.report.tables import ABSENT, FEW_CLUSTERS, Cell, Row, Table
from forensics.report.markdown import markdown_text

CLEAN = "not attacked"
ReadFigure = Callable[[CellPart], Figure]
# Title, how to read it, the attacked figure, the clean figure beside it, whether it is a share shown in percent.
FIGURES: tuple[tuple[str, str, ReadFigure, ReadFigure | None, bool], ...] = (
    (
        "AUC, fakes attacked",
        "Adversarial fakes against clean reals. 0.5 is guessing; below it the fakes look more real than reals. Any change "
        "of pixels may shift a detector's scores: compare the control `noise`, and the next table.",
        lambda cell: cell.auc_fakes_attacked, lambda cell: cell.auc_clean, False,
    ),
    (
        "AUC, both classes attacked",
        "Adversarial fakes against adversarial reals.",
        lambda cell: cell.auc_both_attacked, lambda cell: cell.auc_clean, False,
    ),
    (
        "Fakes called real",
        "Share of fakes below the detector's threshold.",
        lambda cell: cell.fnr_attacked, lambda cell: cell.fnr_clean, True,
    ),
    (
        "Reals called fake",
        "Share of reals at or above the detector's threshold.",
        lambda cell: cell.fpr_attacked, lambda cell: cell.fpr_clean, True,
    ),
    (
        "Calls that flip",
        "Share of attacked pictures that are called otherwise than before.",
        lambda cell: cell.flipped, None, True,
    ),
    (
        "Verdicts that are inconclusive",
        "Share of attacked pictures that a scan would not decide; only the fusion gives verdicts.",
        lambda cell: cell.inconclusive_attacked, lambda cell: cell.inconclusive_clean, True,
    ),
)  # fmt: skip
THREATS = (
    "white-box: the attacker followed this very detector's gradient",
    "white-box in part: the gradient of something that this detector's score is made of, or that is made of it",
    "transfer: the pictures were made on another detector and this one was never asked (black-box)",
    "control: random changes, no attack",
)


def render_attack_markdown(results: AttackResults) -> str:
    """The whole report; the same results give the same text, clock and machine left out."""
    dataset = results.dataset
    about = {
        "data sets": ", ".join(dataset.names),
        "split": dataset.split,
        "items": f"{dataset.n_real:,} real, {dataset.n_fake:,} fake, of which {results.n_attackable:,} could be attacked",
        "intervals": f"95 %, {results.provenance.bootstrap_draws:,} bootstrap draws of {results.provenance.clusters}",
        "seed": results.provenance.seed,
        "weights": results.provenance.weights.get("model.json", "")[:16],
        "tool": f"{results.provenance.tool} {results.provenance.tool_version}",
    }
    blocks = ["# Adversarial attacks", bullets(facts_of(about.items())), *_cautions(results)]
    if results.sets:
        blocks += [*markdown_section(sets_table(results), 2), *markdown_section(threat_table(results.cells), 2)]
    for family in dict.fromkeys(cell.family for cell in results.cells):
        cells = [cell for cell in results.cells if cell.family == family]
        blocks.append(f"## {'All data sets' if family == 'all' else markdown_text(family)}")
        for table in figure_tables(cells):
            blocks += markdown_section(table, 3)
    if results.left_out:
        blocks += ["## Left out", bullets(_left_out(results))]
    return "\n\n".join(blocks) + "\n"


def sets_table(results: AttackResults) -> Table:
    """What was made, and how well it works on its own victim, before and after saving."""
    rows = tuple(
        Row(
            "",
            one.folder,
            (f"{one.n_real:,}", f"{one.n_fake:,}"),
            (
                Cell(f"{one.epsilon:g} {one.unit}"),
                Cell(f"{one.steps:,}"),
                *(Cell(percent(share)) for share in (one.success_clean, one.success_before, one.success_after)),
                Cell(f"{one.largest_change}"),
                Cell(f"{one.mean_rms_change:.2f}"),
                Cell(f"{one.n_not_scored_after:,}"),
            ),
        )
        for one in results.sets
    )
    meaning = (
        "One folder of PNGs each. Success: the victim's score is on the wrong side of its threshold. Changes are in grey "
        "levels of 255, of what was saved."
    )
    columns = (
        "budget", "steps", "wrong clean", "success in memory", "success as saved", "largest change", "mean RMS change",
        "no score any more",
    )  # fmt: skip
    return Table("Sets", meaning, "Set", ("reals", "fakes"), columns, rows)


def threat_table(cells: list[CellPart]) -> Table:
    """Who knew what."""
    models = {(cell.set, cell.target): cell.threat_model for cell in cells}
    rows = tuple(
        Row("", name, (), tuple(Cell(models[name, target]) for target in _targets(cells))) for name in _by_set(cells)
    )
    meaning = "Columns are the detectors that are asked. " + "; ".join(THREATS) + "."
    return Table("Threat model", meaning, "Set", (), _targets(cells), rows)


def figure_tables(cells: list[CellPart]) -> Iterable[Table]:
    """One table per figure that is defined somewhere: a row per set, a column per target."""
    by_set = _by_set(cells)
    for title, meaning, read, read_clean, is_share in FIGURES:
        if all(read(cell).value is None for cell in cells):
            continue
        rows = []
        if read_clean is not None:
            # Pictures that a target lost under one attack are not counted for it there: the clean figures of the sets may
            # differ by these few, and the first set's stand for all.
            first = next(iter(by_set.values()))
            rows.append(_row(CLEAN, first, read_clean, is_share))
        rows += [_row(name, own, read, is_share) for name, own in by_set.items()]
        yield Table(title, meaning, "Set", ("reals", "fakes"), _targets(cells), tuple(rows))


def percent(share: float | None) -> str:
    """One decimal; a dash for what is undefined."""
    return ABSENT if share is None else f"{100 * share:.1f} %"


def _row(name: str, cells: list[CellPart], read: ReadFigure, is_share: bool) -> Row:
    counts = tuple(_span([getattr(cell, key) for cell in cells]) for key in ("n_real", "n_fake"))
    return Row("", name, counts, tuple(_cell(read(cell), is_share) for cell in cells))


def _cell(figure: Figure, is_share: bool) -> Cell:
    if figure.value is None:
        return Cell(ABSENT)
    text = percent(figure.value) if is_share else f"{figure.value:.3f}"
    if figure.low is None or figure.high is None:
        return Cell(text)
    if is_share:
        return Cell(text, f"[{100 * figure.low:.1f}, {100 * figure.high:.1f}]")
    return Cell(text, f"[{figure.low:.3f}, {figure.high:.3f}]")


def _span(counts: list[int]) -> str:
    return f"{min(counts):,}" if min(counts) == max(counts) else f"{min(counts):,} to {max(counts):,}"


def _by_set(cells: list[CellPart]) -> dict[str, list[CellPart]]:
    found: dict[str, list[CellPart]] = {}
    for cell in cells:
        found.setdefault(cell.set, []).append(cell)
    return found


def _targets(cells: list[CellPart]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(cell.target for cell in cells))


def _cautions(results: AttackResults) -> list[str]:
    facts = []
    few = sorted({cell.n_clusters for cell in results.cells if cell.n_clusters < FEW_CLUSTERS})
    if few:
        facts.append(
            f"Few independent groups (from {few[0]}): intervals are rough, more likely too narrow than too wide."
        )
    lost = sum(cell.n_lost for cell in results.cells)
    if lost:
        facts.append(
            "Some attacked pictures have no score any more (see `n_lost` in attack.json); figures leave them out."
        )
    if results.dataset.limit is not None:
        facts.append(f"Not the whole set: --limit {results.dataset.limit} was given.")
    facts.append("Success is a lower bound on what an attacker can do; that an attack fails proves nothing.")
    return ["## Before reading the figures", bullets(facts)]


def _left_out(results: AttackResults) -> list[str]:
    return [
        f"{markdown_text(one.path)} ({'fake' if one.label else 'real'}): "
        f"{markdown_text(one.message or one.outcome.replace('_', ' '))}"
        f"{f', not in {markdown_text(one.set)}' if one.set else ''}"
        for one in results.left_out
    ]
