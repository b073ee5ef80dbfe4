"""The wall between us and a file: a child decodes; what it does, sends or fails to do costs that file only."""

import json
import os
import resource
import signal
import struct
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from frame_numbers import number_of, numbered_frames
from PIL import Image

from forensics.common.errors import MediaError
from forensics.common.outcomes import Outcome
from forensics.media import reader as reader_module
from forensics.media.reader import MediaReader
from forensics.media.types import DecodeSummary, MediaInfo, MediaLimits, Sample, Sampling

# Far more than any of these takes; a hang is a failure, and no other test depends on it.
SAFETY_S = 60.0
pytestmark = pytest.mark.timeout(SAFETY_S)


def read(reader: MediaReader, path: Path, sampling: Sampling | None = None):
    with reader.open(path, sampling or Sampling()) as stream:
        return stream.info, list(stream), stream.summary


def refuse(reader: MediaReader, path: Path, outcome: Outcome = Outcome.UNREADABLE) -> MediaError:
    with pytest.raises(MediaError) as caught:
        read(reader, path)
    assert caught.value.outcome is outcome
    assert "\n" not in caught.value.message
    return caught.value


@pytest.fixture
def reader():
    with MediaReader(MediaLimits(max_wall_s=SAFETY_S)) as opened:
        yield opened


@pytest.fixture(scope="module")
def clip(tmp_path_factory, clip_writer) -> Path:
    return clip_writer(tmp_path_factory.mktemp("clip") / "clip.mp4", numbered_frames(100))


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(path)
    return path


def test_a_clip_through_the_wall(reader, clip):
    info, samples, summary = read(reader, clip)
    assert isinstance(info, MediaInfo)
    assert info.kind == "video"
    assert [number_of(s.pixels) for s in samples] == [round(s.timestamp_s * 25) for s in samples]
    assert [s.index for s in samples] == list(range(16))
    assert summary == DecodeSummary(100, 16)


def test_a_picture_through_the_wall(reader, picture):
    info, (sample,), summary = read(reader, picture)
    assert info.kind == "image"
    assert isinstance(sample, Sample)
    assert np.array_equal(sample.pixels, np.asarray(Image.open(picture)))
    assert sample.timestamp_s == 0.0
    assert summary is not None
    assert summary.is_complete


def test_one_child_serves_many_files(reader, clip, picture):
    read(reader, clip)
    process = reader._process
    for path in (picture, clip, picture):
        read(reader, path)
    refuse(reader, Path(__file__))
    read(reader, clip)
    assert reader._process is process


def test_leaving_a_stream_early_leaves_the_reader_whole(reader, clip):
    with reader.open(clip, Sampling(fps=25)) as stream:
        first = next(iter(stream))
    assert number_of(first.pixels) == 0
    assert len(read(reader, clip)[1]) == 16


def test_files_that_are_none(reader, clip, tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("once upon a time")
    (tmp_path / "concat.mp4").write_text(f"ffconcat version 1.0\nfile {clip}\n")
    (tmp_path / "list.ts").write_text(f"#EXTM3U\n#EXTINF:4,\n{clip}\n#EXT-X-ENDLIST\n")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "nowhere.mp4").symlink_to(tmp_path / "missing")
    for path in (tmp_path / "pipe.mp4", tmp_path, Path("/dev/zero"), Path("/dev/null"), Path("/dev/stdin")):
        assert "regular file" in refuse(reader, path).message
    for name in ("empty.mp4", "text.mp4", "concat.mp4", "list.ts", "loop.mp4", "nowhere.mp4", "missing.mp4", "a\0b"):
        refuse(reader, tmp_path / name)
    refuse(reader, tmp_path / ("x" * 300))
    assert len(read(reader, clip)[1]) == 16


def test_names_are_not_patterns_or_protocols(reader, clip, tmp_path, monkeypatch):
    """FFmpeg would read `%02d` as a picture series and `concat:` as a protocol: here they are names, of these files."""
    monkeypatch.chdir(tmp_path)
    for name in ("frame%02d.mp4", "concat:a|b.mp4", "subfile,,start,0,end,9,,:x.mp4", "-i.mp4", "ä\n漢.mp4"):
        refuse(reader, Path(name))
        Path(name).write_bytes(clip.read_bytes())
        assert len(read(reader, Path(name))[1]) == 16
    strange = Path(os.fsdecode(b"not-utf8-\xff.mp4"))
    strange.write_bytes(clip.read_bytes())
    assert len(read(reader, strange)[1]) == 16


@pytest.mark.parametrize("megabytes", [0.1, 8, 32])
def test_memory_limit(clip, tmp_path, megabytes):
    large = tmp_path / "large.png"
    Image.new("RGB", (4000, 4000)).save(large)
    jpeg = tmp_path / "large.jpg"
    Image.new("RGB", (4000, 4000)).save(jpeg)
    limits = MediaLimits(max_memory_bytes=int(megabytes * (1 << 20)), max_wall_s=SAFETY_S)
    with MediaReader(limits) as reader:
        for path in (large, jpeg):
            assert "--max-memory-gb" in refuse(reader, path, Outcome.LIMIT_EXCEEDED).hint


def test_memory_limit_of_a_clip(clip, picture):
    with MediaReader(MediaLimits(max_memory_bytes=1 << 20, max_wall_s=SAFETY_S)) as reader:
        refuse(reader, clip, Outcome.LIMIT_EXCEEDED)
        assert len(read(reader, picture)[1]) == 1


def test_a_lower_limit_of_the_machine_is_kept(clip):
    """Under `ulimit -v`, as clusters set it, decoding still works and the machine's limit stays."""
    code = textwrap.dedent(f"""
        import resource, sys
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        from pathlib import Path
        from forensics.media.reader import MediaReader
        from forensics.media.types import MediaLimits, Sampling
        with MediaReader(MediaLimits(max_memory_bytes=64 << 30)) as reader:
            with reader.open(Path({str(clip)!r}), Sampling()) as stream:
                print(len(list(stream)))
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=SAFETY_S, check=False)
    assert (done.returncode, done.stdout) == (0, "16\n"), done.stderr


def test_time_limit(clip, picture):
    """A stopped child answers nothing: after the limit its file is given up, and a new child reads the next one."""
    with MediaReader(MediaLimits(max_wall_s=0.5)) as reader:
        read(reader, picture)
        assert reader._process is not None
        os.kill(reader._process.pid, signal.SIGSTOP)
        started = time.monotonic()
        assert "--timeout" in refuse(reader, clip, Outcome.LIMIT_EXCEEDED).hint
        assert time.monotonic() - started < SAFETY_S / 2
        reader.limits = MediaLimits(max_wall_s=SAFETY_S)
        assert len(read(reader, clip)[1]) == 16


def test_time_counts_only_while_waiting_for_the_child(tmp_path, clip_writer):
    """A slow consumer is not the file's fault."""
    clip = clip_writer(tmp_path / "clip.mp4", numbered_frames(100))
    with MediaReader(MediaLimits(max_wall_s=SAFETY_S)) as reader:
        read(reader, clip)
        reader.limits = MediaLimits(max_wall_s=1.0)
        with reader.open(clip, Sampling(max_frames=3)) as stream:
            count = 0
            for _ in stream:
                time.sleep(0.6)
                count += 1
    assert count == 3


def test_killed_child_costs_its_file_only(reader, clip, picture):
    read(reader, picture)
    with reader.open(clip, Sampling(fps=25)) as stream:
        assert reader._process is not None
        samples = iter(stream)
        next(samples)
        os.killpg(reader._process.pid, signal.SIGKILL)
        with pytest.raises(MediaError):
            for _ in range(1000):
                next(samples)
    assert len(read(reader, clip)[1]) == 16


def test_child_that_died_between_files_is_replaced(reader, clip):
    read(reader, clip)
    assert reader._process is not None
    os.killpg(reader._process.pid, signal.SIGKILL)
    reader._process.wait(SAFETY_S)
    assert len(read(reader, clip)[1]) == 16


def test_processor_time_limit_is_a_signal_that_names_itself():
    """Soft below hard: at the hard limit alone the kernel would send SIGKILL, which reads as a lack of memory."""
    code = "from forensics.media.child import _limit_resources as limit\nlimit(1 << 30, 0.0)\nwhile True: pass"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=SAFETY_S, check=False)
    assert done.returncode == -signal.SIGXCPU


def test_decoding_cannot_write_files(tmp_path):
    code = (
        "import sys, signal\nfrom forensics.media.child import _limit_resources as limit\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nlimit(1 << 30, 60)\n"
        "with open(sys.argv[1], 'w') as file: file.write('x')"
    )
    target = tmp_path / "written"
    done = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, timeout=SAFETY_S, check=False)
    assert b"File too large" in done.stderr
    assert not target.exists() or target.stat().st_size == 0


def test_reader_leaves_no_limit_on_this_process(reader, clip):
    before = [resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)]
    read(reader, clip)
    after = [resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)]
    assert before == after


# --- a child that was taken over ----------------------------------------------------------------------------------

INFO = {"type": "info", "kind": "image", "container": "png", "codec": "png", "width": 2, "height": 1}
SAMPLE = {"type": "sample", "index": 0, "timestamp_s": 0.0, "h": 1, "w": 2}
END = {"type": "end", "frames_decoded": 1, "frames_sampled": 1, "errors": [], "is_complete": True, "extra": {}}
PIXELS = bytes(range(6))


def message(header: object, payload: bytes = b"") -> bytes:
    head = json.dumps(header).encode()
    return struct.pack("<II", len(head), len(payload)) + head + payload


@pytest.fixture
def fake_child(tmp_path, monkeypatch):
    """A reader whose child sends what the test says, and then ends or stays silent."""
    readers = []

    def make(data: bytes, afterwards: str = "", limits: MediaLimits | None = None) -> MediaReader:
        body = tmp_path / "data.bin"
        body.write_bytes(message({"type": "ready"}) + data)
        script = tmp_path / "child.py"
        script.write_text(
            f"#!{sys.executable}\nimport sys, os, time\nsys.stdin.readline()\n"
            f"sys.stdout.buffer.write(open({str(body)!r}, 'rb').read())\nsys.stdout.buffer.flush()\n{afterwards}\n"
        )
        script.chmod(0o755)
        reader = MediaReader(limits or MediaLimits(max_wall_s=SAFETY_S))
        readers.append(reader)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(script))
            reader.warm_up()
        return reader

    yield make
    for reader in readers:
        reader.close()


def test_fake_child_is_believed_when_it_tells_the_truth(fake_child, picture):
    """The next tests fail for the lie they tell, and not because the fake is not spoken to."""
    reader = fake_child(message(INFO) + message(SAMPLE, PIXELS) + message(END))
    _, (sample,), summary = read(reader, picture)
    assert sample.pixels.tobytes() == PIXELS
    assert sample.pixels.shape == (1, 2, 3)
    assert summary is not None
    assert summary.is_complete


LIES = {
    "nothing": b"",
    "half a message": message(INFO)[:-3],
    "header of 4 GB": struct.pack("<II", 0xFFFFFFFF, 0),
    "payload of 4 GB": struct.pack("<II", 2, 0xFFFFFFFF) + b"{}",
    "no JSON": struct.pack("<II", 4, 0) + b"\xff\xfe{]",
    "deep JSON": struct.pack("<II", 200_000, 0) + b"[" * 200_000,
    "no object": message([1, 2]),
    "no type": message({"kind": "image"}),
    "sample first": message(SAMPLE, PIXELS),
    "end first": message(END),
    "unknown field": message({**INFO, "path": "/etc/passwd"}),
    "text for a number": message({**INFO, "width": "wide"}),
    "missing field": message({"type": "info", "kind": "image"}),
    "endless duration": message({**INFO, "duration_s": float("inf")}),
    "no number for a duration": message({**INFO, "duration_s": float("nan")}),
    "half a character": message({**INFO, "codec": "\ud800"}),
    "wrong size": message(INFO) + message({**SAMPLE, "h": 2}, PIXELS),
    "negative size": message(INFO) + message({**SAMPLE, "h": -1, "w": -2}, PIXELS),
    "no size": message(INFO) + message({"type": "sample", "index": 0, "timestamp_s": 0.0}, PIXELS),
    "text for a size": message(INFO) + message({**SAMPLE, "h": "1"}, PIXELS),
    "no time": message(INFO) + message({"type": "sample", "index": 0, "h": 1, "w": 2}, PIXELS),
    "no number for a time": message(INFO) + message({**SAMPLE, "timestamp_s": float("nan")}, PIXELS),
    "text for an index": message(INFO) + message({**SAMPLE, "index": "first"}, PIXELS),
    "two descriptions": message(INFO) + message(INFO),
    "no end": message(INFO) + message(SAMPLE, PIXELS),
    "wrong end": message(INFO) + message(SAMPLE, PIXELS) + message({**END, "frames_decoded": "all"}),
    "too many samples": message(INFO) + message(SAMPLE, PIXELS) * 500 + message(END),
    "unknown type": message(INFO) + message({"type": "score", "score": 0.0}),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_lying_child_gives_a_typed_error(fake_child, picture, lie):
    reader = fake_child(LIES[lie])
    refuse(reader, picture)
    assert len(read(reader, picture)[1]) == 1  # by a new, honest child


def test_errors_of_a_child_are_one_clean_line(fake_child, picture):
    text = "bad\n\x00file \ud800"
    error = refuse(fake_child(message({"type": "error", "message": text, "hint": None, "outcome": "fine"})), picture)
    assert error.hint == ""
    error.message.encode("utf-8")


def test_a_child_that_goes_silent_hits_the_time_limit(fake_child, picture):
    reader = fake_child(message(INFO), "time.sleep(1000)", MediaLimits(max_wall_s=0.3))
    refuse(reader, picture, Outcome.LIMIT_EXCEEDED)


def test_a_child_that_hangs_up_and_stays_is_ended(fake_child, picture, monkeypatch):
    monkeypatch.setattr(reader_module, "END_S", 0.3)
    reader = fake_child(message(INFO), "os.close(1); time.sleep(1000)")
    process = reader._process
    assert process is not None
    refuse(reader, picture)
    assert process.poll() is not None


def test_a_child_that_does_not_start_is_reported(fake_child, picture, monkeypatch):
    monkeypatch.setattr(reader_module, "START_UP_S", 0.3)
    reader = fake_child(b"")
    reader.close()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    # It ends before or after the job is written to it: both are said.
    message = refuse(reader, picture).message
    assert "crashed" in message or "could not be started" in message


def test_closing_twice_and_without_use():
    reader = MediaReader()
    reader.close()
    reader.warm_up()
    process = reader._process
    reader.close()
    reader.close()
    assert process is not None
    assert process.poll() is not None
