"""From calibrated scores to a verdict that can abstain.

A track's score is the mean of its samples' calibrated logits (or what `forensics.common.aggregation` puts in its place):
the product of their likelihood ratios, tempered by their number because samples of one face are far from independent. The
input's score is that of its most suspicious eligible track, since one swapped face among real ones is a fake video; with
several such tracks it is lowered by as much as the most suspicious of so many real faces looks worse than one, where the
weights know how real faces spread: false alarms are held per input, not per face. `likely fake` and `likely real` need the
score to pass a threshold that was fixed on held-out data. Lowering never makes an input `likely real`: a fake face among
many real ones must not be missed more often than one that is alone. Everything else, and every input outside the range on
which the error rates were measured, is `inconclusive` with its reasons. A picture that is judged as a whole is one track,
of which the reasons speak as a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from forensics.common.aggregation import MEAN, Aggregation
from forensics.common.operating_point import OperatingPoint
from forensics.common.outcomes import Outcome
from forensics.detectors.model_set import Domain
from forensics.detectors.protocol import sigmoid

Label = Literal["likely fake", "likely real", "inconclusive"]

# Fewer observations than this in a clip are a glimpse, not a face track.
MIN_VIDEO_SAMPLES = 4
# Beyond this factor a likelihood ratio says more about the calibration's extrapolation than about the input.
MAX_LIKELIHOOD_RATIO = 1e4


@dataclass(frozen=True)
class Wording:
    """What reasons call the thing that is judged. small: with its size and the least one, in pixels."""

    subject: str
    both: str
    none: str
    small: str
    short: str


FACES = Wording(
    subject="the face",
    both="real and fake faces",
    none="no face was found",
    small="every face is smaller than the validated range ({:.0f} pixels, from {})",
    short="too few frames show the same face",
)
PICTURES = Wording(
    subject="the picture",
    both="real and synthetic pictures",
    none="the picture is too small to be judged",
    small="the picture is smaller than the validated range ({:.0f} pixels, from {})",
    short="too few frames",
)


@dataclass(frozen=True)
class TrackScore:
    """What the verdict needs of one face track; logits are calibrated, at even prior odds.

    weights: of the samples, for an aggregation that has any.
    """

    id: int
    logits: tuple[float, ...]
    timestamps_s: tuple[float, ...]
    median_crop_px: float
    sharpness: float
    reencoded_logit: float | None = None  # mean logit of some samples after mild JPEG compression
    stable_logit: float | None = None  # mean logit of the same samples as they are
    weights: tuple[float, ...] = ()
    aggregation: Aggregation = MEAN

    @property
    def logit(self) -> float:
        return self.aggregation.of_samples(self.logits, self.weights)


@dataclass(frozen=True)
class Evidence:
    """The most suspicious of `n_tracks` eligible tracks, and what their number takes off its logit."""

    track: TrackScore
    n_tracks: int
    lowered_by: float

    @property
    def logit(self) -> float:
        """What is compared with the threshold of `likely fake`, and reported."""
        return self.track.logit - self.lowered_by


@dataclass(frozen=True)
class Decision:
    """A verdict before it is written into the record."""

    label: Label
    probability: float | None
    likelihood_ratio: float | None
    reasons: tuple[str, ...]
    top_track: int | None
    key_moment_s: float | None
    outcome: Outcome = Outcome.SCORED
    lowered_by: float | None = None  # what several faces took off the logit; None where nothing was


def track_outcome(track: TrackScore, domain: Domain) -> Outcome:
    """Whether a track is large enough to be judged."""
    return Outcome.TOO_SMALL if track.median_crop_px < domain.min_crop_px else Outcome.SCORED


def eligible_tracks(tracks: Sequence[TrackScore], domain: Domain, is_video: bool) -> list[TrackScore]:
    """The tracks that are large and, in a clip, long enough to be judged."""
    large = [track for track in tracks if track_outcome(track, domain) is Outcome.SCORED]
    return [track for track in large if not is_video or len(track.logits) >= MIN_VIDEO_SAMPLES]


def weigh(tracks: Sequence[TrackScore], domain: Domain, is_video: bool) -> Evidence | None:
    """The most suspicious eligible track, and what their number takes off its score; None where there is none."""
    eligible = eligible_tracks(tracks, domain, is_video)
    top = max(eligible, key=lambda track: track.logit, default=None)
    return None if top is None else Evidence(top, len(eligible), top.aggregation.lowered_by(len(eligible)))


def top_track(tracks: Sequence[TrackScore], domain: Domain, is_video: bool) -> TrackScore | None:
    """The most suspicious eligible track; None where there is none."""
    found = weigh(tracks, domain, is_video)
    return None if found is None else found.track


def decide(
    tracks: Sequence[TrackScore],
    is_video: bool,
    domain: Domain,
    point: OperatingPoint,
    prior: float,
    wording: Wording = FACES,
) -> Decision:
    """Weigh the tracks. The thresholds are on the probability at even odds; `prior` re-weights what is reported."""
    evidence = weigh(tracks, domain, is_video)
    if evidence is None:
        outcome, reason = _why_no_track(tracks, domain, wording)
        return Decision("inconclusive", None, None, (reason,), None, None, outcome)
    top = evidence.track
    even = _probability(evidence.logit)
    ratio = min(max(even / (1 - even), 1 / MAX_LIKELIHOOD_RATIO), MAX_LIKELIHOOD_RATIO)
    posterior_odds = ratio * prior / (1 - prior)
    probability = posterior_odds / (1 + posterior_odds)
    label, reasons = _threshold(even, point, wording)
    notes = _notes(evidence)
    if label == "likely real" and _probability(top.logit) > point.threshold_real:
        label, reasons = "inconclusive", [_hidden_by_others(evidence, point)]
    doubts = _doubts(evidence, domain, point, wording)
    if label != "inconclusive" and (probability >= 0.5) != (label == "likely fake"):
        doubts.append(f"at the stated prior of {prior:g} the score does not outweigh the prior odds")
    if label != "inconclusive" and doubts:
        label, reasons = "inconclusive", [f"the score alone says {label}, but:"]
    moment = top.timestamps_s[int(np.argmax(top.logits))]
    lowered_by = evidence.lowered_by or None
    return Decision(label, probability, ratio, tuple(reasons + notes + doubts), top.id, moment, lowered_by=lowered_by)


def _probability(logit: float) -> float:
    return float(sigmoid(np.array(logit)))


def _threshold(even: float, point: OperatingPoint, wording: Wording) -> tuple[Label, list[str]]:
    if even >= point.threshold_fake:
        return "likely fake", [f"the score is at or above the threshold of {point.threshold_fake:.2f}"]
    if even <= point.threshold_real:
        return "likely real", [f"the score is at or below the threshold of {point.threshold_real:.2f}"]
    return "inconclusive", [
        f"the score lies between the thresholds of {point.threshold_real:.2f} and {point.threshold_fake:.2f}, "
        f"where {wording.both} are both common"
    ]


def _notes(evidence: Evidence) -> list[str]:
    """What a reader must know of the score, whatever it says."""
    if not evidence.lowered_by:
        return []
    return [
        f"{evidence.n_tracks} faces: the score is lowered by {evidence.lowered_by:.2f} in log odds, as the most suspicious "
        f"of {evidence.n_tracks} real faces looks that much worse than one"
    ]


def _hidden_by_others(evidence: Evidence, point: OperatingPoint) -> str:
    return (
        f"the score of the most suspicious face alone, {_probability(evidence.track.logit):.2f}, lies above the threshold "
        f"of {point.threshold_real:.2f}: that is common for {evidence.n_tracks} real faces, and for a fake one among them"
    )


def _doubts(evidence: Evidence, domain: Domain, point: OperatingPoint, wording: Wording) -> list[str]:
    doubts = []
    track = evidence.track
    if track.sharpness < domain.min_sharpness:
        doubts.append(
            f"{wording.subject} is blurrier than the validated range "
            f"(sharpness {track.sharpness:.1f}, from {domain.min_sharpness:.1f})"
        )
    if track.reencoded_logit is not None and track.stable_logit is not None:
        before, after = (
            _probability(logit - evidence.lowered_by) for logit in (track.stable_logit, track.reencoded_logit)
        )
        crosses = _threshold(before, point, wording)[0] != _threshold(after, point, wording)[0]
        if crosses and abs(before - after) > 0.25:
            doubts.append(f"the score is unstable: {before:.2f} becomes {after:.2f} after mild JPEG compression")
    return doubts


def _why_no_track(tracks: Sequence[TrackScore], domain: Domain, wording: Wording) -> tuple[Outcome, str]:
    if not tracks:
        return Outcome.NO_FACE if wording is FACES else Outcome.TOO_SMALL, wording.none
    largest = max(track.median_crop_px for track in tracks)
    if largest < domain.min_crop_px:
        return Outcome.TOO_SMALL, wording.small.format(largest, domain.min_crop_px)
    longest = max(len(track.logits) for track in tracks)
    return Outcome.SCORED, f"{wording.short} ({longest}, from {MIN_VIDEO_SAMPLES})"
