"""`forensics bench audit`, readable top to bottom: data sets in, checks, report out."""

from collections.abc import Sequence
from pathlib import Path

from eval.audit.config import AuditConfig
from eval.audit.leakage import find_leakage
from eval.audit.reading import AuditData, read_rows, unique_names
from eval.audit.report import build_report
from eval.audit.schema import AuditReport
from eval.audit.shortcuts import find_shortcuts
from forensics.common.errors import UsageError
from forensics.common.progress import Progress


def load_data(config: AuditConfig, paths: Sequence[Path]) -> list[AuditData]:
    """The rows of every DATA that the options choose. Raises UsageError for one that is named twice."""
    from eval.datasets import filter_items, load_dataset

    resolved = [path.resolve() for path in paths]
    for path in paths:
        if resolved.count(path.resolve()) > 1:
            raise UsageError(f"{path} is given twice", "all of it would be a copy of itself: name each DATA once")
    data = []
    for path, name in zip(paths, unique_names(paths), strict=True):
        loaded = load_dataset(path, config.layout, config.compression)
        items = filter_items(loaded.items, config.split, config.limit, config.seed)
        data.append(AuditData(name, loaded.root, loaded.layout, tuple(items), loaded.notes))
    return data


def audit(config: AuditConfig, data: Sequence[AuditData], progress: Progress) -> AuditReport:
    """Read every file once, look for leakage and shortcuts. Nothing about a file raises: unreadable ones are listed."""
    rows = read_rows(data, config.worker_count, config.timeout, progress)
    leakage = find_leakage(rows, progress)
    shortcuts = find_shortcuts(rows, config.seed, config.draws, progress)
    return build_report(config, data, rows, leakage, shortcuts)
