"""The cache of scores: what was put is there after a crash, failures are tried again."""

from pathlib import Path

import pytest

from eval.score_cache import ItemScore, ScoreCache, TrackScore
from forensics.common.errors import UsageError
from forensics.common.outcomes import Outcome

CLIP = ItemScore(
    Outcome.SCORED,
    0.25,
    True,
    3,
    (TrackScore(3, 0.25, ((0.0, 0.2), (0.25, 0.3))), TrackScore(4, 0.1, ())),
    "likely real",
)


def test_scores_outlive_the_process(tmp_path: Path) -> None:
    cache = ScoreCache(tmp_path / "c.jsonl")
    cache.put("a", CLIP)
    cache.put("b", ItemScore(Outcome.NO_FACE, message="no face was found"))
    cache.close()
    again = ScoreCache(tmp_path / "c.jsonl")
    assert again.get("a") == CLIP
    assert again.get("b") == ItemScore(Outcome.NO_FACE, message="no face was found")
    assert again.get("c") is None


@pytest.mark.parametrize(
    "outcome", [Outcome.UNREADABLE, Outcome.DETECTOR_ERROR, Outcome.LIMIT_EXCEEDED, Outcome.NO_VIDEO]
)
def test_what_could_not_be_analysed_is_tried_again(tmp_path: Path, outcome: Outcome) -> None:
    cache = ScoreCache(tmp_path / "c.jsonl")
    cache.put("a", ItemScore(outcome))
    assert cache.get("a") is None
    assert (tmp_path / "c.jsonl").read_text() == ""


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_line_cut_off_by_a_crash_costs_that_line(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "c.jsonl"
    cache = ScoreCache(path)
    cache.put("a", CLIP)
    whole = path.read_bytes()
    cache.put("b", CLIP)
    cache.close()
    last = path.read_bytes()[len(whole) :]
    path.write_bytes(whole + last[: int(len(last) * kept)])
    again = ScoreCache(path)
    assert again.get("a") == CLIP
    assert again.get("b") is None
    again.put("c", CLIP)
    again.close()
    assert ScoreCache(path).get("c") == CLIP


def test_damaged_lines_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "c.jsonl"
    path.write_text('[]\n{"key": "a"}\n{"key": "b", "outcome": "guessed", "score": 1}\nnull\n', encoding="utf-8")
    cache = ScoreCache(path)
    assert cache.get("a") is None
    assert cache.get("b") is None


def test_folder_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"c\.jsonl"):
        ScoreCache(tmp_path / "none" / "c.jsonl")
