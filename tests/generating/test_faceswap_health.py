"""How a swap's training is put in words, and its curves, from no rows on."""

import math
from pathlib import Path

import cv2
import pytest

from generators.faceswap.training.curves import draw_curves
from generators.faceswap.training.health import SMALL_GAIN, WINDOW_ROWS, assess
from generators.monitor.log import ReconstructionRow, SwapRow, append, read_log, read_swap_log


def row(step: int, ssim: float = 0.8, loss: float = 0.3, accuracy: float = math.nan) -> SwapRow:
    return SwapRow(
        step=step, loss=loss, ssim=ssim, l1=0.1, mask=0.2, adversarial=0.0, accuracy=accuracy, steps_per_s=5.0
    )


def measured(step: int, ssim: float = 0.7) -> ReconstructionRow:
    return ReconstructionRow(
        step=step, source_ssim=ssim - 0.1, source_psnr_db=21.0, target_ssim=ssim + 0.1, target_psnr_db=23.0
    )


def course(gain: float) -> list[SwapRow]:
    """Two windows, the second better by `gain`."""
    return [row(10 * k, 0.7 + (gain if k >= WINDOW_ROWS else 0)) for k in range(2 * WINDOW_ROWS)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "starting: nothing to judge yet"),
        ([row(1)], "faces are drawn with SSIM 0.800, off by 25.5 grey levels"),
        ([row(1), row(2, loss=math.nan)], "not finite; hint: a lower --learning-rate"),
        ([row(1, loss=math.inf)], "not finite"),
        (course(10 * SMALL_GAIN), "still improving (+0.020 in 50 steps)"),
        (course(SMALL_GAIN / 2), "hardly improving in 50 steps"),
        (course(0.0), "hardly improving"),
        (course(-10 * SMALL_GAIN), "worse by 0.020 in 50 steps"),
        ([row(1, accuracy=0.99)], "the critic wins (99% right); hint: a lower --adversarial-weight"),
        ([row(1, accuracy=0.5)], "the critic is guessing (50% right)"),
        ([row(1, accuracy=0.75)], "the critic is right 75% of the time"),
    ],
)
def test_a_course_is_put_in_words(rows: list[SwapRow], words: str) -> None:
    assert words in assess(rows)
    assert "\n" not in assess(rows)


def test_a_trend_needs_two_windows_and_a_critic_a_critic() -> None:
    assert "improving" not in assess(course(0.1)[1:])
    assert "critic" not in assess([row(1)])


def test_held_out_faces_are_said_where_there_are_some() -> None:
    assert assess([row(1)], [measured(0, 0.2), measured(1)]).endswith("; faces it never saw 0.700")
    assert "never saw" not in assess([row(1)])


def test_one_odd_row_does_not_turn_the_critics_state() -> None:
    rows = [row(k, accuracy=0.7) for k in range(4)] + [row(5, accuracy=1.0)]
    assert "right 76% of the time" in assess(rows)


def test_a_swaps_rows_come_back_and_are_no_gans(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for entry in (measured(0), row(1, loss=math.inf), row(2)):
        append(log, entry)
    rows, figures = read_swap_log(log)
    assert [r.step for r in rows] == [1, 2]
    assert rows[0].loss == math.inf
    assert math.isnan(rows[0].accuracy)
    assert figures == [measured(0)]
    assert read_log(log) == ([], [])


@pytest.mark.parametrize(("n", "accuracy"), [(0, math.nan), (1, math.nan), (60, 0.8)])
def test_curves_are_drawn_and_repeat(tmp_path: Path, n: int, accuracy: float) -> None:
    rows = [row(10 * k, ssim=0.5 + k / 200, accuracy=accuracy) for k in range(n)]
    figures = [measured(10 * k, 0.5 + k / 300) for k in range(0, n, 5)]
    for name in ("a.png", "b.png"):
        draw_curves(rows, figures, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture.shape[:2] == (704, 990)
    assert picture.min() < 50
    assert picture.max() > 250


def test_curves_depend_on_the_rows_and_bear_what_is_no_number(tmp_path: Path) -> None:
    good = [row(k, accuracy=0.8) for k in range(5)]
    draw_curves(good, [], tmp_path / "good.png")
    draw_curves([*good[:2], row(2, math.nan, math.inf, math.nan), *good[3:]], [], tmp_path / "bad.png")
    draw_curves(good, [measured(3)], tmp_path / "measured.png")
    assert len({(tmp_path / name).read_bytes() for name in ("good.png", "bad.png", "measured.png")}) == 3
