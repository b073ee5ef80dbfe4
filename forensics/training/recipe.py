"""The whole recipe of a set of weights: crops -> networks, linear models -> fusion, calibration on dev -> test figures.

What it writes into the output folder can be used at once with `forensics scan --weights DIR`: model.json, which makes the
folder a set of weights, comes last. A second call with the same options resumes where the first one stopped.
"""

import json
from functools import partial
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import numpy as np
import torch

from forensics import __version__
from forensics.common.errors import ManifestError, UsageError
from forensics.common.files import write_atomic
from forensics.common.manifest import Item
from forensics.common.operating_point import OperatingPoint
from forensics.common.progress import Progress
from forensics.config import ScanConfig
from forensics.detectors import durall, frank, spectrum
from forensics.detectors.cnn_network import save_network
from forensics.detectors.devices import resolve_device
from forensics.detectors.linear import save_arrays
from forensics.detectors.model_set import (
    DEFAULT_DETECTOR,
    DESCRIPTION,
    SELFTEST_PICTURE,
    Calibration,
    Domain,
    ModelSet,
    WeightFile,
)
from forensics.detectors.protocol import sigmoid
from forensics.faces.mtcnn import MtcnnDetector
from forensics.report.store import RUN_FILE, OutputFolder
from forensics.scan import Scanner
from forensics.training.calibrate import (
    Thresholds,
    balanced_weights,
    choose_thresholds,
    fit_calibration,
    operating_point,
)
from forensics.training.card import card_text
from forensics.training.config import FUSED, TRAINABLE, TrainConfig
from forensics.training.crops import Crops, load_crops
from forensics.training.curve import curve_svg
from forensics.training.evaluate import ScoredItems, metrics_of, score_items
from forensics.training.heads import heads_of
from forensics.training.linear_fit import check_groups, fit_durall, fit_frank
from forensics.training.loop import CnnTrainer
from forensics.training.spectrum_fit import features_of, fit_spectrum

# Smaller crops were hardly in the training data; see the median sizes in the card.
MIN_CROP_PX = 64
# Blurrier than this share of the dev split is outside of what the error rates were measured on.
BLUR_QUANTILE = 0.01
# What a run's folder holds beside a folder and a file of weights per detector.
CONFIG_FILE, METRICS_FILE, CARD_FILE = "config.json", "metrics.json", "card.md"
CROPS_FOLDER = "crops"
# Options that the config.json of every version has: any other file of that name is not taken for ours.
EARLIEST_OPTIONS = {"backbone", "init", "batch_size", "seed"}
NOT_DECIDED = Thresholds(1.0, 0.0)


def run_recipe(
    config: TrainConfig, items: list[Item], output: Path, licence: str, progress: Progress, overwrite: bool = False
) -> dict[str, object]:
    """Train, calibrate, evaluate; returns the test figures (also in metrics.json).

    Raises typed errors; UsageError before the first write for an `output` that cannot be written, or that holds files of
    somebody else under the names of a run's, unless `overwrite`.
    """
    train_items, dev_items = ([item for item in items if item.split == split] for split in ("train", "dev"))
    if not train_items or not dev_items:
        raise ManifestError("training needs rows of split train and of split dev", "fill the manifest's column `split`")
    check_groups(config, train_items)
    folder = run_folder(config, output, overwrite)
    folder.write(CONFIG_FILE, config.model_dump_json(indent=2) + "\n")
    if config.threads:
        torch.set_num_threads(config.threads)
    device = resolve_device(config.device)
    face_detector = MtcnnDetector(device if device.type == "cuda" else torch.device("cpu"))
    train = load_crops(train_items, output / CROPS_FOLDER / "train", face_detector, progress)
    check_groups(config, train.items)  # again, as not every picture gives a crop: now, and not after hours
    dev = load_crops(dev_items, output / CROPS_FOLDER / "dev", face_detector, progress)
    weights = _train(config, train, dev, output, device, progress)
    # Until all of it is known, the set lies beside the run: nobody is to scan with what is not calibrated.
    with TemporaryDirectory(prefix="uncalibrated-", dir=output) as name:
        interim = Path(name)
        for part in weights.values():
            copyfile(output / part.file, interim / part.file)
        metrics, description, card = _measure(config, weights, interim, licence, items, progress)
    folder.write(METRICS_FILE, json.dumps(metrics, indent=2) + "\n")
    folder.write(CARD_FILE, card)
    folder.write(DESCRIPTION, description)
    return metrics


def run_folder(config: TrainConfig, output: Path, overwrite: bool) -> OutputFolder:
    """The folder of a run, with what the run will write there claimed. Raises UsageError where that is not ours.

    A folder of an earlier version, which kept no list of its files, is known by its configuration.
    """
    folder = OutputFolder(output, overwrite or _is_earlier_run(output))
    networks = [head.name for head in heads_of(config)]
    folders = [CROPS_FOLDER, *networks]
    files = [CONFIG_FILE, METRICS_FILE, CARD_FILE, DESCRIPTION, *(f"{name}.safetensors" for name in config.detectors)]
    folder.check([*folders, *files])
    for name in (name for name in folders if (output / name).exists() and not (output / name).is_dir()):
        raise UsageError(f"{output / name} is not a folder", "choose another --output, or remove it")
    for name in [*folders, *files]:
        folder.claim(name)
    return folder


def _is_earlier_run(output: Path) -> bool:
    if (output / RUN_FILE).exists():
        return False
    try:
        config = TrainConfig.model_validate_json((output / CONFIG_FILE).read_bytes())
    except (OSError, ValueError):
        return False
    return config.model_fields_set >= EARLIEST_OPTIONS


def _measure(
    config: TrainConfig,
    weights: dict[str, WeightFile],
    folder: Path,
    licence: str,
    items: list[Item],
    progress: Progress,
) -> tuple[dict[str, object], str, str]:
    """Figures, model.json and card of the weights in `folder`, which becomes a set of weights on the way."""
    dev_items, test_items = ([item for item in items if item.split == split] for split in ("dev", "test"))
    names = tuple(weights)
    fused: list[str] = [name for name in names if name in FUSED]

    # First with raw logits, to calibrate on dev; then calibrated, to measure on test.
    raw = {name: Calibration(coefficients={name: 1.0}, intercept=0.0) for name in names}
    undecided = operating_point(NOT_DECIDED, np.empty(0), [], "none")
    everything = Domain(min_crop_px=1, min_sharpness=0)
    describe = partial(set_description, config, weights, licence, items)
    write_atomic(folder / DESCRIPTION, describe(raw, dict.fromkeys(names, undecided), everything))
    scored_dev = score_items(dev_items, folder, names, config.threads, progress)
    members_of: dict[str, list[str]] = {DEFAULT_DETECTOR: fused} if fused else {}
    members_of |= {name: [name] for name in names}
    calibrations = {
        opinion: fit_calibration({name: scored_dev.logits[name] for name in members}, scored_dev.items)
        for opinion, members in members_of.items()
    }
    thresholds = {name: _thresholds(calibration, scored_dev, config) for name, calibration in calibrations.items()}
    domain = Domain(
        min_crop_px=MIN_CROP_PX, min_sharpness=round(float(np.quantile(scored_dev.sharpness, BLUR_QUANTILE)), 2)
    )
    points = {name: operating_point(found, np.empty(0), [], "none") for name, found in thresholds.items()}
    write_atomic(folder / DESCRIPTION, describe(calibrations, points, domain))
    selftest = _selftest_logit(folder, config) if fused else None
    metrics: dict[str, object] = {"dev": metrics_of(_calibrated(scored_dev, calibrations), points, config.seed)}
    if test_items:
        scored = score_items(test_items, folder, tuple(calibrations), config.threads, progress)
        points = {
            name: operating_point(thresholds[name], sigmoid(logits), scored.items, _test_set(test_items))
            for name, logits in scored.logits.items()
        }
        metrics["test"] = metrics_of(scored, points, config.seed)
    return metrics, describe(calibrations, points, domain, selftest), card_text(metrics, calibrations, points)


def _train(
    config: TrainConfig, train: Crops, dev: Crops, output: Path, device: torch.device, progress: Progress
) -> dict[str, WeightFile]:
    """Files of all detectors that are asked for, in the order of TRAINABLE."""
    trained: dict[str, WeightFile] = {}
    for head in heads_of(config):
        trainer = CnnTrainer(config, head, output / head.name, device, progress)
        trainer.fit(train, dev)
        write_atomic(output / head.name / "curve.svg", curve_svg(output / head.name / "log.jsonl"))
        trained[head.name] = save_network(trainer.network.cpu(), output, head.name)
    if spectrum.NAME in config.detectors:
        trained[spectrum.NAME] = spectrum.save(_fit_spectrum(train, progress), output)
    if durall.NAME in config.detectors:
        arrays, strength = fit_durall(train, progress)
        trained[durall.NAME] = save_arrays(arrays, output, durall.NAME, {"inverse_penalty": strength})
    if frank.NAME in config.detectors:
        arrays, strength = fit_frank(train, progress)
        trained[frank.NAME] = save_arrays(arrays, output, frank.NAME, {"penalty": strength})
    return {name: trained[name] for name in TRAINABLE if name in trained}


def set_description(
    config: TrainConfig,
    weights: dict[str, WeightFile],
    licence: str,
    items: list[Item],
    calibrations: dict[str, Calibration],
    points: dict[str, OperatingPoint],
    domain: Domain,
    selftest_logit: float | None = None,
) -> str:
    """The contents of model.json, with which a folder is a set of weights."""
    datasets = sorted({item.dataset for item in items if item.split == "train"})
    model_set = ModelSet(
        name="+".join(weights),
        version=f"{__version__}-seed{config.seed}",
        licence=licence,
        trained_on=f"train splits of {', '.join(datasets)}",
        weights=weights,
        calibrations=calibrations,
        operating_points=points,
        domain=domain,
        selftest_logit=selftest_logit,
    )
    return model_set.model_dump_json(indent=2) + "\n"


def _selftest_logit(folder: Path, config: TrainConfig) -> float | None:
    with Scanner(ScanConfig(weights=folder, device="cpu", threads=config.threads)) as scanner:
        found = scanner.scan(SELFTEST_PICTURE, explain=False).top_logits.get(DEFAULT_DETECTOR)
    return None if found is None else round(found, 3)


def _fit_spectrum(train: Crops, progress: Progress) -> dict[str, np.ndarray]:
    labels = np.array([item.label for item in train.items])
    return fit_spectrum(features_of(train, progress), labels, balanced_weights(train.items))


def _thresholds(calibration: Calibration, scored: ScoredItems, config: TrainConfig) -> Thresholds:
    probabilities = sigmoid(calibration.fuse(scored.logits))
    return choose_thresholds(probabilities, scored.items, config.false_positive_rate, config.false_negative_rate)


def _calibrated(scored: ScoredItems, calibrations: dict[str, Calibration]) -> ScoredItems:
    logits = {name: calibration.fuse(scored.logits) for name, calibration in calibrations.items()}
    return ScoredItems(scored.items, logits, scored.sharpness, scored.missed)


def _test_set(items: list[Item]) -> str:
    datasets = sorted({item.dataset for item in items})
    return f"test splits of {', '.join(datasets)} ({len(items)} pictures)"
