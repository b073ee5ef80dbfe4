"""Fixtures of the report's tests. The builders themselves are in records.py; tests take them from here."""

from types import ModuleType

import pytest
import records as _records


@pytest.fixture
def records() -> ModuleType:
    """The builders of records with known content."""
    return _records
