"""Tags that say what a file is, as a reader finds them in it."""

import av
import numpy as np
import pytest

from forensics.perturb.clip import recompress_clip
from generators.provenance import COMMENT, SourceType, synthetic_tags


@pytest.mark.parametrize("source_type", SourceType)
def test_tags_survive_in_an_mp4(tmp_path, source_type):
    tags = synthetic_tags("face swap,\nautoencoder, 64 px", source_type)
    frames = [(0.0, np.zeros((32, 32, 3), np.uint8))]
    recompress_clip(frames, tmp_path / "a.mp4", 30, metadata=tags)
    with av.open(str(tmp_path / "a.mp4")) as container:
        found = dict(container.metadata)
    assert {name: found[name] for name in tags} == tags
    assert "face swap, autoencoder, 64 px. " in found["description"]
    assert found["description"].endswith(f"http://cv.iptc.org/newscodes/digitalsourcetype/{source_type}")


def test_a_detail_cannot_break_the_line():
    description = synthetic_tags("a\x00b\x1b[2J\udcff\nc")["description"]
    assert description.isprintable()
    description.encode("utf-8")


def test_the_comment_fits_into_a_gif():
    assert COMMENT.isascii() and len(COMMENT) < 256
    assert COMMENT.startswith("Synthetic")
