"""What all tests share: pictures in the public domain, clips that the test draws, one thread for torch."""

import os
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

# Processes of tests side by side share the cores: torch's threads would only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")


@pytest.fixture(scope="session")
def examples() -> Path:
    """The folder of the shipped example clips."""
    return Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For a module of networks and arrays so small that threads cost more than they bring: `usefixtures("one_thread")`."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Real development data; tests that need them skip where they are not."""
    folder = os.environ.get("FORENSICS_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("FORENSICS_DATA is not set: real data are not on this machine")
    return Path(folder)


def write_clip(path: Path, frames: list[np.ndarray], fps: int = 25, codec: str = "libx264", gop: int = 12) -> Path:
    """Encode (H, W, 3) uint8 RGB frames; one encoder thread, so that the bytes repeat."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def clip_writer():
    """`write_clip` as a fixture."""
    return write_clip


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """A public-domain portrait with one frontal face: (512, 512, 3) uint8 RGB."""
    data = pytest.importorskip("skimage.data", reason="scikit-image's pictures are not installed")
    return np.ascontiguousarray(data.astronaut())
