"""`forensics bench robustness`: the same items, clean and under each condition; how much AUC is lost, and where.

The drop compares the items that have a score both clean and perturbed, so that it is about scores and not about which faces
are still found; the share that still is scored stands beside it. Intervals draw whole clusters, the same ones for both.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from eval.benchmark import choose_data, clock_part, dataset_part, open_cache, provenance_part, rows_of
from eval.blocks import Columns, columns_of, failures_at_the_wrong_end, is_drawn, rounded
from eval.config import RobustnessConfig
from eval.laundering import (
    SHORT_DIGITS,
    AnyCondition,
    LaunderingCondition,
    check_one_each,
    laundering_of,
    networks_of,
    title_and_unit,
)
from eval.report.robustness import RobustnessPoint, render_robustness, render_robustness_markdown
from eval.results import SCHEMA_VERSION, DatasetPart, Part, ProvenancePart
from eval.score_cache import ItemScore
from eval.scoring import Scorer
from eval.statistics import paired_bootstrap_difference, rates_at
from eval.variants import DecodedPictures, PerturbedVariant
from forensics.common.metrics import Estimate, auc, auc_with_interval
from forensics.common.progress import Progress
from forensics.media.types import Sampling
from forensics.perturb.grid import GRID, Condition, parse_condition, perturbation
from forensics.report.store import OutputFolder

ALL = "all"
JSON_FILE, MD_FILE, HTML_FILE = "robustness.json", "robustness.md", "robustness.html"


class ConditionPart(Part):
    """One detector on one family under one condition (`perturbation` empty: clean). Undefined figures are null."""

    detector: str
    family: str = Field(description="a data set, or `all`")
    perturbation: str
    strength: float | None = Field(description="1 for a network, which has no strengths")
    n_real: int
    n_fake: int
    share_scored: float | None = Field(description="share of all items of the family that got a score")
    share_scored_real: float | None
    share_scored_fake: float | None
    auc: float | None
    auc_low: float | None
    auc_high: float | None
    auc_failures_wrong: float | None = Field(description="with every item that got no score counted as wrong")
    drop: float | None = Field(description="clean AUC less this AUC, on the items scored both times")
    drop_low: float | None
    drop_high: float | None
    fpr: float | None = Field(description="share of reals called fake at the detector's threshold")
    fnr: float | None


class RobustnessResults(Part):
    """The contents of robustness.json."""

    schema_version: str = SCHEMA_VERSION
    dataset: DatasetPart
    conditions: list[ConditionPart]
    outcomes: dict[str, dict[str, int]] = Field(
        description="per condition (`clean` first): outcomes over all detectors"
    )
    networks: dict[str, str] = Field(
        default_factory=dict, description="SHA-256 of the checkpoint of each network that pictures were laundered by"
    )
    provenance: ProvenancePart


def run_robustness(
    config: RobustnessConfig, data: Sequence[Path], output: Path, progress: Progress
) -> RobustnessResults:
    """Score everything clean and under each condition, measure, write. Raises typed errors for the run as a whole."""
    started, clock = datetime.now(UTC), time.monotonic()
    conditions = conditions_of(config.perturb)
    folder = OutputFolder(output, config.overwrite)
    folder.check([JSON_FILE, MD_FILE, HTML_FILE])
    chosen = choose_data(config, data)
    for note in chosen.notes:
        progress.say(note)
    cache = open_cache(folder)
    sampling = Sampling(config.sample_fps, config.max_frames)
    parts: list[ConditionPart] = []
    try:
        scorer = Scorer(config, cache, progress, config.force)
        hashes = scorer.hashes(chosen.items)
        clean = scorer.score(chosen.items, "clean")
        rows = {name: rows_of(chosen, scores, name, hashes) for name, scores in clean.items()}
        columns = {name: columns_of(own) for name, own in rows.items()}
        outcomes, decoded = {"clean": _outcomes(clean)}, DecodedPictures()
        families = _families([item.dataset for item in chosen.items])
        for name in scorer.detectors:
            parts += [
                _part(name, family, None, own, own, scorer.thresholds[name], config)
                for family, chosen_rows in families.items()
                for own in [columns[name].where(chosen_rows)]
            ]
        for number, condition in enumerate(conditions, 1):
            variant = PerturbedVariant(condition, sampling, config.seed, decoded)
            scores = scorer.score(chosen.items, f"{number}/{len(conditions)} {condition}", variant)
            outcomes[str(condition)] = _outcomes(scores)
            for name in scorer.detectors:
                found = np.array([math.nan if one.score is None else one.score for one in scores[name]])
                for family, chosen_rows in families.items():
                    own = columns[name].where(chosen_rows)
                    changed = Columns(own.labels, found[chosen_rows], own.clusters)
                    parts.append(_part(name, family, condition, own, changed, scorer.thresholds[name], config))
    finally:
        cache.close()
    results = RobustnessResults(
        dataset=dataset_part(chosen, rows[scorer.detectors[0]], config),
        conditions=parts,
        outcomes=outcomes,
        networks=networks_of(conditions),
        provenance=provenance_part(config, scorer.model_set, scorer.folder, clock_part(started, clock)),
    )
    folder.write(JSON_FILE, results.model_dump_json(indent=2) + "\n")
    points, baseline, about = points_of(results), clean_of(results), about_of(results)
    folder.write(MD_FILE, render_robustness_markdown(points, baseline, about))
    folder.write(HTML_FILE, render_robustness(points, baseline, about))
    return results


def conditions_of(names: Sequence[str]) -> list[AnyCondition]:
    """`jpeg` stands for its five strengths, `jpeg:50` for one; nothing for the whole grid. Networks: see `eval.laundering`.

    Raises UsageError, and WeightsError for a network's file.
    """
    found: list[AnyCondition] = []
    for name in names or tuple(GRID):
        networks: list[LaunderingCondition] = laundering_of(name)
        if networks:
            found += networks
        elif ":" in name:
            found.append(parse_condition(name))
        else:
            found += [Condition(name, strength) for strength in perturbation(name).strengths]
    check_one_each(found)
    return list(dict.fromkeys(found))


def points_of(results: RobustnessResults) -> list[RobustnessPoint]:
    """What the page and the table show of each condition."""
    return [
        RobustnessPoint(
            detector=part.detector,
            family=part.family,
            perturbation=part.perturbation,
            title=title_and_unit(part.perturbation)[0],
            unit=title_and_unit(part.perturbation)[1],
            strength=_step(part, results.networks),
            auc=part.auc,
            low=part.auc_low,
            high=part.auc_high,
            drop=part.drop,
            drop_low=part.drop_low,
            drop_high=part.drop_high,
            n_real=part.n_real,
            n_fake=part.n_fake,
            share_scored=part.share_scored,
        )
        for part in results.conditions
        if part.perturbation
    ]


def _step(part: ConditionPart, networks: Mapping[str, str]) -> float | str:
    """What stands in a strength's place: of a network, the checkpoint."""
    if part.perturbation in networks:
        return networks[part.perturbation][:SHORT_DIGITS]
    return math.nan if part.strength is None else part.strength


def clean_of(results: RobustnessResults) -> dict[tuple[str, str], Estimate]:
    """The AUC of the unchanged items per detector and family; NaN where undefined."""

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    return {
        (part.detector, part.family): Estimate(number(part.auc), number(part.auc_low), number(part.auc_high))
        for part in results.conditions
        if not part.perturbation
    }


def about_of(results: RobustnessResults) -> dict[str, str]:
    """Facts of the run for the page."""
    dataset, provenance = results.dataset, results.provenance
    return {
        "data sets": ", ".join(dataset.names),
        "split": dataset.split,
        "items": f"{dataset.n_real} real, {dataset.n_fake} fake",
        "intervals": f"95 %, {provenance.bootstrap_draws} bootstrap draws of {provenance.clusters}",
        "seed": str(provenance.seed),
        "tool": f"{provenance.tool} {provenance.tool_version}",
        "weights": provenance.weights.get("model.json", "")[:16],
    }


def _outcomes(scores: dict[str, list[ItemScore]]) -> dict[str, int]:
    return dict(sorted(Counter(str(score.outcome) for own in scores.values() for score in own).items()))


def _families(datasets: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    names = np.array([name or "unnamed" for name in datasets])
    found = {str(name): names == name for name in sorted(set(names))}
    return found if len(found) == 1 else {**found, ALL: np.ones(len(names), bool)}


def _part(
    detector: str, family: str, condition: AnyCondition | None, clean: Columns, changed: Columns, threshold: float,
    config: RobustnessConfig,
) -> ConditionPart:  # fmt: skip
    """Figures of one cell of the table."""
    has_score = ~np.isnan(changed.scores)
    scored = changed.where(has_score)
    n_fake = int(scored.labels.sum())
    value = Estimate(math.nan, math.nan, math.nan)
    if 0 < n_fake < len(scored.labels):
        clusters = scored.clusters.astype(str).tolist()
        value = auc_with_interval(scored.labels.tolist(), scored.scores.tolist(), clusters, config.seed, config.draws)
        if not is_drawn(scored):
            value = Estimate(value.value, math.nan, math.nan)
    drop = Estimate(math.nan, math.nan, math.nan)
    both = has_score & ~np.isnan(clean.scores)
    if condition is not None and both.any():
        drop = paired_bootstrap_difference(
            clean.labels[both],
            clean.scores[both],
            changed.scores[both],
            clean.clusters[both],
            config.draws,
            config.seed,
        ).difference
        if not is_drawn(clean.where(both)):
            drop = Estimate(drop.value, math.nan, math.nan)
    rates = rates_at(scored.labels, scored.scores, threshold) if len(scored.labels) else None
    return ConditionPart(
        detector=detector,
        family=family,
        perturbation=condition.name if condition else "",
        strength=condition.strength if condition else None,
        n_real=len(scored.labels) - n_fake,
        n_fake=n_fake,
        share_scored=_share(has_score),
        share_scored_real=_share(has_score[changed.labels == 0]),
        share_scored_fake=_share(has_score[changed.labels == 1]),
        auc=rounded(value.value),
        auc_low=rounded(value.low),
        auc_high=rounded(value.high),
        auc_failures_wrong=rounded(auc(changed.labels, failures_at_the_wrong_end(changed))),
        drop=rounded(drop.value),
        drop_low=rounded(drop.low),
        drop_high=rounded(drop.high),
        fpr=rounded(rates.fpr) if rates else None,
        fnr=rounded(rates.fnr) if rates else None,
    )


def _share(hits: NDArray[np.bool_]) -> float | None:
    return round(float(hits.mean()), 6) if len(hits) else None
