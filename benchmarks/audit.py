"""Measure the audit: time against a bare decode of the same files, and memory as the data grows.

    python benchmarks/audit.py [--data faces] [--repeats 2] [--small 10000] [--large 140000]

The data set is decoded by as many bare workers as the audit has, in the same run and in turn with
it. The large sets are small JPEGs made in a temporary folder. Every promise is checked against its
limit; the figures go to ``benchmarks/audit.json``.
"""

import argparse
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import joblib
import numpy as np
import psutil
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.data.folders import scan

CHUNK = 64
#: Promises: full audit against a bare decode; second audit against the first; peak memory in MiB,
#: and how much more of it the large set may take than the small one.
AT_MOST_DECODES, AT_LEAST_FASTER, AT_MOST_MIB, FLAT = 4.0, 20.0, 1536, 1.5


def decode(files: list[str]) -> int:
    total = 0
    for file in files:
        with Image.open(file) as image:
            total += np.asarray(image.convert("RGB")).shape[0]
    return total


def bare_decode(root: Path) -> float:
    """Return the seconds that decoding every file takes, and nothing else."""
    files = [str(root / name) for name in scan(root).images]
    parts = [files[i : i + CHUNK] for i in range(0, len(files), CHUNK)]
    pool = joblib.Parallel(n_jobs=joblib.cpu_count(), backend="loky", batch_size=1)
    pool(joblib.delayed(decode)(part) for part in parts[:4])  # the processes are there
    start = time.perf_counter()
    pool(joblib.delayed(decode)(part) for part in parts)
    return time.perf_counter() - start


def one_audit(root: str, faces: int) -> None:
    """Audit in this process and print what it took; peak memory is that of all its processes."""
    from deepfake_lab.auditing.survey import audit

    peak, over = [0], threading.Event()

    def watch() -> None:
        me = psutil.Process()
        while not over.wait(0.05):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            peak[0] = max(peak[0], total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    found = audit(root, faces=faces)
    seconds = time.perf_counter() - start
    over.set()
    watcher.join()
    tensorflow = "tensorflow" in sys.modules
    print(json.dumps({
        "seconds": round(seconds, 2), "peak_mib": round(peak[0] / 2**20),
        "images": len(found.dataset.manifest), "verdict": found.verdict,
        "findings": {fault.finding: fault.count for fault in found.faults},
        "imported_tensorflow": tensorflow,
    }))  # fmt: skip


def audited(root: Path, home: Path, faces: int = 3000) -> dict:
    """Audit in a fresh process, with the cache that lies in `home`; add the wall time of it all."""
    command = [sys.executable, __file__, "--one", str(root), "--faces", str(faces)]
    start = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | {"DEEPFAKE_LAB_HOME": str(home)}, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    result = json.loads(done.stdout.splitlines()[-1])
    return result | {"seconds_with_start": round(time.perf_counter() - start, 2)}


def against_decode(root: Path, repeats: int, work: Path) -> dict:
    runs = []
    for repeat in range(repeats):
        home = work / f"home{repeat}"
        before = bare_decode(root)
        first = audited(root, home)
        after = bare_decode(root)
        second = audited(root, home)
        bare = (before + after) / 2
        runs.append({
            "bare_decode_seconds": [round(before, 2), round(after, 2)],
            "first": first, "second": second,
            "decodes": round(first["seconds"] / bare, 2),
            "times_faster": round(first["seconds"] / second["seconds"], 1),
            "images_per_second": round(first["images"] / first["seconds"]),
            "bare_images_per_second": round(first["images"] / bare),
        })  # fmt: skip
        print(json.dumps(runs[-1] | {"first": first["seconds"], "second": second["seconds"]}))
    whole = audited(root, work / "home-all-faces", faces=0)
    bare = bare_decode(root)
    return {
        "data": root.name,
        "runs": runs,
        "decodes": median(run["decodes"] for run in runs),
        "times_faster": median(run["times_faster"] for run in runs),
        "faces_in_every_photo": whole | {"decodes": round(whole["seconds"] / bare, 2)},
    }


def make_files(folder: str, start: int, stop: int) -> None:
    """Write small JPEGs of smooth noise; every thousandth is nearly the one before."""
    for i in range(start, stop):
        rng = np.random.default_rng(i - 1 if i % 1000 == 999 else i)
        noise = rng.integers(0, 255, (12, 12, 3), np.uint8)
        image = Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC)
        label, split = ("real", "fake")[i // 2 % 2], ("train", "train", "valid", "test")[i // 4 % 4]
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=70 if i % 1000 == 999 else 85)
        Path(folder, split, label, f"{i:06d}.jpg").write_bytes(stream.getvalue())


def simulated(count: int, work: Path) -> dict:
    root = work / f"simulated{count}"
    for split in ("train", "valid", "test"):
        for label in ("real", "fake"):
            (root / split / label).mkdir(parents=True)
    jobs = (
        joblib.delayed(make_files)(str(root), start, min(start + 1000, count))
        for start in range(0, count, 1000)
    )
    joblib.Parallel(n_jobs=joblib.cpu_count(), backend="loky")(jobs)
    home = work / f"home{count}"
    first, second = audited(root, home), audited(root, home)
    size = (home / ".cache" / "facts.sqlite").stat().st_size
    shutil.rmtree(root)
    near = sum(n for name, n in first["findings"].items() if name.startswith("near duplicates"))
    result = {
        "images": count, "first": first, "second": second, "cache_mib": round(size / 2**20),
        "images_per_second": round(count / first["seconds"]),
        "near_duplicates_planted": 2 * (count // 1000), "near_duplicates_found": near,
    }  # fmt: skip
    print(json.dumps({"images": count, "first": first["seconds"], "peak_mib": first["peak_mib"]}))
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="faces")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--large", type=int, default=140_000)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--faces", type=int, default=3000, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        one_audit(options.one, options.faces)
        return 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        load = os.getloadavg()[0]
        result = {
            "machine": {
                "processor": platform.machine(), "workers": joblib.cpu_count(),
                "python": platform.python_version(), "load_before": round(load, 2),
            },
            "against_decode": against_decode(
                paths.data_folder(options.data), options.repeats, work
            ),
            "small": simulated(options.small, work),
            "large": simulated(options.large, work),
        }  # fmt: skip
    peaks = [result[size]["first"]["peak_mib"] for size in ("small", "large")]
    checks = {
        f"a full audit costs at most {AT_MOST_DECODES:g} bare decodes":
            result["against_decode"]["decodes"] <= AT_MOST_DECODES,
        f"a second audit is at least {AT_LEAST_FASTER:g} times faster":
            result["against_decode"]["times_faster"] >= AT_LEAST_FASTER,
        f"peak memory stays under {AT_MOST_MIB} MiB": max(peaks) < AT_MOST_MIB,
        f"the large set takes at most {FLAT:g} times the small one's": peaks[1] <= FLAT * peaks[0],
        "every planted near-duplicate is found": all(
            result[size]["near_duplicates_found"] == result[size]["near_duplicates_planted"]
            for size in ("small", "large")
        ),
    }  # fmt: skip
    result["checks"] = checks
    target = paths.project() / "benchmarks" / "audit.json"
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for promise, kept in checks.items():
        print(f"{'kept  ' if kept else 'BROKEN'} {promise}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
