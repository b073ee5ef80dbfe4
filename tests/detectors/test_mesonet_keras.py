"""Keras files from the web: what fits is read, what does not is a typed error, and nothing leads out of the file."""

import sys

import numpy as np
import pytest
from keras_files import Arrays, keras_arrays, write_keras

from forensics.common.errors import UsageError, WeightsError
from forensics.detectors.mesonet_keras import MAX_FILE_BYTES, kind_of, read_keras

h5py = pytest.importorskip("h5py")

KINDS = ["meso4", "mesoinception4"]
KERNEL = "conv2d_6/conv2d_6/kernel:0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """The bytes of a good file."""
    return write_keras(tmp_path_factory.mktemp("good") / "m.h5", keras_arrays("meso4")).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_arrays_are_turned_into_the_network_s_layout(kind, tmp_path):
    arrays = keras_arrays(kind)
    path = write_keras(tmp_path / "m.h5", arrays)
    assert kind_of(path) == kind
    found = read_keras(path, kind)
    assert all(array.dtype == np.float32 for array in found.values())
    last = "conv2d_8" if kind == "meso4" else "conv2d_16"
    kernel = arrays[f"{last}/{last}/kernel:0"]
    assert found["convolutions.3.weight"][5, 7, 1, 4] == kernel[1, 4, 7, 5]
    dense = "dense_3" if kind == "meso4" else "dense_1"
    # Row 3, column 6, channel 9 of 8 x 8 x 16.
    row = arrays[f"{dense}/{dense}/kernel:0"][(3 * 8 + 6) * 16 + 9]
    np.testing.assert_array_equal(found["hidden.weight"].reshape(16, 16, 8, 8)[:, 9, 3, 6], row)


def test_other_numbers_are_the_same_layers(tmp_path):
    """A later Keras begins at no number at all; ten comes after nine."""
    arrays = keras_arrays("mesoinception4")

    def renamed(name: str) -> str:
        layer = name.split("/", maxsplit=1)[0]
        kind, _, number = layer.rpartition("_")
        new = kind if number == "1" else f"{kind}_{int(number) - 1}"
        return name.replace(layer, new)

    first = read_keras(write_keras(tmp_path / "a.h5", arrays), "mesoinception4")
    second = read_keras(write_keras(tmp_path / "b.h5", {renamed(k): v for k, v in arrays.items()}), "mesoinception4")
    assert all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_are_read(tmp_path, dtype):
    arrays = {name: values.astype(dtype) for name, values in keras_arrays("meso4").items()}
    found = read_keras(write_keras(tmp_path / "m.h5", arrays), "meso4")
    np.testing.assert_array_equal(found["hidden.bias"], arrays["dense_3/dense_3/bias:0"].astype(np.float32))


CHANGES = {
    "shape": (KERNEL, np.zeros((5, 5, 8, 9), np.float32), r"conv2d_6/conv2d_6/kernel:0 has shape \(5, 5, 8, 9\)"),
    "order": (KERNEL, np.zeros((8, 8, 5, 5), np.float32), "has shape"),
    "scalar": (KERNEL, np.float32(0), "has shape"),
    "integers": (KERNEL, np.zeros((5, 5, 8, 8), np.int64), "holds int64"),
    "complex": (KERNEL, np.zeros((5, 5, 8, 8), np.complex64), "holds complex64"),
    "text": (KERNEL, np.full((5, 5, 8, 8), b"abc"), "not floating-point"),
    "nan": (KERNEL, np.full((5, 5, 8, 8), np.nan, np.float32), "not finite"),
    "overflow": (KERNEL, np.full((5, 5, 8, 8), 1e300), "not finite"),
    "missing array": (KERNEL, None, "has no array conv2d_6/conv2d_6/kernel:0"),
    "variance": (
        "batch_normalization_7/batch_normalization_7/moving_variance:0",
        np.full(16, -0.5, np.float32),
        "batch_normalization_7 has a negative variance",
    ),
}


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_is_named(tmp_path, change):
    name, values, message = CHANGES[change]
    arrays: Arrays = keras_arrays("meso4")
    arrays.pop(name)
    if values is not None:
        arrays[name] = values
    path = write_keras(tmp_path / "m.h5", arrays)
    with pytest.raises(WeightsError, match=message) as caught:
        read_keras(path, "meso4")
    assert "m.h5" in caught.value.message
    assert "Meso4_DF.h5" in caught.value.hint


@pytest.mark.parametrize("dropped", ["conv2d_7", "batch_normalization_8", "dense_4"])
def test_a_missing_layer_is_named(tmp_path, dropped):
    arrays = {name: values for name, values in keras_arrays("meso4").items() if not name.startswith(dropped)}
    path = write_keras(tmp_path / "m.h5", arrays)
    with pytest.raises(WeightsError, match=f"layers {dropped.rpartition('_')[0]}, meso4 has"):
        read_keras(path, "meso4")
    with pytest.raises(WeightsError, match="neither Meso-4 nor MesoInception-4"):
        kind_of(path)


def test_an_additional_layer_is_another_network(tmp_path):
    extra = {"dense_9/dense_9/kernel:0": np.zeros((16, 1), np.float32)}
    path = write_keras(tmp_path / "m.h5", {**keras_arrays("meso4"), **extra})
    with pytest.raises(WeightsError, match="3 layers dense"):
        read_keras(path, "meso4")


def test_the_other_network_s_file_does_not_fit(tmp_path):
    path = write_keras(tmp_path / "m.h5", keras_arrays("mesoinception4"))
    with pytest.raises(WeightsError, match="16 layers conv2d, meso4 has 4"):
        read_keras(path, "meso4")


def replaced(path, make) -> None:
    """Put something else in the place of one array."""
    with h5py.File(path, "r+") as file:
        del file[KERNEL]
        make(file)


ZEROS = np.zeros((5, 5, 8, 8), np.float32)


def virtual(file) -> None:
    layout = h5py.VirtualLayout((5, 5, 8, 8), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "stolen", (5, 5, 8, 8))
    file.create_virtual_dataset(KERNEL, layout)


def shape_only(file) -> None:
    """Terabytes on paper, nothing on disk."""
    file.create_dataset(KERNEL, (1 << 20, 1 << 20, 8, 8), "f4", chunks=(1 << 10, 1 << 10, 1, 1))


TRICKS = {
    "external link": (lambda f: f.__setitem__(KERNEL, h5py.ExternalLink("other.h5", "stolen")), "has no array"),
    "soft link": (lambda f: f.__setitem__(KERNEL, h5py.SoftLink("/conv2d_7/conv2d_7/kernel:0")), "has no array"),
    "group": (lambda f: f.create_group(KERNEL), "has shape None"),
    "raw file": (
        lambda f: f.create_dataset(KERNEL, (5, 5, 8, 8), "f4", external=[("other.raw", 0, 6400)]),
        "not stored as one piece",
    ),
    "virtual": (virtual, "not stored as one piece"),
    "compressed": (lambda f: f.create_dataset(KERNEL, data=ZEROS, compression="gzip"), "not stored as one piece"),
    "enormous": (shape_only, "has shape"),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_nothing_leads_out_of_the_file_or_grows_when_it_is_read(tmp_path, trick, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make, message = TRICKS[trick]
    with h5py.File("other.h5", "w") as other:
        other["stolen"] = ZEROS
    (tmp_path / "other.raw").write_bytes(bytes(6400))
    path = write_keras(tmp_path / "m.h5", keras_arrays("meso4"))
    replaced(path, make)
    with pytest.raises(WeightsError, match=message):
        read_keras(path, "meso4")


def test_a_layer_that_is_an_array_is_refused(tmp_path):
    arrays = {name: values for name, values in keras_arrays("meso4").items() if not name.startswith("conv2d_5/")}
    path = write_keras(tmp_path / "m.h5", {**arrays, "conv2d_5": np.zeros(3, np.float32)})
    with pytest.raises(WeightsError, match="has no array conv2d_5/conv2d_5/kernel:0"):
        read_keras(path, "meso4")


def test_a_large_file_is_not_opened(tmp_path):
    path = tmp_path / "large.h5"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    for read in (kind_of, lambda p: read_keras(p, "meso4")):
        with pytest.raises(WeightsError, match="more than 4194304"):
            read(path)


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04" + bytes(1000)])
def test_what_is_no_hdf5_is_refused(tmp_path, content):
    path = tmp_path / "m.h5"
    path.write_bytes(content)
    for read in (kind_of, lambda p: read_keras(p, "meso4")):
        with pytest.raises(WeightsError, match=r"m\.h5 is not a readable HDF5 file"):
            read(path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path, whole, share):
    path = tmp_path / "m.h5"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match=r"m\.h5"):
        read_keras(path, "meso4")


def test_damaged_files_give_arrays_or_a_typed_error(tmp_path, whole):
    rng = np.random.default_rng(0)
    path = tmp_path / "m.h5"
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 40):
            data[place] = rng.integers(0, 256)
        path.write_bytes(bytes(data))
        try:
            found = read_keras(path, "meso4")
        except WeightsError:
            refused += 1
        else:
            assert all(np.isfinite(array).all() for array in found.values())
    assert refused > 0


def test_without_a_file_or_the_library_it_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"no weights file .*nowhere\.h5") as caught:
        kind_of(tmp_path / "nowhere.h5")
    assert "Meso4_DF.h5" in caught.value.hint
    with pytest.raises(UsageError, match="no weights file"):
        kind_of(tmp_path)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UsageError, match="needs h5py") as caught:
        kind_of(tmp_path / "m.h5")
    assert caught.value.hint == "pip install 'deepfake-forensics[mesonet]'"
