"""Shortcuts: what was put into the files is found by the group that it belongs to, and by no other."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from eval.audit.features import FeatureGroup, colour_statistics, feature_groups, is_yes_or_no
from eval.audit.reading import AuditData, AuditRow, read_rows
from eval.audit.schema import ShortcutResult
from eval.audit.shortcuts import (
    MIN_CLUSTERS_PER_CLASS,
    MIN_PER_CLASS,
    find_shortcuts,
    judge_group,
    out_of_fold_ranks,
    row_clusters,
    strength_of,
    strongest_feature,
)
from forensics.common.manifest import Item
from forensics.common.progress import Progress

QUIET = Progress(quiet=True)
N = 80
DRAWS = 200


def made(folder: Path, n: int = N, **ways: object) -> list[AuditRow]:
    """n pictures of random scenes, fake and real in turn; what a fake and a real differ in is given as (real, fake)."""
    items = []
    for k in range(n):
        label = k % 2
        way = {name: pair[label] for name, pair in ways.items()}
        coarse = np.random.default_rng(k).integers(20, 200, (6, 6, 3), np.uint8)
        pixels = cv2.resize(coarse, (way.get("side", 48),) * 2, interpolation=cv2.INTER_CUBIC)
        pixels = np.clip(pixels.astype(int) + way.get("levels", 0), 0, 255).astype(np.uint8)
        path = folder / f"{k}{way.get('suffix', '.jpg')}"
        cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, way.get("quality", 90)])
        items.append(Item(path, label, generator=("a", "b")[k // 2 % 2] if label else ""))
    return read_rows([AuditData("data", folder, "manifest", tuple(items))], 2, 60.0, QUIET)


def judged(rows: list[AuditRow], *names: str) -> dict[str, ShortcutResult]:
    labels = np.array([row.item.label for row in rows])
    clusters = row_clusters(rows)
    return {
        group.name: judge_group(group, np.flatnonzero(group.applies), labels, clusters, 0, DRAWS)
        for group in feature_groups([row.traits for row in rows])
        if group.name in names
    }


def test_png_fakes_among_jpeg_reals(tmp_path):
    results = judged(made(tmp_path, suffix=(".jpg", ".png")), "format", "jpeg", "colour")
    found = results["format"]
    assert (found.strength, found.auc, found.n_real, found.n_fake) == ("strong", 1.0, N // 2, N // 2)
    assert (found.strongest.auc, found.strongest.real, found.strongest.fake) in ((1.0, 0.0, 1.0), (0.0, 1.0, 0.0))
    assert "without looking at a face" in found.sentence
    # One finding, told once: the JPEG files that are left are all real, and colours are as they were.
    assert results["jpeg"].strength == "not tested"
    assert results["jpeg"].reason.startswith("no fake JPEG files")
    assert results["colour"].strength == "none found"


def test_jpeg_quality_95_against_60(tmp_path):
    results = judged(made(tmp_path, quality=(95, 60)), "format", "jpeg", "metadata")
    assert (results["jpeg"].strength, results["jpeg"].auc) == ("strong", 1.0)
    strongest = results["jpeg"].strongest
    assert (strongest.name, strongest.real, strongest.fake, strongest.auc) == ("quality", 95, 60, 0.0)
    assert {results[name].strength for name in ("format", "metadata")} == {"none found"}
    assert (results["format"].auc, results["format"].auc_low) == (0.5, 0.5)


def test_sizes(tmp_path):
    results = judged(made(tmp_path, side=(48, 56)), "size", "jpeg")
    assert results["size"].strength == "strong"
    assert results["jpeg"].strength == "none found"


def test_brightness_is_a_matter_of_colour(tmp_path):
    results = judged(made(tmp_path, levels=(0, 50)), "colour", "format")
    assert results["colour"].strength == "strong"
    assert results["colour"].strongest.fake > results["colour"].strongest.real
    assert results["format"].strength == "none found"


def test_equal_files_have_no_shortcut(tmp_path):
    (block, *generators) = find_shortcuts(made(tmp_path), 0, DRAWS, QUIET)
    assert {result.strength for result in block.groups} == {"none found", "not tested"}
    assert [result.group for result in block.groups if result.strength == "not tested"] == ["clip"]
    assert all(result.auc_low < 0.6 and result.strongest is None for result in block.groups if result.auc is not None)
    # Each generator's fakes are too few, which is said.
    assert [(one.generator, one.groups[0].n_fake) for one in generators] == [("a", N // 4), ("b", N // 4)]
    assert generators[0].groups[0].reason == f"{N // 4} fake files, at least {MIN_PER_CLASS} are needed"


def test_one_class(tmp_path):
    rows = [row for row in made(tmp_path) if row.item.label == 0]
    (block,) = find_shortcuts(rows, 0, DRAWS, QUIET)
    assert {result.strength for result in block.groups} == {"not tested"}
    assert block.groups[0].reason == f"no fake files, at least {MIN_PER_CLASS} are needed"
    assert all(result.auc is None for result in block.groups)
    assert find_shortcuts([], 0, DRAWS, QUIET) == []


def group_of(values: np.ndarray, columns: tuple[str, ...] | None = None) -> FeatureGroup:
    names = columns or tuple(f"f{k}" for k in range(values.shape[1]))
    return FeatureGroup("test", "the test", names, values.astype(np.float32), np.ones(len(values), bool), "files")


def test_what_a_cluster_gives_away_is_not_learnt():
    """A feature that names the person, people being all real or all fake: nothing that helps with other people."""
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 10)
    labels = np.repeat(rng.permutation(60) % 2, 10)
    values = np.stack([people, rng.normal(size=600)], axis=1)
    kept = judge_group(group_of(values), np.arange(600), labels, people, 0, DRAWS)
    assert kept.strength == "none found"
    assert kept.n_clusters == 60
    apart = judge_group(group_of(values), np.arange(600), labels, np.arange(600), 0, DRAWS)
    assert apart.strength == "strong"  # as it would seem where nobody says who is who


def test_ranks_are_chance_on_noise_and_full_on_truth():
    rng = np.random.default_rng(1)
    labels = (np.arange(300) % 3 == 0).astype(int)
    clusters = np.arange(300)
    noise = out_of_fold_ranks(rng.normal(size=(300, 4)).astype(np.float32), labels, clusters, 0)
    assert 0.35 < roc_auc_score(labels, noise) < 0.65
    assert noise.min() > 0
    assert noise.max() <= 1
    truth = out_of_fold_ranks(np.stack([labels, rng.normal(size=300)], 1).astype(np.float32), labels, clusters, 0)
    assert roc_auc_score(labels, truth) == 1.0
    same = out_of_fold_ranks(np.full((300, 2), np.nan, np.float32), labels, clusters, 0)
    assert set(same) == {0.5}


def test_having_a_trait_at_all_is_a_feature():
    labels = np.arange(100) % 2
    values = np.where(labels[:, None] == 1, np.float32(7), np.float32(np.nan))
    assert roc_auc_score(labels, out_of_fold_ranks(values, labels, np.arange(100), 0)) == 1.0
    assert strongest_feature(("f",), values, labels) is None  # but its sizes cannot be compared


def test_a_trait_of_a_single_file_is_no_obstacle():
    """It is known in the fold that holds the file, and nowhere else."""
    labels = np.arange(100) % 2
    values = np.stack([np.full(100, np.nan), labels], axis=1).astype(np.float32)
    values[7, 0] = 25
    assert roc_auc_score(labels, out_of_fold_ranks(values, labels, np.arange(100), 0)) == 1.0


def test_the_strongest_feature_is_told_as_median_or_share():
    labels = np.array([0, 0, 0, 1, 1, 1])
    values = np.array([[0, 5], [0, 5], [1, 5], [1, 5], [1, 5], [1, 6]], np.float32)
    found = strongest_feature(("is odd", "width"), values, labels)
    assert (found.name, found.real, found.fake) == ("is odd", pytest.approx(1 / 3, abs=1e-4), 1.0)
    assert found.auc == pytest.approx(roc_auc_score(labels, values[:, 0]), abs=1e-4)
    values[:, 0] = 0
    assert strongest_feature(("is odd", "width"), values, labels).name == "width"
    values[[0, 5], 0] = (1, 2)
    values[[1, 2, 3, 4], 0] = np.nan  # what two of six files have explains little
    assert strongest_feature(("seconds", "width"), values, labels).name == "width"
    assert [is_yes_or_no(name) for name in ("suffix=.png", "jpeg: is progressive", "width", "metadata: has icc")] == [
        True, True, False, True,
    ]  # fmt: skip


def test_few_sources_are_not_tested():
    labels = np.arange(200) % 2
    result = judge_group(group_of(labels[:, None]), np.arange(200), labels, np.arange(200) // 40, 0, DRAWS)
    assert result.strength == "not tested"
    assert f"at least {MIN_CLUSTERS_PER_CLASS} are needed" in result.reason


def test_strength_is_that_of_the_interval_s_lower_end():
    assert [strength_of(low) for low in (0.3, 0.599, 0.6, 0.75, 0.751, 1.0)] == [
        "none found", "none found", "weak", "weak", "strong", "strong",
    ]  # fmt: skip


def test_clusters_join_sources_parts_of_composites_and_people():
    def row(name: str, source: str, identity: str = "", data_set: str = "d") -> AuditRow:
        return AuditRow(Item(Path(name), 0, source=source, identity=identity), "d", name, data_set, "", None)

    rows = [
        row("0", "a"), row("1", "b"), row("2", "a+b"), row("3", "c", "p"), row("4", "e", "p"), row("5", "a", "", "other"),
        row("6", ""), row("7", ""),
    ]  # fmt: skip
    assert row_clusters(rows).tolist() == [0, 0, 0, 1, 1, 2, 3, 4]


def test_colour_statistics_of_known_colours():
    thumbnails = np.zeros((2, 32, 32, 3), np.uint8)
    thumbnails[0, :16] = (200, 100, 50)
    thumbnails[1] = (10, 20, 40)
    red, green, blue, saturation = colour_statistics(thumbnails).reshape(2, 4, 7).swapaxes(0, 1)
    assert red[0].tolist() == [100, 100, 0, 0, 100, 200, 200]  # mean, deviation, percentiles 5 to 95
    assert green[0, :2].tolist() == [50, 50]
    assert blue[1].tolist() == [40, 0, 40, 40, 40, 40, 40]
    assert saturation[0, 0] == pytest.approx(255 * 0.75 / 2)
    assert saturation[1, 0] == pytest.approx(255 * 0.75)


def test_clips_are_compared_by_what_their_packets_say(tmp_path, clip_writer):
    frames = [np.full((32, 32, 3), 9 * k, np.uint8) for k in range(6)]
    paths = [clip_writer(tmp_path / f"{fps}.mp4", frames, fps=fps) for fps in (25, 30)]
    rows = read_rows([AuditData("d", tmp_path, "", tuple(Item(path, 0) for path in paths))], 1, 60.0, QUIET)
    groups = {group.name: group for group in feature_groups([row.traits for row in rows])}
    clip = groups["clip"]
    assert clip.applies.tolist() == [True, True]
    assert not groups["jpeg"].applies.any()
    assert clip.values[:, clip.columns.index("frames per second")] == pytest.approx([25, 30])
    assert clip.values[:, clip.columns.index("frames")].tolist() == [6, 6]
    assert groups["all"].values.shape[1] == sum(g.values.shape[1] for name, g in groups.items() if name != "all")
