"""What people and adversaries give to `forensics scan`, through the command's own entry point."""

import contextlib
import csv
import io
import json
import os
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import jsonschema
import numpy as np
import pytest
from PIL import Image

from forensics.cli import main
from forensics.detectors.model_set import DEFAULT_FOLDER
from forensics.report.record import schema_text

SAFETY_S = 240.0
pytestmark = pytest.mark.timeout(SAFETY_S)
NOT_TEXT = os.fsdecode(b"bytes-\xff.mp4")


@dataclass(frozen=True)
class Run:
    """One call of the command."""

    status: int
    out: str
    err: str

    @property
    def records(self) -> list[dict]:
        return [json.loads(line) for line in self.out.splitlines()]


def forensics(*arguments: object) -> Run:
    """Call the console script's function in this process, so that torch is loaded once."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["forensics", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as exited:
            main()
    finally:
        sys.argv = before
    code = exited.value.code
    assert isinstance(code, int)
    return Run(code, out.getvalue(), err.getvalue())


def stored(folder: Path) -> dict[str, dict]:
    """The records in an output folder by the path that was given."""
    texts = [path.read_text() for path in folder.glob("*.json") if path.name != "forensics-run.json"]
    return {record["input"]["path"]: record for record in map(json.loads, texts)}


def without_clock(record: dict) -> str:
    return json.dumps({name: part for name, part in record.items() if name != "clock"})


def bomb() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        for _ in range(20):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate = 16000
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


# Name in the batch -> outcome of its record.
EXPECTED = {
    "good.jpg": {"scored"},
    "crowd.jpg": {"scored"},
    "single.mp4": {"scored", "too_small"},
    "no_face.png": {"no_face"},
    "<script>alert(1).png": {"no_face"},
    "=HYPERLINK(1).png": {"no_face"},
    "empty.mp4": {"unreadable"},
    "text.mp4": {"unreadable"},
    "concat.mp4": {"unreadable"},
    "cut.mp4": {"unreadable"},
    "bomb.png": {"limit_exceeded"},
    "sound.mp4": {"no_video"},
    "pipe.mp4": {"unreadable"},
    "folder.mp4": {"unreadable"},
    "missing.mp4": {"unreadable"},
    "broken_link.mp4": {"unreadable"},
    "\x1b[31mred\n.mp4": {"unreadable"},
    NOT_TEXT: {"unreadable"},
}
ANALYSED = {"scored", "no_face", "too_small"}


@pytest.fixture(scope="module")
def media(tmp_path_factory, portrait, clip_writer) -> Path:
    """One of everything."""
    folder = tmp_path_factory.mktemp("media")
    face = portrait[:256, 96:352]
    Image.fromarray(face).save(folder / "good.jpg", quality=95)
    tile = np.asarray(Image.fromarray(portrait[10:210, 125:325]).resize((128, 128)))
    Image.fromarray(np.tile(tile, (5, 8, 1))).save(folder / "crowd.jpg", quality=95)
    clip_writer(folder / "single.mp4", [face])
    plain = np.tile(np.arange(0, 240, 2, dtype=np.uint8)[:, None, None], (1, 120, 3))
    for name in ("no_face.png", "<script>alert(1).png", "=HYPERLINK(1).png"):
        Image.fromarray(plain).save(folder / name)
    (folder / "empty.mp4").touch()
    (folder / "text.mp4").write_text("not a film")
    (folder / "concat.mp4").write_text("ffconcat version 1.0\nfile single.mp4\n")
    clip = clip_writer(folder / "cut.mp4", [face] * 10)
    clip.write_bytes(clip.read_bytes()[:-200])  # its index is at the end
    (folder / "bomb.png").write_bytes(bomb())
    write_sound(folder / "sound.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (folder / "folder.mp4").mkdir()
    (folder / "broken_link.mp4").symlink_to(folder / "nowhere")
    return folder


@pytest.fixture(scope="module")
def batch(media, tmp_path_factory) -> tuple[Run, Path]:
    """All of it in one call, with an output folder."""
    output = tmp_path_factory.mktemp("output")
    paths = [media / name for name in EXPECTED]
    return forensics("scan", *paths, "--output", output, "--max-frames", 4, "--device", "cpu"), output


@pytest.fixture
def detector(tmp_path) -> Callable[[str], Path]:
    """A detector of one's own with this body; `calls.txt` beside it gets a line per call."""

    def make(body: str, name: str = "own.py") -> Path:
        file = tmp_path / name
        log = f"open({str(tmp_path / 'calls.txt')!r}, 'a').write(path + '\\n')"
        file.write_text(f"def predict(path):\n    {log}\n    {body}\n")
        return file

    return make


def calls(folder: Path) -> int:
    log = folder / "calls.txt"
    return len(log.read_text().splitlines()) if log.exists() else 0


# --- one batch of everything --------------------------------------------------------------------------------------


def test_batch_ends_with_some_not_analysed(batch):
    run, _ = batch
    assert run.status == 3
    assert "Traceback" not in run.err


def test_batch_gives_every_input_its_outcome(batch, media):
    _, output = batch
    records = stored(output)
    assert len(records) == len(EXPECTED)
    for name, outcomes in EXPECTED.items():
        shown = str(media / name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        record = records[shown]
        assert record["outcome"] in outcomes, name
        if record["outcome"] not in ANALYSED:
            assert record["message"], name
            assert record["hint"], name
            assert record["verdict"] is None, name
            assert record["detectors"] == [], name


def test_batch_records_fit_the_schema(batch):
    _, output = batch
    validator = jsonschema.Draft202012Validator(json.loads(schema_text()))
    for path, record in stored(output).items():
        assert list(validator.iter_errors(record)) == [], path


def test_batch_complains_once_per_input_on_standard_error(batch):
    run, _ = batch
    lines = run.err.splitlines()
    complaints = [index for index, line in enumerate(lines) if line.startswith("error: ")]
    failed = [name for name, outcomes in EXPECTED.items() if not outcomes & ANALYSED]
    assert len(complaints) == len(failed)
    for index in complaints:
        assert lines[index + 1].startswith("hint: ")
    assert "\x1b" not in run.err
    assert "error" not in run.out


def test_batch_scores_the_good_ones(batch, media):
    _, output = batch
    records = stored(output)
    good, crowd = records[str(media / "good.jpg")], records[str(media / "crowd.jpg")]
    assert len(good["tracks"]) == 1
    assert len(crowd["tracks"]) >= 30
    for record in (good, crowd):
        assert record["verdict"]["label"] in ("likely fake", "likely real", "inconclusive")
        for track in record["tracks"]:
            assert all(0 <= score <= 1 for score in track["scores"].values())
    assert good["detectors"]
    assert all(0 <= part["score"] <= 1 for part in good["detectors"])
    left, top, right, bottom = good["tracks"][0]["samples"][0]["box"]
    assert 0 < right - left < 256
    assert 0 < bottom - top < 256


def test_batch_pages_escape_names(batch):
    _, output = batch
    pages = list(output.glob("*.html"))
    assert len(pages) == len(EXPECTED) + 1
    naming = [page for page in pages if "alert(1)" in page.read_text()]
    assert len(naming) == 2  # its own page and the index
    for page in pages:
        text = page.read_text()
        assert "<script>alert" not in text
        assert "default-src 'none'" in text or "default-src &#39;none&#39;" in text


def test_batch_table_of_cells_has_no_formula(batch):
    _, output = batch
    rows = list(csv.reader(io.StringIO((output / "scan.csv").read_text())))
    assert len(rows) == 1 + len(EXPECTED)
    assert any(row[0] == "'=HYPERLINK(1).png" for row in rows)
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)


def test_batch_files_stay_in_their_folder_and_are_listed(batch):
    _, output = batch
    listed = json.loads((output / "forensics-run.json").read_text())["files"]
    found = {path.name for path in output.rglob("*")} - {"forensics-run.json"}
    assert found == set(listed)
    assert all(name.isascii() and name.isprintable() and "<" not in name for name in found)


# --- exit status --------------------------------------------------------------------------------------------------


def test_status_0_and_4(media, detector):
    own = detector("return 0.25")
    assert forensics("scan", media / "good.jpg", "--detector", own).status == 0
    assert forensics("scan", media / "missing.mp4", media / "folder.mp4", "--detector", own).status == 4
    nothing = forensics("scan", media / "missing.mp4", "--detector", own, "--fail-on", "suspect")
    assert nothing.status == 4


def test_status_1_comes_before_3(media, detector):
    own = detector("return 0.25")
    paths = [media / "good.jpg", media / "missing.mp4"]
    assert forensics("scan", *paths, "--detector", own).status == 3
    assert forensics("scan", *paths, "--detector", own, "--fail-on", "suspect").status == 1
    assert forensics("scan", *paths, "--detector", own, "--fail-on", "fake").status == 3


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--no-such-option"],
        ["x.mp4", "--detector", "no_such_detector"],
        ["x.mp4", "--detector", "no_such_file.py"],
        ["x.mp4", "--prior", "1"],
        ["x.mp4", "--prior", "high"],
        ["x.mp4", "--sample-fps", "0"],
        ["x.mp4", "--max-frames", "-1"],
        ["x.mp4", "--format", "xml"],
        ["x.mp4", "--format", "html"],
        ["x.mp4", "--face-detector", "yunet"],
        ["x.mp4", "--config", "no_such_file.toml"],
        ["x.mp4", "--weights", "no_such_folder"],
        ["x.mp4", "--output", "/dev/null/folder"],
    ],
)
def test_status_2_for_what_cannot_be_meant(arguments):
    run = forensics("scan", *arguments)
    assert run.status == 2
    assert run.out == ""
    assert "Traceback" not in run.err
    assert "rror: " in run.err


def test_status_2_comes_before_everything(media):
    assert forensics("scan", media / "missing.mp4", "--fail-on", "suspect", "--prior", "7").status == 2


@pytest.mark.parametrize("text", ["prior = ", "prior = 2.0", "prior = 'x'", "no_such_option = 1", "[prior]", "\x00"])
def test_configuration_file_with_a_mistake(tmp_path, text):
    file = tmp_path / "scan.toml"
    file.write_text(text)
    run = forensics("scan", "x.mp4", "--config", file)
    assert run.status == 2
    assert run.err.startswith("error: ")
    assert "hint: " in run.err


# --- weights ------------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(tmp_path) -> Path:
    folder = tmp_path / "weights"
    folder.mkdir()
    for file in DEFAULT_FOLDER.iterdir():
        if file.suffix in (".json", ".safetensors"):
            shutil.copyfile(file, folder / file.name)
    return folder


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: damage(max(folder.glob("*.safetensors"), key=lambda file: file.stat().st_size)),
        lambda folder: [file.unlink() for file in folder.glob("*.safetensors")],
        lambda folder: (folder / "model.json").unlink(),
        lambda folder: (folder / "model.json").write_text("{}"),
        lambda folder: (folder / "model.json").write_bytes(b"\xff\xfe"),
        lambda folder: (folder / "model.json").write_text("[" * 100),
    ],
    ids=["one bit", "no files", "no description", "empty description", "not text", "not JSON"],
)
def test_weights_that_are_not_those_that_were_pinned(media, weights, harm):
    harm(weights)
    run = forensics("scan", media / "good.jpg", "--weights", weights)
    assert run.status == 2
    assert run.out == ""
    assert run.err.count("error: ") == 1
    assert "hint: " in run.err
    assert "Traceback" not in run.err


# --- output folder ------------------------------------------------------------------------------------------------


def test_foreign_files_are_refused_before_anything_is_scanned(media, detector, tmp_path):
    own, output = detector("return 0.25"), tmp_path / "output"
    output.mkdir()
    for name in ("scan.csv", "index.html"):
        foreign = output / name
        foreign.write_text("somebody's work")
        run = forensics("scan", media / "good.jpg", "--detector", own, "--output", output)
        assert run.status == 2
        assert "--overwrite" in run.err
        assert foreign.read_text() == "somebody's work"
        assert calls(tmp_path) == 0
        foreign.unlink()
    (output / "scan.csv").write_text("somebody's work")
    run = forensics("scan", media / "good.jpg", "--detector", own, "--output", output, "--overwrite")
    assert run.status == 0
    assert "somebody" not in (output / "scan.csv").read_text()
    # From now on it is ours.
    assert forensics("scan", media / "good.jpg", "--detector", own, "--output", output).status == 0


@pytest.mark.parametrize("content", ["", "[]", '{"tool": "other"}', '{"tool": "deepfake-forensics", "files": 3}'])
def test_foreign_run_file_is_refused(media, detector, tmp_path, content):
    output = tmp_path / "output"
    output.mkdir()
    (output / "forensics-run.json").write_text(content)
    run = forensics("scan", media / "good.jpg", "--detector", detector("return 0.25"), "--output", output)
    assert run.status == 2
    assert (output / "forensics-run.json").read_text() == content


def test_folder_in_the_place_of_a_file_is_a_usage_error(media, detector, tmp_path):
    output = tmp_path / "output"
    (output / "scan.csv").mkdir(parents=True)
    run = forensics("scan", media / "good.jpg", "--detector", detector("return 1"), "--output", output, "--overwrite")
    assert run.status == 2
    assert "Traceback" not in run.err


def test_records_are_reused_until_something_changes(media, detector, tmp_path):
    own, output, picture = detector("return 0.25"), tmp_path / "output", tmp_path / "picture.jpg"
    shutil.copyfile(media / "good.jpg", picture)
    arguments = ["scan", picture, "--detector", own, "--output", output]
    assert forensics(*arguments).status == 0
    record = next(output.glob("picture*.json")).read_text()
    again = forensics(*arguments)
    assert "reused" in again.err
    assert again.status == 0
    assert calls(tmp_path) == 1
    assert next(output.glob("picture*.json")).read_text() == record
    assert (output / "scan.csv").read_text().count("picture.jpg") >= 1

    assert "reused" not in forensics(*arguments, "--force").err
    assert calls(tmp_path) == 2
    forensics(*arguments, "--no-resume")
    assert calls(tmp_path) == 3
    forensics(*arguments, "--prior", 0.1)
    assert calls(tmp_path) == 4
    shutil.copyfile(media / "no_face.png", picture)
    forensics(*arguments)
    assert calls(tmp_path) == 5
    detector("return 0.5")
    assert forensics(*arguments).status == 0
    assert calls(tmp_path) == 6
    shutil.rmtree(output)
    forensics(*arguments)
    assert calls(tmp_path) == 7


def test_a_failure_does_not_live_on_as_a_record(media, detector, tmp_path):
    """A record that a failed, forced run replaced is analysed again, and not taken for the good one it was."""
    broken = tmp_path / "broken"
    own = detector(f"assert not __import__('os').path.exists({str(broken)!r})\n    return 0.25")
    arguments = ["scan", media / "good.jpg", "--detector", own, "--output", tmp_path / "output"]
    assert forensics(*arguments).status == 0
    broken.touch()
    assert forensics(*arguments, "--force").status == 4
    broken.unlink()
    assert forensics(*arguments).status == 0
    assert calls(tmp_path) == 3


def test_same_bytes_in_two_places_keep_two_records(detector, media, tmp_path):
    own, output = detector("return 0.25"), tmp_path / "output"
    paths = [tmp_path / folder / "x.jpg" for folder in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        shutil.copyfile(media / "good.jpg", path)
    forensics("scan", *paths, "--detector", own, "--output", output)
    assert set(stored(output)) == set(map(str, paths))
    # One at a time: each run says what it analysed, and no record passes for another path's.
    alone = tmp_path / "alone"
    for path in (paths[0], paths[1], paths[0]):
        run = forensics("scan", path, "--detector", own, "--output", alone, "--format", "csv")
        assert run.status == 0
        assert str(path) in (alone / "scan.csv").read_text()


def test_a_longer_list_reuses_what_is_known(media, detector, tmp_path):
    own, output = detector("return 0.25"), tmp_path / "output"
    copy = tmp_path / "copy.jpg"
    shutil.copyfile(media / "no_face.png", copy)
    forensics("scan", media / "good.jpg", "--detector", own, "--output", output)
    run = forensics("scan", media / "good.jpg", copy, "--detector", own, "--output", output)
    assert run.err.count("reused") == 1
    assert calls(tmp_path) == 2


# --- standard output ----------------------------------------------------------------------------------------------


def test_records_on_standard_output_repeat_but_for_the_clock(media):
    paths = [media / "good.jpg", media / "text.mp4"]
    first, second = (forensics("scan", *paths, "--format", "json", "--device", "cpu") for _ in range(2))
    assert first.status == second.status == 3
    assert len(first.records) == len(second.records) == 2
    for one, other in zip(first.records, second.records, strict=True):
        jsonschema.validate(one, json.loads(schema_text()))
        assert without_clock(one) == without_clock(other)


def test_quiet_says_errors_only(media, detector):
    own = detector("return 0.25")
    assert forensics("scan", media / "good.jpg", "--detector", own, "--quiet").err == ""
    run = forensics("scan", media / "missing.mp4", "--detector", own, "--quiet")
    assert [line.split(":")[0] for line in run.err.splitlines()] == ["error", "hint"]


def test_csv_on_standard_output(media, detector):
    run = forensics("scan", media / "good.jpg", "--detector", detector("return 0.25"), "--format", "csv")
    header, row = csv.reader(io.StringIO(run.out))
    assert dict(zip(header, row, strict=True))["outcome"] == "scored"


def test_list_on_standard_input(media, detector, monkeypatch):
    names = f"{media / 'good.jpg'}\n\n{media / 'missing.mp4'}\n".encode() + b"bytes-\xff.mp4\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names), encoding="utf-8"))
    run = forensics("scan", "-", "--detector", detector("return 0.25"), "--format", "json")
    assert run.status == 3
    assert [record["outcome"] for record in run.records] == ["scored", "unreadable", "unreadable"]


def test_folder_pattern_and_name_give_each_file_once(media, detector, tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    (folder / "sub" / ".hidden").mkdir(parents=True)
    for name in ("b.jpg", "a.PNG", "sub/c.jpg", "sub/.hidden/d.jpg", ".e.jpg", "notes.txt", "[x].jpg"):
        shutil.copyfile(media / "good.jpg", folder / name)
    monkeypatch.chdir(tmp_path)
    own = detector("return 0.25")
    run = forensics("scan", "folder", "folder/b.jpg", "folder/*.jpg", "--detector", own, "--format", "json")
    paths = [record["input"]["path"] for record in run.records]
    assert paths == sorted(paths)
    assert set(paths) == {"folder/[x].jpg", "folder/a.PNG", "folder/b.jpg", "folder/sub/c.jpg"}
    assert len(paths) == 4
    assert forensics("scan", "folder/[x].jpg", "--detector", own).status == 0
    assert forensics("scan", "folder/*.mp4", "--detector", own).status == 4


# --- detectors of one's own ---------------------------------------------------------------------------------------


def test_own_detectors_that_fail_fail_alone(media, detector):
    bodies = {
        "good": "print('noise'); return 0.25",
        "raises": "raise KeyError('x')",
        "not_a_number": "return float('nan')",
        "too_large": "return 2.0",
        "negative": "return -0.1",
        "text": "return 'fake'",
        "nothing": "return None",
        "exits": "raise SystemExit(3)",
        "dies": "__import__('os')._exit(9)",
    }
    files = [detector(body, f"{name}.py") for name, body in bodies.items()]
    options = [part for file in files for part in ("--detector", file)]
    run = forensics("scan", media / "good.jpg", *options, "--format", "json")
    assert run.status == 0
    (record,) = run.records
    parts = {part["name"]: part for part in record["detectors"]}
    assert list(parts) == list(bodies)
    assert parts["good"]["score"] == 0.25
    assert parts["good"]["error"] is None
    for name in list(bodies)[1:]:
        assert parts[name]["score"] is None, name
        assert parts[name]["error"], name
        assert "\n" not in parts[name]["error"]


@pytest.mark.parametrize("body", ["raise ValueError('no')", "return float('inf')", "return 2"])
def test_own_detector_without_a_score_is_an_error_of_the_input(media, detector, body):
    run = forensics("scan", media / "good.jpg", "--detector", detector(body), "--format", "json")
    assert run.status == 4
    assert run.records[0]["outcome"] == "detector_error"
    assert "own.py" in run.records[0]["message"]


def test_own_detector_that_hangs_is_given_up_and_asked_again(media, detector, tmp_path):
    own = detector("import time; time.sleep(1000)")
    paths = [media / "good.jpg", media / "no_face.png"]
    run = forensics("scan", *paths, "--detector", own, "--timeout", 3, "--format", "json")
    assert run.status == 4
    assert [record["outcome"] for record in run.records] == ["detector_error"] * 2
    assert all("longer than 3 s" in record["message"] for record in run.records)


@pytest.mark.parametrize("source", ["def predict(path) return 1", "import no_such_module", "score = 1", "\x00"])
def test_own_detector_that_cannot_be_loaded(media, tmp_path, source):
    file = tmp_path / "own.py"
    file.write_text(source)
    run = forensics("scan", media / "good.jpg", "--detector", file, "--format", "json")
    assert run.status == 4
    assert run.records[0]["outcome"] == "detector_error"


# --- limits from the command line ---------------------------------------------------------------------------------


def test_pixel_and_memory_limits_reach_the_decoder(media):
    for option, value in (("--max-pixels", 1000), ("--max-memory-gb", 0.0001)):
        run = forensics("scan", media / "good.jpg", option, value, "--detector", "spectrum")
        assert run.status == 4
        assert option in run.err
