"""Options as a TOML file: what is written is read back, what is typed comes first, and errors name what is wrong."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, model_validator

from forensics.common.errors import UsageError
from forensics.common.options_file import options_toml, resolve_options


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(0.5, ge=0, description="a share")
    count: int = Field(3, ge=0, description="a count")
    is_on: bool = Field(True, description="a switch")
    names: tuple[str, ...] = Field((), description="some names")
    folder: Path | None = Field(None, description="a folder, if any")


texts = st.text(st.characters(codec="utf-8"), max_size=12)
options = st.builds(
    Options,
    share=st.floats(0, 1e300),
    count=st.integers(0, 2**62),
    is_on=st.booleans(),
    names=st.lists(texts, max_size=3).map(tuple),
    folder=st.none() | texts.filter(lambda text: "\0" not in text).map(Path),
)


def resolved(file: Path | None, **given: object) -> Options:
    return resolve_options(Options, file, given, "recipe", "what to do")


@settings(deadline=None)
@given(options)
def test_what_is_written_is_read_back(tmp_path_factory, made):
    file = tmp_path_factory.getbasetemp() / "options.toml"
    file.write_text(options_toml(made), encoding="utf-8")
    assert resolved(file) == made


def test_every_field_stands_under_its_description():
    assert options_toml(Options(names=("a", "b"))) == (
        "# a share\nshare = 0.5\n# a count\ncount = 3\n# a switch\nis_on = true\n"
        '# some names\nnames = ["a", "b"]\n# a folder, if any\n# folder =\n'
    )
    assert set(tomllib.loads(options_toml(Options()))) == {"share", "count", "is_on", "names"}


def test_what_is_given_comes_before_the_file_and_that_before_defaults(tmp_path):
    file = tmp_path / "options.toml"
    file.write_text('count = 7\nshare = 0.25\nnames = ["x"]\n', encoding="utf-8")
    assert resolved(file, share=0.75, names=("y", "z")) == Options(count=7, share=0.75, names=("y", "z"))
    assert resolved(file) == Options(count=7, share=0.25, names=("x",))
    assert resolved(None, count=1) == Options(count=1)


@pytest.mark.parametrize(
    ("text", "named"), [("cuont = 1", "cuont"), ("count = -1", "count"), ("[count]\na = 1", "count")]
)
def test_a_wrong_option_is_named_with_the_hint(tmp_path, text, named):
    file = tmp_path / "options.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=f"^option '{named}': ") as caught:
        resolved(file)
    assert caught.value.hint == "what to do"


def test_options_that_do_not_go_together_are_said_without_a_name(tmp_path):
    class Pair(BaseModel):
        low: int = 0
        high: int = 1

        @model_validator(mode="after")
        def _ordered(self) -> "Pair":
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    with pytest.raises(UsageError, match=r"^Value error, low is above high$") as caught:
        resolve_options(Pair, None, {"low": 2}, "recipe", "what to do")
    assert caught.value.hint == "what to do"
    with pytest.raises(UsageError, match=r"^option 'names': "):
        resolve_options(Options, None, {"names": ("a", 1)}, "recipe", "what to do")


@pytest.mark.parametrize("content", [None, b"count =", b"\xff", b"count = 1\ncount = 2", b"count = " + b"[" * 3000])
def test_a_file_that_cannot_be_read_is_named_as_what_it_is(tmp_path, content):
    file = tmp_path / "options.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"^recipe .*options\.toml: ") as caught:
        resolved(file)
    assert caught.value.hint == "what to do"
