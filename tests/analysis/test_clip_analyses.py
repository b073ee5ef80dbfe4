"""What holds of the analyses of time that can call a face unusual: ordinary clips are not, saved again or not."""

from importlib import import_module

import pytest
from clips import ordinary_clips, saved_again


@pytest.mark.parametrize("name", ["frames", "flicker", "jitter", "identity"])
def test_ordinary_clips_are_consistent_saved_again_or_not(name: str) -> None:
    analysis = import_module(f"forensics.analysis.{name}").ANALYSIS
    clips = ordinary_clips(20)
    for handled in (clips, [saved_again(clip, seed) for seed, clip in enumerate(clips)]):
        states = [analysis.examine(clip).state for clip in handled]
        assert states.count("inconsistent") + states.count("suspicious") <= 1
