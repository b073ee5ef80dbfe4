"""The process that touches hostile bytes: `python -m forensics.media.child`, started by `forensics.media.reader`.

It imports the decoders once, then waits for jobs on standard input (one JSON line each) and forks a child of its own for
every file. That grandchild limits its memory and processor time, decodes, and writes messages to standard output:

    8 bytes      length of the header, length of the payload, both little-endian uint32
    header       JSON: {"type": "ready" | "info" | "sample" | "end" | "sound" | "facts" | "provenance" | "error", ...}
    payload      for a sample: (H, W, 3) uint8 RGB; else nothing

A job that joins a clip and its sound is answered with one message, "sound", and may write one file, named in the job, up to
a size that the job states; every other job may write none.
A job that asks what a file says beside its pixels is answered with "facts" and, where the header says has_thumbnail, a
"sample" with the preview inside the file. One that asks for its signed provenance is answered with "provenance".

`ready` comes once, when the decoders are imported: a job's time is counted from there.
After a job that ended abnormally this process ends too, with the job's status: the stream may stop inside a message, so
the reader starts a new one for the next file.
"""

import json
import os
import resource
import stat
import struct
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

LENGTHS = struct.Struct("<II")
EXIT_MEMORY = 70
# Processor time is limited too, in case the reader is gone and nobody looks at the clock.
# FFmpeg decodes with up to 16 threads by itself.
CPU_TIME_FACTOR = 16
# From the signal that says so to the one that cannot be ignored.
CPU_GRACE_S = 5


def main() -> None:
    """Serve jobs until standard input ends."""
    # Libraries may print to standard output: the messages get a descriptor of their own.
    output = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    import av
    import cv2

    # Imported before the fork, so that each job starts fast.
    from forensics.media import facts, image, join, video  # noqa: F401

    av.logging.set_level(None)
    cv2.setNumThreads(1)
    _send(output, {"type": "ready"})
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            os._exit(_run(json.loads(line), output))
        _, status = os.waitpid(pid, 0)
        if status != 0:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code > 0 else 128 - code)


def _run(job: dict[str, Any], output: BinaryIO) -> int:
    from forensics.common.errors import MediaError
    from forensics.media.types import MediaLimits, Sampling
    from forensics.media.video import MEMORY_ERRORS

    limits = MediaLimits(**job["limits"])
    try:
        _limit_resources(limits.max_memory_bytes, limits.max_wall_s, job.get("max_file_bytes", 0))
        if "output" in job:
            _join(job, limits, output)
        elif "facts" in job:
            _tell_facts(Path(job["path"]), limits, output)
        elif "provenance" in job:
            _tell_provenance(Path(job["path"]), output)
        else:
            _decode(Path(job["path"]), Sampling(**job["sampling"]), limits, job["threads"], output)
    except MediaError as error:
        _send(output, {"type": "error", "message": error.message, "hint": error.hint, "outcome": str(error.outcome)})
    except MEMORY_ERRORS:
        return EXIT_MEMORY
    except BrokenPipeError:
        return 1
    except Exception as error:  # noqa: BLE001  (a parser that fails in an unforeseen way loses this file only)
        message = f"decoding failed: {type(error).__name__}: {' '.join(str(error).split())[:160]}"
        _send(output, {"type": "error", "message": message, "hint": "the file may be damaged", "outcome": "unreadable"})
    return 0


def _limit_resources(max_memory_bytes: int, max_wall_s: float, max_file_bytes: int = 0) -> None:
    used = (
        int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if sys.platform == "linux" else 0
    )
    seconds = int(max_wall_s * CPU_TIME_FACTOR) + 1
    _lower_limit(resource.RLIMIT_AS, used + max_memory_bytes)
    _lower_limit(resource.RLIMIT_CPU, seconds, CPU_GRACE_S)
    _lower_limit(resource.RLIMIT_FSIZE, max_file_bytes)  # 0: this process has no business writing files
    _lower_limit(resource.RLIMIT_CORE, 0)


def _lower_limit(kind: int, value: int, grace: int = 0) -> None:
    """Set a limit for good, where the machine's own is not lower already."""
    _, hard = resource.getrlimit(kind)
    ceiling = hard if hard != resource.RLIM_INFINITY else value + grace
    resource.setrlimit(kind, (min(value, ceiling), min(value + grace, ceiling)))


def _decode(path: Path, sampling: Any, limits: Any, threads: int, output: BinaryIO) -> None:
    from forensics.media.image import decode_image
    from forensics.media.sniff import HEAD_BYTES, sniff
    from forensics.media.types import Sample
    from forensics.media.video import decode_video

    with open_regular(path) as file:
        found = sniff(file.read(HEAD_BYTES))
        if found.kind == "image":
            file.seek(0)
            info, pixels, summary = decode_image(file.read(), found, limits)
            events: Any = [info, Sample(0, 0.0, pixels), summary]
        else:
            events = decode_video(file, found.name, sampling, limits, threads)
        for event in events:
            _send_event(event, output)


def _join(job: dict[str, Any], limits: Any, output: BinaryIO) -> None:
    from forensics.common.errors import MediaError
    from forensics.media.join import join

    try:
        with (
            open_regular(Path(job["video"])) as video,
            open_regular(Path(job["path"])) as source,
            Path(job["output"]).open("wb") as joined,
        ):
            report = join(video, source, joined, job["format"], job["metadata"], limits)
    except OSError as error:  # at the latest when the file is closed, after any other error
        raise MediaError(f"the output cannot be written: {error.strerror}", "is there room on the disk?") from error
    _send(output, {"type": "sound", **asdict(report)})


def _tell_facts(path: Path, limits: Any, output: BinaryIO) -> None:
    from forensics.media.facts import gather_facts, header_of_facts
    from forensics.media.types import Sample

    with open_regular(path) as file:
        facts, thumbnail = gather_facts(file, limits)
    _send(output, {**header_of_facts(facts), "has_thumbnail": thumbnail is not None})
    if thumbnail is not None:
        _send_event(Sample(0, 0.0, thumbnail), output)


def _tell_provenance(path: Path, output: BinaryIO) -> None:
    from forensics.media.provenance import gather_provenance

    with open_regular(path) as file:
        found = gather_provenance(file)
    _send(output, {"type": "provenance", **asdict(found)})


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe, device or folder is a MediaError, and never blocks."""
    from forensics.common.errors import MediaError

    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise MediaError(f"cannot be opened: {error.strerror}", "check the path and its permissions") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise MediaError("not a regular file", "give a picture, a video, or a folder of them")
    return os.fdopen(descriptor, "rb")


def _send_event(event: Any, output: BinaryIO) -> None:
    from forensics.media.types import MediaInfo, Sample

    if isinstance(event, Sample):
        height, width = event.pixels.shape[:2]
        header = {"type": "sample", "index": event.index, "timestamp_s": event.timestamp_s, "h": height, "w": width}
        _send(output, header, event.pixels.data.cast("B"))
    elif isinstance(event, MediaInfo):
        _send(output, {"type": "info", **asdict(event)})
    else:
        _send(output, {"type": "end", **asdict(event)})


def _send(output: BinaryIO, header: dict[str, Any], payload: memoryview | bytes = b"") -> None:
    head = json.dumps(header).encode("utf-8")
    _write_all(output.write, LENGTHS.pack(len(head), len(payload)) + head)
    _write_all(output.write, payload)


def _write_all(write: Callable[[Any], int], data: memoryview | bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[write(rest) :]


if __name__ == "__main__":
    main()
