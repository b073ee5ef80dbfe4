"""`forensics bench compare`: do two detectors, or two runs, differ by more than chance, on the items that both scored?

read scores.csv beside each results.json -> one column per file and detector -> for every two columns: pair the items ->
per family (a generator's fakes against the reals of its data sets; a data set), then pooled: AUCs, their difference with
a clustered bootstrap interval, DeLong's test, the same test with the variance of clustered rows; p values adjusted for
the number of tests in the table (Holm 1979).

Limits: an item that only one detector scored is counted and left out, so a detector that fails on hard items is flattered;
look at its coverage. Families share items and are not independent tests, which Holm's correction allows for. DeLong takes
rows as independent and is given because others quote it; the clustered test is the one to believe.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eval.blocks import UNNAMED, Columns, columns_of
from eval.report.comparison import ColumnPart, Comparison, FamilyPart, Kind, PairedBy, PairPart, SignificancePart
from eval.score_table import ScoreRow, read_scores
from eval.statistics import delong_test, holm, paired_bootstrap_difference
from forensics import __version__
from forensics.common.errors import UsageError
from forensics.common.progress import Progress
from forensics.common.text import printable

SCORES_FILE = "scores.csv"
Family = tuple[Kind, str, NDArray[np.bool_]]
# Paths and labels that an error names as examples.
SHOWN_EXAMPLES = 3


@dataclass(frozen=True)
class ScoreColumn:
    """The rows of one detector of one file."""

    name: str
    detector: str
    file: Path
    rows: tuple[ScoreRow, ...]


@dataclass(frozen=True)
class PairedRows:
    """Rows of two columns about the same items, aligned; those of a know what only b knew of an item."""

    a: list[ScoreRow]
    b: list[ScoreRow]
    by: PairedBy


def compare_files(paths: Sequence[Path], draws: int, seed: int, progress: Progress) -> Comparison:
    """Compare every two detectors of the files.

    Raises UsageError for files without scores, fewer than two columns, columns that share no item, or labels that
    disagree; ManifestError for a scores.csv that cannot be read.
    """
    columns = read_columns(paths)
    pairs: list[PairPart] = []
    with progress.task("comparing", math.comb(len(columns), 2)) as bar:
        for a, b in combinations(columns, 2):
            bar.describe(f"{a.name} and {b.name}")
            pairs.append(_pair_part(a, b, pair_rows(a, b), draws, seed))
            bar(1)
    return Comparison(
        tool_version=__version__,
        seed=seed,
        bootstrap_draws=draws,
        columns=[ColumnPart(name=c.name, detector=c.detector, scores=printable(str(c.file))) for c in columns],
        pairs=_adjusted(pairs),
    )


def read_columns(paths: Sequence[Path]) -> list[ScoreColumn]:
    """One column per file and detector, in the order given; equal detector names are told apart by their folders."""
    files = list(dict.fromkeys(scores_file_of(path) for path in paths))
    found: list[tuple[str, Path, tuple[ScoreRow, ...]]] = []
    for file in files:
        rows = read_scores(file)
        for detector in dict.fromkeys(row.detector for row in rows):
            found.append((detector, file, tuple(row for row in rows if row.detector == detector)))
    if len(found) < 2:
        named = f"one detector in {files[0]}" if found else "no scores at all"
        raise UsageError(f"nothing to compare: {named}", "give a second results.json, or one of several detectors")
    names = _names([(detector, file) for detector, file, _ in found])
    return [ScoreColumn(name, *column) for name, column in zip(names, found, strict=True)]


def scores_file_of(path: Path) -> Path:
    """The scores.csv that a results.json, its folder, or the file itself names. Raises UsageError where there is none."""
    if not path.exists():
        raise UsageError(f"no such file: {path}", "name the results.json of `forensics bench run`, or its folder")
    file = path / SCORES_FILE if path.is_dir() else path if path.suffix == ".csv" else path.parent / SCORES_FILE
    if not file.is_file():
        raise UsageError(
            f"no {SCORES_FILE} beside {path}", "figures alone cannot be compared: keep both files together"
        )
    return file


def pair_rows(a: ScoreColumn, b: ScoreColumn) -> PairedRows:
    """Items of both columns, in a's order: by their bytes where all scored ones are known, else by their paths.

    Raises UsageError where they share none, or do not agree on a label.
    """
    by: PairedBy = "path"
    if a.file != b.file and all(row.sha256 for row in (*a.rows, *b.rows) if row.score is not None):
        by = "sha256"
    of_a, of_b = _keyed(a.rows, by), _keyed(b.rows, by)
    shared = [key for key in of_a if key in of_b]
    if not shared:
        examples = f"'{a.rows[0].path}' and '{b.rows[0].path}'"
        raise UsageError(
            f"{a.name} and {b.name} share no items (by {by}; they begin with {examples})",
            "compare runs on the same data; paths must be relative to the same folder where a table has no sha256",
        )
    wrong = [of_a[key].path for key in shared if of_a[key].label != of_b[key].label]
    if wrong:
        raise UsageError(
            f"{a.name} and {b.name} disagree on the label of {len(wrong)} of {len(shared)} items, "
            f"as {', '.join(wrong[:SHOWN_EXAMPLES])}",
            "one table takes 1 for real: turn its labels and scores round"
            if len(wrong) == len(shared)
            else "labels are 1 = fake, 0 = real; correct the manifest that is wrong",
        )
    return PairedRows([_merged(of_a[key], of_b[key]) for key in shared], [of_b[key] for key in shared], by)


def families_of_rows(rows: Sequence[ScoreRow]) -> list[Family]:
    """Kind, name and rows (N,) of each family: generators, data sets, everything; of equal sets only the widest."""
    labels = np.array([row.label for row in rows])
    datasets = np.array([row.dataset or UNNAMED for row in rows])
    generators = np.array([(row.generator or UNNAMED) if row.label == 1 else "" for row in rows])
    found: list[Family] = [("pooled", "everything pooled", np.ones(len(rows), bool))]
    for name in sorted(set(datasets.tolist()), reverse=True):
        found.append(("data set", name, datasets == name))
    for name in sorted(set(generators.tolist()) - {""}, reverse=True):
        homes = np.isin(datasets, list(set(datasets[generators == name].tolist())))
        found.append(("generator", name, (generators == name) | ((labels == 0) & homes)))
    distinct: dict[bytes, Family] = {}
    for family in found:
        distinct.setdefault(family[2].tobytes(), family)
    return list(distinct.values())[::-1]


def _names(columns: Sequence[tuple[str, Path]]) -> list[str]:
    """Detector; with its folder, then with its whole path, where that is not unique."""
    detectors = [detector or UNNAMED for detector, _ in columns]
    folders = [f"{name} ({file.absolute().parent.name})" for name, (_, file) in zip(detectors, columns, strict=True)]
    files = [f"{name} ({file})" for name, (_, file) in zip(detectors, columns, strict=True)]
    short = [name if _is_unique(name, detectors) else folder for name, folder in zip(detectors, folders, strict=True)]
    return [printable(name if _is_unique(name, short) else file) for name, file in zip(short, files, strict=True)]


def _is_unique(name: str, names: Sequence[str]) -> bool:
    return names.count(name) == 1


def _keyed(rows: Iterable[ScoreRow], by: PairedBy) -> dict[tuple[str, str, int], ScoreRow]:
    """Rows in order under what identifies their item; copies of the same bytes are numbered, reals first, by path."""
    rows = list(rows)
    keys = [("sha256", row.sha256) if by == "sha256" and row.sha256 else ("path", row.path) for row in rows]
    seen: Counter[tuple[str, str]] = Counter()
    number = [0] * len(rows)
    for place in sorted(range(len(rows)), key=lambda place: (rows[place].label, rows[place].path)):
        number[place] = seen[keys[place]]
        seen[keys[place]] += 1
    return {(*key, count): row for key, count, row in zip(keys, number, rows, strict=True)}


def _merged(a: ScoreRow, b: ScoreRow) -> ScoreRow:
    """Row a; what it does not know of its item is taken from b."""
    names = ("generator", "dataset", "source", "identity", "video")
    return replace(a, **{name: getattr(a, name) or getattr(b, name) for name in names})


def _pair_part(a: ScoreColumn, b: ScoreColumn, paired: PairedRows, draws: int, seed: int) -> PairPart:
    scored_a = np.array([row.score is not None for row in paired.a])
    scored_b = np.array([row.score is not None for row in paired.b])
    both = scored_a & scored_b
    columns = columns_of(paired.a)  # clusters before anything is left out: a lost item may be what joins two others
    scores_b = np.array([row.score for row in paired.b], np.float64)[both]  # None becomes NaN
    rows = [row for row, wanted in zip(paired.a, both, strict=True) if wanted]
    return PairPart(
        a=a.name,
        b=b.name,
        paired_by=paired.by,
        n_items_a=len(a.rows),
        n_items_b=len(b.rows),
        n_shared=len(both),
        n_both_scored=int(both.sum()),
        n_only_a_scored=int((scored_a & ~scored_b).sum()),
        n_only_b_scored=int((scored_b & ~scored_a).sum()),
        n_neither_scored=int((~scored_a & ~scored_b).sum()),
        families=list(_families(rows, columns.where(both), scores_b, draws, seed)),
    )


def _families(
    rows: Sequence[ScoreRow], columns: Columns, scores_b: NDArray[np.float64], draws: int, seed: int
) -> Iterator[FamilyPart]:
    for kind, name, wanted in families_of_rows(rows):
        own, b = columns.where(wanted), scores_b[wanted]
        labels, clusters = own.labels, own.clusters
        plain, clustered = delong_test(labels, own.scores, b), delong_test(labels, own.scores, b, clusters)
        n_fake = int(labels.sum())
        is_defined = 0 < n_fake < len(labels)
        drawn = (
            paired_bootstrap_difference(labels, own.scores, b, clusters, draws, seed).difference if is_defined else None
        )
        yield FamilyPart(
            kind=kind,
            name=printable(name),
            n_real=len(labels) - n_fake,
            n_fake=n_fake,
            n_clusters=len(np.unique(clusters)),
            auc_a=_known(plain.auc_a),
            auc_b=_known(plain.auc_b),
            difference=_known(plain.difference),
            low=_known(drawn.low) if drawn else None,
            high=_known(drawn.high) if drawn else None,
            delong=SignificancePart(z=_known(plain.z), p=_known(plain.p, 12), p_holm=None),
            clustered=SignificancePart(z=_known(clustered.z), p=_known(clustered.p, 12), p_holm=None),
            undefined=_why_undefined(len(labels) - n_fake, n_fake, math.isnan(plain.p), math.isnan(clustered.p)),
        )


def _why_undefined(n_real: int, n_fake: int, no_delong: bool, no_clustered: bool) -> str:
    if n_real + n_fake == 0:
        return "no item was scored by both"
    if n_real == 0 or n_fake == 0:
        return f"no {'reals' if n_real == 0 else 'fakes'} were scored by both"
    if no_delong:
        return "one item of a class, or no spread in the scores' ranks: no variance can be estimated"
    return "one group of a class, or no spread between groups: no variance can be estimated" if no_clustered else ""


def _adjusted(pairs: Sequence[PairPart]) -> list[PairPart]:
    """The pairs with p_holm over all families of all pairs, each kind of test on its own."""
    families = [family for pair in pairs for family in pair.families]
    adjusted = {}
    for kind in ("delong", "clustered"):
        tests: list[SignificancePart] = [getattr(family, kind) for family in families]
        p_holm = holm([math.nan if test.p is None else test.p for test in tests])
        adjusted[kind] = [
            test.model_copy(update={"p_holm": _known(float(p), 12)}) for test, p in zip(tests, p_holm, strict=True)
        ]
    of_family = iter(zip(adjusted["delong"], adjusted["clustered"], strict=True))
    done = []
    for pair in pairs:
        own = []
        for family in pair.families:
            delong, clustered = next(of_family)
            own.append(family.model_copy(update={"delong": delong, "clustered": clustered}))
        done.append(pair.model_copy(update={"families": own}))
    return done


def _known(value: float, digits: int = 6) -> float | None:
    return None if math.isnan(value) else round(value, digits)
