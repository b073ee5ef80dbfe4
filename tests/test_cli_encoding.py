"""The command on a terminal that has not all characters: what it cannot show is escaped, nothing breaks down."""

import os
import subprocess
import sys

import pytest

NAME = "\u6f22\udce9.mp4"
# A command that writes a name as the tables and lines of `scan` do.
CODE = f"""
import sys
from forensics import cli

cli.cli.main = lambda **_: [stream.write({NAME!a} + "\\n") for stream in (sys.stdout, sys.stderr)] and 0
cli.main()
"""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_name_that_the_terminal_cannot_show_is_escaped(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    run = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, check=False, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == run.stderr.strip() == NAME.encode(encoding, "backslashreplace")
