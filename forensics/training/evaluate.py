"""Scores of manifest items through the very path that `forensics scan` takes, and what they amount to per data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forensics.common.clusters import clusters_of
from forensics.common.manifest import Item
from forensics.common.metrics import Estimate, auc_with_interval, share_with_interval
from forensics.common.operating_point import OperatingPoint
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.detectors.protocol import sigmoid
from forensics.scan import Scanner


@dataclass(frozen=True, eq=False)
class ScoredItems:
    """Items that got a score, their logits (N,) per opinion, sharpness (N,), and how many of each data set got none."""

    items: tuple[Item, ...]
    logits: dict[str, NDArray[np.float64]]
    sharpness: NDArray[np.float64]
    missed: dict[str, dict[str, int]]

    def of(self, dataset: str) -> NDArray[np.bool_]:
        """(N,) which items are of a data set."""
        return np.array([item.dataset == dataset for item in self.items])

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,) 1 = fake."""
        return np.array([item.label for item in self.items])


def score_items(
    items: Sequence[Item],
    weights: Path,
    detectors: tuple[str, ...],
    threads: int,
    progress: Progress,
    view: str | None = None,
) -> ScoredItems:
    """Scan every item on the CPU with the weights of a folder, each in its own view, or all in the one that is given."""
    rows: dict[int, dict[str, float]] = {}
    sharp: dict[int, float] = {}
    missed: dict[str, dict[str, int]] = {}
    with progress.task("scanning", len(items)) as advance:
        for current in sorted({view or item.view for item in items}):
            config = ScanConfig.model_validate(
                {"detector": detectors, "weights": weights, "view": current, "device": "cpu", "threads": threads}
            )
            with Scanner(config) as scanner:
                for index, item in enumerate(items):
                    if (view or item.view) != current:
                        continue
                    result = scanner.scan(item.path, explain=False)
                    if result.top_logits:
                        rows[index] = result.top_logits
                        sharp[index] = min(track.sharpness or 0.0 for track in result.record.tracks)
                    else:
                        counts = missed.setdefault(item.dataset, {})
                        counts[str(result.record.outcome)] = counts.get(str(result.record.outcome), 0) + 1
                    advance(1)
    order = sorted(rows)
    names = list(rows[order[0]]) if order else []
    return ScoredItems(
        items=tuple(items[i] for i in order),
        logits={name: np.array([rows[i][name] for i in order]) for name in names},
        sharpness=np.array([sharp[i] for i in order]),
        missed=missed,
    )


def metrics_of(scored: ScoredItems, points: dict[str, OperatingPoint], seed: int) -> dict[str, object]:
    """Per opinion and data set: AUC with its interval by clusters, error rates at the thresholds, coverage."""
    found: dict[str, object] = {}
    for name, logits in scored.logits.items():
        probabilities = sigmoid(logits)
        blocks: dict[str, object] = {}
        for dataset in sorted({*(item.dataset for item in scored.items), *scored.missed}):
            blocks[dataset] = _block(scored, dataset, logits, probabilities, points.get(name), seed)
        found[name] = blocks
    return found


def _block(
    scored: ScoredItems,
    dataset: str,
    logits: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    point: OperatingPoint | None,
    seed: int,
) -> dict[str, object]:
    rows = scored.of(dataset)
    labels = scored.labels[rows]
    clusters = clusters_of_items([item for item, wanted in zip(scored.items, rows, strict=True) if wanted])
    n = {"n_real": int((labels == 0).sum()), "n_fake": int((labels == 1).sum())}
    missed = sum(scored.missed.get(dataset, {}).values())
    block: dict[str, object] = {**n, "n_missed": missed, "coverage": round(len(labels) / (len(labels) + missed), 4)}
    if min(n.values()) > 0:
        block["auc"] = as_dict(auc_with_interval(labels.tolist(), logits[rows].tolist(), clusters, seed))
    if point is not None:
        called_fake, called_real = (
            probabilities[rows] >= point.threshold_fake,
            probabilities[rows] <= point.threshold_real,
        )
        block["fpr"] = _share(called_fake[labels == 0])
        block["tpr"] = _share(called_fake[labels == 1])
        block["fnr"] = _share(called_real[labels == 1])
        block["inconclusive"] = _share(~(called_fake | called_real))
    return block


def clusters_of_items(items: Sequence[Item]) -> list[str]:
    """What items of one data set must be drawn together, by name: those that share a source or an identity."""
    sources, identities = [item.source for item in items], [item.identity for item in items]
    return [str(code) for code in clusters_of(sources, identities, [str(item.path) for item in items])]


def _share(hits: NDArray[np.bool_]) -> dict[str, float] | None:
    return as_dict(share_with_interval(int(hits.sum()), len(hits))) if len(hits) else None


def as_dict(estimate: Estimate) -> dict[str, float]:
    """An estimate as it stands in metrics.json."""
    return {"value": round(estimate.value, 4), "low": round(estimate.low, 4), "high": round(estimate.high, 4)}
