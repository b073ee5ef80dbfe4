"""Pulse signals of mean colours, and their spectra.

Wang, den Brinker, Stuijk, de Haan: Algorithmic Principles of Remote PPG (IEEE TBME 64(7), 2017), algorithm 1 (POS);
signal to noise after de Haan, Jeanne: Robust Pulse Rate from Chrominance-Based rPPG (IEEE TBME 60(10), 2013), section
III. Periodograms are averaged over segments after Welch (1967).
Limits: uniform samples are wanted: uneven times are brought to a grid by linear interpolation first.
"""

import numpy as np
from numpy.typing import NDArray

MAX_GAP_S = 0.5  # a longer one is not interpolated over: the stretch ends there
POS_WINDOW_S = 1.6  # Wang et al.: one beat of the slowest rate, 38 per minute
BAND_HZ = (0.7, 4.0)  # 42 to 240 beats per minute
SEGMENT_S = 12.0
STEP_HZ = 1 / 60  # of the spectrum: one beat per minute
# Half the main lobe of a Hann window over 10 seconds is .2 Hz; most of its power is within this.
LOBE_HZ = 0.12
EPSILON = 1e-12


def pos(rgb: NDArray[np.floating], fps: float) -> NDArray[np.float64]:
    """Pulse signal (n,) of mean RGB (n, 3) at a uniform rate, after Wang et al. 2017, algorithm 1.

    Raises ValueError for less than one window of POS_WINDOW_S.
    """
    length = round(POS_WINDOW_S * fps)
    if len(rgb) < length or length < 2:
        raise ValueError(f"POS needs {length} samples, there are {len(rgb)}")
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(rgb, np.float64), length, axis=0)  # (m, 3, l)
    normal = windows / np.maximum(windows.mean(2, keepdims=True), EPSILON)
    first = normal[:, 1] - normal[:, 2]
    second = normal[:, 1] + normal[:, 2] - 2 * normal[:, 0]
    tuned = first + first.std(1, keepdims=True) / np.maximum(second.std(1, keepdims=True), EPSILON) * second
    tuned -= tuned.mean(1, keepdims=True)
    signal = np.zeros(len(rgb))
    for offset in range(length):
        signal[offset : offset + len(tuned)] += tuned[:, offset]
    return signal


def steady_stretch(times_s: NDArray[np.float64]) -> slice:
    """The longest run of times without a gap of more than MAX_GAP_S."""
    if len(times_s) == 0:
        return slice(0, 0)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(times_s) > MAX_GAP_S) + 1, [len(times_s)]])
    spans = times_s[edges[1:] - 1] - times_s[edges[:-1]]
    longest = int(np.argmax(spans))
    return slice(int(edges[longest]), int(edges[longest + 1]))


def spectrum_of(signals: NDArray[np.float64], fps: float) -> NDArray[np.complex128]:
    """Windowed Fourier transforms of signals (k, n) in half-overlapping segments: (k, segments, frequencies of the band),
    at `band()`."""
    length = min(signals.shape[1], round(SEGMENT_S * fps))
    starts = range(0, signals.shape[1] - length + 1, max(1, length // 2))
    segments = np.stack([signals[:, start : start + length] for start in starts], axis=1)
    segments = segments - segments.mean(2, keepdims=True)
    turns = np.exp(-2j * np.pi * np.outer(np.arange(length) / fps, band()))
    return np.asarray((segments * np.hanning(length)) @ turns, np.complex128)


def band() -> NDArray[np.float64]:
    """The frequencies that are looked at, in Hz."""
    return np.arange(BAND_HZ[0], BAND_HZ[1] + STEP_HZ / 2, STEP_HZ)


def signal_to_noise_db(power: NDArray[np.float64], frequency_hz: float) -> float:
    """Power near a frequency and its double, to all the rest of the band, in dB within -60 .. 60 (de Haan and Jeanne)."""
    hz = band()
    near = (np.abs(hz - frequency_hz) <= LOBE_HZ) | (np.abs(hz - 2 * frequency_hz) <= LOBE_HZ)
    signal, noise = float(power[near].sum()), float(power[~near].sum())
    if signal <= EPSILON:
        return -60.0
    return float(np.clip(10 * np.log10(signal / max(noise, EPSILON)), -60, 60))


def on_grid(grid: NDArray[np.float64], times: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.column_stack([np.interp(grid, times, column) for column in values.T])


def detrended(signal: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Less its running mean over a window of POS, as that does to colours."""
    length = round(POS_WINDOW_S * rate)
    padded = np.pad(signal, (length // 2, length - 1 - length // 2), mode="edge")
    return np.asarray(signal - np.convolve(padded, np.full(length, 1 / length), "valid"), np.float64)


def unit_spread(signals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signals (k, n) at unit spread; flat ones stay flat."""
    spread = signals.std(1, keepdims=True)
    return np.asarray(np.where(spread > EPSILON, signals / np.maximum(spread, EPSILON), 0.0), np.float64)
