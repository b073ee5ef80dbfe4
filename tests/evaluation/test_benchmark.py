"""`forensics bench run`, `import` and `robustness` from end to end, on pictures whose scores the test knows."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner

from eval.results import Results
from eval.score_table import read_scores
from forensics.cli import cli
from forensics.common.errors import ForensicsError, ManifestError, UsageError

# Reals at 20, 40, 60, 80, fakes at 50, 100, 150, 200: 15 of 16 pairs are in order.
ROWS = [(f"real{level}.png", 0, level, "") for level in (20, 40, 60, 80)] + [
    (f"fake{level}.png", 1, level, "gan" if level < 120 else "swap") for level in (50, 100, 150, 200)
]


def run(*arguments: object) -> tuple[int, str]:
    """Exit status and standard output; typed errors are raised."""
    result = CliRunner(catch_exceptions=False).invoke(cli, [str(part) for part in arguments], standalone_mode=False)
    if isinstance(result.exception, ForensicsError):
        raise result.exception
    return int(result.return_value or 0), result.output


def test_run_writes_results_scores_and_reports(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path
) -> None:
    manifest, out = red_folder(ROWS), tmp_path / "out"
    status, printed = run("bench", "run", manifest, "--detector", red_detector, "-o", out, "-q")
    assert status == 0
    results = json.loads((out / "results.json").read_text())
    jsonschema.validate(results, Results.model_json_schema())
    block = results["detectors"]["red"]["overall"]
    assert (block["n_real"], block["n_fake"], block["auc"]) == (4, 4, 14 / 16)
    assert block["auc_low"] <= block["auc"] <= block["auc_high"]
    assert results["detectors"]["red"]["by_generator"]["swap"]["auc"] == 1.0
    assert results["detectors"]["red"]["by_generator"]["gan"]["n_real"] == 4
    assert set(results["detectors"]["red"]["by_dataset"]) == {"data"}
    assert results["dataset"]["split"] == "all"
    rows = read_scores(out / "scores.csv")
    assert {row.path: round((row.score or 0) * 255) for row in rows} == {name: level for name, _, level, _ in ROWS}
    assert all(row.sha256 and row.source and row.split == "test" for row in rows)
    for name in ("report.md", "report.html"):
        assert "red" in (out / name).read_text(encoding="utf-8")
    assert "0.875" in printed
    assert (out / "forensics-run.json").is_file()


def test_second_run_takes_known_scores_and_gives_the_same_figures(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path
) -> None:
    manifest, out = red_folder(ROWS), tmp_path / "out"
    run("bench", "run", manifest, "--detector", red_detector, "-o", out, "-q")
    before = (out / "results.json").read_text(), (out / "scores.csv").read_text()
    _, printed = run("bench", "run", manifest, "--detector", red_detector, "-o", out)
    assert "8 of 8 scores are known" in printed
    after = (out / "results.json").read_text(), (out / "scores.csv").read_text()
    assert after[1] == before[1]
    assert {**json.loads(after[0]), "provenance": 0} == {**json.loads(before[0]), "provenance": 0}
    assert len((out / "scores-cache.jsonl").read_text().splitlines()) == 8
    run("bench", "run", manifest, "--detector", red_detector, "-o", out, "-q", "--force")
    assert len((out / "scores-cache.jsonl").read_text().splitlines()) == 16  # all of them were made again


def test_failures_are_counted_and_change_the_exit_status(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path
) -> None:
    manifest, out = red_folder(ROWS), tmp_path / "out"
    (manifest.parent / "fake200.png").write_text("not a picture", encoding="utf-8")
    status, _ = run("bench", "run", manifest, "--detector", red_detector, "-o", out, "-q")
    assert status == 3
    part = json.loads((out / "results.json").read_text())["detectors"]["red"]
    assert part["coverage"]["outcomes"] == {"detector_error": 1, "scored": 7}
    assert part["overall"]["auc"] == pytest.approx(10 / 12, abs=1e-6)
    assert part["overall"]["failures_counted_wrong"]["auc"] == pytest.approx(10 / 16)
    with (out / "scores.csv").open() as file:
        failed = [row for row in csv.DictReader(file) if row["outcome"] != "scored"]
    assert [row["score"] for row in failed] == [""]


def test_nothing_analysed_is_status_4(red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path) -> None:
    manifest = red_folder(ROWS[:2])
    for name, *_ in ROWS[:2]:
        (manifest.parent / name).write_text("not a picture", encoding="utf-8")
    assert run("bench", "run", manifest, "--detector", red_detector, "-o", tmp_path / "out", "-q")[0] == 4


def test_split_and_limit(red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path) -> None:
    manifest = red_folder(ROWS)
    text = manifest.read_text().replace("real20,test", "real20,train")
    manifest.write_text(text)
    run("bench", "run", manifest, "--detector", red_detector, "-o", tmp_path / "a", "-q", "--split", "train")
    assert [row.path for row in read_scores(tmp_path / "a" / "scores.csv")] == ["real20.png"]
    run("bench", "run", manifest, "--detector", red_detector, "-o", tmp_path / "b", "-q", "--limit", "4")
    rows = read_scores(tmp_path / "b" / "scores.csv")
    assert sorted(row.label for row in rows) == [0, 0, 1, 1]
    with pytest.raises(UsageError):
        run("bench", "run", manifest, "--detector", red_detector, "-o", tmp_path / "c", "-q", "--split", "dev")


def test_several_data_sets_keep_their_paths_apart(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path
) -> None:
    a, b = red_folder(ROWS, "a"), red_folder(ROWS, "b")
    run("bench", "run", a, b.parent, "--detector", red_detector, "-o", tmp_path / "out", "-q")
    rows = read_scores(tmp_path / "out" / "scores.csv")
    assert len({row.path for row in rows}) == 16
    assert {row.path.split("/")[0] for row in rows} == {"a", "b"}
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(results["detectors"]["red"]["by_dataset"]) == {"a", "b"}


def test_the_same_file_in_two_data_is_judged_once(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path
) -> None:
    manifest, out = red_folder(ROWS), tmp_path / "out"
    run("bench", "run", manifest, manifest.parent, "--detector", red_detector, "-o", out, "-q")
    assert len(read_scores(out / "scores.csv")) == 8
    assert "more than one DATA" in " ".join(json.loads((out / "results.json").read_text())["dataset"]["notes"])
    other = manifest.parent / "other.csv"
    other.write_text("path,label\nreal20.png,1\n")
    with pytest.raises(ManifestError, match="real in one DATA and fake in another"):
        run("bench", "run", manifest, other, "--detector", red_detector, "-o", tmp_path / "b", "-q")


def test_equally_named_folders_are_not_one_data_set(red_detector: Path, tmp_path: Path) -> None:
    for home, level in (("a", 10), ("b", 200)):
        for label in ("real", "fake"):
            for frame in range(2):
                path = tmp_path / home / "faces" / label / "frames" / "000_003" / f"{frame}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path), np.full((8, 8, 3), level + frame, np.uint8))
    run(
        "bench",
        "run",
        tmp_path / "a/faces",
        tmp_path / "b/faces",
        "--detector",
        red_detector,
        "-o",
        tmp_path / "o",
        "-q",
    )
    results = json.loads((tmp_path / "o" / "results.json").read_text())
    assert len(results["dataset"]["names"]) == 2
    rows = read_scores(tmp_path / "o" / "scores.csv")
    assert len({row.video for row in rows}) == len({(row.path.rsplit("/", 1)[0]) for row in rows}) == 4


def test_data_named_with_dots_keeps_relative_paths(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = red_folder(ROWS)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    run("bench", "run", f"../{manifest.parent.name}/manifest.csv", "--detector", red_detector, "-o", "out", "-q")
    assert {row.path for row in read_scores(Path("out/scores.csv"))} == {name for name, *_ in ROWS}


def test_script_called_like_a_built_in_detector_has_no_shipped_threshold(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path
) -> None:
    script = tmp_path / "cnn.py"
    script.write_text(red_detector.read_text())
    run("bench", "run", red_folder(ROWS), "--detector", script, "-o", tmp_path / "out", "-q")
    part = json.loads((tmp_path / "out" / "results.json").read_text())["detectors"]["cnn"]
    assert part["threshold"] == 0.5
    assert "ships no threshold" in part["threshold_origin"]


def test_broken_clip_leaves_the_level_video(examples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    for label, name in (("real", "real.mp4"), ("fake", "fake.mp4")):
        (folder / label).mkdir(parents=True)
        (folder / label / name).write_bytes((examples / name).read_bytes())
    (folder / "fake" / "broken.mp4").write_text("not a clip")
    status, _ = run("bench", "run", folder, "--detector", "spectrum", "-o", tmp_path / "out", "-q", "--workers", 1)
    part = json.loads((tmp_path / "out" / "results.json").read_text())["detectors"]["spectrum"]
    assert status == 3
    assert part["overall"]["level"] == "video"
    assert part["overall"]["auc_low"] is None  # one clip a class: there is nothing to draw
    assert part["overall"]["failures_counted_wrong"]["n_failed_fake"] == 1


def test_foreign_file_is_not_replaced(red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.json").write_text("mine")
    with pytest.raises(UsageError, match="not written by this tool"):
        run("bench", "run", red_folder(ROWS), "--detector", red_detector, "-o", out, "-q")
    assert (out / "results.json").read_text() == "mine"


def test_clip_gives_track_and_frame_tables(examples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    for label, name in (("real", "real.mp4"), ("fake", "fake.mp4")):
        (folder / label).mkdir(parents=True)
        (folder / label / name).write_bytes((examples / name).read_bytes())
    run("bench", "run", folder, "--detector", "spectrum", "-o", tmp_path / "out", "-q", "--workers", 1)
    part = json.loads((tmp_path / "out" / "results.json").read_text())["detectors"]["spectrum"]
    assert part["overall"]["level"] == "video"
    assert (part["overall"]["n_real"], part["overall"]["n_fake"]) == (1, 1)
    assert set(part["by_level"]) == {"track", "frame"}
    with (tmp_path / "out" / "frames.csv").open() as file:
        frames = list(csv.DictReader(file))
    assert part["by_level"]["frame"]["n_real"] + part["by_level"]["frame"]["n_fake"] == len(frames) > 2
    rows = read_scores(tmp_path / "out" / "scores.csv")
    assert {row.video for row in rows} == {"real/real", "fake/fake"}
    assert all(row.track for row in rows)


def test_import_gives_what_run_gave(red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path) -> None:
    run("bench", "run", red_folder(ROWS), "--detector", red_detector, "-o", tmp_path / "run", "-q")
    run("bench", "import", tmp_path / "run" / "scores.csv", "-o", tmp_path / "again", "-q")
    ours, theirs = (json.loads((tmp_path / name / "results.json").read_text()) for name in ("run", "again"))
    for block in ("overall", "by_generator", "by_dataset", "coverage"):
        assert theirs["detectors"]["red"][block] == ours["detectors"]["red"][block]
    assert theirs["dataset"]["sha256"] == ours["dataset"]["sha256"]


def test_import_of_a_minimal_table(tmp_path: Path) -> None:
    table = tmp_path / "s.csv"
    table.write_text("path,label,score,outcome\na,0,0.1,\nb,0,0.6,\nc,1,0.7,\nd,1,,unreadable\n")
    status, _ = run(
        "bench", "import", table, "-o", tmp_path / "out", "--detector", "theirs", "--threshold", "0.65", "-q"
    )
    assert status == 3  # one could not be read
    part = json.loads((tmp_path / "out" / "results.json").read_text())["detectors"]["theirs"]
    assert part["overall"]["auc"] == 1.0
    assert part["overall"]["accuracy"] == 1.0
    assert part["coverage"]["n_scored"] == 3
    table.write_text("path,label,score,detector\na,0,0.1,x\na,1,0.6,y\n")
    with pytest.raises(ManifestError, match="both real and fake"):
        run("bench", "import", table, "-o", tmp_path / "out2", "-q")


def test_import_shows_only_pictures_that_lie_with_the_table(examples: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    cv2.imwrite(str(secret), np.full((20, 20, 3), 99, np.uint8))
    table = tmp_path / "given" / "s.csv"
    table.parent.mkdir()
    cv2.imwrite(str(table.parent / "mine.png"), np.full((20, 20, 3), 99, np.uint8))
    table.write_text(f"path,label,score\n{secret},0,0.9\n../secret.png,0,0.8\nmine.png,0,0.7\n{'x' * 300},1,0.1\n")
    assert run("bench", "import", table, "-o", tmp_path / "out", "-q")[0] == 0
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8").count("data:image/jpeg") == 1


def test_robustness_says_what_could_not_be_analysed(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path
) -> None:
    manifest, out = red_folder(ROWS), tmp_path / "out"
    (manifest.parent / "fake200.png").write_text("not a picture")
    arguments = ("bench", "robustness", manifest, "--detector", red_detector, "-o", out, "-q", "--perturb", "blur:2")
    assert run(*arguments)[0] == 3
    results = json.loads((out / "robustness.json").read_text())
    assert results["outcomes"]["blur:2"] == {"scored": 7, "unreadable": 1}
    part = results["conditions"][1]
    assert (part["share_scored_real"], part["share_scored_fake"]) == (1.0, 0.75)
    assert part["auc_failures_wrong"] < part["auc"]


def test_robustness_measures_what_a_perturbation_does(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path
) -> None:
    """Gamma below 1 brightens: red rises, its order stays, so the AUC does not change and the error rates do."""
    manifest, out = red_folder(ROWS), tmp_path / "out"
    arguments = ("bench", "robustness", manifest, "--detector", red_detector, "-o", out, "-q", "--draws", 200)
    run(*arguments, "--perturb", "gamma:0.5", "--perturb", "noise")
    results = json.loads((out / "robustness.json").read_text())
    parts = {(part["perturbation"], part["strength"]): part for part in results["conditions"]}
    assert len(parts) == 1 + 1 + 5
    clean, bright = parts["", None], parts["gamma", 0.5]
    assert clean["auc"] == bright["auc"] == 14 / 16
    assert (bright["drop"], bright["drop_low"], bright["drop_high"]) == (0, 0, 0)
    assert clean["fpr"] == 0.0
    assert bright["fpr"] == 0.25  # 80 becomes 143, 60 only 124
    assert clean["fnr"] == 0.5
    assert bright["fnr"] == 0.25  # 50 becomes 113
    assert all(part["share_scored"] == 1.0 for part in parts.values())
    before = (out / "robustness.json").read_text()
    run(*arguments, "--perturb", "gamma:0.5", "--perturb", "noise")
    assert json.loads((out / "robustness.json").read_text())["conditions"] == json.loads(before)["conditions"]
    assert "noise" in (out / "robustness.html").read_text().lower()


def test_robustness_perturbs_clips_too(examples: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    for label, name in (("real", "real.mp4"), ("fake", "fake.mp4")):
        (folder / label).mkdir(parents=True)
        (folder / label / name).write_bytes((examples / name).read_bytes())
    arguments = ("bench", "robustness", folder, "--detector", "spectrum", "-o", tmp_path / "out", "-q", "--draws", 100)
    run(*arguments, "--perturb", "h264:45", "--perturb", "blur:2", "--perturb", "jpeg:100", "--workers", 1)
    cached = [json.loads(line) for line in (tmp_path / "out" / "scores-cache.jsonl").read_text().splitlines()]
    assert [entry["outcome"] for entry in cached] == ["scored"] * 8
    assert all(entry["clip"] and entry["track"] for entry in cached)
    clean, h264, blur, mild = (np.mean([entry["score"] for entry in cached[i : i + 2]]) for i in (0, 2, 4, 6))
    assert abs(clean - mild) < 0.1
    assert len({round(float(value), 3) for value in (clean, h264, blur)}) == 3


def test_unknown_perturbation_is_refused_before_anything_is_scored(
    red_folder: Callable[..., Path], red_detector: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError):
        run("bench", "robustness", red_folder(ROWS), "--detector", red_detector, "-o", tmp_path / "o", "--perturb", "x")
    assert not (tmp_path / "o").exists()


def test_schema_command_prints_the_schema() -> None:
    _, printed = run("bench", "schema")
    assert json.loads(printed) == Results.model_json_schema()


def test_thumbnails_of_hostile_names_stay_text(red_detector: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for label in ("real", "fake"):
        (folder / label).mkdir(parents=True)
    cv2.imwrite(str(folder / "real" / "<script>alert(1)<.png"), np.full((20, 20, 3), 250, np.uint8))
    cv2.imwrite(str(folder / "fake" / "b.png"), np.full((20, 20, 3), 5, np.uint8))
    run("bench", "run", folder, "--detector", red_detector, "-o", tmp_path / "out", "-q")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("data:image/jpeg") >= 2
