"""Shortcuts: can something that says nothing about a face predict the label?

A gradient-boosted tree is fitted on one group of features at a time and judged on data that it was not fitted on. What it
can do, a detector can do too: its score may then speak of file sizes or encoders, and fall with the next data set.
Torralba and Efros: Unbiased Look at Dataset Bias (CVPR 2011); Geirhos et al.: Shortcut Learning in Deep Neural Networks
(2020), arXiv 2004.07780.

Folds keep together what shares a source or an identity. Predictions become ranks within their fold before they are
pooled: a fold with more fakes leaves fewer to learn from, which would turn chance into an AUC below 0.5.
The interval is a bootstrap over the same clusters, of fixed predictions: what another fit would give is not in it.
Limits: few clusters bias the AUC downwards (what one fold holds out the others lack, so chance comes out below 0.5 and a
weak shortcut may be missed); colour statistics may be the trace of a method rather than of a file's history; no shortcut
found is not a proof that there is none (traces of resizing or of an earlier compression lie in the pixels, where a
detector should look too).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from eval.audit.features import ALL, FeatureGroup, feature_groups, is_yes_or_no
from eval.audit.leakage import COMPOSITE, sources_of
from eval.audit.reading import AuditRow
from eval.audit.schema import ShortcutBlock, ShortcutResult, Strength, StrongestFeature
from eval.statistics import clusters_of
from forensics.common.metrics import Estimate, auc, auc_with_interval
from forensics.common.progress import Progress

FOLDS = 5
# Fewer leave folds without a class, and intervals that span everything.
MIN_PER_CLASS = 30
MIN_CLUSTERS_PER_CLASS = 10
# Lower ends of the 95 % interval: below the first a detector gains little; above the second it can live on the shortcut.
WEAK_FROM, STRONG_ABOVE = 0.60, 0.75
TREES, LEARNING_RATE, MAX_LEAVES, MIN_LEAF = 100, 0.1, 15, 10
# Below, the threads of a fit wait for each other longer than they work.
ROWS_WORTH_THREADS = 20_000
POOLED = "all data sets together"


@dataclass(frozen=True)
class Subject:
    """Rows that are compared, by index: the fakes of a generator, or all, against the reals of the same data set."""

    name: str
    data_set: str | None
    generator: str | None
    rows: NDArray[np.int64]


def find_shortcuts(rows: Sequence[AuditRow], seed: int, draws: int, progress: Progress) -> list[ShortcutBlock]:
    """Every group of features on every data set, on each of its generators if it has several, and on all pooled."""
    readable = [row for row in rows if row.traits is not None]
    if not readable:
        return []
    groups = feature_groups([row.traits for row in readable if row.traits is not None])
    labels = np.array([row.item.label for row in readable], np.int64)
    clusters = row_clusters(readable)
    subjects = _subjects(readable)
    blocks = []
    with progress.task("shortcuts", len(subjects) * len(groups)) as bar:
        for subject in subjects:
            results = []
            for group in groups:
                bar.describe(f"shortcuts: {subject.name}")
                rows_of_group = subject.rows[group.applies[subject.rows]]
                results.append(judge_group(group, rows_of_group, labels, clusters, seed, draws))
                bar(1)
            blocks.append(
                ShortcutBlock(
                    subject=subject.name, data_set=subject.data_set, generator=subject.generator, groups=results
                )
            )
    return blocks


def judge_group(
    group: FeatureGroup,
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    clusters: NDArray[np.int64],
    seed: int,
    draws: int,
) -> ShortcutResult:
    """One group on some rows: indices (n,) into labels (N,), clusters (N,) and the group's values (N, F)."""
    values, own_labels = group.values[rows], labels[rows]
    # Numbered anew, so that nothing depends on what else is audited.
    own_clusters = np.unique(clusters[rows], return_inverse=True)[1]
    n_fake = int(own_labels.sum())
    counts = {
        "n_real": len(rows) - n_fake, "n_fake": n_fake, "n_clusters": len(np.unique(own_clusters)),
    }  # fmt: skip
    reason = _why_not(own_labels, own_clusters, group.applies_to)
    if reason:
        return ShortcutResult(
            group=group.name, title=group.title, **counts, auc=None, auc_low=None, auc_high=None, strength="not tested",
            reason=reason, sentence=f"{group.title}: not tested, {reason}", strongest=None,
        )  # fmt: skip
    scores = out_of_fold_ranks(values, own_labels, own_clusters, seed)
    found = auc_with_interval(own_labels.tolist(), scores.tolist(), [f"{c:09d}" for c in own_clusters], seed, draws)
    strength = strength_of(found.low)
    return ShortcutResult(
        group=group.name,
        title=group.title,
        **counts,
        auc=round(found.value, 4),
        auc_low=round(found.low, 4),
        auc_high=round(found.high, 4),
        strength=strength,
        reason="",
        sentence=_sentence(group, strength, found),
        strongest=strongest_feature(group.columns, values, own_labels) if strength in ("weak", "strong") else None,
    )


def out_of_fold_ranks(
    values: NDArray[np.float32], labels: NDArray[np.int64], clusters: NDArray[np.int64], seed: int
) -> NDArray[np.float64]:
    """Predictions of trees that did not see the row's cluster, as ranks in (0, 1] within the row's fold: (n,).

    values: (n, F), NaN = has none. Columns that are the same in all rows teach nothing; without any other, all ranks tie.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedGroupKFold
    from threadpoolctl import threadpool_limits

    scores = np.full(len(labels), 0.5)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for fitted, held_out in folds.split(values, labels, clusters):
        # Of these rows only: a trait of few files may be known in one fold alone.
        useful = np.flatnonzero(_varies(values[fitted]))
        if len(held_out) == 0 or len(useful) == 0 or len(np.unique(labels[fitted])) < 2:
            continue
        trees = HistGradientBoostingClassifier(
            max_iter=TREES, learning_rate=LEARNING_RATE, max_leaf_nodes=MAX_LEAVES, min_samples_leaf=MIN_LEAF,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        with threadpool_limits(1 if len(fitted) < ROWS_WORTH_THREADS else None, "openmp"):
            trees.fit(values[np.ix_(fitted, useful)], labels[fitted])
            scores[held_out] = rankdata(trees.decision_function(values[np.ix_(held_out, useful)])) / len(held_out)
    return scores


def strength_of(low: float) -> Strength:
    """By the lower end of the interval of the AUC."""
    if low > STRONG_ABOVE:
        return "strong"
    return "weak" if low >= WEAK_FROM else "none found"


def strongest_feature(
    columns: Sequence[str], values: NDArray[np.float32], labels: NDArray[np.int64]
) -> StrongestFeature | None:
    """The feature that separates the classes most when taken alone; None if none is known of enough of both classes."""
    best: StrongestFeature | None = None
    enough = min(MIN_PER_CLASS, *np.bincount(labels, minlength=2).tolist())
    for column in np.flatnonzero(_varies(values)).tolist():
        known = ~np.isnan(values[:, column])
        own, own_labels = values[known, column].astype(np.float64), labels[known]
        if min(np.bincount(own_labels, minlength=2).tolist()) < max(1, enough):
            continue
        found = auc(own_labels, own)
        if best is None or abs(found - 0.5) > abs(best.auc - 0.5):
            middle = np.mean if is_yes_or_no(columns[column]) else np.median
            real, fake = (float(middle(own[own_labels == label])) for label in (0, 1))
            best = StrongestFeature(name=columns[column], auc=round(found, 4), real=round(real, 4), fake=round(fake, 4))
    return best


def row_clusters(rows: Sequence[AuditRow]) -> NDArray[np.int64]:
    """(N,): rows that share a source, a part of a composite one, or an identity are one cluster."""
    wholes, parts = [], []
    for row in rows:
        for part in sources_of(row.item):
            wholes.append(_whole(row))
            parts.append(f"{row.data_set}\n{part}")
    joined = dict(zip(wholes, clusters_of(parts, wholes, parts).tolist(), strict=True))
    sources = [str(joined.get(_whole(row), "")) for row in rows]
    identities = [f"{row.data_set}\n{row.item.identity}" if row.item.identity else "" for row in rows]
    return clusters_of(sources, identities, [row.traits.sha256 if row.traits else row.shown for row in rows])


def _whole(row: AuditRow) -> str:
    return f"{row.data_set}\n{COMPOSITE.join(sources_of(row.item))}"


def _varies(values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """(n, F) -> (F,): columns with two values or more, having none counting as one."""
    filled = np.where(np.isnan(values), np.float32(np.inf), values)
    varies: NDArray[np.bool_] = (filled != filled[:1]).any(axis=0)
    return varies


def _subjects(rows: Sequence[AuditRow]) -> list[Subject]:
    data_sets = np.array([row.data_set for row in rows])
    generators = np.array([row.item.generator for row in rows])
    is_fake = np.array([row.is_fake for row in rows])
    subjects = []
    for name in sorted(set(data_sets.tolist())):
        inside = data_sets == name
        subjects.append(Subject(name, name, None, np.flatnonzero(inside)))
        own = sorted(set(generators[inside & is_fake].tolist()) - {""})
        if len(own) > 1:
            for generator in own:
                chosen = inside & (~is_fake | (generators == generator))
                subjects.append(Subject(f"{name}: {generator}", name, generator, np.flatnonzero(chosen)))
    if len(set(data_sets.tolist())) > 1:
        subjects.append(Subject(POOLED, None, None, np.arange(len(rows))))
    return subjects


def _why_not(labels: NDArray[np.int64], clusters: NDArray[np.int64], applies_to: str) -> str:
    """Why a group cannot be tested; empty if it can."""
    if len(labels) == 0:
        return f"there are no {applies_to}"
    for label, name in ((0, "real"), (1, "fake")):
        n = int((labels == label).sum())
        if n < MIN_PER_CLASS:
            return f"{n or 'no'} {name} {applies_to}, at least {MIN_PER_CLASS} are needed"
        groups = len(np.unique(clusters[labels == label]))
        if groups < MIN_CLUSTERS_PER_CLASS:
            what = f"the {name} {applies_to} are of {groups} sources or people"
            return f"{what}, at least {MIN_CLUSTERS_PER_CLASS} are needed"
    return ""


def _sentence(group: FeatureGroup, strength: Strength, found: Estimate) -> str:
    figure = f"AUC {found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"
    origin = f"from {group.title}{'' if group.name == ALL else ' alone'} the label can"
    if strength == "strong":
        return f"{origin} be told with {figure}: a detector can score well without looking at a face"
    if strength == "weak":
        return f"{origin} in part be told, with {figure}: some of a detector's score may come from it"
    if found.low > 0.5:
        return f"{origin} hardly be told: {figure}"
    return f"{origin}not be told: {figure}"
