"""Sound that is carried over: the same packets at the same times, beside frames at theirs; and words where it cannot be."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from frame_numbers import HEIGHT, WIDTH, number_of, numbered_frame, numbered_frames
from test_mutations import mutants

from forensics.common.errors import MediaError, UsageError
from forensics.common.outcomes import Outcome
from forensics.media import sound as sound_module
from forensics.media.reader import MediaReader
from forensics.media.sound import add_sound
from forensics.media.types import MediaLimits, Sampling, SoundReport
from forensics.perturb.clip import recompress_clip

TICKS = 90_000
REGULAR = [3600 * n for n in range(40)]
VARIABLE = [0, *np.cumsum(np.random.default_rng(1).integers(1000, 9000, 39)).tolist()]
WHOLE_MS = [90 * (tick // 90) for tick in VARIABLE]  # what Matroska can hold
TAGS = {"title": "Synthetic media", "comment": "Synthetic ä"}
pytestmark = pytest.mark.timeout(120)


def write_source(
    path: Path,
    ticks: list[int],
    sound: str | None = "aac",
    sound_start: int = 0,
    rate: int = 48_000,
    codec: str = "libx264",
    clock: Fraction = Fraction(1, TICKS),
    layout: str = "mono",
) -> Path:
    """Numbered frames with B-frames at `ticks` of the clock, and 80 packets of noise from sample `sound_start` on."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.time_base = stream.codec_context.time_base = clock
        stream.codec_context.thread_count = 1
        voice = container.add_stream(sound, rate=rate, layout=layout) if sound else None
        for number, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), format="rgb24")
            frame.pts, frame.time_base = tick, clock
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice is not None:
            size = voice.codec_context.frame_size or 1024
            convert = av.AudioResampler(format=voice.codec_context.format, layout=layout, rate=rate)
            for number in range(80):
                noise = (3000 * rng.normal(size=(1, size))).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(noise, format="s16", layout="mono")
                frame.sample_rate = rate
                for part in convert.resample(frame):
                    part.pts, part.time_base = sound_start + number * size, Fraction(1, rate)
                    container.mux(voice.encode(part))
            container.mux(voice.encode())
    return path


def reencoded(source: Path, target: Path) -> Path:
    """Every frame of a clip again, as a conversion would write it."""
    with MediaReader() as reader, reader.open(source, Sampling(max_frames=10**6, every_frame=True)) as stream:
        recompress_clip(((sample.timestamp_s, sample.pixels) for sample in stream), target, 20, "veryfast")
    return target


def packets_of(path: Path) -> tuple[list[float], list[bytes]]:
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return [], []
        packets = [packet for packet in container.demux(container.streams.audio[0]) if packet.size]
        return [float(packet.pts * packet.time_base) for packet in packets], [bytes(packet) for packet in packets]


def frames_of(path: Path) -> tuple[list[float], list[int]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    times = [float(frame.pts * frame.time_base) for frame in frames]
    return times, [number_of(frame.to_ndarray(format="rgb24")) for frame in frames]


def tags_of(path: Path) -> dict[str, str]:
    with av.open(str(path)) as container:
        return {name.lower(): value for name, value in container.metadata.items()}


CASES = {
    "regular.mp4": {"ticks": REGULAR},
    "late sound.mp4": {"ticks": VARIABLE, "sound_start": 24_000},
    "late pictures.mp4": {"ticks": [45_001 + tick for tick in VARIABLE]},
    "late sound.mov": {"ticks": VARIABLE, "sound_start": 4_801},
    "matroska.mkv": {"ticks": WHOLE_MS},
    "pcm.mkv": {"ticks": WHOLE_MS, "sound": "pcm_s16le"},
    "opus.webm": {"ticks": WHOLE_MS, "sound": "libopus", "codec": "libvpx-vp9"},
    "mp3.avi": {"ticks": range(40), "sound": "libmp3lame", "codec": "mpeg4", "clock": Fraction(1, 25)},
    "transport.ts": {"ticks": VARIABLE},
}


@pytest.mark.parametrize("name", CASES)
def test_packets_and_frames_are_where_they_were(tmp_path, name):
    source = write_source(tmp_path / name, **CASES[name])
    output = tmp_path / "out" / "joined.mp4"
    report = add_sound(reencoded(source, tmp_path / "new.mp4"), source, output, TAGS)
    times, packets = packets_of(source)
    new_times, new_packets = packets_of(output)
    assert len(packets) >= 80
    assert (report.packets, report.left_out, report.moved_s) == (len(packets), None, 0.0)
    assert report.codec is not None and report.codec in (CASES[name].get("sound") or "aac").replace("libmp3lame", "mp3")
    if not name.endswith(".ts"):  # its packets lose their ADTS header
        assert new_packets == packets
    # Exact in MP4's own clocks; a source that counts milliseconds has rounded already.
    tolerance_s = 5.1e-4 if name.startswith("pcm") else 6e-6
    assert new_times == pytest.approx(times, abs=tolerance_s)
    (old, numbers), (new, new_numbers) = frames_of(source), frames_of(output)
    assert new_numbers == numbers == list(range(40))
    assert new == pytest.approx(old, abs=1e-9)
    assert TAGS.items() <= tags_of(output).items()
    assert [path.name for path in output.parent.iterdir()] == ["joined.mp4"]


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_other_containers(tmp_path, suffix):
    source = write_source(tmp_path / "source.mp4", VARIABLE, sound_start=4_800)
    report = add_sound(reencoded(source, tmp_path / "new.mp4"), source, tmp_path / f"joined{suffix}", TAGS)
    assert report == SoundReport("aac", 81)
    times, packets = packets_of(tmp_path / f"joined{suffix}")
    assert packets == packets_of(source)[1]
    assert times == pytest.approx(packets_of(source)[0], abs=1e-3)
    assert frames_of(tmp_path / f"joined{suffix}")[0] == pytest.approx(frames_of(source)[0], abs=1e-3)
    assert TAGS.items() <= tags_of(tmp_path / f"joined{suffix}").items()


def test_a_clip_that_begins_far_from_zero_is_moved_as_a_whole(tmp_path):
    source = write_source(tmp_path / "source.ts", [TICKS * 5000 + tick for tick in REGULAR], sound_start=48_000 * 5000)
    report = add_sound(reencoded(source, tmp_path / "new.mp4"), source, tmp_path / "joined.mp4")
    assert report.moved_s == pytest.approx(5000, abs=0.1)
    for read in (frames_of, packets_of):
        before, after = read(source)[0], read(tmp_path / "joined.mp4")[0]
        assert np.array(before) - report.moved_s == pytest.approx(after, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("none.mp4", {"sound": None}, "the source has no sound"),
        ("odd.mov", {"sound": "pcm_mulaw"}, "pcm_mulaw sound, which mp4 files do not hold"),
        ("slow.mkv", {"sound": "libmp3lame", "rate": 8000}, "mp3 sound, which mp4 files do not hold"),
    ],
)
def test_a_sound_that_cannot_be_kept_is_said(tmp_path, name, options, words):
    source = write_source(tmp_path / name, WHOLE_MS, **options)
    report = add_sound(reencoded(source, tmp_path / "new.mp4"), source, tmp_path / "joined.mp4", TAGS)
    assert (report.codec, report.packets) == (None, 0)
    assert words in (report.left_out or "")
    assert packets_of(tmp_path / "joined.mp4") == ([], [])
    assert frames_of(tmp_path / "joined.mp4") == (pytest.approx(frames_of(source)[0], abs=1e-9), list(range(40)))
    assert TAGS.items() <= tags_of(tmp_path / "joined.mp4").items()


def test_a_sound_that_is_refused_at_the_end_costs_only_itself(tmp_path):
    source = write_source(
        tmp_path / "pcm.avi", range(40), sound="pcm_s16le", codec="mpeg4", clock=Fraction(1, 25), layout="stereo"
    )
    report = add_sound(reencoded(source, tmp_path / "new.mp4"), source, tmp_path / "joined.mp4", TAGS)
    assert (report.codec, report.packets) == (None, 0)
    assert "pcm_s16le sound, with which no mp4 file can be written" in (report.left_out or "")
    assert len(frames_of(tmp_path / "joined.mp4")[0]) == 40


def test_the_shape_of_pixels_is_told_and_kept(tmp_path):
    source = tmp_path / "wide.mp4"
    recompress_clip([(k / 25, numbered_frame(k)) for k in range(3)], source, 20, pixel_aspect=(16, 15))
    report = add_sound(source, source, tmp_path / "joined.mp4")
    assert report.left_out == "the source has no sound"
    with MediaReader() as reader, reader.open(tmp_path / "joined.mp4", Sampling()) as stream:
        assert stream.info.sample_aspect_ratio == (16, 15)


def test_a_sound_that_is_cut_off_is_carried_as_far_as_it_goes(tmp_path):
    whole = write_source(tmp_path / "whole.mp4", REGULAR)
    new = reencoded(whole, tmp_path / "new.mp4")
    first = tmp_path / "first.mp4"
    with av.open(str(whole)) as before, av.open(str(first), "w", options={"movflags": "faststart"}) as after:
        streams = {stream: after.add_stream_from_template(stream) for stream in before.streams}
        for packet in before.demux():
            if packet.size:
                packet.stream = streams[packet.stream]
                after.mux(packet)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(first.read_bytes()[: int(first.stat().st_size * 0.7)])
    report = add_sound(new, cut, tmp_path / "joined.mp4")
    assert 0 < report.packets < 81
    assert "packets" in (report.left_out or "")
    assert packets_of(tmp_path / "joined.mp4")[1][:-1] == packets_of(whole)[1][: report.packets - 1]
    assert len(frames_of(tmp_path / "joined.mp4")[0]) == 40


def test_damaged_sources_give_a_clip_or_a_typed_error(tmp_path, clip_writer):
    video = clip_writer(tmp_path / "video.mp4", numbered_frames(10))
    joined = refused = 0
    for suffix in ("mp4", "mkv", "ts"):
        data = write_source(tmp_path / f"source.{suffix}", WHOLE_MS).read_bytes()
        for mutant in mutants(data, seed=3)[::4]:
            path, output = tmp_path / f"mutant.{suffix}", tmp_path / "joined.mp4"
            path.write_bytes(mutant)
            output.unlink(missing_ok=True)
            try:
                report = add_sound(video, path, output, limits=MediaLimits(max_wall_s=25))
            except MediaError as error:
                refused += 1
                assert error.message and error.hint and "\n" not in error.message
                assert not output.exists()
            else:
                joined += 1
                assert report.packets == len(packets_of(output)[0])
                assert len(frames_of(output)[0]) == 10
            assert not list(tmp_path.glob(".*.tmp"))
    assert joined > 3 and refused > 3


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    source = write_source(folder / "source.mp4", REGULAR)
    return reencoded(source, folder / "new.mp4"), source


def test_the_same_files_give_the_same_bytes(pair, tmp_path):
    for name in ("a.mp4", "b.mp4"):
        add_sound(*pair, tmp_path / name, TAGS)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_the_child_writes_no_more_than_it_may(pair, tmp_path, monkeypatch):
    """Less room than the packets take: a typed error, and an older file of the name is left alone."""
    video, source = pair
    output = tmp_path / "joined.mp4"
    output.write_bytes(b"older")
    monkeypatch.setattr(sound_module, "OVERHEAD_BYTES", 2000 - video.stat().st_size - 2 * source.stat().st_size)
    with pytest.raises(MediaError, match="cannot be written"):
        add_sound(video, source, output)
    assert output.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [output]


def test_what_cannot_be_is_an_error(pair, tmp_path):
    video, source = pair
    with pytest.raises(UsageError, match="avi"):
        add_sound(video, source, tmp_path / "a.avi")
    with pytest.raises(UsageError, match="the clip that is read"):
        add_sound(video, source, source)
    with pytest.raises(MediaError, match="carried over"):
        add_sound(video, tmp_path / "missing.mp4", tmp_path / "a.mp4")
    (tmp_path / "script.mp4").write_text(f"ffconcat version 1.0\nfile {source}\n")
    with pytest.raises(MediaError, match="playlist"):
        add_sound(video, tmp_path / "script.mp4", tmp_path / "a.mp4")
    with pytest.raises(MediaError) as caught:
        add_sound(video, source, tmp_path / "a.mp4", limits=MediaLimits(max_pixels=100))
    assert caught.value.outcome is Outcome.LIMIT_EXCEEDED
    assert [path.name for path in tmp_path.iterdir()] == ["script.mp4"]
