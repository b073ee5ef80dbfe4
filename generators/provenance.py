"""What says in a file that it is synthetic: tags of a clip, the comment of a GIF, texts of a PNG.

The tags name the IPTC's digital source type, the vocabulary that C2PA and news agencies use for how a picture came about
(NewsCodes scheme `digitalsourcetype`, https://cv.iptc.org/newscodes/digitalsourcetype/). Limits: whoever wants to can
strip a tag, and many platforms do so by themselves: a missing tag says nothing.
"""

import struct
import zlib
from collections.abc import Mapping
from enum import StrEnum

from forensics.common.text import terminal_line

SCHEME = "http://cv.iptc.org/newscodes/digitalsourcetype/"
TITLE = "Synthetic media"
# ASCII, as GIF89a has its comments.
COMMENT = "Synthetic: made or altered by software, not a recording. Made with forensics generate."

# Signature (8), then the chunk IHDR, which comes first: length (4), name (4), content (13), checksum (4).
PNG_SIGNATURE, PNG_HEADER_BYTES = b"\x89PNG\r\n\x1a\n", 33


class SourceType(StrEnum):
    """IPTC's terms for what the generators make."""

    TRAINED = "trainedAlgorithmicMedia"  # all of it drawn by a trained model
    COMPOSITE_TRAINED = "compositeWithTrainedAlgorithmicMedia"  # a recording with parts drawn by a trained model
    COMPOSITE = "compositeSynthetic"  # put together of several sources, at least one part of it synthetic

    @property
    def uri(self) -> str:
        """The term as metadata name it."""
        return SCHEME + self.value


def synthetic_tags(tool_detail: str, source_type: SourceType = SourceType.TRAINED) -> dict[str, str]:
    """Tags of a clip that MP4, MOV and Matroska keep: title, comment, description.

    tool_detail: one line on how it was made ("face swap by an autoencoder, 64 px"); it is made printable.
    """
    detail = terminal_line(" ".join(tool_detail.split()))
    return {
        "title": TITLE,
        "comment": COMMENT,
        "description": f"{detail}. Digital source type: {source_type.uri}",
    }


def tagged_png(data: bytes, tags: Mapping[str, str]) -> bytes:
    """A PNG with tags as international texts (W3C PNG, 11.3.3.4 iTXt) behind its header; pixels stay as they are.

    Names become PNG's keywords: title is Title. Raises ValueError for what is no PNG.
    """
    if not data.startswith(PNG_SIGNATURE) or data[12:16] != b"IHDR":
        raise ValueError("not a PNG")
    texts = b""
    for name, value in tags.items():
        # Keyword, not compressed (two bytes), no language, no translated keyword.
        body = b"iTXt" + name.capitalize().encode("latin-1") + b"\0\0\0\0\0" + value.encode("utf-8")
        texts += struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:PNG_HEADER_BYTES] + texts + data[PNG_HEADER_BYTES:]
