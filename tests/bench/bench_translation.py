"""Translators of pictures: how near they come on a test split, and how fast they train and are applied.

    python tests/bench/bench_translation.py quality RUN... --data faces/manifest.csv [--split test]
    python tests/bench/bench_translation.py speed --data faces/manifest.csv [--rounds 5]
    python tests/bench/bench_translation.py tiles RUN [--px 512] [--rounds 5]

quality   PSNR, SSIM and two more figures of each run beside a baseline on the same pictures, degraded as the run's own
          `judged` says; differences with the 95 % interval of a paired bootstrap over pictures. Baselines: bicubic for
          srgan, the input for deblock and dehaze, grey for colourise, OpenCV's non-local means for denoise. h of
          non-local means is chosen for the baseline's good, by PSNR on the split dev.
          ab: mean distance of chroma in CIELAB. lpips-like[lite0]: Zhang et al. 2018 (arXiv 1801.03924), equation 1,
          without learned weights: squared differences of channel-normalised maps of ImageNet's EfficientNet-Lite0, the
          mean over places, summed over its five stages. Not LPIPS: figures of the two cannot be compared.
speed     steps a second of `restore --task denoise`, preset cpu, against a plain loop in the same process: a Dataset that
          opens each file with PIL, adds noise and makes tensors, a DataLoader with two workers, float32, plain Adam.
          Networks, batch and size are the same. Blocks take turns; a round's ratio is that of its own blocks.
tiles     pictures a second of `translate` at its defaults against single calls of the network on the whole picture in
          float32 as it comes from training (contiguous), pictures of --px on a side.
"""

import argparse
import itertools
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
from generators.translation.game import PairedGame
from generators.translation.loaded import load_translator
from generators.translation.pairs import Source, endless, judged
from generators.translation.tiles import translate
from generators.translation.trainer import enlarged
from generators.translator import configured, translator_named

CPU = torch.device("cpu")
RESAMPLES = 2000
NLM_STRENGTHS = (5, 8, 10, 12, 15, 18, 21, 25)
NLM_TEMPLATE_PX, NLM_SEARCH_PX = 7, 21
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


def non_local_means(pictures, strength):
    return np.stack(
        [cv2.fastNlMeansDenoisingColored(p, None, strength, strength, NLM_TEMPLATE_PX, NLM_SEARCH_PX) for p in pictures]
    )


def baseline_of(config, given, target, dev):
    """Name and pictures of what the network is to be better than."""
    if config.task == "denoise":
        best = max(NLM_STRENGTHS, key=lambda h: psnr(non_local_means(dev.given, h), dev.target).mean())
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


class NoisyFiles(Dataset):
    """Pictures by PIL, a random square of each, and the same with noise."""

    def __init__(self, paths, picture_px, px):
        self._paths = paths
        self._transform = transforms.Compose(
            [
                transforms.Resize(picture_px),
                transforms.RandomCrop(px),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
            ]
        )

    def __len__(self):
        return len(self._paths)

    def __getitem__(self, index):
        target = self._transform(Image.open(self._paths[index]).convert("RGB"))
        sigma = torch.empty(1).uniform_(*SIGMAS) / 255
        given = (target + sigma * torch.randn_like(target)).clamp(0, 1)
        return 2 * given - 1, 2 * target - 1


class Plain:
    """The plain loop; `step` is one pass of its body."""

    def __init__(self, config, pictures):
        torch.manual_seed(config.seed)
        self._network = translator_named("restore").generator(config)
        self._adam = torch.optim.Adam(self._network.parameters(), config.learning_rate_g, (config.beta1, config.beta2))
        files = NoisyFiles([item.path for item in pictures.items], config.picture_px, config.image_px)
        loader = DataLoader(files, config.batch_size, shuffle=True, num_workers=2, drop_last=True)
        self._batches = (batch for _ in itertools.count() for batch in loader)

    def step(self):
        given, target = next(self._batches)
        loss = (self._network(given) - target).abs().mean()
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        return loss.item()


class Ours:
    """What the trainer does between two checkpoints."""

    def __init__(self, config, pictures):
        processes = Processes("cpu")
        self._game = PairedGame(
            translator_named("restore"), config, asked_precision(config.precision, CPU), processes
        )  # fmt: skip
        self._every, self._number = config.report_every, 0
        pool = ThreadPoolExecutor(2)
        share = processes.share(config.batch_size)
        self._batches = prefetch(endless(Source(pictures), config, 0, 0, share, pool), PREFETCHED_BATCHES)

    def step(self):
        self._game.step(next(self._batches), self._number, 0)
        self._number += 1
        if self._number % self._every == 0:
            assert self._game.is_finite()
            self._game.take_totals()


def speed(args):
    translator = translator_named("restore")
    config = configured(translator, "cpu", {"task": "denoise", "device": "cpu"})
    with tempfile.TemporaryDirectory() as folder:
        request = DataRequest(data=(args.data,), split="train")
        pictures = load_pictures(request, config.picture_px, Path(folder), Progress(quiet=True), 2)
        plain32 = config.model_copy(update={"precision": "float32"})
        kinds = {
            "plain": Plain(config, pictures), "full": Ours(config, pictures), "float32": Ours(plain32, pictures)
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
        print(f"{len(pictures)} pictures, batch {config.batch_size}, {args.rounds} rounds of {args.steps} steps")
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
