"""All frames of a clip, each once and at its own time, whatever the container's clock, order and edits."""

import struct
from pathlib import Path

import av
import numpy as np
import pytest
from frame_numbers import number_of, numbered_frames, with_display_matrix, write_timed_clip
from PIL import Image

from forensics.media.reader import MediaReader
from forensics.media.sniff import HEAD_BYTES, sniff
from forensics.media.types import DecodeSummary, MediaInfo, MediaLimits, Sample, Sampling
from forensics.media.video import decode_video

EVERY = Sampling(max_frames=1_000_000, every_frame=True)


def decode(path: Path, sampling: Sampling = EVERY) -> tuple[MediaInfo, list[Sample], DecodeSummary]:
    with path.open("rb") as file:
        demuxer = sniff(file.read(HEAD_BYTES)).name
        info, *samples, summary = decode_video(file, demuxer, sampling, MediaLimits(), 1)
    return info, samples, summary


def expect(path: Path, times_s: list[float], first: int = 0, tolerance_s: float = 1.1e-3) -> MediaInfo:
    info, samples, summary = decode(path)
    assert [number_of(sample.pixels) for sample in samples] == list(range(first, first + len(times_s)))
    assert [sample.timestamp_s for sample in samples] == pytest.approx(times_s, abs=tolerance_s)
    assert [sample.index for sample in samples] == list(range(len(samples)))
    assert summary.is_complete, summary.errors
    return info


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "flv", "ts", "avi"])
def test_frames_that_are_stored_out_of_order(tmp_path, clip_writer, suffix):
    """x264 puts B-frames in by default; an AVI says nothing of when they are shown."""
    path = clip_writer(tmp_path / f"clip.{suffix}", numbered_frames(60))
    with av.open(str(path)) as container:
        kinds = {frame.pict_type for frame in container.decode(video=0)}
    assert len(kinds) == 3  # I, P and B
    expect(path, [n / 25 for n in range(60)])


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("start_ms", [0, 730])
def test_a_variable_rate_and_a_late_start(tmp_path, suffix, start_ms):
    steps = np.random.default_rng(3).integers(2, 400, 60)
    times_ms = [0, *np.cumsum(steps).tolist()]
    path = write_timed_clip(tmp_path / f"clip.{suffix}", [start_ms + time for time in times_ms])
    info = expect(path, [time / 1000 for time in times_ms])
    assert info.is_variable_rate
    assert info.sampling == "every frame, 61 of them"


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_turned_clips(tmp_path, clip_writer, turns):
    plain = clip_writer(tmp_path / "plain.mp4", numbered_frames(30))
    info, samples, _ = decode(with_display_matrix(plain, tmp_path / "turned.mp4", turns))
    assert info.rotation_deg == -90 * turns % 360
    assert [number_of(np.rot90(sample.pixels, turns)) for sample in samples] == list(range(30))


def cut_by_edit_list(source: Path, target: Path, first: int, count: int, fps: int) -> Path:
    """The same MP4 whose edit list (ISO/IEC 14496-12, 8.6.6) shows `count` frames from `first`, as phones trim clips."""
    with av.open(str(source)) as container:
        ticks = container.streams.video[0].time_base.denominator // fps
    data = bytearray(source.read_bytes())
    entry = data.index(b"elst") + 12
    _, media_time = struct.unpack_from(">Ii", data, entry)
    struct.pack_into(">Ii", data, entry, 1000 * count // fps, media_time + first * ticks)
    target.write_bytes(data)
    return target


def test_what_an_edit_list_cuts_away_is_no_frame(tmp_path, clip_writer):
    whole = clip_writer(tmp_path / "whole.mp4", numbered_frames(60))
    path = cut_by_edit_list(whole, tmp_path / "cut.mp4", first=5, count=20, fps=25)
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 20
    info = expect(path, [n / 25 for n in range(20)], first=5)
    assert info.duration_s == pytest.approx(0.8)


@pytest.mark.parametrize("most", [1, 7, 60, 61])
def test_the_first_of_a_longer_clip(tmp_path, clip_writer, most):
    path = clip_writer(tmp_path / "clip.mp4", numbered_frames(60))
    info, samples, summary = decode(path, Sampling(max_frames=most, every_frame=True))
    assert [number_of(sample.pixels) for sample in samples] == list(range(min(most, 60)))
    assert summary.is_complete
    assert info.sampling == (f"the first {most} of 60 frames" if most < 60 else "every frame, 60 of them")


def test_through_the_wall_with_the_clip_s_own_clock(tmp_path, clip_writer):
    """Far more frames than samples are asked for otherwise, and the reader's count of them holds."""
    path = clip_writer(tmp_path / "clip.mp4", numbered_frames(600))
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    with MediaReader(MediaLimits(max_wall_s=60)) as reader:
        with reader.open(path, EVERY) as stream:
            numbers = [number_of(sample.pixels) for sample in stream]
        assert stream.info.time_base == (1, 12_800)
        with reader.open(tmp_path / "picture.png", EVERY) as still:
            assert len(list(still)) == 1
        assert still.info.time_base is None
    assert numbers == list(range(600))


def test_a_cut_off_clip_gives_all_that_is_there(tmp_path, clip_writer):
    data = clip_writer(tmp_path / "clip.ts", numbered_frames(100), gop=10).read_bytes()
    (tmp_path / "cut.ts").write_bytes(data[: len(data) // 2 // 188 * 188])
    _, samples, _ = decode(tmp_path / "cut.ts")
    numbers = [number_of(sample.pixels) for sample in samples]
    assert numbers == list(range(len(numbers))) and 20 < len(numbers) < 100
    assert [sample.timestamp_s for sample in samples] == pytest.approx([n / 25 for n in numbers], abs=1e-3)
