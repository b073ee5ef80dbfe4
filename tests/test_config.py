"""One configuration: command line over file over default, and the same names everywhere."""

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.cli.options import given_values, options_of
from forensics.cli.scan import command as scan_command
from forensics.common.errors import UsageError
from forensics.config import ScanConfig, options_hash, resolve_config

FIELDS = list(ScanConfig.model_fields)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_command_line_over_file_over_default(tmp_path):
    file = write(tmp_path / "c.toml", 'sample_fps = 2.0\nprior = 0.1\ndetector = ["cnn", "spectrum"]\nresume = false\n')
    config = resolve_config(file, {"prior": 0.3, "resume": True})
    assert (config.prior, config.resume) == (0.3, True)
    assert (config.sample_fps, config.detector) == (2.0, ("cnn", "spectrum"))
    assert config.max_frames == ScanConfig().max_frames
    assert resolve_config(None, {}) == ScanConfig()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("sample_fsp = 2.0", "sample_fsp"),
        ("sample_fps = 0", "sample_fps"),
        ('sample_fps = "fast"', "sample_fps"),
        ("prior = 1.0", "prior"),
        ("prior = nan", "prior"),
        ('view = "face "', "view"),
        ('format = ["pdf"]', "format"),
        ("max_frames = 1.5", "max_frames"),
        ("[scan]\nprior = 0.5", "scan"),
    ],
)
def test_a_wrong_option_is_named(tmp_path, text, named):
    with pytest.raises(UsageError, match=f"option '{named}") as caught:
        resolve_config(write(tmp_path / "c.toml", text), {})
    assert "forensics config" in caught.value.hint


@pytest.mark.parametrize(
    "content",
    [None, b"prior = ", b"\xff\xfe", b"prior = 0.1\nprior = 0.2", b"prior = " + b"[" * 3000, b"prior = " + b"9" * 5000],
)
def test_a_file_that_is_no_configuration_is_a_typed_error(tmp_path, content):
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=r"c\.toml"):
        resolve_config(path, {})


names = st.text(st.characters(codec="ascii", exclude_characters="\x7f\x00", min_codepoint=32), min_size=1, max_size=12)
configs = st.fixed_dictionaries(
    {},
    optional={
        "detector": st.lists(names, min_size=1, max_size=3).map(tuple),
        "weights": names.map(Path),
        "output": names.map(Path),
        "face_model": names.map(Path),
        "sample_fps": st.floats(1e-9, 240),
        "max_frames": st.integers(1, 100_000),
        "prior": st.floats(1e-12, 1 - 1e-12),
        "timeout": st.floats(1e-6, 1e18),
        "view": st.sampled_from(["scene", "face", "whole"]),
        "format": st.lists(st.sampled_from(["table", "json", "html", "csv"]), max_size=3).map(tuple),
        "resume": st.booleans(),
        "quiet": st.booleans(),
        "fail_on": st.sampled_from(["never", "fake", "suspect"]),
    },
)


@settings(deadline=None)
@given(configs)
def test_what_is_printed_is_read_back(tmp_path_factory, values):
    config = ScanConfig(**values)
    file = write(tmp_path_factory.getbasetemp() / "printed.toml", config.to_toml())
    assert resolve_config(file, {}) == config


@pytest.mark.parametrize(
    "name",
    [
        "😀",
        "漢字",
        "a\x7fb",
        'quo"te\\',
        "tab\tnew\nline",
    ],
)
def test_a_folder_of_any_name_is_read_back(tmp_path, name):
    config = ScanConfig(output=Path(name))
    assert resolve_config(write(tmp_path / "c.toml", config.to_toml()), {}) == config


def test_the_printed_file_names_every_option():
    text = ScanConfig().to_toml()
    parsed = tomllib.loads(text)
    without_value = {name for name in FIELDS if getattr(ScanConfig(), name) is None}
    assert set(parsed) == set(FIELDS) - without_value
    assert all(f"# {name} =" in text for name in without_value)


def test_every_field_is_an_option_with_its_description_and_default():
    result = CliRunner().invoke(scan_command, ["--help"], terminal_width=250)
    assert result.exit_code == 0
    shown = " ".join(result.output.split())
    for name, field in ScanConfig.model_fields.items():
        assert f"--{name.replace('_', '-')}" in shown
        assert field.description
        assert " ".join(field.description.split()) in shown
    assert "[default: 4.0]" in shown
    assert "[default: default]" in shown


def parse(arguments: list[str]) -> dict:
    """The values that a command with the options of a scan takes from these arguments."""
    import click

    found: dict = {}

    @click.command()
    @options_of(ScanConfig)
    def command(**values):
        found.update(given_values(values))

    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    assert result.exception is None, result.exception
    return found


def test_what_is_not_given_is_absent():
    assert parse([]) == {}


def test_given_options_become_a_configuration():
    values = parse(
        ["--detector", "cnn", "--detector", "x.py", "--prior", "0.2", "-q", "--no-resume", "--format", "json, csv",
         "-o", "out", "--max-frames", "5", "--fail-on", "fake", "--force"]
    )  # fmt: skip
    config = resolve_config(None, values)
    assert config == ScanConfig(
        detector=("cnn", "x.py"), prior=0.2, quiet=True, resume=False, format=("json", "csv"), output=Path("out"),
        max_frames=5, fail_on="fake", force=True,
    )  # fmt: skip


def test_what_was_given_empty_still_wins_over_the_file(tmp_path):
    file = write(tmp_path / "c.toml", "resume = true\nsample_fps = 9.0\n")
    config = resolve_config(file, parse(["--no-resume", "--sample-fps", "4.0"]))
    assert (config.resume, config.sample_fps) == (False, 4.0)


OTHER = {
    "detector": ("cnn",), "view": "face", "sample_fps": 5.0, "max_frames": 7, "prior": 0.25, "stability": False,
    "randomised": 4, "evidence": True, "face_detector": "yunet",
    "face_model": Path("m.onnx"), "device": "cpu", "weights": Path("w"), "threads": 3, "timeout": 9.0,
    "max_pixels": 1000, "max_memory_gb": 0.5, "output": Path("o"), "format": ("json",), "resume": False, "force": True,
    "overwrite": True, "fail_on": "fake", "verbose": True, "quiet": True, "engine": "onnx", "precision": "f32",
}  # fmt: skip
ANALYSIS = {
    "detector", "view", "sample_fps", "max_frames", "prior", "stability", "randomised", "evidence", "face_detector",
    "face_model", "device", "engine", "precision",
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_the_hash_changes_with_what_decides_the_record_and_with_nothing_else(name):
    default, changed = ScanConfig(), ScanConfig(**{name: OTHER[name]})
    assert changed != default
    is_same = options_hash(changed.analysis_options()) == options_hash(default.analysis_options())
    assert is_same == (name not in ANALYSIS)


def test_the_hash_does_not_depend_on_the_order_of_options():
    options = ScanConfig().analysis_options()
    assert options_hash(dict(reversed(options.items()))) == options_hash(options)


def test_a_detector_file_counts_by_its_content_and_not_by_its_folder(tmp_path):
    def hash_of(path: Path, text: str) -> str:
        path.parent.mkdir(exist_ok=True)
        return options_hash(ScanConfig(detector=(str(write(path, text)),)).analysis_options())

    first = hash_of(tmp_path / "a" / "mine.py", "def predict(path): return 0.5")
    assert hash_of(tmp_path / "b" / "mine.py", "def predict(path): return 0.5") == first
    assert hash_of(tmp_path / "a" / "mine.py", "def predict(path): return 0.6") != first


def test_a_face_model_counts_by_its_content(tmp_path):
    def hash_of(content: bytes) -> str:
        (tmp_path / "m.onnx").write_bytes(content)
        return options_hash(ScanConfig(face_detector="yunet", face_model=tmp_path / "m.onnx").analysis_options())

    assert hash_of(b"one") != hash_of(b"two")
