"""What all JSON documents of this tool share: no unknown fields, values that do not change, keys in the schema's order."""

import json

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base of all parts: unknown fields are errors, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Document(Part):
    """Base of what is written as a JSON file of its own."""

    def to_json(self, indent: int | None = 2) -> str:
        """As JSON, keys in the order of the schema; floats are rounded when parts are made, not here."""
        return json.dumps(self.model_dump(mode="json"), indent=indent, ensure_ascii=False, allow_nan=False)


def schema_text_of(kind: type[Document]) -> str:
    """The JSON Schema (draft 2020-12) of a kind of document."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **kind.model_json_schema(mode="serialization"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
