"""From the samples of a face track to one logit, and from the most suspicious of several tracks to a clip's.

Samples of one face are far from independent, so their logits are averaged, not added; which average is a choice made on
clips of a dev split (`forensics calibrate-clips`), and the mean where there are too few of them.

A clip is as suspicious as its most suspicious face, and the more real faces there are, the worse the worst of them looks.
If real tracks' logits were normal with spread s, and a threshold t lets 5 % of them pass, the greatest of k independent
ones passes t + s * (z(0.95^(1/k)) - z(0.95)) in 5 % of all clips, z the normal quantile: Sidak (1967), Rectangular
Confidence Regions for the Means of Multivariate Normal Distributions, JASA 62. So much is taken off the top track's logit.

Limits: faces of one clip share camera and encode, so they are less than independent, and the correction is rather too
large. A threshold that less than 5 % of single tracks pass is corrected by more than it needs, one that more pass by too
little. So are heavier tails than normal ones: with Student's t of five degrees of freedom, 5 % of clips with one face
become 13 % with ten and 30 % with fifty (normal: 5 % throughout; uncorrected, whatever the tails: 40 % and 92 %).
"""

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import ndtri

Method = Literal["mean", "median", "trimmed_mean", "top_quarter", "weighted_mean"]
METHODS: tuple[Method, ...] = get_args(Method)

# Share of the samples that is cut off at each end: a closed eye, a hand in front of the mouth.
TRIMMED_SHARE = 0.2
TOP_SHARE = 0.25
# A face of more pixels than the crops that detectors look at (224) says no more than one of so many.
FULL_WEIGHT_PX = 224
# The share of real tracks below the threshold at which the correction is exact: what training fixes thresholds at.
LEVEL = 0.95
# Standard deviation of a normal distribution in units of its median absolute deviation.
MAD_TO_SD = 1.4826022185
UPPER_LEVEL = 0.9


class Aggregation(BaseModel):
    """How one opinion's logits become a clip's: aggregated over a face's samples, less what k faces take off.

    They stay on the scale of single pictures' logits, on which thresholds were fitted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: Method = "mean"
    real_track_sd: float | None = Field(None, ge=0, description="spread of real tracks' logits; None: no correction")
    n_real_tracks: int = Field(0, ge=0, description="how many tracks the spread was measured on")
    source: str = Field("", description="what it was chosen on, and why")

    def of_samples(self, logits: Sequence[float], weights: Sequence[float] = ()) -> float:
        """Logit of a track from those of its samples, and their weights where the method has any."""
        return aggregate(self.method, logits, weights)

    def lowered_by(self, n_tracks: int) -> float:
        """What is taken off the greatest logit of `n_tracks` tracks; 0 for one, and where no spread is known."""
        return 0.0 if self.real_track_sd is None else excess_of_maximum(n_tracks, self.real_track_sd)

    def of_pictures(self) -> "Aggregation":
        """The same for a single picture: only the correction for several faces.

        Single samples spread more than tracks do: the correction is too small rather than too large.
        """
        return self.model_copy(update={"method": "mean"})


# What holds where nothing was chosen.
MEAN = Aggregation()


def aggregate(method: Method, logits: ArrayLike, weights: ArrayLike = ()) -> float:
    """One logit of (N,) logits, N at least 1.

    weights: (N,), at least 0; for `weighted_mean` only, which is the mean where they are missing or all zero.
    """
    values = np.asarray(logits, np.float64)
    if values.size == 0:
        raise ValueError("a track has at least one sample")
    if method == "median":
        return float(np.median(values))
    if method == "trimmed_mean":
        cut = int(TRIMMED_SHARE * len(values))
        return float(np.sort(values)[cut : len(values) - cut].mean())
    if method == "top_quarter":
        return float(np.sort(values)[-int(np.ceil(TOP_SHARE * len(values))) :].mean())
    shares = np.asarray(weights, np.float64)
    if method == "weighted_mean" and shares.size and shares.sum() > 0:
        return float(np.average(values, weights=shares))
    return float(values.mean())


def sample_weights(crop_px: ArrayLike, sharpness: ArrayLike) -> NDArray[np.float64]:
    """(N,) weights of samples: large and sharp ones count more.

    crop_px: (N,) sides in pixels; sharpness: (N,) variances of the Laplacian, of which the logarithm counts, as they span
    orders of magnitude.
    """
    sides = np.minimum(np.asarray(crop_px, np.float64), FULL_WEIGHT_PX) / FULL_WEIGHT_PX
    return np.asarray(sides * np.log1p(np.maximum(np.asarray(sharpness, np.float64), 0.0)))


def excess_of_maximum(n: int, sd: float) -> float:
    """By how much the 95 % quantile of the greatest of n independent normal values exceeds that of one. Raises ValueError
    for n below 1.
    """
    if n < 1:
        raise ValueError("there is no greatest of no values")
    return float(sd * (ndtri(LEVEL ** (1 / n)) - ndtri(LEVEL)))


def robust_sd(values: ArrayLike) -> float:
    """Standard deviation of (N,) values, which one odd face in ten does not move; NaN for none.

    The larger of two estimates that are exact for normal values: by the median absolute deviation, and by the upper half
    alone (from the median to the 90 % quantile), since it is the upper tail that meets a threshold.
    """
    array = np.asarray(values, np.float64)
    if array.size == 0:
        return float("nan")
    middle = np.median(array)
    upper = (np.quantile(array, UPPER_LEVEL) - middle) / ndtri(UPPER_LEVEL)
    return float(max(MAD_TO_SD * np.median(np.abs(array - middle)), upper))
