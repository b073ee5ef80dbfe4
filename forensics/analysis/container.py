"""What a file's container and metadata say of its history: software that wrote it, statements that contradict each other.

SWGDE, Best Practices for Image Authentication (2018) and for Digital Forensic Video Analysis (2022): structure and
metadata; Gloe, Fischer, Kirchner: Forensic analysis of video file formats (Digital Investigation 11, 2014): boxes and
their order follow the software; IPTC NewsCodes, Digital Source Type (2023): declared generative pictures.

Limits: whoever can write a file can write its metadata, and most services remove it: nothing follows from what is
absent.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePath

from forensics.analysis.protocol import Analysis, File, Finding, State, quoted
from forensics.media.facts_types import Box, FileFacts

# How much a trace weighs; the heaviest one is the statistic. A note is harmless, an ordinary trace has an everyday cause.
NOTE, ORDINARY, CONTRADICTION = 0.0, 1.0, 2.0

# Software that makes or exchanges faces or whole pictures: names that no prose holds by chance, and names that are
# words too.
MAKERS = (
    "Stable Diffusion", "StableDiffusion", "ComfyUI", "AUTOMATIC1111", "InvokeAI", "NovelAI", "Midjourney", "OpenAI",
    r"DALL[-·. ]?E ?[23]?", "Adobe Firefly", "Made with Google AI", "DeepFaceLab", "DeepFaceLive", "FaceFusion", "roop",
    "faceswap", "FaceApp", "SimSwap", "Deepswap", "Wav2Lip", "SadTalker", "HeyGen", "RunwayML",
)  # fmt: skip
MAKERS_THAT_ARE_WORDS = ("Imagen", "Reface", "Synthesia", "D-ID", "Sora", "Runway", "Grok", "Firefly")
# Editors in which people change what a picture or clip shows.
EDITORS = (
    "Adobe Photoshop", "Photoshop", "Lightroom", "Adobe Premiere", "After Effects", "GIMP", "Paint Shop", r"Paint\.NET",
    "Affinity", "Snapseed", "PicsArt", "Pixlr", "Picasa", "Canva", "Krita", "Capture One", "darktable", "CapCut", "InShot",
    "KineMaster", "iMovie", "Final Cut", "DaVinci", "Vegas", "VirtualDub", "Avidemux",
)  # fmt: skip
# Encoders and services that nearly every clip on the web has passed: they say that it is not straight from a camera, no
# more.
ENCODERS = (
    "ImageMagick", "GraphicsMagick", "FFmpeg", r"Lavf[\d.]*", r"Lavc[\d.]*", "x264", "x265", "HandBrake", "MEncoder", "VLC",
    "GPAC", "Google", "YouTube", "TikTok", "Instagram", "WhatsApp", "Facebook", r"XviD\d*", r"DivX\d*",
)  # fmt: skip
# Tags that name software, and tags of prose (titles, comments), which may hold any word by chance.
SOFTWARE_TAGS = re.compile(
    r"(?i)\.(software|processingsoftware|creatortool|softwareagent|encoder|encoding[_ ]?tool|handler_name|signature"
    r"|hostcomputer|writing_application|creator|source)$"
)
PROSE_TAGS = re.compile(
    r"(?i)\.(comment|usercomment|description|imagedescription|title|copyright|artist|author|credit)$"
)
# Keys that only front ends of generative models write.
GENERATION_TAGS = ("generation.settings", "png.parameters", "png.sd-metadata", "png.invokeai_metadata", "png.Dream")
# IPTC's words for pictures that a trained model made, wholly or in parts.
GENERATIVE_SOURCE = re.compile(r"(?i)trainedAlgorithmicMedia")
CAMERA_TAGS = ("exif.Make", "exif.Model", "container.com.apple.quicktime.make", "container.com.android.version")
# Front ends' graphs: a workflow is JSON of nodes.
COMFY_NODE = re.compile(r'"(class_type|inputs|nodes|last_node_id)"')

# Local time is written where UTC belongs by many cameras: 14 hours is the farthest zone; and a day's worth of slack.
CLOCK_SLACK = timedelta(hours=26)
# Durations: the last frame's length and rounding; edit lists change the movie's duration, not the media's.
DURATION_SLACK_S, DURATION_SLACK = 1.0, 0.1
EXTENSIONS = {
    "jpeg": {"jpg", "jpeg", "jpe", "jfif"},
    "png": {"png", "apng"},
    "webp": {"webp"},
    "gif": {"gif"},
    "bmp": {"bmp", "dib"},
    "tiff": {"tif", "tiff"},
    "avif": {"avif"},
    "mov": {"mp4", "m4v", "mov", "3gp", "3g2", "qt", "f4v", "m4a"},
    "matroska": {"mkv", "webm", "mka"},
    "avi": {"avi"},
    "mpegts": {"ts", "mts", "m2ts"},
    "mpeg": {"mpg", "mpeg", "vob"},
    "flv": {"flv"},
    "asf": {"wmv", "asf"},
    "ogg": {"ogv", "ogg"},
}
PICTURES = frozenset({"jpeg", "png", "webp", "gif", "bmp", "tiff", "avif"})
# What cameras and phones put behind a picture: a second picture, a motion photo, their own trailer, padding.
USUAL_TRAILING = ("JPEG", "video", "Samsung trailer", "zeros")
# Fewer bytes than this behind the end are a stray line end or padding.
MIN_TRAILING_BYTES = 16


@dataclass(frozen=True)
class Trace:
    """One thing that was found: what it weighs (NOTE, ORDINARY, CONTRADICTION) and a full sentence on it."""

    weight: float
    sentence: str


def software_traces(tags: Mapping[str, str]) -> Iterator[Trace]:
    """Names of software in the tags that name software, one trace for each tag that has one."""
    for name, value in tags.items():
        if name in GENERATION_TAGS or (name in ("png.prompt", "png.workflow") and COMFY_NODE.search(value)):
            yield Trace(CONTRADICTION, f"The tag {name} is one that front ends of generative models write.")
        elif name == "xmp.DigitalSourceType" and GENERATIVE_SOURCE.search(value):
            yield Trace(CONTRADICTION, f"The tag {name} declares a generative source ({quoted(value)}).")
        elif (is_software := bool(SOFTWARE_TAGS.search(name))) or PROSE_TAGS.search(name):
            maker = _named(MAKERS_PATTERN, value) or (_named(WORDS_PATTERN, value) if is_software else None)
            editor = _named(EDITORS_PATTERN, value) if is_software else None
            encoder = _named(ENCODERS_PATTERN, value) if is_software else None
            if maker:
                yield Trace(CONTRADICTION, f"The tag {name} names {maker}, which makes or exchanges pictures or faces.")
            elif editor:
                yield Trace(ORDINARY, f"The tag {name} names {editor}, an editor ({quoted(value)}).")
            elif encoder:
                yield Trace(NOTE, f"The tag {name} names {encoder}: the file was encoded again after its recording.")


def time_traces(facts: FileFacts) -> Iterator[Trace]:
    """Modification before creation by more than time zones explain."""
    for box in facts.boxes:
        created, modified = (_time(box.fields.get(f"{what}_time", "")) for what in ("creation", "modification"))
        if created and modified and created - modified > CLOCK_SLACK:
            yield Trace(
                CONTRADICTION,
                f"The box {box.path} says that it was modified at {modified:%Y-%m-%d %H:%M} and created later, "
                f"at {created:%Y-%m-%d %H:%M} UTC.",
            )
    taken, changed = (_time(facts.tags.get(f"exif.{what}", "")) for what in ("DateTimeOriginal", "DateTime"))
    if taken and changed and taken - changed > CLOCK_SLACK:  # programs that correct only one of them are common
        yield Trace(
            ORDINARY,
            f"EXIF says that the picture was changed at {changed:%Y-%m-%d %H:%M} and taken later, at "
            f"{taken:%Y-%m-%d %H:%M}.",
        )


def duration_traces(facts: FileFacts) -> Iterator[Trace]:
    """A video track's own duration against what its packets span; nothing of damaged, fragmented or very long files."""
    packets = facts.packets
    is_fragmented = any(box.kind in ("moof", "mvex") for box in facts.boxes)
    if packets is None or len(packets.times_s) < 2 or packets.is_cut_short or is_fragmented or facts.problems:
        return
    span = max(packets.times_s) - min(packets.times_s)
    span += span / (len(packets.times_s) - 1)
    for said in _video_durations(facts.boxes):
        if said and all(abs(duration - span) > DURATION_SLACK_S + DURATION_SLACK * span for duration in said):
            yield Trace(
                CONTRADICTION,
                f"A video track says that it lasts {said[0]:.1f} s and its {len(packets.sizes)} packets last "
                f"{span:.1f} s.",
            )


def name_traces(container: str, name: str) -> Iterator[Trace]:
    """The extension of the file's name against what its bytes are."""
    extension = PurePath(name).suffix.lower().lstrip(".")
    usual = EXTENSIONS.get(container)
    kinds = {kind for kind, names in EXTENSIONS.items() if extension in names}
    if usual is None or not kinds or extension in usual:
        return
    is_other_kind = not any((kind in PICTURES) == (container in PICTURES) for kind in kinds)
    weight = CONTRADICTION if is_other_kind else ORDINARY
    yield Trace(weight, f"The name ends in .{extension}, its bytes are of the container {container}.")


def trailing_traces(facts: FileFacts) -> Iterator[Trace]:
    """Bytes behind a picture's end."""
    if facts.jpeg is not None and facts.jpeg.trailing_bytes >= MIN_TRAILING_BYTES:
        kind, size = facts.tags.get("jpeg.trailing", "unknown"), f"{facts.jpeg.trailing_bytes} bytes"
    elif "png.trailing" in facts.tags:
        size, _, kind = facts.tags["png.trailing"].partition(", ")
    else:
        return
    weight = NOTE if kind in USUAL_TRAILING else CONTRADICTION if kind in ("archive", "PDF") else ORDINARY
    yield Trace(weight, f"Behind the end of the picture there are {size} (of the kind: {kind}).")


def examine(file: File) -> Finding:
    """All traces, the heaviest deciding."""
    facts = file.facts
    traces = [
        *software_traces(facts.tags),
        *time_traces(facts),
        *duration_traces(facts),
        *name_traces(facts.container, file.name),
        *trailing_traces(facts),
    ]
    traces.sort(key=lambda trace: -trace.weight)
    statistic = max((trace.weight for trace in traces), default=0.0)
    has_camera = any(name in facts.tags for name in CAMERA_TAGS)
    measures: dict[str, float | int | str | bool | None] = {
        "tags": len(facts.tags),
        "boxes": len(facts.boxes),
        "editor_traces": sum(trace.weight == ORDINARY for trace in traces),
        "contradictions": sum(trace.weight == CONTRADICTION for trace in traces),
        "has_camera_tags": has_camera,
        "c2pa_bytes": facts.c2pa_bytes,
        "problems": len(facts.problems),
    }
    notes = [trace.sentence for trace in traces[:2]]
    if not facts.tags and not traces:
        notes = [f"The file holds no tags and {len(facts.boxes)} boxes; absence is not evidence."]
    elif not traces:
        notes = [
            f"None of {len(facts.tags)} tags names an editor or a generator, and no two statements contradict each other."
        ]
    if facts.c2pa_bytes:
        notes.append(f"A C2PA manifest store of {facts.c2pa_bytes} bytes is inside: see signed provenance.")
    elif facts.tags and not has_camera:
        notes.append(
            f"None of {len(facts.tags)} tags names a camera, from which nothing follows: absence is not evidence."
        )
    state: State = "consistent"
    if statistic >= CONTRADICTION:
        state = "inconsistent"
    elif statistic >= ORDINARY:
        state = "suspicious"
    elif not facts.tags and not facts.boxes:
        state = "inconclusive"
    return Finding(state, " ".join(notes), measures, statistic)


def _words(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(rf"(?i)(?<![a-z0-9])(?:{'|'.join(names)})(?![a-z])")


MAKERS_PATTERN, WORDS_PATTERN = _words(MAKERS), _words(MAKERS_THAT_ARE_WORDS)
EDITORS_PATTERN, ENCODERS_PATTERN = _words(EDITORS), _words(ENCODERS)


def _named(pattern: re.Pattern[str], value: str) -> str | None:
    found = pattern.search(value)
    return found[0] if found else None


def _time(text: str) -> datetime | None:
    """A time as boxes (UTC) or EXIF (local) write it; None for anything else."""
    for pattern in ("%Y-%m-%dT%H:%M:%SZ", "%Y:%m:%d %H:%M:%S"):
        try:
            return datetime.strptime(text, pattern).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _video_durations(boxes: tuple[Box, ...]) -> list[list[float]]:
    """Of each track whose handler is `vide`: seconds of its media, and of what an edit list leaves of it."""
    durations = []
    clock = next((float(box.fields.get("timescale", 0)) for box in boxes if box.path == "moov/mvhd"), 0.0)
    for track in (box for box in boxes if box.path == "moov/trak"):
        inside = [box for box in boxes if track.offset < box.offset < track.offset + track.size]
        if not any(box.kind == "hdlr" and box.fields.get("handler_type") == "vide" for box in inside):
            continue
        media = [float(box.fields["duration_s"]) for box in inside if box.kind == "mdhd" and "duration_s" in box.fields]
        edited = [float(box.fields.get("duration", 0)) / clock for box in inside if box.kind == "tkhd" and clock > 0]
        durations.append([duration for duration in (*media, *edited) if duration > 0])
    return durations


ANALYSIS = Analysis(
    name="container",
    title="Container and metadata",
    family="file",
    needs="file",
    question="Does what the file says of its own making contradict itself or name software that makes or changes pictures?",
    method=(
        "Reads the tags of EXIF, XMP, PNG and streams and the boxes of the container, looks up names of known "
        "software, and compares "
        "statements that should agree: times of creation and modification, durations and packets, extension and "
        "content, end of file."
    ),
    citation=(
        "Gloe, T., Fischer, A., Kirchner, M. (2014). Forensic analysis of video file formats. Digital "
        "Investigation 11, S68-S76."
    ),
    limits=(
        "Metadata cannot be relied upon in isolation: anyone can write, copy or remove it. Absence of tags is "
        "not evidence. Only the "
        "software in the table is known by name."
    ),
    benign=(
        "An editor was used to crop, to develop a raw file or to export.",
        "A messenger, a web service or an archive re-encoded the file and wrote its own name.",
        "A camera's clock was wrong or was set between two statements.",
        "The file was renamed, or saved by a program that appends data of its own.",
    ),
    parameters={
        "suspicious_at": ORDINARY,
        "inconsistent_at": CONTRADICTION,
        "clock_slack_h": CLOCK_SLACK.total_seconds() / 3600,
        "duration_slack_s": DURATION_SLACK_S,
        "duration_slack": DURATION_SLACK,
        "min_trailing_bytes": MIN_TRAILING_BYTES,
    },
    examine=examine,
)
