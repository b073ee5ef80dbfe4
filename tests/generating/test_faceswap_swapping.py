"""Two clips in, a swapped clip out; the same again does nothing, a stopped one goes on to the same bytes."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from faceswap_clips import GREEN, RED, ColourDetector, moving_person, write_frames
from faceswap_fakes import SharedReader, frames_of, names_in

from forensics.cli import cli
from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import read_manifest
from forensics.common.progress import Progress
from forensics.media.reader import MediaReader
from generators.faceswap import swapping
from generators.faceswap.config import RenderConfig, configured
from generators.faceswap.extraction.extract_config import ExtractConfig
from generators.faceswap.swapping import Swapped, swap

QUIET = Progress(quiet=True)
TINY = {
    "width": 8, "latent": 16, "image_px": 32, "steps": 10, "batch_size": 4, "report_every": 5, "grid_every": 10,
    "save_every": 5, "quality_every": 0, "threads": 1, "device": "cpu", "precision": "float32",
}  # fmt: skip
# An untrained network draws no mask to speak of: what is replaced is the landmarks' outline.
HULL = RenderConfig(mask="hull", encoder="ultrafast")
# What a clock or a machine may change.
NOT_COMPARED = ("log.csv", "log.jsonl", "run.json", "curves.png")


@pytest.fixture(scope="module")
def reader():
    with MediaReader() as shared:
        yield shared


@pytest.fixture(autouse=True)
def _drawn_faces(reader, monkeypatch):
    draw_faces(reader, monkeypatch)


def draw_faces(reader: MediaReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A detector of drawn faces, and one decoding process, for all steps."""
    modules = (
        "generators.faceswap.extraction.tracks",
        "generators.faceswap.rendering.rendering",
        "forensics.media.sound",
    )
    for module in (*modules, "generators.faceswap.extraction.extract"):
        monkeypatch.setattr(f"{module}.MediaReader", SharedReader(reader))
    for module in ("extraction.extract", "swapping"):
        monkeypatch.setattr(f"generators.faceswap.{module}.load_face_detector", lambda *_: ColourDetector())


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("clips")
    return (
        write_frames(folder / "a.mp4", moving_person(24, GREEN, 90)),
        write_frames(folder / "b.mp4", moving_person(20, RED, 84)),
    )


def run(clips, folder: Path, render: RenderConfig = HULL, overwrite: bool = False, **changes) -> Swapped:
    config = configured("cpu", TINY | changes)
    return swap(*clips, folder, "cpu", config, ExtractConfig(threads=1), render, QUIET, overwrite)


def contents(folder: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: data for name, data in files.items() if Path(name).name not in NOT_COMPARED}


@pytest.fixture(scope="module")
def whole(clips, tmp_path_factory, reader) -> Path:
    """A swap that was not stopped; tests do not change it."""
    folder = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        draw_faces(reader, patch)
        done = run(clips, folder)
    assert done.clip is not None
    assert (done.clip.frames, done.clip.swapped) == (20, 20)
    return folder


def test_the_folder_holds_what_the_help_names(whole, clips):
    names = names_in(whole)
    assert {
        "swapped.mp4", "swapped.mask.mp4", "swapped.frames.json", "manifest.csv", "source/alignments.json",
        "source/contact.png", "target/alignments.json", "run/preview.png", "run/curves.png", "run/run.json",
        "run/checkpoints",
    } <= names  # fmt: skip
    assert not [name for name in names if Path(name).name.startswith(".") or name.endswith(".tmp")]
    (row,) = read_manifest(whole / "manifest.csv")
    assert (row.label, row.identity, row.source, row.path.name) == (1, "a", "b", "swapped.mp4")
    assert len(frames_of(whole / "swapped.mp4")) == len(frames_of(clips[1])) == 20


def test_the_same_again_does_nothing(whole, clips, monkeypatch):
    before = contents(whole)
    stamps = {path: path.stat().st_mtime_ns for path in whole.glob("swapped.*")}
    monkeypatch.setattr(swapping, "convert", None)
    done = run(clips, whole)
    assert done.clip is None and done.output == whole / "swapped.mp4"
    assert contents(whole) == before
    assert {path: path.stat().st_mtime_ns for path in whole.glob("swapped.*")} == stamps


class PowerCutError(Exception):
    """A power cut."""


@pytest.mark.parametrize("where", ["extract", "train", "convert"])
def test_a_swap_that_was_stopped_goes_on_to_the_same_bytes(whole, clips, tmp_path, monkeypatch, where):
    folder = tmp_path / "out"
    with monkeypatch.context() as patch:
        if where == "extract":
            calls: list[int] = []
            plain = swapping.extract

            def second_fails(*given):
                calls.append(1)
                if len(calls) == 2:
                    raise PowerCutError
                return plain(*given)

            patch.setattr(swapping, "extract", second_fails)
        elif where == "train":
            from generators.faceswap.training.game import SwapGame

            plain_step, steps = SwapGame.step, []

            def step(self, *given):
                steps.append(1)
                if len(steps) == 8:
                    raise PowerCutError
                return plain_step(self, *given)

            patch.setattr(SwapGame, "step", step)
        else:
            from generators.faceswap.rendering import outputs, rendering

            def stops(*_):
                raise PowerCutError

            # The last moment: list and mask lie there, the manifest and the clip do not.
            assert rendering.note is outputs.note
            patch.setattr(rendering, "note", stops)
        with pytest.raises(PowerCutError):
            run(clips, folder)
    assert not (folder / "swapped.mp4").exists()
    assert (folder / "swapped.frames.json").exists() == (where == "convert")
    done = run(clips, folder)
    assert done.clip is not None
    assert contents(folder) == contents(whole)


def test_other_options_of_the_training_are_refused_by_name(whole, clips):
    before = contents(whole)
    with pytest.raises(UsageError, match="latent"):
        run(clips, whole, latent=32)
    assert contents(whole) == before


def test_other_options_of_the_clip_make_it_again_without_training(whole, clips, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    before = contents(folder)
    done = run(clips, folder, HULL.model_copy(update={"paste": "poisson"}))
    assert done.clip is not None and done.clip.swapped == 20
    after = contents(folder)
    changed = {name for name in after if after[name] != before.get(name)}
    assert {"swapped.mp4", "swapped.frames.json", "manifest.csv"} <= changed
    assert all(name.startswith(("swapped.", "manifest")) for name in changed)
    assert len(read_manifest(folder / "manifest.csv")) == 1


def test_what_is_in_the_way_is_said_before_anything_is_done(clips, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        run(clips, tmp_path / "file")
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "letters.txt").write_text("x")
    with pytest.raises(UsageError, match=r"letters\.txt"):
        run(clips, foreign)
    (foreign / "letters.txt").unlink()
    (foreign / "manifest.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ManifestError, match="no column"):
        run(clips, foreign)
    assert names_in(foreign) == {"manifest.csv"}
    with pytest.raises(UsageError, match="would replace a file that is read"):
        run((clips[0], whole_of(tmp_path)), tmp_path / "other", overwrite=True)


def test_another_clip_does_not_get_into_a_set_that_is_there(whole, clips, tmp_path):
    before = contents(whole)
    other = write_frames(tmp_path / "c.mp4", moving_person(5, GREEN, 70))
    for pair in ((other, clips[1]), (clips[0], other)):
        with pytest.raises(UsageError, match="holds the faces of"):
            run(pair, whole, overwrite=True)
    with pytest.raises(UsageError, match="no file"):
        run((clips[0], tmp_path / "missing.mp4"), tmp_path / "new")
    assert contents(whole) == before and not (tmp_path / "new").exists()


def whole_of(tmp_path: Path) -> Path:
    """A clip that lies where the result would."""
    folder = tmp_path / "other"
    folder.mkdir()
    return write_frames(folder / "swapped.mp4", moving_person(3))


def test_the_command_tells_of_the_training_and_the_clip(whole, clips):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    args = ["generate", "faceswap", "swap", *map(str, clips), "--output", str(whole), "--quiet", *options]
    found = CliRunner().invoke(cli, [*args, "--mask", "hull", "--encoder", "ultrafast"])
    assert found.exit_code == 0, (found.output, found.exception)
    assert "swapped.mp4, made before" in found.output
    shown = CliRunner().invoke(cli, ["generate", "faceswap", "swap", "--help"])
    assert "goes on where it stopped" in shown.output
