"""What a record and `forensics doctor` say of the machine and its software."""

import platform
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from forensics import __version__
from forensics.report.record import EnvironmentPart

LIBRARIES = (
    "torch", "torchvision", "timm", "facenet-pytorch", "opencv-python-headless", "av", "pillow", "numpy", "scipy",
    "scikit-learn", "c2pa-python",
)  # fmt: skip


@lru_cache
def library_versions() -> dict[str, str]:
    """Installed version per library; `missing` where there is none."""
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


@lru_cache
def ffmpeg_versions() -> dict[str, str]:
    """Version per FFmpeg library inside PyAV."""
    from forensics.media.build import ffmpeg_libraries

    return ffmpeg_libraries()


def describe_environment(device: str) -> EnvironmentPart:
    """The part of a record."""
    return EnvironmentPart(
        tool_version=__version__,
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        device=device,
        libraries=library_versions(),
        ffmpeg=ffmpeg_versions(),
    )
