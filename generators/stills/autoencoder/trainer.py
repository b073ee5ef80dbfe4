"""Training of the autoencoder: one decoder a step, in turn, against 1 - SSIM and the mean absolute difference."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from forensics.common.progress import Bar, Progress
from forensics.common.seeds import rng_for
from generators.base_game import step_seed
from generators.checkpoint import Tensors
from generators.faceswap.measures import psnr, ssim
from generators.faceswap.training.losses import ssim_map
from generators.loop import Loop, News, same_options
from generators.monitor.grid import tile
from generators.monitor.log import AutoencoderRow, RedrawnRow, append
from generators.optimizers import adam, load_tensors, tensors_of
from generators.parallel import Processes
from generators.pictures import write_png
from generators.stills.autoencoder.config import MAY_CHANGE
from generators.stills.autoencoder.network import UPSAMPLINGS, FaceAutoencoder
from generators.stills.autoencoder.redrawer import NETWORK, SYSTEM, draw
from generators.stills.autoencoder.run_record import AutoencoderRun

INIT_STREAM, BATCH_STREAM = 31, 0xAE0B
OPTIMIZER = "optimizer."
PREVIEW, PREVIEW_ROWS = "preview.png", 8
FLIP_SHARE = 0.5


class AutoencoderTrainer(Loop[NDArray[np.uint8], RedrawnRow]):
    """Trains on faces in a run folder, from its newest checkpoint on; in one process."""

    remedy = "begin again in another --output with a lower --learning-rate, or --precision float32"

    def __init__(
        self, run: AutoencoderRun, faces: NDArray[np.uint8], held_out: NDArray[np.uint8], folder: Path,
        processes: Processes, progress: Progress,
    ) -> None:  # fmt: skip
        """faces, held_out: (N, P, P, 3); none held out are allowed."""
        super().__init__("an autoencoder of faces", run.config, folder, processes, progress)
        self._run, self._config, self._faces, self._held_out = run, run.config, faces, held_out
        self._device = processes.device
        torch.manual_seed(step_seed(run.config.seed, INIT_STREAM, 0, 0))
        self.network = FaceAutoencoder(run.config).to(self._device).to(memory_format=torch.channels_last)
        betas = (run.config.beta1, run.config.beta2)
        self._optimizer = adam(self.network, run.config.learning_rate, betas, self._device)
        self._totals = torch.zeros(3, device=self._device)
        self._n_totals = 0

    # -- steps

    def _batches(self, step: int) -> Iterator[NDArray[np.uint8]]:
        while True:
            rng = rng_for(self._config.seed, BATCH_STREAM, self._rollbacks, step)
            chosen = self._faces[rng.integers(len(self._faces), size=self._config.batch_size)]
            is_flipped = rng.random(len(chosen)) < FLIP_SHARE
            yield np.where(is_flipped[:, None, None, None], chosen[:, :, ::-1], chosen)
            step += 1

    def _take(self, batches: Iterator[NDArray[np.uint8]], is_reported: bool) -> None:
        config = self._config
        x = torch.from_numpy(np.ascontiguousarray(next(batches))).to(self._device).permute(0, 3, 1, 2)
        x = x.float().div_(255)
        with self._autocast():
            drawn = self.network(x, UPSAMPLINGS[self.step % len(UPSAMPLINGS)])
        likeness, l1 = ssim_map(drawn, x).mean(), (drawn - x).abs().mean()
        loss = config.ssim_weight * (1 - likeness) + config.l1_weight * l1
        # Set to none: decoders whose turn it is not get no gradient, and Adam leaves them as they are.
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        with torch.no_grad():
            self._totals += torch.stack([loss, likeness, l1])
            self._n_totals += 1

    def _is_finite(self) -> bool:
        return all(bool(torch.isfinite(v).all()) for v in (self._totals, *self.network.parameters()))

    def _autocast(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self._device.type, torch.bfloat16, enabled=self._run.precision == "bfloat16")

    # -- what is said and shown

    def _report(self, bar: Bar, steps_per_s: float) -> bool:
        loss, likeness, l1 = (self._totals / max(1, self._n_totals)).tolist()
        self._totals.zero_()
        self._n_totals = 0
        append(self._log, AutoencoderRow(step=self.step, loss=loss, ssim=likeness, l1=l1, steps_per_s=steps_per_s))
        words = f"SSIM {likeness:.3f}, L1 {l1:.4f}, {steps_per_s:.1f} steps/s"
        bar.describe(words)
        if self.step % self._config.grid_every == 0:
            self._say(f"step {self.step}: {words}")
        return False

    def _look_back(self) -> None:
        """Nothing is judged by the rows before."""

    def _show(self) -> None:
        faces = (self._held_out if len(self._held_out) else self._faces)[:PREVIEW_ROWS]
        drawn = [draw(self.network, faces, name, self._device) for name in UPSAMPLINGS]
        sheet = tile(np.stack([faces, *drawn], 1).reshape(-1, *faces.shape[1:]), 1 + len(UPSAMPLINGS))
        write_png(self._folder / PREVIEW, sheet)

    # -- what is kept

    def _measured(self) -> News[RedrawnRow] | None:
        if not len(self._held_out):
            return None
        drawn = [draw(self.network, self._held_out, name, self._device) for name in UPSAMPLINGS]
        row = RedrawnRow(
            step=self.step,
            ssim=float(np.mean([ssim(d, self._held_out).mean() for d in drawn])),
            psnr_db=float(np.mean([psnr(d, self._held_out).mean() for d in drawn])),
        )
        return News(row, f"faces it never saw: SSIM {row.ssim:.3f}, PSNR {row.psnr_db:.1f} dB", is_best=False)

    def _measurement(self, plain: Any) -> RedrawnRow:
        return RedrawnRow.model_validate(plain)

    def _state(self) -> tuple[Tensors, dict[str, Any]]:
        tensors = {f"{NETWORK}{name}": value for name, value in self.network.state_dict().items()}
        tensors |= tensors_of(self._optimizer, OPTIMIZER)
        tensors["totals"] = self._totals.clone()
        meta = {
            "system": SYSTEM,
            "preset": self._run.preset,
            "config": self._config.model_dump(mode="json"),
            "precision": self._run.precision,
            "faces_sha256": self._run.sha256,
            "n_totals": self._n_totals,
        }
        return tensors, meta

    def _restore(self, tensors: Tensors, meta: dict[str, Any]) -> None:
        same_options(meta["config"], self._config.model_dump(mode="json"), MAY_CHANGE | {"precision"})
        if meta["faces_sha256"] != self._run.sha256:
            raise ValueError("it is of a run on other faces")
        weights = {n.removeprefix(NETWORK): v for n, v in tensors.items() if n.startswith(NETWORK)}
        self.network.load_state_dict(weights)
        load_tensors(self._optimizer, tensors, OPTIMIZER)
        self._totals.copy_(tensors["totals"])
        self._n_totals = int(meta["n_totals"])
