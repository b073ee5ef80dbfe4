"""Intervals of a large benchmark: seconds, memory, and whether 95 % intervals cover the truth 95 times in 100.

    python tests/bench/bench_statistics.py [--rows 100000] [--clusters 20000] [--draws 2000] [--populations 500]

Speed is a ratio: the same intervals by repeating rows and calling roc_auc_score for each draw, in the same process,
timed on a few draws and extrapolated; that baseline has one of the twelve metrics and one of the sixteen blocks. Coverage:
scores of two normal distributions, with an effect that the rows of a cluster share; clusters hold both classes (a recording
and its fakes) or one (frames of a clip). The AUC between clusters is known.
"""

import argparse
import math
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from eval.blocks import Judging, detector_part
from eval.score_table import ScoreRow, read_scores, write_scores
from eval.statistics import bootstrap_metrics, bootstrap_values, delong_interval
from forensics.common.seeds import rng_for

BASELINE_DRAWS = 10
N_DATASETS, GENERATORS_PER_DATASET = 5, 2
SEPARATION, CLUSTER_SD = 1.5, 0.8
POPULATION_CLUSTERS, ROWS_PER_CLUSTER, POPULATION_DRAWS = 150, 6, 1000


def population(n_rows, n_clusters, seed, mixed=True):
    """Labels, scores in [0, 1], clusters; each cluster shifts all its rows, and holds both classes or (not mixed) one."""
    rng = rng_for(seed, n_rows)
    clusters = rng.permutation(np.arange(n_rows) % n_clusters)
    labels = rng.integers(0, 2, n_rows) if mixed else clusters % 2
    logits = SEPARATION * (labels - 0.5) + rng.normal(size=n_rows) + rng.normal(0, CLUSTER_SD, n_clusters)[clusters]
    return labels, 1 / (1 + np.exp(-logits)), clusters


def blocks(labels, clusters):
    """Name -> rows: all; each data set; each generator's fakes against the reals of its data set."""
    dataset = clusters % N_DATASETS
    generator = dataset * GENERATORS_PER_DATASET + np.random.default_rng(0).integers(
        0, GENERATORS_PER_DATASET, len(labels)
    )
    found = {"all": np.ones(len(labels), bool)}
    found |= {f"data set {d}": dataset == d for d in range(N_DATASETS)}
    for g in range(N_DATASETS * GENERATORS_PER_DATASET):
        home = dataset == g // GENERATORS_PER_DATASET
        found[f"generator {g}"] = home & ((labels == 0) | (generator == g))
    return found


def seconds_per_naive_draw(labels, scores, clusters):
    """One draw as a textbook has it: repeat the rows of the drawn clusters, sort, integrate."""
    order = np.argsort(clusters, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(clusters))[:-1])
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(BASELINE_DRAWS):
        rows = np.concatenate([members[c] for c in rng.integers(0, len(members), len(members))])
        roc_auc_score(labels[rows], scores[rows])
    return (time.perf_counter() - started) / BASELINE_DRAWS


def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_speed(options):
    labels, scores, clusters = population(options.rows, options.clusters, seed=0)
    before = peak_mib()
    parts, taken = blocks(labels, clusters), {}
    for name, rows in parts.items():
        started = time.perf_counter()
        bootstrap_metrics(labels[rows], scores[rows], clusters[rows], 0.5, options.draws)
        taken[name] = time.perf_counter() - started
    peak = peak_mib()
    naive = seconds_per_naive_draw(labels, scores, clusters) * options.draws
    print(f"{options.rows:,} rows, {options.clusters:,} clusters, {options.draws:,} draws, {os.cpu_count()} cores\n")
    print("| what | rows | seconds | naive AUC alone of all rows / this |")
    print("|---|---|---|---|")
    print(f"| twelve metrics, all rows | {options.rows:,} | {taken['all']:.1f} | {naive / taken['all']:.0f} |")
    total, n_total = sum(taken.values()), sum(int(rows.sum()) for rows in parts.values())
    print(f"| twelve metrics, {len(parts)} blocks | {n_total:,} | {total:.1f} | {naive / total:.0f} |")
    print(f"| naive AUC alone, {BASELINE_DRAWS} draws extrapolated | {options.rows:,} | {naive:.0f} | 1 |\n")
    print(f"Peak memory {peak:.0f} MiB, of which {before:.0f} MiB before the first draw.\n")


def measure_from_file(options):
    """What `forensics bench import` does before it draws its page: the table is read, all blocks are computed."""
    labels, scores, clusters = population(options.rows, options.clusters, seed=0)
    generators = np.random.default_rng(0).integers(0, GENERATORS_PER_DATASET, len(labels))
    rows = [
        ScoreRow(
            f"{i:06d}.png", int(label), float(score), dataset=f"set{cluster % N_DATASETS}", source=f"s{cluster}",
            generator=f"gan{cluster % N_DATASETS}{generator}" if label else "", detector="x",
        )
        for i, (label, score, cluster, generator) in enumerate(zip(labels, scores, clusters, generators, strict=True))
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.csv"
        write_scores(path, rows)
        del rows
        before, started = peak_mib(), time.perf_counter()
        read = read_scores(path)
        reading = time.perf_counter() - started
        part = detector_part(read, Judging(0.5, options.draws, 0), "", "", "")
    total = time.perf_counter() - started
    n_blocks = 1 + len(part.by_dataset) + len(part.by_generator)
    print(
        f"scores.csv of {options.rows:,} rows: read in {reading:.1f} s, read and all {n_blocks} blocks in {total:.1f} s;"
    )
    print(f"peak memory {peak_mib():.0f} MiB ({before:.0f} MiB before, the rows to write included).\n")


def share_covered(n_populations, mixed):
    """Name of an interval of the AUC -> share of populations in which it holds the truth."""
    truth = norm.cdf(SEPARATION / math.sqrt(2 * (1 + CLUSTER_SD**2)))
    hits = dict.fromkeys(("bootstrap over clusters", "bootstrap over rows", "DeLong, logit"), 0)
    n_rows = POPULATION_CLUSTERS * ROWS_PER_CLUSTER
    for number in range(n_populations):
        labels, scores, clusters = population(n_rows, POPULATION_CLUSTERS, 1000 + number, mixed)
        delong = delong_interval(labels, scores)
        hits["DeLong, logit"] += delong.low <= truth <= delong.high
        for name, codes in (("bootstrap over clusters", clusters), ("bootstrap over rows", np.arange(n_rows))):
            drawn = bootstrap_values(labels, scores, codes, 0.5, POPULATION_DRAWS, number)["auc"]
            low, high = np.percentile(drawn, [2.5, 97.5])
            hits[name] += low <= truth <= high
    return {name: count / n_populations for name, count in hits.items()}


def measure_coverage(n_populations):
    mixed, pure = share_covered(n_populations, mixed=True), share_covered(n_populations, mixed=False)
    print(f"{n_populations} populations of {POPULATION_CLUSTERS} clusters with {ROWS_PER_CLUSTER} rows\n")
    print("| 95 % interval of the AUC covers the truth | clusters of both classes | of one |")
    print("|---|---|---|")
    for name in mixed:
        print(f"| {name} | {100 * mixed[name]:.1f} % | {100 * pure[name]:.1f} % |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--clusters", type=int, default=20_000)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--populations", type=int, default=500)
    options = parser.parse_args()
    measure_speed(options)
    measure_from_file(options)
    measure_coverage(options.populations)


if __name__ == "__main__":
    main()
