"""Results and rows with known content for the tests of the benchmark report, made by hand: nothing is computed here."""

from typing import Any

import numpy as np

from eval.report.robustness import RobustnessPoint, RobustnessTable
from eval.results import (
    CoverageBlock,
    DatasetPart,
    DetectorPart,
    FailuresBlock,
    MetricsBlock,
    ProvenancePart,
    Results,
)
from eval.score_table import ScoreRow
from forensics.common.metrics import Estimate
from forensics.common.outcomes import Outcome

UNDEFINED_KEYS = (
    "auc", "ap", "eer", "accuracy", "tpr_at_fpr_1", "tpr_at_fpr_5", "fpr", "fnr", "ece", "brier", "ece_even_prior",
    "brier_even_prior",
)  # fmt: skip
# Each would leave a mark if a browser, Markdown or TeX took it for anything but text.
HOSTILE = (
    '"><img src=x onerror="document.title=1"><script>document.title=1</script>$x^2$ | [a](javascript:0) `c` {{ 7 * 7 }} '
    "\u202e\n@team www.example.org https://example.org"
)


def make_block(auc: float | None = 0.9, n_clusters: int = 60, **changes: Any) -> MetricsBlock:
    """A block in which every figure is another number; None for an AUC makes all figures undefined."""
    values: dict[str, Any] = {
        "level": "item", "n_real": 80, "n_fake": 70, "n_clusters": n_clusters, "auc": auc, "auc_low": 0.85,
        "auc_high": 0.94, "ap": 0.91, "eer": 0.171, "accuracy": 0.83,
        "tpr_at_fpr_1": 0.31, "tpr_at_fpr_5": 0.52, "fpr": 0.112, "fnr": 0.213,
        "ece": 0.081, "brier": 0.121, "ece_even_prior": 0.072, "brier_even_prior": 0.131, "threshold": 0.5,
        "intervals": {"fpr": (0.05, 0.2), "fnr": (0.14, 0.3), "tpr_at_fpr_5": (0.4, 0.61)}, "undefined": {},
        "failures_counted_wrong": None,
    }  # fmt: skip
    if auc is None:
        values |= dict.fromkeys(UNDEFINED_KEYS) | {"auc_low": None, "auc_high": None, "intervals": {}}
        values["undefined"] = dict.fromkeys(UNDEFINED_KEYS, "no fakes were scored")
    return MetricsBlock(**values | changes)


def make_coverage(n_real: int = 82, n_fake: int = 72, failed: int = 2, n_partial: int = 0) -> CoverageBlock:
    """`failed` reals and as many fakes had no face."""
    n, lost = n_real + n_fake, 2 * failed
    failures = {"no_face": failed} if failed else {}
    return CoverageBlock(
        n=n,
        n_scored=n - lost,
        share=(n - lost) / n if n else None,
        n_partial=n_partial,
        outcomes={"scored": n - lost, **({"no_face": lost} if failed else {})},
        real={"scored": n_real - failed, **failures},
        fake={"scored": n_fake - failed, **failures},
        verdicts=None,
    )


def make_detector(
    generators: tuple[str, ...] = ("gan", "diffusion"), data_sets: tuple[str, ...] = ("faces", "scenes"), **changes: Any
) -> DetectorPart:
    """One detector that failed on four inputs; the AUC of the first generator is 0.801, of the second 0.802."""
    failures = FailuresBlock(n_failed_real=2, n_failed_fake=2, auc=0.876, accuracy=0.811, fpr=0.133, fnr=0.235)
    values: dict[str, Any] = {
        "description": "a network", "fingerprint": "ab" * 32, "threshold": 0.5, "threshold_origin": "shipped",
        "coverage": make_coverage(), "coverage_by_dataset": {name: make_coverage(41, 36, 1) for name in data_sets},
        "by_generator": {name: make_block(0.801 + 0.001 * i) for i, name in enumerate(generators)},
        "by_dataset": {name: make_block(0.901 + 0.001 * i) for i, name in enumerate(data_sets)},
        "by_level": {}, "overall": make_block(0.888, failures_counted_wrong=failures),
    }  # fmt: skip
    return DetectorPart(**values | changes)


def make_results(
    detectors: dict[str, DetectorPart] | None = None,
    generators: tuple[str, ...] = ("gan", "diffusion"),
    data_sets: tuple[str, ...] = ("faces", "scenes"),
    **changes: Any,
) -> Results:
    """Results of two detectors, `alpha` and `beta`, unless others are given; `changes` are of the data-set part."""
    dataset: dict[str, Any] = {
        "names": list(data_sets), "layout": "manifest", "split": "test", "limit": None, "n": 154, "n_real": 82,
        "n_fake": 72, "generators": dict.fromkeys(generators, 36),
        "datasets": {name: {"real": 41, "fake": 36} for name in data_sets}, "sha256": "cd" * 32, "notes": [],
    }  # fmt: skip
    part = make_detector(generators, data_sets)
    return Results(
        detectors=detectors if detectors is not None else {"alpha": part, "beta": part},
        dataset=DatasetPart(**dataset | changes),
        provenance=ProvenancePart(
            tool_version="0.1.0",
            options={"detector": ["alpha", "beta"], "limit": None, "sample_fps": 4.0},
            weights={"model.json": "ef" * 32},
            weights_trained_on="other faces",
            seed=7,
            bootstrap_draws=2000,
            clusters="groups of items that share a source",
            environment={"python": "3.11"},
            clock={"started_utc": "2025-01-01T00:00:00", "wall_s": 1.5},
        ),
    )


def make_rows(results: Results, per_class: int = 36, seed: int = 0) -> list[ScoreRow]:
    """Rows of every detector on every data set: overlapping normal logits, one failure of each class."""
    rng = np.random.default_rng(seed)
    generators = list(results.dataset.generators)
    rows = []
    for detector in results.detectors:
        for data_set in results.dataset.datasets:
            for label in (0, 1):
                for i in range(per_class):
                    is_failure = i == per_class - 1
                    score = round(float(1 / (1 + np.exp(-rng.normal(2 * label - 1, 1.2)))), 6)
                    rows.append(
                        ScoreRow(
                            path=f"{data_set}/{'fake' if label else 'real'}/{i:04d}.png",
                            label=label,
                            score=None if is_failure else score,
                            outcome=Outcome.NO_FACE if is_failure else Outcome.SCORED,
                            generator=generators[i % len(generators)] if label and generators else "",
                            dataset=data_set,
                            detector=detector,
                        )
                    )
    return rows


def make_robustness(
    detectors: tuple[str, ...] = ("alpha", "beta"), families: tuple[str, ...] = ("faces", "all")
) -> RobustnessTable:
    """Two perturbations, mild to strong; `alpha` loses 0.05 per step, the others half of it."""
    points = []
    for family in families:
        for number, detector in enumerate(detectors):
            for name, title, unit, strengths in (
                ("jpeg", "JPEG", "quality", (90, 60, 30)),
                ("blur", "Blur", "sigma (px)", (0.5, 1.5)),
            ):
                for step, strength in enumerate(strengths, 1):
                    drop = 0.05 * step / (1 + number)
                    auc = round(0.9 - drop, 6)
                    about = (detector, family, name, title, unit, strength)
                    figures = (auc, auc - 0.03, auc + 0.02, drop, drop - 0.02, drop + 0.02)
                    points.append(RobustnessPoint(*about, *figures, 40, 36, 1 - 0.01 * step))
    clean = {(detector, family): Estimate(0.9, 0.87, 0.93) for family in families for detector in detectors}
    return RobustnessTable(points, clean, {"seed": "7"})
