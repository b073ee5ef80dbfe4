"""report.md: the figures of a benchmark as Markdown, to be pasted into a model card. Generated, never typed.

Per family first, then pooled. Tables are GitHub's flavour (GitHub Flavored Markdown Spec 0.29, section 4.10). Names come
from data: whatever they hold, they stay text (no markup, link, mention, formula or HTML), on one line.
"""

from collections.abc import Iterable, Sequence

from eval.report.coverage import (
    cautions_of,
    coverage_by_data_set,
    coverage_table,
    failures_by_family,
    failures_table,
    verdicts_table,
)
from eval.report.figures import (
    calibration_by_data_set,
    calibration_table,
    family_tables,
    levels_table,
    pooled_table,
)
from eval.report.tables import Cell, Row, Table
from eval.results import Results
from forensics.report.markdown import markdown_text

INTERVALS = "Figures in brackets are 95 % intervals: percentiles of {draws:,} bootstrap draws of {clusters}."


def render_markdown(results: Results) -> str:
    """The whole report; the same results give the same text, clock and machine left out."""
    parts = [
        "# Benchmark",
        *_judged(results),
        *_section("Before reading the figures", bullets(map(markdown_text, cautions_of(results)))),
        "## Per family",
        _intervals(results),
        *[text for table in family_tables(results) for text in markdown_section(table, 3)],
        *[
            text
            for table in (
                pooled_table(results),
                calibration_by_data_set(results),
                calibration_table(results),
                failures_by_family(results),
                failures_table(results),
                levels_table(results),
                coverage_by_data_set(results),
                coverage_table(results),
                verdicts_table(results),
            )
            if table is not None
            for text in markdown_section(table, 2)
        ],
        *_section("Detectors", bullets(_detectors(results))),
        *_section("Provenance", bullets(_provenance(results))),
        "Differences between detectors are to be tested on the items that both scored (`forensics bench compare`): "
        "intervals that overlap do not show that there is none.",
    ]
    return "\n\n".join(parts) + "\n"


def markdown_section(table: Table, level: int) -> list[str]:
    """Heading, meaning, table, notes: each a block of its own."""
    notes = " ".join(f"({number}) {markdown_text(note)}." for number, note in enumerate(table.notes, 1))
    blocks = [f"{'#' * level} {markdown_text(table.title)}", table.meaning, markdown_table(table)]
    return [block for block in (*blocks, notes and f"Notes: {notes}") if block]


def markdown_table(table: Table) -> str:
    """The table alone; the first column holds the rows' groups where they have any."""
    has_groups = any(row.group for row in table.rows)
    head = [*([""] if has_groups else []), table.label_title, *table.count_titles, *table.columns]
    n_left = 2 if has_groups else 1
    lines = [
        _line(markdown_text(title) for title in head),
        _line([*[":--"] * n_left, *["--:"] * (len(head) - n_left)]),
        *(_line(_values(row, has_groups)) for row in table.rows),
    ]
    return "\n".join(lines)


def bullets(facts: Iterable[str]) -> str:
    """A list; empty for no facts."""
    return "\n".join(f"- {fact}" for fact in facts)


def facts_of(values: Iterable[tuple[str, object]]) -> list[str]:
    """`name: value` per fact, escaped."""
    return [f"{markdown_text(name)}: {markdown_text(shown_value(value))}" for name, value in values]


def shown_value(value: object) -> str:
    """An option's value in words."""
    if value is None or value in ("", []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return str(value)


def _judged(results: Results) -> list[str]:
    dataset = results.dataset
    generators = ", ".join(f"{markdown_text(name)} ({count:,})" for name, count in dataset.generators.items())
    sets = ", ".join(
        f"{markdown_text(name)} ({', '.join(f'{count:,} {kind}' for kind, count in counts.items())})"
        for name, counts in dataset.datasets.items()
    )
    lines = [
        f"Judged on: {dataset.n:,} inputs, {dataset.n_real:,} real and {dataset.n_fake:,} fake; split "
        f"{markdown_text(dataset.split)}; layout {markdown_text(dataset.layout)}",
        f"Data sets: {sets or 'none'}",
        f"Fakes by generator: {generators or 'none'}",
        f"Limit: {'none' if dataset.limit is None else dataset.limit}",
        f"SHA-256 over inputs and labels: {dataset.sha256 or 'not known: the files were not read'}",
        *(f"Note: {markdown_text(note)}" for note in dataset.notes),
    ]
    return [
        bullets(lines),
        "Scores and labels: 1 = fake, 0 = real. An input is called fake when its score reaches the threshold.",
    ]


def _intervals(results: Results) -> str:
    provenance = results.provenance
    text = INTERVALS.format(draws=provenance.bootstrap_draws, clusters=markdown_text(provenance.clusters))
    return (
        f'{text} A generator\'s fakes are judged against all reals of the data sets that hold fakes of it; "groups" are '
        "those clusters."
    )


def _detectors(results: Results) -> list[str]:
    return [
        f"**{markdown_text(name)}**: {markdown_text(part.description or 'no description')}; threshold "
        f"{part.threshold:g} ({markdown_text(part.threshold_origin)}); fingerprint {part.fingerprint or 'unknown'}"
        for name, part in results.detectors.items()
    ]


def _provenance(results: Results) -> list[str]:
    provenance = results.provenance
    return facts_of(
        [
            ("Tool", f"{provenance.tool} {provenance.tool_version}, results schema {results.schema_version}"),
            ("Seed", provenance.seed),
            ("Bootstrap draws", provenance.bootstrap_draws),
            ("Clusters", provenance.clusters),
            ("Weights trained on", provenance.weights_trained_on or "not known"),
            *((f"SHA-256 of {name}", digest) for name, digest in provenance.weights.items()),
            *((f"Option {name}", value) for name, value in provenance.options.items()),
        ]
    )


def _section(title: str, text: str) -> list[str]:
    return [f"## {title}", text] if text else []


def _values(row: Row, has_groups: bool) -> list[str]:
    label = [markdown_text(row.group)] if has_groups else []
    return [*label, markdown_text(row.label), *row.counts, *(_cell(cell) for cell in row.cells)]


def _cell(cell: Cell) -> str:
    note = "" if cell.note is None else f" ({cell.note})"
    return cell.text + note + (f" {cell.interval}" if cell.interval else "")


def _line(values: Iterable[str] | Sequence[str]) -> str:
    return "| " + " | ".join(values) + " |"
