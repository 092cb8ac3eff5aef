"""Measure the engine side by side with its peers: one photo, a folder, cold start, training.

    python benchmarks/engine.py [--model NAME] [--photos 10000] [--quick]

Peers are Keras in its usual forms, the bare LiteRT call, and OpenVINO and PyTorch where they are
installed (see ``engine_peers.py``). What is compared takes turns in one run. Every promise is
checked against its limit; the figures go to ``benchmarks/engine.json``, ratios first, and to the
chart ``figures/benchmark_engine.png``. The folder is made of copies of 140k where the environment
variable DEEPFAKE_LAB_DATA names the folder that holds it, and of the sample set.

Where the time of one 224 px photo goes, on one core (profiled): 65% are the network, 15% the face
finder, 10% Lanczos scaling of the crop, 6% reading and decoding, 4% Python. The bare engine does
the first two, so that a folder can reach at most about 85% of it where photos must be scaled, and
more where they come at the frame's size, as those of 140k do (256 px): hence both are measured.
"""

import argparse
import csv
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

import numpy as np
import psutil

from deepfake_lab import paths
from deepfake_lab.detection.detector import Detector
from deepfake_lab.litert import Graph, cores, make_interpreter
from deepfake_lab.overlap import GROUP
from deepfake_lab.photos import faces, images
from deepfake_lab.photos.squares import resize

SAMPLE = paths.project() / "data" / "sample"
PEERS = Path(__file__).with_name("engine_peers.py")
VERSIONS = ("ai-edge-litert", "tensorflow", "keras", "numpy", "pillow", "openvino", "torch")

#: name -> (limit, whether the figure must lie above it).
PROMISES = {
    "cold start: command / Keras": (1 / 5, False),
    "cold start of the command in seconds": (1.2, False),
    "score of one photo: engine / model.predict": (1 / 10, False),
    "score of one photo: engine / compiled Keras call": (1 / 2, False),
    "score of one photo: engine / bare LiteRT invoke": (1.15, False),
    "folder: command / bare engine, photos per second": (0.85, True),
    "folder: peak memory of the large one / of the small one": (1.10, False),
    "photos scored twice or lost after kill -9": (0, False),
    "largest difference of a logit, LiteRT and Keras": (1e-3, False),
    "transfer: naive epoch / cached epoch": (5, True),
    "transfer: difference of the validation AUCs": (0.01, False),
}


def peer(name: str, model: str, *more: str, backend: str = "tensorflow") -> dict:
    """Run one part in a process of its own and return the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, str(PEERS), name, "--model", model, *more],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "KERAS_BACKEND": backend},
        check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def command(model: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "deepfake_lab.cli", "predict", "--model", model, *arguments]


def first_line(arguments: list[str]) -> tuple[float, str]:
    """Return the seconds from process start until the verdict is printed, and the verdict."""
    start = time.perf_counter()
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    line = next(line for line in process.stdout if line.startswith("Classification"))
    seconds = time.perf_counter() - start
    process.communicate()
    return seconds, line.strip()


def watched(arguments: list[str]) -> tuple[float, float, str]:
    """Run a command: seconds from start to end, peak MiB, and what it printed."""
    start = time.perf_counter()
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    memory, peak = psutil.Process(process.pid).memory_info, 0
    try:
        while process.poll() is None:
            peak = max(peak, memory().rss)
            time.sleep(0.02)
    except psutil.NoSuchProcess:
        process.wait()
    assert process.returncode == 0, process.stdout.read()
    return time.perf_counter() - start, peak / 2**20, process.stdout.read()


def cold_start(model: str, runs: int) -> dict:
    photo = str(sorted(SAMPLE.rglob("*.jpg"))[-1])
    ways = {
        "command": command(model, photo),
        "keras": [sys.executable, str(PEERS), "answer", "--model", model, "--photo", photo],
        "python that does nothing": [sys.executable, "-c", "print('Classification')"],
    }
    # This run also brings the files into the page cache.
    peaks = {way: round(watched(arguments)[1]) for way, arguments in ways.items()}
    seen: dict[str, list] = {way: [] for way in ways}
    for _ in range(runs):
        for way, arguments in ways.items():
            seen[way].append(first_line(arguments))
    return {
        "seconds": {way: round(median(s for s, _ in got), 3) for way, got in seen.items()},
        "all_seconds": {way: [round(s, 3) for s, _ in got] for way, got in seen.items()},
        "peak_mib": peaks,
        "printed": {way: sorted({line for _, line in got}) for way, got in seen.items()},
    }


def in_turn(ways: dict, rounds: int, rest: float = 0.03) -> dict[str, float]:
    """Return the median milliseconds of each way; all take turns."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for i in range(rounds + 3):
        for way, work in ways.items():
            time.sleep(rest)  # until the threads of the one before have stopped spinning
            start = time.perf_counter()
            work()
            if i >= 3:
                times[way].append(1000 * (time.perf_counter() - start))
    return {way: round(median(values), 3) for way, values in times.items()}


def stages(detector: Detector, rounds: int) -> dict:
    """Return the milliseconds that each step of one 224 px photo takes on one core."""
    photo = str(sorted(SAMPLE.rglob("*.jpg"))[-1])
    pixels = images.read_image(photo)
    framed = detector.frame(photo)
    size = images.frame_size(detector.image_size)
    left, top, right, bottom = images.frame_face(pixels, size).box
    square = pixels[top:bottom, left:right]
    graph = Graph((detector.folder / "model.tflite").read_bytes())
    return in_turn({
        "read the file and decode it": lambda: images.read_image(photo),
        "find the face": lambda: faces.find_faces(pixels),
        "scale the crop": lambda: resize(square, size),
        "score": lambda: graph.run(framed.pixels, alone=False),
        "all, from the file to the answer": lambda: detector.judge([photo]),
    }, rounds, rest=0)  # fmt: skip


class Bare:
    """What the cores can do at most: face finder and model on decoded photos, nothing else."""

    def __init__(self, detector: Detector, files: list[Path]):
        self._photos = [images.read_image(file) for file in files]
        self._crops = [detector.frame(file).pixels[None].astype(np.float32) for file in files]
        self._model = (detector.folder / "model.tflite").read_bytes()

    def photos_per_second(self, count: int) -> float:
        """Return the speed of all cores together."""
        ready = threading.Barrier(cores() + 1)
        threads = [
            threading.Thread(target=self._work, args=(range(i, count, cores()), ready))
            for i in range(cores())
        ]
        for thread in threads:
            thread.start()
        ready.wait()
        start = time.perf_counter()
        for thread in threads:
            thread.join()
        return count / (time.perf_counter() - start)

    def _work(self, numbers: range, ready: threading.Barrier) -> None:
        interpreter = make_interpreter(self._model, threads=1)
        place = interpreter.get_input_details()[0]["index"]
        faces.find_faces(self._photos[0])  # this thread has its finder
        ready.wait()
        for start in range(0, len(numbers), GROUP):  # in groups, as the engine does: it is faster
            group = [i % len(self._photos) for i in numbers[start : start + GROUP]]
            for i in group:
                faces.find_faces(self._photos[i])
            for i in group:
                interpreter.set_tensor(place, self._crops[i])
                interpreter.invoke()


def sources() -> dict[str, list[Path]]:
    """Return the photos that folders are made of; what the checks look at comes first."""
    found = {"sample": sorted(SAMPLE.rglob("*.jpg"))}
    corpus = Path(os.environ.get("DEEPFAKE_LAB_DATA", ""), "140k", "real_vs_fake")
    if corpus.is_dir():
        found = {"140k": sorted(corpus.rglob("*.jpg")), **found}
    return found


def make_photos(files: list[Path], folder: Path, count: int) -> None:
    """Fill a folder with copies."""
    for i in range(count):
        target = folder / f"{i // 1000:03d}" / f"{i:06d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(files[i % len(files)], target)


def whole_folder(model: str, folder: Path, output: Path) -> tuple[float, float, str]:
    """Run the command on a folder: seconds from process start to its end, peak MiB, summary."""
    seconds, peak, said = watched(command(model, str(folder), "--out", str(output)))
    return seconds, peak, said.splitlines()[0]


def kill_and_resume(model: str, folder: Path, count: int, output: Path, whole: Path) -> dict:
    """Kill the command in the middle and start it again; compare with the run that was not."""
    part = output.with_name(f"{output.name}.part")
    process = subprocess.Popen(
        command(model, str(folder), "--out", str(output)), stdout=subprocess.DEVNULL
    )
    while not part.exists() or part.read_bytes().count(b"\n") < count // 2:
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = part.read_bytes().count(b"\n")
    seconds, _, said = whole_folder(model, folder, output)
    believed = int(re.search(r"\(([\d,]+) of them answered before", said)[1].replace(",", ""))
    with output.open(newline="", encoding="utf-8") as stream:
        rows = [row["path"] for row in csv.DictReader(stream)]
    return {
        "answered_when_killed": kept, "said_by_the_second_run": said.split(": ", 1)[1],
        "seconds_of_the_second_run": round(seconds, 1),
        "rows": len(rows), "twice_or_lost": abs(count - len(rows)) + len(rows) - len(set(rows)),
        "scored_again": kept - believed,
        "same_file_as_without_kill": output.read_bytes() == whole.read_bytes(),
    }  # fmt: skip


def throughput(detector: Detector, files: list[Path], folder: Path, count: int) -> dict:
    """Compare the command on a folder with the bare engine on the same photos, decoded."""
    make_photos(files, folder, count)
    bare = Bare(detector, files[:: max(1, len(files) // 400)])
    before = bare.photos_per_second(count // 2)
    output = folder.with_suffix(".csv")
    seconds, peak, said = whole_folder(str(detector.folder), folder, output)
    after = bare.photos_per_second(count // 2)
    return {
        "photos": count, "seconds": round(seconds, 1), "peak_mib": round(peak, 1),
        "photos_per_second": round(count / seconds, 1),
        "bare_photos_per_second": [round(before, 1), round(after, 1)],
        "of_bare": round(count / seconds / ((before + after) / 2), 3),
        "said": said.split(": ", 1)[1],
    }  # fmt: skip


def folders(model: str, detector: Detector, count: int, work: Path) -> dict:
    found = sources()
    name, files = next(iter(found.items()))
    large = throughput(detector, files, work / "large", count)
    make_photos(files, work / "small", count // 10)
    _, small_peak, _ = whole_folder(model, work / "small", work / "small.csv")
    others = {
        other: throughput(detector, more, work / other, count // 5)
        for other, more in found.items() if other != name
    }  # fmt: skip
    return {
        "copies_of": name, **large,
        "peak_mib": {f"{count // 10}": round(small_peak, 1), f"{count}": large["peak_mib"]},
        "peak_ratio": round(large["peak_mib"] / small_peak, 3),
        "kill": kill_and_resume(
            model, work / "large", count, work / "killed.csv", work / "large.csv"
        ),
        "others": others,
    }  # fmt: skip


def machine() -> dict:
    cpu = platform.processor() or platform.machine()
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        names = [x for x in facts.read_text().splitlines() if x.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    versions = {}
    for package in VERSIONS:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return {
        "processor": cpu, "cores": cores(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": platform.system(), "python": platform.python_version(), "versions": versions,
        "load_before": round(os.getloadavg()[0], 2),
    }  # fmt: skip


def compare(results: dict) -> tuple[dict, dict]:
    """Return the ratios, and for each promise whether it is kept."""
    cold, score = results["cold_start"]["seconds"], results["score_one_photo_ms"]
    folder, transfer = results["folder"], results["transfer"]
    ratios = {
        "cold start: command / Keras": cold["command"] / cold["keras"],
        "cold start of the command in seconds": cold["command"],
        "score of one photo: engine / model.predict": score["engine"] / score["model.predict"],
        "score of one photo: engine / compiled Keras call":
            score["engine"] / score["compiled Keras call"],
        "score of one photo: engine / bare LiteRT invoke":
            score["engine"] / score["bare LiteRT invoke"],
        "folder: command / bare engine, photos per second": folder["of_bare"],
        "folder: peak memory of the large one / of the small one": folder["peak_ratio"],
        "photos scored twice or lost after kill -9":
            folder["kill"]["twice_or_lost"] + folder["kill"]["scored_again"],
        "largest difference of a logit, LiteRT and Keras":
            max(part["largest_difference"] for part in results["parity"].values()),
        "transfer: naive epoch / cached epoch":
            transfer["naive"]["seconds_per_epoch"] / transfer["cached"]["seconds_per_epoch"],
        "transfer: difference of the validation AUCs":
            abs(transfer["naive"]["val_auc"] - transfer["cached"]["val_auc"]),
    }  # fmt: skip
    checks = {}
    for name, (limit, above) in PROMISES.items():
        kept = ratios[name] >= limit if above else ratios[name] <= limit
        checks[f"{name}: {'at least' if above else 'at most'} {limit:.4g}"] = bool(kept)
    return {name: float(f"{ratio:.4g}") for name, ratio in ratios.items()}, checks


def draw(results: dict, file: Path) -> None:
    """Draw what was measured, side by side."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cold = {k: v for k, v in results["cold_start"]["seconds"].items() if "python" not in k}
    panels = (
        ("one photo, score only: milliseconds", results["score_one_photo_ms"]),
        ("one photo from file to answer: milliseconds", results["end_to_end_ms"]),
        ("many crops: photos per second", results["crops_per_second"]),
        ("from process start to verdict: seconds", cold),
    )
    figure, axes = plt.subplots(2, 2, figsize=(11, 5.5), layout="constrained")
    for ax, (title, values) in zip(axes.flat, panels):
        names = list(values)
        colors = ["#0072B2" if name in ("engine", "command") else "#999999" for name in names]
        ax.barh(names, list(values.values()), color=colors)
        ax.bar_label(ax.containers[0], fmt="%.3g", padding=3, fontsize=8)
        ax.invert_yaxis()
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=8)
        ax.margins(x=0.15)
        ax.spines[["top", "right"]].set_visible(False)
    facts = results["machine"]
    figure.suptitle(f"Blue: this project. {facts['processor']}, {facts['cores']} cores", fontsize=9)
    figure.savefig(file, dpi=110)
    plt.close(figure)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="")
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--quick", action="store_true", help="try it out; writes no results")
    parser.add_argument(
        "--only", action="append", help="measure this part again and keep the others: "
        "cold, stages, speed, folder, parity, pipeline or transfer; may be given several times",
    )  # fmt: skip
    options = parser.parse_args()
    model = str(paths.model_folder(options.model) if options.model else paths.default_model())
    detector = Detector.load(model)
    rounds = 5 if options.quick else 40
    results: dict = {"machine": machine(), "model": detector.config["architecture"],
                     "image_size": detector.image_size}  # fmt: skip

    def note(**parts: dict) -> None:
        results.update(parts)
        print(json.dumps(parts), flush=True)

    count = 300 if options.quick else options.photos
    parts = {
        "cold": lambda: {"cold_start": cold_start(model, 1 if options.quick else 5)},
        "stages": lambda: {"where_the_time_goes": stages(detector, rounds)},
        "speed": lambda: peer("speed", model, "--rounds", str(rounds)),
        "folder": lambda: {"folder": folders(model, detector, count, Path(work))},
        "parity": lambda: {"parity": peer("parity", model)},
        "pipeline": lambda: {"training_input_photos_per_second": peer("pipeline", model)},
        "transfer": lambda: {
            "transfer": peer("transfer", model, "--epochs", "3" if options.quick else "10")
        },
    }
    target = Path(__file__).with_suffix(".json")
    if options.only:  # the other parts stay as the last run measured them
        results = json.loads(target.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as work:
        for part in options.only or parts:
            note(**parts[part]())
    ratios, checks = compare(results)
    for promise, kept in checks.items():
        print(f"{'kept  ' if kept else 'BROKEN'} {promise}")
    if not options.quick:
        results = {"ratios": ratios, "checks": checks} | {
            key: part for key, part in results.items() if key not in ("ratios", "checks")
        }
        target.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
        draw(results, paths.project() / "figures" / "benchmark_engine.png")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
