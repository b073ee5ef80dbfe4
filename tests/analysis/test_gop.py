"""Groups of pictures: rhythms that a test puts in are found with their period, clips encoded once show none."""

import io
import math

import av
import cv2
import numpy as np
import pytest
from skimage import data

from forensics.analysis.gop import ANALYSIS, FORWARD, KEY, MIDDLE_B, B, examine, frames_of
from forensics.analysis.protocol import File
from forensics.analysis.rhythm import find_lost_step, find_rhythm, normal_scores
from forensics.media.facts_types import MAX_PACKETS, FileFacts, PacketFacts
from forensics.media.packets import read_packets
from forensics.media.video import open_container, video_stream

WIDTH, HEIGHT, FRAMES = 96, 80, 200
FIRST_GOP = 12
# Key frames stand where they were asked for, as in a camera.
PRESET = {"preset": "ultrafast", "sc_threshold": "0"}


def moving_picture(seed: int, count: int = FRAMES) -> list[np.ndarray]:
    """A window that drifts over a photograph, with a camera's noise: (80, 96, 3) uint8 RGB each."""
    rng = np.random.default_rng(seed)
    photograph = cv2.GaussianBlur((data.astronaut(), data.coffee(), data.chelsea())[seed % 3], (0, 0), 1.0)
    limit = np.array([photograph.shape[1] - WIDTH - 2, photograph.shape[0] - HEIGHT - 2], float)
    place, speed = rng.uniform(0.1, 0.9, 2) * limit, rng.normal(0, 1.2, 2)
    frames = []
    for _ in range(count):
        speed = 0.98 * (speed + rng.normal(0, 0.15, 2))
        place += speed
        speed = np.where((place < 1) | (place > limit), -speed, speed)
        place = np.clip(place, 1, limit)
        centre = (float(place[0]) + WIDTH / 2, float(place[1]) + HEIGHT / 2)
        view = cv2.getRectSubPix(photograph, (WIDTH, HEIGHT), centre).astype(np.float32)
        frames.append(np.clip(view + rng.normal(0, 2.0, view.shape), 0, 255).astype(np.uint8))
    return frames


def encode(frames: list[np.ndarray], gop: int, **options: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        stream.options = PRESET | options
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return buffer.getvalue()


def decode(clip: bytes) -> list[np.ndarray]:
    with av.open(io.BytesIO(clip)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def file_of(clip: bytes) -> File:
    with open_container(io.BytesIO(clip), "mov") as container:
        packets = read_packets(container, video_stream(container)).facts
    return file_with(packets)


def file_with(packets: PacketFacts | None) -> File:
    return File(FileFacts("mov", 1, 1, {}, (), None, packets, 0, ()), "clip.mp4")


def first_encoding(seed: int) -> list[np.ndarray]:
    return decode(encode(moving_picture(seed), FIRST_GOP, crf="32"))


def make_positive(seed: int) -> File:
    """A clip that was encoded with groups of 12, cut by five to seven frames in the middle, and encoded again."""
    frames = first_encoding(seed)
    at = FRAMES // 2 + seed % 7
    return file_of(encode(frames[:at] + frames[at + 5 + seed % 3 :], 250, crf="22"))


def packets_of(sizes: np.ndarray, key_every: int = 10**6) -> PacketFacts:
    n = len(sizes)
    times = tuple(k / 25 for k in range(n))
    return PacketFacts(times, tuple(int(s) for s in sizes), tuple(k % key_every == 0 for k in range(n)), False)


def sizes_with_rhythm(seed: int, n: int, period: int, rise: float) -> np.ndarray:
    """Sizes of forward-predicted frames: lognormal, and larger by a factor once in a period."""
    sizes = np.random.default_rng(seed).lognormal(7, 0.3, n)
    sizes[3::period] *= rise
    return sizes


def test_inconsistent_for_most_clips_that_lost_frames_between_two_encodings():
    assert sum(examine(make_positive(seed)).state == "inconsistent" for seed in range(20)) >= 16


def test_two_encodings_without_a_cut_are_suspicious_and_the_period_is_found():
    findings = [examine(file_of(encode(first_encoding(seed), 250, crf="22"))) for seed in range(6)]
    assert all(finding.state != "inconsistent" for finding in findings)
    found = [finding for finding in findings if finding.state == "suspicious"]
    assert len(found) >= 5
    assert {finding.measures["period"] for finding in found} == {FIRST_GOP}


@pytest.mark.parametrize("seed", range(6))
def test_clips_that_were_encoded_once_are_consistent(seed):
    options = ({"preset": "veryfast"}, {"bf": "0"}, {"crf": "18"}, {"preset": "faster", "crf": "32"})[seed % 4]
    finding = examine(file_of(encode(moving_picture(seed), (250, 12, 30, 48)[seed % 4], **options)))
    assert finding.state == "consistent"


def test_false_alarms_are_as_many_as_is_said():
    """300 sequences without any rhythm: a number of false alarms of 0.01 each makes 3 expected."""
    rng = np.random.default_rng(5)
    states = []
    for _ in range(300):
        noise = rng.normal(0, 0.3, 150)
        sizes = np.exp(7 + noise + 0.5 * np.cumsum(rng.normal(0, 0.1, 150)))
        states.append(examine(file_with(packets_of(sizes))).state)
    assert states.count("consistent") >= 292


@pytest.mark.parametrize("period", [9, 12, 15, 30, 50])
def test_a_rhythm_is_found_with_its_period_and_phase(period):
    finding = examine(file_with(packets_of(sizes_with_rhythm(period, 12 * period + 100, period, 3.0))))
    assert finding.state == "suspicious"
    assert (finding.measures["period"], finding.measures["phase"]) == (period, 3)
    assert finding.statistic >= ANALYSIS.parameters["suspicious_at"]


@pytest.mark.parametrize("period", [2, 3, 4, 8])
def test_short_rhythms_are_how_encoders_arrange_prediction(period):
    finding = examine(file_with(packets_of(sizes_with_rhythm(1, 300, period, 3.0))))
    assert (finding.state, finding.statistic) == ("consistent", 0.0)


def test_the_clips_own_groups_are_not_taken_for_earlier_ones():
    sizes = np.random.default_rng(2).lognormal(7, 0.3, 400)
    sizes[np.arange(400) % 15 == 7] *= 3  # as rate control may do, at the same place of every group
    assert examine(file_with(packets_of(sizes, key_every=15))).state == "consistent"


def test_a_lost_step_is_placed():
    sizes = sizes_with_rhythm(4, 300, 12, 3.0)
    sizes = np.delete(sizes, np.arange(150, 155))
    finding = examine(file_with(packets_of(sizes)))
    assert finding.state == "inconsistent"
    assert abs(finding.measures["lost_step_frame"] - 150) <= 12
    assert finding.plots[0].marks[0][0] == finding.measures["lost_step_frame"]
    at_key = packets_of(sizes)
    keys = tuple(k in (0, 150) for k in range(len(sizes)))
    changed = examine(file_with(PacketFacts(at_key.times_s, at_key.sizes, keys, False)))
    assert changed.state != "inconsistent"


def test_kinds_of_prediction_follow_from_the_order_of_decoding():
    # Decoded I0 P4 B2 b1 b3 P5, shown 0 1 2 3 4 5.
    packets = PacketFacts((0.0, 4.0, 2.0, 1.0, 3.0, 5.0), (60, 50, 40, 10, 11, 51), (True,) + (False,) * 5, False)
    frames = frames_of(packets)
    assert frames.sizes.tolist() == [60, 10, 40, 11, 50, 51]
    assert frames.kind.tolist() == [KEY, B, MIDDLE_B, B, FORWARD + 4, FORWARD + 1]


@pytest.mark.parametrize(
    "sizes",
    [np.ones(1), np.ones(59), np.ones(500), np.zeros(500), np.arange(1, 200), np.full(300, 2**31 - 1)],
)
def test_too_little_or_too_even(sizes):
    finding = examine(file_with(packets_of(sizes)))
    assert finding.state in ("inconclusive", "consistent")
    assert all(not isinstance(v, float) or math.isfinite(v) for v in finding.measures.values())


@pytest.mark.parametrize("key_every", [1, 2, 3])
def test_clips_of_key_frames_are_inconclusive(key_every):
    finding = examine(file_with(packets_of(np.random.default_rng(0).lognormal(7, 1, 300), key_every)))
    assert finding.state == "inconclusive"


def test_without_packets_or_with_equal_times():
    assert examine(file_with(None)).state == "not applicable"
    equal = PacketFacts((0.0,) * 200, tuple(range(200)), (True,) + (False,) * 199, False)
    assert examine(file_with(equal)).state in ("inconclusive", "consistent")
    assert find_rhythm(np.full(100, np.nan)) is None
    assert find_rhythm(normal_scores(np.zeros(100))) is None
    assert find_lost_step(np.zeros(20)) is None


def test_the_longest_list_takes_little_and_repeats():
    sizes = sizes_with_rhythm(3, MAX_PACKETS, 25, 1.2)
    first, second = (examine(file_with(packets_of(sizes))) for _ in range(2))
    assert (first.state, first.statistic) == (second.state, second.statistic)
    assert first.state == "suspicious"
