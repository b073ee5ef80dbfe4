"""The worst mistakes of each detector: what a person should look at before believing a figure."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.results import Results
from eval.score_table import ScoreRow

# Two rows of four to six pictures on a page.
SHOWN = 6
FAILURES_SHOWN = 12


@dataclass(frozen=True)
class Mistakes:
    """Of one detector: reals from the highest score down, fakes from the lowest up, failures in the rows' order.

    Not all need be mistakes: a detector that makes few shows here what it was closest to getting wrong.
    """

    detector: str
    threshold: float
    reals: tuple[ScoreRow, ...]
    fakes: tuple[ScoreRow, ...]
    failures: tuple[ScoreRow, ...]
    n_wrong_reals: int
    n_wrong_fakes: int
    n_failures: int


def worst_mistakes(detector: str, threshold: float, rows: Sequence[ScoreRow]) -> Mistakes:
    """rows: those of this detector. Ties are in the order of their paths."""
    scored = [(row.score, row) for row in rows if row.score is not None]
    reals = [(-score, row.path, row) for score, row in scored if row.label == 0]
    fakes = [(score, row.path, row) for score, row in scored if row.label == 1]
    failures = [row for row in rows if row.score is None]
    return Mistakes(
        detector=detector,
        threshold=threshold,
        reals=tuple(row for _, _, row in sorted(reals, key=lambda entry: entry[:2])[:SHOWN]),
        fakes=tuple(row for _, _, row in sorted(fakes, key=lambda entry: entry[:2])[:SHOWN]),
        failures=tuple(failures[:FAILURES_SHOWN]),
        n_wrong_reals=sum(-negative >= threshold for negative, _, _ in reals),
        n_wrong_fakes=sum(score < threshold for score, _, _ in fakes),
        n_failures=len(failures),
    )


def mistakes_of(results: Results, rows: Sequence[ScoreRow]) -> list[Mistakes]:
    """One entry per detector of the results, in their order."""
    grouped: dict[str, list[ScoreRow]] = {name: [] for name in results.detectors}
    for row in rows:
        if row.detector in grouped:
            grouped[row.detector].append(row)
    return [worst_mistakes(name, results.detectors[name].threshold, own) for name, own in grouped.items()]


def paths_shown(results: Results, rows: Sequence[ScoreRow]) -> list[str]:
    """The `path` of every row whose picture the page shows, once each: `render_report` takes thumbnails under these."""
    return list(
        dict.fromkeys(
            row.path
            for mistakes in mistakes_of(results, rows)
            for group in (mistakes.reals, mistakes.fakes)
            for row in group
        )
    )
