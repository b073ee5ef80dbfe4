"""Whole processes: how long `forensics --help` takes, and how much memory a scan takes as its clip grows.

    python tests/bench/bench_process.py --clip FILE [--copies 6]

Memory is the sum over the scanning process and its decoding children (proportional set size where the system tells it,
else resident), sampled while they run. The long clip is the given one, its packets repeated.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import psutil

FORENSICS = [sys.executable, "-c", "from forensics.cli import main; main()"]


def seconds_of(command, rounds=7):
    """Median and extremes of a command's wall time."""
    values = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        values.append(time.perf_counter() - started)
    return statistics.median(values), min(values), max(values)


def tree_mb(process=None):
    """Memory of a process (this one) and its children now, in MiB."""
    process = process or psutil.Process()
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            info = one.memory_full_info()
            total += getattr(info, "pss", 0) or info.rss
        except psutil.Error:
            continue
    return total / (1 << 20)


def peak_mb(command):
    """Greatest memory of a command and its children, in MiB."""
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0.0
    while process.poll() is None:
        peak = max(peak, tree_mb(process))
        time.sleep(0.05)
    return peak


def repeat_clip(source, target, copies):
    """The same packets `copies` times, timestamps moved on."""
    with av.open(str(target), "w") as out:
        stream, offset = None, 0
        for _ in range(copies):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                last = 0
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    last = max(last, packet.pts + (packet.duration or 1))
                    packet.pts, packet.dts, packet.stream = packet.pts + offset, packet.dts + offset, stream
                    out.mux(packet)
                offset += last


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=6)
    options = parser.parse_args()
    bare = seconds_of([sys.executable, "-c", "pass"])
    help_s = seconds_of([*FORENSICS, "--help"])
    print(f"{'':28}{'median s':>10}{'min':>8}{'max':>8}")
    for name, (median, low, high) in {"python -c pass": bare, "forensics --help": help_s}.items():
        print(f"{name:28}{median:10.3f}{low:8.3f}{high:8.3f}")
    with tempfile.TemporaryDirectory() as folder:
        long = Path(folder) / f"long{options.clip.suffix}"
        repeat_clip(options.clip, long, options.copies)
        for name, clip in {"the clip": options.clip, f"{options.copies} times as long": long}.items():
            print(f"peak memory, {name:20}{peak_mb([*FORENSICS, 'scan', '-q', str(clip)]):10.0f} MiB")


if __name__ == "__main__":
    main()
