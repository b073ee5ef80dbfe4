"""The shortcut audit of a finished set, as its record and datasheet quote it (see `forensics bench audit`)."""

from pathlib import Path

from eval.audit.config import AuditConfig
from eval.audit.reading import AuditData
from eval.audit.run import audit
from eval.datasets import load_dataset
from eval.testsets.build import Auditor
from eval.testsets.record import AuditPart
from forensics.common.progress import Progress

# The folder's name would make two builds of one recipe differ.
SHOWN_NAME = "set"


def auditor_of(workers: int, progress: Progress) -> Auditor:
    """What `build_testset` asks: manifest and seed -> the verdict, and a line per leakage or shortcut that was found."""

    def look(manifest: Path, seed: int) -> AuditPart:
        loaded = load_dataset(manifest)
        data = AuditData(SHOWN_NAME, loaded.root, loaded.layout, loaded.items, loaded.notes)
        report = audit(AuditConfig(seed=seed, workers=workers), [data], progress)
        leaks = [f"{one.title}: {one.n}" for one in report.leakage if one.outcome == "found"]
        shortcuts = [
            f"{block.subject}: {result.sentence}"
            for block in report.shortcuts
            for result in block.groups
            if result.strength in ("weak", "strong")
        ]
        return AuditPart(verdict=report.verdict.sentence, lines=(*leaks, *shortcuts))

    return look
