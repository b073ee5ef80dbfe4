"""Reads a user's files: a child process decodes, this side only takes pixels, and believes nothing without a check.

    with MediaReader(MediaLimits()) as reader, reader.open(path, Sampling()) as stream:
        stream.info
        for sample in stream: ...
        stream.summary

Limits of memory and processor time are set by the child on itself; wall time is kept here, counting only time spent
waiting for the child. A child that crashes, hangs or lies costs its file, not the batch. POSIX only.
"""

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from forensics.common.errors import MediaError
from forensics.common.outcomes import Outcome
from forensics.common.processes import end_group
from forensics.media.child import EXIT_MEMORY, LENGTHS
from forensics.media.facts_types import Provenance
from forensics.media.types import DecodeSummary, MediaInfo, MediaLimits, Sample, Sampling, SoundReport

T = TypeVar("T", MediaInfo, DecodeSummary, SoundReport, Provenance)
MAX_HEADER_BYTES = 1 << 20
PIPE_BYTES = 1 << 20  # Linux's default limit for one pipe
DAMAGED_HINT = "the file may be damaged or hostile"
START_UP_S = 60.0
END_S = 10.0  # from the last byte of a child to its end


class MediaReader:
    """Keeps one decoding child ready; `open` one file at a time."""

    def __init__(self, limits: MediaLimits | None = None, threads: int = 0) -> None:
        self.limits = limits or MediaLimits()
        self._threads = threads
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm_up(self) -> None:
        """Start the child now, so that it imports its decoders while something else is done."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "forensics.media.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=environment,
                start_new_session=True,
            )
            if sys.platform == "linux" and self._process.stdout is not None:
                import fcntl

                with contextlib.suppress(OSError):
                    fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def open(self, path: Path, sampling: Sampling) -> "MediaStream":
        """Start decoding a file. Raises MediaError where nothing can be decoded."""
        process = self._start(path, {"sampling": asdict(sampling), "threads": self._threads})
        return MediaStream(self, process, self.limits, sampling.max_frames)

    def ask(self, path: Path, job: Mapping[str, object], kind: type[T], name: str) -> T:
        """Give the child another job with a file, and take its one answer, a `kind`. Raises MediaError."""
        answers = self.answers(path, job)
        header, _ = answers.receive()
        if header["type"] != name:
            raise answers.failure("the decoder sent something unexpected")
        return _parse(kind, header, answers)

    def answers(self, path: Path, job: Mapping[str, object]) -> "Answers":
        """Give the child another job with a file; its messages are taken one by one. Raises MediaError."""
        return Answers(self, self._start(path, job), self.limits)

    def _start(self, path: Path, job: Mapping[str, object]) -> subprocess.Popen[bytes]:
        self.warm_up()
        process = self._process
        assert process is not None and process.stdin is not None  # noqa: S101  (warm_up has just set it)
        try:
            resolved = path.resolve()
        except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a NUL byte
            raise MediaError("not a usable path", "check the name") from error
        line = json.dumps({"path": str(resolved), "limits": asdict(self.limits), **job})
        try:
            process.stdin.write(line.encode("utf-8") + b"\n")
        except OSError as error:
            self.close()
            raise MediaError("the decoding process could not be started", "run `forensics doctor`") from error
        return process

    def close(self, only: subprocess.Popen[bytes] | None = None) -> None:
        """End the child and whatever it is decoding; where one is named, `only` that one."""
        process = self._process
        if process is None or (only is not None and process is not only):
            return
        self._process, self._is_ready = None, False
        end_group(process)


class Answers:
    """What the child says about one job, checked; time is counted from here."""

    def __init__(self, reader: MediaReader, process: subprocess.Popen[bytes], limits: MediaLimits) -> None:
        self._reader, self._process, self._limits = reader, process, limits
        self._is_done = False
        self._left_s, self._too_slow = START_UP_S, ("the decoding process does not start", "run `forensics doctor`")
        if not reader._is_ready:
            if self.receive()[0]["type"] != "ready":
                raise self.failure("the decoder sent something unexpected")
            reader._is_ready = True
        self._left_s = min(limits.max_wall_s, threading.TIMEOUT_MAX)
        self._too_slow = (
            f"decoding took longer than {limits.max_wall_s:g} s",
            "raise --timeout if the file is long and you trust it",
        )

    def receive(self) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
        """The next message: its header, and the picture where it carries one. Raises MediaError for an error or a lie."""
        head_length, payload_length = LENGTHS.unpack(self._read(LENGTHS.size))
        if head_length > MAX_HEADER_BYTES or payload_length > 3 * self._limits.max_pixels:
            raise self.failure("the decoder sent more than it may")
        try:
            header = json.loads(bytes(self._read(head_length)))
            kind = header["type"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise self.failure("the decoder sent something unreadable") from error
        if kind == "error":
            self._is_done = True
            raise MediaError(_text(header.get("message")), _text(header.get("hint")), _outcome(header.get("outcome")))
        if kind != "sample":
            return header, None
        height, width = header.get("h"), header.get("w")
        is_size = isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0
        if not is_size or height * width * 3 != payload_length:
            raise self.failure("the decoder sent a picture of another size than it says")
        return header, np.frombuffer(self._read(payload_length), np.uint8).reshape(height, width, 3)

    def _read(self, length: int) -> bytearray:
        assert self._process.stdout is not None  # noqa: S101  (opened with a pipe)
        descriptor = self._process.stdout.fileno()
        buffer = bytearray(length)
        view = memoryview(buffer)
        while view:
            started = time.monotonic()
            ready, _, _ = select.select([descriptor], [], [], max(0.0, self._left_s))
            self._left_s -= time.monotonic() - started
            if not ready:
                raise self.failure(*self._too_slow, Outcome.LIMIT_EXCEEDED)
            count = os.readv(descriptor, [view])
            if count == 0:
                raise self._failure_by_status()
            view = view[count:]
        return buffer

    def _failure_by_status(self) -> MediaError:
        try:
            status = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            return self.failure("the decoder stopped answering")
        if status in (EXIT_MEMORY, 128 + signal.SIGKILL):
            gigabytes = self._limits.max_memory_bytes / (1 << 30)
            return self.failure(
                f"decoding needs more than {gigabytes:g} GiB of memory",
                "raise --max-memory-gb if you trust the file",
                Outcome.LIMIT_EXCEEDED,
            )
        if status == 128 + signal.SIGXCPU:
            return self.failure("decoding took too much processor time", "raise --timeout", Outcome.LIMIT_EXCEEDED)
        return self.failure(f"the decoder crashed on this file (status {status})")

    def failure(self, message: str, hint: str = DAMAGED_HINT, outcome: Outcome = Outcome.UNREADABLE) -> MediaError:
        """End the child and give the error to raise."""
        self._is_done = True
        self._reader.close(self._process)
        return MediaError(message, hint, outcome)


class MediaStream(Answers):
    """The samples of one file as they arrive; `info` is there from the start, `summary` after the last sample."""

    def __init__(
        self, reader: MediaReader, process: subprocess.Popen[bytes], limits: MediaLimits, max_frames: int
    ) -> None:
        self._max_frames = max_frames
        self.summary: DecodeSummary | None = None
        super().__init__(reader, process, limits)
        header, _ = self.receive()
        if header["type"] != "info":
            raise self.failure("the decoder sent no description of the file")
        self.info = _parse(MediaInfo, header, self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if not self._is_done:
            self._reader.close(self._process)

    def __iter__(self) -> Iterator[Sample]:
        count = 0
        while not self._is_done:
            header, pixels = self.receive()
            if header["type"] == "end":
                self._is_done = True
                self.summary = _parse(DecodeSummary, header, self)
                return
            count += 1
            index, time_s = header.get("index"), header.get("timestamp_s")
            if pixels is None or count > self._max_frames:
                raise self.failure("the decoder sent something unexpected")
            if not isinstance(index, int) or not isinstance(time_s, float) or not math.isfinite(time_s):
                raise self.failure("the decoder sent a picture without its time")
            yield Sample(index, time_s, pixels)


def _parse(kind: type[T], header: dict[str, Any], stream: Answers) -> T:
    """A description from the child, with every field checked against its declared type."""
    try:
        fields = {key: value for key, value in header.items() if key != "type"}
        json.dumps(fields, allow_nan=False, ensure_ascii=False).encode("utf-8")  # it must fit into a record
        return TypeAdapter(kind).validate_python(fields)
    except ValueError as error:  # ValidationError is one
        raise stream.failure("the decoder sent an unreadable description") from error


def _text(value: object) -> str:
    """One line that can be shown and written, whatever a child sent."""
    text = "" if value is None else " ".join(str(value).split())
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _outcome(name: object) -> Outcome:
    try:
        return Outcome(str(name))
    except ValueError:
        return Outcome.UNREADABLE
