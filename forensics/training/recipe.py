"""The whole recipe of a set of weights: crops -> networks, linear models -> fusion, calibration on dev -> test figures.

What it writes into the output folder can be used at once with `forensics scan --weights DIR`: model.json, which makes the
folder a set of weights, comes last. A second call with the same options resumes where the first one stopped.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

import numpy as np
import torch

from forensics.common.errors import ManifestError, UsageError
from forensics.common.files import write_atomic
from forensics.common.manifest import Item
from forensics.common.options_file import options_toml
from forensics.common.progress import Progress
from forensics.detectors import cnn, durall, frank, spectrum, texture
from forensics.detectors.cnn_network import FaceNetwork, save_network
from forensics.detectors.devices import resolve_device
from forensics.detectors.linear import save_arrays
from forensics.detectors.model_set import (
    DESCRIPTION,
    MAX_NETWORKS,
    WeightFile,
)
from forensics.faces.mtcnn import MtcnnDetector
from forensics.report.store import RUN_FILE, OutputFolder
from forensics.training.calibrate import (
    balanced_weights,
)
from forensics.training.config import MAX_SEED, TRAINABLE, TrainConfig
from forensics.training.crops import Crops, load_crops
from forensics.training.curve import curve_svg
from forensics.training.heads import Head, heads_of
from forensics.training.linear_fit import check_groups, fit_durall, fit_frank
from forensics.training.loop import CnnTrainer
from forensics.training.measure import measure
from forensics.training.spectrum_fit import features_of, fit_spectrum

# What a run's folder holds beside a folder and a file of weights per network.
CONFIG_FILE, RECIPE_FILE, METRICS_FILE, CARD_FILE = "config.json", "recipe.toml", "metrics.json", "card.md"
CROPS_FOLDER = "crops"
# Options that the config.json of every version has: any other file of that name is not taken for ours.
EARLIEST_OPTIONS = {"backbone", "init", "batch_size", "seed"}


def run_recipe(
    config: TrainConfig,
    items: list[Item],
    output: Path,
    licence: str,
    progress: Progress,
    overwrite: bool = False,
    crops: Path | None = None,
) -> dict[str, object]:
    """Train, calibrate, evaluate; returns the test figures (also in metrics.json).

    crops: a folder where face crops are kept for several runs, instead of the run's own. Raises typed errors; UsageError
    before the first write for an `output` that cannot be written, or that holds files of somebody else under the names of a
    run's, unless `overwrite`.
    """
    # Pictures that are judged as a whole have no face to train on: they are there to be measured.
    faces = [item for item in items if item.view != "whole"]
    train_items, dev_items = ([item for item in faces if item.split == split] for split in ("train", "dev"))
    if not train_items or not dev_items:
        raise ManifestError("training needs rows of split train and of split dev", "fill the manifest's column `split`")
    _check(config, [train_items[i] for i in _kept_rows(train_items, config.left_out)], dev_items)
    _check_names("--texture-fakes", config.texture_fakes, train_items)
    folder = run_folder(config, output, overwrite)
    folder.write(CONFIG_FILE, config.model_dump_json(indent=2) + "\n")
    folder.write(RECIPE_FILE, options_toml(config))
    if config.threads:
        torch.set_num_threads(config.threads)
    device = resolve_device(config.device)
    face_detector = MtcnnDetector(device if device.type == "cuda" else torch.device("cpu"))
    crops = crops or output / CROPS_FOLDER
    train = load_crops(train_items, crops / "train", face_detector, progress)
    dev = load_crops(dev_items, crops / "dev", face_detector, progress)
    # Again, as not every picture gives a crop: now, and not after hours.
    _check(config, without_fakes_of(train, config.left_out).items, dev.items)
    weights = _train(config, train, dev, output, device, progress)
    # Until all of it is known, the set lies beside the run: nobody is to scan with what is not calibrated.
    with TemporaryDirectory(prefix="uncalibrated-", dir=output) as name:
        interim = Path(name)
        for part in weights.values():
            for file in part.hashes:
                copyfile(output / file, interim / file)
        measured = measure(config, weights, interim, licence, items, progress)
    folder.write(METRICS_FILE, json.dumps(measured.metrics, indent=2) + "\n")
    folder.write(CARD_FILE, measured.card)
    folder.write(DESCRIPTION, measured.description)
    # Of an earlier run that had more of them; their folders stay, for a later one.
    for i in range(config.cnn_networks, MAX_NETWORKS):
        folder.discard(f"{cnn.member_name(i)}.safetensors")
    return measured.metrics


def _check(config: TrainConfig, train: Sequence[Item], dev: Sequence[Item]) -> None:
    """Raise ManifestError where the splits lack what the detectors are fitted on: both classes, groups of them."""
    known = {item.label for item in train}
    missing = [name for name in config.detectors if known != {0, 1} and not (name == cnn.NAME and config.blendings)]
    if missing or 0 not in known:
        raise ManifestError(
            f"{', '.join(missing or config.detectors)}: the train split needs real and fake pictures",
            "of reals alone `--detectors cnn` can be trained, with pseudo-fakes such as --self-blends 0.4",
        )
    families = config.texture_families
    if families and not any(item.label and item.dataset in families for item in train):
        raise ManifestError(
            f"{texture.NAME}: there are no fakes of {', '.join(families)} to train on",
            "name others with --texture-fakes",
        )
    if {item.label for item in dev} != {0, 1}:
        raise ManifestError(
            "the dev split needs real and fake pictures: calibration and thresholds are fitted on it",
            "fill the manifest's columns `split` and `label`",
        )
    check_groups(config, train)


def without_fakes_of(crops: Crops, datasets: Sequence[str]) -> Crops:
    """The crops without the fakes of some data sets. Raises UsageError for a data set that is not there."""
    return crops.only(_kept_rows(crops.items, datasets))


def _kept_rows(items: Sequence[Item], left_out: Sequence[str]) -> list[int]:
    """Rows of all but the fakes of the data sets that are left out. Raises UsageError for one that is not there."""
    _check_names("--left-out", left_out, items)
    return [i for i, item in enumerate(items) if item.label == 0 or item.dataset not in left_out]


def _check_names(option: str, names: Sequence[str], items: Sequence[Item]) -> None:
    """Raise UsageError for a data set that is not there."""
    for name in names:
        if not any(item.dataset == name for item in items):
            known = ", ".join(sorted({item.dataset for item in items}))
            raise UsageError(f"{option} {name}: no such data set among those trained on", f"there are: {known}")


def run_folder(config: TrainConfig, output: Path, overwrite: bool) -> OutputFolder:
    """The folder of a run, with what the run will write there claimed. Raises UsageError where that is not ours.

    A folder of an earlier version, which kept no list of its files, is known by its configuration.
    """
    folder = OutputFolder(output, overwrite or _is_earlier_run(output))
    others = [cnn.member_name(i) for i in range(1, config.cnn_networks)] if cnn.NAME in config.detectors else []
    folders = [CROPS_FOLDER, *(head.name for head in heads_of(config)), *others]
    files = [CONFIG_FILE, RECIPE_FILE, METRICS_FILE, CARD_FILE, DESCRIPTION]
    files += [f"{name}.safetensors" for name in [*config.detectors, *others]]
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


def _train(
    config: TrainConfig, train: Crops, dev: Crops, output: Path, device: torch.device, progress: Progress
) -> dict[str, WeightFile]:
    """Files of all detectors that are asked for, in the order of TRAINABLE."""
    trained: dict[str, WeightFile] = {}

    def network_of(head: Head, folder: Path, seed: int) -> FaceNetwork:
        trainer = CnnTrainer(config.model_copy(update={"seed": seed}), head, folder, device, progress)
        trainer.fit(train, dev)
        write_atomic(folder / "curve.svg", curve_svg(folder / "log.jsonl"))
        return trainer.network.cpu()

    for head in heads_of(config):
        if head.name == cnn.NAME:
            networks = []
            for i in range(config.cnn_networks):
                if config.cnn_networks > 1:
                    progress.say(f"{cnn.NAME}: network {i + 1} of {config.cnn_networks}")
                networks.append(network_of(head, output / cnn.member_name(i), (config.seed + i) % (MAX_SEED + 1)))
            trained[head.name] = cnn.save(networks, output, config.stored_as)
            continue
        network = network_of(head, output / head.name, config.seed)
        trained[head.name] = (
            texture.save(network, output, head.sees, config.stored_as)
            if head.name == texture.NAME
            else save_network(network, output, head.name)
        )
    train = without_fakes_of(train, config.left_out)  # the networks' plans do this by themselves
    if spectrum.NAME in config.detectors:
        trained[spectrum.NAME] = spectrum.save(_fit_spectrum(train, progress), output)
    if durall.NAME in config.detectors:
        arrays, strength = fit_durall(train, progress)
        trained[durall.NAME] = save_arrays(arrays, output, durall.NAME, {"inverse_penalty": strength})
    if frank.NAME in config.detectors:
        arrays, strength = fit_frank(train, progress)
        trained[frank.NAME] = save_arrays(arrays, output, frank.NAME, {"penalty": strength})
    return {name: trained[name] for name in TRAINABLE if name in trained}


def _fit_spectrum(train: Crops, progress: Progress) -> dict[str, np.ndarray]:
    labels = np.array([item.label for item in train.items])
    return fit_spectrum(features_of(train, progress), labels, balanced_weights(train.items))
