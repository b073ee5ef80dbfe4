"""Without the check of stability a scan scores the same, and says nothing of instability."""

from pathlib import Path

import pytest

from forensics.config import ScanConfig
from forensics.scan import Scanner


@pytest.mark.parametrize("name", ["fake.mp4", "real.mp4"])
def test_score_does_not_depend_on_the_check(examples: Path, name: str) -> None:
    found = []
    for stability in (True, False):
        with Scanner(ScanConfig(stability=stability)) as scanner:
            record = scanner.scan(examples / name, explain=False).record
        assert record.verdict is not None
        found.append((record.verdict.probability, record.tracks))
    assert found[0] == found[1]
