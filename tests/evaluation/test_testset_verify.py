"""Verifying and rebuilding test sets, and the command."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from testset_drawings import Drawn, build, bytes_of, draw, items_of

from eval.cli.testset import command
from eval.datasets import load_dataset
from eval.testsets.options import BuildOptions
from eval.testsets.record import AuditPart
from eval.testsets.verify import rebuild_testset, verify_testset
from forensics.common.errors import ForensicsError, ManifestError, UsageError
from forensics.common.progress import Progress


@pytest.fixture
def data(tmp_path: Path) -> Drawn:
    drawn = Drawn(tmp_path / "faces")
    for i in range(4):
        for split in ("dev", "test"):
            drawn.add(f"{split}r{i}", 0, source=f"{split}{i}", identity=f"p{split}{i}", split=split)
            drawn.add(f"{split}f{i}", 1, generator="gan", source=f"{split}{i}", split=split)
    drawn.write()
    return drawn


@pytest.fixture
def made(tmp_path: Path, data: Drawn) -> Path:
    """A set with two splits."""
    folder = str(data.folder)
    build(tmp_path / "set", [folder], [folder], from_split="all", perturb=("jpeg:50",))
    return tmp_path / "set"


def problems_of(folder: Path) -> list[str]:
    return verify_testset(folder, Progress(quiet=True), workers=1)


def edit_manifest(folder: Path, change) -> None:
    path = folder / "manifest.csv"
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        rows, names = list(reader), reader.fieldnames
    change(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def test_a_set_as_it_was_made_has_no_problem(made):
    assert problems_of(made) == []


def test_a_set_is_read_by_its_manifest_although_its_folders_are_a_layout_too(made):
    loaded = load_dataset(made)
    assert loaded.layout == "manifest"
    assert len(loaded.items) == len(items_of(made))


def test_a_changed_byte_is_found(made):
    path = items_of(made)[3].path
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))
    assert problems_of(made) == [f"changed: {path.relative_to(made).as_posix()}"]


def test_a_missing_file_is_found(made):
    path = items_of(made)[0].path
    path.unlink()
    assert problems_of(made) == [f"missing: {path.relative_to(made).as_posix()}"]


def test_a_link_in_a_files_place_is_found(made, tmp_path):
    path = items_of(made)[0].path
    shutil.move(path, tmp_path / "moved.jpg")
    path.symlink_to(tmp_path / "moved.jpg")
    assert problems_of(made) == [f"a link, not a file: {path.relative_to(made).as_posix()}"]


@pytest.mark.parametrize("name", ["note.txt", "test/real/faces/another.jpg", ".hidden", "test/fake/.x.jpg.abc.tmp"])
def test_an_extra_file_is_found(made, name):
    draw(made / name, "x") if name.endswith("jpg") else (made / name).write_text("x")
    assert problems_of(made) == [f"not part of the set: {name}"]


def test_an_edited_label_is_found(made):
    def flip(rows):
        rows[0]["label"] = str(1 - int(rows[0]["label"]))

    edit_manifest(made, flip)
    problems = problems_of(made)
    assert "manifest.csv is not the one that was written: it was edited" in problems
    assert any("label or split is not its folder's" in line for line in problems)
    assert any("is not balanced" in line for line in problems)


def test_a_row_that_was_removed_is_found(made):
    edit_manifest(made, lambda rows: rows.pop(0))
    problems = problems_of(made)
    assert any(line.startswith("not part of the set: ") for line in problems)
    assert any("files, 8 stated" in line for line in problems)
    assert "the hash over all files is not the one in testset.json" in problems


@pytest.mark.parametrize("column", ["source", "identity", "original"])
def test_what_is_on_two_sides_is_found(made, column):
    def leak(rows):
        donor = next(row for row in rows if row["split"] == "test" and row["label"] == "0")
        row = next(row for row in rows if row["split"] == "dev" and row["label"] == "0")
        row[column] = donor[column]

    edit_manifest(made, leak)
    assert any(line.startswith("in two splits (dev, test): ") for line in problems_of(made))


@pytest.mark.parametrize("path", ["../faces/devr0.jpg", "/etc/passwd", "test/real/faces/../faces/x.jpg", "note.txt"])
def test_a_manifest_that_names_other_files_is_found(made, path):
    edit_manifest(made, lambda rows: rows[0].update(path=path))
    assert any("names a file that cannot be the set's" in line for line in problems_of(made))


def test_a_damaged_manifest_or_record_is_a_typed_error(made):
    whole = (made / "manifest.csv").read_bytes()
    (made / "manifest.csv").write_bytes(whole.replace(b",1,gan,", b",fake,gan,", 1))
    with pytest.raises(ManifestError, match="label"):
        problems_of(made)
    (made / "manifest.csv").write_bytes(b"\xff\xfe" + whole)
    with pytest.raises(ManifestError, match="cannot read"):
        problems_of(made)
    (made / "manifest.csv").unlink()
    with pytest.raises(ManifestError):
        problems_of(made)
    (made / "testset.json").write_text('{"schema_version": "1.0"}')
    with pytest.raises(ManifestError, match="damaged"):
        problems_of(made)
    with pytest.raises(ManifestError, match="cannot read"):
        problems_of(made / "test")


def test_an_edited_recipe_is_found(made):
    path = made / "testset.json"
    path.write_text(path.read_text().replace('"seed": 0,\n      "audit"', '"seed": 9,\n      "audit"'))
    assert problems_of(made) == ["testset.json: its recipe was edited"]


def rebuilt(made: Path, output: Path):
    def no_auditor(manifest: Path, seed: int) -> AuditPart:
        return AuditPart(verdict="", lines=())

    record = json.loads((made / "testset.json").read_text())
    auditor = None if record["audit"] is None else no_auditor
    return rebuild_testset(
        made / "testset.json", output, BuildOptions(quiet=True, workers=1), Progress(quiet=True), auditor
    )


def test_a_rebuilt_set_agrees_in_every_byte(made, tmp_path):
    found = rebuilt(made, tmp_path / "again")
    assert found.agrees
    assert found.lines == ()
    assert bytes_of(tmp_path / "again") == bytes_of(made)


def test_a_recipe_without_its_pictures_can_be_rebuilt(made, tmp_path):
    (tmp_path / "alone").mkdir()
    shutil.copy(made / "testset.json", tmp_path / "alone")
    assert rebuilt(tmp_path / "alone", tmp_path / "again").agrees


def test_a_rebuild_from_changed_inputs_says_what_differs_and_why(made, data, tmp_path):
    draw(data.folder / "testr0.jpg", "another")
    found = rebuilt(made, tmp_path / "again")
    assert not found.agrees
    assert any(line.startswith("new: test/real/faces/testr0-") for line in found.lines)
    assert any(line.startswith("not made again: test/real/faces/testr0-") for line in found.lines)
    data.add("more", 0, source="more", split="test").write()
    shutil.rmtree(tmp_path / "again")
    assert any("has changed since" in line for line in rebuilt(made, tmp_path / "again").lines)


def test_a_rebuild_needs_a_folder_of_its_own(made):
    with pytest.raises(UsageError, match="compared"):
        rebuilt(made, made)


def run(*arguments: str):
    return CliRunner().invoke(command, [*arguments, "--quiet"], standalone_mode=False)


def test_the_command_builds_verifies_and_rebuilds(data, tmp_path):
    folder, output = str(data.folder), str(tmp_path / "set")
    built = run("--real", folder, "--fake", folder, "--output", output, "--no-audit")
    assert built.exception is None
    assert built.return_value == 0
    assert "test: 4 real, 4 fake" in built.stdout
    assert "left out: 4 real, 4 fake: in a split that is not taken" in built.stdout
    assert run("--verify", output).return_value == 0
    again = run("--rebuild", f"{output}/testset.json", "--output", str(tmp_path / "again"))
    assert again.return_value == 0
    assert "every byte agrees" in again.stdout
    items_of(tmp_path / "set")[0].path.unlink()
    (tmp_path / "set" / "extra").write_text("x")
    damaged = run("--verify", output)
    assert damaged.return_value == 1
    assert [line.split(":")[0] for line in damaged.stdout.splitlines()] == ["missing", "not part of the set"]


def test_unreadable_inputs_are_in_the_exit_status(data, tmp_path):
    (data.folder / "testr0.jpg").write_bytes(b"gone")
    folder = str(data.folder)
    assert run("--real", folder, "--fake", folder, "--output", str(tmp_path / "set"), "--no-audit").return_value == 3


def test_the_audit_sees_the_finished_set(tmp_path):
    real = Drawn(tmp_path / "photos", side=64).add_many(40, 0).write()
    fake = Drawn(tmp_path / "renders").add_many(40, 1, "gan").write()
    built = run("--real", real, "--fake", fake, "--output", str(tmp_path / "set"))
    assert built.exception is None
    sheet = (tmp_path / "set" / "DATASHEET.md").read_text()
    assert "from the size of file and picture alone the label can be told" in sheet
    assert "audit: " in built.stdout
    assert run("--verify", str(tmp_path / "set")).return_value == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "x"], "no --real DATA"),
        (["--real", "a", "--fake", "b"], "no --output"),
        (["--verify", "a", "--rebuild", "b"], "two commands"),
        (["--verify", "a", "--real", "b"], "--real has no effect"),
        (["--rebuild", "a", "--output", "b", "--seed", "3"], "--seed has no effect"),
        (["--real", "a", "--fake", "b", "--output", "x", "--splits", "test=3"], "--splits"),
        (["--real", "a", "--fake", "b", "--output", "x", "--per-family", "0"], "per_family"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    error = run(*arguments).exception
    assert isinstance(error, ForensicsError)
    assert said in error.message
    assert error.hint
