"""DCGAN steps a second against the same networks in a plain loop, data loading included; ratios in one process.

    python tests/bench/bench_gan.py --data faces/manifest.csv [--sizes 64:32 64:64 32:32] [--steps 40] [--rounds 7]

plain       as PyTorch's public DCGAN example is written: a Dataset that opens each file with PIL (Resize, CenterCrop,
            ToTensor, Normalize), a DataLoader with two workers, float32, contiguous memory, plain Adam, three backward
            passes a step, `fake.detach()`
full        a step of `forensics generate train`: decoded once into a memory map, read ahead in a thread, bfloat16 where
            it is native, channels last, fused Adam, an average of the generator, and its reports every 50 steps
float32     the same in float32
extras off  the same in float32 with contiguous memory, without the average, every picture decoded in every step
augmented   full, with differentiable augmentation of all pictures and mirroring: another algorithm than plain
no average  full, without the average of the generator

All see the same files in batches of one size. Blocks of all kinds take turns (plain, full, ..., plain, full, ...); a
round's ratio is that of its own blocks, so that slow changes of the machine's load fall out. Before each block a pause lets
what is read ahead fill up, and the first steps are not counted. Peak memory (proportional set size, with workers) is
taken from a process of its own for each kind.
"""

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from forensics.common.prefetch import prefetch
from forensics.common.progress import Progress
from generators.data.order import batch_indices
from generators.data.pictures import load_pictures
from generators.data.request import DataRequest
from generators.game import Game, Reals
from generators.loop import PREFETCHED_BATCHES
from generators.parallel import Processes, asked_precision
from generators.system import configured, system_named

KINDS = {
    "plain": None,
    "full": {},
    "float32": {"precision": "float32"},
    "extras off": {"precision": "float32", "channels_last": False, "ema_decay": 0.0, "cache_gb": 0.0},
    "augmented": {"augment": "1", "flip": True},
    "no average": {"ema_decay": 0.0},
}
SAME_ALGORITHM = {"augment": "off", "flip": False, "device": "cpu"}
WORKERS = 2
PAUSE_S = 0.5  # in which what is read ahead by the kind before fills up, and its workers come to rest
UNCOUNTED_STEPS = 3
POLL_S = 0.05


class Files(Dataset):
    """Pictures by PIL, as an ImageFolder gives them."""

    def __init__(self, paths, px):
        self._paths = paths
        self._transform = transforms.Compose(
            [
                transforms.Resize(px),
                transforms.CenterCrop(px),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        )

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        return self._transform(Image.open(self._paths[index]).convert("RGB")), 0


class Plain:
    """The plain loop; `step` is one pass of its body."""

    def __init__(self, config, pictures):
        system = system_named("dcgan")
        torch.manual_seed(config.seed)
        self._generator, self._discriminator = system.generator(config), system.discriminator(config)
        betas = (config.beta1, config.beta2)
        self._adam_g = torch.optim.Adam(self._generator.parameters(), config.learning_rate_g, betas)
        self._adam_d = torch.optim.Adam(self._discriminator.parameters(), config.learning_rate_d, betas)
        self._criterion, self._latent = nn.BCELoss(), config.latent
        files = Files([item.path for item in pictures.items], config.image_px)
        loader = DataLoader(files, config.batch_size, shuffle=True, num_workers=WORKERS, drop_last=True)
        self._batches = (batch for _ in itertools.count() for batch in loader)

    def step(self):
        real, _ = next(self._batches)
        n = len(real)
        self._discriminator.zero_grad()
        output = torch.sigmoid(self._discriminator(real))
        loss_real = self._criterion(output, torch.ones(n))
        loss_real.backward()
        seen_real = output.mean().item()
        fake = self._generator(torch.randn(n, self._latent))
        output = torch.sigmoid(self._discriminator(fake.detach()))
        loss_fake = self._criterion(output, torch.zeros(n))
        loss_fake.backward()
        seen_fake = output.mean().item()
        self._adam_d.step()
        self._generator.zero_grad()
        output = torch.sigmoid(self._discriminator(fake))
        loss_g = self._criterion(output, torch.ones(n))
        loss_g.backward()
        self._adam_g.step()
        return (loss_real + loss_fake).item(), loss_g.item(), seen_real, seen_fake


class Ours:
    """What the trainer does between two checkpoints."""

    def __init__(self, config, pictures):
        processes = Processes("cpu")
        precision = asked_precision(config.precision, processes.device)
        self._game = Game(system_named("dcgan"), config, precision, len(pictures), processes)
        self._config, self._number = config, 0
        self._reals = prefetch(self._batches(pictures), PREFETCHED_BATCHES)

    def _batches(self, pictures):
        for number in itertools.count():
            indices = batch_indices(len(pictures), self._config.batch_size, number, self._config.seed)
            yield Reals(pictures.batch(indices), pictures.labels[indices])

    def step(self):
        is_reported = (self._number + 1) % self._config.report_every == 0
        self._game.step(self._reals, self._number, 0, is_reported)
        self._number += 1
        if is_reported:
            assert self._game.is_finite()
            self._game.take_totals()


def made(kind, px, width, options, cache):
    """The loop of a kind, ready to step, and the seconds that its pictures took to be there."""
    chosen = dict(KINDS[kind] or {})
    cache_gb = chosen.pop("cache_gb", 8.0)
    values = {**SAME_ALGORITHM, "image_px": px, "width": width, "batch_size": options.batch_size, **chosen}
    config = configured(system_named("dcgan"), "cpu", values)
    request = DataRequest(data=(options.data,), cache_gb=cache_gb, limit=options.limit)
    started = time.perf_counter()
    pictures = load_pictures(request, px, cache, Progress(quiet=True))
    seconds = time.perf_counter() - started
    return (Plain if KINDS[kind] is None else Ours)(config, pictures), seconds


def rate(loop, steps):
    """Steps a second of one block."""
    time.sleep(PAUSE_S)
    for _ in range(UNCOUNTED_STEPS):
        loop.step()
    started = time.perf_counter()
    for _ in range(steps):
        loop.step()
    return steps / (time.perf_counter() - started)


def peak_mib(kind, size, options, cache):
    """Peak of a process that runs one kind, and of its children."""
    own = [sys.executable, __file__, "--data", str(options.data), "--only", kind, "--sizes", size]
    own += [
        "--cache",
        str(cache),
        "--steps",
        str(options.steps),
        "--batch-size",
        str(options.batch_size),
        "--threads",
        str(options.threads),
    ]
    own += ["--limit", str(options.limit)] if options.limit else []
    process = psutil.Popen(own)
    peak = 0
    while process.poll() is None:
        try:
            family = [process, *process.children(recursive=True)]
            peak = max(peak, sum(memory_of(member) for member in family))
        except psutil.NoSuchProcess:
            pass
        time.sleep(POLL_S)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, own)
    return peak / 2**20


def memory_of(process):
    """Bytes: memory that processes share is divided among them, where the system says so."""
    info = process.memory_full_info()
    return getattr(info, "pss", info.rss)


def compare(size, options, cache):
    """Print the table of one size."""
    px, width = map(int, size.split(":"))
    loops, seconds = {}, {}
    for kind in options.kinds:
        loops[kind], seconds[kind] = made(kind, px, width, options, cache)
    for loop in loops.values():
        loop.step()  # libraries choose their algorithms
    rates = {kind: [] for kind in loops}
    for number in range(options.rounds):
        for kind, loop in loops.items():
            rates[kind].append(rate(loop, options.steps))
            said = f"{size}, round {number + 1} of {options.rounds}: {kind} {rates[kind][-1]:.2f} steps/s"
            print(said, file=sys.stderr, flush=True)
    print(f"\nDCGAN, {px} px, f = {width}, batch {options.batch_size}, {options.threads} threads, torch "
          f"{torch.__version__}; {options.rounds} rounds of {options.steps} steps\n")  # fmt: skip
    print("| loop | steps/s | min | max | times plain | min | max | peak MiB |")
    print(f"|{'---|' * 8}", flush=True)
    for kind, values in rates.items():
        ratios = [value / base for value, base in zip(values, rates["plain"], strict=True)]
        memory = f"{peak_mib(kind, size, options, cache):,.0f}" if options.memory else ""
        cells = [f"{f(v):.2f}" for v in (values, ratios) for f in (statistics.median, min, max)]
        print(f"| {kind} | {' | '.join(cells)} | {memory} |", flush=True)
    if seconds.get("full", 0) > 0:
        print(f"\nPictures took {max(seconds.values()):.1f} s to be read, once for a run and not in these figures.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="MANIFEST|FOLDER", help="real pictures")
    parser.add_argument("--sizes", nargs="+", default=["64:32", "64:64", "32:32"], metavar="PX:WIDTH")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), help="plain is always there")
    parser.add_argument("--steps", type=int, default=40, help="in a block")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int, help="at most this many pictures")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out peak memory")
    parser.add_argument("--only", choices=list(KINDS), help=argparse.SUPPRESS)  # one kind, for its memory
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.kinds = ["plain", *(kind for kind in options.kinds if kind != "plain")]
    torch.set_num_threads(options.threads)
    if options.only:
        px, width = map(int, options.sizes[0].split(":"))
        loop, _ = made(options.only, px, width, options, options.cache)
        for _ in range(options.steps):
            loop.step()
        return
    with tempfile.TemporaryDirectory() as cache:
        for size in options.sizes:
            compare(size, options, Path(cache))


if __name__ == "__main__":
    main()
