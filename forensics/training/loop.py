"""The networks' training loop: AdamW on a one-cycle schedule, averaged weights, checkpoints that resume to the same ones.

A batch holds whole pairs of real and fake. With `sam_radius` a step is sharpness-aware (SAM, Foret et al. 2021, arXiv
2010.01412): the gradient is taken where the loss is greatest nearby, at twice the cost; with `sam_share` the way there is
taken from a part of the batch, for less (smaller parts make better ones, section 4.1 there).
Order, augmentation and dropout are functions of (seed, epoch, position), so a run that was stopped and resumed takes the
same steps as one that was not. The state file holds tensors and plain values only and is read with `weights_only=True`.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
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
from forensics.detectors.engines.choice import EngineChoice, Precision
from forensics.detectors.protocol import logit
from forensics.training.config import TrainConfig
from forensics.training.crops import Crops
from forensics.training.depthwise import speed_up_depthwise
from forensics.training.heads import Head
from forensics.training.initial import initial_fingerprint
from forensics.training.pairs import pictures_of
from forensics.training.plan import Pair, plan_epoch

SAVE_EVERY_STEPS = 100
WARM_UP_SHARE = 0.1
AUGMENT_STREAM = 2
BLEND_STREAM = 3
LOG_EVERY_STEPS = 50


class EpochDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Pairs of an epoch in planned order, from a position on: (n, 3, H, W) pictures, augmented alike, and (n,) labels.

    The first `n_early` pairs of the epoch come in the size of the training's first part (progressive resizing, Tan and Le
    2021, arXiv 2104.00298, section 4).
    """

    def __init__(
        self, crops: Crops, pairs: list[Pair], epoch: int, start: int, seed: int, head: Head, n_early: int = 0
    ) -> None:
        self._n_early = n_early
        self._crops, self._pairs, self._epoch, self._start, self._seed, self._head = (
            crops, pairs, epoch, start, seed, head,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self._pairs) - self._start

    def __getitem__(self, position: int) -> tuple[torch.Tensor, torch.Tensor]:
        place = position + self._start
        rng = rng_for(self._seed, BLEND_STREAM, self._epoch, place)
        pictures = pictures_of(self._crops, self._pairs[place], self._head.sees, rng)
        side = self._head.early_px if place < self._n_early else self._head.input_px
        views = [
            self._head.view(picture, side, rng_for(self._seed, AUGMENT_STREAM, self._epoch, place))
            for picture, _ in pictures
        ]
        return torch.stack(views), torch.tensor([float(label) for _, label in pictures])


def _batch(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.cat([pictures for pictures, _ in pairs]), torch.cat([labels for _, labels in pairs])


class CnnTrainer:
    """Trains the network of a head on crops; `folder` receives state.pt and log.jsonl."""

    def __init__(self, config: TrainConfig, head: Head, folder: Path, device: torch.device, progress: Progress) -> None:
        self._config, self._head, self._folder, self._device, self._progress = config, head, folder, device, progress
        folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(config.seed)
        self.network = head.network().to(device).to(memory_format=torch.channels_last)
        if device.type == "cpu":
            speed_up_depthwise(self.network)
        self.average = _copied(self.network.state_dict())
        # One pass over all weights instead of one for each of its terms: a sixth of a small network's step on a CPU.
        self._optimizer = torch.optim.AdamW(
            _decay_groups(self.network, config.weight_decay),
            lr=head.learning_rate,
            fused=device.type in ("cpu", "cuda"),
        )
        self.step = 0
        self._best: dict[str, torch.Tensor] = {}
        self._best_step, self._best_auc = 0, -1.0

    def fit(self, train: Crops, dev: Crops) -> None:
        """All epochs from the saved step on. Dev is scored after each; it decides when to stop if `patience` says so.

        Dev is always scored in the network's own size: figures from the time of small pictures are low.
        """
        head, pairs_per_batch = self._head, self._config.batch_size // 2
        steps_per_epoch = len(self._plan(train, 0)) // pairs_per_batch
        if steps_per_epoch == 0:
            raise UsageError(
                f"{len(self._plan(train, 0))} training pairs do not fill one batch", "use a smaller --batch-size"
            )
        total = max(1, round(steps_per_epoch * head.epochs))
        total = min(total, self._config.max_steps or total)
        fingerprint = run_fingerprint(self._config, head, train, dev, self._device)
        self._load_state(fingerprint)
        self._forget_later_rows()
        if self.step >= total:
            self._progress.say(f"{head.name}: nothing left to train: step {self.step} of {total}")
        with self._progress.task(f"training {head.name}", total) as advance:
            advance(self.step)
            while self.step < total and not self._is_over(steps_per_epoch):
                epoch, first = divmod(self.step, steps_per_epoch)
                if first == 0 and self.step and not self._is_validated():
                    self._validate(dev, epoch, fingerprint)  # stopped between the last save and this
                    continue
                n_early = max(0, round(head.early_share * total) - epoch * steps_per_epoch) * pairs_per_batch
                for pictures, labels in self._batches(train, self._plan(train, epoch), epoch, first, n_early):
                    loss = self._take_step(pictures, labels, total)
                    advance(1)
                    if self.step % LOG_EVERY_STEPS == 0:
                        self._log({"step": self.step, "epoch": self.step / steps_per_epoch, "loss": round(loss, 4)})
                    if self.step % SAVE_EVERY_STEPS == 0 or self.step == total:
                        self._save_state(fingerprint)
                    if self.step == total:
                        break
                if self.step % steps_per_epoch == 0 or self.step == total:
                    self._validate(dev, self.step / steps_per_epoch, fingerprint)
        if self.step == total and not self._is_validated():
            self._validate(dev, self.step / steps_per_epoch, fingerprint)
        if self._best:
            self._progress.say(
                f"{head.name}: kept the weights of step {self._best_step} (mean dev AUC {self._best_auc:.4f})"
            )
        self.network.load_state_dict(self._best or self.average)

    def _plan(self, crops: Crops, epoch: int) -> list[Pair]:
        head = self._head
        return plan_epoch(
            crops.items, epoch, self._config.seed, head.family_floor, head.max_repeat, head.family_cap, head.blendings,
            head.left_out(crops.items, self._config.left_out), head.reals_cap,
        )  # fmt: skip

    def _is_over(self, steps_per_epoch: int) -> bool:
        """Whether dev has not improved for as many epochs as patience allows."""
        patience = self._config.patience
        has_waited = self._best_step > 0 and self.step - self._best_step >= patience * steps_per_epoch
        return bool(patience) and has_waited and self._is_validated()

    def _batches(
        self, crops: Crops, pairs: list[Pair], epoch: int, first: int, n_early: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        per_batch = self._config.batch_size // 2
        data = EpochDataset(crops, pairs, epoch, first * per_batch, self._config.seed, self._head, n_early)
        loader: DataLoader[tuple[torch.Tensor, torch.Tensor]] = DataLoader(
            data, per_batch, drop_last=True, num_workers=self._config.workers, worker_init_fn=_one_thread,
            collate_fn=_batch,
        )  # fmt: skip
        threads = cv2.getNumThreads()
        if self._config.workers:
            # Before the fork: a child that has no threads of its own would wait for those of its parent to end.
            cv2.setNumThreads(1)
        try:
            yield from loader
        finally:
            cv2.setNumThreads(threads)

    def _take_step(self, pictures: torch.Tensor, labels: torch.Tensor, total: int) -> float:
        x = pictures.to(self._device, memory_format=torch.channels_last)
        y = labels.to(self._device, torch.float32)
        for group in self._optimizer.param_groups:
            group["lr"] = self._head.learning_rate * one_cycle(self.step / total)
        self.network.train()
        is_sharp = bool(self._config.sam_radius)
        first = max(2, round(len(x) * self._config.sam_share)) if is_sharp else len(x)
        loss = self._backward(x[:first], y[:first])
        if is_sharp:
            moved = self._climb(self._config.sam_radius)
            self._backward(x, y)
            with torch.no_grad():
                for parameter, change in moved:
                    parameter.sub_(change)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self._optimizer.step()
        self.step += 1
        self._update_average()
        return loss

    def _backward(self, x: torch.Tensor, y: torch.Tensor) -> float:
        """Gradients of the batch, and its loss; dropout is that of this step, wherever the run began."""
        torch.manual_seed(self._config.seed * 1_000_003 + self.step)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=uses_bfloat16(self._config, self._device)):
            # A head's view has framed them already, early ones in another size than the network's own framing would.
            logits = self.network.head(self.network.features(x))
        loss = F.binary_cross_entropy_with_logits(logits.float(), y)
        if not torch.isfinite(loss):
            raise UsageError(f"the loss is not finite at step {self.step}", "use a smaller --learning-rate")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    @torch.no_grad()
    def _climb(self, radius: float) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Move all weights by `radius` along the gradient; returns by how much each was moved."""
        graded = [p for p in self.network.parameters() if p.grad is not None]
        norm = torch.stack([p.grad.norm() for p in graded if p.grad is not None]).norm()
        moved: list[tuple[torch.Tensor, torch.Tensor]] = [
            (p, p.grad * (radius / (norm + 1e-12))) for p in graded if p.grad is not None
        ]
        for parameter, change in moved:
            parameter.add_(change)
        return moved

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self._config.ema_decay, (1 + self.step) / (10 + self.step))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def _validate(self, dev: Crops, epoch: float, fingerprint: str) -> None:
        current = _copied(self.network.state_dict())
        self.network.load_state_dict(self.average)
        quick = self._device.type == "cpu" and uses_bfloat16(self._config, self._device)
        logits = score_crops(self._head, self.network, dev, self._device, "bf16" if quick else "auto")
        self.network.load_state_dict(current)
        row: dict[str, float] = {"step": self.step, "epoch": epoch}
        labels = np.array([item.label for item in dev.items])
        for name in sorted({item.dataset for item in dev.items}):
            rows = np.array([item.dataset == name for item in dev.items])
            if 0 < labels[rows].sum() < rows.sum():
                row[f"dev_auc[{name}]"] = round(auc(labels[rows], logits[rows]), 4)
        found = [value for key, value in row.items() if key.startswith("dev_auc")]
        if self._config.patience and found and float(np.mean(found)) > self._best_auc:
            self._best, self._best_step, self._best_auc = _copied(self.average), self.step, float(np.mean(found))
        self._save_state(fingerprint)
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
            "best": self._best,
            "best_step": self._best_step,
            "best_auc": self._best_auc,
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
        if self._config.patience:
            self._best, self._best_step, self._best_auc = state["best"], int(state["best_step"]), state["best_auc"]
        self._progress.say(f"{self._head.name}: resumed at step {self.step}")


def run_fingerprint(config: TrainConfig, head: Head, crops: Crops, dev: Crops, device: torch.device) -> str:
    """SHA-256 over all that decides a network's steps: its options, where it starts, precision, crops with their pixels.

    Dev counts where it decides what is kept.
    """
    fields = [
        head.name, head.framing, head.sees, head.input_px, head.early_px or head.input_px, head.early_share,
        head.epochs, head.learning_rate, head.family_floor, head.max_repeat, head.family_cap,
        sorted(head.fakes_of), head.reals_cap, dict(head.blendings), head.backbone, initial_fingerprint(head.init),
        config.batch_size, config.max_steps, config.weight_decay, config.ema_decay, config.seed, config.drop_rate,
        config.drop_path_rate, config.sam_radius, config.sam_share,
        config.texture_filter if head.framing == "tile" else "none", sorted(config.left_out),
        uses_bfloat16(config, device), crops.sha256,
        [config.texture_scored_px, dev.sha256] if config.patience else None,
    ]  # fmt: skip
    return sha256_of_text(json.dumps(fields))


def _copied(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in state.items()}


def score_crops(
    head: Head, network: FaceNetwork, crops: Crops, device: torch.device, precision: Precision = "auto"
) -> np.ndarray:
    """Logits (N,) float64 of crops, as a scan computes them where the precision is the default one."""
    detector = head.detector(network, device)
    if precision != "auto":
        detector.use_engine(EngineChoice("torch", precision))
    try:
        return logit(detector.score([crops.seen(i, head.sees) for i in range(len(crops))]))
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
    torch.set_num_threads(1)
