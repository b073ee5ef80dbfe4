"""What the checks found -> the report: counts, unreadable files, and the verdict in one sentence."""

from collections import Counter
from collections.abc import Sequence

from eval.audit.config import AuditConfig
from eval.audit.features import ALL
from eval.audit.reading import AuditData, AuditRow
from eval.audit.schema import (
    MAX_UNREADABLE,
    AuditReport,
    DataPart,
    Kind,
    LeakageFinding,
    ShortcutBlock,
    Strength,
    UnreadableFile,
    UnreadablePart,
    Verdict,
)
from eval.audit.shortcuts import FOLDS, MIN_CLUSTERS_PER_CLASS, MIN_PER_CLASS, STRONG_ABOVE, WEAK_FROM
from forensics import __version__
from forensics.features.perceptual_hash import MAX_DISTANCE, MIN_CONTRAST, MIN_CORRELATION

# Options that change nothing of what is found.
NOT_OF_THE_RESULT = {"workers", "quiet", "overwrite", "fail_on"}
SHOWN_SUBJECTS = 6


def build_report(
    config: AuditConfig,
    data: Sequence[AuditData],
    rows: Sequence[AuditRow],
    leakage: Sequence[LeakageFinding],
    shortcuts: Sequence[ShortcutBlock],
) -> AuditReport:
    """The whole report."""
    unreadable = [row for row in rows if row.traits is None]
    return AuditReport(
        tool_version=__version__,
        options=config.model_dump(mode="json", exclude=NOT_OF_THE_RESULT),
        thresholds={
            "max_hash_distance": MAX_DISTANCE,
            "min_correlation": MIN_CORRELATION,
            "min_contrast": MIN_CONTRAST,
            "folds": FOLDS,
            "min_per_class": MIN_PER_CLASS,
            "min_clusters_per_class": MIN_CLUSTERS_PER_CLASS,
            "weak_from": WEAK_FROM,
            "strong_above": STRONG_ABOVE,
        },
        data=[_data_part(one, [row for row in rows if row.data == one.name]) for one in data],
        unreadable=UnreadablePart(
            n=len(unreadable),
            files=[UnreadableFile(path=row.shown, message=row.message) for row in unreadable[:MAX_UNREADABLE]],
        ),
        leakage=list(leakage),
        shortcuts=list(shortcuts),
        verdict=verdict_of(leakage, shortcuts),
    )


def verdict_of(leakage: Sequence[LeakageFinding], shortcuts: Sequence[ShortcutBlock]) -> Verdict:
    """One sentence: what was found, or that nothing was in what could be tested."""
    leaks = [f"{finding.title}: {finding.n}" for finding in leakage if has_leakage([finding])]
    strong, weak = (_shortcut_names(shortcuts, strength) for strength in ("strong", "weak"))
    parts = [f"leakage ({'; '.join(leaks)})"] if leaks else []
    parts += [f"strong shortcuts ({'; '.join(strong)})"] if strong else []
    parts += [f"weak shortcuts ({'; '.join(weak)})"] if weak else []
    if parts:
        kind: Kind = "leakage" if leaks else "shortcuts"
        if leaks and (strong or weak):
            kind = "leakage and shortcuts"
        effect = "may say little about telling fakes from reals" if leaks or strong else "may in part come from them"
        return Verdict(kind=kind, sentence=f"{', '.join(parts)}: figures on these data {effect}")
    untested = _untested(leakage, shortcuts)
    if len(untested) == 2:
        return Verdict(kind="not tested", sentence=f"not tested: {'; '.join(untested)}")
    sentence = "clean: no leakage between splits and no shortcut to the label was found"
    return Verdict(
        kind="clean", sentence=f"{sentence} in what could be tested; {untested[0]}" if untested else sentence
    )


def has_leakage(leakage: Sequence[LeakageFinding]) -> bool:
    """Whether a check that stands for leakage found something."""
    return any(finding.is_leakage and finding.outcome == "found" for finding in leakage)


def has_shortcut(shortcuts: Sequence[ShortcutBlock]) -> bool:
    """Whether a group of features predicts a label, be it weakly."""
    return any(result.strength in ("weak", "strong") for block in shortcuts for result in block.groups)


def _shortcut_names(shortcuts: Sequence[ShortcutBlock], strength: Strength) -> list[str]:
    """Data sets with their groups of this strength.

    What only repeats another line is left out: a generator's whose whole data set has the same, and all groups together
    where one of them has it alone.
    """
    names = []
    of_data_sets = {(block.data_set, result.group): result.strength for block in shortcuts if not block.generator
                    for result in block.groups}  # fmt: skip
    for block in shortcuts:
        found = [result for result in block.groups if result.strength == strength]
        if block.generator:
            found = [
                result for result in found if of_data_sets[block.data_set, result.group] not in (strength, "strong")
            ]
        found = [result for result in found if result.group != ALL or not has_shortcut_alone(block)]
        if found:
            names.append(f"{block.subject}: {', '.join(result.title for result in found)}")
    rest = len(names) - SHOWN_SUBJECTS
    return [*names[:SHOWN_SUBJECTS], f"and {rest} more"] if rest > 0 else names


def has_shortcut_alone(block: ShortcutBlock) -> bool:
    """Whether one group by itself predicts the label."""
    return any(result.strength in ("weak", "strong") for result in block.groups if result.group != ALL)


def _untested(leakage: Sequence[LeakageFinding], shortcuts: Sequence[ShortcutBlock]) -> list[str]:
    """Leakage between splits, shortcuts: which of the two could not be tested at all."""
    untested = []
    across = [finding for finding in leakage if finding.is_leakage and "across_splits" in finding.check]
    if all(finding.outcome == "not tested" for finding in across):
        reason = across[0].reason if across else "no item"
        untested.append(f"leakage between splits was not tested ({reason})")
    if all(is_untested(block) for block in shortcuts):
        reason = untested_reason(shortcuts[0]) if shortcuts else "no file could be read"
        untested.append(f"shortcuts were not tested ({reason})")
    return untested


def is_untested(block: ShortcutBlock) -> bool:
    """Whether not one group could be tested."""
    return all(result.strength == "not tested" for result in block.groups)


def untested_reason(block: ShortcutBlock) -> str:
    """Why nothing of an untested block was tested: the reason of all groups together, which apply to every file."""
    return next(result.reason for result in block.groups if result.group == ALL)


def _data_part(data: AuditData, rows: Sequence[AuditRow]) -> DataPart:
    splits: Counter[tuple[str, int]] = Counter((row.item.split, row.item.label) for row in rows)
    names = sorted({split for split, _ in splits})
    n_fake = sum(row.is_fake for row in rows)
    return DataPart(
        name=data.name,
        layout=data.layout,
        n=len(rows),
        n_real=len(rows) - n_fake,
        n_fake=n_fake,
        by_split={name: (splits[name, 0], splits[name, 1]) for name in names},
        data_sets=sorted({row.data_set for row in rows}),
        generators=dict(sorted(Counter(row.item.generator or "unnamed" for row in rows if row.is_fake).items())),
        notes=list(data.notes),
    )
