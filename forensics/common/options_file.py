"""Options of a command as a TOML file: written with their descriptions, read back and overridden by what was typed."""

import json
import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from forensics.common.errors import UsageError

Options = TypeVar("Options", bound=BaseModel)


def options_toml(options: BaseModel) -> str:
    """All fields, each under its description; those without a value are comments."""
    lines = []
    for name, field in type(options).model_fields.items():
        value = getattr(options, name)
        lines.append(f"# {field.description}")
        lines.append(f"# {name} =" if value is None else f"{name} = {_toml_value(value)}")
    return "\n".join(lines) + "\n"


def resolve_options(kind: type[Options], file: Path | None, given: dict[str, Any], what: str, hint: str) -> Options:
    """Defaults, overridden by the file, overridden by what was given on the command line.

    `what` names the file in errors. Raises UsageError with `hint`.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:  # unreadable, no TOML, or nested without end
            raise UsageError(f"{what} {file}: {error}", hint) from error
    return checked_options(kind, {**values, **given}, hint)


def checked_options(kind: type[Options], values: dict[str, Any], hint: str) -> Options:
    """The options with these values. Raises UsageError with `hint`, which names the first wrong one, if it is one alone."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        named = f"option '{first['loc'][0]}': " if first["loc"] else ""
        raise UsageError(f"{named}{first['msg']}", hint) from error


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml_value(part) for part in value) + "]"
    if isinstance(value, int | float):
        return str(value)
    # TOML wants characters as they are, where JSON may escape them in pairs, and the delete character escaped.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
