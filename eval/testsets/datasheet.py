"""DATASHEET.md: the questions of Gebru et al. (Datasheets for Datasets, 2018, arXiv 1803.09010, section 3), answered from
what a build knows. What it cannot know says so: people fill that in. No clock: the same set has the same sheet.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.testsets.record import CLASSES, MANIFEST_FILE, RECORD_FILE, CountPart, SetRecord
from forensics.report.markdown import markdown_text

UNKNOWN = "Unknown: see the sources."
SPLIT_USE = {
    "train": "to fit",
    "dev": "for every choice: early stop, calibration, thresholds",
    "test": "for figures only",
}


def render_datasheet(record: SetRecord) -> str:
    """The whole sheet of a complete set."""
    sections = (
        ("Motivation", _motivation(record)),
        ("Composition", _composition(record)),
        ("Collection process", _collection(record)),
        ("Preprocessing, cleaning, labelling", _preprocessing(record)),
        ("Known shortcuts", _shortcuts(record)),
        ("Uses", _uses()),
        ("Distribution", _distribution(record)),
        ("Maintenance", _maintenance(record)),
    )
    lines = [f"# Datasheet: {markdown_text(record.name)}", "", *_head(record)]
    for title, body in sections:
        lines += ["", f"## {title}", *body]
    return "\n".join(lines) + "\n"


def _head(record: SetRecord) -> list[str]:
    n = [sum(part.n for part in record.counts if part.label == label) for label in CLASSES]
    copies = sum(part.n_perturbed for part in record.counts)
    extra = f" and {copies} perturbed copies" if copies else ""
    return [
        f"{n[0]} reals and {n[1]} fakes{extra}. Labels: 1 = fake, 0 = real. Written by `forensics bench testset`, version "
        f"{record.tool_version}; the questions are those of Gebru et al. 2018 (arXiv 1803.09010)."
    ]


def _answers(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [line for question, answer in pairs for line in ("", f"**{question}** {answer}")]


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{'|'.join('---' for _ in header)}|"]
    return ["", *lines, *(f"| {' | '.join(markdown_text(str(cell)) for cell in row)} |" for row in rows)]


def _motivation(record: SetRecord) -> list[str]:
    families = [
        ", ".join(map(markdown_text, sorted({part.family for part in record.counts if part.label == label})))
        for label in CLASSES
    ]
    return _answers(
        (
            (
                "For what purpose was the set created?",
                "To measure detectors of generated and manipulated faces: "
                f"reals of {families[0]} against fakes of {families[1]}.",
            ),
            ("Who created it, and who paid for it?", UNKNOWN),
        )
    )


def _composition(record: SetRecord) -> list[str]:
    kinds = sorted({f"{part.kind}s" for part in record.counts})
    lines = _answers(
        (
            (
                "What do the instances represent?",
                f"{' and '.join(kinds).capitalize()} of people's faces, real or fake.",
            ),
            ("How many are there?", f"{record.n_files} files:"),
        )
    )
    columns = ("split", "class", "family", "kind", "files", "perturbed copies")
    lines += _table(columns, ((p.split, p.label, p.family, p.kind, p.n, p.n_perturbed) for p in record.counts))
    lines += ["", *_balance_lines(record.counts)]
    if record.sizes:
        sizes = ("class", "pictures", "smallest px", "median px", "largest px")
        lines += ["", "Longest side of the pictures, perturbed copies not counted:"]
        lines += _table(sizes, ((s.label, s.n, s.min_px, f"{s.median_px:g}", s.max_px) for s in record.sizes))
    lines += _answers((("Is it a sample of a larger set?", _sample_text(record)),))
    if record.left_out:
        lines += _table(("left out", "reals", "fakes"), ((p.reason, p.real, p.fake) for p in record.left_out))
    return [*lines, *_relations(record), *_contents(record)]


def _relations(record: SetRecord) -> list[str]:
    return _answers(
        (
            ("Is there a label?", "Yes: the column `label` (1 = fake), as the sources state it; not verified."),
            (
                "Are relationships between instances made explicit?",
                "Yes: `source` (recording or photograph; `file-...` where the sources name none), `identity` where they "
                "name one, `original` (SHA-256 of the input file, shared by perturbed copies).",
            ),
            ("Are there recommended splits?", _split_text(record)),
        )
    )


def _contents(record: SetRecord) -> list[str]:
    whole = "Input files are unique by SHA-256 and decode to their end. Near-duplicates in a split were not looked for."
    errors = f"{whole} Remarks of the build:" if record.notes else whole
    return [
        *_answers((("Are there errors, noise, redundancies?", errors),)),
        *(["", *(f"- {markdown_text(note)}" for note in record.notes)] if record.notes else []),
        *_answers(
            (
                ("Is it self-contained?", "Yes: all files are copies."),
                ("Does it show people, and could they be identified?", f"It shows faces. {UNKNOWN}"),
            )
        ),
    ]


def _balance_lines(counts: Sequence[CountPart]) -> list[str]:
    lines = []
    for split in dict.fromkeys(part.split for part in counts):
        n = {label: sum(p.n for p in counts if p.split == split and p.label == label) for label in CLASSES}
        word = "balanced" if n["real"] == n["fake"] else "not balanced"
        lines.append(f"- {split}: {n['real']} real, {n['fake']} fake: {word}; {SPLIT_USE[split]}.")
    return lines


def _sample_text(record: SetRecord) -> str:
    if not record.left_out:
        return "No: all that the inputs hold of the classes asked for."
    return f"Yes, drawn by the seed {record.seed} within each family. Rows of the classes asked for that are not in it:"


def _split_text(record: SetRecord) -> str:
    return (
        "Yes. Rows that share a source, an identity, a donor or the very bytes are on one side; a row that had a split in "
        f"its source keeps it. Shares for the others: {markdown_text(record.recipe.options['splits'])}."
    )


def _collection(record: SetRecord) -> list[str]:
    lines = ["", "The inputs (where they lay is in testset.json); hashes are of their manifests or lists of rows:"]
    header = ("input", "gives", "layout", "rows", "SHA-256")
    lines += _table(
        header, ((Path(p.path).name, ", ".join(p.gives), p.layout, p.rows, p.sha256) for p in record.recipe.inputs)
    )
    return lines + _answers(
        (
            ("How were the data acquired, by whom, and when?", UNKNOWN),
            ("Did the people in it consent? Was there an ethical review?", UNKNOWN),
        )
    )


def _preprocessing(record: SetRecord) -> list[str]:
    options = record.recipe.options
    encoding, reason = "There are no pictures.", markdown_text(record.encoding_reason)
    if record.encoding == "keep":
        encoding = f"Pictures are the input files, byte for byte ({reason})."
    elif record.encoding:
        size = f", the longest side reduced to {options['size']} px at most (by area)" if options["size"] else ""
        encoding = (
            f"All pictures of both classes were decoded{size} and written as {record.encoding}"
            f"{' with 4:2:0 chroma' if record.encoding.startswith('jpeg') else ''} ({reason})."
        )
    has_clips = any(part.kind == "clip" for part in record.counts)
    perturb = ", ".join(f"`{name}`" for name in options["perturb"])
    copies = "None." if not perturb else (
        f"Every picture of both classes has a copy under each of {perturb}, "
        f"written as {'png' if record.encoding == 'keep' else record.encoding}; the column `perturbation` names it."
    )  # fmt: skip
    return _answers(
        (
            ("How were pictures encoded?", encoding),
            ("How were clips encoded?", "They are the input files, byte for byte." if has_clips else "There are none."),
            ("What was added?", copies),
            ("Was the raw data kept?", "The column `original` has the SHA-256 of every input file."),
        )
    )


def _shortcuts(record: SetRecord) -> list[str]:
    if record.audit is None:
        return ["", "Not looked for: run `forensics bench audit` on this folder before figures on it are believed."]
    lines = ["", f"{markdown_text(record.audit.verdict[0].upper() + record.audit.verdict[1:])}."]
    lines += ["", *(f"- {markdown_text(line)}" for line in record.audit.lines)] if record.audit.lines else []
    return [
        *lines,
        "",
        "What earlier compression, resizing or framing left in the pixels is not covered by this audit.",
    ]


def _uses() -> list[str]:
    return _answers(
        (
            ("What is it for?", "`forensics bench run` on this folder; figures are read from the split test alone."),
            (
                "What should it not be used for?",
                "Claims about generators, cameras, people or platforms that are not in it; identifying anybody; training "
                "on the split test.",
            ),
        )
    )


def _distribution(record: SetRecord) -> list[str]:
    licence = markdown_text(record.recipe.options["licence"] or "") or "unknown: see the sources"
    return _answers((("Under which terms?", f"{licence}."),))


def _maintenance(record: SetRecord) -> list[str]:
    return _answers(
        (
            (
                "How can it be checked and made again?",
                f"`forensics bench testset --verify DIR` checks every hash in {MANIFEST_FILE}; "
                f"`forensics bench testset --rebuild {RECORD_FILE} --output NEW` makes it again from the same inputs with "
                "the same software and compares every byte.",
            ),
            ("Which hash names this set?", f"`{record.files_sha256}` (over the SHA-256 and path of all files)."),
            ("Who maintains it?", UNKNOWN),
        )
    )
