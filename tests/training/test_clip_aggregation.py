"""Aggregation chosen on clips: figures against scikit-learn, few persons choose nothing, and the spread of real faces."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from forensics.common.aggregation import METHODS, Aggregation
from forensics.common.manifest import Item
from forensics.common.operating_point import OperatingPoint
from forensics.detectors.model_set import Domain
from forensics.training.video import (
    ALL,
    MIN_PERSONS,
    MIN_REAL_TRACKS,
    Clip,
    TrackSamples,
    candidates,
    choose,
    clip_logits,
    clusters_of_clips,
    figures_of,
    persons_of,
    real_track_logits,
    with_spread,
)

DOMAIN = Domain(min_crop_px=64, min_sharpness=0.0)
POINT = OperatingPoint(
    threshold_fake=0.7, threshold_real=0.3, test_set="none",
    false_positive_rate=None, false_negative_rate=None, false_positive_rates={},
)  # fmt: skip
NAME = "default"


def track(logits: list[float], px: int = 120) -> TrackSamples:
    n = len(logits)
    return TrackSamples(float(px), (px,) * n, (50.0,) * n, {NAME: tuple(logits)})


def clip(label: int, number: int, tracks: list[TrackSamples], **changes) -> Clip:
    values = {"dataset": "d", "identity": f"person {number}", "source": f"clip {label} {number}", "split": "dev"}
    item = Item(Path(f"/{label}-{number}.mp4"), label, **{**values, **changes})
    return Clip(item, "scored", tuple(tracks))


def clips_with_flashes(persons: int, seed: int = 0) -> list[Clip]:
    """Fakes that show themselves in a quarter of the samples only, which the mean dilutes."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(persons):
        real = rng.normal(rng.normal(0, 0.5), 0.3, 12)
        fake = rng.normal(rng.normal(0, 0.5), 0.3, 12)
        fake[:3] += 2.0
        found += [clip(0, number, [track(real.tolist())]), clip(1, number, [track(fake.tolist())])]
    return found


def scored(clips: list[Clip]) -> np.ndarray:
    return ~np.isnan(clip_logits(clips, NAME, Aggregation(), DOMAIN)[0])


def test_auc_is_that_of_the_top_tracks():
    clips = clips_with_flashes(15)
    found = candidates(clips, NAME, DOMAIN, POINT, seed=0)
    assert [one.aggregation.method for one in found] == list(METHODS)
    labels = [one.item.label for one in clips]
    means = [np.mean(one.tracks[0].logits[NAME]) for one in clips]
    assert found[0].figures[0].auc.value == pytest.approx(roc_auc_score(labels, means))
    again = candidates(clips, NAME, DOMAIN, POINT, seed=0)
    assert found == again


def test_few_persons_choose_nothing_and_enough_choose_the_best():
    few, enough = clips_with_flashes(MIN_PERSONS - 1), clips_with_flashes(MIN_PERSONS)
    chosen, why = choose(candidates(few, NAME, DOMAIN, POINT, 0), *persons_of(few, scored(few)))
    assert chosen.aggregation.method == "mean"
    assert "too few to choose" in why
    chosen, why = choose(candidates(enough, NAME, DOMAIN, POINT, 0), *persons_of(enough, scored(enough)))
    assert chosen.aggregation.method == "top_quarter"
    assert "the best of 5" in why


def test_clips_without_a_score_are_no_persons_to_choose_by():
    clips = clips_with_flashes(MIN_PERSONS)
    unseen = [replace(one, tracks=()) if one.item.label == 1 and i > 7 else one for i, one in enumerate(clips)]
    assert persons_of(unseen, scored(unseen)) == (MIN_PERSONS, 4)


def test_the_same_name_in_two_data_sets_is_two_persons():
    clips = [clip(0, 1, [], dataset=name) for name in ("d", "e")] + [clip(1, 1, [], dataset="d")]
    assert clusters_of_clips(clips).tolist() == [0, 1, 0]
    nameless = [clip(0, number, [], source="", identity="") for number in range(2)]
    assert clusters_of_clips(nameless).tolist() == [0, 1]


def test_swaps_join_the_persons_that_they_show():
    clips = [clip(0, number, [], source=f"s{number}") for number in range(4)]
    assert persons_of(clips, np.full(4, True)) == (4, 0)
    # The face of 0 in the clip of 1, and of 2 in that of 3.
    swaps = [clip(1, 1, [], source="s0"), clip(1, 3, [], source="s2")]
    assert persons_of(clips + swaps, np.full(6, True)) == (2, 2)


def test_one_group_of_persons_gives_no_interval():
    clips = [replace(one, item=replace(one.item, identity="all")) for one in clips_with_flashes(4)]
    part = candidates(clips, NAME, DOMAIN, POINT, 0)[0].figures[0]
    assert 0.5 < part.auc.value <= 1
    assert np.isnan(part.auc.low)
    assert np.isnan(part.auc.high)
    assert part.false_alarms.high - part.false_alarms.low > 0.5  # one group says next to nothing, however many clips


def test_false_alarms_have_intervals_over_groups_and_not_over_clips():
    groups = [[clip(0, 10 * person + i, [track([value] * 5)], identity=f"p{person}") for i in range(10)]
              for person, value in enumerate([5.0, -5.0] * 3)]  # fmt: skip
    joined = [one for group in groups for one in group]
    apart = [replace(one, item=replace(one.item, identity="")) for one in joined]
    clustered, single = (
        figures_of(clips, NAME, Aggregation(), DOMAIN, POINT, 0)[0].false_alarms for clips in (joined, apart)
    )
    assert clustered.value == single.value == 0.5
    assert clustered.high - clustered.low > 2 * (single.high - single.low)
    # None of 60 clips: Wilson's interval of none of 6 groups (0.39), not of 60 clips (0.06).
    silent = [replace(one, tracks=()) for one in joined]
    none = figures_of(silent, NAME, Aggregation(), DOMAIN, POINT, 0)[0].false_alarms
    assert (none.value, none.low, none.high) == (0.0, 0.0, pytest.approx(0.3903, abs=1e-4))


def test_false_alarms_are_per_clip_and_held_for_many_faces():
    rng = np.random.default_rng(3)
    level = float(np.log(0.7 / 0.3)) - 1.6449  # of single faces 5 % are above the threshold
    crowds = [clip(0, number, [track([value] * 5) for value in rng.normal(level, 1.0, 15)]) for number in range(80)]
    fake = [clip(1, 500 + number, [track([3.0] * 5)]) for number in range(3)]
    found = candidates(crowds + fake, NAME, DOMAIN, POINT, 0)[0]
    part = found.figures[0]
    assert found.aggregation.n_real_tracks == 80 * 15
    assert found.aggregation.real_track_sd == pytest.approx(1.0, abs=0.1)
    assert part.uncorrected.value > 0.4
    assert part.false_alarms.value < 0.12
    assert (part.n_real, part.n_fake, part.n_missed) == (80, 3, 0)


def test_small_and_short_tracks_are_no_faces_and_failures_are_counted():
    clips = [
        clip(0, 1, [track([5.0] * 5, px=30), track([5.0] * 2), track([-1.0] * 5)]),
        clip(0, 2, []),
        clip(1, 3, [track([2.0] * 5)]),
    ]
    logits, _ = clip_logits(clips, NAME, Aggregation(), DOMAIN)
    assert logits[0] == -1.0
    assert np.isnan(logits[1])
    assert real_track_logits(clips, NAME, Aggregation(), DOMAIN).tolist() == [-1.0]
    part = candidates(clips, NAME, DOMAIN, POINT, 0)[0].figures[0]
    assert part.n_missed == 1
    assert part.false_alarms.value == 0.0
    assert part.auc.value == 1.0


def test_data_sets_are_shown_apart_and_count_alike():
    clips = clips_with_flashes(8)
    other = [replace(one, item=replace(one.item, dataset="e")) for one in clips_with_flashes(3, seed=5)]
    only_real = [clip(0, 99, [track([0.0] * 5)], dataset="f")]
    found = candidates(clips + other + only_real, NAME, DOMAIN, POINT, 0)[0]
    assert [part.dataset for part in found.figures] == ["d", "e", "f", ALL]
    assert np.isnan(found.figures[2].auc.value)
    assert found.mean_auc == pytest.approx((found.figures[0].auc.value + found.figures[1].auc.value) / 2)


def test_no_spread_of_a_few_faces():
    clips = [clip(0, number, [track([0.1 * number] * 5)]) for number in range(MIN_REAL_TRACKS)]
    assert with_spread(clips, NAME, "mean", DOMAIN).real_track_sd is not None
    few = with_spread(clips[1:], NAME, "mean", DOMAIN)
    assert (few.real_track_sd, few.n_real_tracks) == (None, MIN_REAL_TRACKS - 1)
