"""The order of training pictures: epochs are permutations, and a step needs nothing but its number."""

import numpy as np
import pytest

from generators.data.order import batch_indices


def stream(n: int, batch: int, steps: int, seed: int = 0) -> np.ndarray:
    return np.concatenate([batch_indices(n, batch, step, seed) for step in range(steps)])


@pytest.mark.parametrize(("n", "batch"), [(10, 5), (10, 3), (7, 7), (1, 1), (5, 12), (3, 64), (1, 4)])
def test_an_epoch_uses_every_picture_once(n: int, batch: int) -> None:
    epochs = 6
    row = stream(n, batch, -(-n * epochs // batch))[: n * epochs].reshape(epochs, n)
    assert (np.sort(row, axis=1) == np.arange(n)).all()


def test_epochs_and_seeds_differ() -> None:
    first, second = stream(50, 10, 10).reshape(2, 50)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, stream(50, 10, 5, seed=1))


def test_a_step_is_a_function_of_seed_and_step_alone() -> None:
    forwards = [batch_indices(23, 8, step, 4) for step in range(40)]
    backwards = [batch_indices(23, 8, step, 4) for step in reversed(range(40))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))


def test_the_row_does_not_depend_on_how_it_is_cut_into_batches() -> None:
    assert np.array_equal(stream(31, 4, 30), stream(31, 12, 10))


def test_what_is_given_out_can_be_written_to() -> None:
    first = batch_indices(9, 3, 0, 0)
    kept = first.copy()
    first[:] = -1
    assert first.dtype == np.int64 and first.shape == (3,)
    assert np.array_equal(batch_indices(9, 3, 0, 0), kept)


@pytest.mark.parametrize(("n", "batch", "step"), [(0, 4, 0), (4, 0, 0), (4, 4, -1)])
def test_senseless_sizes_are_refused(n: int, batch: int, step: int) -> None:
    with pytest.raises(ValueError, match="batch"):
        batch_indices(n, batch, step, 0)
