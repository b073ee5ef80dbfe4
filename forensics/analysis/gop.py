"""Groups of pictures: how often key frames come, and whether inter-coded frames carry the rhythm of an earlier encoding.

A clip that was encoded twice keeps traces of its first structure. Frames that were intra-coded the first time were
predicted from nothing, so they differ from the frame before by more than others do: the second encoder spends more
bytes there, once in every period of the first encoding. Where frames were taken out or put in between the two
encodings, the rhythm loses its step.

Wang, Farid: Exposing digital forgeries in video by detecting double MPEG compression (ACM MM&Sec 2006), section 3: the
periodic rise of prediction error, and its loss of step behind deleted frames. Vazquez-Padin et al.: Detection of video
double encoding with GOP size estimation (WIFS 2012): the period of the prediction footprint. Both read macroblocks or
errors; here only the sizes of packets are at hand, which carry the same rhythm more weakly.

How surprising a rhythm is, is counted as a number of false alarms (Desolneux, Moisan, Morel 2000): the tail probability
of the sum of normal scores (van der Waerden 1952) at one period and phase, times the number of periods and phases
tried.

Limits: blind where the second encoding has few bits per frame, where its key frames fall on the first one's, where the
first had irregular key frames, and where fewer than six periods are there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forensics.analysis.protocol import Analysis, File, Finding, Measure, Plot, State, inconclusive, not_applicable
from forensics.analysis.rhythm import (
    MAX_OTHER_Z,
    MAX_PERIOD,
    MIN_PERIOD,
    MIN_REPEATS,
    MIN_SIDE_Z,
    LostStep,
    find_lost_step,
    find_rhythm,
    normal_scores,
)
from forensics.media.facts_types import PacketFacts

MIN_FRAMES = 60
# More frames make the same rhythm only clearer; frames times periods is what the search costs.
MAX_FRAMES = 6_000
# Kinds of prediction; forward prediction over a longer distance leaves a larger frame.
KEY, B, MIDDLE_B, FORWARD = 0, 1, 2, 3
MAX_DISTANCE = 16  # x264 and x265 put at most 16 B-frames between two references
MIN_OF_KIND = 8  # frames of one kind, below which their usual size is not known
# Frames on each side whose median is the expected size.
NEIGHBOURS = 4
# The first inter-coded frames behind a key frame are larger or smaller than others, whatever the history.
SETTLING_FRAMES = 2
# -log10 of the number of false alarms: one in a hundred clips encoded once.
SUSPICIOUS_AT = 2.0


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames in the order of presentation: sizes (n,) in bytes; is_key (n,); kind (n,): what the order of decoding tells of
    the prediction, equal for frames that are predicted alike (KEY, B, MIDDLE_B, or FORWARD + distance to its reference)."""

    sizes: NDArray[np.float64]
    is_key: NDArray[np.bool_]
    kind: NDArray[np.int64]


def frames_of(packets: PacketFacts) -> Frames:
    """Packets sorted by time. A frame shown before one that was decoded earlier is a B-frame; one that is itself waited for
    by such a frame is the middle of a pyramid."""
    times = np.array(packets.times_s[:MAX_FRAMES])
    is_key = np.array(packets.is_key[:MAX_FRAMES], bool)
    is_late = times < np.maximum.accumulate(times)
    soonest_later = np.append(np.minimum.accumulate(times[::-1])[::-1][1:], np.inf)
    kind = np.where(is_late, np.where(soonest_later < times, MIDDLE_B, B), FORWARD)
    order = np.argsort(times, kind="stable")
    kind = np.where(is_key, KEY, kind)[order]
    anchors = np.flatnonzero((kind == FORWARD) | (kind == KEY))
    distance = np.zeros(len(kind), np.int64)
    distance[anchors] = np.diff(anchors, prepend=-1)
    kind = np.where(kind == FORWARD, FORWARD + np.minimum(distance, MAX_DISTANCE), kind)
    return Frames(np.array(packets.sizes[:MAX_FRAMES], np.float64)[order], is_key[order], kind)


def size_residue(frames: Frames) -> NDArray[np.float64]:
    """How far each frame's size stands above its neighbours' when the kinds of prediction are made comparable: (n,) natural
    logarithms, nan where not judged.

    What depends on the place behind the last key frame alone is taken away where three groups or more show it.
    """
    log_sizes = np.log(np.maximum(frames.sizes, 1.0))
    level = np.full(len(log_sizes), np.nan)
    for kind in np.unique(frames.kind[frames.kind != KEY]):
        same = frames.kind == kind
        if same.sum() >= MIN_OF_KIND:
            level[same] = log_sizes[same] - np.median(log_sizes[same])
    since_key = _since_key(frames.is_key)
    level[since_key <= SETTLING_FRAMES] = np.nan
    places = np.flatnonzero(np.isfinite(level))
    if len(places) <= 2 * NEIGHBOURS:
        return np.full(len(level), np.nan)
    padded = np.pad(level[places], NEIGHBOURS, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    residue = level.copy()
    residue[places] -= np.median(np.delete(windows, NEIGHBOURS, axis=1), axis=1)
    return _without_own_rhythm(residue, since_key)


def examine(file: File) -> Finding:
    """The rhythm's strength decides; a rhythm that loses its step is more than a second encoding explains."""
    packets = file.facts.packets
    if packets is None:
        return not_applicable("The file has no packets of a video stream.")
    frames = frames_of(packets)
    n = len(frames.sizes)
    intervals = np.diff(np.flatnonzero(frames.is_key))
    measures: dict[str, Measure] = {"frames": n, "key_frames": int(frames.is_key.sum())}
    if len(intervals):
        measures["key_interval_median"] = float(np.median(intervals))
        measures["key_interval_regular_share"] = round(float(np.mean(intervals == np.median(intervals))), 4)
    structure = f"Of {n} frames {int(frames.is_key.sum())} are key frames{_interval_words(intervals)}."
    residue = size_residue(frames)
    is_judged = np.isfinite(residue)
    if n < MIN_FRAMES or is_judged.sum() < MIN_FRAMES // 2:
        return inconclusive(f"{structure} That is too few inter-coded frames to look for a rhythm.", measures)
    scores = normal_scores(residue)
    rhythm = find_rhythm(scores)
    if rhythm is None:
        return inconclusive(f"{structure} Their sizes do not vary enough to look for a rhythm.", measures)
    measures |= {"period": rhythm.period, "phase": rhythm.phase, "strength": round(rhythm.strength, 3)}
    is_short = rhythm.period < MIN_PERIOD
    lost = find_lost_step(scores)
    if lost is not None and lost.strength > max(rhythm.strength, SUSPICIOUS_AT):
        return _of_lost_step(lost, frames, structure, measures, residue)
    if is_short and rhythm.strength >= SUSPICIOUS_AT:
        words = f"The sizes of inter-coded frames peak every {rhythm.period} frames, as encoders arrange prediction"
        return _finding("consistent", f"{structure} {words}.", measures, 0.0, residue)
    words = (
        f"The sizes of inter-coded frames peak most regularly every {rhythm.period} frames "
        f"(-log10 of the number of false alarms: {rhythm.strength:.1f})"
    )
    is_clear = not is_short and rhythm.strength >= SUSPICIOUS_AT
    words += ", which is consistent with an earlier encoding of that period" if is_clear else ", which chance explains"
    state: State = "suspicious" if is_clear else "consistent"
    return _finding(state, f"{structure} {words}.", measures, rhythm.strength, residue)


def _of_lost_step(
    lost: LostStep,
    frames: Frames,
    structure: str,
    measures: dict[str, Measure],
    residue: NDArray[np.float64],
) -> Finding:
    measures |= {"lost_step_frame": lost.place, "lost_step_period": lost.period}
    measures["lost_step_strength"] = round(lost.strength, 3)
    words = (
        f"The sizes of inter-coded frames peak every {lost.period} frames, and near frame {lost.place} the peaks move from "
        f"phase {lost.phases[0]} to {lost.phases[1]} (-log10 of the number of false alarms: {lost.strength:.1f})"
    )
    if _is_at_key_frame(frames, lost):
        words += "; a key frame stands there too, as where the picture changes and any encoder begins anew"
        return _finding("suspicious", f"{structure} {words}.", measures, lost.strength, residue, lost.place)
    words += ", which is inconsistent with an uninterrupted recording that was encoded twice"
    return _finding("inconsistent", f"{structure} {words}.", measures, lost.strength, residue, lost.place)


def _is_at_key_frame(frames: Frames, lost: LostStep) -> bool:
    """Whether a key frame stands within two periods of a lost step: encoders with adaptive key frames restart there."""
    return bool(frames.is_key[max(1, lost.place - 2 * lost.period) : lost.place + 2 * lost.period].any())


def _finding(
    state: State,
    observation: str,
    measures: Mapping[str, Measure],
    strength: float,
    residue: NDArray[np.float64],
    place: int | None = None,
) -> Finding:
    marks = () if place is None else ((float(place), "loses its step"),)
    return Finding(state, observation, measures, round(max(0.0, strength), 4), plots=(_plot(residue, marks),))


def _since_key(is_key: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Frames since the last key frame; counted from the start where there is none before."""
    places = np.arange(len(is_key))
    last = np.maximum.accumulate(np.where(is_key, places, 0))
    return np.asarray(places - last, np.int64)


def _without_own_rhythm(residue: NDArray[np.float64], since_key: NDArray[np.int64]) -> NDArray[np.float64]:
    cleaned = residue.copy()
    groups = 3
    for place in range(int(since_key.max()) + 1):
        same = np.flatnonzero((since_key == place) & np.isfinite(residue))
        if len(same) >= groups:
            cleaned[same] -= np.median(residue[same])
    return cleaned


def _interval_words(intervals: NDArray[np.int64]) -> str:
    if len(intervals) == 0:
        return ""
    middle = int(np.median(intervals))
    return f", {middle} frames apart in the median ({np.mean(intervals == middle):.0%} of the intervals are that)"


def _plot(residue: NDArray[np.float64], marks: tuple[tuple[float, str], ...]) -> Plot:
    return Plot(
        "gop-residue",
        np.arange(len(residue), dtype=np.float64),
        {"log size above neighbours": np.nan_to_num(residue)},
        "frame",
        "natural logarithm",
        "Sizes of inter-coded frames against their neighbours, kinds of prediction made comparable (0 where not judged)",
        marks,
    )


ANALYSIS = Analysis(
    name="gop",
    title="Groups of pictures",
    family="compression",
    needs="file",
    question="Do the sizes of the frames carry the rhythm of an earlier encoding, and does that rhythm keep its step?",
    method=(
        "Compares the size of every inter-coded frame with its neighbours' and looks for a period at which large "
        "ones recur; "
        "how surprising that is, is counted over all periods and phases that were tried."
    ),
    citation=(
        "Wang, W., Farid, H. (2006). Exposing digital forgeries in video by detecting double MPEG compression. "
        "ACM Workshop on Multimedia "
        "and Security; Vazquez-Padin, D. et al. (2012). Detection of video double encoding with GOP size "
        "estimation. IEEE WIFS."
    ),
    limits=(
        "Only sizes of packets are read. Blind where the first encoding had irregular or few key frames, where "
        "the second one's key frames "
        "fall on them, or where the second left few bits for each frame. A second encoding is not a change of content."
    ),
    benign=(
        "The clip was shared: messengers and web services encode everything again.",
        "A recorder, a stream or an editor's export inserts periodic frames of its own.",
        "What is shown repeats itself at a fixed rate: a blinking light, a converted frame rate.",
        "For a lost step: a recorder dropped frames, or clips were joined or trimmed in an ordinary edit.",
    ),
    parameters={
        "suspicious_at": SUSPICIOUS_AT,
        "min_side_z": MIN_SIDE_Z,
        "max_other_z": MAX_OTHER_Z,
        "min_period": MIN_PERIOD,
        "max_period": MAX_PERIOD,
        "min_repeats": MIN_REPEATS,
        "min_frames": MIN_FRAMES,
    },
    examine=examine,
)
