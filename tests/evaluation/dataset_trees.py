"""Small trees of data sets: empty files, since reading a layout opens none."""

from pathlib import Path

from forensics.common.manifest import Item


def plant(root: Path, *names: str) -> Path:
    """Empty files with these relative paths."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return root


def named(items: tuple[Item, ...], root: Path) -> dict[str, Item]:
    """Items by their path relative to the root; fails where two have the same."""
    by_name = {item.path.relative_to(root).as_posix(): item for item in items}
    assert len(by_name) == len(items)
    return by_name
