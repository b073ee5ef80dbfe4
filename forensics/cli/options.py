"""Click options made from the fields of a configuration object, so that name, type, default and help exist once."""

from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from forensics.common.errors import UsageError

SHORT = {"verbose": "-v", "quiet": "-q", "output": "-o"}
# Options whose values are names, never paths: several may stand in one, with commas between them.
COMMA_LISTS = {"format", "detectors", "left_out", "texture_fakes", "only", "skip"}
F = TypeVar("F", bound=Callable[..., Any])


def options_of(model: type[BaseModel], skip: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Decorator that adds one option per field; an option that was not given is absent from the call's values."""

    def decorate(function: F) -> F:
        for name, field in reversed(model.model_fields.items()):
            if name not in skip:
                function = _option(name, field)(function)
        return function

    return decorate


def given_values(values: dict[str, Any]) -> dict[str, Any]:
    """The options that were given on the command line; lists such as `--format json,html` are split at their commas."""
    given = {name: value for name, value in values.items() if value is not None and value != ()}
    for name in COMMA_LISTS & given.keys():
        given[name] = tuple(part.strip() for text in given[name] for part in text.split(",") if part.strip())
    return given


def load_config_file(values: dict[str, Any]) -> Path | None:
    """Take `--config FILE` out of the values. Raises UsageError where there is no such file."""
    file = values.pop("config", None)
    if file is None:
        return None
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"no configuration file {path}", "`forensics config` prints one to start from")
    return path


def _option(name: str, field: FieldInfo) -> Callable[[F], F]:
    flag = f"--{name.replace('_', '-')}"
    names = [SHORT[name], flag] if name in SHORT else [flag]
    text = f"{(field.description or '').rstrip('.')}.{_shown_default(field)}"
    kind = _kind(field.annotation)
    if kind is bool:
        # Both forms, so that the command line can turn off what a file turns on.
        forms = [*([SHORT[name]] if name in SHORT else []), f"{flag}/--no-{flag[2:]}"]
        return click.option(*forms, name, default=None, help=text)
    multiple = get_origin(field.annotation) is tuple
    return click.option(
        *names, name, type=kind, default=None, multiple=multiple, help=text, metavar=_metavar(kind, name)
    )


def _kind(annotation: Any) -> Any:
    if get_origin(annotation) is tuple:
        return str
    if get_origin(annotation) in (Union, UnionType):
        return _kind(next(part for part in get_args(annotation) if part is not type(None)))
    if get_origin(annotation) is Literal:
        return click.Choice([str(value) for value in get_args(annotation)])
    return str if annotation is Path else annotation


def _metavar(kind: Any, name: str) -> str | None:
    special = {
        "detector": "NAME|NAME@FILE|FILE.py",
        "detectors": "LIST",
        "format": "LIST",
        "left_out": "LIST",
        "texture_fakes": "LIST",
        "only": "LIST",
        "skip": "LIST",
        "output": "DIR",
        "weights": "DIR|FILE.h5",
        "face_model": "FILE",
    }
    return special.get(name) if kind is str else None


def _shown_default(field: FieldInfo) -> str:
    default = field.default
    if field.is_required():
        return "  [required]"
    if default is None or default is False or default == () or default is True:
        return ""
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    return f"  [default: {shown}]"
