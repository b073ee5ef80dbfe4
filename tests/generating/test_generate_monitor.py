"""The log, the health line, curves and grids of a training run."""

import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.common.errors import UsageError
from generators.monitor.curves import best_of, draw_curves
from generators.monitor.grid import GAP_PX, PAPER, columns_for, tile
from generators.monitor.health import State, assess, diversity
from generators.monitor.log import QualityRow, Row, append, forget_after, read_log
from generators.pictures import encoded, to_uint8, write_png


def row(step, **changed):
    values = {"loss_d": 0.9, "loss_g": 1.5, "accuracy_real": 0.8, "accuracy_fake": 0.76, "diversity": 0.9}
    return Row(step=step, steps_per_s=4.0, **{**values, **changed})


def quality(step, kid):
    return QualityRow(step=step, kid=kid, low=kid - 0.01, high=kid + 0.01, extractor="lite0")


# -- the log


def test_rows_come_back_as_they_were_even_when_a_loss_is_no_number(tmp_path):
    log = tmp_path / "run" / "log.jsonl"
    written = [row(50), quality(50, 0.2), row(100, loss_d=math.nan, loss_g=-math.inf)]
    for one in written:
        append(log, one)
    rows, qualities = read_log(log)
    assert qualities == [written[1]]
    assert rows[0] == written[0]
    assert math.isnan(rows[1].loss_d) and rows[1].loss_g == -math.inf


def test_no_file_is_an_empty_log(tmp_path):
    assert read_log(tmp_path / "log.jsonl") == ([], [])
    forget_after(tmp_path / "log.jsonl", 3)
    assert not (tmp_path / "log.jsonl").exists()


def test_a_line_torn_by_a_kill_at_any_byte_costs_that_line_alone(tmp_path):
    log = tmp_path / "log.jsonl"
    append(log, row(50))
    whole = log.read_bytes()
    append(log, row(100))
    both = log.read_bytes()
    for end in range(len(whole), len(both)):
        log.write_bytes(both[:end])
        assert [r.step for r in read_log(log)[0]] == [50]
    log.write_bytes(both[:-5])
    append(log, row(150))
    assert [r.step for r in read_log(log)[0]] == [50, 150]


def test_what_comes_after_a_checkpoint_is_forgotten(tmp_path):
    log = tmp_path / "log.jsonl"
    for one in (row(50), quality(50, 0.2), row(100), quality(100, 0.1), row(150)):
        append(log, one)
    forget_after(log, 100)
    rows, qualities = read_log(log)
    assert [r.step for r in rows] == [50, 100]
    assert [q.step for q in qualities] == [50, 100]
    before = log.stat().st_mtime_ns, log.read_bytes()
    forget_after(log, 100)
    assert (log.stat().st_mtime_ns, log.read_bytes()) == before


@pytest.mark.parametrize("line", ["{}", "not json", '{"kind": "train", "step": -1}', '{"kind": "other"}', "\x00\xff"])
def test_a_line_that_is_no_row_is_named(tmp_path, line):
    log = tmp_path / "log.jsonl"
    append(log, row(50))
    with log.open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UsageError, match=r"log\.jsonl:2"):
        read_log(log)


# -- health


def run_of(n=20, **changed):
    """Rows whose values may be functions of their number."""
    return [
        row(50 * k + 50, **{key: value(k) if callable(value) else value for key, value in changed.items()})
        for k in range(n)
    ]


@pytest.mark.parametrize(
    ("rows", "state", "words"),
    [
        ([], State.STARTING, "nothing to judge"),
        (run_of(), State.HEALTHY, "78%"),
        (run_of(accuracy_real=0.53, accuracy_fake=0.51), State.GUESSING, "52%"),
        # Says "real" of everything: right half of the time.
        (run_of(accuracy_real=0.99, accuracy_fake=0.02), State.GUESSING, "99% of reals, 2% of fakes"),
        (run_of(accuracy_real=0.99, accuracy_fake=0.98, loss_g=lambda k: 3 + 0.5 * k), State.WINNING, "rising"),
        (run_of(accuracy_real=0.99, accuracy_fake=0.98, loss_g=lambda k: 3 + k % 2), State.HEALTHY, "98%"),
        (run_of(accuracy_real=1.0, accuracy_fake=1.0), State.WINNING, "100%"),
        ([row(50, diversity=0.9), *run_of(diversity=0.03)], State.COLLAPSED, "3% of the real pictures'"),
        (run_of(diversity=0.3), State.ALIKE, "30% of the real pictures'"),
        (run_of(diversity=math.nan), State.HEALTHY, "78%"),
        (run_of(loss_g=lambda k: math.nan if k == 15 else 1.0), State.NOT_FINITE, "step 800"),
        (run_of(loss_d=lambda k: math.inf if k == 19 else 1.0), State.NOT_FINITE, "step 1000"),
    ],
)
def test_states_are_told_apart_in_words(rows, state, words):
    health = assess(rows)
    assert health.state is state
    assert words in health.text
    assert "\n" not in health.text
    assert ("hint" in health.text) == (state not in (State.STARTING, State.HEALTHY))


def test_a_generator_that_has_not_begun_has_not_collapsed():
    young = run_of(4, diversity=0.01)
    assert assess(young).state is State.STARTING
    assert assess(run_of(12, diversity=0.01)).state is State.STARTING
    # The same figures after samples that differed are a collapse; late, they are a generator that will not begin.
    fell = [row(50, diversity=0.8), *(row(100 + 50 * k, diversity=0.01) for k in range(4))]
    assert assess(fell).state is State.COLLAPSED
    assert assess(fell[:3]).state is not State.COLLAPSED
    assert assess(run_of(45, diversity=0.01)).state is State.ALIKE


def test_one_odd_row_does_not_change_the_state():
    rows = run_of()
    odd = [*rows[:-2], row(950, accuracy_real=0.5, accuracy_fake=0.5, diversity=0.01), rows[-1]]
    assert assess(odd).state is State.HEALTHY


def test_a_run_that_went_wrong_and_was_cured_is_healthy_again():
    assert assess([*run_of(5, loss_d=math.nan), *run_of(10)]).state is State.HEALTHY


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3, *[st.floats(allow_nan=True)] * 2), min_size=1, max_size=15))
def test_any_figures_have_a_state(figures):
    rows = [
        row(50 * k, accuracy_real=a, accuracy_fake=b, diversity=c, loss_d=d, loss_g=e)
        for k, (a, b, c, d, e) in enumerate(figures)
    ]
    health = assess(rows)
    finite = all(math.isfinite(r.loss_d) and math.isfinite(r.loss_g) for r in rows[-10:])
    assert health.text
    assert (health.state is State.NOT_FINITE) == (not finite)


def test_diversity_compares_spreads():
    torch.manual_seed(0)
    flat = torch.rand(40, 3, 1, 1)
    real = flat.expand(40, 3, 64, 64)
    assert diversity(real, real) == pytest.approx(1)
    assert diversity(0.25 * real, real) == pytest.approx(0.25, rel=1e-4)
    assert diversity(real[:1].expand(8, 3, 64, 64), real) == 0
    # Flat pictures: the pooled vectors are 256 copies of the colour, so distances are those of colours.
    pairs = [(flat[a] - flat[b]).norm().item() for a in range(10) for b in range(10) if a != b]
    everyone = [(flat[a] - flat[b]).norm().item() for a in range(40) for b in range(40) if a != b]
    assert diversity(real[:10], real) == pytest.approx(np.mean(pairs) / np.mean(everyone), rel=1e-4)


def test_diversity_does_not_see_pixel_noise():
    torch.manual_seed(0)
    real = torch.rand(16, 3, 1, 1).expand(16, 3, 64, 64)
    noise = 0.2 * torch.randn(16, 3, 64, 64)
    # By pixels the noise differs by 0.2 * sqrt(2), two thirds of what colours do; the mean of 16 by a quarter of that.
    assert diversity(noise, real) < 0.25


def test_diversity_without_ground_to_stand_on():
    same = torch.ones(4, 3, 8, 8)
    assert math.isnan(diversity(torch.rand(4, 3, 8, 8), same))
    assert math.isnan(diversity(torch.full((4, 3, 8, 8), math.nan), torch.rand(4, 3, 8, 8)))
    with pytest.raises(ValueError, match="two pictures"):
        diversity(same[:1], same)


# -- curves and grids


@pytest.mark.parametrize("n", [0, 3, 60])
def test_curves_are_drawn_and_repeat(tmp_path, n):
    rows = [row(50 * k, loss_g=math.nan if k == 2 else 1.0 + k) for k in range(n)]
    qualities = [quality(500 * k, 0.3 / (k + 1)) for k in range(n // 10)]
    draw_curves(rows, qualities, tmp_path / "a.png")
    draw_curves(rows, qualities, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture is not None and min(picture.shape[:2]) > 400
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_curves_depend_on_the_rows(tmp_path):
    draw_curves([row(50), row(100)], [quality(50, 0.3)], tmp_path / "a.png")
    draw_curves([row(50), row(100)], [quality(50, 0.4)], tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_the_best_kid_is_the_first_lowest_that_is_a_number():
    rows = [quality(1, math.nan), quality(2, 0.2), quality(3, 0.1), quality(4, 0.1)]
    assert best_of(rows) == rows[2]
    assert best_of(rows[:1]) is None


def test_tiles_lie_where_they_should():
    pictures = np.stack([np.full((4, 6, 3), k, np.uint8) for k in range(5)])
    sheet = tile(pictures, 3)
    assert sheet.shape == (2 * 4 + GAP_PX, 3 * 6 + 2 * GAP_PX, 3)
    for k in range(5):
        y, x = k // 3 * (4 + GAP_PX), k % 3 * (6 + GAP_PX)
        assert (sheet[y : y + 4, x : x + 6] == k).all()
    assert (sheet[4 + GAP_PX :, -6:] == PAPER).all()  # the place that is left over
    assert (sheet[4 : 4 + GAP_PX] == PAPER).all()
    assert tile(pictures[:2], 8).shape == (4, 2 * 6 + GAP_PX, 3)
    with pytest.raises(ValueError, match="tile"):
        tile(pictures[:0], 3)
    with pytest.raises(ValueError, match="tile"):
        tile(pictures, 0)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 500))
def test_columns_make_a_grid_about_square(n):
    columns = columns_for(n)
    assert (columns - 1) ** 2 < n <= columns**2


def test_every_byte_survives_the_way_to_a_tensor_and_back():
    bytes_ = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(1, 3, 16, 16)
    pictures = to_uint8(bytes_.float() / 127.5 - 1)
    assert pictures.shape == (1, 16, 16, 3) and pictures.dtype == np.uint8
    assert (pictures == bytes_.permute(0, 2, 3, 1).numpy()).all()


def test_values_beyond_the_range_are_clipped_and_those_between_rounded():
    values = torch.tensor([-2.0, -1.0, 0.4 / 127.5 - 1, 0.6 / 127.5 - 1, 1.0, 1.5])
    pictures = to_uint8(values.reshape(6, 1, 1, 1).expand(6, 3, 1, 1))
    assert pictures[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 255, 255]
    with pytest.raises(ValueError, match="not finite"):
        to_uint8(torch.full((1, 3, 2, 2), math.nan))


def test_a_png_holds_the_pixels_in_rgb(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    write_png(tmp_path / "new" / "a.png", picture)
    assert (cv2.imread(str(tmp_path / "new" / "a.png"))[:, :, ::-1] == picture).all()


def test_a_jpeg_has_the_quality_that_was_asked_for():
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    noisy = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert len(encoded(noisy, "jpeg:20")) < len(encoded(noisy, "jpeg:95"))
    again = cv2.imdecode(np.frombuffer(encoded(smooth, "jpeg:95"), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(again[:, :, ::-1].astype(int) - smooth).mean() < 3
    for wrong in ("jpeg", "jpeg:0", "jpeg:101", "jpeg:x", "gif", ""):
        with pytest.raises(UsageError, match="picture format"):
            encoded(smooth, wrong)
