"""Measures of heatmaps on drawn maps and masks: values worked out by hand, controls in closed form, intervals."""

import numpy as np
import pytest

from eval.explanations.figures import ALL, Judged, cells_of, mean_parts
from eval.explanations.judging import Judgement
from eval.explanations.measures import (
    TOLERANCE,
    Agreement,
    agreement,
    centred,
    chance,
    hottest_places,
    iou_at_area,
    within_tolerance,
)
from forensics.common.seeds import rng_for


def disc(side: int, x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def spot(side: int, x: int, y: int) -> np.ndarray:
    heat = np.zeros((side, side), np.float32)
    heat[y, x] = 1
    return heat


def test_a_map_that_is_the_mask_agrees_in_everything():
    mask = disc(100, 30, 60, 12)
    assert agreement(mask.astype(np.float32), mask) == Agreement(1.0, 1.0, 1.0, 1.0)
    elsewhere = disc(100, 80, 20, 12)
    assert agreement(elsewhere.astype(np.float32), mask).energy == 0
    assert agreement(elsewhere.astype(np.float32), mask).iou == 0
    assert agreement(elsewhere.astype(np.float32), mask).tolerant == 0


def test_a_constant_map_and_a_blank_one_get_what_chance_gets():
    mask = np.zeros((80, 80), bool)
    mask[:40, :20] = True
    expected = chance(mask)
    assert expected.pointing == expected.energy == pytest.approx(1 / 8)
    assert expected.iou == pytest.approx((1 / 64) / (2 / 8 - 1 / 64))  # by inclusion and exclusion
    # Ties everywhere: the places of an 80 x 80 map are all pixels.
    constant = agreement(np.full((80, 80), 0.5, np.float32), mask)
    for found in (constant, agreement(np.zeros((5, 5), np.float32), mask)):
        assert found.values() == pytest.approx(expected.values(), abs=1e-6)


def test_chance_is_what_random_points_and_maps_get_on_average():
    mask = disc(64, 20, 24, 14)
    rng = rng_for(3)
    found = [agreement(rng.random((64, 64)).astype(np.float32), mask).values() for _ in range(400)]
    assert np.mean(found, axis=0) == pytest.approx(chance(mask).values(), abs=0.06)


def test_the_tolerance_is_that_of_the_paper_at_its_size():
    mask = np.zeros((224, 224), bool)
    mask[100, 100] = True
    near = within_tolerance(mask)
    assert TOLERANCE * 224 == 15
    assert near[100, 115]
    assert near[109, 112]  # 9, 12: distance 15
    assert not near[100, 116]
    assert not near[110, 112]
    assert agreement(spot(224, 115, 100), mask).tolerant == 1
    assert agreement(spot(224, 115, 100), mask).pointing == 0
    assert agreement(spot(224, 116, 100), mask).tolerant == 0
    large = np.zeros((448, 448), bool)
    large[200, 200] = True
    assert within_tolerance(large)[200, 230]
    assert not within_tolerance(large)[200, 231]


def test_the_hottest_place_is_below_the_middle_of_its_cell():
    assert hottest_places(spot(5, 0, 4), 100, 100) == [(90, 10)]
    assert hottest_places(spot(7, 6, 0), 112, 112) == [(8, 104)]
    two = spot(4, 0, 0) + spot(4, 3, 3)
    assert hottest_places(two, 40, 40) == [(5, 5), (35, 35)]
    mask = disc(40, 5, 5, 4)
    assert agreement(two, mask).pointing == 0.5


def test_energy_and_iou_follow_their_definitions():
    mask = np.zeros((4, 4), bool)
    mask[0, :2] = True
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0], heat[0, 1], heat[3, 3] = 0.2, 0.4, 1.0
    assert agreement(heat, mask).energy == pytest.approx(0.6 / 1.6)
    # The two hottest: (3, 3) and (0, 1); one of them is common to both, three in the union.
    assert iou_at_area(heat, mask) == pytest.approx(1 / 3)
    tied = np.where(mask, 1.0, 0.0).astype(np.float32)
    tied[2, 2] = 1.0  # three places tie for two: each counts two thirds
    assert iou_at_area(tied, mask) == pytest.approx((4 / 3) / (4 - 4 / 3))


def test_the_centred_control_knows_nothing_but_the_middle():
    middle, corner = disc(112, 56, 56, 20), disc(112, 15, 15, 12)
    assert centred(middle).pointing == 1
    assert centred(middle).energy > chance(middle).energy * 1.5
    assert centred(corner).pointing == 0
    assert centred(corner).energy < chance(corner).energy


@pytest.mark.parametrize(
    ("heat", "mask"),
    [
        (np.zeros((3, 3, 3), np.float32), np.ones((4, 4), bool)),
        (np.full((3, 3), -1, np.float32), np.ones((4, 4), bool)),
        (np.full((3, 3), np.nan, np.float32), np.ones((4, 4), bool)),
        (np.ones((3, 3), np.float32), np.zeros((4, 4), bool)),
        (np.ones((3, 3), np.float32), np.ones((4, 4), np.uint8)),
    ],
)
def test_what_is_no_map_or_no_mask_is_refused(heat, mask):
    with pytest.raises(ValueError, match=r"heatmap|mask"):
        agreement(heat, mask)


def test_intervals_draw_clusters_and_not_rows():
    rng = rng_for(5)
    centres = rng.normal(0.5, 0.2, 40)
    clusters = np.repeat(np.arange(40), 25)
    values = (centres[clusters] + rng.normal(0, 0.01, 1000))[:, None]
    ((mean, low, high),) = mean_parts(values, clusters, 2000, 0)
    assert mean == pytest.approx(values.mean())
    # Of 40 clusters, not of 1,000 rows: the standard error is that of 40 means.
    assert (high - low) / 2 == pytest.approx(1.96 * values.reshape(40, 25).mean(1).std(ddof=1) / np.sqrt(40), rel=0.15)
    ((alone, nothing, _),) = mean_parts(values[:5], np.zeros(5, np.int64), 100, 0)
    assert alone == pytest.approx(values[:5].mean())
    assert nothing is None


def judged(name: str, value: float, score: float | None, dataset: str = "d", generator: str = "g") -> Judged:
    one = Agreement(value, value, value, value)
    half = Agreement(0.5, 0.5, 0.5, 0.5)
    judgement = (
        Judgement("no_face") if score is None else Judgement("measured", "", score, 1, 0.3, True, one, half, half)
    )
    return Judged(name, dataset, generator, name, "", "cnn", judgement)


def test_cells_are_per_family_and_call_and_leave_out_what_was_not_measured():
    rows = [judged("a", 1.0, 0.9), judged("b", 0.0, 0.1), judged("c", 0.0, None), judged("d", 0.5, 0.9, "e", "h")]
    cells = {(cell.dataset, cell.generator, cell.calls): cell for cell in cells_of(rows, 0.5, 200, 0)}
    assert set(cells) == {
        ("d", "g", "all"), ("d", "g", "detected"), ("d", "g", "missed"),
        ("e", "h", "all"), ("e", "h", "detected"),
        (ALL, ALL, "all"), (ALL, ALL, "detected"), (ALL, ALL, "missed"),
    }  # fmt: skip
    whole = cells["d", "g", "all"]
    assert (whole.n, whole.n_clusters, whole.pointing.heatmap.value, whole.pointing.above_chance.value) == (
        2,
        2,
        0.5,
        0,
    )
    assert cells["d", "g", "detected"].energy.above_chance.value == 0.5
    assert cells["d", "g", "missed"].iou.heatmap.value == 0
    assert cells_of(rows[2:3], 0.5, 200, 0) == []
