"""The script that makes a video dev set: pieces of one length through one encode, and rows that join the right persons."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from forensics.common.clusters import clusters_of
from forensics.common.errors import ManifestError
from forensics.common.manifest import Item, read_manifest
from forensics.common.progress import Progress

SCRIPT = Path(__file__).parents[2] / "examples" / "video_dev.py"
FPS = 10


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("video_dev", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["video_dev"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def frames_of(count: int, grey_of: list[int], width: int = 128, height: int = 64) -> list[np.ndarray]:
    """The second that a frame is in shows in its brightness."""
    return [np.full((height, width, 3), grey_of[i // FPS], np.uint8) for i in range(count)]


def decoded(path: Path) -> tuple[list[float], list[float], tuple[str, int, int, dict[str, str]]]:
    """Times, mean brightness and (codec, width, height, metadata) of a clip."""
    times, greys = [], []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        shape = stream.codec_context.name, stream.width, stream.height, dict(container.metadata)
        for frame in container.decode(video=0):
            times.append(float(frame.time))
            greys.append(float(frame.to_ndarray(format="rgb24").mean()))
    return times, greys, shape


def test_sizes(script: ModuleType) -> None:
    assert script.reduced_size(1920, 1080, 1280) == (1280, 720)
    assert script.reduced_size(640, 361, 1280) == (640, 360)
    assert script.reduced_size(361, 4000, 1280) == (116, 1280)


def test_pieces_of_both_classes_differ_by_their_rows_alone(script: ModuleType, tmp_path: Path, clip_writer) -> None:
    greys = [40, 80, 120, 160, 200]
    clip_writer(tmp_path / "a.mp4", frames_of(45, greys), FPS)  # 4.5 s: two pieces of 2 s, and a rest of 0.5 s
    clip_writer(tmp_path / "a_swap.mp4", frames_of(50, greys), FPS, gop=3)  # another history, and a rest of 1 s
    clip_writer(tmp_path / "a_swap.mask.mp4", frames_of(50, [0, 255, 0, 255, 0]), FPS)
    items = [
        Item(tmp_path / "a.mp4", 0, dataset="d", source="a", identity="A"),
        Item(tmp_path / "a_swap.mp4", 1, "warp", "d", "b", "A", mask=str(tmp_path / "a_swap.mask.mp4")),
    ]
    encode = script.Encode(crf=26.0, longest_px=96, seconds=2.0)
    output = tmp_path / "set"
    script.build(items, output, encode, "dev", Progress(quiet=True))
    rows = read_manifest(output / "manifest.csv")
    assert [(row.label, row.split, row.identity, row.source) for row in rows] == [
        *[(0, "dev", "A", "a")] * 2, *[(1, "dev", "A", "b")] * 3,
    ]  # fmt: skip
    shapes = []
    for number, row in enumerate(rows):
        times, found, shape = decoded(row.path)
        shapes.append(shape)
        piece = number if row.label == 0 else number - 2
        assert len(times) == (20 if piece < 2 else 10)
        assert times == pytest.approx([i / FPS for i in range(len(times))], abs=1e-3)
        assert found[0] == pytest.approx(greys[2 * piece], abs=4)
        assert found[-1] == pytest.approx(greys[min(2 * piece + 1, 4)], abs=4)
    assert all(shape == shapes[0] for shape in shapes)
    assert shapes[0][:3] == ("h264", 96, 48)
    masks = [row.mask for row in rows]
    assert masks[:2] == ["", ""]
    assert decoded(output / masks[3])[1][-1] == pytest.approx(255, abs=2)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*.mp4")}
    script.build(items, output, encode, "dev", Progress(quiet=True))
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*.mp4")} == before


def test_copies_keep_names_and_times_and_lose_nothing_but_size_and_end(
    script: ModuleType, tmp_path: Path, clip_writer
) -> None:
    clip_writer(tmp_path / "a.mp4", frames_of(30, [40, 80, 120]), FPS)
    items = [Item(tmp_path / "a.mp4", 1, "warp", "d", "b", "A")]
    encode = script.Encode(longest_px=96, seconds=2.0)
    rows = script.copy_clips(items, tmp_path / "copies", encode, Progress(quiet=True))
    assert read_manifest(tmp_path / "copies" / "manifest.csv") == rows
    assert rows == [Item(tmp_path / "copies" / "a.mp4", 1, "warp", "d", "b", "A")]
    times, greys, shape = decoded(rows[0].path)
    assert shape[:3] == ("h264", 96, 48)
    assert times == pytest.approx([i / FPS for i in range(20)], abs=1e-3)
    assert greys == pytest.approx(decoded(tmp_path / "a.mp4")[1][:20], abs=1.01)
    before = rows[0].path.stat().st_mtime_ns
    assert script.copy_clips(items, tmp_path / "copies", encode, Progress(quiet=True)) == rows
    assert rows[0].path.stat().st_mtime_ns == before


def test_swaps_become_rows_of_their_target_and_join_both_persons(script: ModuleType) -> None:
    clips = [
        Item(Path(f"/{name}.mp4"), label, dataset=dataset, source=name)
        for name, label, dataset in (("a", 0, "x"), ("b", 0, "y"), ("c", 0, "y"), ("c_fake", 1, "y"))
    ]
    made = {"generator": "faceswap-warp", "dataset": script.GENERATED}
    swap = Item(Path("/a-in-b.mp4"), 1, source="b", identity="a", extra={"target": "b"}, **made)
    rows = script.as_one_set([*clips, swap], {"c_fake": "c"})
    assert [(row.dataset, row.source, row.identity) for row in rows] == [
        ("x", "a", "a"), ("y", "b", "b"), ("y", "c", "c"), ("y", "c_fake", "c"), ("y", "a", "b"),
    ]  # fmt: skip
    paths = [str(row.path) for row in rows]
    codes = clusters_of([row.source for row in rows], [row.identity for row in rows], paths).tolist()
    assert codes == [0, 0, 1, 1, 0]
    with pytest.raises(ManifestError, match="its target is no clip"):
        script.as_one_set([swap], {})


def test_a_trained_swap_is_joined_to_the_giver_that_is_named(script: ModuleType) -> None:
    clips = [Item(Path(f"/dfdc_real_{name}.mp4"), 0, dataset="d") for name in "ab"]
    swap = Item(
        Path("/s.mp4"), 1, "faceswap", script.GENERATED, "dfdc_real_b", "source", extra={"target": "dfdc_real_b"}
    )
    with pytest.raises(ManifestError, match="wears the face of 'source'") as caught:
        script.as_one_set([*clips, swap], {})
    assert "--worn source=NAME" in caught.value.hint
    rows = script.as_one_set([*clips, swap], {}, {"source": "dfdc_real_a"})
    assert [(row.source, row.identity) for row in rows] == [
        ("dfdc_real_a", "dfdc_real_a"), ("dfdc_real_b", "dfdc_real_b"), ("dfdc_real_a", "dfdc_real_b"),
    ]  # fmt: skip


def test_the_same_person_is_one_identity(script: ModuleType) -> None:
    clips = [
        Item(Path("/a.mp4"), 0, source="x", identity="I"), Item(Path("/b.mp4"), 0, source="x2", identity="I"),
        Item(Path("/c.mp4"), 0, source="y", identity="J"), Item(Path("/d.mp4"), 0, source="z"),
    ]  # fmt: skip
    rows = script.as_one_set(clips, {"x": "y", "z": "x", "y": "z", "gone": "x"})
    assert len({row.identity for row in rows}) == 1
    assert [row.identity for row in script.as_one_set(clips, {"z": "y"})] == ["I", "I", "J", "J"]


def test_two_clips_of_one_name(script: ModuleType, tmp_path: Path, clip_writer) -> None:
    items = []
    for label, name in enumerate(("originals", "fakes")):
        (tmp_path / name).mkdir()
        clip_writer(tmp_path / name / "a.mp4", frames_of(10, [50 + 100 * label]), FPS)
        items.append(Item(tmp_path / name / "a.mp4", label, source=name))
    rows = script.build(items, tmp_path / "set", script.Encode(seconds=1.0), "dev", Progress(quiet=True))
    assert [row.label for row in rows] == [0, 1]
    assert decoded(rows[0].path)[1][0] == pytest.approx(50, abs=4)
    assert decoded(rows[1].path)[1][0] == pytest.approx(150, abs=4)
    assert [row.path.name.split("-")[0] for row in rows] == ["real", "fake"]
    with pytest.raises(ManifestError, match="have one name"):
        script.as_one_set(items, {})
    with pytest.raises(ManifestError, match="listed twice"):
        script.build([items[0]] * 2, tmp_path / "set", script.Encode(), "dev", Progress(quiet=True))


def test_a_mask_lies_beside_its_manifest(script: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text("path,label,generator,mask\nclips/a.mp4,1,x,masks/a.mp4\n")
    (item,) = script.read_clips(path)
    assert Path(item.mask) == tmp_path / "masks" / "a.mp4"
    with pytest.raises(ManifestError, match="is missing"):
        script.build([item], tmp_path / "set", script.Encode(), "dev", Progress(quiet=True))


def test_pairs_are_of_real_clips_and_disjoint(script: ModuleType) -> None:
    items = [Item(Path(f"/{name}.mp4"), int(name == "f")) for name in "abfcde"]
    assert [(a.path.stem, b.path.stem) for a, b in script.pairs_of(items)] == [("a", "b"), ("c", "d")]


def test_errors_are_one_line_and_a_hint(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path / "none.csv"), "--list-pairs"]
    found = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert found.returncode == 1
    assert found.stderr.startswith("error: cannot read manifest")
    assert found.stderr.count("\n") == 2
    (tmp_path / "some.csv").write_text("path,label\n")
    command = [sys.executable, str(SCRIPT), str(tmp_path / "some.csv"), "--output", "o", "--same-person", "X"]
    found = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert found.returncode == 1
    assert found.stderr.startswith("error: --same-person X is not of the form A=B")
