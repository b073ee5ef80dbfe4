"""Typed errors carry what the command line prints and exits with."""

import pytest

from forensics.common.errors import DetectorError, ForensicsError, ManifestError, MediaError, UsageError, WeightsError
from forensics.common.outcomes import Outcome


@pytest.mark.parametrize("kind", [UsageError, WeightsError, ManifestError, MediaError, DetectorError])
def test_message_and_hint_are_kept(kind):
    error = kind("what", "do this")
    assert isinstance(error, ForensicsError)
    assert (str(error), error.message, error.hint) == ("what", "what", "do this")


def test_exit_status_tells_wrong_use_from_a_bad_input():
    assert UsageError("x").exit_status == WeightsError("x").exit_status == ManifestError("x").exit_status == 2
    assert MediaError("x").exit_status == DetectorError("x").exit_status == 3


def test_outcomes_of_errors():
    assert MediaError("x").outcome is Outcome.UNREADABLE
    assert MediaError("x", outcome=Outcome.LIMIT_EXCEEDED).outcome is Outcome.LIMIT_EXCEEDED
    assert DetectorError("x").outcome is Outcome.DETECTOR_ERROR


def test_a_picture_without_a_face_was_analysed_and_an_unreadable_one_was_not():
    analysed = {outcome for outcome in Outcome if outcome.analysed}
    assert analysed == {Outcome.SCORED, Outcome.NO_FACE, Outcome.TOO_SMALL}
