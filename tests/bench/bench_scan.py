"""Scan of a clip against decoding it once, and against the way such scanners are usually written; ratios in one process.

    python tests/bench/bench_scan.py --data FOLDER_WITH_CLIPS [--rounds 3]

(a) decode    every frame of the clip, decoded by PyAV with the same threads, none converted
(b) usual     the same samples; facenet-pytorch's MTCNN.detect with its own defaults at full resolution on each sampled
              frame, one by one; an eager call of the same network for each face, one by one
    scan      what `forensics scan` does after start-up: decode in a child process, faces, tracks, scores, verdict

Rounds are interleaved; the medians and the ratios of medians are printed, and how many of (b)'s faces scan found.
"""

import argparse
import statistics
import time
import warnings
from pathlib import Path

import av
import numpy as np
import torch

from forensics.config import ScanConfig
from forensics.detectors.cnn_network import NetworkDetector, load_network
from forensics.detectors.model_set import load_model_set
from forensics.faces.canonical import crop_face
from forensics.faces.types import iou
from forensics.scan import Scanner

CLIPS = ("dfdc_real_a.mp4", "street_crowd.mp4")
MIN_FACE_PX, MIN_CONFIDENCE, SAME_FACE_IOU = 60, 0.95, 0.5


def decode(path, threads):
    """(a): number of frames."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "AUTO", threads
        return sum(1 for _ in container.decode(stream))


def usual(path, times, detector, network, threads):
    """(b): faces per sample as (box, confidence), with a score for each that is thrown away."""
    wanted, found = list(times), []
    with av.open(str(path)) as container, torch.inference_mode():
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "AUTO", threads
        start = None
        for frame in container.decode(stream):
            start = frame.time if start is None else start
            if not wanted or frame.time - start < wanted[0] - 1e-4:
                continue
            wanted.pop(0)
            pixels = frame.to_ndarray(format="rgb24")
            boxes, confidences, landmarks = detector.detect(pixels, landmarks=True)
            faces = []
            for box, confidence, points in zip(boxes, confidences, landmarks, strict=True) if boxes is not None else ():
                try:
                    network.score([crop_face(pixels, points)])
                except ValueError:
                    continue
                faces.append((box, float(confidence)))
            found.append(faces)
    return found


def recall(reference, record, times):
    """How many of the reference's large, sure faces the record holds at the same time, and how many there are."""
    ours = {t: [] for t in times}
    for track in record.tracks:
        for sample in track.samples:
            ours[sample.timestamp_s].append(np.array(sample.box))
    hits = total = 0
    for time_s, faces in zip(times, reference, strict=True):
        for box, confidence in faces:
            if confidence < MIN_CONFIDENCE or min(box[2] - box[0], box[3] - box[1]) < MIN_FACE_PX:
                continue
            total += 1
            hits += any(iou(box, other) >= SAME_FACE_IOU for other in ours[time_s])
    return hits, total


def sample_times(path):
    """The timestamps that a scan at default sampling looks at."""
    from forensics.media.reader import MediaReader
    from forensics.media.types import Sampling

    with MediaReader() as reader, reader.open(path, Sampling()) as stream:
        return [sample.timestamp_s for sample in stream]


def run(path, rounds, yunet):
    """Time everything on one clip and print a table."""
    from facenet_pytorch import MTCNN

    threads = torch.get_num_threads()
    times = sample_times(path)
    model_set, folder = load_model_set()
    network = NetworkDetector(load_network(model_set, folder, "cnn", folded=False), torch.device("cpu"))
    detector = MTCNN(keep_all=True, post_process=False, device="cpu")
    configs = {"scan": ScanConfig(device="cpu")}
    if yunet:
        configs["scan, YuNet"] = ScanConfig(device="cpu", face_detector="yunet", face_model=yunet)
    scanners = {name: Scanner(config) for name, config in configs.items()}
    took = {name: [] for name in ("(a) decode", "(b) usual", *scanners)}
    records, reference = {}, []
    for scanner in scanners.values():
        scanner.scan(path, explain=False)  # start-up and warm-up, not counted
    decode(path, threads)
    for number in range(rounds):
        started = time.perf_counter()
        decode(path, threads)
        took["(a) decode"].append(time.perf_counter() - started)
        for name, scanner in scanners.items():
            started = time.perf_counter()
            records[name] = scanner.scan(path, explain=False).record
            took[name].append(time.perf_counter() - started)
        if number < max(1, rounds // 2 + 1):  # slow and steady: half the rounds are enough
            started = time.perf_counter()
            reference = usual(path, times, detector, network, threads)
            took["(b) usual"].append(time.perf_counter() - started)
    for scanner in scanners.values():
        scanner.close()
    seconds = {name: statistics.median(values) for name, values in took.items()}
    print(f"\n{path.name}: {len(times)} samples, {threads} threads, {rounds} rounds")
    heads = (("", 14), ("median s", 10), ("min", 8), ("max", 8), ("x (a)", 8), ("(b) / it", 10), ("faces of (b)", 18))
    print("".join(f"{text:>{width}}" for text, width in (*heads, ("detected/tracked", 18))))
    for name, values in took.items():
        line = f"{name:14}{seconds[name]:10.2f}{min(values):8.2f}{max(values):8.2f}"
        line += f"{seconds[name] / seconds['(a) decode']:8.2f}{seconds['(b) usual'] / seconds[name]:10.2f}"
        if name in records:
            hits, total = recall(reference, records[name], times)
            by = [sample.found_by for track in records[name].tracks for sample in track.samples]
            found, ways = (
                f"{hits}/{total} = {100 * hits / max(total, 1):.1f} %",
                (by.count("detected"), by.count("tracked")),
            )
            line += f"{found:>18}{f'{ways[0]}/{ways[1]}':>18}"
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with clips/ and models/yunet/")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", nargs="*", default=CLIPS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    yunet = options.data / "models" / "yunet" / "yunet_n_dynamic.onnx"
    for name in options.clips:
        run(options.data / "clips" / name, options.rounds, yunet if yunet.is_file() else None)


if __name__ == "__main__":
    main()
