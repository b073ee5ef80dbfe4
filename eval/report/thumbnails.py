"""Small pictures of files for a page, decoded in the limited child process as every untrusted file is."""

from collections.abc import Sequence
from pathlib import Path

from forensics.common.errors import MediaError
from forensics.common.progress import Progress
from forensics.media.reader import MediaReader
from forensics.media.types import MediaLimits, Sample, Sampling
from forensics.report.pictures import data_uri

MAX_PX = 160
# A page holds a hundred of them; at this quality a face of 160 px takes about 6 kB.
JPEG_QUALITY = 80
# A thumbnail is a courtesy: nobody waits ten minutes for one.
MAX_WALL_S = 30.0
# One sample lies at the middle of a clip's presentation time.
MIDDLE = Sampling(fps=1.0, max_frames=1)


def thumbnails_of(
    paths: Sequence[Path], limits: MediaLimits | None = None, progress: Progress | None = None
) -> dict[str, str]:
    """JPEG data URIs, at most MAX_PX on the longer side, of pictures or of the frame in the middle of clips.

    Keys are str(path). A file that cannot be read is left out. limits: of decoding; 30 s per file and the usual memory
    where not given.
    """
    uris: dict[str, str] = {}
    chosen = limits or MediaLimits(max_wall_s=MAX_WALL_S)
    unique = list(dict.fromkeys(paths))
    with (
        MediaReader(chosen, threads=1) as reader,
        (progress or Progress(quiet=True)).task("thumbnails", len(unique)) as bar,
    ):
        for path in unique:
            uri = _thumbnail(reader, path)
            if uri is not None:
                uris[str(path)] = uri
            bar(1)
    return uris


def _thumbnail(reader: MediaReader, path: Path) -> str | None:
    samples: list[Sample] = []
    try:
        with reader.open(path, MIDDLE) as stream:
            samples.extend(stream)  # to its end: a child that is left early is started anew for the next file
    except MediaError:
        if not samples:
            return None
    return data_uri(samples[0].pixels, MAX_PX, JPEG_QUALITY) if samples else None
