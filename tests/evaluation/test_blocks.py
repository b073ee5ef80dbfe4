"""Blocks of results: against scikit-learn, with ground truth that the test makes, and the bugs of other harnesses."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from eval.blocks import Finer, Judging, columns_of, coverage_block, detector_part, file_level, metrics_block
from eval.score_table import ScoreRow
from forensics.common.outcomes import Outcome

JUDGING = Judging(threshold=0.5, draws=200, seed=0)


def population(n: int = 60, seed: int = 1) -> list[ScoreRow]:
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        label = i % 2
        score = float(np.clip(rng.normal(0.4 + 0.25 * label, 0.2), 0, 1))
        generator = ("gan" if i % 4 == 1 else "swap") if label else ""
        rows.append(
            ScoreRow(f"{i}.png", label, score, generator=generator, dataset="d", source=f"s{i // 2}", detector="x")
        )
    return rows


def test_overall_agrees_with_scikit_learn() -> None:
    rows = population()
    part = detector_part(rows, JUDGING, "a test", "", "given")
    labels, scores = [row.label for row in rows], [row.score for row in rows]
    assert part.overall.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
    assert part.overall.ap == pytest.approx(average_precision_score(labels, scores), abs=1e-6)
    assert part.overall.brier == pytest.approx(brier_score_loss(labels, scores), abs=1e-6)
    assert part.overall.auc_low is not None and part.overall.auc_high is not None
    assert part.overall.auc_low < part.overall.auc < part.overall.auc_high
    assert part.overall.n_clusters == 30
    assert part.overall.undefined == {}
    assert part.overall.level == "item"


def test_generator_is_judged_against_the_reals_of_its_own_data_set() -> None:
    rows = [
        *[ScoreRow(f"a{i}", 0, 0.1 + i / 100, dataset="a", source=f"a{i}") for i in range(5)],
        *[ScoreRow(f"A{i}", 1, 0.9, generator="g", dataset="a", source=f"a{i}") for i in range(5)],
        # Reals of another data set that score above everything must not touch the figures of g.
        *[ScoreRow(f"b{i}", 0, 0.99, dataset="b", source=f"b{i}") for i in range(5)],
        *[ScoreRow(f"B{i}", 1, 0.2, generator="h", dataset="b", source=f"b{i}") for i in range(5)],
    ]
    part = detector_part(rows, JUDGING, "a test", "", "given")
    assert part.by_generator["g"].auc == 1.0
    assert part.by_generator["h"].auc == 0.0
    assert part.by_generator["g"].n_real == 5
    assert part.by_dataset["a"].auc == 1.0
    assert part.overall.n_real == 10


def test_equal_video_names_of_two_methods_stay_two_videos() -> None:
    """`000_003` exists under every method of FaceForensics++: merged by name, four fakes became one video."""
    rows = [
        ScoreRow(f"{method}/000_003/{frame}.png", label, score, dataset="ffpp", video=f"{method}/000_003", detector="x")
        for method, label, score in (("original", 0, 0.1), ("Deepfakes", 1, 0.9), ("FaceSwap", 1, 0.8), ("F2F", 1, 0.7))
        for frame in range(3)
    ]
    part = detector_part(rows, JUDGING, "a test", "", "given")
    assert part.overall.level == "frame"
    assert part.overall.n_fake == 9
    assert (part.by_level["video"].n_real, part.by_level["video"].n_fake) == (1, 3)


def test_video_score_is_the_mean_over_all_its_frames() -> None:
    """Also where videos differ in length: a mean of batch means would weigh the last, shorter batch too much."""
    frames = {"v/real": [0.0, 0.0, 0.0, 0.0, 0.9], "v/fake": [0.2]}
    rows = [
        ScoreRow(f"{video}/{i}", int(video.endswith("fake")), score, video=video, detector="x")
        for video, scores in frames.items()
        for i, score in enumerate(scores)
    ]
    part = detector_part(rows, JUDGING, "a test", "", "given")
    assert part.by_level["video"].auc == 1.0  # 0.18 against 0.2
    assert part.overall.auc == pytest.approx(0.8)


def test_failures_have_no_score_and_are_counted_as_wrong_beside() -> None:
    rows = [
        ScoreRow("r1", 0, 0.1, source="1"),
        ScoreRow("r2", 0, None, Outcome.NO_FACE, source="2"),
        ScoreRow("f1", 1, 0.9, source="3"),
        ScoreRow("f2", 1, None, Outcome.UNREADABLE, source="4"),
    ]
    part = detector_part(rows, JUDGING, "a test", "", "given")
    assert part.overall.auc == 1.0
    assert part.overall.accuracy == 1.0
    worst = part.overall.failures_counted_wrong
    assert worst is not None
    assert (worst.n_failed_real, worst.n_failed_fake) == (1, 1)
    assert worst.auc == 0.25  # only f1 against r1 is right
    assert (worst.accuracy, worst.fpr, worst.fnr) == (0.5, 0.5, 0.5)
    assert part.coverage.outcomes == {"no_face": 1, "scored": 2, "unreadable": 1}
    assert part.coverage.share == 0.5


def test_one_class_is_null_with_a_reason() -> None:
    part = detector_part([ScoreRow("r", 0, 0.2), ScoreRow("s", 0, 0.7)], JUDGING, "a test", "", "given")
    assert part.overall.auc is None and part.overall.auc_low is None
    assert part.overall.undefined["auc"] == "no fakes were scored"
    assert part.overall.fpr == 0.5
    assert part.overall.fnr is None
    assert part.by_generator == {}


def test_nothing_scored_is_null_with_a_reason() -> None:
    part = detector_part([ScoreRow("r", 0, None, Outcome.NO_FACE)], JUDGING, "a test", "", "given")
    assert part.overall.auc is None
    assert part.overall.undefined["accuracy"] == "nothing was scored"
    assert part.coverage.share == 0.0


def test_score_of_exactly_one_is_in_the_calibration_error() -> None:
    block = metrics_block(columns_of([ScoreRow("r", 0, 1.0), ScoreRow("f", 1, 0.0)]), "item", JUDGING)
    assert block.ece == 1.0


def test_sources_of_two_data_sets_are_not_one_cluster() -> None:
    rows = [ScoreRow("a", 0, 0.1, dataset="a", source="1"), ScoreRow("b", 1, 0.2, dataset="b", source="1")]
    assert len(set(columns_of(rows).clusters)) == 2
    rows = [
        ScoreRow("a", 0, 0.1, dataset="a", identity="p"),
        ScoreRow("b", 1, 0.2, dataset="a", source="1", identity="p"),
    ]
    assert len(set(columns_of(rows).clusters)) == 1


def test_finer_levels_inherit_label_and_cluster() -> None:
    rows = [ScoreRow("a.mp4", 0, 0.1, source="1", video="a"), ScoreRow("b.mp4", 1, 0.9, source="2", video="b")]
    finer = {"frame": [Finer(rows[0], 0.1), Finer(rows[0], 0.3), Finer(rows[1], 0.2)]}
    part = detector_part(rows, JUDGING, "a test", "", "given", clips=[True, True], finer=finer)
    assert part.overall.level == "video"
    assert part.by_level["frame"].auc == 0.5
    assert part.by_level["frame"].n_clusters == 2
    assert part.by_level["frame"].failures_counted_wrong is None


def test_level_of_files() -> None:
    picture, frame = ScoreRow("a", 0, 0.1), ScoreRow("b", 0, 0.1, video="v")
    assert file_level([picture], [False]) == "item"
    assert file_level([frame, ScoreRow("c", 0, 0.1, video="v")], None) == "frame"
    assert file_level([frame], [True]) == "video"
    assert file_level([frame, picture], [True, False]) == "item"
    assert file_level([], None) == "item"


def test_verdicts_are_counted_per_class() -> None:
    rows = [ScoreRow("r", 0, 0.1), ScoreRow("f", 1, 0.9), ScoreRow("g", 1, None, Outcome.NO_FACE)]
    block = coverage_block(rows, ["likely real", "inconclusive", None])
    assert block.verdicts == {"real": {"likely real": 1}, "fake": {"inconclusive": 1, "no verdict": 1}}
    assert coverage_block(rows, [None, None, None]).verdicts is None


def test_same_seed_same_block() -> None:
    columns = columns_of(population())
    assert metrics_block(columns, "item", JUDGING) == metrics_block(columns, "item", JUDGING)
    other = metrics_block(columns, "item", Judging(0.5, 200, 1))
    assert other.auc_low != metrics_block(columns, "item", JUDGING).auc_low


def test_rate_of_zero_has_an_upper_bound() -> None:
    """A bootstrap of ten reals that are all right says 0 % [0, 0]; ten independent trials leave up to 28 % open."""
    rows = [ScoreRow(f"r{i}", 0, 0.1, source=f"r{i}") for i in range(10)]
    rows += [ScoreRow(f"f{i}", 1, 0.9, source=f"f{i}") for i in range(10)]
    block = detector_part(rows, JUDGING, "a test", "", "given").overall
    assert block.fpr == 0.0
    assert block.intervals["fpr"] == pytest.approx((0.0, 0.2775), abs=1e-3)  # Wilson 1927, z = 1.96
    assert block.intervals["accuracy"][0] == pytest.approx(0.839, abs=1e-3)


def test_one_identity_has_no_interval() -> None:
    rows = [ScoreRow(f"{i}", i % 2, i / 20, identity="p") for i in range(20)]
    block = detector_part(rows, JUDGING, "a test", "", "given").overall
    assert block.auc is not None
    assert block.auc_low is None
    assert "auc_low" in block.undefined
    assert "eer" not in block.intervals


def test_compressions_of_a_recording_are_one_cluster() -> None:
    rows = [
        ScoreRow(f"{c}/{i}", i % 2, 0.5, dataset=f"ffpp-{c}", source=f"s{i}") for c in ("c23", "c40") for i in range(4)
    ]
    assert len(set(columns_of(rows).clusters)) == 4


def test_videos_that_a_foreign_table_calls_alike_stay_apart() -> None:
    rows = [
        ScoreRow(f"{method}/{frame}", int(method != "original"), 0.5, generator=method, video="000")
        for method in ("original", "deepfakes", "faceswap")
        for frame in range(2)
    ]
    video = detector_part(rows, JUDGING, "a test", "", "given").by_level["video"]
    assert (video.n_real, video.n_fake) == (1, 2)


def test_partial_scores_are_counted() -> None:
    rows = [ScoreRow("a", 0, 0.1), ScoreRow("b", 1, 0.9)]
    part = detector_part(rows, JUDGING, "a test", "", "given", partial=[True, False])
    assert part.coverage.n_partial == 1
    assert part.coverage_by_dataset["unnamed"].n_partial == 1
