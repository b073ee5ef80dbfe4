"""Traces of an earlier JPEG compression in the histograms of DCT coefficients, and the blocks that lack them.

Coefficients that were multiples of one step and are rounded to another fall into some bins more often than into others,
periodically. A part that came from elsewhere, or from the same file but off its grid, was not rounded twice and does not
show it, although it was saved with the rest.
Lin, He, Tang, Tang: Fast, Automatic and Fine-grained Tampered JPEG Image Detection via DCT Coefficient Analysis (2009,
Pattern Recognition 42); Bianchi, Piva: Image Forgery Localization via Block-Grained Analysis of JPEG Artifacts (2012,
IEEE TIFS 7), whose model this follows: the histogram of a single compression is estimated from the picture shifted by
half a block, and the first compression's step is the one under which the observed histogram is likeliest.
Limits: sees nothing when the first step is the second or divides it (a second save at a lower quality, mostly), when the
picture was cropped off its grid in between, or when nearly all coefficients are zero.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from forensics.analysis.blocks import BLOCK, block_dct, clipped_blocks, is_smaller, luma
from forensics.analysis.protocol import Analysis, Finding, Map, Picture, Plot, State, not_applicable
from forensics.analysis.regions import connected, smoothed

MIN_SIDE_PX = 128
# The first AC frequencies in zigzag order: beyond them too few coefficients of a photograph are not zero.
FREQUENCIES = ((0, 1), (1, 0), (2, 0), (1, 1), (0, 2), (0, 3), (1, 2), (2, 1), (3, 0))
KEPT_FREQUENCIES = 4
MAX_BIN = 40
MAX_FIRST_STEP = 48
# Standard deviation, in grey levels, of what rounding pixels to integers (1 / sqrt(12)) and colours back and forth add to a
# coefficient before the second quantisation.
ROUNDING_SD = 0.4
SHARES = np.linspace(0.1, 0.9, 9)
MIN_COEFFICIENTS = 300
# A first step is believed when it explains a frequency's histogram better by this much: in nats per coefficient, and in
# all.
MIN_GAIN_PER_COEFFICIENT = 0.03
MIN_GAIN = 20.0
MIN_FREQUENCIES = 2
# Five blocks (40 pixels) are the least that holds enough coefficients to judge a place by.
WINDOW_BLOCKS = 5
MIN_REGION_BLOCKS = 12
# log10 of the odds against the region's coefficients being twice quantised, after the number of places it could lie at.
SUSPICIOUS = 3.0
INCONSISTENT = 8.0


@dataclass(frozen=True, eq=False)
class DoubleStep:
    """What one frequency's histogram says. evidence (2 MAX_BIN + 1,): log of how much likelier a coefficient of each bin is
    when it was quantised once only. gain: nats per coefficient over the model of one quantisation, share: of coefficients
    that were quantised twice."""

    frequency: tuple[int, int]
    first_step: int
    second_step: int
    gain: float
    total_gain: float
    share: float
    evidence: NDArray[np.float64]


def bins_of(coefficients: NDArray[np.float32], step: float) -> NDArray[np.int16]:
    """Quantised coefficients, from 0 to 2 MAX_BIN; MAX_BIN is zero. What lies beyond counts as the last bin."""
    return np.asarray(np.clip(np.rint(coefficients / step), -MAX_BIN, MAX_BIN) + MAX_BIN, np.int16)


def density(first_step: int, second_step: int) -> NDArray[np.float64]:
    """How much of a smooth density each bin receives through a first quantisation, relative to no first one.

    Multiples of the first step, spread by ROUNDING_SD, fall into bins of the second. (2 MAX_BIN + 1,), 1 = no effect.
    """
    bins = np.arange(-MAX_BIN, MAX_BIN + 1)
    reach = int(np.ceil((MAX_BIN + 1) * second_step / first_step)) + 1
    multiples = first_step * np.arange(-reach, reach + 1)[:, None]
    upper = ndtr(((bins + 0.5) * second_step - multiples) / ROUNDING_SD)
    lower = ndtr(((bins - 0.5) * second_step - multiples) / ROUNDING_SD)
    found: NDArray[np.float64] = (upper - lower).sum(0) * first_step / second_step
    return found


def fit_first_step(
    frequency: tuple[int, int], observed: NDArray[np.int64], single: NDArray[np.int64], second_step: int
) -> DoubleStep | None:
    """The first step and the share of twice quantised coefficients under which a histogram is likeliest.

    observed, single: (2 MAX_BIN + 1,) counts, of the picture and of it shifted by half a block. Zero is left out: flat
    blocks are zero anyhow. None where too few coefficients are left.
    """
    inner = np.abs(np.arange(-MAX_BIN, MAX_BIN + 1))
    used = (inner > 0) & (inner < MAX_BIN)
    counts = observed[used].astype(np.float64)
    if counts.sum() < MIN_COEFFICIENTS:
        return None
    # Both signs are equally likely, and neighbouring bins alike: what is rare in the shifted picture is estimated from
    # both.
    mirrored = single + single[::-1] + 0.5
    base = np.convolve(mirrored, [0.25, 0.5, 0.25], "same")[used]
    base /= base.sum()
    best, best_gain = (1, 0.0), 0.0
    for first_step in range(2, MAX_FIRST_STEP + 1):
        if first_step == second_step:
            continue
        twice = density(first_step, second_step)[used]
        twice /= max(float((twice * base).sum()), 1e-9)
        gains = counts @ np.log(twice[:, None] * SHARES + (1 - SHARES))
        if gains.max() > best_gain:
            best_gain, best = float(gains.max()), (first_step, float(SHARES[gains.argmax()]))
    evidence = np.zeros(2 * MAX_BIN + 1)
    if best_gain > 0:
        twice = density(best[0], second_step)[used]
        twice /= max(float((twice * base).sum()), 1e-9)
        # Blocks that were quantised twice are not all exactly so: a tenth of each bin is anything.
        evidence[used] = -np.log(0.9 * twice + 0.1)
    gain = best_gain / float(counts.sum())
    return DoubleStep(frequency, best[0], second_step, gain, best_gain, best[1], evidence)


def double_steps(
    gray: NDArray[np.uint8], table: NDArray[np.int64], used: NDArray[np.bool_]
) -> tuple[list[DoubleStep], NDArray[np.float32]]:
    """Frequencies whose histograms show an earlier quantisation, and the evidence of each block against it.

    gray: (H, W) uint8; table: (8, 8) steps of the file; used: (H // 8, W // 8) bool. Returns the frequencies and, per
    block, (rows, columns, 2): sum of the evidence for one quantisation in nats, and how many coefficients gave it.
    """
    aligned = block_dct(gray, keep=KEPT_FREQUENCIES)
    shifted = block_dct(gray, BLOCK // 2, BLOCK // 2, KEPT_FREQUENCIES)
    blocks = np.zeros((*aligned.shape[:2], 2), np.float32)
    found = []
    for row, column in FREQUENCIES:
        step = int(table[row, column])
        if step < 2:
            continue
        bins = bins_of(aligned[..., row, column], step)
        observed = np.bincount(bins[used], minlength=2 * MAX_BIN + 1)
        single = np.bincount(bins_of(shifted[..., row, column], step).ravel(), minlength=2 * MAX_BIN + 1)
        fit = fit_first_step((row, column), observed, single, step)
        if fit is None or fit.gain < MIN_GAIN_PER_COEFFICIENT or fit.total_gain < MIN_GAIN:
            continue
        found.append(fit)
        blocks[..., 0] += fit.evidence[bins]
        blocks[..., 1] += used & (bins != MAX_BIN) & (np.abs(bins - MAX_BIN) < MAX_BIN)
    blocks[~used] = 0
    return found, blocks


def examine(picture: Picture) -> Finding:
    """State, a map of blocks without the traces, and the evidence by bin of the clearest frequency."""
    if picture.jpeg is None or not picture.jpeg.tables or len(picture.jpeg.tables[0]) != BLOCK * BLOCK:
        return not_applicable("The file is no JPEG: it has no quantisation table.")
    if is_smaller(picture.pixels, MIN_SIDE_PX):
        return not_applicable(f"The picture is smaller than {MIN_SIDE_PX} pixels on a side.")
    table = np.array(picture.jpeg.tables[0], np.int64).reshape(BLOCK, BLOCK)
    found, blocks = double_steps(luma(picture.pixels), table, ~clipped_blocks(picture.pixels))
    measures: dict[str, float | int | str | bool | None] = {"frequencies_with_two_steps": len(found)}
    if len(found) < MIN_FREQUENCIES:
        return Finding(
            "consistent",
            f"{len(found)} of {len(FREQUENCIES)} frequencies show an earlier quantisation, fewer than {MIN_FREQUENCIES}: "
            "consistent with one compression on this grid, so parts cannot be told apart by it.",
            measures,
            0.0,
        )
    per_coefficient = blocks[..., 0] / np.maximum(blocks[..., 1], 1)
    # Weighted by coefficients: a mean of sums over a mean of counts.
    sums, room = smoothed(blocks[..., 0], np.ones(blocks.shape[:2], np.bool_), WINDOW_BLOCKS)
    counts, _ = smoothed(blocks[..., 1], np.ones(blocks.shape[:2], np.bool_), WINDOW_BLOCKS)
    valid = room & (counts >= 0.5)
    statistic, inside, outside, box = _surest_part(sums, valid, blocks)
    clearest = max(found, key=lambda step: step.total_gain)
    values = np.where(valid, 1 / (1 + np.exp(-np.clip(sums * WINDOW_BLOCKS, -30, 30))), 0).astype(np.float32)
    caption = "Probability that a place was quantised once only, where the rest was quantised twice."
    bins = np.arange(-MAX_BIN, MAX_BIN + 1)
    shown = np.abs(bins) < MAX_BIN // 2
    plot = Plot(
        "double-quantisation-evidence",
        bins[shown].astype(np.float64),
        {"nats": clearest.evidence[shown]},
        "quantised coefficient",
        "evidence for one quantisation (nats)",
        f"Frequency {clearest.frequency}: bins that a first step of {clearest.first_step} leaves empty speak "
        f"for one quantisation.",
    )
    measures |= {
        "first_step": clearest.first_step,
        "second_step": clearest.second_step,
        "gain_nats_per_coefficient": clearest.gain,
        "evidence_inside_nats": inside,
        "evidence_outside_nats": outside,
        "mean_evidence_nats": float(per_coefficient.mean()),
    }
    seen = (
        f"{len(found)} of {len(FREQUENCIES)} frequencies show an earlier quantisation (frequency "
        f"{clearest.frequency}: step "
        f"{clearest.first_step}, then {clearest.second_step}), which is consistent with a file that was saved "
        f"at least twice."
    )
    if statistic < SUSPICIOUS or box is None:
        said = f"{seen} No part of at least {MIN_REGION_BLOCKS} blocks lacks it."
        return Finding("consistent", said, measures, statistic, _maps(values, caption), (plot,))
    said = (
        f"{seen} The part at x {box[0]} to {box[2]}, y {box[1]} to {box[3]} px lacks it: {inside:+.2f} nats per "
        f"coefficient "
        f"speak for one quantisation there, {outside:+.2f} elsewhere (log10 of the odds {statistic:.1f} after "
        f"the number of places)."
    )
    state: State = "inconsistent" if statistic >= INCONSISTENT else "suspicious"
    return Finding(state, said, measures, statistic, _maps(values, caption), (plot,))


def _surest_part(
    sums: NDArray[np.float32], valid: NDArray[np.bool_], blocks: NDArray[np.float32]
) -> tuple[float, float, float, tuple[int, int, int, int] | None]:
    """Of the connected parts that speak for one quantisation, the surest: log10 of its odds after the number of rectangles,
    evidence per coefficient inside and outside, and its box in pixels."""
    best: tuple[float, float, float, tuple[int, int, int, int] | None] = (0.0, 0.0, 0.0, None)
    places = 2 * np.log10(max(valid.size, 1))
    for region in connected(sums, valid, 0.0, MIN_REGION_BLOCKS):
        if region.sign < 0:
            continue
        inner, outer = blocks[region.mask].sum(0), blocks[valid & ~region.mask].sum(0)
        inside, outside = inner[0] / max(inner[1], 1), outer[0] / max(outer[1], 1)
        odds = float(inner[0] / np.log(10) - places)
        # The rest must show the effect, and clearly more than the part lacks it by chance.
        if outside < 0 and odds > best[0]:
            best = odds, float(inside), float(outside), region.box_px(BLOCK)
    return best


def _maps(values: NDArray[np.float32], caption: str) -> tuple[Map, ...]:
    return (Map("double-quantisation", values, caption),)


ANALYSIS = Analysis[Picture](
    name="double-quantisation",
    title="Double quantisation",
    family="compression",
    needs="picture",
    question="Was the whole picture compressed as often as the rest of it?",
    method="Histograms of the first nine AC frequencies show whether coefficients were rounded to multiples of "
    "an earlier step; "
    "blocks whose coefficients lie where that step leaves gaps were not.",
    citation="Lin, He, Tang, Tang: Fast, Automatic and Fine-grained Tampered JPEG Image Detection via DCT "
    "Coefficient Analysis, "
    "Pattern Recognition 42 (2009); Bianchi, Piva: Image Forgery Localization via Block-Grained Analysis of "
    "JPEG Artifacts, "
    "IEEE TIFS 7 (2012)",
    limits="Blind when the last quality is clearly lower than the one before, after a crop off the grid, and in "
    "flat parts.",
    benign=(
        "a caption, frame or logo that was added before the last save",
        "a local retouch (red eyes, blemishes) in the owner's own editor",
        "overexposed parts, whose coefficients were cut off between the two compressions",
    ),
    parameters={
        "min_gain_nats_per_coefficient": MIN_GAIN_PER_COEFFICIENT,
        "min_gain_nats": MIN_GAIN,
        "min_frequencies": MIN_FREQUENCIES,
        "window_blocks": WINDOW_BLOCKS,
        "min_region_blocks": MIN_REGION_BLOCKS,
        "suspicious_log10_odds": SUSPICIOUS,
        "inconsistent_log10_odds": INCONSISTENT,
    },
    examine=examine,
)
