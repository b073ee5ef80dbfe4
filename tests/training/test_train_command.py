"""`forensics train`: its options are those of the configuration, from a recipe or typed, and its errors are one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from forensics.cli.train import command
from forensics.common.errors import UsageError
from forensics.common.manifest import Item, write_manifest
from forensics.common.options_file import options_toml
from forensics.training import recipe
from forensics.training.config import TrainConfig


@pytest.fixture
def manifest(tmp_path) -> Path:
    items = [
        Item(tmp_path / f"{split}{label}.png", label, split=split) for split in ("train", "dev") for label in (0, 1)
    ]
    write_manifest(tmp_path / "manifest.csv", items)
    return tmp_path / "manifest.csv"


@pytest.fixture
def runs(monkeypatch) -> list[tuple[TrainConfig, list[Item], Path, Path | None]]:
    """Instead of training: with what it was called."""
    found = []

    def note(config, items, output, _licence, _progress, _overwrite, crops) -> None:
        output.mkdir(exist_ok=True)
        (output / "card.md").write_text("the figures\n", encoding="utf-8")
        found.append((config, items, output, crops))

    monkeypatch.setattr(recipe, "run_recipe", note)
    return found


def call(*arguments: object) -> str:
    result = CliRunner().invoke(command, [str(part) for part in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_help_shows_every_option_with_its_description_and_default():
    shown = " ".join(CliRunner().invoke(command, ["--help"], terminal_width=250).output.split())
    for name, field in TrainConfig.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        assert " ".join(field.description.split()) in shown
    for part in (
        "--recipe FILE",
        "--crops DIR",
        "[default: cnn,texture,spectrum,durall,frank]",
        "recipe.toml",
        "label 1 = fake",
    ):
        assert part in shown


def test_without_options_the_recipe_is_that_of_the_shipped_weights(manifest, runs, tmp_path):
    assert call("--data", manifest, "--output", tmp_path / "run") == "the figures\n"
    ((config, items, output, crops),) = runs
    assert config == TrainConfig()
    assert (len(items), output, crops) == (4, tmp_path / "run", None)


def test_a_recipe_is_taken_and_overridden_by_what_is_typed(manifest, runs, tmp_path):
    made = TrainConfig(detectors=("cnn", "meso4"), epochs=7, self_blends=0.9, left_out=("a",), seed=3)
    file = tmp_path / "recipe.toml"
    file.write_text(options_toml(made), encoding="utf-8")
    base = ("--data", manifest, "--output", tmp_path / "run", "--recipe", file)
    call(*base)
    call(*base, "--seed", 0, "--left-out", "b,c", "--left-out", "d", "--crops", tmp_path / "kept")
    call(*base, "--detectors", "durall", "--patience", 2, "--max-steps", 50)
    call(*base, "--left-out", "")
    assert runs[0][0] == made
    assert runs[1][0] == made.model_copy(update={"seed": 0, "left_out": ("b", "c", "d")})
    assert runs[1][3] == tmp_path / "kept"
    assert runs[2][0] == made.model_copy(update={"detectors": ("durall",), "patience": 2, "max_steps": 50})
    assert runs[3][0] == made.model_copy(update={"left_out": ()})  # an empty list is none, not nothing given


def test_several_manifests_are_one_set_of_pictures(manifest, runs, tmp_path):
    call("--data", manifest, "--data", manifest, "--output", tmp_path / "run")
    assert len(runs[0][1]) == 8


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        (["--epochs", "0"], None, "option 'epochs': "),
        (["--detectors", "svm"], None, "option 'detectors': "),
        ([], "epochs = 0", "option 'epochs': "),
        ([], "epoch = 3", "option 'epoch': "),
        ([], 'self_blends = "many"', "option 'self_blends': "),
        ([], "epochs =", "recipe .*recipe.toml: "),
        ([], "", "recipe .*recipe.toml: .*No such file"),
    ],
)
def test_a_wrong_option_is_a_typed_error_before_anything_is_read(runs, tmp_path, arguments, text, message):
    file = tmp_path / "recipe.toml"
    if text:
        file.write_text(text, encoding="utf-8")
    from_file = [] if text is None else ["--recipe", str(file)]
    with pytest.raises(UsageError, match=message) as caught:
        call("--data", tmp_path / "absent.csv", "--output", tmp_path / "run", *from_file, *arguments)
    assert caught.value.hint == "forensics train --help"
    assert "\n" not in caught.value.message
    assert runs == []


def test_an_error_is_one_line_and_a_hint_on_standard_error(tmp_path):
    arguments = ["--data", "absent.csv", "--output", str(tmp_path / "run"), "--recipe", "absent.toml"]
    found = subprocess.run(
        [sys.executable, "-m", "forensics", "train", *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(recipe.__file__).parents[2])},
    )  # fmt: skip
    assert found.returncode == UsageError.exit_status
    assert found.stdout == ""
    error, hint = found.stderr.splitlines()
    assert error.startswith("error: recipe absent.toml: ")
    assert "forensics train --help" in hint
    assert not (tmp_path / "run").exists()
