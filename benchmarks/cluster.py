"""A folder of photos through this machine's threads and through a Dask cluster of its cores.

    python benchmarks/cluster.py

Both ways take turns on the same photos, in one run, so that whatever else the machine does meets
both. Then the command is run on a small folder and on a large one, for the peak memory of its
process, which is client and scheduler together; and names without photos pass through the planner
with scoring left out, for its own cost a photo and its memory. The figures go to
``benchmarks/cluster.json``.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil
from distributed import Client
from engine import SAMPLE, command, machine, make_photos, watched

from deepfake_lab.cluster import connected, spread
from deepfake_lab.detection.detector import Detector


def in_turn(detector: Detector, client: Client, files: list[str], rounds: int) -> dict:
    """Return the photos per second of both ways, round by round, and how they compare."""
    speeds: dict[str, list[float]] = {"threads": [], "cluster": []}
    size = len(files) // rounds
    differences = 0
    for i in range(rounds):
        part = files[i * size : (i + 1) * size]
        answers = {}
        for way, where in (("threads", None), ("cluster", client))[:: 1 if i % 2 else -1]:
            start = time.perf_counter()
            answers[way] = [
                getattr(one, "p_fake", None) for one in detector.stream(part, cluster=where)
            ]
            speeds[way].append(size / (time.perf_counter() - start))
        differences += sum(a != b for a, b in zip(*answers.values(), strict=True))
    ratios = [b / a for a, b in zip(speeds["threads"], speeds["cluster"])]
    return {
        "photos": size * rounds,
        "photos_per_second": {way: round(median(found), 1) for way, found in speeds.items()},
        "all_photos_per_second": {
            way: [round(speed, 1) for speed in found] for way, found in speeds.items()
        },
        "cluster_of_threads": round(median(ratios), 3),
        "answers_that_differ": differences,
    }


def peaks(model: str, counts: tuple[int, int], work: Path) -> dict:
    """Return the peak memory of the command, client and scheduler together, in MiB."""
    found = {}
    for count in counts:
        folder = work / f"{count}"
        make_photos(sorted(SAMPLE.rglob("*.jpg")), folder, count)
        more = ("--out", str(work / f"{count}.csv"), "--cluster", "local")
        seconds, peak, _ = watched(command(model, str(folder), *more))
        found[count] = {"seconds": round(seconds, 1), "peak_mib": round(peak, 1)}
    small, large = (found[count]["peak_mib"] for count in counts)
    return {"peaks": found, "large_of_small": round(large / small, 3)}


def nothing(names: list[str]) -> list[int]:
    """Do no work on names, but answer."""
    return [len(name) for name in names]


def planner(client: Client, count: int) -> dict:
    """Pass names without photos through the planner."""
    process = psutil.Process()
    names = (f"/photos/{i // 1000:06d}/{i:09d}.jpg" for i in range(count))
    memory = []
    start = time.perf_counter()
    for i, _ in enumerate(spread(client, nothing, names, lambda name, reason: 0)):
        if i % (count // 10) == count // 20:
            memory.append(round(process.memory_info().rss / 2**20, 1))
    seconds = time.perf_counter() - start
    return {
        "photos": count, "seconds": round(seconds, 1),
        "microseconds_per_photo": round(1e6 * seconds / count, 2),
        "memory_mib_at_each_tenth": memory, "last_of_first": round(memory[-1] / memory[0], 3),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="efficientnet")
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--memory", type=int, nargs=2, default=(2_000, 20_000))
    parser.add_argument("--names", type=int, default=10_000_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    options = parser.parse_args()
    results: dict = {"machine": machine()}

    def keep(part: str, found: dict) -> None:
        results[part] = found
        options.out.write_text(json.dumps(results, indent=1) + "\n")
        print(part, json.dumps(found), file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with connected("local") as client:
            keep("planner", planner(client, options.names))
        photos = work / "photos"
        make_photos(sorted(SAMPLE.rglob("*.jpg")), photos, options.photos)
        files = [str(file) for file in sorted(photos.rglob("*.jpg"))]
        detector = Detector.load(options.model)
        with connected("local") as client:
            list(detector.stream(files[:200], cluster=client))  # both have made their detectors
            list(detector.stream(files[:200]))
            keep("throughput", in_turn(detector, client, files, options.rounds))
        keep("memory", peaks(options.model, tuple(options.memory), work))
    results["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    keep("machine", results["machine"])


if __name__ == "__main__":
    main()
