"""Which software family a JPEG's quantisation tables are consistent with, and hints that it was saved again.

ITU-T T.81 (1992), Annex K, scaled as the Independent JPEG Group's library does; Kornblum: Using JPEG quantization
tables to identify imagery processed by software (Digital Investigation 5, 2008), who groups tables into standard,
extended, custom fixed and adaptive; Farid: Digital image ballistics from JPEG quantization (Dartmouth TR2006-583).

Limits: tables tell the last save only; makers share tables, and many phones use the library's own.
"""

from dataclasses import dataclass

import numpy as np

from forensics.analysis.protocol import Analysis, File, Finding, Measure, State, inconclusive, not_applicable
from forensics.media.facts_types import FileFacts, JpegFacts
from forensics.media.traits import IJG_CHROMA, quality_of_table

# Tables of the IJG fit exactly; rounding in some encoders changes single entries by one.
MAX_IJG_MISFIT = 0.02
# Cameras save for keeps: below this, a file that still has camera tags has most likely been made smaller since.
MIN_CAMERA_QUALITY = 90
# Cameras write Exif directly behind the start; JFIF in front of it is what libjpeg writes by itself (Exif 2.32, 4.7.1).
HINT = 1.0
# Hints of a second save are what every share and re-save leaves: no number of them is more than suspicious.
SUSPICIOUS_AT = 1.0
CAMERA_TAGS = ("exif.Make", "exif.Model")


@dataclass(frozen=True)
class Tables:
    """What the tables look like: family in words, quality of the luma and of the chroma table (None: no such table)."""

    family: str
    is_ijg: bool
    quality: int
    chroma_quality: int | None
    misfit: float


def tables_of(jpeg: JpegFacts, facts: FileFacts) -> Tables | None:
    """The family that a picture's tables are consistent with; None where it has none."""
    if not jpeg.tables or jpeg.quality is None or jpeg.misfit is None:
        return None
    chroma_quality, misfit = None, jpeg.misfit
    if len(jpeg.tables) > 1:
        chroma = np.array(jpeg.tables[1], np.int64)
        chroma_quality, chroma_misfit = quality_of_table(chroma, IJG_CHROMA)
        # Some encoders use the luma table, or one of its quality, for chroma too.
        misfit = max(misfit, min(chroma_misfit, quality_of_table(chroma)[1]))
    is_ijg = misfit <= MAX_IJG_MISFIT
    is_adobe = any(marker.holds in ("Ducky", "Photoshop") for marker in jpeg.markers)
    if is_ijg:
        family = f"the Independent JPEG Group's library at quality {jpeg.quality}"
    elif is_adobe:
        family = "Adobe Photoshop (custom tables beside its own segments)"
    elif any(name in facts.tags for name in CAMERA_TAGS):
        family = "a camera maker's own tables, or an editor's that kept the camera's tags"
    else:
        family = "custom tables of an editor, a camera or a web service"
    return Tables(family, is_ijg, jpeg.quality, chroma_quality, misfit)


def resave_hints(jpeg: JpegFacts, facts: FileFacts, tables: Tables) -> list[str]:
    """Sentences on what is unusual for a file straight from a camera; empty for one that does not claim to be that."""
    if not any(name in facts.tags for name in CAMERA_TAGS):
        return []
    hints = []
    if tables.is_ijg and tables.quality < MIN_CAMERA_QUALITY:
        hints.append(f"The camera's tags stand beside the library's standard tables at quality {tables.quality}.")
    segments = [marker.holds for marker in jpeg.markers if marker.name in ("APP0", "APP1")]
    if "JFIF" in segments and "Exif" in segments and segments.index("JFIF") < segments.index("Exif"):
        hints.append(
            "A JFIF segment stands in front of the camera's Exif segment, as libraries write it when they save again."
        )
    if jpeg.is_progressive:
        hints.append("The picture is stored progressively, which cameras do not do and web services do.")
    return hints


def examine(file: File) -> Finding:
    """Family and hints; the statistic is the number of hints."""
    jpeg = file.facts.jpeg
    if jpeg is None:
        return not_applicable(f"The container is {file.facts.container}, which has no JPEG tables.")
    tables = tables_of(jpeg, file.facts)
    if tables is None:
        return inconclusive("The file names no quantisation table for its first component.")
    hints = resave_hints(jpeg, file.facts, tables)
    statistic = HINT * len(hints)
    chroma = "" if tables.chroma_quality is None else f", chroma nearest to quality {tables.chroma_quality}"
    fit = f"luma nearest to quality {tables.quality}{chroma}, mean difference {tables.misfit:.2f}"
    measures: dict[str, Measure] = {
        "quality": tables.quality,
        "chroma_quality": tables.chroma_quality,
        "misfit": round(tables.misfit, 4),
        "is_ijg": tables.is_ijg,
        "subsampling": jpeg.subsampling,
        "is_progressive": jpeg.is_progressive,
        "hints": len(hints),
    }
    state: State = "suspicious" if statistic >= SUSPICIOUS_AT else "consistent"
    observation = " ".join([f"The tables are consistent with {tables.family} ({fit}).", *hints[:2]])
    return Finding(state, observation, measures, statistic)


ANALYSIS = Analysis(
    name="jpeg-tables",
    title="JPEG quantisation tables",
    family="compression",
    needs="file",
    question="Are the picture's quantisation tables those that its tags let one expect, or those of a later save?",
    method=(
        "Compares the tables with the Independent JPEG Group's scaled standard tables and with the segments "
        "beside them, and looks for "
        "camera tags beside the traces of a library that saved the picture again."
    ),
    citation=(
        "Kornblum, J. D. (2008). Using JPEG quantization tables to identify imagery processed by software. "
        "Digital Investigation 5, S21-S25."
    ),
    limits=(
        "Tables describe the last save only and say nothing of the picture's content. Many phones use the "
        "library's own tables, and "
        "whoever saves can choose any table."
    ),
    benign=(
        "The picture was resized, rotated, or shared by a service that keeps tags.",
        "The camera or phone uses the standard tables at a low quality setting.",
        "A tool that optimises files without loss stored the picture progressively.",
    ),
    parameters={
        "suspicious_at": SUSPICIOUS_AT,
        "max_ijg_misfit": MAX_IJG_MISFIT,
        "min_camera_quality": MIN_CAMERA_QUALITY,
    },
    examine=examine,
)
