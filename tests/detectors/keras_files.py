"""Files as Keras 2 wrote them for MesoNet, with random weights, and what their networks compute, in plain numpy."""

from pathlib import Path

import numpy as np
from scipy.signal import correlate2d

from forensics.detectors.mesonet_keras import CONVOLUTIONS, NORM_WIDTHS

Arrays = dict[str, np.ndarray]
# The published files begin to count where the authors' session stood.
FIRST = {"meso4": {"conv2d": 5, "batch_normalization": 5, "dense": 3}}


def keras_arrays(kind: str, seed: int = 1) -> Arrays:
    """Random arrays under the names of a published file."""
    rng = np.random.default_rng(seed)
    first = FIRST.get(kind, {"conv2d": 1, "batch_normalization": 1, "dense": 1})
    found: Arrays = {}

    def add(layer: str, **parts: np.ndarray) -> None:
        for part, values in parts.items():
            found[f"{layer}/{layer}/{part}:0"] = values.astype(np.float32)

    for number, (_, shape) in enumerate(CONVOLUTIONS[kind], start=first["conv2d"]):
        spread = 1.5 / np.sqrt(np.prod(shape[:3]))
        add(f"conv2d_{number}", kernel=rng.normal(0, spread, shape), bias=rng.normal(0, 0.1, shape[-1]))
    for number, width in enumerate(NORM_WIDTHS[kind], start=first["batch_normalization"]):
        add(
            f"batch_normalization_{number}",
            gamma=rng.uniform(0.1, 0.3, width),
            beta=rng.normal(0, 0.3, width),
            moving_mean=rng.normal(0.2, 0.1, width),
            # Some of them small, so that epsilon matters.
            moving_variance=rng.uniform(0.005, 0.3, width),
        )
    for number, shape in enumerate([(1024, 16), (16, 1)], start=first["dense"]):
        add(
            f"dense_{number}",
            kernel=rng.normal(0, 3 / np.sqrt(shape[0]), shape),
            bias=rng.normal(0, 0.2, shape[-1]),
        )
    return found


def write_keras(path: Path, arrays: Arrays) -> Path:
    """Write arrays as Keras does: one group per layer, attributes beside them."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["backend"] = b"tensorflow"
        file.attrs["layer_names"] = [name.split("/")[0].encode() for name in arrays]
        file.create_group("flatten_1").attrs["weight_names"] = []
        for name, values in arrays.items():
            file[name] = values
    return path


def keras_probability(kind: str, arrays: Arrays, picture: np.ndarray) -> float:
    """What Keras' predict gives for a picture (256, 256, 3) in [0, 1]: the probability of *real*."""
    layers = {k: sorted({n.split("/")[0] for n in arrays if n.startswith(k)}, key=_number) for k in FIRST["meso4"]}

    def of(layer: str, part: str) -> np.ndarray:
        return arrays[f"{layer}/{layer}/{part}:0"].astype(np.float64)

    convolutions = iter(layers["conv2d"])

    def conv(x: np.ndarray, rate: int = 1) -> np.ndarray:
        layer = next(convolutions)
        return np.maximum(_same(x, of(layer, "kernel"), rate) + of(layer, "bias"), 0)

    def inception(x: np.ndarray) -> np.ndarray:
        return np.concatenate([conv(x), *(conv(conv(x), rate) for rate in (1, 2, 3))], -1)

    x = picture.astype(np.float64)
    for number, (layer, pool) in enumerate(zip(layers["batch_normalization"], (2, 2, 2, 4), strict=True)):
        x = inception(x) if kind == "mesoinception4" and number < 2 else conv(x)
        scale = of(layer, "gamma") / np.sqrt(of(layer, "moving_variance") + 1e-3)
        x = (x - of(layer, "moving_mean")) * scale + of(layer, "beta")
        height, width, channels = x.shape
        x = x.reshape(height // pool, pool, width // pool, pool, channels).max((1, 3))
    hidden, output = layers["dense"]
    z = x.reshape(-1) @ of(hidden, "kernel") + of(hidden, "bias")
    z = np.where(z > 0, z, 0.1 * z)
    return float(1 / (1 + np.exp(-(z @ of(output, "kernel") + of(output, "bias"))))[0])


def _same(x: np.ndarray, kernel: np.ndarray, rate: int) -> np.ndarray:
    """Keras' convolution with 'same' padding: (H, W, inputs) by (h, w, inputs, outputs); `rate` spreads the kernel."""
    height, width, inputs, outputs = kernel.shape
    spread = np.zeros(((height - 1) * rate + 1, (width - 1) * rate + 1, inputs, outputs))
    spread[::rate, ::rate] = kernel
    return np.stack(
        [sum(correlate2d(x[..., i], spread[..., i, o], "same") for i in range(inputs)) for o in range(outputs)], -1
    )


def _number(layer: str) -> int:
    return int(layer.rpartition("_")[2])
