"""Public data sets as rows of the manifest: one file per layout, and how a layout is recognised."""

from eval.datasets.layout import Layout, LoadedDataset
from eval.datasets.loading import LAYOUTS, load_dataset
from eval.datasets.selection import filter_items

__all__ = ["LAYOUTS", "Layout", "LoadedDataset", "filter_items", "load_dataset"]
