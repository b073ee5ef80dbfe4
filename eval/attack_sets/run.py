"""`forensics bench attack`: choose -> find faces -> craft sets -> score clean and attacked -> transfer matrix -> files.

Adversarial pictures lie in one folder per victim, attack and epsilon below --output, each a data set that every other
command reads. Figures come from scores of the saved PNGs, through the path that a scan takes.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from eval.attack_sets.config import ALL_TARGETS, AttackConfig
from eval.attack_sets.crafting import Job, craft_set
from eval.attack_sets.report import render_attack_markdown
from eval.attack_sets.results import AttackResults, CellPart, LeftOut, SetPart, ThreatModel
from eval.attack_sets.set_folder import IMAGES, SetFolder
from eval.attack_sets.squares import Prepared, large_enough, prepare, refuse_videos
from eval.attack_sets.transfer import Judging, Seen, cell_figures, threat_model
from eval.attack_sets.victims import Victim, load_victim, parts_of
from eval.attacks import ATTACKS, Attack, make_attack
from eval.benchmark import ChosenData, choose_data, clock_part, dataset_part, open_cache, provenance_part, rows_of
from eval.blocks import columns_of
from eval.config import BenchConfig, ScoringConfig
from eval.score_cache import ItemScore
from eval.score_table import scores_text
from eval.scoring import Scorer
from forensics.common.errors import UsageError
from forensics.common.files import safe_name
from forensics.common.manifest import Item
from forensics.common.progress import Progress
from forensics.common.text import number_or_csv_cell, uncsv_cell
from forensics.detectors.devices import resolve_device
from forensics.detectors.model_set import DEFAULT_DETECTOR, ModelSet
from forensics.detectors.registry import BUILT_IN
from forensics.faces.mtcnn import MtcnnDetector
from forensics.faces.types import FaceDetector
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits
from forensics.report.store import OutputFolder

JSON_FILE, MD_FILE, SCORES_FILE = "attack.json", "attack.md", "scores.csv"
ALL = "all"
INCONCLUSIVE = "inconclusive"
Scores = Mapping[str, Sequence[ItemScore]]


@dataclass(frozen=True)
class MadeSet:
    """A set on disk: its job says which pictures, its folder what became of them."""

    name: str
    folder: SetFolder
    job: Job

    @property
    def places(self) -> NDArray[np.int64]:
        """Index of each picture's original among all items of the run."""
        return np.array([one.place for one in self.job.prepared], np.int64)

    @property
    def items(self) -> list[Item]:
        """The saved pictures as items, labels and origins as before."""
        return [
            replace(one.item, path=self.folder.path / IMAGES / self.folder.entries[number].file)
            for number, one in enumerate(self.job.prepared)
        ]


def run_attacks(config: AttackConfig, data: Sequence[Path], output: Path, progress: Progress) -> AttackResults:
    """Craft, score, measure, write. Raises typed errors for what concerns the whole run, never for one item."""
    started, clock = datetime.now(UTC), time.monotonic()
    threads = torch.get_num_threads()
    attacks = attacks_of(config)
    folder = OutputFolder(output, config.overwrite)
    folder.check([JSON_FILE, MD_FILE, SCORES_FILE])
    chosen = choose_data(config, data)
    refuse_videos(chosen.items)
    for note in chosen.notes:
        progress.say(note)
    cache = open_cache(folder)
    try:
        scorer = Scorer(target_config(config), cache, progress, config.force)
        device = resolve_device(config.device)
        victims = [load_victim(spec, scorer.model_set, scorer.folder, device) for spec in config.specs]
        for victim in victims:
            if victim.left_out:
                progress.say(
                    f"{victim.name}: {', '.join(victim.left_out)} has no gradient: the attack takes its score to stay"
                )
        torch.set_num_threads(threads)  # scanners share the cores; nothing is scored while sets are made
        hashes = scorer.hashes(chosen.items)
        with MediaReader(MediaLimits(max_wall_s=config.timeout)) as reader:
            faces = _face_detector(chosen.items, device)
            prepared = prepare(chosen.items, chosen.shown, hashes, reader, faces, progress)
            wanted = [one for one in prepared if one.item.label == 1 or config.classes == "both"]
            able = [one for one in wanted if one.squares]
            sets, too_small = make_sets(
                config, output, able, victims, attacks, scorer.thresholds, device, reader, progress
            )
        clean = scorer.score(chosen.items, "clean")
        attacked = [scorer.score(one.items, f"{i}/{len(sets)} {one.name}") for i, one in enumerate(sets, 1)]
    finally:
        cache.close()
    base = BenchConfig.model_validate({name: getattr(config, name) for name in BenchConfig.model_fields})
    first_rows = rows_of(chosen, clean[scorer.detectors[0]], scorer.detectors[0], hashes)
    cells, parts = [], []
    for one, scores in zip(sets, attacked, strict=True):
        parts.append(set_part(one, clean[one.job.victim.name], scores[one.job.victim.name]))
        one.folder.write_rows(rows_of_set(one, scores[one.job.victim.name]))
        clusters = columns_of(first_rows).clusters
        cells += cells_of(one, chosen.items, clusters, clean, scores, scorer, config)
    provenance = provenance_part(base, scorer.model_set, scorer.folder, clock_part(started, clock))
    results = AttackResults(
        dataset=dataset_part(chosen, first_rows, base),
        sets=parts,
        cells=cells,
        thresholds=dict(scorer.thresholds),
        n_attackable=len(able),
        left_out=[*(left_out(one) for one in wanted if not one.squares), *too_small],
        provenance=provenance.model_copy(update={"options": {**provenance.options, **own_options(config)}}),
    )
    _write(folder, results, chosen, hashes, clean, sets, attacked)
    return results


def attacks_of(config: AttackConfig) -> list[Attack]:
    """Every attack at every epsilon; a patch once, since its budget is its area. Raises UsageError."""
    found = []
    for name in config.attack:
        is_patch = name in ATTACKS and ATTACKS[name].norm == "area"
        for epsilon in (config.patch_percent,) if is_patch else config.epsilon:
            found.append(
                make_attack(
                    name, epsilon, config.steps, restarts=config.restarts, place=config.patch_place, seed=config.seed
                )
            )
    return list(dict.fromkeys(found))


def target_config(config: AttackConfig) -> ScoringConfig:
    """How targets score: the victims, and what --target names."""
    from forensics.detectors.model_set import load_model_set

    names: list[str] = []
    for name in config.target:
        names += built_in_targets(load_model_set(config.folder)[0]) if name == ALL_TARGETS else [name]
    values = {name: getattr(config, name) for name in ScoringConfig.model_fields}
    return ScoringConfig.model_validate({**values, "detector": tuple(dict.fromkeys([*names, *config.detector]))})


def built_in_targets(model_set: ModelSet) -> list[str]:
    """The fusion and every built-in detector that a set of weights has."""
    fusion = [DEFAULT_DETECTOR] if DEFAULT_DETECTOR in model_set.calibrations else []
    return [*fusion, *(name for name in BUILT_IN if name in model_set.weights)]


def make_sets(
    config: AttackConfig,
    output: Path,
    able: Sequence[Prepared],
    victims: Sequence[Victim],
    attacks: Sequence[Attack],
    thresholds: Mapping[str, float],
    device: torch.device,
    reader: MediaReader,
    progress: Progress,
) -> tuple[list[MadeSet], list[LeftOut]]:
    """One folder per victim and attack, without any where nothing can be attacked; and what is too small for a set."""
    sets: list[MadeSet] = []
    too_small: list[LeftOut] = []
    jobs = [(victim, attack) for victim in victims for attack in attacks]
    for number, (victim, attack) in enumerate(jobs, 1):
        fitting = large_enough(able, attack)
        name = f"{safe_name(victim.name, 60)}-{attack.name}-{attack.epsilon:g}"
        if name in {one.name for one in sets}:
            raise UsageError(f"two victims would share the folder {name}", "attack them one after the other")
        too_small += [left_out(one, name) for one in fitting if not one.squares]
        job = Job([one for one in fitting if one.squares], victim, thresholds[victim.name], attack, device)
        if not job.prepared:
            continue
        folder = SetFolder(output / name, job.recipe_sha256, config.overwrite)
        craft_set(job, folder, reader, progress, f"{number}/{len(jobs)} {name}")
        sets.append(MadeSet(name, folder, job))
    return sets, too_small


def left_out(one: Prepared, folder: str = "") -> LeftOut:
    """What is said of an item without squares; `folder` of the one set that it is not in."""
    return LeftOut(set=folder, path=one.shown, label=one.item.label, outcome=str(one.outcome), message=one.message)


def rows_of_set(made: MadeSet, scores: Sequence[ItemScore]) -> list[Item]:
    """The rows of a set's manifest; `scores` are the victim's of the saved pictures."""
    job, rows = made.job, []
    for place, (item, score) in enumerate(zip(made.items, scores, strict=True)):
        entry = made.folder.entries[place]
        own = {
            "attack": job.attack.name,
            "epsilon": f"{job.attack.epsilon:g}",
            "victim": job.victim.name,
            "success_before": _success(item.label, entry.score_before, job.threshold),
            "success_after": _success(item.label, score.score, job.threshold),
            "sha256": entry.sha256,
            "seed": str(job.attack.seed),
            "original": entry.original,
        }
        rows.append(
            replace(
                item,
                generator=_cell(item.generator),
                dataset=_cell(item.dataset),
                source=_cell(item.source),
                identity=_cell(item.identity),
                mask="",  # its path was relative to the manifest that the original came from
                extra={_cell(name): _cell(value) for name, value in {**item.extra, **own}.items()},
            )
        )
    return rows


def set_part(made: MadeSet, clean: Sequence[ItemScore], scores: Sequence[ItemScore]) -> SetPart:
    """What is said of a set; `clean` is aligned with all items, `scores` with the set's."""
    job, entries = made.job, [made.folder.entries[place] for place in range(len(made.job.prepared))]
    labels = [one.item.label for one in job.prepared]

    def share(values: Sequence[float | None]) -> float | None:
        wrong = [
            _is_wrong(label, value, job.threshold)
            for label, value in zip(labels, values, strict=True)
            if value is not None
        ]
        return round(sum(wrong) / len(wrong), 6) if wrong else None

    before = [clean[place].score for place in made.places]
    after = [score.score for score in scores]
    return SetPart(
        folder=made.name,
        victim=job.victim.name,
        members=list(job.victim.members),
        without_gradient=list(job.victim.left_out),
        attack=job.attack.name,
        epsilon=job.attack.epsilon,
        unit=job.attack.kind.unit,
        steps=job.attack.steps,
        step_size=job.attack.step_size,
        restarts=job.attack.restarts,
        seed=job.attack.seed,
        recipe_sha256=job.recipe_sha256,
        n_real=labels.count(0),
        n_fake=labels.count(1),
        success_clean=share(before),
        success_before=share([entry.score_before for entry in entries]),
        success_after=share(after),
        n_not_scored_after=sum(a is not None and b is None for a, b in zip(before, after, strict=True)),
        largest_change=max(entry.largest_change for entry in entries),
        mean_rms_change=round(float(np.mean([entry.rms_change for entry in entries])), 6),
    )


def cells_of(
    made: MadeSet,
    items: Sequence[Item],
    clusters: NDArray[np.int64],
    clean: Scores,
    attacked: Scores,
    scorer: Scorer,
    config: AttackConfig,
) -> list[CellPart]:
    """Every target on one set, per data set and, where there are several, all together."""
    labels, places = np.array([item.label for item in items], np.int64), made.places
    is_attacked = np.isin(np.arange(len(items)), places)
    victim, attack = made.job.victim, made.job.attack
    cells = []
    for target in scorer.detectors:
        scores, unsure = np.full(len(items), np.nan), np.full(len(items), np.nan)
        scores[places], unsure[places] = _score_values(attacked[target]), _unsure_values(attacked[target])
        seen = Seen(
            labels, clusters, _score_values(clean[target]), scores, is_attacked, _unsure_values(clean[target]), unsure
        )
        threat: ThreatModel = "control"
        if attack.kind.follows_gradient:
            parts = parts_of(target, scorer.model_set)
            threat = threat_model(target, parts, victim.name, frozenset(victim.members))
        judging = Judging(scorer.thresholds[target], config.draws, config.seed)
        for family, rows in _families([item.dataset for item in items]).items():
            if not (rows & is_attacked).any():
                continue
            cells.append(
                CellPart.model_validate(
                    {
                        "set": made.name, "victim": victim.name, "attack": attack.name, "epsilon": attack.epsilon,
                        "unit": attack.kind.unit, "target": target, "threat_model": threat, "family": family,
                        **cell_figures(seen.where(rows), judging),
                    }
                )
            )  # fmt: skip
    return cells


def own_options(config: AttackConfig) -> dict[str, str | int | float | bool | list[str] | None]:
    """The options that a benchmark has not; files by their names."""
    return {
        "attack": list(config.attack),
        "epsilon": [f"{epsilon:g}" for epsilon in config.epsilon],
        "classes": config.classes,
        "target": [Path(name).name if name.endswith(".py") else name for name in config.target],
        "steps": config.steps,
        "restarts": config.restarts,
        "patch_percent": config.patch_percent,
        "patch_place": config.patch_place,
    }


def _write(
    folder: OutputFolder,
    results: AttackResults,
    chosen: ChosenData,
    hashes: Sequence[str],
    clean: Scores,
    sets: Sequence[MadeSet],
    attacked: Sequence[Scores],
) -> None:
    rows = [row for name, scores in clean.items() for row in rows_of(chosen, scores, name, hashes)]
    for one, found in zip(sets, attacked, strict=True):
        entries = [one.folder.entries[place] for place in range(len(one.job.prepared))]
        shown = tuple(f"{one.name}/{IMAGES}/{entry.file}" for entry in entries)
        data = ChosenData(tuple(one.items), shown, (), ())
        own_hashes = [entry.sha256 for entry in entries]
        rows += [row for name, scores in found.items() for row in rows_of(data, scores, name, own_hashes)]
    folder.write(SCORES_FILE, scores_text(rows))
    folder.write(JSON_FILE, results.to_json())
    folder.write(MD_FILE, render_attack_markdown(results))


def _face_detector(items: Sequence[Item], device: torch.device) -> FaceDetector | None:
    """What a scan finds faces with, if a picture needs it."""
    if all(item.view == "face" for item in items):
        return None
    return MtcnnDetector(device if device.type == "cuda" else torch.device("cpu"))


def _cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, whether or not it was made one before."""
    return number_or_csv_cell(uncsv_cell(text))


def _families(datasets: Sequence[str]) -> dict[str, NDArray[np.bool_]]:
    names = np.array([name or "unnamed" for name in datasets])
    found = {str(name): names == name for name in sorted(set(names))}
    return found if len(found) == 1 else {**found, ALL: np.ones(len(names), bool)}


def _score_values(scores: Sequence[ItemScore]) -> NDArray[np.float64]:
    return np.array([np.nan if score.score is None else score.score for score in scores], np.float64)


def _unsure_values(scores: Sequence[ItemScore]) -> NDArray[np.float64]:
    return np.array(
        [np.nan if one.verdict is None else float(one.verdict == INCONCLUSIVE) for one in scores], np.float64
    )


def _is_wrong(label: int, score: float, threshold: float) -> bool:
    return (score >= threshold) != (label == 1)


def _success(label: int, score: float | None, threshold: float) -> str:
    """1 or 0; empty where there is no score."""
    return "" if score is None else str(int(_is_wrong(label, score, threshold)))
