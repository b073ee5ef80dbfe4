"""The verdict on clips with several faces: lowered by what their number explains, and never called real for that."""

import math

import numpy as np
import pytest

from forensics.common.aggregation import Aggregation, excess_of_maximum
from forensics.common.operating_point import OperatingPoint
from forensics.detectors.model_set import Domain
from forensics.verdict import Decision, TrackScore, decide, weigh

DOMAIN = Domain(min_crop_px=64, min_sharpness=10.0)
POINT = OperatingPoint(
    threshold_fake=0.8, threshold_real=0.3, test_set="none",
    false_positive_rate=None, false_negative_rate=None, false_positive_rates={},
)  # fmt: skip
SPREAD = Aggregation(real_track_sd=1.5, n_real_tracks=30)


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def track(number: int, logit: float, aggregation: Aggregation = SPREAD, px: float = 120.0, n: int = 6, **more):
    return TrackScore(
        id=number, logits=(logit,) * n, timestamps_s=tuple(0.25 * i for i in range(n)), median_crop_px=px,
        sharpness=50.0, aggregation=aggregation, **more,
    )  # fmt: skip


def verdict(*tracks: TrackScore) -> Decision:
    return decide(tracks, True, DOMAIN, POINT, 0.5)


def test_several_faces_lower_the_score_and_say_so():
    alone = verdict(track(1, 2.0))
    assert (alone.label, alone.lowered_by) == ("likely fake", None)
    among = verdict(track(1, 2.0), *(track(i, -4.0) for i in range(2, 12)))
    lowered = excess_of_maximum(11, 1.5)
    assert among.lowered_by == pytest.approx(lowered)
    assert among.probability == pytest.approx(1 / (1 + math.exp(-(2.0 - lowered))))
    assert among.top_track == 1
    assert among.label == "inconclusive"
    assert any(f"11 faces: the score is lowered by {lowered:.2f}" in reason for reason in among.reasons)
    # A face that is suspicious enough is a fake among any number.
    assert verdict(track(1, 6.0), *(track(i, -4.0) for i in range(2, 52))).label == "likely fake"


def test_only_eligible_faces_count():
    small, short = track(2, -1.0, px=20.0), track(3, -1.0, n=2)
    found = weigh([track(1, 2.0), small, short], DOMAIN, is_video=True)
    assert found is not None
    assert (found.n_tracks, found.lowered_by) == (1, 0.0)


def test_without_a_known_spread_nothing_changes():
    plain = Aggregation()
    found = verdict(track(1, 2.0, plain), *(track(i, -4.0, plain) for i in range(2, 30)))
    assert (found.label, found.lowered_by) == ("likely fake", None)
    assert len(found.reasons) == 1


def test_a_face_above_the_lower_threshold_is_not_called_real_for_the_company_it_is_in():
    suspicious = log_odds(0.4)
    found = verdict(track(1, suspicious), *(track(i, -4.0) for i in range(2, 30)))
    assert found.probability is not None and found.probability < POINT.threshold_real
    assert found.label == "inconclusive"
    assert "alone, 0.40, lies above the threshold of 0.30" in found.reasons[0]
    assert verdict(*(track(i, log_odds(0.2)) for i in range(30))).label == "likely real"


@pytest.mark.parametrize("n", [1, 5, 30])
def test_error_rates_hold_per_clip(n):
    """Real clips called fake, and clips with one fake face called real: no more with many faces than with one."""
    rng = np.random.default_rng(n)
    mean = log_odds(POINT.threshold_fake) - 1.5 * 1.6449  # of real faces 5 % are above the threshold
    clips = 300
    reals = rng.normal(mean, 1.5, (clips, n))
    fakes = rng.normal(2.0, 1.5, clips)
    alarms = np.mean([verdict(*map(track, range(n), row)).label == "likely fake" for row in reals.tolist()])
    missed = np.mean(
        [
            verdict(track(0, fake), *map(track, range(1, n), row)).label == "likely real"
            for fake, row in zip(fakes.tolist(), reals[:, 1:].tolist(), strict=True)
        ]
    )
    assert alarms <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / clips)
    single = np.mean(fakes <= log_odds(POINT.threshold_real))
    assert missed <= single
    assert single > 0.01


def test_the_check_of_stability_is_at_the_lowered_score():
    others = [track(i, -4.0) for i in range(2, 12)]
    lowered = excess_of_maximum(11, 1.5)
    # Alone, 6.0 -> 2.0 stays above the threshold (1.39); lowered, it falls below.
    top = track(1, 6.0, stable_logit=6.0, reencoded_logit=2.0)
    assert verdict(top).label == "likely fake"
    assert 2.0 - lowered < log_odds(POINT.threshold_fake)
    assert any("unstable" in reason for reason in verdict(top, *others).reasons)


def test_the_chosen_aggregation_makes_the_score():
    median = Aggregation(method="median")
    one = TrackScore(1, (9.0, 2.1, 2.1, 2.1), (0.0, 0.1, 0.2, 0.3), 120.0, 50.0, aggregation=median)
    assert one.logit == pytest.approx(2.1)
    found = verdict(one)
    assert found.likelihood_ratio == pytest.approx(math.exp(2.1))
