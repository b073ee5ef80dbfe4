"""The published Keras files of MesoNet as plain arrays: HDF5 in, numpy out, no Keras and no code from the file.

Files: `Meso4_DF.h5`, `Meso4_F2F.h5`, `MesoInception_DF.h5`, `MesoInception_F2F.h5` (github.com/DariusAf/MesoNet,
Apache-2.0). Layers are known by their type and by the order of their numbers; each must have the shape that the paper
gives it. In the files 1 means *real*: the last layer's sign is turned here, so that 1 = fake as everywhere.

A file from the web is not trusted: it is small, and of it are read only contiguous floating-point arrays of the expected
shapes that lie in the file itself. Attributes, links and filters are not followed. What is left is the HDF5 library's own
parser, which runs in this process.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forensics.common.errors import UsageError, WeightsError

MESO4 = "meso4"
INCEPTION = "mesoinception4"
# The published files have 156 and 198 kB; Keras adds a few more with another layout.
MAX_FILE_BYTES = 4 << 20
HINT = "the published files are Meso4_DF.h5, Meso4_F2F.h5, MesoInception_DF.h5 and MesoInception_F2F.h5"
LAYER = re.compile(r"(conv2d|batch_normalization|dense)(?:_(\d{1,6}))?")

Shape = tuple[int, ...]
# (name in the network, shape of the Keras kernel: height, width, inputs, outputs) in the order of Keras' numbers.
CONVOLUTIONS: dict[str, list[tuple[str, Shape]]] = {
    MESO4: [
        ("convolutions.0", (3, 3, 3, 8)),
        ("convolutions.1", (5, 5, 8, 8)),
        ("convolutions.2", (5, 5, 8, 16)),
        ("convolutions.3", (5, 5, 16, 16)),
    ],
    INCEPTION: [
        ("convolutions.0.point", (1, 1, 3, 1)),
        ("convolutions.0.reduce.0", (1, 1, 3, 4)),
        ("convolutions.0.dilated.0", (3, 3, 4, 4)),
        ("convolutions.0.reduce.1", (1, 1, 3, 4)),
        ("convolutions.0.dilated.1", (3, 3, 4, 4)),
        ("convolutions.0.reduce.2", (1, 1, 3, 2)),
        ("convolutions.0.dilated.2", (3, 3, 2, 2)),
        ("convolutions.1.point", (1, 1, 11, 2)),
        ("convolutions.1.reduce.0", (1, 1, 11, 4)),
        ("convolutions.1.dilated.0", (3, 3, 4, 4)),
        ("convolutions.1.reduce.1", (1, 1, 11, 4)),
        ("convolutions.1.dilated.1", (3, 3, 4, 4)),
        ("convolutions.1.reduce.2", (1, 1, 11, 2)),
        ("convolutions.1.dilated.2", (3, 3, 2, 2)),
        ("convolutions.2", (5, 5, 12, 16)),
        ("convolutions.3", (5, 5, 16, 16)),
    ],
}
NORM_WIDTHS = {MESO4: (8, 8, 16, 16), INCEPTION: (11, 12, 16, 16)}
NORM_PARTS = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
LAST_MAP = (8, 8, 16)  # height, width, channels: what Keras flattens in this order
HIDDEN = 16


def read_keras(path: Path, kind: str) -> dict[str, NDArray[np.float32]]:
    """Arrays of a published file under the names and in the layout of `forensics.detectors.mesonet.MesoNet`.

    kind: MESO4 or INCEPTION. Raises UsageError where there is no file or no h5py, WeightsError where the file is not one
    of this network.
    """
    with _opened(path) as file:
        try:
            return _arrays(file, path, kind)
        except WeightsError:
            raise
        except Exception as error:  # whatever the parser finds in a file that was made to break it
            raise WeightsError(f"{path.name} cannot be read: {_one_line(error)}", HINT) from error


def kind_of(path: Path) -> str:
    """Which of the two networks' layers a file holds. Raises UsageError or WeightsError where it is neither."""
    with _opened(path) as file:
        try:
            found = [len(layers) for layers in _layers(file).values()]
        except Exception as error:
            raise WeightsError(f"{path.name} cannot be read: {_one_line(error)}", HINT) from error
    for kind, convolutions in CONVOLUTIONS.items():
        if found == [len(convolutions), len(NORM_WIDTHS[kind]), 2]:
            return kind
    counts = "{} convolutions, {} norms and {} dense layers".format(*found)
    raise WeightsError(f"{path.name} holds {counts}: neither Meso-4 nor MesoInception-4", HINT)


def _opened(path: Path) -> Any:
    """The file, read-only. Raises UsageError or WeightsError."""
    try:
        import h5py
    except ImportError as error:
        raise UsageError(
            f"{path.name}: reading Keras files needs h5py", "pip install 'deepfake-forensics[mesonet]'"
        ) from error
    if not path.is_file():
        raise UsageError(f"no weights file {path}", HINT)
    size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise WeightsError(f"{path.name} has {size} bytes, more than {MAX_FILE_BYTES}: not a file of MesoNet", HINT)
    try:
        return h5py.File(path, "r")
    except Exception as error:
        raise WeightsError(f"{path.name} is not a readable HDF5 file: {_one_line(error)}", HINT) from error


def _layers(file: Any) -> dict[str, list[str]]:
    """Names of the layers that have weights, by type, in the order of their numbers."""
    layers: dict[str, list[tuple[int, str]]] = {"conv2d": [], "batch_normalization": [], "dense": []}
    for name in file:
        match = LAYER.fullmatch(name)
        if match:
            layers[match[1]].append((int(match[2] or 0), name))
    return {kind: [name for _, name in sorted(found)] for kind, found in layers.items()}


def _arrays(file: Any, path: Path, kind: str) -> dict[str, NDArray[np.float32]]:
    layers = _layers(file)
    wanted = {"conv2d": len(CONVOLUTIONS[kind]), "batch_normalization": len(NORM_WIDTHS[kind]), "dense": 2}
    for layer, count in wanted.items():
        if len(layers[layer]) != count:
            raise WeightsError(f"{path.name} has {len(layers[layer])} layers {layer}, {kind} has {count}", HINT)

    def read(layer: str, part: str, shape: Shape) -> NDArray[np.float32]:
        return _array(file, path, (layer, layer, f"{part}:0"), shape)

    found: dict[str, NDArray[np.float32]] = {}
    for layer, (name, shape) in zip(layers["conv2d"], CONVOLUTIONS[kind], strict=True):
        found[f"{name}.weight"] = read(layer, "kernel", shape).transpose(3, 2, 0, 1)  # HWIO -> OIHW
        found[f"{name}.bias"] = read(layer, "bias", shape[-1:])
    for number, (layer, width) in enumerate(zip(layers["batch_normalization"], NORM_WIDTHS[kind], strict=True)):
        for part, ours in NORM_PARTS.items():
            found[f"norms.{number}.{ours}"] = read(layer, part, (width,))
        if (found[f"norms.{number}.running_var"] < 0).any():
            raise WeightsError(f"{path.name}: {layer} has a negative variance", HINT)
    hidden, output = layers["dense"]
    flat = int(np.prod(LAST_MAP))
    kernel = read(hidden, "kernel", (flat, HIDDEN)).reshape(*LAST_MAP, HIDDEN)
    found["hidden.weight"] = kernel.transpose(3, 2, 0, 1).reshape(HIDDEN, flat)  # HWC -> CHW in what is flattened
    found["hidden.bias"] = read(hidden, "bias", (HIDDEN,))
    # In the file 1 = real: sigmoid(-z) = 1 - sigmoid(z).
    found["output.weight"] = -read(output, "kernel", (HIDDEN, 1)).T
    found["output.bias"] = -read(output, "bias", (1,))
    return {name: np.ascontiguousarray(array) for name, array in found.items()}


def _array(file: Any, path: Path, parts: tuple[str, ...], shape: Shape) -> NDArray[np.float32]:
    """One array of the file, float32, after checking what it is. Raises WeightsError."""
    import h5py

    node = file
    for part in parts:
        # A soft or external link may lead out of the file; Keras writes hard ones.
        is_there = isinstance(node, h5py.Group) and isinstance(node.get(part, getlink=True), h5py.HardLink)
        if not is_there:
            raise WeightsError(f"{path.name} has no array {'/'.join(parts)}", HINT)
        node = node[part]
    shown = "/".join(parts)
    if not isinstance(node, h5py.Dataset) or node.shape != shape:
        raise WeightsError(f"{path.name}: {shown} has shape {getattr(node, 'shape', None)}, not {shape}", HINT)
    if node.dtype.kind != "f" or node.dtype.itemsize > 8:
        raise WeightsError(f"{path.name}: {shown} holds {node.dtype}, not floating-point numbers", HINT)
    if node.chunks is not None or node.is_virtual or node.external:
        raise WeightsError(f"{path.name}: {shown} is not stored as one piece of this file", HINT)
    array = np.asarray(node[()], np.float32)
    if not np.isfinite(array).all():
        raise WeightsError(f"{path.name}: {shown} holds values that are not finite", HINT)
    return array


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
