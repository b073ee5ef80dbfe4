"""A pulse in the colour of the skin: whether regions of a face show one, and the same.

Blood that comes and goes with each beat changes the colour of skin by less than a per cent, everywhere in a face at the
same time. A face that was made frame by frame need not show it, and where it does, need not agree with itself.
POS of Wang, den Brinker, Stuijk, de Haan (IEEE TBME 64(7), 2017), see `forensics.analysis.skin_signal`; agreement between
regions after Ciftci, Demir, Yin: FakeCatcher (2020), arXiv 1901.02212.
Limits: compression removes the pulse from most video of the web, so that no pulse says nothing. A swap may carry on the
pulse of the person it was laid over. A head that nods at a steady rate looks like a pulse unless its landmarks show it.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from forensics.analysis.face_tracks import MIN_EYES_PX, large_faces, skin_regions
from forensics.analysis.protocol import Analysis, Clip, FaceThroughTime, Finding, Plot, inconclusive, not_applicable
from forensics.analysis.repetition import repeated_frames
from forensics.analysis.skin_signal import (
    BAND_HZ,
    EPSILON,
    LOBE_HZ,
    band,
    detrended,
    on_grid,
    pos,
    signal_to_noise_db,
    spectrum_of,
    steady_stretch,
    unit_spread,
)

MIN_SECONDS = 8.0
MIN_FPS = 15.0
# Signal to noise of the spectrum that regions share, from which a pulse is told from chance, and how many of the regions
# must have their own highest peak within this of it. Of 160 drawn clips without a pulse one passes (5.8 dB); drawn
# pulses of .3 % give 6 to 15 dB, and pulses of .5 % put into the faces of six clips pass 20 times of 24.
PULSE_DB = 4.0
AGREE_BPM = 5.0
MIN_AGREEING = 2
# From this a region's own peak is clear, and two that differ by more than this are two rates.
CLEAR_DB = 5.0
DIFFER_BPM = 12.0
EDGE_BPM = 48.0  # what drifts slowly has its largest power at the lower end of the band
# A peak that surroundings or movement have with this signal to noise is not the skin's.
SHARED_DB = -2.0
MIN_LIGHT = 12.0  # grey levels: in less, rounding to 8 bits is larger than a pulse
MAX_RATE_HZ = 60.0  # the grid: more is not needed for 4 Hz


@dataclass(frozen=True, eq=False)
class Pulse:
    """What a stretch shows. bpm, snr_db: of the spectrum that the regions share; by_region: each region's own rate and
    signal to noise; spectra: power over `rates_bpm` by region, and of `shared`; seconds, fps: of the stretch;
    shared_with: what else has the peak, empty for nothing."""

    bpm: float
    snr_db: float
    by_region: dict[str, tuple[float, float]]
    rates_bpm: NDArray[np.float64]
    spectra: dict[str, NDArray[np.float64]]
    seconds: float
    fps: float
    shared_with: str


def measure_pulse(track: FaceThroughTime, is_repeat: NDArray[np.bool_]) -> Pulse | str:
    """The pulse of a track, or why it cannot be looked for. is_repeat: of the clip's frames."""
    new = np.flatnonzero(~is_repeat[track.frames])
    new = new[steady_stretch(track.times_s[new])]
    times = track.times_s[new]
    seconds = float(times[-1] - times[0]) if len(times) > 1 else 0.0
    fps = (len(times) - 1) / seconds if seconds > 0 else 0.0
    if seconds < MIN_SECONDS or fps < MIN_FPS:
        return f"{seconds:.1f} s at {fps:.1f} frames per second"
    rate = min(fps, MAX_RATE_HZ)
    grid = np.arange(times[0], times[-1], 1 / rate)
    faces = track.faces[new]
    means = {name: faces[:, mask].mean(1, np.float64) for name, mask in skin_regions().items()}
    if min(float(np.median(mean)) for mean in means.values()) < MIN_LIGHT:
        return "too little light"
    regions = np.stack([pos(on_grid(grid, times, mean), rate) for mean in means.values()])
    transforms = spectrum_of(unit_spread(regions), rate)
    power = (np.abs(transforms) ** 2).mean(1)
    power /= np.maximum(power.sum(1, keepdims=True), EPSILON)
    transforms = transforms / np.sqrt(np.maximum((np.abs(transforms) ** 2).sum(2, keepdims=True), EPSILON))
    pairs = [(transforms[a] * transforms[b].conj()).real.mean(0) for a, b in combinations(range(len(regions)), 2)]
    shared = np.maximum(np.mean(pairs, axis=0), 0.0)
    hz = band()
    best = float(hz[int(np.argmax(shared))])
    own = {}
    for name, region in zip(means, power, strict=True):
        peak = float(hz[int(np.argmax(region))])
        own[name] = (60 * peak, signal_to_noise_db(region, peak))
    spectra = {name: region / max(float(region.max()), EPSILON) for name, region in zip(means, power, strict=True)}
    spectra["shared"] = shared / max(float(shared.max()), EPSILON)
    other = _shared_with(track, new, grid, rate, best)
    return Pulse(60 * best, signal_to_noise_db(shared, best), own, 60 * hz, spectra, seconds, fps, other)


def _shared_with(
    track: FaceThroughTime, new: NDArray[np.int64], grid: NDArray[np.float64], rate: float, frequency_hz: float
) -> str:
    """What else changes at a frequency: the surroundings, the movement of the landmarks; empty for nothing."""
    times = track.times_s[new]
    around = on_grid(grid, times, track.around[new].astype(np.float64))
    middle = on_grid(grid, times, track.landmarks[new].astype(np.float64).mean(1))
    signals = {
        "the surroundings": [pos(around, rate), detrended(np.log(around.mean(1) + 1.0), rate)],
        "the movement of the face": [detrended(middle[:, axis], rate) for axis in (0, 1)],
    }
    for name, several in signals.items():
        power = (np.abs(spectrum_of(unit_spread(np.stack(several)), rate)) ** 2).mean(1)
        if any(_has_peak(row, frequency_hz) for row in power):
            return name
    return ""


def _has_peak(power: NDArray[np.float64], frequency_hz: float) -> bool:
    """Whether a spectrum stands out at a frequency, and not only as the flank of what drifts more slowly."""
    hz = band()
    here, below = np.abs(hz - frequency_hz) <= LOBE_HZ, np.abs(hz - frequency_hz + 2 * LOBE_HZ) <= LOBE_HZ
    is_flank = bool(below.any()) and float(power[below].mean()) > float(power[here].mean())
    return not is_flank and signal_to_noise_db(power, frequency_hz) >= SHARED_DB


def disagreement_bpm(pulse: Pulse) -> float | None:
    """The largest difference between rates of regions with a clear peak, None for fewer than two; one rate that is twice
    the other is no difference (a harmonic)."""
    clear = [bpm for bpm, snr_db in pulse.by_region.values() if snr_db >= CLEAR_DB and bpm > EDGE_BPM]
    if len(clear) < 2:
        return None
    return max(min(abs(b - a), abs(b - 2 * a), abs(a - 2 * b)) for a, b in combinations(clear, 2))


def examine(clip: Clip) -> Finding:
    """The pulse of the face that is followed longest; see the module."""
    if not clip.tracks:
        return not_applicable("No face was followed through the frames.")
    large = large_faces(clip)
    if not large:
        return inconclusive(f"No face has eyes {MIN_EYES_PX:.0f} pixels apart.", {"faces": len(clip.tracks)})
    track = max(large, key=lambda one: (len(one.frames), -one.id))
    pulse = measure_pulse(track, repeated_frames(clip.gray))
    if not isinstance(pulse, str):
        return _finding(track, pulse)
    return inconclusive(
        f"A pulse needs {MIN_SECONDS:.0f} s at {MIN_FPS:.0f} new frames per second in enough light; the face that is"
        f" followed longest gives {pulse}.",
        {"face": track.id},
    )


def _finding(track: FaceThroughTime, pulse: Pulse) -> Finding:
    agreeing = sum(abs(bpm - pulse.bpm) <= AGREE_BPM for bpm, _ in pulse.by_region.values())
    apart = disagreement_bpm(pulse)
    measures: dict[str, float | int | str | bool | None] = {
        "face": track.id,
        "seconds": round(pulse.seconds, 2),
        "new frames per second": round(pulse.fps, 2),
        "shared rate (per minute)": round(pulse.bpm, 1),
        "shared signal to noise (dB)": round(pulse.snr_db, 2),
        "regions at the shared rate": agreeing,
        "peak shared with": pulse.shared_with or None,
        "clear rates apart (per minute)": None if apart is None else round(apart, 1),
    }
    for name, (bpm, snr_db) in pulse.by_region.items():
        measures[f"{name}: rate (per minute)"] = round(bpm, 1)
        measures[f"{name}: signal to noise (dB)"] = round(snr_db, 2)
    where = f"In {pulse.seconds:.1f} s of face {track.id}, forehead and cheeks"
    strongest = f"{where} share their strongest peak at {pulse.bpm:.0f} per minute ({pulse.snr_db:.1f} dB"
    agree = f"{strongest}; {agreeing} of {len(pulse.by_region)} regions agree)"
    plots = (_plot(track, pulse),)
    if pulse.shared_with:
        text = f"{strongest}), which is also that of {pulse.shared_with}: it cannot be told from a pulse."
        return Finding("inconclusive", text, measures, apart, plots=plots)
    if apart is not None and apart >= DIFFER_BPM:
        rates = ", ".join(f"{name} {bpm:.0f}" for name, (bpm, snr_db) in pulse.by_region.items() if snr_db >= CLEAR_DB)
        text = f"{where} show clear peaks at different rates per minute ({rates}): inconsistent with one pulse."
        return Finding("suspicious", text, measures, apart, plots=plots)
    if pulse.snr_db >= PULSE_DB and agreeing >= MIN_AGREEING:
        return Finding("consistent", f"{agree}: consistent with a pulse.", measures, apart, plots=plots)
    text = f"{agree}: too weak to be told from chance, as in most compressed video."
    return Finding("inconclusive", text, measures, apart, plots=plots)


def _plot(track: FaceThroughTime, pulse: Pulse) -> Plot:
    caption = "Power of the pulse signal by rate, each at its own scale; a pulse is a peak that all regions share."
    mark = ((pulse.bpm, f"{pulse.bpm:.0f}"),)
    name = f"pulse-face-{track.id}"
    return Plot(name, pulse.rates_bpm, pulse.spectra, "rate (per minute)", "relative power", caption, mark)


ANALYSIS: Analysis[Clip] = Analysis(
    name="pulse",
    title="Pulse in the skin",
    family="physiology",
    needs="clip",
    question="Do the regions of a face show one pulse?",
    method=(
        "The colour of forehead and cheeks is projected on the plane in which a pulse shows and light does not, and their"
        " spectra are compared: a pulse is a peak that they share with each other, but not with surroundings and"
        " movement."
    ),
    citation=(
        "Wang, den Brinker, Stuijk, de Haan (2017): Algorithmic Principles of Remote PPG, IEEE TBME 64(7); de Haan,"
        " Jeanne (2013): Robust Pulse Rate from Chrominance-Based rPPG, IEEE TBME 60(10); Ciftci, Demir, Yin (2020):"
        " FakeCatcher, arXiv 1901.02212"
    ),
    limits=(
        "Compression removes the pulse from most video, so its absence is inconclusive. A swap may carry on the pulse of"
        " the person it was laid over. Needs 8 s at 15 frames per second of a face that is held fairly still."
    ),
    benign=(
        "for different rates: movement, light that moves over a part of the face, hair on the forehead, make-up",
        "for no pulse: compression, darkness, movement, a beauty filter",
        "for a pulse: rhythmic movement or light that is not told from it",
    ),
    parameters={
        "suspicious from (rates apart, per minute)": DIFFER_BPM,
        "clear from (dB)": CLEAR_DB,
        "pulse from (dB)": PULSE_DB,
        "regions that agree, at least": MIN_AGREEING,
        "agree within (per minute)": AGREE_BPM,
        "shared from (dB)": SHARED_DB,
        "least seconds": MIN_SECONDS,
        "least frames per second": MIN_FPS,
        "lowest rate (per minute)": 60 * BAND_HZ[0],
        "highest rate (per minute)": 60 * BAND_HZ[1],
        "least distance of the eyes (pixels)": MIN_EYES_PX,
    },
    examine=examine,
)
