"""What each ingredient of the detectors' recipe is worth: short trainings with one of them changed, at one budget.

    python tests/bench/bench_recipes.py --data dfdc/manifest.csv --data ... --output runs/recipes [--only NAME ...]

Every variant is the base with the options that its line names, trained for about as many seconds as the others (steps are
fixed, so that a run can be repeated; they follow from the pictures a second of that network on two quiet cores). The first
table is of dev; with --split test it is of test, for the protocols that leave families out. AUC per data set with its 95 %
interval by bootstrap over clusters (shared source or identity), clean and after JPEG 50, H.264 CRF 35, half size and back.
A run that was stopped goes on where it was; finished ones are not trained again. Crops are kept in OUTPUT/crops.

With --people 0.25 training sees a quarter of the people alone: a few minutes are then many passes over them, as a long
training is over all, and what helps against learning people by heart shows. --times 2 takes twice the steps of each.

Rows `X and texture` are of two networks that left out the same family: the mean of their logits, nothing fitted. Rates are
of scoring crops that are in memory, in float32, mirror images included where the detector takes them.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from forensics.common.files import sha256_of_text, write_atomic
from forensics.common.manifest import Item, read_manifest
from forensics.common.metrics import auc_with_interval
from forensics.common.progress import Progress
from forensics.detectors.cnn_network import fold_norms
from forensics.detectors.protocol import logit
from forensics.faces.mtcnn import MtcnnDetector
from forensics.faces.types import Frame
from forensics.perturb import h264, jpeg, resize_and_restore
from forensics.training.config import TrainConfig
from forensics.training.crops import Crops, load_crops
from forensics.training.evaluate import as_dict, clusters_of_items
from forensics.training.heads import heads_of
from forensics.training.loop import CnnTrainer

NO_BLENDS: dict[str, object] = {"self_blends": 0.0, "warp_blends": 0.0, "part_blends": 0.0, "face_blends": 0.0}
BASE: dict[str, object] = {"detectors": ("cnn",), "epochs": 1000.0, "max_steps": 560}
TEXTURE: dict[str, object] = {
    "detectors": ("texture",),
    "texture_epochs": 1000.0,
    "texture_px": 160,
    "texture_scored_px": 256,
}
REAL_FAMILIES = ("dfdc", "ffhq_stylegan", "photoshop", "text_to_image")
OWN_FAMILIES = ("own_swaps", "own_gans")
FEW: dict[str, object] = {"self_blends": 0.1, "warp_blends": 0.05, "part_blends": 0.05, "face_blends": 0.05}
# Other backbones begin without ImageNet weights, as lite0 does in the row to compare them with.
SCRATCH: dict[str, dict[str, object]] = {
    "tf_efficientnet_lite0": {}, "resnet18": {"max_steps": 700}, "mobilenetv4_conv_small": {"max_steps": 1100},
}  # fmt: skip
VARIANTS: dict[str, dict[str, object]] = {
    "no pseudo-fakes": NO_BLENDS,
    "self-blends alone": {**NO_BLENDS, "self_blends": 0.4},
    "all pseudo-fakes": {},
    "more pseudo-fakes": {"self_blends": 0.8, "warp_blends": 0.2, "part_blends": 0.2, "face_blends": 0.2},
    "seed 1": {"seed": 1},
    "few pseudo-fakes": FEW,
    "few pseudo-fakes, seed 1": {**FEW, "seed": 1},
    "128 px": {"input_px": 128, "max_steps": 800},
    "128 px, then 192": {"input_px": 192, "early_px": 128, "max_steps": 560},
    "192 px": {"input_px": 192, "max_steps": 400},
    "224 px": {"input_px": 224, "max_steps": 280},
    "sharpness-aware": {**FEW, "sam_radius": 0.05, "max_steps": 280},
    "sharpness-aware by half": {**FEW, "sam_radius": 0.05, "sam_share": 0.5, "max_steps": 375},
    "stochastic depth": {**FEW, "drop_path_rate": 0.2},
    "no real fakes": {
        "left_out": (*REAL_FAMILIES, "own_gans"),
        "self_blends": 1.0, "warp_blends": 0.25, "part_blends": 0.25, "face_blends": 0.25,
    },
    **{f"without {name}": {**FEW, "left_out": (name,)} for name in (*REAL_FAMILIES, *OWN_FAMILIES)},
    **{name: {**FEW, "backbone": name, "init": "none", "learning_rate": 1e-3, **more} for name, more in SCRATCH.items()},
    "texture": TEXTURE,
    "texture npr": {**TEXTURE, "texture_filter": "npr"},
    "texture highpass": {**TEXTURE, "texture_filter": "highpass"},
    "texture 128 px": {**TEXTURE, "texture_px": 128, "max_steps": 800},
    **{f"texture without {name}": {**TEXTURE, "left_out": (name,)} for name in (*REAL_FAMILIES, *OWN_FAMILIES)},
}  # fmt: skip
Conditions = dict[str, Callable[[Frame], Frame]]
CONDITIONS: Conditions = {
    "clean": lambda crop: crop,
    "jpeg:50": lambda crop: jpeg(crop, 50),
    "h264:35": lambda crop: h264(crop, 35.0),
    "resize:0.5": lambda crop: resize_and_restore(crop, 0.5),
}


def main() -> None:
    """Train what is not there yet, score, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, metavar="MANIFEST")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--crops", type=Path, help="where face crops are kept (default: OUTPUT/crops)")
    parser.add_argument("--only", action="append", default=[], help="a variant's name; may be repeated")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument(
        "--set", action="append", default=[], metavar="OPTION=VALUE", help="for all variants (JSON values)"
    )
    parser.add_argument(
        "--condition", action="append", default=[], choices=list(CONDITIONS), help="judge these alone; may be repeated"
    )
    parser.add_argument("--people", type=float, default=1.0, metavar="SHARE", help="of those trained on")
    parser.add_argument("--times", type=float, default=1.0, help="as many steps")
    arguments = parser.parse_args()
    conditions = {name: CONDITIONS[name] for name in arguments.condition or CONDITIONS}
    items = [item for name in arguments.data for item in read_manifest(Path(name)) if item.view != "whole"]
    kept = arguments.crops or arguments.output / "crops"
    train, dev = (_crops(items, split, kept) for split in ("train", "dev"))
    train = train.only([i for i, item in enumerate(train.items) if _number_of(item) < arguments.people])
    judged = dev if arguments.split == "dev" else _crops(items, "test", kept)
    changed = {key: json.loads(value) for key, _, value in (text.partition("=") for text in arguments.set)}
    rows: dict[str, dict[str, object]] = {}
    for name in arguments.only or VARIANTS:
        options = {**BASE, **VARIANTS[name], **changed}
        options["max_steps"] = round(options["max_steps"] * arguments.times)
        config = TrainConfig.model_validate(options)
        if config.cnn_networks > 1 or config.stored_as != "float16":
            parser.error("one network of float32 is measured: leave out cnn_networks and stored_as")
        folder = arguments.output / name.replace(" ", "-")
        rows[name] = _row(config, folder, train, dev, judged, arguments.split, conditions)
        print(_table({name: rows[name]}), flush=True)
    for name in list(rows):
        other = rows.get(f"texture {name}")
        if other is not None and "clean" in conditions:
            rows[f"{name} and texture"] = _joined(rows[name], other, judged)
    print(_table(rows))


def _crops(items: list[Item], split: str, folder: Path) -> Crops:
    chosen = [item for item in items if item.split == split]
    return load_crops(chosen, folder / split, MtcnnDetector(torch.device("cpu")), Progress(True))


def _number_of(item: Item) -> float:
    """A number in [0, 1) for each person (source, picture, where no person is stated), the same in every run."""
    name = f"{item.dataset}|{item.identity or item.source or item.path.name}"
    return int(sha256_of_text(name)[:8], 16) / 16**8


def _row(
    config: TrainConfig, folder: Path, train: Crops, dev: Crops, judged: Crops, split: str, conditions: Conditions
) -> dict[str, object]:
    """Figures of a variant, from its folder where they are known for the same options and pictures."""
    file = folder / f"{split}.json"
    options = {
        **config.model_dump(mode="json", exclude={"cnn_networks", "stored_as"}),  # one network, before it is stored
        "trained_on": train.sha256,
        "judged": judged.sha256,
        "conditions": list(conditions),
    }
    known: dict[str, object] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if known.get("options") == options:
        return known
    head = heads_of(config)[0]
    started = time.monotonic()
    trainer = CnnTrainer(config, head, folder, torch.device("cpu"), Progress(True))
    trainer.fit(train, dev)
    # Of a run that was stopped these are the seconds since it went on: the tables' times are of runs in one go.
    row: dict[str, object] = {"options": options, "seconds": round(time.monotonic() - started), "steps": trainer.step}
    network = head.network().eval()  # as a set of weights is loaded, without what makes training faster
    network.load_state_dict(trainer.network.state_dict())
    fold_norms(network)
    row["megabytes"] = round(sum(p.numel() for p in network.parameters()) * 2 / 1e6, 1)
    detector = head.detector(network, torch.device("cpu"))
    for condition, change in conditions.items():
        pictures = [change(np.ascontiguousarray(judged.seen(i, head.sees))) for i in range(len(judged))]
        started = time.monotonic()
        logits = logit(detector.score(pictures))
        if condition == "clean":
            row["pictures_per_s"] = round(len(judged) / (time.monotonic() - started), 1)
            row["logits"] = [round(float(value), 5) for value in logits]
        row[condition] = _aucs(judged, logits)
    write_atomic(file, json.dumps(row, indent=2))
    return row


def _joined(row: dict[str, object], other: dict[str, object], judged: Crops) -> dict[str, object]:
    """Figures of the mean logit of two networks, on unchanged pictures."""
    logits = np.mean([one["logits"] for one in (row, other)], 0)
    return {"clean": _aucs(judged, logits), "seconds": f"{row['seconds']} + {other['seconds']}"}


def _aucs(crops: Crops, logits: np.ndarray) -> dict[str, dict[str, float]]:
    found = {}
    for name in sorted({item.dataset for item in crops.items}):
        rows = [i for i, item in enumerate(crops.items) if item.dataset == name]
        labels = [crops.items[i].label for i in rows]
        if len(set(labels)) == 2:
            clusters = clusters_of_items([crops.items[i] for i in rows])
            found[name] = as_dict(auc_with_interval(labels, logits[rows].tolist(), clusters, 0))
    return found


def _table(rows: dict[str, dict[str, object]]) -> str:
    lines = []
    for name, row in rows.items():
        for condition in CONDITIONS:
            aucs = row.get(condition)
            if not isinstance(aucs, dict):
                continue
            cells = " | ".join(f"{key} {a['value']:.3f} [{a['low']:.3f}, {a['high']:.3f}]" for key, a in aucs.items())
            speed = f"{row['pictures_per_s']} /s | {row['megabytes']} MB" if "megabytes" in row else "- | -"
            lines.append(f"| {name} | {condition} | {cells} | {row['seconds']} s | {speed} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
