"""The networks' training loop: AdamW on a one-cycle schedule, averaged weights, checkpoints that resume to the same ones.

Order, augmentation and dropout are functions of (seed, epoch, position), so a run that was stopped and resumed takes the
same steps as one that was not. The state file holds tensors and plain values only and is read with `weights_only=True`.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_text, write_atomic
from forensics.common.metrics import auc
from forensics.common.progress import Progress
from forensics.common.seeds import rng_for
from forensics.detectors.cnn_network import FaceNetwork
from forensics.detectors.protocol import logit
from forensics.training.config import TrainConfig
from forensics.training.crops import Crops
from forensics.training.heads import Head
from forensics.training.initial import initial_fingerprint
from forensics.training.plan import plan_epoch

SAVE_EVERY_STEPS = 100
WARM_UP_SHARE = 0.1
AUGMENT_STREAM = 2
LOG_EVERY_STEPS = 50


class EpochDataset(Dataset[tuple[torch.Tensor, float]]):
    """The crops of one epoch in planned order, augmented, from a position on."""

    def __init__(self, crops: Crops, order: list[int], epoch: int, start: int, seed: int, head: Head) -> None:
        self._crops, self._order, self._epoch, self._start, self._seed, self._head = (
            crops, order, epoch, start, seed, head,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._order) - self._start

    def __getitem__(self, position: int) -> tuple[torch.Tensor, float]:
        place = position + self._start
        index = self._order[place]
        rng = rng_for(self._seed, AUGMENT_STREAM, self._epoch, place)
        view = self._head.view(self._crops[index], self._head.input_px, rng)
        return view, float(self._crops.items[index].label)


class CnnTrainer:
    """Trains the network of a head on crops; `folder` receives state.pt and log.jsonl."""

    def __init__(self, config: TrainConfig, head: Head, folder: Path, device: torch.device, progress: Progress) -> None:
        self._config, self._head, self._folder, self._device, self._progress = config, head, folder, device, progress
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        self.network = head.network().to(device).to(memory_format=torch.channels_last)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self._optimizer = torch.optim.AdamW(_decay_groups(self.network, config.weight_decay), lr=head.learning_rate)
        self.step = 0

    def fit(self, train: Crops, dev: Crops) -> None:
        """All epochs from the saved step on. Dev decides nothing here: it is scored after each epoch and logged."""
        head = self._head
        plans = [
            plan_epoch(train.items, e, self._config.seed, head.family_floor, head.max_repeat, head.family_cap)
            for e in range(head.epochs)
        ]
        steps_per_epoch = len(plans[0]) // self._config.batch_size
        if steps_per_epoch == 0:
            raise UsageError(f"{len(plans[0])} training crops do not fill one batch", "use a smaller --batch-size")
        total = steps_per_epoch * head.epochs
        fingerprint = run_fingerprint(self._config, head, train)
        self._load_state(fingerprint)
        self._forget_later_rows()
        if self.step >= total:
            self._progress.say(f"{head.name}: nothing left to train: step {self.step} of {total}")
        with self._progress.task(f"training {head.name}", total) as advance:
            advance(self.step)
            if self.step and self.step % steps_per_epoch == 0 and not self._is_validated():
                self._validate(dev, self.step // steps_per_epoch)  # stopped between the last save and this
            for epoch in range(self.step // steps_per_epoch, head.epochs):
                for pictures, labels in self._batches(train, plans[epoch], epoch, self.step % steps_per_epoch):
                    loss = self._take_step(pictures, labels, total)
                    advance(1)
                    if self.step % LOG_EVERY_STEPS == 0:
                        self._log({"step": self.step, "epoch": self.step / steps_per_epoch, "loss": round(loss, 4)})
                    if self.step % SAVE_EVERY_STEPS == 0 or self.step == total:
                        self._save_state(fingerprint)
                self._validate(dev, epoch + 1)
        self.network.load_state_dict(self.average)

    def _batches(
        self, crops: Crops, order: list[int], epoch: int, first: int
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        data = EpochDataset(crops, order, epoch, first * self._config.batch_size, self._config.seed, self._head)
        loader: DataLoader[tuple[torch.Tensor, float]] = DataLoader(
            data, self._config.batch_size, drop_last=True, num_workers=self._config.workers, worker_init_fn=_one_thread
        )
        yield from loader

    def _take_step(self, pictures: torch.Tensor, labels: torch.Tensor, total: int) -> float:
        x = pictures.to(self._device, memory_format=torch.channels_last)
        y = labels.to(self._device, torch.float32)
        for group in self._optimizer.param_groups:
            group["lr"] = self._head.learning_rate * one_cycle(self.step / total)
        torch.manual_seed(self._config.seed * 1_000_003 + self.step)  # dropout of this step, wherever the run began
        self.network.train()
        with torch.autocast(self._device.type, torch.bfloat16, enabled=uses_bfloat16(self._config, self._device)):
            logits = self.network(x)
        loss = F.binary_cross_entropy_with_logits(logits.float(), y)
        if not torch.isfinite(loss):
            raise UsageError(f"the loss is not finite at step {self.step}", "use a smaller --learning-rate")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._optimizer.step()
        self.step += 1
        self._update_average()
        return float(loss.detach())

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self._config.ema_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def _validate(self, dev: Crops, epoch: int) -> None:
        current = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        logits = score_crops(self._head, self.network, dev, self._device)
        self.network.load_state_dict(current)
        row: dict[str, float] = {"step": self.step, "epoch": epoch}
        labels = np.array([item.label for item in dev.items])
        for name in sorted({item.dataset for item in dev.items}):
            rows = np.array([item.dataset == name for item in dev.items])
            if 0 < labels[rows].sum() < rows.sum():
                row[f"dev_auc[{name}]"] = round(auc(labels[rows], logits[rows]), 4)
        self._log(row)
        self._progress.say("  ".join(f"{key} {value}" for key, value in row.items()))

    def _rows(self) -> list[dict[str, float]]:
        path = self._folder / "log.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def _is_validated(self) -> bool:
        return any(row["step"] == self.step and "loss" not in row for row in self._rows())

    def _forget_later_rows(self) -> None:
        """Steps after the saved one are taken again: their rows would stand in the log twice."""
        rows = self._rows()
        kept = [row for row in rows if row["step"] <= self.step]
        if len(kept) < len(rows):
            write_atomic(self._folder / "log.jsonl", "".join(json.dumps(row) + "\n" for row in kept))

    def _log(self, row: dict[str, float]) -> None:
        with (self._folder / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def _save_state(self, fingerprint: str) -> None:
        state = {
            "fingerprint": fingerprint,
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average,
            "optimizer": self._optimizer.state_dict(),
        }
        temporary = self._folder / "state.pt.tmp"
        torch.save(state, temporary)
        temporary.replace(self._folder / "state.pt")

    def _load_state(self, fingerprint: str) -> None:
        path = self._folder / "state.pt"
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=self._device, weights_only=True)
        except Exception as error:
            raise WeightsError(f"{path} cannot be read: {error}", "delete it to train from the start") from error
        if state["fingerprint"] != fingerprint:
            raise UsageError(
                f"{self._folder} holds a run made by an earlier version, or with other options or other data",
                "use another --output, or delete its state.pt",
            )
        self.network.load_state_dict(state["network"])
        self.average = state["average"]
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        self._progress.say(f"{self._head.name}: resumed at step {self.step}")


def run_fingerprint(config: TrainConfig, head: Head, crops: Crops) -> str:
    """SHA-256 over all that decides a network's steps: its options, where it starts, and the crops with their pixels."""
    fields = [
        head.name, head.framing, head.input_px, head.epochs, head.learning_rate, head.family_floor, head.max_repeat,
        head.family_cap, head.backbone, initial_fingerprint(head.init), config.batch_size, config.weight_decay,
        config.ema_decay, config.seed, crops.sha256,
    ]  # fmt: skip
    return sha256_of_text(json.dumps(fields))


def score_crops(head: Head, network: FaceNetwork, crops: Crops, device: torch.device) -> np.ndarray:
    """Logits (N,) float64 of crops, as a scan computes them."""
    detector = head.detector(network, device)
    try:
        return logit(detector.score([crops[i] for i in range(len(crops))]))
    finally:
        network.requires_grad_(True)


def one_cycle(progress: float) -> float:
    """Learning rate as a share of its peak: linear up over the first tenth, then half a cosine down to zero."""
    if progress < WARM_UP_SHARE:
        return 0.04 + 0.96 * progress / WARM_UP_SHARE
    return float(0.5 * (1 + np.cos(np.pi * (progress - WARM_UP_SHARE) / (1 - WARM_UP_SHARE))))


def uses_bfloat16(config: TrainConfig, device: torch.device) -> bool:
    """bf16 where it is asked for, or, by default, where the processor computes it natively."""
    if config.precision != "auto":
        return config.precision == "bfloat16"
    if device.type == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return device.type == "cuda"


def _decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    decayed = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _one_thread(_worker: int) -> None:
    import cv2

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
