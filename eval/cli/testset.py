"""`forensics bench testset`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eval.config import resolve_options
from eval.testsets.options import RUN_ONLY, BuildOptions
from forensics.cli.options import options_of

if TYPE_CHECKING:
    from eval.testsets.build import Built
    from forensics.common.progress import Progress

EPILOG = """\b
Examples:
  forensics bench testset --real ffhq/ --fake stylegan/ --output set
  forensics bench testset --real FaceForensics++ --fake FaceForensics++ \\
      --compression c23 --per-family 100 --output set
  forensics bench testset --real a/manifest.csv --fake a/manifest.csv \\
      --fake attacks/cnn-pgd-2 --encode png --output set
  forensics bench testset --real reals/ --fake sdxl/ --fake flux/ \\
      --splits train=0.6,dev=0.2,test=0.2 --perturb jpeg:50 --perturb blur:1.5 \\
      --licence "CC BY 4.0" --output set
  forensics bench testset --real reals/ --fake flux/ --perturb restore:denoise \\
      --perturb srgan:x2 --encode png --output set
  forensics bench testset --verify set
  forensics bench testset --rebuild set/testset.json --output again

\b
DATA is a manifest CSV, a folder that holds manifest.csv, a folder in a public
layout (see `forensics bench run`), or a folder of pictures and clips without
labels: the option then says the label, and the folder's name is the data set
or generator. From labelled DATA, --real takes its reals, --fake its fakes.

\b
Nothing changes its split: a row that has one keeps it, rows without one follow
the rows that share their source, identity, donor or bytes, and only what is
left is spread by --splits. As many reals as fakes are taken in each split.

\b
Laundering: --perturb restore:denoise, restore:deblock and srgan:x2 (halved by
area, enlarged again by the network; the size stays, odd sides are filled up by
reflection and cut off again) add copies that a trained network has redrawn;
restore:denoise=RUN takes a run of `forensics generate train-translator` or a
file. The recipe names the checkpoint's SHA-256; --rebuild refuses another one.

\b
Writes SPLIT/real|fake/FAMILY/FILE, manifest.csv (with the SHA-256 of every
file), testset.json (the recipe) and DATASHEET.md. The same recipe gives the
same bytes; a stopped build goes on when the same command is given again.
Labels: 1 = fake, 0 = real.

\b
Exit status: 0 done; 1 --verify or --rebuild found a difference; 2 usage error;
3 done, but some files of DATA could not be read and are left out.
"""
METAVARS = {
    "real": "DATA", "fake": "DATA", "layout": "NAME", "compression": "LEVEL", "splits": "SPLIT=SHARE,...",
    "per_family": "N", "perturb": "NAME:STRENGTH", "encode": "keep|png|jpeg:Q|auto", "size": "PX",
    "name": "TEXT", "licence": "TEXT", "seed": "N", "workers": "N",
}  # fmt: skip


@click.command("testset", epilog=EPILOG)
@click.option("-o", "--output", metavar="DIR", help="Folder of the set; a new one, or one of the same recipe.")
@click.option("--verify", metavar="DIR", help="Check a set instead: files, hashes, balance, splits.")
@click.option("--rebuild", metavar="FILE", help="Build the recipe of a testset.json again into --output, and compare.")
@options_of(BuildOptions)
def command(output: str | None, verify: str | None, rebuild: str | None, **values: Any) -> int:
    """Build a balanced, labelled, hashed test set that can be rebuilt to the byte.

    Joins reals, generators' outputs, attack sets and perturbed copies; keeps people and photographs on one side of the
    split; evens out the files' history, so that a detector has to look at the picture; and writes a datasheet.
    """
    from forensics.common.errors import UsageError
    from forensics.common.progress import Progress

    options = resolve_options(BuildOptions, values, "testset")
    progress = Progress(options.quiet)
    if verify is not None and rebuild is not None:
        raise UsageError("--verify and --rebuild are two commands", "give one of them")
    recipe = [name for name, value in values.items() if value not in (None, ()) and name not in RUN_ONLY]
    if (verify is not None or rebuild is not None) and recipe:
        raise UsageError(f"--{recipe[0].replace('_', '-')} has no effect on a set that is there", "leave it out")
    if verify is not None:
        return _verify(Path(verify), options, progress)
    if output is None:
        raise UsageError("no --output DIR", "name the folder that the set is to be written to")
    if rebuild is not None:
        return _rebuild(Path(rebuild), Path(output), options, progress)

    from eval.testsets.build import build_testset
    from eval.testsets.shortcuts import auditor_of

    built = build_testset(options, Path(output), progress, auditor_of(options.workers, progress))
    _print_built(built, Path(output))
    return 3 if built.n_unreadable else 0


for _parameter in command.params:
    if isinstance(_parameter, click.Option) and _parameter.name in METAVARS:
        _parameter.metavar = METAVARS[_parameter.name]


def _verify(folder: Path, options: BuildOptions, progress: "Progress") -> int:
    from eval.testsets.record import RECORD_FILE, read_record
    from eval.testsets.verify import verify_testset
    from forensics.cli.lines import print_lines
    from forensics.common.text import terminal_line

    problems = verify_testset(folder, progress, options.workers)
    n_files = read_record(folder / RECORD_FILE).n_files
    print_lines(
        terminal_line(line) for line in problems or [f"{folder}: all {n_files} files are what the manifest says"]
    )
    return 1 if problems else 0


def _rebuild(record: Path, output: Path, options: BuildOptions, progress: "Progress") -> int:
    from eval.testsets.shortcuts import auditor_of
    from eval.testsets.verify import rebuild_testset
    from forensics.cli.lines import print_lines
    from forensics.common.text import terminal_line

    rebuilt = rebuild_testset(record, output, options, progress, auditor_of(options.workers, progress))
    n_files = rebuilt.built.record.n_files
    lines = rebuilt.lines if not rebuilt.agrees else (f"every byte agrees: {n_files} files, manifest, record",)
    print_lines(terminal_line(line) for line in lines)
    return 0 if rebuilt.agrees else 1


def _print_built(built: "Built", output: Path) -> None:
    from eval.cli.tables import show_table
    from eval.testsets.record import CLASSES
    from forensics.cli.lines import print_lines
    from forensics.common.text import terminal_line

    record = built.record
    header = ("split", "class", "family", "kind", "files", "perturbed")
    show_table(
        header,
        [(p.split, p.label, p.family, p.kind, str(p.n), str(p.n_perturbed)) for p in record.counts],
        numeric_from=4,
    )
    lines = [""]
    for split in dict.fromkeys(part.split for part in record.counts):
        n = [sum(p.n for p in record.counts if p.split == split and p.label == name) for name in CLASSES]
        lines.append(f"{split}: {n[0]} real, {n[1]} fake")
    if record.encoding:
        lines.append(f"pictures: {record.encoding} ({record.encoding_reason})")
    lines += [f"left out: {part.real} real, {part.fake} fake: {part.reason}" for part in record.left_out]
    lines += [f"note: {note}" for note in record.notes]
    if record.audit is not None:
        lines += [f"audit: {record.audit.verdict}"]
    lines.append(f"{built.n_written} files written, {built.n_kept} were there already: {output}")
    print_lines(terminal_line(line) for line in lines)
