"""What holds of every analysis of stills: positives are found, ordinary handling and odd pictures are not, it repeats."""

from importlib import import_module

import pytest
from forgeries import MAKERS, flaws, odd_pictures, same, states, untouched

from forensics.analysis.protocol import Analysis, Picture

# Error level analysis never says more than that.
MOST = {"ela": "suspicious"}


@pytest.fixture(params=MAKERS)
def analysis(request: pytest.FixtureRequest) -> Analysis[Picture]:
    found: Analysis[Picture] = import_module(f"forensics.analysis.{request.param.replace('-', '_')}").ANALYSIS
    return found


def test_positives_are_found(analysis: Analysis[Picture]) -> None:
    assert states(analysis, 20).count(MOST.get(analysis.name, "inconsistent")) >= 16


@pytest.mark.parametrize("seed", range(4))
def test_ordinary_handling_is_no_finding(analysis: Analysis[Picture], seed: int) -> None:
    found = {handling: analysis.examine(picture) for handling, picture in untouched(seed)}
    most = MOST.get(analysis.name, "inconsistent")
    assert [handling for handling, finding in found.items() if finding.state == most] == []
    assert [flaw for finding in found.values() for flaw in flaws(finding)] == []


@pytest.mark.parametrize(("shape", "picture"), odd_pictures())
def test_odd_pictures_are_answered(analysis: Analysis[Picture], shape: str, picture: Picture) -> None:
    finding = analysis.examine(picture)
    assert flaws(finding) == []
    assert finding.state != "inconsistent"


def test_it_repeats(analysis: Analysis[Picture]) -> None:
    picture, _ = MAKERS[analysis.name](0)
    assert same(analysis.examine(picture), analysis.examine(Picture(picture.pixels.copy(), picture.jpeg)))
