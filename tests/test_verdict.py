"""The verdict: thresholds, every reason to abstain, prior odds, which face it rests on."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.common.operating_point import OperatingPoint
from forensics.common.outcomes import Outcome
from forensics.detectors.model_set import Domain
from forensics.verdict import (
    MAX_LIKELIHOOD_RATIO,
    MIN_VIDEO_SAMPLES,
    PICTURES,
    Decision,
    TrackScore,
    decide,
    top_track,
    track_outcome,
)

DOMAIN = Domain(min_crop_px=64, min_sharpness=10.0)
POINT = OperatingPoint(
    threshold_fake=0.8,
    threshold_real=0.3,
    test_set="none",
    false_positive_rate=None,
    false_negative_rate=None,
    false_positive_rates={},
)


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def track(probability: float, number: int = 1, n: int = 8, **changes) -> TrackScore:
    logits = changes.pop("logits", (log_odds(probability),) * n)
    values = {"median_crop_px": 120.0, "sharpness": 50.0, "timestamps_s": tuple(0.25 * i for i in range(len(logits)))}
    return TrackScore(id=number, logits=logits, **{**values, **changes})


def verdict(*tracks: TrackScore, is_video: bool = True, prior: float = 0.5) -> Decision:
    return decide(tracks, is_video, DOMAIN, POINT, prior)


@pytest.mark.parametrize(
    ("probability", "label"),
    [(0.95, "likely fake"), (0.801, "likely fake"), (0.799, "inconclusive"), (0.5, "inconclusive"),
     (0.301, "inconclusive"), (0.299, "likely real"), (0.05, "likely real")],
)  # fmt: skip
def test_thresholds(probability, label):
    found = verdict(track(probability))
    assert found.label == label
    assert found.probability == pytest.approx(probability)
    assert found.likelihood_ratio == pytest.approx(probability / (1 - probability))
    assert len(found.reasons) == 1
    assert ("between the thresholds of 0.30 and 0.80" in found.reasons[0]) == (label == "inconclusive")


def test_a_score_on_the_threshold_has_passed_it():
    half = POINT.model_copy(update={"threshold_fake": 0.5, "threshold_real": 0.25})
    assert decide([track(0.5)], True, DOMAIN, half, 0.5).label == "likely fake"


def test_no_face():
    found = verdict()
    assert found == Decision("inconclusive", None, None, ("no face was found",), None, None, Outcome.NO_FACE)


def test_too_small_a_face_is_not_judged():
    found = verdict(track(0.99, median_crop_px=63.0), track(0.99, 2, median_crop_px=40.0))
    assert (found.label, found.probability, found.top_track) == ("inconclusive", None, None)
    assert found.outcome is Outcome.TOO_SMALL
    assert "smaller than the validated range (63 pixels, from 64)" in found.reasons[0]
    assert track_outcome(track(0.9, median_crop_px=63.9), DOMAIN) is Outcome.TOO_SMALL
    assert track_outcome(track(0.9, median_crop_px=64.0), DOMAIN) is Outcome.SCORED


def test_a_glimpse_in_a_clip_is_not_judged_but_a_still_is():
    short = track(0.99, n=MIN_VIDEO_SAMPLES - 1)
    found = verdict(short)
    assert found.label == "inconclusive"
    assert "too few frames" in found.reasons[0]
    assert found.outcome is Outcome.SCORED
    assert verdict(short, is_video=False).label == "likely fake"
    assert verdict(track(0.99, n=1), is_video=False).label == "likely fake"
    assert verdict(track(0.99, n=MIN_VIDEO_SAMPLES)).label == "likely fake"


@pytest.mark.parametrize("probability", [0.95, 0.05])
def test_blur_makes_a_clear_score_inconclusive(probability):
    found = verdict(track(probability, sharpness=9.9))
    assert found.label == "inconclusive"
    assert any("blurrier" in reason and "9.9, from 10.0" in reason for reason in found.reasons)
    assert "the score alone says likely" in found.reasons[0]
    assert found.probability == pytest.approx(probability)
    assert verdict(track(probability, sharpness=10.0)).label != "inconclusive"


def test_a_score_that_flips_under_mild_compression_is_unstable():
    flipped = track(0.95, stable_logit=log_odds(0.95), reencoded_logit=log_odds(0.4))
    found = verdict(flipped)
    assert found.label == "inconclusive"
    assert any("unstable: 0.95 becomes 0.40" in reason for reason in found.reasons)
    # A small step over the threshold, or a large one on the same side, is none.
    assert verdict(track(0.9, stable_logit=log_odds(0.85), reencoded_logit=log_odds(0.75))).label == "likely fake"
    assert verdict(track(0.05, stable_logit=log_odds(0.01), reencoded_logit=log_odds(0.29))).label == "likely real"
    # The same samples are compared, not the track's mean.
    assert verdict(track(0.85, stable_logit=log_odds(0.99), reencoded_logit=log_odds(0.98))).label == "likely fake"


def test_all_doubts_are_said():
    doubtful = track(0.95, sharpness=1.0, stable_logit=log_odds(0.95), reencoded_logit=log_odds(0.2))
    assert len(verdict(doubtful).reasons) == 3
    assert len(verdict(doubtful, prior=0.01).reasons) == 4


@given(st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_the_prior_re_weights_by_bayes(even, prior):
    found = verdict(track(even), prior=prior)
    expected = even * prior / (even * prior + (1 - even) * (1 - prior))
    assert found.probability == pytest.approx(expected, abs=1e-9)
    assert 0 <= found.probability <= 1


def test_a_prior_that_contradicts_the_score_leaves_it_open():
    found = verdict(track(0.9), prior=0.05)  # posterior odds 9 / 19
    assert found.label == "inconclusive"
    assert found.probability == pytest.approx(9 / 28)
    assert any("prior of 0.05" in reason for reason in found.reasons)
    assert verdict(track(0.9), prior=0.15).label == "likely fake"  # 9 x 15 / 85 > 1
    assert verdict(track(0.1), prior=0.95).label == "inconclusive"
    assert verdict(track(0.1), prior=0.85).label == "likely real"
    # A prior alone never makes a verdict.
    assert verdict(track(0.5), prior=0.999).label == "inconclusive"


@pytest.mark.parametrize("extreme", [30.0, -30.0, 600.0, -600.0])
def test_the_likelihood_ratio_is_bounded(extreme):
    found = verdict(track(0.5, logits=(extreme,) * 5))
    assert found.likelihood_ratio == pytest.approx(MAX_LIKELIHOOD_RATIO if extreme > 0 else 1 / MAX_LIKELIHOOD_RATIO)
    assert 0 < found.probability < 1
    assert found.label == ("likely fake" if extreme > 0 else "likely real")


def test_one_fake_face_among_real_ones_is_a_fake_clip():
    real = [track(0.02, number) for number in (1, 2, 4)]
    found = verdict(*real[:2], track(0.93, 3), real[2])
    assert (found.label, found.top_track) == ("likely fake", 3)


def test_the_top_track_is_eligible():
    small, short = track(0.999, 1, median_crop_px=30), track(0.99, 2, n=2)
    good, better = track(0.4, 3), track(0.6, 4)
    tracks = [small, short, good, better]
    assert top_track(tracks, DOMAIN, is_video=True) is better
    assert top_track(tracks, DOMAIN, is_video=False) is short
    assert top_track([small], DOMAIN, is_video=False) is None
    assert verdict(*tracks).top_track == 4


def test_a_track_s_score_is_its_mean_logit():
    assert track(0.5, logits=(4.0, -1.0, 0.0, 1.0)).logit == 1.0
    # Mean of logits, not of probabilities: one very sure sample does not hide among unsure ones.
    found = verdict(track(0.5, logits=(10.0, 0.0, 0.0, 0.0)))
    assert found.likelihood_ratio == pytest.approx(math.exp(2.5))
    assert found.label == "likely fake"


def test_the_key_moment_is_the_most_suspicious_sample_of_the_top_track():
    other = track(0.5, 1, logits=(9.0, -9.0, -9.0, -9.0))
    top = track(0.5, 2, logits=(1.0, 2.0, 3.5, 2.0), timestamps_s=(0.1, 0.5, 7.25, 9.0))
    found = verdict(other, top)
    assert (found.top_track, found.key_moment_s) == (2, 7.25)


@pytest.mark.parametrize(
    ("tracks", "outcome"),
    [
        ((), Outcome.TOO_SMALL),
        ((track(0.9, median_crop_px=40.0),), Outcome.TOO_SMALL),
        ((track(0.9, n=2),), Outcome.SCORED),
        ((track(0.5),), Outcome.SCORED),
        ((track(0.9, sharpness=1.0),), Outcome.SCORED),
    ],
)
def test_no_reason_speaks_of_faces_where_a_picture_was_judged(tracks, outcome):
    found = decide(tracks, True, DOMAIN, POINT, 0.5, PICTURES)
    assert (found.label, found.outcome) == ("inconclusive", outcome)
    assert found.reasons
    assert not any("face" in reason for reason in found.reasons)
    of_faces = decide(tracks, True, DOMAIN, POINT, 0.5)
    assert any("face" in reason for reason in of_faces.reasons)
    assert (found.label, found.probability) == (of_faces.label, of_faces.probability)
