"""Traces of resampling: periodic dependence of pixels on their neighbours, in the whole picture and part by part.

Enlarging, turning or warping makes pixels out of others by weights that repeat with a period, so that how well a pixel is
predicted from its neighbours is periodic, too.
Popescu, Farid: Exposing Digital Forgeries by Detecting Traces of Resampling (2005, IEEE TSP 53(2)); the fixed predictor is
that of Kirchner: Fast and Reliable Resampling Detection by Spectral Analysis of Fixed Linear Predictor Residue (2008,
ACM MM&Sec). A whole picture that was resized is ordinary; a part that was resampled otherwise than the rest is not.
Limits: reductions by a fifth or more leave no traces, and a JPEG compression afterwards hides most even at quality 98 (one
of ten parts of the tests is found then, at 95 none); periods that JPEG's blocks have themselves (multiples of 1/8) are
left out, so an enlargement by exactly 2 or 4 is not seen.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from forensics.analysis.blocks import is_smaller, luma
from forensics.analysis.periodicity import EULER, excess, frequencies, is_searched, log10_tail
from forensics.analysis.protocol import Analysis, Finding, Map, Picture, inconclusive, not_applicable
from forensics.analysis.regions import unit

MIN_SIDE_PX = 128
# Kirchner's predictor: the neighbours' weights that least squares gives for many enlargements; it leaves smooth content.
PREDICTOR = np.array([[-0.25, 0.5, -0.25], [0.5, 0.0, 0.5], [-0.25, 0.5, -0.25]], np.float32)
# Of exp(-error ** 2 / WIDTH): a pixel counts as predicted when it is off by about a grey level (Kirchner's sigma = 1).
WIDTH = 1.0
WINDOW_PX = 128
# Windows overlap by three quarters up to the first size of the picture, by half up to the second, then not at all: time
# stays linear.
OVERLAP_PIXELS = (1 << 19, 1 << 21)
# A window in which fewer pixels are predicted somewhat, or more of them fully, has no texture to go by.
PREDICTED_SHARES = (0.02, 0.90)
MIN_WINDOWS = 6
# A frequency at which the median window has this many times the power of its neighbourhood is one of the whole picture.
COMMON_RATIO = 3.0
# A whole picture that was resized shows it more where there is texture: a part must stand out of that by as much again.
MIN_TIMES_COMMON = 10.0
# -log10 of the number of false alarms.
SUSPICIOUS = 4.0
INCONSISTENT = 7.0
GLOBAL_NFA = -6.0


@dataclass(frozen=True, eq=False)
class Windows:
    """Whitened power of each window, (rows, columns, WINDOW_PX, WINDOW_PX), frequency 0 in the middle; textured (rows,
    columns) says which windows have any; windows begin every `step` pixels."""

    power: NDArray[np.float32]
    textured: NDArray[np.bool_]
    step: int


def predictability(gray: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How well each pixel follows from its eight neighbours: (H, W) uint8 -> (H, W) float32 in [0, 1]."""
    error = cv2.filter2D(gray, cv2.CV_32F, -PREDICTOR) + gray
    return np.exp(-(error * error) / WIDTH)


def window_spectra(gray: NDArray[np.uint8]) -> Windows:
    """Whitened power of the predictability in windows over the whole picture; 0 in those without texture."""
    height, width = gray.shape
    area = height * width
    step = WINDOW_PX // (4 if area <= OVERLAP_PIXELS[0] else 2 if area <= OVERLAP_PIXELS[1] else 1)
    rows, columns = (height - WINDOW_PX) // step + 1, (width - WINDOW_PX) // step + 1
    predicted = predictability(gray)
    taper = np.hanning(WINDOW_PX + 1)[:WINDOW_PX].astype(np.float32)
    taper = taper[:, None] * taper[None, :]
    power = np.zeros((rows, columns, WINDOW_PX, WINDOW_PX), np.float32)
    textured = np.zeros((rows, columns), np.bool_)
    for row, column in np.ndindex(rows, columns):
        window = predicted[row * step : row * step + WINDOW_PX, column * step : column * step + WINDOW_PX]
        mean = float(window.mean())
        if PREDICTED_SHARES[0] < mean < PREDICTED_SHARES[1]:
            spectrum = np.fft.fftshift(np.fft.fft2((window - mean) * taper))
            log = np.log(spectrum.real**2 + spectrum.imag**2 + np.float32(1e-6)).astype(np.float32)
            # The mean logarithm of an exponential lies EULER below the logarithm of its mean.
            power[row, column] = np.exp(excess(log) - EULER)
            textured[row, column] = True
    return Windows(power, textured, step)


def global_peak(windows: Windows, searched: NDArray[np.bool_]) -> tuple[tuple[int, int], float]:
    """The highest bin of the windows' mean spectrum, and log10 of its number of false alarms."""
    # The mean of logarithms: one window with a strong period must not speak for all.
    logs = np.log(np.maximum(windows.power[windows.textured], 1e-6)).mean(0)
    ratio = np.where(searched, np.exp(logs + EULER), 0)
    row, column = np.unravel_index(int(ratio.argmax()), ratio.shape)
    averaged = max(1.0, windows.textured.sum() * (windows.step / WINDOW_PX) ** 2)
    tail = float(log10_tail(float(ratio[row, column]), averaged) + np.log10(searched.sum()))
    return (int(row), int(column)), tail


def local_period(windows: Windows, searched: NDArray[np.bool_]) -> tuple[float, tuple[int, int], tuple[int, int]]:
    """The surest period of a window that the median window lacks.

    Returns -log10 of its number of false alarms, row and column of the window, and the bin.
    """
    # Half of the windows may lie in the part; the median of a unit exponential is log 2.
    common = np.median(windows.power[windows.textured], axis=0) / np.log(2)
    # A period between two bins shows in both.
    common = cv2.dilate(common.astype(np.float32), np.ones((3, 3), np.uint8))
    own = searched & (common < COMMON_RATIO)
    best: tuple[float, tuple[int, int], tuple[int, int]] = (0.0, (0, 0), (0, 0))
    tests = max(1.0, float(own.sum()) * float(windows.textured.sum()))
    for row, column in zip(*np.nonzero(windows.textured), strict=True):
        power = windows.power[row, column]
        power = np.where(own & (power >= MIN_TIMES_COMMON * common), power, 0)
        at = int(power.argmax())
        found = -float(log10_tail(float(power.flat[at])) + np.log10(tests))
        if found > best[0]:
            best = found, (int(row), int(column)), (at // WINDOW_PX, at % WINDOW_PX)
    return best


def examine(picture: Picture) -> Finding:
    """State, and a map of windows with a period of their own."""
    if is_smaller(picture.pixels, MIN_SIDE_PX):
        return not_applicable(f"The picture is smaller than {MIN_SIDE_PX} pixels on a side.")
    gray = luma(picture.pixels)
    windows = window_spectra(gray)
    count = int(windows.textured.sum())
    if count < MIN_WINDOWS:
        return inconclusive(
            f"Only {count} of {windows.textured.size} windows have texture that is neither flat nor all noise.",
            {"windows": count},
        )
    # A picture of another format may have been a JPEG before: its periods are left out in any case.
    searched = is_searched(WINDOW_PX, without_jpeg=True)
    (row, column), global_tail = global_peak(windows, searched)
    f = frequencies(WINDOW_PX)
    said = ""
    if global_tail <= GLOBAL_NFA:
        said = (
            f"The whole picture has a period of {abs(f[row]):.3f} and {abs(f[column]):.3f} cycles per pixel "
            f"(log10 of the number of false alarms {global_tail:.1f}), which is consistent with a resize of all of it. "
        )
    statistic, (window_row, window_column), at = local_period(windows, searched)
    measures: dict[str, float | int | str | bool | None] = {
        "windows": count,
        "global_log10_nfa": global_tail,
        "global_frequency_down": float(f[row]),
        "global_frequency_across": float(f[column]),
    }
    shown = windows.power[..., at[0], at[1]] if statistic > 0 else np.zeros(windows.textured.shape, np.float32)
    # Ten times the power of the neighbourhood: chance gives that to one bin in 20,000.
    maps = (Map("resampling", unit(shown, 10.0), "Power, in each window, of the period that sets a part apart."),)
    if statistic < SUSPICIOUS:
        said += f"No part has a period of its own among {count} windows of {WINDOW_PX} pixels."
        return Finding("consistent", said, measures, statistic, maps)
    top, left = window_row * windows.step, window_column * windows.step
    measures |= {"frequency_down": float(f[at[0]]), "frequency_across": float(f[at[1]])}
    said += (
        f"The window at x {left} to {left + WINDOW_PX}, y {top} to {top + WINDOW_PX} px has a period of "
        f"{abs(f[at[0]]):.3f} and "
        f"{abs(f[at[1]]):.3f} cycles per pixel that most others lack (log10 of the number of false alarms "
        f"{-statistic:.1f})."
    )
    return Finding("inconsistent" if statistic >= INCONSISTENT else "suspicious", said, measures, statistic, maps)


ANALYSIS = Analysis[Picture](
    name="resampling",
    title="Traces of resampling",
    family="geometry",
    needs="picture",
    question="Was a part of the picture enlarged, turned or warped otherwise than the rest?",
    method="How well each pixel follows from its neighbours is examined for periods, as interpolation leaves "
    "them, in windows "
    "over the whole picture; a period that only some windows share sets them apart.",
    citation="Popescu, Farid: Exposing Digital Forgeries by Detecting Traces of Resampling, IEEE TSP 53(2) "
    "(2005); Kirchner: Fast "
    "and Reliable Resampling Detection by Spectral Analysis of Fixed Linear Predictor Residue, ACM MM&Sec (2008)",
    limits="Blind to reductions by a fifth or more, to most parts that were compressed as a JPEG afterwards, "
    "and to factors whose "
    "period is that of JPEG's blocks.",
    benign=(
        "fabric, fences, screens and other regular texture in one part",
        "a logo or photograph placed on a page, a collage",
        "correction of lens distortion or of perspective, whose factor changes across the picture",
    ),
    parameters={
        "window_px": WINDOW_PX,
        "global_log10_nfa": GLOBAL_NFA,
        "min_windows": MIN_WINDOWS,
        "common_ratio": COMMON_RATIO,
        "min_times_common": MIN_TIMES_COMMON,
        "suspicious_log10": SUSPICIOUS,
        "inconsistent_log10": INCONSISTENT,
    },
    examine=examine,
)
