"""Translators of pictures: how near they come on a test split, and how fast they train and are applied.

    python tests/bench/bench_translation.py quality RUN... --data faces/manifest.csv [--split test]
    python tests/bench/bench_translation.py speed [restore|pix2pix|cyclegan] --data faces/manifest.csv [--rounds 5]
    python tests/bench/bench_translation.py tiles RUN [--px 512] [--rounds 5]

quality   PSNR, SSIM and two more figures of each run beside a baseline on the same pictures, degraded as the run's own
          `judged` says; differences with the 95 % interval of a paired bootstrap over pictures. Baselines: bicubic for
          srgan, the input for deblock and dehaze, grey for colourise, OpenCV's non-local means for denoise. h of
          non-local means is chosen for the baseline's good, by PSNR on the split dev.
          ab: mean distance of chroma in CIELAB. lpips-like[lite0]: Zhang et al. 2018 (arXiv 1801.03924), equation 1,
          without learned weights: squared differences of channel-normalised maps of ImageNet's EfficientNet-Lite0, the
          mean over places, summed over its five stages. Not LPIPS: figures of the two cannot be compared.
speed     steps a second of `restore --task denoise`, `pix2pix --make edges` or `cyclegan --make sketch`, preset cpu,
          against a plain loop in the same process: a Dataset that opens each file with PIL, makes the input and tensors, a
          DataLoader with two workers, float32, plain Adam, losses read in every step. Networks, batch and size are the
          same. Blocks take turns; a round's ratio is that of its own blocks.
tiles     pictures a second of `translate` at its defaults against single calls of the network on the whole picture in
          float32 as it comes from training (contiguous), pictures of --px on a side.
"""

import argparse
import itertools
import random
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import timm
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from forensics.common.prefetch import prefetch
from forensics.common.progress import Progress
from forensics.features.lite0 import BACKBONE, PIXEL_MEAN, PIXEL_STD, lite0_file, load_lite0
from generators.data.pictures import load_pictures
from generators.data.request import DataRequest
from generators.faceswap.measures import psnr, ssim
from generators.loop import PREFETCHED_BATCHES
from generators.parallel import Processes, asked_precision
from generators.translation.cycle_game import CycleGame
from generators.translation.degradations import edges, sketch
from generators.translation.domains import endless as endless_sets
from generators.translation.game import PairedGame
from generators.translation.loaded import load_translator
from generators.translation.non_local_means import best_strength, non_local_means
from generators.translation.pairs import Source, endless, judged
from generators.translation.run_record import PairRequest
from generators.translation.sources import load_domains, load_sources
from generators.translation.tiles import translate
from generators.translation.trainer import enlarged
from generators.translator import configured, translator_named

CPU = torch.device("cpu")
RESAMPLES = 2000
UNCOUNTED_STEPS = 3
PAUSE_S = 0.5
SIGMAS = (1.0, 50.0)


# -- quality


def pairs_of(config, data, split, folder):
    """All pictures of the split's reals, in the middle, degraded at `judged`."""
    request = DataRequest(data=(data,), split=split)
    px = config.picture_px or config.image_px
    pictures = load_pictures(request, px, folder / f"{split}-{px}", Progress(quiet=True), 2)
    return judged(Source(pictures), config, range(len(pictures)))


def ab_distance(a, b):
    """(N,) mean distance in the plane of a and b of CIELAB."""

    def chroma(batch):
        return np.stack([cv2.cvtColor(p.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:] for p in batch])

    return np.sqrt(((chroma(a) - chroma(b)) ** 2).sum(-1)).mean((1, 2))


class LpipsLike:
    """Distance in the features of ImageNet's EfficientNet-Lite0."""

    def __init__(self):
        self._network = timm.create_model(BACKBONE, num_classes=0).eval()
        load_lite0(self._network, lite0_file())

    @torch.inference_mode()
    def _maps(self, pictures):
        x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(255).sub(PIXEL_MEAN).div(PIXEL_STD)
        found, x = [], self._network.bn1(self._network.conv_stem(x))
        for stage in self._network.blocks:
            before, x = x, stage(x)
            if x.shape[-1] < before.shape[-1]:
                found.append(nn.functional.normalize(before, dim=1))
        return [*found, nn.functional.normalize(x, dim=1)]

    def __call__(self, a, b):
        """(N,) distances."""
        parts = []
        for start in range(0, len(a), 16):
            maps = zip(self._maps(a[start : start + 16]), self._maps(b[start : start + 16]), strict=True)
            parts.append(sum((x - y).square().sum(1).mean((1, 2)) for x, y in maps).numpy())
        return np.concatenate(parts)


def baseline_of(config, given, target, dev):
    """Name and pictures of what the network is to be better than."""
    if config.task == "denoise":
        best, _ = best_strength(dev.given, dev.target)
        return f"non-local means, h {best}", non_local_means(given, best)
    if config.scale > 1:
        return "bicubic", enlarged(given, target)
    return ("grey" if config.task == "colourise" else "input"), given


def interval(values):
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(1)
    return f"{values.mean():.3f} [{np.quantile(means, 0.025):.3f}, {np.quantile(means, 0.975):.3f}]"


def quality(args):
    distance = LpipsLike()
    print(f"{args.data.parent.name}, split {args.split}")
    print(
        "| run | baseline | n | PSNR, dB | gain, dB [95 %] | SSIM | ab | ab less by | lpips-like[lite0] | its difference |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for run in args.runs:
        loaded = load_translator(str(run), CPU)
        with tempfile.TemporaryDirectory() as folder:
            pairs = pairs_of(loaded.config, args.data, args.split, Path(folder))
            dev = pairs_of(loaded.config, args.data, "dev", Path(folder)) if loaded.config.task == "denoise" else None
        name, before = baseline_of(loaded.config, pairs.given, pairs.target, dev)
        drawn = np.stack([translate(loaded, picture) for picture in pairs.given])
        target = pairs.target
        db, db_before = psnr(drawn, target), psnr(before, target)
        like, like_before = ssim(drawn, target), ssim(before, target)
        ab, ab_before = ab_distance(drawn, target), ab_distance(before, target)
        far, far_before = distance(drawn, target), distance(before, target)
        print(
            f"| {run.name}: {loaded.what}, step {loaded.step} | {name} | {len(target)} "
            f"| {db_before.mean():.2f} -> {db.mean():.2f} | {interval(db - db_before)} "
            f"| {like_before.mean():.3f} -> {like.mean():.3f} | {ab_before.mean():.2f} -> {ab.mean():.2f} "
            f"| {1 - ab.mean() / ab_before.mean():.1%} | {far_before.mean():.3f} -> {far.mean():.3f} "
            f"| {interval(far - far_before)} |",
            flush=True,
        )


# -- speed of training


class Files(Dataset):
    """Pictures by PIL, a random square of each, mirrored or not, and what `given` makes of it; (3, S, S) in [-1, 1]."""

    def __init__(self, paths, config, given):
        self._paths, self._given = paths, given
        self._transform = transforms.Compose(
            [
                transforms.Resize(config.picture_px or config.image_px),
                transforms.RandomCrop(config.image_px),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
            ]
        )

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        target = self._transform(Image.open(self._paths[index]).convert("RGB"))
        return 2 * self._given(target) - 1, 2 * target - 1


def with_noise(target):
    sigma = torch.empty(1).uniform_(*SIGMAS) / 255
    return (target + sigma * torch.randn_like(target)).clamp(0, 1)


def by(maker):
    """One of ours for numpy's pictures, for torch's."""

    def given(target):
        picture = target.mul(255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        return torch.from_numpy(maker(picture)).permute(2, 0, 1).float().div(255)

    return given


def batches_of(files, config):
    loader = DataLoader(files, config.batch_size, shuffle=True, num_workers=2, drop_last=True)
    return (batch for _ in itertools.count() for batch in loader)


def descend(adam, loss):
    adam.zero_grad()
    loss.backward()
    adam.step()


class PlainRestoring:
    """The plain loop; `step` is one pass of its body."""

    def __init__(self, translator, config, paths):
        torch.manual_seed(config.seed)
        self._network = translator.generator(config)
        self._adam = torch.optim.Adam(self._network.parameters(), config.learning_rate_g, (config.beta1, config.beta2))
        self._batches = batches_of(Files(paths, config, with_noise), config)

    def step(self):
        given, target = next(self._batches)
        loss = (self._network(given) - target).abs().mean()
        descend(self._adam, loss)
        return loss.item()


class PlainPairs:
    """pix2pix as it is commonly written: the discriminator's step, then the generator's."""

    def __init__(self, translator, config, paths):
        torch.manual_seed(config.seed)
        self._l1 = config.l1_weight
        self._g, self._d = translator.generator(config), translator.discriminator(config)
        betas = config.beta1, config.beta2
        self._adam_g = torch.optim.Adam(self._g.parameters(), config.learning_rate_g, betas)
        self._adam_d = torch.optim.Adam(self._d.parameters(), config.learning_rate_d, betas)
        self._batches = batches_of(Files(paths, config, by(edges)), config)

    def step(self):
        given, target = next(self._batches)
        drawn = self._g(given)
        bce = nn.functional.binary_cross_entropy_with_logits
        real, fake = self._d.features(given, target)[-1], self._d.features(given, drawn.detach())[-1]
        loss_d = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
        descend(self._adam_d, loss_d)
        judged = self._d.features(given, drawn)[-1]
        loss = bce(judged, torch.ones_like(judged)) + self._l1 * (drawn - target).abs().mean()
        descend(self._adam_g, loss)
        return loss.item(), loss_d.item()


class PlainCycle:
    """CycleGAN as it is commonly written: each picture through each network by itself, pools as lists."""

    def __init__(self, translator, config, firsts, seconds):
        torch.manual_seed(config.seed)
        self._config = config
        self._there, self._back = translator.generator(config), translator.generator(config)
        self._critics = [translator.discriminator(config) for _ in range(2)]
        betas = config.beta1, config.beta2
        both = itertools.chain(self._there.parameters(), self._back.parameters())
        self._adam_g = torch.optim.Adam(both, config.learning_rate_g, betas)
        both = itertools.chain(*(critic.parameters() for critic in self._critics))
        self._adam_d = torch.optim.Adam(both, config.learning_rate_d, betas)
        self._pools = [[], []]
        self._firsts = batches_of(Files(firsts, config, lambda x: x), config)
        self._seconds = batches_of(Files(seconds, config, by(sketch)), config)

    def _shown(self, which, drawn):
        pool = self._pools[which]
        if len(pool) < self._config.replay:
            pool.append(drawn)
        elif random.random() < 0.5:
            place = random.randrange(len(pool))
            drawn, pool[place] = pool[place], drawn
        return drawn

    def step(self):
        config = self._config
        (_, first), (second, _) = next(self._firsts), next(self._seconds)
        drawn_second, drawn_first = self._there(first), self._back(second)
        cycle = (self._back(drawn_second) - first).abs().mean() + (self._there(drawn_first) - second).abs().mean()
        same = (self._there(second) - second).abs().mean() + (self._back(first) - first).abs().mean()
        logits = [c.features(x, x)[-1] for c, x in zip(self._critics, (drawn_second, drawn_first), strict=True)]
        fooled = sum((judged - 1).square().mean() for judged in logits)
        loss = fooled + config.cycle_weight * cycle + config.identity_weight * same
        for critic in self._critics:
            critic.requires_grad_(False)
        descend(self._adam_g, loss)
        for critic in self._critics:
            critic.requires_grad_(True)
        loss_d = torch.zeros(())
        for which, (real, drawn) in enumerate(((second, drawn_second), (first, drawn_first))):
            fake, critic = self._shown(which, drawn.detach()), self._critics[which]
            of_real, of_fake = critic.features(real, real)[-1], critic.features(fake, fake)[-1]
            loss_d = loss_d + 0.5 * ((of_real - 1).square().mean() + of_fake.square().mean())
        descend(self._adam_d, loss_d)
        return loss.item(), loss_d.item()


class Ours:
    """What the trainer does between two checkpoints."""

    def __init__(self, translator, config, source):
        processes = Processes("cpu")
        precision = asked_precision(config.precision, CPU)
        self._every, self._number = config.report_every, 0
        pool, share = ThreadPoolExecutor(2), processes.share(config.batch_size)
        if translator.pairing == "unpaired":
            self._game = CycleGame(translator, config, precision, processes)
            batches = endless_sets(source, config, 0, 0, share, pool)
        else:
            self._game = PairedGame(translator, config, precision, processes)
            batches = endless(source, config, 0, 0, share, pool)
        self._batches = prefetch(batches, PREFETCHED_BATCHES)

    def step(self):
        self._game.step(next(self._batches), self._number, 0)
        self._number += 1
        if self._number % self._every == 0:
            assert self._game.is_finite()
            self._game.take_totals()


PLAIN = {
    "restore": (PlainRestoring, {"task": "denoise"}),
    "pix2pix": (PlainPairs, {"make": "edges"}),
    "cyclegan": (PlainCycle, {"make": "sketch"}),
}


def speed(args):
    translator = translator_named(args.system)
    plain, options = PLAIN[args.system]
    config = configured(translator, "cpu", {**options, "device": "cpu"})
    with tempfile.TemporaryDirectory() as folder:
        request, quiet = DataRequest(data=(args.data,), split="train"), Progress(quiet=True)
        load = load_domains if translator.pairing == "unpaired" else load_sources
        source, _ = load(request, PairRequest(), config, Path(folder), quiet)
        sets = (source.first, source.second) if translator.pairing == "unpaired" else (source.targets,)
        paths = [[item.path for item in pictures.items] for pictures in sets]
        plain32 = config.model_copy(update={"precision": "float32"})
        kinds = {
            "plain": plain(translator, config, *paths), "full": Ours(translator, config, source),
            "float32": Ours(translator, plain32, source),
        }  # fmt: skip
        rates = {name: [] for name in kinds}
        for _ in range(args.rounds):
            for name, kind in kinds.items():
                time.sleep(PAUSE_S)
                for _ in range(UNCOUNTED_STEPS):
                    kind.step()
                start = time.perf_counter()
                for _ in range(args.steps):
                    kind.step()
                rates[name].append(args.steps / (time.perf_counter() - start))
        rounds = f"{args.rounds} rounds of {args.steps} steps"
        print(f"{args.system}: {sum(map(len, paths))} pictures, batch {config.batch_size}, {rounds}")
        for name, found in rates.items():
            ratios = [own / plain for own, plain in zip(found, rates["plain"], strict=True)]
            print(f"{name:8} {statistics.median(found):6.2f} steps/s  x {statistics.median(ratios):.2f} of plain "
                  f"[{min(ratios):.2f}, {max(ratios):.2f}]")  # fmt: skip


# -- speed of applying


def tiles(args):
    loaded = load_translator(str(args.run), CPU, args.precision)
    with torch.device("cpu"):
        single = loaded.translator.generator(loaded.config)
    single.load_state_dict(loaded.network.state_dict())
    single = single.to(memory_format=torch.contiguous_format).eval()
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (6, args.px // 8, args.px // 8, 3), np.uint8)
    pictures = [cv2.resize(p, (args.px, args.px), interpolation=cv2.INTER_CUBIC) for p in small]

    @torch.no_grad()
    def whole(picture):
        x = torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous().float() * (2 / 255) - 1
        out = single(x)[0].add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return out.permute(1, 2, 0).numpy()

    kinds = {"whole": whole, "translate": lambda picture: translate(loaded, picture)}
    off = np.abs(whole(pictures[0]).astype(int) - translate(loaded, pictures[0]).astype(int)).max()
    rates = {name: [] for name in kinds}
    for _ in range(args.rounds):
        for name, draw in kinds.items():
            draw(pictures[0])
            start = time.perf_counter()
            for picture in pictures:
                draw(picture)
            rates[name].append(len(pictures) / (time.perf_counter() - start))
    ratios = [own / single for own, single in zip(rates["translate"], rates["whole"], strict=True)]
    print(f"{loaded.what}, {args.px} px, {loaded.precision}: whole {statistics.median(rates['whole']):.2f}, translate "
          f"{statistics.median(rates['translate']):.2f} pictures/s: x {statistics.median(ratios):.2f} "
          f"[{min(ratios):.2f}, {max(ratios):.2f}]; greatest difference {off} levels")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("quality")
    one.add_argument("runs", nargs="+", type=Path)
    one.add_argument("--data", type=Path, required=True)
    one.add_argument("--split", default="test")
    one.set_defaults(go=quality)
    two = commands.add_parser("speed")
    two.add_argument("system", nargs="?", default="restore", choices=sorted(PLAIN))
    two.add_argument("--data", type=Path, required=True)
    two.add_argument("--steps", type=int, default=15)
    two.add_argument("--rounds", type=int, default=5)
    two.set_defaults(go=speed)
    three = commands.add_parser("tiles")
    three.add_argument("run", type=Path)
    three.add_argument("--px", type=int, default=512)
    three.add_argument("--rounds", type=int, default=5)
    three.add_argument("--precision", default="auto")
    three.set_defaults(go=tiles)
    args = parser.parse_args()
    args.go(args)


if __name__ == "__main__":
    main()
