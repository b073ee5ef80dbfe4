"""Frames by their presentation time: each sample is the frame that it says it is."""

import itertools
from pathlib import Path

import av
import numpy as np
import pytest
from frame_numbers import (
    BLOCK_PX,
    HEIGHT,
    WIDTH,
    number_of,
    numbered_frame,
    numbered_frames,
    with_display_matrix,
    with_index_first,
    write_timed_clip,
)

from forensics.common.errors import MediaError
from forensics.common.outcomes import Outcome
from forensics.media import video
from forensics.media.sniff import HEAD_BYTES, sniff
from forensics.media.types import DecodeSummary, MediaInfo, MediaLimits, Sample, Sampling
from forensics.media.video import Timing, decode_video, sample_times

FPS = 25
LIMITS = MediaLimits()
CONTAINERS = [
    ("mp4", "libx264"),
    ("mov", "mpeg4"),
    ("mkv", "libx264"),
    ("webm", "libvpx-vp9"),
    ("avi", "mpeg4"),
    ("ts", "libx264"),
    ("mpg", "mpeg2video"),
    ("flv", "flv1"),
]


def decode(
    path: Path, sampling: Sampling, limits: MediaLimits = LIMITS
) -> tuple[MediaInfo, list[Sample], DecodeSummary]:
    with path.open("rb") as file:
        demuxer = sniff(file.read(HEAD_BYTES)).name
        info, *samples, summary = decode_video(file, demuxer, sampling, limits, 1)
    assert isinstance(info, MediaInfo)
    assert isinstance(summary, DecodeSummary)
    assert all(isinstance(sample, Sample) for sample in samples)
    return info, samples, summary


def numbers_and_times(samples: list[Sample]) -> list[tuple[int, float]]:
    return [(number_of(sample.pixels), sample.timestamp_s) for sample in samples]


@pytest.fixture(scope="module")
def hundred(tmp_path_factory, clip_writer) -> Path:
    """Four seconds of numbered frames, the index first."""
    folder = tmp_path_factory.mktemp("hundred")
    return with_index_first(clip_writer(folder / "last.mp4", numbered_frames(100)), folder / "first.mp4")


@pytest.fixture(scope="module")
def minute(tmp_path_factory, clip_writer):
    """One minute of numbered frames per container, made when asked for."""
    folder = tmp_path_factory.mktemp("minute")

    def make(suffix: str, codec: str) -> Path:
        return clip_writer(folder / f"{codec}.{suffix}", numbered_frames(1500), codec=codec, gop=50)

    return make


@pytest.mark.parametrize(("suffix", "codec"), CONTAINERS)
def test_every_frame_has_its_own_time(tmp_path, clip_writer, suffix, codec):
    path = clip_writer(tmp_path / f"clip.{suffix}", numbered_frames(50), codec=codec)
    info, samples, summary = decode(path, Sampling(fps=240, max_frames=1000))
    assert [number for number, _ in numbers_and_times(samples)] == list(range(50))
    assert np.allclose([sample.timestamp_s for sample in samples], np.arange(50) / FPS, atol=0.002)
    assert (info.width, info.height, info.frames_found) == (WIDTH, HEIGHT, 50)
    assert info.duration_s == pytest.approx(2.0, abs=0.01)
    assert not info.is_variable_rate
    assert summary == DecodeSummary(50, 50)


def test_samples_are_spread_over_all_of_it(hundred):
    info, samples, _ = decode(hundred, Sampling(fps=4))
    times = [sample.timestamp_s for sample in samples]
    assert len(samples) == 16
    assert "16 frames" in info.sampling
    assert times[0] < 0.25
    assert times[-1] > 3.75
    assert max(np.diff(times)) < 0.3
    assert all(number == round(time_s * FPS) for number, time_s in numbers_and_times(samples))


@pytest.mark.parametrize("most", [1, 2, 7])
def test_max_frames_thins_out_and_does_not_cut_off(hundred, most):
    _, samples, _ = decode(hundred, Sampling(fps=25, max_frames=most))
    times = np.array([sample.timestamp_s for sample in samples])
    assert len(times) == most
    assert np.allclose(times, (np.arange(most) + 0.5) * 4 / most, atol=1 / FPS)


def test_variable_rate_keeps_true_times(tmp_path):
    steps = np.random.default_rng(3).integers(10, 400, 39)
    times_ms = [0, *np.cumsum(steps).tolist()]
    path = write_timed_clip(tmp_path / "clip.mkv", times_ms)
    info, samples, _ = decode(path, Sampling(fps=240, max_frames=1000))
    assert info.is_variable_rate
    # A frame shown for 200 ms stands for many ideal times, so not all are asked for; those that are have their own time.
    assert len(samples) > 20
    for number, time_s in numbers_and_times(samples):
        assert time_s == pytest.approx(times_ms[number] / 1000, abs=0.0011)


def test_sampling_follows_time_and_not_frame_numbers(tmp_path):
    """A second at 50 frames a second, then nine at 2: a tenth of the samples come from the first second."""
    times_ms = [20 * n for n in range(50)] + [1000 + 500 * n for n in range(18)]
    path = write_timed_clip(tmp_path / "clip.mkv", times_ms)
    _, samples, _ = decode(path, Sampling(fps=1))
    numbers = [number for number, _ in numbers_and_times(samples)]
    assert len(numbers) in (9, 10, 11)
    assert sum(number < 50 for number in numbers) in (1, 2)


@pytest.mark.parametrize(("suffix", "codec"), [pair for pair in CONTAINERS if pair[0] not in ("webm", "mov", "mpg")])
def test_seeking_gives_the_frames_that_decoding_in_order_gives(minute, monkeypatch, suffix, codec):
    path = minute(suffix, codec)
    sampling = Sampling(fps=4, max_frames=9)
    _, seeking, summary = decode(path, sampling)
    assert summary.frames_decoded < 1000
    monkeypatch.setattr(video, "SEEK_ABOVE_FRAMES", 10**9)
    _, in_order, summary_in_order = decode(path, sampling)
    assert summary_in_order.frames_decoded == 1500
    assert numbers_and_times(seeking) == numbers_and_times(in_order)
    assert len(seeking) == 9
    assert [number for number, _ in numbers_and_times(seeking)] == [round(s.timestamp_s * FPS) for s in seeking]


def test_seeking_in_a_program_stream_is_right_within_a_frame(minute):
    """Its timestamps are interpolated from where decoding began: half a frame is all that may differ."""
    _, samples, _ = decode(minute("mpg", "mpeg2video"), Sampling(fps=4, max_frames=9))
    assert len(samples) == 9
    for number, time_s in numbers_and_times(samples):
        assert abs(number / FPS - time_s) < 1 / FPS


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_rotation_is_applied(tmp_path, clip_writer, turns):
    frame = numbered_frame(0)
    frame[:BLOCK_PX, :BLOCK_PX] = 235  # white at the top left, black elsewhere
    plain = clip_writer(tmp_path / "plain.mp4", [frame] * 5)
    path = with_display_matrix(plain, tmp_path / "turned.mp4", turns)
    info, samples, _ = decode(path, Sampling(fps=240))
    expected = np.rot90(frame, -turns)
    assert info.rotation_deg == -90 * turns % 360
    assert (info.height, info.width) == expected.shape[:2]
    for sample in samples:
        assert sample.pixels.shape == expected.shape
        assert np.abs(sample.pixels.astype(int) - expected).mean() < 6


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4")])
def test_a_single_frame(tmp_path, clip_writer, suffix, codec):
    path = clip_writer(tmp_path / f"clip.{suffix}", [numbered_frame(1234)], codec=codec)
    info, samples, summary = decode(path, Sampling())
    assert numbers_and_times(samples) == [(1234, 0.0)]
    assert (info.duration_s, info.mean_fps, info.frames_found) == (0.0, None, 1)
    assert summary.is_complete


def test_sound_alone_is_no_video(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(MediaError) as caught:
        decode(path, Sampling())
    assert caught.value.outcome is Outcome.NO_VIDEO


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_off_clip_gives_what_is_there_and_says_so(hundred, tmp_path, share):
    data = hundred.read_bytes()
    path = tmp_path / "cut.mp4"
    pictures = data.index(b"mdat")
    path.write_bytes(data[: pictures + int((len(data) - pictures) * share)])
    info, samples, summary = decode(path, Sampling(fps=25))
    assert info.frames_claimed == 100
    assert 0 < len(samples) <= info.frames_found < 100
    assert all(number == round(time_s * FPS) for number, time_s in numbers_and_times(samples))
    assert not summary.is_complete
    assert any("index lists 100 frames" in line for line in summary.errors)
    assert summary.frames_sampled == len(samples)


def test_a_clip_cut_off_in_its_index_says_so(hundred, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(hundred.read_bytes()[:200])
    with pytest.raises(MediaError) as caught:
        decode(path, Sampling())
    assert caught.value.outcome is Outcome.UNREADABLE


def test_a_hole_in_a_clip_loses_its_frames_only(tmp_path, clip_writer):
    """Zeros over a tenth of the packets: what is decoded before and far behind them is whole and in time."""
    whole = clip_writer(tmp_path / "whole.ts", numbered_frames(200), gop=10)
    data = bytearray(whole.read_bytes())
    start = len(data) // 2 // 188 * 188
    data[start : start + len(data) // 10 // 188 * 188] = bytes(len(data) // 10 // 188 * 188)
    holed = tmp_path / "holed.ts"
    holed.write_bytes(data)
    _, samples, summary = decode(holed, Sampling(fps=25))
    far = [pair for pair in numbers_and_times(samples) if not 3.0 < pair[1] < 5.5]
    assert len(far) > 100
    assert all(abs(number - time_s * FPS) < 0.1 for number, time_s in far)
    assert summary.errors
    assert not summary.is_complete


def test_pixel_limit_holds_for_frames(hundred):
    assert decode(hundred, Sampling(), MediaLimits(max_pixels=WIDTH * HEIGHT))[1]
    with pytest.raises(MediaError) as caught:
        decode(hundred, Sampling(), MediaLimits(max_pixels=WIDTH * HEIGHT - 1))
    assert caught.value.outcome is Outcome.LIMIT_EXCEEDED


def test_packet_limit_stops_reading(hundred):
    info, samples, summary = decode(hundred, Sampling(fps=25), MediaLimits(max_packets=30))
    assert info.frames_found == 30
    assert len(samples) <= 31
    assert any("limit" in line for line in summary.errors)


def test_a_script_that_reached_ffmpeg_would_not_be_played(tmp_path, hundred):
    """The second wall: even handed to the demuxer that its bytes deny, a script opens nothing."""
    script = tmp_path / "script.mp4"
    script.write_text(f"ffconcat version 1.0\nfile {hundred}\n")
    for demuxer in ("mov", "matroska", "mpegts", "avi"):
        with script.open("rb") as file, pytest.raises(MediaError):
            list(decode_video(file, demuxer, Sampling(), LIMITS, 1))


def test_size_may_change_within_a_clip(tmp_path, clip_writer):
    """Two transport streams end to end, as a recorder writes them when the resolution changes."""
    small = clip_writer(tmp_path / "small.ts", numbered_frames(25), gop=5)
    large_frames = [np.kron(numbered_frame(25 + n), np.ones((2, 2, 1), np.uint8)) for n in range(25)]
    large = clip_writer(tmp_path / "large.ts", large_frames, gop=5)
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    _, samples, _ = decode(joined, Sampling(fps=25))
    shapes = {sample.pixels.shape for sample in samples}
    assert shapes <= {(HEIGHT, WIDTH, 3), (2 * HEIGHT, 2 * WIDTH, 3)}
    assert len(samples) > 20


def random_timings() -> list[Timing]:
    rng = np.random.default_rng(11)
    return [
        Timing(np.unique(np.round(rng.uniform(-5, 5) + np.cumsum(rng.uniform(0.001, 1, count)), 6)), count, ())
        for count in (1, 2, 3, 50, 500)
    ]


@pytest.mark.parametrize(
    ("timing", "sampling"),
    list(itertools.product(random_timings(), [Sampling(4, 240), Sampling(0.1, 5), Sampling(100, 10), Sampling(1, 1)])),
)
def test_sample_times_are_those_of_frames(timing, sampling):
    targets = sample_times(timing, sampling)
    assert 1 <= len(targets) <= min(sampling.max_frames, len(timing.times_s))
    assert np.all(np.diff(targets) > 0)
    # Each lies just before a frame's own time, so that taking the next frame at or after it takes that frame.
    distances = np.abs(targets[:, None] - timing.times_s[None]).min(1)
    assert distances.max() < 2e-6


@pytest.mark.parametrize("times_ms", [[*range(0, 8000, 40), 18_000_000], [0, *range(18_000_000, 18_008_000, 40)]])
def test_one_late_frame_does_not_draw_all_samples_to_itself(tmp_path, times_ms):
    """Eight seconds of frames and one that is five hours away, as an adversary or a broken recorder leaves it."""
    path = write_timed_clip(tmp_path / "clip.mkv", times_ms)
    _, samples, _ = decode(path, Sampling(fps=4))
    assert len(samples) > 30
    for number, time_s in numbers_and_times(samples):
        assert time_s == pytest.approx(times_ms[number] / 1000, abs=0.0011)


def test_impossible_timestamps_are_survived():
    """A frame a thousand years late: no number of that size is looped over or allocated."""
    timing = Timing(np.array([0.0, 0.04, 0.08, 3e10]), 4, ())
    assert 1 <= len(sample_times(timing, Sampling(240, 100_000))) <= 4
