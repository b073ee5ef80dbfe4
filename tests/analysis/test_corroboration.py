"""Findings together: families count, not findings; what chance alone would give."""

from itertools import product

import pytest

from forensics.analysis.corroboration import at_least, corroborate, in_words


def test_findings_of_one_family_are_one_line_of_evidence() -> None:
    findings = [("ela", "compression", "suspicious"), ("jpeg-grid", "compression", "inconsistent")]
    found = corroborate(findings, {"ela": 0.05, "jpeg-grid": 0.01})
    assert found.flagged == ("compression",)
    assert found.families_run == 1
    assert found.by_chance == pytest.approx(0.06)
    assert "isolation" in in_words(found)


def test_several_families_weigh_more_than_one() -> None:
    one = [("a", "compression", "inconsistent"), ("b", "geometry", "consistent"), ("c", "sensor", "consistent")]
    two = [("a", "compression", "inconsistent"), ("b", "geometry", "suspicious"), ("c", "sensor", "consistent")]
    rates = {"a": 0.05, "b": 0.05, "c": 0.05}
    alone, together = corroborate(one, rates), corroborate(two, rates)
    assert alone.by_chance is not None
    assert together.by_chance is not None
    assert together.by_chance < alone.by_chance / 10
    assert together.flagged == ("compression", "geometry")
    assert "together they weigh more" in in_words(together)


def test_what_was_not_carried_out_counts_for_nothing() -> None:
    findings = [("a", "compression", "not applicable"), ("b", "geometry", "inconclusive")]
    found = corroborate(findings, {"a": 0.05, "b": 0.05})
    assert found == corroborate([], {})
    assert "nothing can be said" in in_words(found)


def test_nothing_unusual_is_no_proof() -> None:
    found = corroborate([("a", "compression", "consistent")], {"a": 0.05})
    assert found.by_chance is None
    assert "leaves no such traces" in in_words(found)


@pytest.mark.parametrize("probabilities", [[0.1], [0.1, 0.5, 0.9], [0.05] * 5, [0.0, 1.0, 0.3]])
def test_chance_is_that_of_all_outcomes_counted(probabilities: list[float]) -> None:
    for count in range(len(probabilities) + 1):
        expected = 0.0
        for outcome in product([False, True], repeat=len(probabilities)):
            if sum(outcome) >= count:
                chance = 1.0
                for happens, probability in zip(outcome, probabilities, strict=True):
                    chance *= probability if happens else 1 - probability
                expected += chance
        assert at_least(count, probabilities) == pytest.approx(expected)
