"""Thresholds and the error rates that were measured at them."""

from pydantic import BaseModel, ConfigDict, Field


class Interval(BaseModel):
    """A measured share with its 95 % interval."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: float
    low: float
    high: float
    n: int


class OperatingPoint(BaseModel):
    """The two thresholds, and how often they are wrong on the test split that the weights' card names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold_fake: float = Field(description="probability at or above which an input is `likely fake`")
    threshold_real: float = Field(description="probability at or below which an input is `likely real`")
    test_set: str
    false_positive_rate: Interval | None = Field(description="reals called `likely fake`")
    false_negative_rate: Interval | None = Field(description="fakes called `likely real`")
    false_positive_rates: dict[str, Interval] = Field(description="the same per data set")
