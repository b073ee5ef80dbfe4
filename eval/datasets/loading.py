"""A data set from a path: which layout it has, and its rows."""

from pathlib import Path

from eval.datasets import celebdf, deepfakebench, dfdc, ffpp, folder, manifest_csv
from eval.datasets.layout import Layout, LoadedDataset, canonical_compression
from eval.datasets.tree import is_there, subfolders
from forensics.common.errors import ManifestError, UsageError
from forensics.common.manifest import Item
from forensics.common.text import printable

AUTO = "auto"
LAYOUTS: dict[str, Layout] = {
    module.LAYOUT.name: module.LAYOUT for module in (manifest_csv, ffpp, celebdf, dfdc, deepfakebench, folder)
}


def load_dataset(path: Path, layout: str = AUTO, compression: str | None = None) -> LoadedDataset:
    """The labelled items of a data set; no picture or video is opened. Every item has `extra["video"]`.

    layout: a key of LAYOUTS, or "auto" to tell it from what lies there. compression: of FaceForensics++ only, e.g. "c23";
    None reads all, each as a data set of its own.
    Raises UsageError for a path that is not there, a layout or compression that is unknown, or one that cannot be told;
    ManifestError for lists and manifests that are malformed, contradictory or lead outside, and where there is nothing.
    """
    if not is_there(path.exists):
        raise UsageError(f"no such file or folder: {path}", "give a manifest, or the folder of a data set")
    chosen = recognise_layout(path) if layout == AUTO else _named(layout)
    reading = chosen.read(path, compression)
    if compression is not None:
        _check_compression(reading.items, chosen, compression)
    if not reading.items:
        raise ManifestError(
            f"{path} holds no pictures or videos in the layout '{chosen.name}'", f"expected: {chosen.looks}"
        )
    notes = list(reading.notes)
    if len({item.label for item in reading.items}) == 1:
        notes.append(
            f"only {'fakes' if reading.items[0].label else 'reals'}: figures that need both classes are undefined"
        )
    return LoadedDataset(reading.items, chosen.name, reading.root, tuple(notes))


def recognise_layout(path: Path) -> Layout:
    """The one layout that recognises `path`; a manifest wins over the folders beside it, which say less.

    Raises UsageError where none does, or several do.
    """
    found = [layout for layout in LAYOUTS.values() if layout.recognises(path)]
    if manifest_csv.LAYOUT in found:
        return manifest_csv.LAYOUT
    if len(found) == 1:
        return found[0]
    if found:
        names = " and ".join(layout.name for layout in found)
        raise UsageError(f"{path} can be read as {names}", f"choose with --layout {found[0].name}, or {found[-1].name}")
    known = "; ".join(f"{layout.name}: {layout.looks}" for layout in LAYOUTS.values())
    raise UsageError(f"cannot tell how {path} is laid out", f"{_nearby(path)}layouts are {known}")


def _nearby(path: Path) -> str:
    """What the folders one level down look like: a data set is often unpacked into a folder of its own."""
    if not path.is_dir():
        return ""
    for below in subfolders(path):
        for layout in LAYOUTS.values():
            if layout.recognises(below):
                return f"{printable(str(below))} looks like {layout.name}; "
    return ""


def _named(name: str) -> Layout:
    if name not in LAYOUTS:
        raise UsageError(f"unknown layout '{name}'", f"one of {AUTO}, {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def _check_compression(items: tuple[Item, ...], layout: Layout, compression: str) -> None:
    """Raise UsageError where the layout has no compressions, rather than read all of it."""
    wanted = canonical_compression(compression)
    if any(canonical_compression(item.extra.get("compression", "")) != wanted for item in items):
        raise UsageError(f"the layout '{layout.name}' has no compressions to choose from", "leave --compression out")
