"""Pictures with a known history, for tests of the analyses of stills: each maker gives the picture and where it was
altered.

Sources are the public-domain pictures inside scikit-image's wheel and what is drawn here. Everything repeats for a seed.
"""

import io
from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from forensics.analysis.blocks import luma_steps
from forensics.analysis.protocol import Analysis, Finding, Picture
from forensics.media.facts_types import JpegFacts

Rgb = NDArray[np.uint8]
Box = tuple[int, int, int, int]  # left, top, right, bottom
SIDE_PX = 320
CERTAIN_WORDS = ("fake", "proves", "certain", "tampered", "nan", "inf ")


@lru_cache(maxsize=1)
def photographs() -> tuple[Rgb, ...]:
    """Photographs that were never compressed, or at qualities that left no grid."""
    from skimage import data

    found = (data.astronaut(), data.coffee(), data.chelsea(), data.stereo_motorcycle()[0])
    return tuple(np.ascontiguousarray(each[..., :3]) for each in found)


def scene(seed: int, side: int = SIDE_PX, index: int | None = None) -> Rgb:
    """A square cut from a photograph: reduced a little first, which removes what demosaicing or JPEG left of periods."""
    rng = np.random.default_rng(seed)
    photograph = photographs()[(seed if index is None else index) % len(photographs())]
    factor = max(0.8, (side + 4) / min(photograph.shape[:2]))
    if factor <= 1:
        photograph = cv2.resize(photograph, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    elif min(photograph.shape[:2]) < side:
        photograph = cv2.resize(photograph, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    top, left = (int(rng.integers(0, length - side + 1)) for length in photograph.shape[:2])
    return np.ascontiguousarray(photograph[top : top + side, left : left + side])


def encoded(pixels: Rgb, quality: int) -> bytes:
    """A JPEG file with the Independent JPEG Group's tables, chroma halved in both directions."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=quality, subsampling="4:2:0")
    return out.getvalue()


def saved(pixels: Rgb, quality: int) -> Rgb:
    """The pixels after one save as a JPEG."""
    return np.array(Image.open(io.BytesIO(encoded(pixels, quality))).convert("RGB"))


def read(data: bytes) -> Picture:
    """A JPEG file as an analysis gets it."""
    image = Image.open(io.BytesIO(data))
    tables = tuple(tuple(int(step) for step in table) for _, table in sorted(image.quantization.items()))
    luma_table = np.array(tables[0], np.float64).reshape(8, 8)
    misfits = [float(np.abs(luma_steps(quality) - luma_table).mean()) for quality in range(1, 101)]
    quality = int(np.argmin(misfits)) + 1
    facts = JpegFacts(*image.size, tables, quality, min(misfits), "4:2:0", False, (), 0)
    return Picture(np.array(image.convert("RGB")), facts)


def as_jpeg(pixels: Rgb, quality: int) -> Picture:
    """Pixels saved as a JPEG, and read again."""
    return read(encoded(pixels, quality))


def as_png(pixels: Rgb) -> Picture:
    """Pixels of a format without loss."""
    return Picture(pixels, None)


def box_in(seed: int, side: int, within: int = SIDE_PX, multiple: int = 1) -> Box:
    """A square somewhere inside, not at the border."""
    rng = np.random.default_rng(1_000 + seed)
    left, top = (int(rng.integers(16, within - side - 16)) // multiple * multiple for _ in range(2))
    return left, top, left + side, top + side


def pasted(onto: Rgb, from_: Rgb, box: Box) -> Rgb:
    """A copy of the first picture with a box of the second at the same place."""
    left, top, right, bottom = box
    out = onto.copy()
    out[top:bottom, left:right] = from_[top:bottom, left:right]
    return out


def other_noise(seed: int) -> tuple[Picture, Box]:
    """A photograph with noise of 2 grey levels, of which a part has 8.

    Blurred a little first, as optics and demosaicing do: what was reduced has more at its finest scale than a camera gives.
    """
    rng = np.random.default_rng(2_000 + seed)
    clean = cv2.GaussianBlur(scene(seed), (0, 0), 1.0).astype(np.float64)
    box = box_in(seed, 128)
    spread = np.full(clean.shape[:2], 2.0)
    spread[box[1] : box[3], box[0] : box[2]] = 8.0
    noisy = clean + rng.normal(size=clean.shape[:2])[..., None] * spread[..., None]
    return as_png(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)), box


def part_saved_alone(seed: int) -> tuple[Picture, Box]:
    """A part, on the grid, was saved at quality 40; the rest never, nor all of it since."""
    base, box = scene(seed), box_in(seed, 96, multiple=8)
    return as_png(pasted(base, saved(base, 40), box)), box


def part_saved_before(seed: int) -> tuple[Picture, Box]:
    """A part, on the grid, was saved at quality 60 before; all of it at 90 (the ghost of Farid's experiments)."""
    box = box_in(seed, 120, multiple=8)
    base = scene(seed)
    return as_jpeg(pasted(base, saved(base, 60), box), 90), box


def part_saved_once(seed: int) -> tuple[Picture, Box]:
    """All but a part was saved at quality 65 before; all of it at 90."""
    box = box_in(seed, 112, multiple=8)
    base = scene(seed)
    return as_jpeg(pasted(saved(base, 65), scene(seed + 1, index=seed + 1), box), 90), box


def shifted_grid(seed: int) -> tuple[Picture, Box]:
    """A part of another file, off the grid, in a picture of quality 75; all of it without further loss."""
    rng = np.random.default_rng(3_000 + seed)
    box = box_in(seed, 112)
    shift = 1 + int(rng.integers(0, 7))
    other = np.roll(saved(scene(seed + 1, index=seed + 1), 70), (shift, (shift + 3) % 8), (0, 1))
    return as_png(pasted(saved(scene(seed), 75), other, box)), box


def resampled_part(seed: int) -> tuple[Picture, Box]:
    """A part of a third of the sides was enlarged by a factor between 1.15 and 1.6, without compression."""
    rng = np.random.default_rng(4_000 + seed)
    # The two photographs that are large enough; neither was enlarged.
    side = 448
    base, other = scene(seed, side, 3 * (seed % 2)), scene(seed + 1, side, 3 - 3 * (seed % 2))
    box = box_in(seed, 208, side)
    factor = float(rng.uniform(1.15, 1.6))
    large = cv2.resize(other, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    return as_png(pasted(base, np.ascontiguousarray(large[:side, :side]), box)), box


def cloned_part(seed: int) -> tuple[Picture, Box]:
    """The busiest of a few squares is copied elsewhere, turned a little; the box is the copy's. JPEG of quality 85."""
    rng = np.random.default_rng(5_000 + seed)
    base, side = scene(seed), 96
    corners = [(int(x), int(y)) for x, y in rng.integers(0, SIDE_PX - side, (8, 2))]
    left, top = max(
        corners, key=lambda c: float(cv2.Laplacian(base[c[1] : c[1] + side, c[0] : c[0] + side], cv2.CV_32F).var())
    )
    part = base[top : top + side, left : left + side]
    turned = cv2.warpAffine(
        part, cv2.getRotationMatrix2D((side / 2, side / 2), float(rng.uniform(-8, 8)), 1.0), (side, side)
    )
    inner = slice(8, side - 8)
    far = [
        (x, y)
        for x in range(0, SIDE_PX - side, 8)
        for y in range(0, SIDE_PX - side, 8)
        if abs(x - left) >= side or abs(y - top) >= side
    ]
    x, y = far[int(rng.integers(len(far)))]
    out = base.copy()
    out[y + 8 : y + side - 8, x + 8 : x + side - 8] = turned[inner, inner]
    return as_jpeg(out, 85), (x + 8, y + 8, x + side - 8, y + side - 8)


def upsampled_by_layers(seed: int) -> tuple[Picture, Box]:
    """A photograph with what a stride of two leaves at three scales: uneven overlap of kernels (Odena et al. 2016).

    Every layer weighs the two phases of its pixels differently by a few hundredths of what is there.
    """
    rng = np.random.default_rng(6_000 + seed)
    base = scene(seed).astype(np.float64)
    down, across = np.indices(base.shape[:2])
    pattern = np.zeros(base.shape[:2])
    for period in (4, 8, 16):
        weights = rng.normal(0, 1.0, (period, period))
        pattern += (weights - weights.mean())[down % period, across % period]
    return as_png(np.clip(np.rint(base + pattern[..., None]), 0, 255).astype(np.uint8)), (0, 0, SIDE_PX, SIDE_PX)


def untouched(seed: int) -> list[tuple[str, Picture]]:
    """What ordinary handling makes of a photograph: saved, saved twice, cropped off the grid, resized, brightened."""
    base = scene(seed)
    small = cv2.resize(base, (272, 272), interpolation=cv2.INTER_AREA)
    large = cv2.resize(base, (400, 400), interpolation=cv2.INTER_CUBIC)
    bright = np.clip(np.rint(base * 1.15 + 5), 0, 255).astype(np.uint8)
    return [
        ("png", as_png(base)),
        ("saved", as_jpeg(base, 85)),
        ("saved twice", as_jpeg(saved(base, 70), 90)),
        ("saved lower", as_jpeg(saved(base, 90), 70)),
        ("cropped", as_jpeg(np.ascontiguousarray(saved(base, 75)[3:, 5:]), 90)),
        ("reduced", as_jpeg(saved(small, 85), 85)),
        ("enlarged", as_jpeg(large, 95)),
        ("brightened", as_jpeg(bright, 80)),
    ]


def odd_pictures() -> list[tuple[str, Picture]]:
    """Shapes and contents that nobody photographs."""
    rng = np.random.default_rng(7)
    board = (np.indices((200, 200)).sum(0) % 2 * 255).astype(np.uint8)
    noise = rng.integers(0, 256, (200, 230, 3)).astype(np.uint8)
    ramp = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (160, 256, 3))
    shapes = [(1, 1), (8, 8), (1, 5000), (5000, 1), (7, 200), (64, 64), (129, 131), (128, 900)]
    found = [(f"flat {h} x {w}", as_png(np.full((h, w, 3), 128, np.uint8))) for h, w in shapes]
    found += [(f"noise {h} x {w}", as_png(rng.integers(0, 256, (h, w, 3)).astype(np.uint8))) for h, w in shapes]
    found += [
        ("noise", as_png(noise)),
        ("saved noise", as_jpeg(noise, 50)),
        ("black", as_jpeg(np.zeros((200, 200, 3), np.uint8), 75)),
        ("white", as_jpeg(np.full((200, 200, 3), 255, np.uint8), 100)),
        ("board", as_png(np.ascontiguousarray(np.repeat(board[..., None], 3, 2)))),
        ("ramp", as_jpeg(np.ascontiguousarray(ramp), 90)),
    ]
    return found


def states(analysis: Analysis[Picture], seeds: int) -> list[str]:
    """What an analysis says of the positives that are made for it."""
    return [analysis.examine(MAKERS[analysis.name](seed)[0]).state for seed in range(seeds)]


def flaws(finding: Finding) -> list[str]:
    """What a finding must not have: numbers that are not finite, maps beyond [0, 1], words of certainty, no sentence."""
    found = []
    numbers = [value for value in finding.measures.values() if isinstance(value, float)]
    if not np.isfinite([*numbers, finding.statistic or 0.0]).all():
        found.append("a number is not finite")
    for drawn in finding.maps:
        values = drawn.values
        if values.dtype != np.float32 or values.ndim != 2 or not (np.isfinite(values).all() and values.size):
            found.append(f"map {drawn.name}: {values.dtype}, {values.shape}")
        elif values.min() < 0 or values.max() > 1:
            found.append(f"map {drawn.name}: {values.min()} to {values.max()}")
    for plot in finding.plots:
        for name, curve in plot.curves.items():
            if curve.shape != plot.x.shape or not np.isfinite(curve).all():
                found.append(f"plot {plot.name}: curve {name}")
    if not finding.observation.endswith(".") or any(word in finding.observation.lower() for word in CERTAIN_WORDS):
        found.append(f"words: {finding.observation}")
    return found


def same(first: Finding, second: Finding) -> bool:
    """Whether two findings agree in everything that is written down."""
    pairs = zip(first.maps, second.maps, strict=True)
    is_same_map = all(np.array_equal(a.values, b.values) for a, b in pairs)
    words = (first.state, first.observation, first.statistic, dict(first.measures))
    return is_same_map and words == (second.state, second.observation, second.statistic, dict(second.measures))


def inside_and_outside(values: NDArray[np.float32], box: Box, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean of a map inside a box of pixels, and outside of it."""
    mask = np.zeros(shape[:2], np.float32)
    mask[box[1] : box[3], box[0] : box[2]] = 1
    large = cv2.resize(values, shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return float(large[mask > 0].mean()), float(large[mask == 0].mean())


MAKERS: dict[str, Callable[[int], tuple[Picture, Box]]] = {
    "ela": part_saved_alone,
    "jpeg-ghosts": part_saved_before,
    "double-quantisation": part_saved_once,
    "jpeg-grid": shifted_grid,
    "noise": other_noise,
    "resampling": resampled_part,
    "copy-move": cloned_part,
    "spectrum-peaks": upsampled_by_layers,
}
