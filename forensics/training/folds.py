"""Folds of whole people: what is fitted on some of them is judged on others.

A group is a person where one is stated, a source elsewhere, a picture where neither is; the same id in two data sets means
nothing.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forensics.common.manifest import Item

FOLDS = 5
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows to fit, rows held out


def folds_of_people(items: Sequence[Item]) -> list[Fold]:
    """FOLDS folds, or as many as the rarer class has groups; none where there is a class with fewer than two.

    A fold's fitted side may still lack a class, where groups have both.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    labels = np.array([item.label for item in items])
    groups = np.array([f"{item.dataset}|{item.identity or item.source or item.path}" for item in items])
    n = min(FOLDS, *(len(np.unique(groups[labels == label])) for label in (0, 1)))
    return [] if n < 2 else list(StratifiedGroupKFold(n).split(labels, labels, groups))
