"""The shipped JSON Schema is the record's."""

from importlib.resources import files

from forensics.report.record import schema_text


def test_the_shipped_schema_is_that_of_the_record():
    shipped = files("forensics.report").joinpath("record.schema.json").read_text(encoding="utf-8")
    assert shipped == schema_text(), "run: forensics schema > forensics/report/record.schema.json"
