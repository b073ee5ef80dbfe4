"""audit.md: the report for a person, made of nothing but audit.json's content."""

from collections.abc import Sequence

from eval.audit.report import is_untested, untested_reason
from eval.audit.schema import AuditReport, Example, LeakageFinding, ShortcutResult, StrongestFeature
from forensics.report.markdown import markdown_text

SHORTCUT_HEADER = ("data set", "shortcut by", "real + fake", "AUC [95 %]", "verdict", "most telling, or why not tested")
EXAMPLES_SHOWN = 5
UNREADABLE_SHOWN = 20


def render_markdown(report: AuditReport) -> str:
    """The report as Markdown."""
    sections = [
        f"# Audit\n\n**{markdown_text(_capital(report.verdict.sentence))}.**",
        _data_section(report),
        _leakage_section(report),
        *(_examples_section(finding) for finding in report.leakage if finding.examples),
        _shortcut_section(report),
        _unreadable_section(report),
        _method_section(report),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def strongest_text(feature: StrongestFeature | None) -> str:
    """The feature that separates the classes most, with what it is in both."""
    if feature is None:
        return ""
    return f"{feature.name}: {_number(feature.real)} in reals, {_number(feature.fake)} in fakes"


def interval_text(result: ShortcutResult) -> str:
    """AUC [95 %], or a dash."""
    if result.auc is None:
        return "-"
    return f"{result.auc:.2f} [{result.auc_low:.2f}, {result.auc_high:.2f}]"


def outcome_text(finding: LeakageFinding) -> str:
    """What became of a check, in words."""
    return "found, not leakage in itself" if finding.outcome == "found" and not finding.is_leakage else finding.outcome


def between_text(finding: LeakageFinding) -> str:
    """How many lie between which sides."""
    return ", ".join(f"{sides}: {n}" for sides, n in finding.between.items())


def _data_section(report: AuditReport) -> str:
    rows = [
        (
            markdown_text(one.name), one.layout, one.n_real, one.n_fake,
            ", ".join(f"{markdown_text(split) or 'none'} {real} + {fake}" for split, (real, fake) in one.by_split.items()),
        )
        for one in report.data
    ]  # fmt: skip
    notes = [f"- {markdown_text(note)}" for one in report.data for note in one.notes]
    return _table("## Data", ("data", "layout", "real", "fake", "splits (real + fake)"), rows) + (
        "\n\n" + "\n".join(notes) if notes else ""
    )


def _leakage_section(report: AuditReport) -> str:
    rows = [
        (
            finding.title, outcome_text(finding), finding.n, finding.n_items, markdown_text(between_text(finding)),
            markdown_text(finding.reason),
        )
        for finding in report.leakage
    ]  # fmt: skip
    return _table("## Leakage", ("check", "outcome", "found", "items", "between", "remark"), rows)


def _examples_section(finding: LeakageFinding) -> str:
    lines = [_example_line(example) for example in finding.examples[:EXAMPLES_SHOWN]]
    rest = finding.n - len(lines)
    if rest > 0:
        lines.append(f"- and {rest} more")
    return f"### {_capital(finding.title)}\n\n" + "\n".join(lines)


def _example_line(example: Example) -> str:
    items = ", ".join(
        f"{markdown_text(item.path)} ({', '.join(filter(None, (_kind(item.label), markdown_text(item.split))))})"
        for item in example.items
    )
    what = f"{markdown_text(example.what)}: " if example.what else ""
    rest = example.n_items - len(example.items)
    more = f" and {rest} more" if rest > 0 else ""
    figures = f"; correlation {example.correlation:.3f}" if example.correlation is not None else ""
    return f"- {what}{items}{more}{figures}"


def shortcut_rows(report: AuditReport) -> list[tuple[str, ...]]:
    """Lines of the table under SHORTCUT_HEADER: a set of which nothing could be tested is one line."""
    rows: list[tuple[str, ...]] = []
    for block in report.shortcuts:
        if is_untested(block):
            last = block.groups[-1]
            rows.append(
                (block.subject, "anything", f"{last.n_real} + {last.n_fake}", "-", "not tested", untested_reason(block))
            )
            continue
        for result in block.groups:
            if result.n_real + result.n_fake > 0:
                counts, remark = f"{result.n_real} + {result.n_fake}", result.reason or strongest_text(result.strongest)
                rows.append((block.subject, result.title, counts, interval_text(result), result.strength, remark))
    return rows


def _shortcut_section(report: AuditReport) -> str:
    rows = [(markdown_text(row[0]), *row[1:5], markdown_text(row[5])) for row in shortcut_rows(report)]
    found = [
        f"- {markdown_text(block.subject)}: {result.sentence}"
        for block in report.shortcuts
        for result in block.groups
        if result.strength in ("weak", "strong")
    ]
    return _table("## Shortcuts to the label", SHORTCUT_HEADER, rows) + ("\n\n" + "\n".join(found) if found else "")


def _unreadable_section(report: AuditReport) -> str:
    if report.unreadable.n == 0:
        return ""
    lines = [
        f"- {markdown_text(file.path)}: {markdown_text(file.message)}"
        for file in report.unreadable.files[:UNREADABLE_SHOWN]
    ]
    rest = report.unreadable.n - len(lines)
    if rest > 0:
        lines.append(f"- and {rest} more")
    return f"## Unreadable files: {report.unreadable.n}\n\n" + "\n".join(lines)


def _method_section(report: AuditReport) -> str:
    limits = report.thresholds
    return f"""## How to read this

Labels: 1 = fake, 0 = real. Nearly the same picture: perceptual hashes that differ in at most \
{limits["max_hash_distance"]:g} of 64 bits, and 32 x 32 thumbnails that correlate by at least \
{limits["min_correlation"]:g}; mirrored pictures and crops beyond 2 % are not found; of a clip, the middle frame is \
compared. Sources and identities are those that the data set names.

Shortcuts: a gradient-boosted tree predicts the label from features that say nothing about a face; the AUC is out of \
fold, folds keep together what shares a source or an identity, and the interval is a bootstrap over the same groups. By \
the interval's lower end: strong above {limits["strong_above"]:g}, weak from {limits["weak_from"]:g}, else none found. \
JPEG settings are compared among JPEG files, clip properties among clips. Colour statistics can be the trace of a \
generator rather than of a file's history: the other groups cannot."""


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return f"{title}\n\n" + "\n".join(lines)


def _kind(label: int) -> str:
    return "fake" if label else "real"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
