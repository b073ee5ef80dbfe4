"""A user's own detector: a Python file with `predict(path) -> float` (1 = fake), called once for the whole input file.

It runs in a process of its own that is kept between files, with a time limit for each; an exception, NaN or a value
outside [0, 1] is the outcome `detector_error` of that file. The code is the user's own and is trusted as such.
"""

import json
import math
import os
import select
import subprocess
import sys
import time
from pathlib import Path

from forensics.common.errors import DetectorError, UsageError
from forensics.common.processes import end_group


class ScriptDetector:
    """A file's `predict` behind a pipe."""

    def __init__(self, file: Path, timeout_s: float) -> None:
        if not file.is_file():
            raise UsageError(f"no detector file {file}", "it should define predict(path) -> float, 1 = fake")
        self.file = file.resolve()
        self.name = file.stem
        self.description = f"predict(path) of {file.name}"
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None

    def predict(self, path: Path) -> float:
        """The file's score of an input, in [0, 1]. Raises DetectorError."""
        answer = self._ask(path.resolve())
        if "error" in answer:
            raise DetectorError(f"{self.file.name}: {answer['error']}", "the detector's own code failed")
        score = answer.get("score")
        if not isinstance(score, int | float) or isinstance(score, bool) or not math.isfinite(score):
            raise DetectorError(f"{self.file.name}: predict gave {score!r}", "it must give a number from 0 to 1")
        if not 0 <= score <= 1:
            raise DetectorError(f"{self.file.name}: predict gave {score}", "scores are from 0 (real) to 1 (fake)")
        return float(score)

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            end_group(process)

    def _ask(self, path: Path) -> dict[str, object]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "forensics.detectors.script_child", str(self.file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
        process = self._process
        assert process.stdin is not None and process.stdout is not None  # noqa: S101  (opened with pipes)
        line = b""
        deadline = time.monotonic() + self._timeout_s
        try:
            process.stdin.write(json.dumps(str(path)).encode() + b"\n")
            while not line.endswith(b"\n"):
                ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
                if not ready:
                    self.close()
                    raise DetectorError(f"{self.file.name} took longer than {self._timeout_s:g} s", "raise --timeout")
                part = os.read(process.stdout.fileno(), 65536)
                if not part:
                    raise BrokenPipeError
                line += part
        except OSError as error:
            status = process.wait()
            self.close()
            raise DetectorError(f"{self.file.name} ended with status {status}") from error
        answer = json.loads(line)
        return answer if isinstance(answer, dict) else {}
