"""Periodic peaks of a picture's spectrum, as the up-sampling layers of generators leave them.

Transposed convolutions and nearest-neighbour up-sampling treat pixels of different phase differently, which repeats over
the whole picture and adds up in the mean spectrum of many tiles, while what is depicted averages out.
Zhang, Karaman, Chang: Detecting and Simulating Artifacts in GAN Fake Images (2019, WIFS), arXiv 1907.06515; Marra,
Gragnaniello, Verdoliva, Poggi: Do GANs Leave Artificial Fingerprints? (2019, MIPR), arXiv 1812.11842; Corvi, Cozzolino,
Poggi, Nagano, Verdoliva: Intriguing Properties of Synthetic Images (2023, CVPR workshops), arXiv 2304.06408.
Limits: JPEG's blocks have the same periods (multiples of 1/8), so that in a JPEG, or where its grid is found, only others
count; many generators leave no peaks, and their absence says nothing.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from forensics.analysis.blocks import is_smaller, luma
from forensics.analysis.jpeg_grid import main_grid, votes, votes_per_cell
from forensics.analysis.periodicity import EULER, excess, frequencies, is_searched
from forensics.analysis.protocol import Analysis, Finding, Map, Picture, Plot, State, not_applicable
from forensics.features.tiles import spread_tiles

TILE_PX = 128
MIN_TILES = 4
MAX_TILES = 48
# Logarithms of a periodogram have this standard deviation: pi / sqrt(6).
LOG_SD = float(np.pi / np.sqrt(6))
# Peaks at Nyquist's frequency are those of the mosaic of colour filters, and of any enlargement by two.
NYQUIST_MARGIN_BINS = 1.5
# Periods of four, eight and sixteen pixels: up-sampling by two, two to four times over.
LONGEST_PERIOD = 16
# Bins that count as one peak.
PEAK_BINS = 2
MAX_PEAKS = 24
# log10 of the number of false alarms from which a bin is a peak; how many on the periods of up-sampling make a lattice.
PEAK_NFA = -3.0
SUSPICIOUS = 6.0
INCONSISTENT = 8.0
MIN_LATTICE_PEAKS = 3


@dataclass(frozen=True)
class Peak:
    """Frequencies in cycles per pixel, down and across; excess: log of its power over the neighbourhood's; log10_nfa."""

    down: float
    across: float
    excess: float
    log10_nfa: float
    row: int
    column: int

    @property
    def is_on_lattice(self) -> bool:
        """Whether its period is that of repeated up-sampling by two, within half a bin of a tile's spectrum."""
        return all(
            abs(f * LONGEST_PERIOD - round(f * LONGEST_PERIOD)) / LONGEST_PERIOD * TILE_PX <= 0.5 for f in self._both
        )

    @property
    def _both(self) -> tuple[float, float]:
        return self.down, self.across


def tile_corners(height: int, width: int) -> NDArray[np.int64]:
    """Top and left of at most MAX_TILES tiles, spread evenly, (n, 2); they overlap where the picture is small."""
    rows, columns = (max(1, 2 * side // TILE_PX - 1) for side in (height, width))
    shrink = min(1.0, (MAX_TILES / (rows * columns)) ** 0.5)
    rows, columns = max(1, int(rows * shrink)), max(1, int(columns * shrink))
    rows, columns = min(rows, MAX_TILES // min(columns, MAX_TILES)), min(columns, MAX_TILES)
    down = np.linspace(0, height - TILE_PX, rows).astype(np.int64)
    across = np.linspace(0, width - TILE_PX, columns).astype(np.int64)
    return np.stack(np.meshgrid(down, across, indexing="ij"), axis=-1).reshape(-1, 2)


def log_spectra(gray: NDArray[np.uint8], corners: NDArray[np.int64]) -> NDArray[np.float32]:
    """Log power of the residual of a 3 x 3 median in each tile that is not flat: (n, TILE_PX, TILE_PX), frequency 0 in
    the middle.

    A flat tile's spectrum is 0 everywhere.
    """
    taper = np.hanning(TILE_PX + 1)[:TILE_PX].astype(np.float32)
    out = np.zeros((len(corners), TILE_PX, TILE_PX), np.float32)
    for index, (top, left) in enumerate(corners):
        tile = gray[top : top + TILE_PX, left : left + TILE_PX]
        residual = tile.astype(np.float32) - cv2.medianBlur(tile, 3)
        if residual.std() < 0.1:
            continue
        spectrum = np.fft.fftshift(np.fft.fft2((residual - residual.mean()) * taper[:, None] * taper[None, :]))
        out[index] = np.log(spectrum.real**2 + spectrum.imag**2 + 1e-3)
    return out


def find_peaks(above: NDArray[np.float32], searched: NDArray[np.bool_], tiles: int) -> list[Peak]:
    """Peaks, the surest first. above: `excess`; tiles: how many were averaged.

    The spread is that of averaged logarithms of noise, or what the spectrum itself shows where that is more.
    """
    usual = above[searched]
    middle = float(np.median(usual))
    spread = max(LOG_SD / np.sqrt(max(tiles / 2, 1)), float(np.median(np.abs(usual - middle))) / 0.6745)
    tail = (log_ndtr(-(above - middle) / spread) / np.log(10) + np.log10(searched.sum())).astype(np.float64)
    remaining = np.where(searched, tail, 0.0)
    f = frequencies(TILE_PX)
    found: list[Peak] = []
    while len(found) < MAX_PEAKS:
        row, column = (int(i) for i in np.unravel_index(int(remaining.argmin()), remaining.shape))
        if remaining[row, column] > PEAK_NFA:
            break
        found.append(
            Peak(float(f[row]), float(f[column]), float(above[row, column]), float(remaining[row, column]), row, column)
        )
        remaining[
            max(0, row - PEAK_BINS) : row + PEAK_BINS + 1, max(0, column - PEAK_BINS) : column + PEAK_BINS + 1
        ] = 0
    return found


def was_jpeg(picture: Picture) -> bool:
    """Whether the file is a JPEG or shows a JPEG grid, which leaves peaks of its own."""
    if picture.jpeg is not None:
        return True
    # Tiles on whole blocks are enough for a grid that covers the picture; a cropped one lies alike in all of them.
    tables = [votes_per_cell(votes(luma(tile))) for tile in spread_tiles(picture.pixels)]
    return main_grid(np.concatenate([table.reshape(-1, 1, 64) for table in tables])).log10_nfa <= PEAK_NFA


def examine(picture: Picture) -> Finding:
    """State, where the peaks are strongest, and the excess along both axes of the spectrum."""
    if is_smaller(picture.pixels, TILE_PX):
        return not_applicable(f"The picture is smaller than {TILE_PX} pixels on a side.")
    gray = luma(picture.pixels)
    corners = tile_corners(*gray.shape)
    spectra = log_spectra(gray, corners)
    textured = spectra.any((1, 2))
    if textured.sum() < MIN_TILES:
        return Finding(
            "inconclusive", f"Only {int(textured.sum())} of {len(corners)} tiles are not flat: {MIN_TILES} are needed."
        )
    has_blocks = was_jpeg(picture)
    above = excess(spectra[textured].mean(0) + np.float32(EULER))
    searched = is_searched(TILE_PX, without_jpeg=has_blocks) & ~_near_nyquist()
    peaks = find_peaks(above, searched, int(textured.sum()))
    lattice = [peak for peak in peaks if peak.is_on_lattice]
    # Peaks elsewhere are what fabric, prints and resizes leave: they are told, and decide nothing.
    statistic = -lattice[0].log10_nfa if lattice else 0.0
    measures: dict[str, float | int | str | bool | None] = {
        "peaks": len(peaks),
        "peaks_on_upsampling_periods": len(lattice),
        "tiles": int(textured.sum()),
        "multiples_of_an_eighth_left_out": has_blocks,
    }
    maps = (_where(spectra, corners, lattice or peaks, gray.shape),)
    plots = (_profile(above, searched, peaks),)
    left_out = "Multiples of 1/8 were left out, since JPEG's blocks have them. " if has_blocks else ""
    if statistic < SUSPICIOUS:
        said = (
            f"{left_out}No period of up-sampling by two stands out of the mean spectrum of "
            f"{int(textured.sum())} tiles (-log10 of the "
            f"number of false alarms {statistic:.1f}); {len(peaks)} other frequencies do, as in regular texture "
            f"or after a resize."
        )
        return Finding("consistent", said, measures, statistic, maps, plots)
    first = lattice[0]
    measures |= {"frequency_down": first.down, "frequency_across": first.across, "excess_log": first.excess}
    said = (
        f"{left_out}{len(peaks)} frequencies stand out of the mean spectrum of {int(textured.sum())} tiles, "
        f"{len(lattice)} of them "
        f"with periods of up-sampling by two; the surest of these is {first.down:.3f} down, {first.across:.3f} "
        f"across cycles per pixel "
        f"(-log10 of the number of false alarms {statistic:.1f})."
    )
    sure = [peak for peak in lattice if -peak.log10_nfa >= INCONSISTENT]
    state: State = "inconsistent" if len(lattice) >= MIN_LATTICE_PEAKS and sure else "suspicious"
    if state == "suspicious":
        said += " A print, a screen or a fabric can leave such a peak as well."
    return Finding(state, said, measures, statistic, maps, plots)


def _near_nyquist() -> NDArray[np.bool_]:
    """Places where both frequencies are 0 or Nyquist's."""
    f = np.abs(frequencies(TILE_PX)) * TILE_PX
    near = (f <= NYQUIST_MARGIN_BINS) | (f >= TILE_PX / 2 - NYQUIST_MARGIN_BINS)
    return np.asarray(near[:, None] & near[None, :])


def _where(spectra: NDArray[np.float32], corners: NDArray[np.int64], peaks: list[Peak], shape: tuple[int, ...]) -> Map:
    """How far the surest peaks stand out in each tile."""
    cell = TILE_PX // 2
    values = np.zeros((max(1, shape[0] // cell), max(1, shape[1] // cell)), np.float32)
    for log, (top, left) in zip(spectra, corners, strict=True):
        if not peaks or not log.any():
            continue
        above = excess(log)
        here = float(np.mean([above[peak.row, peak.column] for peak in peaks[:4]]))
        part = values[top // cell : top // cell + 2, left // cell : left // cell + 2]
        # Three in natural logarithms, twenty times the power around it: chance gives that to one bin in 600 million.
        np.maximum(part, np.clip(here / 3, 0, 1), out=part)
    return Map("spectrum-peaks", values, "Tiles in which the frequencies that were found stand out.")


def _profile(above: NDArray[np.float32], searched: NDArray[np.bool_], peaks: list[Peak]) -> Plot:
    """The greatest excess at each frequency, over the other direction."""
    shown = np.where(searched, above, 0)
    middle = TILE_PX // 2
    folded = np.maximum(shown, np.roll(shown[::-1, ::-1], 1, (0, 1)))
    marks = tuple((abs(peak.across), f"{abs(peak.across):.3f}") for peak in peaks[:3])
    return Plot(
        "spectrum-peaks-profile",
        np.abs(frequencies(TILE_PX)[middle:0:-1]),
        {
            "across": folded.max(0)[middle:0:-1].astype(np.float64),
            "down": folded.max(1)[middle:0:-1].astype(np.float64),
        },
        "frequency (cycles per pixel)",
        "log power over the neighbourhood",
        "A generator's up-sampling leaves narrow peaks at simple fractions.",
        marks,
    )


ANALYSIS = Analysis[Picture](
    name="spectrum-peaks",
    title="Peaks of the spectrum",
    family="content",
    needs="picture",
    question="Does the picture repeat with the periods of a generator's up-sampling layers?",
    method="The spectra of many tiles are averaged; frequencies that stand out of their neighbourhood are "
    "periods of the whole "
    "picture, and those of 4, 8 and 16 pixels are what repeated up-sampling by two leaves.",
    citation="Zhang, Karaman, Chang: Detecting and Simulating Artifacts in GAN Fake Images, WIFS (2019), arXiv "
    "1907.06515; Marra et "
    "al.: Do GANs Leave Artificial Fingerprints?, MIPR (2019), arXiv 1812.11842; Corvi et al.: Intriguing Properties of "
    "Synthetic Images, CVPR workshops (2023), arXiv 2304.06408",
    limits="In a JPEG the commonest periods (4 and 8 pixels) cannot be told from the format's own; many "
    "generators leave none.",
    benign=(
        "a resize by a whole factor, a scan of a print, a photograph of a screen",
        "fabric, bricks, fences and other regular texture",
        "a watermark that repeats, and interference in the sensor",
    ),
    parameters={
        "tile_px": TILE_PX,
        "max_tiles": MAX_TILES,
        "peak_log10_nfa": PEAK_NFA,
        "suspicious_log10": SUSPICIOUS,
        "inconsistent_log10": INCONSISTENT,
        "min_lattice_peaks": MIN_LATTICE_PEAKS,
        "longest_period_px": LONGEST_PERIOD,
    },
    examine=examine,
)
