"""A signed statement of origin inside the file (C2PA): does it fit the file, and what does it say?

C2PA Technical Specification 2.1 (2024); IPTC NewsCodes, Digital Source Type (2023), for what a manifest calls generative.

Limits: most files have none, and services remove them: absence is not evidence. A valid signature says that nobody changed
the file or the statement since it was signed; whether the signer is to be believed is not judged here.
"""

import re

from forensics.analysis.container import GENERATIVE_SOURCE
from forensics.analysis.protocol import (
    Analysis,
    File,
    Finding,
    Measure,
    State,
    inconclusive,
    not_applicable,
    quoted,
)
from forensics.media.facts_types import Provenance
from forensics.media.provenance import TYPES

# What the file shows was changed after signing; other failures concern the statement itself, or its form.
CHANGED = re.compile(r"(?i)\b(dataHash|bmffHash|boxesHash|collectionHash)\.mismatch\b")
BROKEN, DECLARED, VALID = 2.0, 1.0, 0.0
LOOKED_IN = frozenset(name.lower() for name in TYPES)
# In a sentence; all are among the measures.
MAX_NAMED = 3


def examine(file: File) -> Finding:
    """Signature and hashes decide; then what a valid statement says of the file."""
    if file.provenance is None:
        if file.facts.c2pa_bytes:
            why = file.no_provenance or "it was not asked for"
            return inconclusive(
                f"A C2PA manifest store of {file.facts.c2pa_bytes} bytes is inside; not validated: {why}."
            )
        if file.facts.container.lower() not in LOOKED_IN:
            return not_applicable("C2PA manifests are looked for in JPEG, PNG, AVIF and MP4 (MOV) files alone.")
        return not_applicable("No C2PA manifest was found in the file; absence is not evidence.")
    found = file.provenance
    statistic, state = _weigh(found)
    return Finding(state, " ".join(_sentences(found)), _measures(found), statistic)


def _weigh(found: Provenance) -> tuple[float, State]:
    if not found.is_valid:
        return BROKEN, "inconsistent"
    if any(GENERATIVE_SOURCE.search(source) for source in found.sources):
        return DECLARED, "inconsistent"
    return VALID, "consistent"


def _sentences(found: Provenance) -> list[str]:
    by = f" by {quoted(found.generator)}" if found.generator else ""
    signer = f", signed by {quoted(found.signer)} as the certificate has it" if found.signer else ""
    when = f" at {quoted(found.signed_at)}" if found.signed_at else ""
    if found.is_valid:
        said = [f"The manifest was written{by}{signer}{when}; signature and hashes fit the file."]
    elif any(CHANGED.search(code) for code in found.failures):
        said = [f"The manifest was written{by}{signer}{when}, and the file was changed after it was signed."]
    else:
        why = _named(found.failures) or "the library does not say why"
        said = [f"The manifest was written{by}{signer}{when} and is not valid: {why}."]
    if found.sources:
        said.append(f"It declares its source as {_named(found.sources)}.")
    if found.actions:
        said.append(f"It lists the actions {_named(found.actions)}.")
    return said


def _named(texts: tuple[str, ...]) -> str:
    more = len(texts) - MAX_NAMED
    return ", ".join(quoted(text) for text in texts[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _measures(found: Provenance) -> dict[str, Measure]:
    return {
        "is_valid": found.is_valid,
        "failures": ", ".join(found.failures),
        "generator": found.generator,
        "signer": found.signer,
        "signer_is_trusted": None,  # no list of trusted signers is used
        "signed_at": found.signed_at,
        "actions": ", ".join(found.actions),
        "sources": ", ".join(found.sources),
        "ingredient_sources": ", ".join(found.ingredient_sources),
        "manifests": found.manifests,
        "library": found.library,
    }


ANALYSIS = Analysis[File](
    name="c2pa",
    title="Signed provenance (C2PA)",
    family="file",
    needs="file",
    question="Does a signed statement of origin inside the file fit the file, and what does it declare?",
    method=(
        "The manifest store is read and validated by the library of the Content Authenticity Initiative: signature, hashes "
        "of the file's bytes, form. Nothing is fetched, and the signer is not looked up in any list of trusted ones."
    ),
    citation="Coalition for Content Provenance and Authenticity: C2PA Technical Specification 2.1, 2024",
    limits=(
        "Absence is not evidence: most software writes no manifest, and most services remove it. Anybody can sign a "
        "statement with a certificate of their own; whether the signer is to be believed has to be found out elsewhere."
    ),
    benign=(
        "software without C2PA that saved, cropped or re-encoded the file keeps the manifest and breaks its hashes",
        "a declared generative source may be a filter or a fill in an otherwise real picture",
        "an expired certificate, or a manifest of a newer version of the standard",
    ),
    parameters={"remote_fetch": False, "trust_list": "none"},
    examine=examine,
)
