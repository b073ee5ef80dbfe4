"""Manifests: what is written is read back; what is wrong is named with its line."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.common.errors import ManifestError
from forensics.common.manifest import COLUMNS, Item, read_manifest, write_manifest

HEADER = "path,label,generator,dataset,source,identity,split,view,mask\n"
# Anything that a CSV cell can be asked to hold; a reader strips blanks around values.
cell = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12).map(str.strip)
name = st.text(st.sampled_from("abcXYZ019_-é漢 ,\"'"), min_size=1, max_size=12).map(str.strip).filter(bool)


@st.composite
def items(draw, folder: Path):
    parts = draw(st.lists(name, min_size=1, max_size=3))
    texts = {key: draw(cell) for key in ("generator", "dataset", "source", "identity", "mask")}
    return Item(
        path=folder.joinpath(*parts),
        label=draw(st.integers(0, 1)),
        split=draw(st.sampled_from(["", "train", "dev", "test"])),
        view=draw(st.sampled_from(["face", "scene", "whole"])),
        extra={"seed": draw(cell), "victim": draw(cell)},
        **texts,
    )


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_round_trip(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    rows = data.draw(st.lists(items(folder), min_size=1, max_size=5))
    write_manifest(folder / "round_trip.csv", rows)
    assert read_manifest(folder / "round_trip.csv") == rows


def test_paths_are_relative_inside_the_folder_and_absolute_outside(tmp_path):
    inside, outside = tmp_path / "data" / "pictures" / "a.png", tmp_path / "elsewhere" / "b.png"
    write_manifest(tmp_path / "data" / "m.csv", [Item(inside, 0), Item(outside, 1)])
    lines = (tmp_path / "data" / "m.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == ",".join(COLUMNS)
    assert lines[1].startswith("pictures/a.png,0,")
    assert lines[2].startswith(f"{outside.as_posix()},1,")
    assert [item.path for item in read_manifest(tmp_path / "data" / "m.csv")] == [inside, outside]


def test_a_manifest_named_relatively_gives_absolute_paths(tmp_path, monkeypatch):
    (tmp_path / "m.csv").write_text("path,label\na.png,0\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (item,) = read_manifest(Path("m.csv"))
    assert item.path == tmp_path / "a.png"
    # So that rows survive being written into another folder.
    write_manifest(Path("other/m.csv"), [item])
    assert read_manifest(Path("other/m.csv"))[0].path == tmp_path / "a.png"


def test_absent_columns_have_defaults_and_unknown_ones_are_kept(tmp_path):
    (tmp_path / "m.csv").write_text("label,path,mood\n1,a.png,sad\n0,b.png\n", encoding="utf-8")
    first, second = read_manifest(tmp_path / "m.csv")
    assert (first.label, first.view, first.split, first.extra) == (1, "scene", "", {"mood": "sad"})
    assert second.extra == {"mood": ""}


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path):
    (tmp_path / "m.csv").write_text("path,label\na.png,1\n", encoding="utf-8-sig")
    assert read_manifest(tmp_path / "m.csv")[0].path.name == "a.png"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.png,2,,,,,,,", "label is '2'"),
        ("a.png,,,,,,,,", "label is ''"),
        ("a.png,fake,,,,,,,", "label is 'fake'"),
        ("a.png,1,,,,,validation,,", "split is 'validation'"),
        ("a.png,1,,,,,,crop,", "view is 'crop'"),
        (",1,,,,,,,", "no path"),
    ],
)
def test_a_value_outside_its_domain_is_named_with_its_line(tmp_path, row, said):
    path = tmp_path / "m.csv"
    path.write_text(f"{HEADER}ok.png,0,,,,,,,\n{row}\n", encoding="utf-8")
    with pytest.raises(ManifestError) as caught:
        read_manifest(path)
    assert f"{path}:3: " in caught.value.message
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (f"{HEADER}\n\nok.png,0\nbad.png,7\n", 5),
        (f'{HEADER}ok.png,0,"two\nlines"\nbad.png,7\n', 4),
    ],
    ids=["blank lines", "a cell of two lines"],
)
def test_line_numbers_are_those_of_an_editor(tmp_path, text, line):
    (tmp_path / "m.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=f"m.csv:{line}: label is '7'"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize(("header", "missing"), [("label\n1\n", "path"), ("path\na.png\n", "label"), ("", "path")])
def test_a_missing_column_is_named(tmp_path, header, missing):
    (tmp_path / "m.csv").write_text(header, encoding="utf-8")
    with pytest.raises(ManifestError, match=f"no column '{missing}'"):
        read_manifest(tmp_path / "m.csv")


@pytest.mark.parametrize("content", [None, b"path,label\n\xff\xfe,1\n", b'path,label\n"' + b"x" * 200_000 + b'",1\n'])
def test_a_file_that_is_no_manifest_is_a_typed_error(tmp_path, content):
    path = tmp_path / "m.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ManifestError, match=r"cannot read manifest"):
        read_manifest(path)
