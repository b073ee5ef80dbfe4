"""scores.csv: what is written is read back, what is wrong is named with its line, nothing is invented."""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.score_table import COLUMNS, ScoreRow, read_scores, write_scores
from forensics.common.errors import ManifestError
from forensics.common.outcomes import Outcome


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "scores.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    rows = [
        ScoreRow("a/1.png", 1, 0.123456789012, generator="gan", dataset="d", source="s", identity="i", detector="cnn"),
        ScoreRow("=cmd.png", 0, None, Outcome.NO_FACE, video="v/000_003", track="2", detector="cnn", sha256="ab"),
        ScoreRow("'=quoted", 0, 1.0, detector="-x"),
    ]
    write_scores(tmp_path / "scores.csv", rows)
    assert read_scores(tmp_path / "scores.csv") == rows
    text = (tmp_path / "scores.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == ",".join(COLUMNS)
    assert "\n=cmd" not in text  # a spreadsheet would run it
    assert "0.5" not in text.splitlines()[2]  # a failure has no score


@given(
    st.lists(st.tuples(st.text(st.characters(exclude_categories=("Cs", "Cc"))), st.floats(0, 1)), max_size=5),
)
def test_any_name_and_score_survive(pairs: list[tuple[str, float]]) -> None:
    rows = [
        ScoreRow(f"{i}{name}".strip(), i % 2, score, generator=name.strip()) for i, (name, score) in enumerate(pairs)
    ]
    with TemporaryDirectory() as folder:
        write_scores(Path(folder) / "s.csv", rows)
        again = read_scores(Path(folder) / "s.csv")
    assert [replace(row, score=None) for row in again] == [replace(row, score=None) for row in rows]
    assert [row.score for row in again] == pytest.approx([row.score for row in rows], rel=1e-11, abs=0)


def test_foreign_table_needs_three_columns_only(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeffpath, label ,score\nx.png,1,0.75\ny.png,0,0\n")
    rows = read_scores(path, "theirs")
    assert [(row.path, row.label, row.score, row.detector) for row in rows] == [
        ("x.png", 1, 0.75, "theirs"),
        ("y.png", 0, 0.0, "theirs"),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path,score\na,1\n", "no column 'label'"),
        ("path,label,score\na,2,0.5\n", ":2: label is '2'"),
        ("path,label,score\na,fake,0.5\n", "label is 'fake'"),
        ("path,label,score\na,1,1.5\n", "score is '1.5'"),
        ("path,label,score\na,1,nan\n", "score is 'nan'"),
        ("path,label,score\na,1,-0.1\n", "score is '-0.1'"),
        ("path,label,score\na,1,\n", "neither a score nor an outcome"),
        ("path,label,score,outcome\na,1,,lost\n", "outcome is 'lost'"),
        ("path,label,score,outcome\na,1,,scored\n", "score is ''"),
        ("path,label,score\n,1,0.5\n", "no path"),
        ("path,label,score\na,1,0.5\na,1,0.6\n", "there twice"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_scores(write(tmp_path, text))
    assert says in caught.value.message
    assert caught.value.hint


def test_failure_keeps_no_score_even_where_the_tool_wrote_one(tmp_path: Path) -> None:
    """Other harnesses write 0.5 for a file without a face: it must not reach the AUC."""
    rows = read_scores(write(tmp_path, "path,label,score,outcome\na,1,0.5,no_face\n"))
    assert rows[0].score is None


def test_same_path_by_two_detectors_is_two_rows(tmp_path: Path) -> None:
    rows = read_scores(write(tmp_path, "path,label,score,detector\na,1,0.5,x\na,1,0.6,y\n"))
    assert [row.detector for row in rows] == ["x", "y"]


def test_missing_file_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot read scores"):
        read_scores(tmp_path / "none.csv")
