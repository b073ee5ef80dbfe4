"""How the faces of a clip become one score: candidates compared on clips of a dev split, and one of them chosen.

Pure functions of scanned clips. Each candidate aggregates the samples of a track in its own way; a clip's score is that of
its most suspicious track, lowered by what several faces take off (`forensics.common.aggregation`), through the very
functions that a verdict uses. Rows that share a person or a recording are one cluster in all intervals and counts.

Limits: choosing among five candidates by their AUC needs many persons, since their differences are small and clips of one
person rise and fall together. With fewer than MIN_PERSONS on either side nothing is chosen: it stays the mean logit of the
top track.
Tracks of one recording, cut in pieces, are counted each: the spread of real tracks is known less well than their number
says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forensics.common.aggregation import METHODS, Aggregation, Method, robust_sd, sample_weights
from forensics.common.clusters import clusters_of
from forensics.common.manifest import Item
from forensics.common.metrics import BOOTSTRAP_DRAWS, Estimate, auc, auc_with_interval, clustered_share
from forensics.common.operating_point import OperatingPoint
from forensics.detectors.model_set import Domain
from forensics.detectors.protocol import sigmoid
from forensics.verdict import TrackScore, eligible_tracks, weigh

# Fewer independent persons with real clips, or with fakes, cannot tell candidates apart that differ by a hundredth of AUC.
MIN_PERSONS = 20
# A spread of fewer tracks is off by a quarter and more (the relative error of a standard deviation is 1 / sqrt(2 n)).
MIN_REAL_TRACKS = 8
ALL = "all"


@dataclass(frozen=True)
class TrackSamples:
    """A face track of a scanned clip: per sample its crop's side, its sharpness, and the logit of each opinion."""

    median_crop_px: float
    crop_px: tuple[int, ...]
    sharpness: tuple[float, ...]
    logits: Mapping[str, tuple[float, ...]]

    def score(self, opinion: str, aggregation: Aggregation) -> TrackScore:
        """The track as what is aggregated sees it: without what only doubts are raised by."""
        is_weighted = aggregation.method == "weighted_mean"
        return TrackScore(
            id=0,
            logits=self.logits[opinion],
            timestamps_s=(),
            median_crop_px=self.median_crop_px,
            sharpness=0.0,
            weights=tuple(sample_weights(self.crop_px, self.sharpness).tolist()) if is_weighted else (),
            aggregation=aggregation,
        )


@dataclass(frozen=True)
class Clip:
    """A row of the manifest and its tracks; without any, `outcome` says why."""

    item: Item
    outcome: str
    tracks: tuple[TrackSamples, ...]


@dataclass(frozen=True)
class Figures:
    """One candidate on one data set, or on all of them.

    auc: of clips with a score, NaN where one class is missing; its interval, where all clips are of one group of persons.
    false_alarms: share of real clips at or above the shipped threshold, clips without a score counting as none, with an
    interval over clusters; uncorrected: the same without what several faces take off.
    """

    dataset: str
    n_real: int
    n_fake: int
    n_missed: int
    auc: Estimate
    false_alarms: Estimate
    uncorrected: Estimate


@dataclass(frozen=True)
class Candidate:
    """A way to aggregate, with the spread of real tracks that goes with it, and what it reached."""

    aggregation: Aggregation
    figures: tuple[Figures, ...]

    @property
    def mean_auc(self) -> float:
        """Mean over the data sets with both classes, so that a large one does not decide alone; NaN without any."""
        found = [part.auc.value for part in self.figures if part.dataset != ALL and not np.isnan(part.auc.value)]
        return float(np.mean(found)) if found else float("nan")


def clusters_of_clips(clips: Sequence[Clip]) -> NDArray[np.int64]:
    """(N,) cluster of each clip: what shares a source or an identity of one data set, over any number of steps."""
    items = [clip.item for clip in clips]
    # The same id in two data sets means nothing.
    sources, identities = (
        [f"{item.dataset}|{name}" if name else "" for item, name in zip(items, names, strict=True)]
        for names in ([item.source for item in items], [item.identity for item in items])
    )
    return clusters_of(sources, identities, [str(item.path) for item in items])


def persons_of(clips: Sequence[Clip], is_scored: NDArray[np.bool_]) -> tuple[int, int]:
    """Independent clusters that have a real clip with a score, and that have a fake one; is_scored: (N,)."""
    codes, labels = clusters_of_clips(clips), np.array([clip.item.label for clip in clips], np.int64)
    n_real, n_fake = (len(np.unique(codes[(labels == label) & is_scored])) for label in (0, 1))
    return n_real, n_fake


def clip_logits(
    clips: Sequence[Clip], opinion: str, aggregation: Aggregation, domain: Domain
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(N,) logits of clips, and the same without what several faces take off; NaN where no track can be judged."""
    found = [
        weigh([track.score(opinion, aggregation) for track in clip.tracks], domain, is_video=True) for clip in clips
    ]
    corrected = [float("nan") if evidence is None else evidence.logit for evidence in found]
    plain = [float("nan") if evidence is None else evidence.track.logit for evidence in found]
    return np.array(corrected, np.float64), np.array(plain, np.float64)


def real_track_logits(
    clips: Sequence[Clip], opinion: str, aggregation: Aggregation, domain: Domain
) -> NDArray[np.float64]:
    """(T,) logits of all eligible tracks of real clips."""
    reals = [clip for clip in clips if clip.item.label == 0]
    tracks = [[track.score(opinion, aggregation) for track in clip.tracks] for clip in reals]
    found = [track.logit for some in tracks for track in eligible_tracks(some, domain, is_video=True)]
    return np.array(found, np.float64)


def with_spread(clips: Sequence[Clip], opinion: str, method: Method, domain: Domain) -> Aggregation:
    """An aggregation with the spread of real tracks, where there are enough of them."""
    logits = real_track_logits(clips, opinion, Aggregation(method=method), domain)
    sd = round(robust_sd(logits), 4) if len(logits) >= MIN_REAL_TRACKS else None
    return Aggregation(method=method, real_track_sd=sd, n_real_tracks=len(logits))


def candidates(
    clips: Sequence[Clip], opinion: str, domain: Domain, point: OperatingPoint, seed: int
) -> list[Candidate]:
    """Every method with its figures, per data set and on all clips, the mean first."""
    return [
        Candidate(aggregation, figures_of(clips, opinion, aggregation, domain, point, seed))
        for aggregation in (with_spread(clips, opinion, method, domain) for method in METHODS)
    ]


def figures_of(
    clips: Sequence[Clip], opinion: str, aggregation: Aggregation, domain: Domain, point: OperatingPoint, seed: int
) -> tuple[Figures, ...]:
    """Figures per data set in order of their names, and on all clips where there are several."""
    names = np.array([clip.item.dataset for clip in clips])
    labels = np.array([clip.item.label for clip in clips], np.int64)
    codes = clusters_of_clips(clips)
    corrected, plain = clip_logits(clips, opinion, aggregation, domain)
    found = []
    for name in [*np.unique(names), *([ALL] if len(np.unique(names)) > 1 else [])]:
        rows = np.full(len(clips), True) if name == ALL else names == name
        scored = rows & ~np.isnan(corrected)
        reals = rows & (labels == 0)
        found.append(
            Figures(
                dataset=str(name),
                n_real=int(reals.sum()),
                n_fake=int((rows & (labels == 1)).sum()),
                n_missed=int((rows & ~scored).sum()),
                auc=_auc(labels[scored], corrected[scored], codes[scored], seed),
                false_alarms=_alarms(corrected[reals], codes[reals], point, seed),
                uncorrected=_alarms(plain[reals], codes[reals], point, seed),
            )
        )
    return tuple(found)


def choose(found: Sequence[Candidate], n_real_persons: int, n_fake_persons: int) -> tuple[Candidate, str]:
    """The candidate with the best mean AUC, and why; the first one, the mean, where there are too few persons.

    Equal ones are taken in the order in which they are given.
    """
    persons = f"independent groups of persons: {n_real_persons} with real clips, {n_fake_persons} with fakes"
    if min(n_real_persons, n_fake_persons) < MIN_PERSONS:
        return found[0], f"{persons}; too few to choose (from {MIN_PERSONS} each): the mean logit of the top track"
    best = max(found, key=lambda one: -1.0 if np.isnan(one.mean_auc) else one.mean_auc)
    return best, f"{persons}; the best of {len(found)} by its AUC on them ({best.mean_auc:.3f})"


def _auc(labels: NDArray[np.int64], logits: NDArray[np.float64], codes: NDArray[np.int64], seed: int) -> Estimate:
    if len(np.unique(labels)) < 2:
        return Estimate(float("nan"), float("nan"), float("nan"))
    if len(np.unique(codes)) < 2:  # drawn again and again, one group says nothing of others
        return Estimate(auc(labels, logits), float("nan"), float("nan"))
    return auc_with_interval(labels.tolist(), logits.tolist(), [str(code) for code in codes], seed)


def _alarms(logits: NDArray[np.float64], codes: NDArray[np.int64], point: OperatingPoint, seed: int) -> Estimate:
    return clustered_share(sigmoid(logits) >= point.threshold_fake, codes, BOOTSTRAP_DRAWS, seed)  # NaN is no alarm
