"""From calibrated scores to a verdict that can abstain.

A track's score is the mean of its samples' calibrated logits: the product of their likelihood ratios, tempered by their
number because samples of one face are far from independent. The input's score is that of its most suspicious eligible
track, since one swapped face among real ones is a fake video. `likely fake` and `likely real` need the score to pass a
threshold that was fixed on held-out data; everything else, and every input outside the range on which the error rates
were measured, is `inconclusive` with its reasons.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

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
class TrackScore:
    """What the verdict needs of one face track; logits are calibrated, at even prior odds."""

    id: int
    logits: tuple[float, ...]
    timestamps_s: tuple[float, ...]
    median_crop_px: float
    sharpness: float
    reencoded_logit: float | None = None  # mean logit of some samples after mild JPEG compression
    stable_logit: float | None = None  # mean logit of the same samples as they are

    @property
    def logit(self) -> float:
        return float(np.mean(self.logits))


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


def track_outcome(track: TrackScore, domain: Domain) -> Outcome:
    """Whether a track is large enough to be judged."""
    return Outcome.TOO_SMALL if track.median_crop_px < domain.min_crop_px else Outcome.SCORED


def top_track(tracks: Sequence[TrackScore], domain: Domain, is_video: bool) -> TrackScore | None:
    """The most suspicious track among those that are large and, in a clip, long enough; None where there is none."""
    large = [track for track in tracks if track_outcome(track, domain) is Outcome.SCORED]
    long = [track for track in large if not is_video or len(track.logits) >= MIN_VIDEO_SAMPLES]
    return max(long, key=lambda track: track.logit, default=None)


def decide(
    tracks: Sequence[TrackScore], is_video: bool, domain: Domain, point: OperatingPoint, prior: float
) -> Decision:
    """Weigh the tracks. The thresholds are on the probability at even odds; `prior` re-weights what is reported."""
    top = top_track(tracks, domain, is_video)
    if top is None:
        outcome, reason = _why_no_track(tracks, domain)
        return Decision("inconclusive", None, None, (reason,), None, None, outcome)
    even = _probability(top.logit)
    ratio = min(max(even / (1 - even), 1 / MAX_LIKELIHOOD_RATIO), MAX_LIKELIHOOD_RATIO)
    posterior_odds = ratio * prior / (1 - prior)
    probability = posterior_odds / (1 + posterior_odds)
    label, reasons = _threshold(even, point)
    doubts = _doubts(top, domain, point)
    if label != "inconclusive" and (probability >= 0.5) != (label == "likely fake"):
        doubts.append(f"at the stated prior of {prior:g} the score does not outweigh the prior odds")
    if label != "inconclusive" and doubts:
        label, reasons = "inconclusive", [f"the score alone says {label}, but:"]
    moment = top.timestamps_s[int(np.argmax(top.logits))]
    return Decision(label, probability, ratio, tuple(reasons + doubts), top.id, moment)


def _probability(logit: float) -> float:
    return float(sigmoid(np.array(logit)))


def _threshold(even: float, point: OperatingPoint) -> tuple[Label, list[str]]:
    if even >= point.threshold_fake:
        return "likely fake", [f"the score is at or above the threshold of {point.threshold_fake:.2f}"]
    if even <= point.threshold_real:
        return "likely real", [f"the score is at or below the threshold of {point.threshold_real:.2f}"]
    return "inconclusive", [
        f"the score lies between the thresholds of {point.threshold_real:.2f} and {point.threshold_fake:.2f}, "
        "where real and fake faces are both common"
    ]


def _doubts(track: TrackScore, domain: Domain, point: OperatingPoint) -> list[str]:
    doubts = []
    if track.sharpness < domain.min_sharpness:
        doubts.append(
            "the face is blurrier than the validated range "
            f"(sharpness {track.sharpness:.1f}, from {domain.min_sharpness:.1f})"
        )
    if track.reencoded_logit is not None and track.stable_logit is not None:
        before, after = _probability(track.stable_logit), _probability(track.reencoded_logit)
        crosses = _threshold(before, point)[0] != _threshold(after, point)[0]
        if crosses and abs(before - after) > 0.25:
            doubts.append(f"the score is unstable: {before:.2f} becomes {after:.2f} after mild JPEG compression")
    return doubts


def _why_no_track(tracks: Sequence[TrackScore], domain: Domain) -> tuple[Outcome, str]:
    if not tracks:
        return Outcome.NO_FACE, "no face was found"
    largest = max(track.median_crop_px for track in tracks)
    if largest < domain.min_crop_px:
        return (
            Outcome.TOO_SMALL,
            f"every face is smaller than the validated range ({largest:.0f} pixels, from {domain.min_crop_px})",
        )
    longest = max(len(track.logits) for track in tracks)
    return Outcome.SCORED, f"too few frames show the same face ({longest}, from {MIN_VIDEO_SAMPLES})"
