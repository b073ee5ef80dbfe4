"""Face swaps: training steps a second, and converted frames a second, against plain loops; ratios in one process.

    python tests/bench/bench_faceswap.py training [--source faces/a --target faces/b] [--steps 40] [--rounds 7]
    python tests/bench/bench_faceswap.py convert [--clip B.mp4 --model RUN] [--rounds 5]

Without data both draw their own: a photograph of one face, moved about. Run it on a machine with nothing else to do. A look
at whether it works: `training --steps 3 --rounds 1`, `convert --frames 24 --rounds 1`.

`training`, at the sizes of the preset `cpu` (or --preset):
plain       the recipe as it is commonly written: for each face, one after the other in the main thread, float32 pictures,
            an affine warp of all 256 px, a 5 x 5 grid resized by OpenCV and cut, `remap`, and the target by Umeyama's
            method with an SVD; two autoencoders that share their encoder, each with an Adam of its own (not fused), two
            passes forward and back in a step; float32, contiguous memory, losses read in every step
full        a step of `forensics generate faceswap train`: pairs made ahead in threads, both people in one pass, bfloat16
            where it is native, channels last, fused Adam, and its reports every 100 steps
float32     the same in float32
extras off  the same in float32 with contiguous memory, each batch made when it is asked for
All minimise the same loss by the same function, mask included. Plain updates the encoder twice in a step, as it is written.

`convert`, the cpu preset's network (of --model, or an untrained one, which costs the same):
plain       frame by frame, one after the other: decode with PyAV, MTCNN on every frame (reduced as ours is), the network on
            one face in float32, the same functions for colours, mask and pasting, H.264 of clip and mask with the same
            options, all in one thread, PyTorch and OpenCV too
plain, own  the same, with the threads that PyTorch and OpenCV use inside a call by default
full        `convert`: two passes over the clip, tracks, smoothing, sound, manifest, everything
The clip is converted whole; libraries and weights are loaded before. *steady* leaves out how passes begin and end.

Blocks of all kinds take turns (plain, full, ..., plain, full, ...); a round's ratio is that of its own blocks, so that
slow changes of the machine's load fall out. Before each block a pause lets what is read ahead come to rest, and the first
training steps are not counted. Medians, with the smallest and the largest of the rounds.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from itertools import count, islice, product
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from skimage import data
from torch.nn import functional as F

from forensics.common.progress import Bar, Progress
from forensics.common.seeds import rng_for
from forensics.perturb.avc import encoder_options, video_frame
from forensics.perturb.clip import recompress_clip
from generators.checkpoint import write_checkpoint
from generators.data.order import batch_indices
from generators.faceswap.alignment import ALIGNED_PX, TEMPLATE, aligning, warped
from generators.faceswap.config import RenderConfig, configured
from generators.faceswap.extraction.faceset import read_face_set
from generators.faceswap.extraction.tracks import load_face_detector
from generators.faceswap.rendering.convert import SwapPainter, convert
from generators.faceswap.rendering.rendering import MASK_CRF, Placed
from generators.faceswap.training.game import NETWORK, SwapGame
from generators.faceswap.training.losses import ssim_map, weighted_mean
from generators.faceswap.training.networks import SwapNetwork, drawn
from generators.faceswap.training.swapper import SYSTEM, find_swap, load_swapper
from generators.faceswap.training.trainer import MOST_THREADS
from generators.faceswap.training.training import outlines
from generators.faceswap.training.warp_pairs import endless, pairs, prepared
from generators.parallel import Processes, asked_precision

KINDS = {
    "plain": None,
    "full": {},
    "float32": {"precision": "float32"},
    "extras off": {"precision": "float32", "channels_last": False},
}
PAUSE_S = 0.5  # in which what is read ahead by the kind before fills up, and its threads come to rest
UNCOUNTED_STEPS = 3
UNCOUNTED_FRAMES = 24  # whole windows of the face detector (12), whole batches of the painter (8)
DRAWN_FACES = 200
# The photograph's own: eyes, nose, corners of the mouth, roughly.
ASTRONAUT = np.array([[205.0, 112], [247, 108], [230, 136], [212, 158], [246, 155]])
FRAME_HEIGHT, FRAME_WIDTH, DRAWN_FPS, DRAWN_FRAMES = 1080, 1920, 30, 300
MASK_CHANNEL = 3
SURE = 8.0  # logit of a mask that is all face


# -- training


class Plain:
    """The plain loop; `step` is one pass of its body."""

    def __init__(self, config, people):
        torch.manual_seed(config.seed)
        self._network, self._config = SwapNetwork(config), config
        self._draws = np.random.default_rng(config.seed)
        self._people = [(faces.astype(np.float32) / 255, masks.astype(np.float32) / 255) for faces, masks in people]
        self._adams = [
            torch.optim.Adam(
                [*self._network.encoder.parameters(), *decoder.parameters()],
                config.learning_rate,
                (config.beta1, config.beta2),
            )
            for decoder in self._network.decoders
        ]

    def step(self):
        for who, (faces, masks) in enumerate(self._people):
            chosen = self._draws.integers(len(faces), size=self._config.batch_size)
            made = [self._pair(faces[k], masks[k]) for k in chosen]
            given, real, outline = (torch.from_numpy(np.stack(part)) for part in zip(*made, strict=True))
            given, real = (x.permute(0, 3, 1, 2).contiguous() for x in (given, real))
            self._update(who, given, real, outline[:, None])

    def _update(self, who, given, real, outline):
        config = self._config
        face, mask_logits, _ = drawn(self._network(given, who), given)
        weights = config.background + (1 - config.background) * outline
        loss = config.ssim_weight * (1 - weighted_mean(ssim_map(face, real), weights))
        loss = loss + config.l1_weight * weighted_mean((face - real).abs(), weights)
        loss = loss + config.mask_weight * F.binary_cross_entropy_with_logits(mask_logits, outline)
        self._adams[who].zero_grad()
        loss.backward()
        self._adams[who].step()
        return loss.item()

    def _pair(self, face, mask):
        config, draws, px = self._config, self._draws, self._config.image_px
        angle, zoom, x, y = draws.uniform(-1, 1, 4)
        half = ALIGNED_PX // 2
        matrix = cv2.getRotationMatrix2D((half, half), angle * config.rotation_deg, 1 + zoom * config.zoom)
        matrix[:, 2] += [x * config.shift * ALIGNED_PX, y * config.shift * ALIGNED_PX]
        size = (ALIGNED_PX, ALIGNED_PX)
        face = cv2.warpAffine(face, matrix, size, borderMode=cv2.BORDER_REPLICATE)
        mask = cv2.warpAffine(mask, matrix, size)
        if draws.random() < config.flip:
            face, mask = face[:, ::-1], mask[:, ::-1]
        line = np.linspace(half - 110, half + 110, 5)
        x = np.broadcast_to(line, (5, 5))
        map_x = x + draws.normal(size=(5, 5), scale=config.warp_px)
        map_y = x.T + draws.normal(size=(5, 5), scale=config.warp_px)
        large, edge = px * 5 // 4, px // 8
        cut = slice(edge, edge + px)
        spread = [cv2.resize(m, (large, large))[cut, cut].astype(np.float32) for m in (map_x, map_y)]
        given = cv2.remap(face, *spread, cv2.INTER_LINEAR)
        step = px // 4
        wanted = np.mgrid[0 : px + 1 : step, 0 : px + 1 : step].T.reshape(-1, 2)
        matrix = umeyama(np.stack([map_x.ravel(), map_y.ravel()], -1), wanted)
        return given, cv2.warpAffine(face, matrix, (px, px)), cv2.warpAffine(mask, matrix, (px, px))


def umeyama(source, target):
    """(2, 3): the similarity of Umeyama 1991, equations 40 to 43."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    centred = source - mean_s
    u, d, vt = np.linalg.svd((target - mean_t).T @ centred / len(source))
    signs = np.array([1, np.sign(np.linalg.det(u @ vt))])
    turn = u @ np.diag(signs) @ vt
    scale = (d * signs).sum() / centred.var(0).sum()
    return np.column_stack([scale * turn, mean_t - scale * turn @ mean_s])


class Ours:
    """What the trainer does between two checkpoints. is_ahead: pairs are made in threads before they are asked for."""

    def __init__(self, config, people, threads, is_ahead):
        processes = Processes("cpu")
        self._game = SwapGame(config, asked_precision(config.precision, processes.device), processes)
        self._faces = [prepared(faces, masks, config.image_px) for faces, masks in people]
        self._config, self._number = config, 0
        rows = processes.share(config.batch_size)
        pool = ThreadPoolExecutor(min(MOST_THREADS, threads))
        self._pairs = endless(self._faces, config, 0, 0, rows, pool) if is_ahead else map(self._made, count())

    def _made(self, step):
        """As `endless` makes it."""
        size, seed = self._config.batch_size, self._config.seed
        return tuple(
            pairs(faces, batch_indices(len(faces), size, step, seed + who), self._config, (who, 0, step))
            for who, faces in enumerate(self._faces)
        )

    def step(self):
        self._game.step(*next(self._pairs))
        self._number += 1
        if self._number % self._config.report_every == 0:
            assert self._game.is_finite()
            self._game.take_totals()


def people_of(options):
    """Faces (N, 256, 256, 3) and outlines (N, 256, 256) of the source and of the target."""
    if options.source and options.target:
        sets = [read_face_set(folder) for folder in (options.source, options.target)]
        return [(found.pictures("train"), outlines(found.landmarks("train"))) for found in sets]
    draws = rng_for(0, 1)
    matrix = aligning(ASTRONAUT)
    people = []
    for tint in ((1, 0.8, 0.8), (0.8, 0.8, 1)):
        moved = [matrix + np.column_stack([np.zeros((2, 2)), draws.normal(0, 4, 2)]) for _ in range(DRAWN_FACES)]
        faces = np.stack([warped(data.astronaut(), m, ALIGNED_PX) * np.array(tint) for m in moved])
        people.append((faces.astype(np.uint8), outlines(np.stack([TEMPLATE] * DRAWN_FACES))))
    return people


def rate(loop, steps):
    """Steps a second of one block."""
    time.sleep(PAUSE_S)
    for _ in range(UNCOUNTED_STEPS):
        loop.step()
    started = time.perf_counter()
    for _ in range(steps):
        loop.step()
    return steps / (time.perf_counter() - started)


def compare_training(options):
    """Print the table of training steps."""
    people = people_of(options)
    kinds = ["plain", *(kind for kind in options.kinds if kind != "plain")]
    loops = {}
    for kind in kinds:
        given = {"device": "cpu", "threads": options.threads, "batch_size": options.batch_size, **(KINDS[kind] or {})}
        config = configured(options.preset, given)
        is_plain, is_ahead = KINDS[kind] is None, kind != "extras off"
        loops[kind] = Plain(config, people) if is_plain else Ours(config, people, options.threads, is_ahead)
        loops[kind].step()  # libraries choose their algorithms
    rates = {kind: [] for kind in loops}
    for number in range(options.rounds):
        for kind, loop in loops.items():
            rates[kind].append(rate(loop, options.steps))
            say(f"round {number + 1} of {options.rounds}: {kind} {rates[kind][-1]:.2f} steps/s")
    n = " and ".join(str(len(faces)) for faces, _ in people)
    native = asked_precision("auto", torch.device("cpu"))
    print(f"\nFace swap, {config.image_px} px, f = {config.width}, code {config.latent}, batch {config.batch_size} of each "
          f"person ({n} faces), {options.threads} threads, torch {torch.__version__}, full in {native}; "
          f"{options.rounds} rounds of {options.steps} steps\n")  # fmt: skip
    print_table("loop", "steps/s", {kind: (values, values, "") for kind, values in rates.items()})


# -- convert


class InTurn:
    """A pool that does one thing after the other, in the thread that asks."""

    map = staticmethod(map)


class Encoder:
    """H.264 of one frame at a time, where it is called: as `recompress_clip`."""

    def __init__(self, path, crf, preset, size):
        self._container = av.open(str(path), "w")
        self._stream = self._container.add_stream("libx264", rate=25, options=encoder_options(crf, preset))
        self._stream.height, self._stream.width = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.time_base = self._stream.codec_context.time_base = Fraction(1, 90_000)
        self._stream.codec_context.thread_count = 1

    def put(self, time_s, picture):
        frame = video_frame(picture)
        frame.pts, frame.time_base = round(time_s * 90_000), Fraction(1, 90_000)
        self._container.mux(self._stream.encode(frame))

    def close(self):
        self._container.mux(self._stream.encode())
        self._container.close()


def frame_by_frame(path, swapper, detector, config, folder):
    """Convert in the plain way; returns how many frames there were, and how many were swapped."""
    painter = SwapPainter(swapper.draw, swapper.image_px, 0, config, InTurn())
    encoders, frames, swapped, start = [], 0, 0, None
    with av.open(str(path)) as container:
        for decoded in container.decode(video=0):
            picture = decoded.to_ndarray(format="rgb24")
            start = decoded.time if start is None else start
            faces = [face for face in detector.detect([picture])[0] if face.confidence >= detector.min_confidence]
            mask = np.zeros(picture.shape[:2], np.uint8)
            if faces:
                largest = max(faces, key=lambda face: face.size_px)
                place = Placed(1, largest.landmarks.astype(np.float64), np.zeros(2))
                painted = painter.paint([picture], [[place]])[0]
                picture, mask = painted.frame, painted.mask
            if not encoders:
                size = [side + side % 2 for side in mask.shape]
                encoders = [
                    Encoder(folder / "plain.mp4", config.crf, config.encoder, size),
                    Encoder(folder / "plain.mask.mp4", MASK_CRF, "ultrafast", size),
                ]
            encoders[0].put(decoded.time - start, picture)
            encoders[1].put(decoded.time - start, np.repeat(mask[:, :, None], 3, 2))
            frames, swapped = frames + 1, swapped + bool(mask.any())
    for encoder in encoders:
        encoder.close()
    return frames, swapped


class Watch(Progress):
    """Progress that says nothing and notes when each frame of each pass was done."""

    def __init__(self):
        super().__init__(quiet=True)
        self.passes = []

    @contextmanager
    def task(self, name, total):
        ticks = []
        self.passes.append(ticks)
        yield Bar(lambda steps: ticks.extend([time.perf_counter()] * steps))

    def steady(self):
        """Frames a second once passes run: seconds a frame of all passes, added."""
        seconds = 0.0
        for ticks in self.passes:
            skipped = min(UNCOUNTED_FRAMES, len(ticks) // 3)
            seconds += (ticks[-1] - ticks[skipped]) / max(1, len(ticks) - 1 - skipped)
        return 1 / seconds if seconds else float("nan")


def drawn_clip(path, n):
    """A 1080p clip: a photograph that wanders over a still, textured ground, with a camera's noise."""
    draws = rng_for(0, 2)
    ground = cv2.GaussianBlur(draws.integers(0, 256, (FRAME_HEIGHT, FRAME_WIDTH, 3)).astype(np.float32), (0, 0), 6)
    ground = cv2.normalize(ground, None, 20, 235, cv2.NORM_MINMAX)
    photograph = cv2.resize(data.astronaut(), (1000, 1000), interpolation=cv2.INTER_CUBIC)
    noise = draws.normal(0, 2, ground.shape).astype(np.float32)

    def frames():
        for k in range(n):
            x = round(460 + 300 * np.sin(2 * np.pi * k / 150))
            y = round(40 + 30 * np.sin(2 * np.pi * k / 70))
            frame = ground.copy()
            frame[y : y + 1000, x : x + 1000] = photograph
            frame += np.roll(noise, int(draws.integers(FRAME_HEIGHT)), 0)
            yield k / DRAWN_FPS, np.clip(frame, 0, 255).astype(np.uint8)

    recompress_clip(frames(), path, 20, "veryfast")
    return path


def first_frames(clip, path, n):
    """The first n frames of a clip, encoded anew, without sound."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        frames = islice(container.decode(stream), n)
        first = next(frames)
        shown = ((f.time - first.time, f.to_ndarray(format="rgb24")) for f in (first, *frames))
        recompress_clip(shown, path, 18, "veryfast")
    return path


def untrained(path):
    """A checkpoint of the cpu preset whose masks are all face."""
    config = configured("cpu", {"device": "cpu"})
    torch.manual_seed(config.seed)
    network = SwapNetwork(config)
    with torch.no_grad():
        for decoder in network.decoders:
            decoder.last.bias[MASK_CHANNEL] = SURE
    tensors = {f"{NETWORK}{name}": value for name, value in network.state_dict().items()}
    write_checkpoint(path, tensors, {"system": SYSTEM, "config": config.model_dump(mode="json"), "step": 0})
    return path


def compare_convert(options, folder):
    """Print the table of converted frames."""
    clip = options.clip
    if clip is None:
        say("drawing a clip")
        clip = drawn_clip(folder / "drawn.mp4", options.frames or DRAWN_FRAMES)
    elif options.frames:
        clip = first_frames(clip, folder / "first.mp4", options.frames)
    cpu = torch.device("cpu")
    swapper = load_swapper(find_swap(options.model) if options.model else untrained(folder / "0.safetensors"), cpu)
    detector, config = load_face_detector(device="cpu"), RenderConfig()
    detector.detect([np.zeros((FRAME_HEIGHT, FRAME_WIDTH, 3), np.uint8)])  # libraries choose their algorithms
    swapper.draw(np.zeros((1, swapper.image_px, swapper.image_px, 3), np.uint8), 0)
    rates, steady, found = {"plain": [], "plain, own": [], "full": []}, {"plain": [], "plain, own": [], "full": []}, {}
    for number, kind in product(range(options.rounds), list(rates)):
        time.sleep(PAUSE_S)
        threads = 1 if kind == "plain" else options.threads
        cv2.setNumThreads(threads)  # `convert` sets it to 1
        torch.set_num_threads(threads)
        watch, started = Watch(), time.perf_counter()
        if kind != "full":
            frames, swapped = frame_by_frame(clip, swapper, detector, config, folder)
        else:
            done = convert(
                clip, swapper, detector, folder / "full.mp4", config, watch, threads=options.threads, overwrite=True
            )
            frames, swapped = done.frames, done.swapped
        rates[kind].append(frames / (time.perf_counter() - started))
        steady[kind].append(watch.steady() if watch.passes else rates[kind][-1])
        found[kind] = f"{swapped} of {frames}"
        said = f"{kind} {rates[kind][-1]:.2f} frames/s, steady {steady[kind][-1]:.2f}; {found[kind]} swapped"
        say(f"round {number + 1} of {options.rounds}: {said}")
    with av.open(str(clip)) as container:
        size = f"{container.streams.video[0].width} x {container.streams.video[0].height}"
    what = clip.name if options.clip else "drawn"
    print(f"\nConvert, {what}, {size}, network of {swapper.image_px} px, {options.threads} threads, torch "
          f"{torch.__version__}; {options.rounds} rounds\n")  # fmt: skip
    print_table("way", "frames/s", {kind: (rates[kind], steady[kind], found[kind]) for kind in rates})


# -- both


def print_table(name, unit, rows):
    """Medians and spreads. rows: kind -> rates by round, steady rates by round, a word."""
    is_steady = any(values is not steady for values, steady, _ in rows.values())
    extra = " steady | swapped |" if is_steady else ""
    print(f"| {name} | {unit} | min | max | times plain | min | max |{extra}")
    print(f"|{'---|' * (9 if is_steady else 7)}")
    base = rows["plain"][0]
    for kind, (values, steady, word) in rows.items():
        ratios = [value / other for value, other in zip(values, base, strict=True)]
        cells = [f"{f(v):.2f}" for v in (values, ratios) for f in (statistics.median, min, max)]
        cells += [f"{statistics.median(steady):.2f}", word] if is_steady else []
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


def say(line):
    print(line, file=sys.stderr, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--threads", type=int, default=2)
    parts = parser.add_subparsers(dest="part", required=True)
    of_training = parts.add_parser("training", parents=[common], help="training steps a second")
    of_training.add_argument("--source", type=Path, metavar="DIR", help="faces of `extract`; with --target")
    of_training.add_argument("--target", type=Path, metavar="DIR")
    of_training.add_argument(
        "--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), help="plain is always there"
    )
    of_training.add_argument("--preset", default="cpu", help="whose sizes")
    of_training.add_argument("--steps", type=int, default=40, help="in a block")
    of_training.add_argument("--rounds", type=int, default=7)
    of_training.add_argument("--batch-size", type=int, default=16)
    of_convert = parts.add_parser("convert", parents=[common], help="converted frames a second")
    of_convert.add_argument("--clip", type=Path, metavar="FILE", help="without it, one of 300 frames is drawn")
    of_convert.add_argument("--model", metavar="RUN|FILE", help="without it, an untrained network")
    of_convert.add_argument("--frames", type=int, help="at most this many of the clip, encoded anew")
    of_convert.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.part == "training":
        compare_training(options)
        return
    with tempfile.TemporaryDirectory() as folder:
        compare_convert(options, Path(folder))


if __name__ == "__main__":
    main()
