"""The figures of a run: metrics per family, the card's tables, the curve."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from forensics.common.manifest import Item
from forensics.common.metrics import auc_with_interval
from forensics.detectors.model_set import Calibration
from forensics.training.calibrate import Thresholds, operating_point
from forensics.training.card import card_text
from forensics.training.curve import curve_svg
from forensics.training.evaluate import ScoredItems, metrics_of


def scored(missed: dict[str, dict[str, int]] | None = None) -> ScoredItems:
    items = [Item(Path(f"/a/{i}.png"), i % 2, dataset="a", source=f"s{i // 4}") for i in range(40)]
    items += [Item(Path(f"/b/{i}.png"), 0, dataset="b") for i in range(10)]
    rng = np.random.default_rng(0)
    logits = np.array([rng.normal(2 * item.label - 1) for item in items])
    return ScoredItems(tuple(items), {"default": logits, "other": -logits}, np.ones(50), missed or {})


POINT = operating_point(Thresholds(0.7, 0.3), np.empty(0), [], "none")


def test_metrics_are_those_of_each_family():
    data = scored({"a": {"no_face": 8, "unreadable": 2}})
    found = metrics_of(data, {"default": POINT}, seed=0)
    assert list(found) == ["default", "other"]
    block = found["default"]["a"]
    assert (block["n_real"], block["n_fake"], block["n_missed"], block["coverage"]) == (20, 20, 10, 0.8)
    logits, labels = data.logits["default"][:40], [i % 2 for i in range(40)]
    expected = auc_with_interval(labels, logits.tolist(), [f"s{i // 4}" for i in range(40)], 0)
    assert block["auc"] == {
        "value": round(expected.value, 4), "low": round(expected.low, 4), "high": round(expected.high, 4),
    }  # fmt: skip
    probabilities = 1 / (1 + np.exp(-logits))
    fakes = np.array(labels) == 1
    assert block["fpr"]["value"] == pytest.approx((probabilities[~fakes] >= 0.7).mean())
    assert block["tpr"]["value"] == pytest.approx((probabilities[fakes] >= 0.7).mean())
    assert block["fnr"]["value"] == pytest.approx((probabilities[fakes] <= 0.3).mean())
    between = ((probabilities > 0.3) & (probabilities < 0.7)).mean()
    assert block["inconclusive"]["value"] == pytest.approx(between, abs=1e-4)
    assert found["other"]["a"]["auc"]["value"] == pytest.approx(1 - block["auc"]["value"], abs=2e-4)
    assert "fpr" not in found["other"]["a"]


def test_a_family_of_one_class_has_rates_and_no_auc():
    block = metrics_of(scored(), {"default": POINT}, seed=0)["default"]["b"]
    assert "auc" not in block
    assert block["tpr"] is None
    assert block["fpr"] is not None
    assert block["coverage"] == 1


def test_a_family_of_which_nothing_was_scored_is_not_hidden():
    found = metrics_of(scored({"c": {"no_face": 3}}), {"default": POINT}, seed=0)
    block = found["default"]["c"]
    assert (block["n_real"], block["n_fake"], block["n_missed"], block["coverage"]) == (0, 0, 3, 0.0)
    assert "| c | 0 / 0 | 0.0 % | - | - |" in card_text({"test": found}, {}, {})


def test_metrics_can_be_written_as_json_and_repeat():
    data = scored({"a": {"no_face": 1}})
    first = json.dumps(metrics_of(data, {"default": POINT}, seed=3), allow_nan=False)
    assert json.dumps(metrics_of(data, {"default": POINT}, seed=3), allow_nan=False) == first


def estimate(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.1, "high": value + 0.05}


def test_the_card_says_what_was_measured():
    block = {"n_real": 7, "n_fake": 9, "n_missed": 4, "coverage": 0.8, "auc": estimate(0.912), "fpr": estimate(0.125),
             "tpr": estimate(0.5), "fnr": estimate(0.2), "inconclusive": None}  # fmt: skip
    metrics = {"test": {"default": {"faces": block}, "cnn": {"faces": {**block, "auc": estimate(0.7)}}}}
    text = card_text(
        metrics,
        {"default": Calibration(coefficients={"cnn": 1.25, "spectrum": 0.5}, intercept=-0.75)},
        {"default": POINT},
    )
    lines = text.splitlines()
    assert "### test split" in lines
    assert "### dev split" not in lines
    assert "| data set | real / fake | coverage | AUC default | AUC cnn |" in lines
    assert "| faces | 7 / 9 | 80.0 % | 0.912 [0.812, 0.962] | 0.700 [0.600, 0.750] |" in lines
    assert "| faces | 12.5 % [2.5, 17.5] | 50.0 % [40.0, 55.0] | 20.0 % [10.0, 25.0] | - |" in lines
    assert "| default | 1.250 × cnn + 0.500 × spectrum - 0.750 | 0.700 | 0.300 |" in lines


def test_every_table_of_the_card_is_rectangular():
    text = card_text({"dev": metrics_of(scored(), {"default": POINT}, 0)}, {}, {})
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 3
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1


def parsed(log: Path) -> ElementTree.Element:
    return ElementTree.fromstring(curve_svg(log))  # noqa: S314  (our own text)


def test_the_curve_is_well_formed_and_inside_its_frame(tmp_path):
    rows = [{"step": s, "epoch": s / 100, "loss": 3.0 / (s + 1)} for s in range(0, 200, 50)]
    rows += [{"step": 100 * e, "epoch": e, "dev_auc[a<b&c]": 0.5 + 0.2 * e} for e in (1, 2)]
    log = tmp_path / "log.jsonl"
    log.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    root = parsed(log)
    space = "{http://www.w3.org/2000/svg}"
    _, _, width, height = map(float, root.get("viewBox").split())
    lines = root.findall(f"{space}polyline")
    assert len(lines) == 2
    points = [[tuple(map(float, p.split(","))) for p in line.get("points").split()] for line in lines]
    assert sorted(map(len, points)) == [2, 4]
    assert all(0 <= x <= width and 0 <= y <= height for line in points for x, y in line)
    rising, falling = sorted(points, key=len)
    assert rising[0][1] > rising[1][1], "greater values are drawn higher up"
    assert falling[0][1] < falling[-1][1]
    assert "dev_auc[a<b&c]" in [text.text for text in root.findall(f"{space}text")]


def test_a_run_without_a_log_has_an_empty_curve(tmp_path):
    root = parsed(tmp_path / "none.jsonl")
    assert root.findall("{http://www.w3.org/2000/svg}polyline") == []


def test_names_of_data_stay_text_in_the_card():
    block = {"n_real": 7, "n_fake": 9, "n_missed": 0, "coverage": 1.0, "auc": estimate(0.9), "fpr": None, "tpr": None,
             "fnr": None, "inconclusive": None}  # fmt: skip
    text = card_text({"test": {"default": {"a|<b>": block}}}, {}, {})
    assert "| a\\|\\<b\\> | 7 / 9 |" in text
