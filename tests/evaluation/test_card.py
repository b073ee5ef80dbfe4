"""The model card: every figure from a file, names that stay text, inputs of the wrong kind, the same bytes again."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from report_results import HOSTILE, make_detector, make_results

from eval.attack_sets.results import AttackResults, CellPart, Figure
from eval.card.prose import REQUIRED, read_prose
from eval.card.run import MARK, PROSE_FILE
from eval.cli.card import command
from eval.explanations.results import CellPart as HeatPart
from eval.explanations.results import ExplanationResults, MeanPart, MeasurePart
from eval.results import ClipPart, RiskBlock, RiskPoint
from eval.robustness import ConditionPart, RobustnessResults
from eval.score_table import ScoreRow, scores_text
from forensics.common.errors import UsageError, WeightsError
from forensics.common.files import sha256_of_file
from forensics.common.outcomes import Outcome

SETTINGS = {"backbone": "tiny", "input_px": 160}
POINT = {"threshold_fake": 0.777, "threshold_real": 0.222, "test_set": "t", "false_positive_rate": None,
         "false_negative_rate": None, "false_positive_rates": {}}  # fmt: skip


def risk(error=0.123):
    return RiskBlock(
        scored=0.98, error_scored=0.234, aurc=0.0567,
        points=[RiskPoint(coverage=1.0, error=None, low=None, high=None),
                RiskPoint(coverage=0.9, error=error, low=0.1, high=0.2),
                RiskPoint(coverage=0.5, error=0.01, low=None, high=None)],
    )  # fmt: skip


def clip(path, label, score, verdict):
    return ClipPart(
        path=path, label=label, dataset="clips", generator="", outcome="scored", score=score, verdict=verdict
    )


class Made:
    """A folder with weights and one file of each kind, all about these weights."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.weights = folder, folder / "weights"
        self.weights.mkdir()
        (self.weights / "alpha.safetensors").write_bytes(b"x" * 2_500_000)
        digest = sha256_of_file(self.weights / "alpha.safetensors")
        description = {
            "name": "alpha+beta", "version": "1", "licence": "nobody's", "trained_on": "train splits of faces|x",
            "weights": {"alpha": {"file": "alpha.safetensors", "sha256": digest, "settings": SETTINGS}},
            "calibrations": {"default": {"coefficients": {"alpha": 1.25}, "intercept": -0.5}},
            "operating_points": {"default": POINT}, "domain": {"min_crop_px": 64, "min_sharpness": 3.5},
        }  # fmt: skip
        (self.weights / "model.json").write_text(json.dumps(description), encoding="utf-8")
        self.hashes = {"model.json": sha256_of_file(self.weights / "model.json"), "alpha.safetensors": digest}
        self.base = self.own(make_results())

    def own(self, results):
        return results.model_copy(update={"provenance": results.provenance.model_copy(update={"weights": self.hashes})})

    def write(self, name, contents):
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(contents.model_dump_json(indent=2), encoding="utf-8")
        return path

    def results(
        self, name="run/results.json", data_sets=("faces", "scenes"), generators=("gan", "diffusion"), **changes
    ):
        part = make_detector(
            generators, data_sets, risk=risk(), risk_by_dataset={name: risk(0.3) for name in data_sets}, **changes
        )
        results = make_results({"default": part, "other": part}, generators, data_sets)
        return self.write(name, self.own(results))

    def clips(self):
        clips = [clip("a_real.mp4", 0, 0.31, "likely real"), clip("b_real.mp4", 0, 0.81, "likely fake"),
                 clip("c_fake.mp4", 1, 0.55, "inconclusive")]  # fmt: skip
        part = make_detector(clips=clips)
        return self.write("clips/results.json", self.own(make_results({"default": part})))

    def robustness(self):
        rows = [("faces", "", None, 0.9, None, 0.1), ("all", "", None, 0.88, None, 0.1),
                ("faces", "jpeg", 50.0, 0.8, 0.1, 0.25), ("all", "jpeg", 50.0, 0.85, -0.0001, 0.5)]  # fmt: skip
        conditions = [
            ConditionPart(
                detector="default", family=family, perturbation=name, strength=strength, n_real=40, n_fake=20,
                share_scored=0.95, share_scored_real=1.0, share_scored_fake=0.9, auc=auc, auc_low=auc - 0.01,
                auc_high=auc + 0.01, auc_failures_wrong=auc, drop=drop, drop_low=None if drop is None else drop - 0.02,
                drop_high=None if drop is None else drop + 0.02, fpr=fpr, fnr=0.35,
            )
            for family, name, strength, auc, drop, fpr in rows
        ]  # fmt: skip
        contents = RobustnessResults(
            dataset=self.base.dataset, conditions=conditions, outcomes={}, provenance=self.base.provenance
        )
        return self.write("rob/robustness.json", contents)

    def attack(self):
        def figure(value):
            return Figure(value=value, low=None, high=None)

        cell = CellPart(
            set="s", victim="cnn", attack="pgd", epsilon=2.0, unit="/255 L-inf", target="default",
            threat_model="white-box in part", family="all", n_real=9, n_fake=8, n_clusters=5, n_lost=0,
            auc_clean=figure(0.91), auc_fakes_attacked=figure(0.043), auc_both_attacked=figure(0.011),
            flipped=figure(0.9), fnr_clean=figure(0.25), fnr_attacked=figure(0.875), fpr_clean=figure(0.1),
            fpr_attacked=figure(None), inconclusive_clean=figure(0.2), inconclusive_attacked=figure(0.6),
        )  # fmt: skip
        contents = AttackResults(
            dataset=self.base.dataset, sets=[], cells=[cell], thresholds={}, n_attackable=17, left_out=[],
            provenance=self.base.provenance,
        )  # fmt: skip
        return self.write("adv/attack.json", contents)

    def explanations(self):
        def measure(value):
            means = [MeanPart(value=value / n, low=None, high=None) for n in (1, 2, 4)]
            return MeasurePart(heatmap=means[0], chance=means[1], centred=means[2], above_chance=means[1],
                               above_centred=means[0])  # fmt: skip

        cell = HeatPart(
            detector="cnn", dataset="all", generator="all", calls="all", n=12, n_clusters=11, n_blank=0, mask_share=0.2,
            pointing=measure(0.624), tolerant=measure(0.7), energy=measure(0.412), iou=measure(0.3),
        )  # fmt: skip
        contents = ExplanationResults(
            dataset=self.base.dataset, n_fakes=12, n_without_mask=0, n_self_blends=0, detectors=[], cells=[cell],
            provenance=self.base.provenance,
        )  # fmt: skip
        return self.write("exp/explanations.json", contents)

    def card(self, *options, output="CARD.md"):
        """The result of the command and the card's text."""
        path = self.folder / output
        found = CliRunner().invoke(command, ["--weights", str(self.weights), "--output", str(path), *map(str, options)])
        return found, path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made(tmp_path)


def everything(made: Made) -> list:
    return [
        "--results", made.results(), "--robustness", made.robustness(), "--attack", made.attack(), "--clips", made.clips(),
        "--explanations", made.explanations(),
    ]  # fmt: skip


def test_every_file_is_in_the_card_and_no_other_figure(made):
    found, text = made.card(*everything(made))
    assert found.exit_code == 0, found.output
    lines = text.splitlines()
    assert "| alpha | yes | backbone tiny, input_px 160 | 2.50 MB | " in text
    assert "| default | 1.250 × alpha - 0.500 | 0.777 | 0.222 |" in lines
    assert any(
        line.startswith("| data set | faces | 80 | 70 | 60 | 97.4 % | 0.901 [0.850, 0.940] | 52.0 %") for line in lines
    )
    assert any(
        line.startswith("| all together | 98.0 % | 23.4 % | n/a (1) | 12.3 % [10.0, 20.0] | 1.0 % | 0.057 |")
        for line in lines
    )
    assert "| JPEG, quality | 50 | 0.100 [0.080, 0.120] | 0.000 [-0.020, 0.020] |" in lines
    assert "| JPEG, quality | 50 | 25.0 % [14.2, 40.2] | 50.0 % [35.2, 64.8] |" in lines
    assert any(
        "default: white-box in part | 9 | 8 | 0.910 | 0.043 | 0.011 | 25.0 % | 87.5 % | – | 20.0 % | 60.0 % |" in x
        for x in lines
    )
    assert "| clips | b_real.mp4 | real | likely fake | 0.810 |" in lines
    assert "- Real clips called likely fake: 1 of 2" in lines
    assert "- c_fake.mp4 scores above 1 of 2 scored real clips" in lines
    assert any(line.startswith("| cnn | all, all | 12 | 11 | 0.624 | 0.312 | 0.156 | 0.412 |") for line in lines)
    for name in (
        "run/results.json",
        "rob/robustness.json",
        "adv/attack.json",
        "clips/results.json",
        "exp/explanations.json",
    ):
        assert f"| {name} | " in text
        assert sha256_of_file(made.folder / name) in text
    assert "2025-01-01T00:00:00" in text
    assert "No figures here on" not in text


def test_data_sets_stand_before_generators_and_the_pooled_line(made):
    _, text = made.card("--results", made.results())
    places = [
        text.index(f"| {name} |") for name in ("data set | faces", "generator | gan", "pooled | everything pooled")
    ]
    assert places == sorted(places)


def test_tables_are_rectangular(made):
    _, text = made.card(*everything(made))
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) > 15
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1, table[0]


def test_the_same_files_give_the_same_bytes(made):
    options = everything(made)
    made.card(*options)
    figure = made.folder / "CARD-coverage-1.svg"
    first = (made.folder / "CARD.md").read_bytes(), figure.read_bytes()
    found, _ = made.card(*options)
    assert found.exit_code == 0, found.output
    assert ((made.folder / "CARD.md").read_bytes(), figure.read_bytes()) == first


def test_the_figure_is_linked_well_formed_and_names_the_data_sets(made):
    _, text = made.card("--results", made.results(data_sets=("a<b", "c")), "--figures", made.folder / "docs")
    assert "](docs/CARD-coverage-1.svg)" in text
    root = ElementTree.fromstring((made.folder / "docs" / "CARD-coverage-1.svg").read_text())  # noqa: S314
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a<b", "c", "all together"} <= set(texts)


def test_names_of_data_stay_text(made):
    found, text = made.card("--results", made.results(data_sets=(HOSTILE, "b"), generators=(HOSTILE,)))
    assert found.exit_code == 0, found.output
    assert "<script>" not in re.sub(r"\\<", "", text)
    assert "\\<script\\>" in text
    assert "](javascript" not in re.sub(r"\\\]", "", text)
    assert "\u202e" not in text
    assert "faces\\|x" in text


def test_results_of_other_weights_are_refused(made):
    path = made.results()
    (made.weights / "model.json").write_text(
        (made.weights / "model.json").read_text().replace("0.777", "0.7"), encoding="utf-8"
    )
    found, text = made.card("--results", path)
    assert isinstance(found.exception, UsageError)
    assert "not about the weights" in str(found.exception) and "model.json differ" in str(found.exception)
    assert text == ""


@pytest.mark.parametrize(
    ("option", "kind", "message"),
    [
        ("--results", "robustness", "is no results.json"),
        ("--robustness", "attack", "is no robustness.json"),
        ("--attack", "results", "is no attack.json"),
        ("--explanations", "clips", "is no explanations.json"),
        ("--clips", "results", "list no clips"),
    ],
)
def test_a_file_of_another_kind_is_one_line_and_a_hint(made, option, kind, message):
    given = ["--results", made.results()] if option != "--results" else []
    found, _ = made.card(*given, option, getattr(made, kind)())
    assert isinstance(found.exception, UsageError)
    assert message in found.exception.message and "\n" not in found.exception.message
    assert "forensics bench" in found.exception.hint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": "2.0"}'])
def test_malformed_files_are_usage_errors(made, text):
    path = made.folder / "results.json"
    path.write_text(text)
    found, _ = made.card("--results", path)
    assert isinstance(found.exception, UsageError)


def test_another_format_is_refused(made):
    path = made.results()
    path.write_text(path.read_text().replace('"schema_version": "1.1"', '"schema_version": "2.0"'))
    found, _ = made.card("--results", path)
    assert isinstance(found.exception, UsageError)
    assert "2.0" in found.exception.message


def test_results_of_the_older_format_have_no_curve(made):
    path = made.results()
    contents = json.loads(path.read_text())
    contents["schema_version"] = "1.0"
    for part in contents["detectors"].values():
        for key in ("risk", "risk_by_dataset", "clips"):
            del part[key]
    path.write_text(json.dumps(contents))
    found, text = made.card("--results", path)
    assert found.exit_code == 0, found.output
    assert "Coverage against error" not in text
    assert (
        "- No figures here on: compression, resizing, blur and noise, adversarial pictures, whole clips, explanations."
        in text
    )


def test_an_unknown_detector_is_named_with_those_there_are(made):
    found, _ = made.card("--results", made.results(), "--detector", "gamma")
    assert isinstance(found.exception, UsageError)
    assert "default, other" in found.exception.hint


def test_another_split_than_test_is_said_aloud(made):
    path = made.results()
    path.write_text(path.read_text().replace('"split": "test"', '"split": "dev"'))
    _, text = made.card("--results", f"A title={path}")
    assert "## Figures: A title" in text
    assert "**These are not figures of a test split but of split dev**" in text


def test_results_on_whole_pictures_are_about_their_own_fusion(made):
    path = made.weights / "model.json"
    description = json.loads(path.read_text())
    description["weights"]["gamma"] = description["weights"]["alpha"]
    description["calibrations"]["whole-image"] = {"coefficients": {"gamma": 2.0}, "intercept": 0.25}
    description["whole_image_domain"] = {"min_crop_px": 96, "min_sharpness": 1.5}
    path.write_text(json.dumps(description))
    made.hashes["model.json"] = sha256_of_file(path)
    part = make_detector(risk=risk(), risk_by_dataset={"faces": risk(0.3)})
    whole = made.write("whole/results.json", made.own(make_results({"whole-image": part})))
    found, text = made.card("--results", made.results(), "--results", f"whole pictures={whole}")
    assert found.exit_code == 0, found.output
    section = text[text.index("## Figures: whole pictures") :]
    assert "detector whole-image at its threshold" in section
    assert "CARD-coverage-2.svg" in section
    assert "| gamma | yes | " in text
    assert "tiles from 96 pixels, sharpness from 1.5" in text
    found, _ = made.card("--results", whole, "--detector", "beta")
    assert isinstance(found.exception, UsageError)


def test_of_several_networks_all_files_are_counted_and_hashed(made):
    path = made.weights / "model.json"
    description = json.loads(path.read_text())
    (made.weights / "alpha-2.safetensors").write_bytes(b"y" * 2_500_000)
    digest = sha256_of_file(made.weights / "alpha-2.safetensors")
    description["weights"]["alpha"]["more_files"] = {"alpha-2.safetensors": digest}
    path.write_text(json.dumps(description))
    made.hashes |= {"model.json": sha256_of_file(path), "alpha-2.safetensors": digest}
    _, text = made.card("--results", made.results())
    (row,) = (line for line in text.splitlines() if line.startswith("| alpha | yes |"))
    assert "mean of 2 networks" in row and "5.00 MB" in row
    assert f"`{description['weights']['alpha']['sha256'][:16]}`, `{digest[:16]}`" in row
    (made.weights / "alpha-2.safetensors").unlink()
    found, _ = made.card("--results", made.results())
    assert isinstance(found.exception, WeightsError) and "alpha-2.safetensors" in str(found.exception)


def test_words_on_clips_follow_the_weights(made):
    _, text = made.card("--results", made.results())
    assert "the mean of the log odds" in text and "nothing is taken off" in text
    path = made.weights / "model.json"
    description = json.loads(path.read_text())
    description["aggregations"] = {"default": {"method": "top_quarter", "real_track_sd": 1.0, "n_real_tracks": 40,
                                               "source": "40 clips <b>"}}  # fmt: skip
    path.write_text(json.dumps(description))
    made.hashes["model.json"] = sha256_of_file(path)
    _, text = made.card("--results", made.results())
    assert "the top quarter of the log odds" in text and "Five faces take " in text and "40 real faces" in text
    assert "nothing is taken off" not in text and "\\<b\\>" in text


def test_words_for_other_weights_are_said_to_be(made):
    own = made.folder / "words.md"
    own.write_text(blocks())
    _, text = made.card("--results", made.results())
    assert "were written for the weights that ship" in text
    _, text = made.card("--results", made.results(), "--prose", own)
    assert "were written for the weights that ship" not in text


def test_verdicts_on_clips_stay_text(made):
    clips = [clip("a.mp4", 0, 0.3, "<img src=x>|")]
    path = made.write("clips/results.json", made.own(make_results({"default": make_detector(clips=clips)})))
    _, text = made.card("--results", made.results(), "--clips", path)
    assert "<img src=x>" not in text and "\\<img src=x\\>\\|" in text


def test_curves_of_an_earlier_card_are_taken_away(made):
    a, b = made.results(), made.results("more/results.json")
    made.card("--results", a, "--results", b)
    assert (made.folder / "CARD-coverage-2.svg").exists()
    (made.folder / "CARD-coverage-3.svg").write_text("mine")
    (made.folder / "CARD-coverage-x.svg").write_text(MARK)
    made.card("--results", a)
    names = sorted(path.name for path in made.folder.glob("*.svg"))
    assert names == ["CARD-coverage-1.svg", "CARD-coverage-3.svg", "CARD-coverage-x.svg"]


def test_manifests_are_counted_and_the_recipe_is_shown(made):
    manifest = made.folder / "manifest.csv"
    rows = ["a.png,0,,faces,train", "b.png,1,gan,faces,train", "c.png,1,gan,faces,test", "d.png,0,,faces,"]
    manifest.write_text("\n".join(["path,label,generator,dataset,split", *rows]) + "\n")
    recipe = made.folder / "recipe.toml"
    recipe.write_text("epochs = 4\n# ```\n")
    _, text = made.card("--results", made.results(), "--data", manifest, "--recipe", recipe)
    assert "| faces | 1 / 1 | – | 0 / 1 | 1 / 0 | gan (2) |" in text.splitlines()
    assert "````toml\nepochs = 4\n# ```\n````" in text


def test_somebody_elses_file_is_not_replaced(made):
    path = made.folder / "CARD.md"
    path.write_text("mine")
    results = made.results()
    found, text = made.card("--results", results)
    assert isinstance(found.exception, UsageError) and text == "mine"
    assert not (made.folder / "CARD-coverage-1.svg").exists()
    found, text = made.card("--results", results, "--overwrite")
    assert found.exit_code == 0 and MARK in text


def failure_folder(made: Made, note: str = "Drawn by us; CC0.") -> Path:
    folder = made.folder / "own"
    folder.mkdir()
    rows = []
    for name, label, score in (
        ("real|a.png", 0, 0.9),
        ("fake.png", 1, 0.1),
        ("right.png", 1, 0.8),
        ("lost.png", 0, None),
    ):
        cv2.imwrite(str(folder / name), np.full((8, 8, 3), 90, np.uint8))
        outcome = Outcome.NO_FACE if score is None else Outcome.SCORED
        rows.append(ScoreRow(name, label, score, outcome, detector="default", sha256=sha256_of_file(folder / name)))
    (folder / "scores.csv").write_text(scores_text(rows))
    (folder / "NOTE.md").write_text(note)
    made.results("own/results.json")
    return folder


def test_failures_show_what_is_wrong_and_whose_pictures_they_are(made):
    _, text = made.card("--results", made.results(), "--failures", failure_folder(made))
    assert "Drawn by us; CC0." in text
    assert (
        '| <img src="own/real%7Ca.png" width="160" alt="a real that is misjudged"> real\\|a.png | real | 0.900 |'
        in text
    )
    assert "fake.png | fake | 0.100 |" in text
    assert "lost.png | real | no face |" in text
    assert "right.png" not in text


def test_failures_need_a_note_and_the_pictures_that_were_scored(made):
    results, folder = made.results(), failure_folder(made)
    cv2.imwrite(str(folder / "fake.png"), np.zeros((8, 8, 3), np.uint8))
    found, _ = made.card("--results", results, "--failures", folder)
    assert isinstance(found.exception, UsageError) and "fake.png" in found.exception.message
    (folder / "NOTE.md").unlink()
    found, _ = made.card("--results", results, "--failures", folder)
    assert isinstance(found.exception, UsageError) and "NOTE.md" in found.exception.message


def blocks(**changes: str) -> str:
    texts = dict.fromkeys(REQUIRED, "words") | changes
    return "note\n" + "".join(f"<!-- block: {name} -->\n{text}\n" for name, text in texts.items())


def test_prose_is_read_by_block():
    found = read_prose(blocks(use="with *stress*, CC BY 4.0, 2/255 and [a](docs/0.95.md)", recipe=""), "p")
    assert found["use"] == "with *stress*, CC BY 4.0, 2/255 and [a](docs/0.95.md)"
    assert set(found) == set(REQUIRED)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (blocks(use="an AUC of 0.95"), "types the figure '0.95'"),
        (blocks(use="wrong in 3 % of cases"), "types the figure"),
        (blocks(use="an AUC of .95"), "types the figure"),
        (blocks(use="right in .95 of all cases"), "types the figure '.95'"),
        (blocks(use="AUC about 0.9 there"), "types the figure 'AUC about 0.9'"),
        (blocks(use="wrong in 3 per cent of cases"), "types the figure '3 per cent'"),
        (blocks(limits=""), "lacks the block 'limits'"),
        (blocks(other="x"), "no block is called 'other'"),
        (blocks() + "<!-- block: use -->\nx\n", "is there twice"),
        ("", "lacks the block"),
    ],
)
def test_prose_that_does_not_do_is_a_usage_error(text, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        read_prose(text, "p")


def test_the_words_that_ship_do():
    found = read_prose(PROSE_FILE.read_text(encoding="utf-8"), PROSE_FILE.name)
    assert set(REQUIRED) <= set(found)
