"""Packets: as many as frames were encoded, key frames where they were asked for, B-frames out of order."""

import pytest
from frame_numbers import numbered_frames

from forensics.media import packets as packets_module
from forensics.media.packets import PacketReading, read_packets
from forensics.media.video import open_container, video_stream

DEMUXERS = {"mp4": "mov", "mkv": "matroska", "avi": "avi", "ts": "mpegts"}


def read(path) -> PacketReading:
    with path.open("rb") as file, open_container(file, DEMUXERS[path.suffix[1:]]) as container:
        return read_packets(container, video_stream(container))


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4"), ("ts", "libx264")]
)
def test_times_sizes_and_key_frames(tmp_path, clip_writer, suffix, codec):
    path = clip_writer(tmp_path / f"clip.{suffix}", numbered_frames(30), codec=codec, gop=10)
    facts = read(path).facts
    assert len(facts.times_s) == len(facts.sizes) == len(facts.is_key) == 30
    assert sorted(facts.times_s) == pytest.approx([n / 25 for n in range(30)], abs=2e-3)
    shown = [is_key for _, is_key in sorted(zip(facts.times_s, facts.is_key, strict=True))]
    assert [place for place, is_key in enumerate(shown) if is_key] == [0, 10, 20]
    assert sum(facts.sizes) < path.stat().st_size
    assert not facts.is_cut_short
    if suffix == "mp4":
        assert list(facts.times_s) != sorted(facts.times_s)  # B-frames


def test_the_first_bytes_hold_the_encoders_signature(tmp_path, clip_writer):
    head = read(clip_writer(tmp_path / "clip.mp4", numbered_frames(5))).head
    assert b"x264 - core" in head


def test_the_list_is_cut_and_says_so(tmp_path, clip_writer, monkeypatch):
    monkeypatch.setattr(packets_module, "MAX_PACKETS", 7)
    facts = read(clip_writer(tmp_path / "clip.mp4", numbered_frames(20))).facts
    assert len(facts.sizes) == 7
    assert facts.is_cut_short


def test_a_clip_that_is_cut_off_gives_its_first_packets(tmp_path, clip_writer):
    path = clip_writer(tmp_path / "clip.ts", numbered_frames(40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reading = read(path)
    assert 0 < len(reading.facts.sizes) < 40
