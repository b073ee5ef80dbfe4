"""Geometry of a finding's plot."""

import pytest

from forensics.report.findings import MarkPart, PlotPart
from forensics.report.plot import MAX_TICKS, lay_out_plot, tick_values


def _part(x: list[float], **curves: list[float]) -> PlotPart:
    return PlotPart(
        name="p", caption="c", x_label="s", y_label="v", x=x, curves=curves, marks=[MarkPart(x=0.5, label="here")]
    )


def test_points_lie_inside_the_frame_and_rise_upwards() -> None:
    drawing = lay_out_plot(_part([0.0, 1.0, 2.0], a=[0.0, 5.0, 10.0], b=[10.0, 10.0, 10.0]))
    assert drawing is not None
    points = [tuple(map(float, pair.split(","))) for pair in drawing.curves[0].points.split()]
    assert all(drawing.left <= x <= drawing.right and drawing.top <= y <= drawing.bottom for x, y in points)
    assert points[0][1] > points[1][1] > points[2][1]
    assert points[0][0] == drawing.left
    assert points[2][0] == drawing.right
    assert drawing.marks[0].at == pytest.approx(drawing.left + (drawing.right - drawing.left) / 4, abs=0.1)


@pytest.mark.parametrize("x", [[], [1.0], [1.0, 1.0]])
def test_what_is_no_curve_is_not_drawn(x: list[float]) -> None:
    assert lay_out_plot(_part(x, a=[0.0] * len(x))) is None


def test_a_flat_curve_is_drawn_in_the_middle() -> None:
    drawing = lay_out_plot(_part([0.0, 1.0], a=[3.0, 3.0]))
    assert drawing is not None
    y = float(drawing.curves[0].points.split()[0].split(",")[1])
    assert y == pytest.approx((drawing.top + drawing.bottom) / 2, abs=0.1)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3, 17), (1e-9, 2e-9), (1234, 1235), (-1e6, 1e6), (0, 0.07)])
def test_ticks_are_round_few_and_inside(low: float, high: float) -> None:
    ticks = tick_values(low, high)
    assert 2 <= len(ticks) <= MAX_TICKS + 1
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (0, float("inf")), (float("nan"), 1)])
def test_an_axis_without_length_has_no_ticks(low: float, high: float) -> None:
    assert tick_values(low, high) == []
