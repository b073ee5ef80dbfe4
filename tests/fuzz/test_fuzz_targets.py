"""The fuzz targets on seeded mutations, the same every time; and under the fuzzer itself, where there is one."""

import re
import subprocess
import sys
from pathlib import Path

import fuzz_boxes
import fuzz_jpeg_markers
import numpy as np
import pytest

MUTATIONS = 2000
ADDRESS_SPACE_KB = 2 << 20
# About ten seconds each.
FUZZER_RUNS = 100_000
MIN_COVERAGE = 50
MAX_SEED_BYTES = 2048
LENGTHS = [value.to_bytes(width, "big") for value in (0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1) for width in (4, 8)
           if value < 256**width] + [b"\0\0", b"\0\1", b"\xff\xff"]  # fmt: skip
TARGETS = {"boxes": fuzz_boxes, "jpeg_markers": fuzz_jpeg_markers}


def mutated(seed: bytes, rng: np.random.Generator) -> bytes:
    """Cut off, bits turned over, a length field overwritten, or a part repeated."""
    data = bytearray(seed)
    kind = int(rng.integers(0, 4))
    if kind == 0:
        del data[int(rng.integers(0, len(data))) :]
    elif kind == 1:
        for _ in range(int(rng.integers(1, 20))):
            data[int(rng.integers(0, len(data)))] ^= 1 << int(rng.integers(0, 8))
    elif kind == 2:
        length = LENGTHS[int(rng.integers(0, len(LENGTHS)))]
        at = int(rng.integers(0, len(data)))
        data[at : at + len(length)] = length
    else:
        start, end = sorted(int(place) for place in rng.integers(0, len(data), 2))
        data[start:start] = data[start:end] * int(rng.integers(1, 6))
    return bytes(data)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_small_and_whole(name):
    for seed in TARGETS[name].seeds():
        assert len(seed) < MAX_SEED_BYTES
        TARGETS[name].target(seed)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", TARGETS)
def test_mutations(name):
    rng = np.random.default_rng(20)
    seeds = TARGETS[name].seeds()
    for number in range(MUTATIONS):
        data = seeds[number % len(seeds)]
        for _ in range(int(rng.integers(1, 4))):
            data = mutated(data or b"\0", rng)
        TARGETS[name].target(data)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", TARGETS)
def test_the_fuzzer_finds_nothing(name, tmp_path):
    pytest.importorskip("atheris", reason="atheris has no wheel for this platform")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(TARGETS[name].seeds()):
        (corpus / f"seed{number}").write_bytes(seed)
    script = str(Path(__file__).with_name(f"fuzz_{name}.py"))
    # The fuzzer takes the peak memory of pytest for its own (Linux hands it on through exec): its limit is replaced by one
    # of the address space.
    options = [f"-runs={FUZZER_RUNS}", "-seed=7", "-max_len=4096", "-timeout=25", "-rss_limit_mb=0"]
    limited = ["sh", "-c", f'ulimit -v {ADDRESS_SPACE_KB} && exec "$@"', "sh"]
    command = [*limited, sys.executable, script, *options, f"-artifact_prefix={tmp_path}/", str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    assert f"Done {FUZZER_RUNS} runs" in done.stderr
    # It sees where its inputs lead, or it would be guessing.
    assert max(int(found) for found in re.findall(r"cov: (\d+)", done.stderr)) >= MIN_COVERAGE
