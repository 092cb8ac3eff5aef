"""Measure the web page: cold start, latency, load, mutated uploads, oversized uploads.

    python benchmarks/web.py [--model NAME] [--seconds 60] [--mutants 5000]

Every promise is checked against its limit; the figures go to ``benchmarks/web.json``.
"""

import argparse
import contextlib
import http.client
import io
import json
import os
import platform
import random
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import psutil
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.detection.detector import Detector

#: Answers before the first one that is timed: a server is asked for longer than its first second.
WARM_UP = 20

BOUNDARY = "3d1f0a6c5b"
SAMPLE = paths.project() / "data" / "sample"


def form(*files: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a form with the given (name, content) in the field 'photos'."""
    parts = b"".join(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="photos"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        + b"\r\n"
        for name, content in files
    )
    body = parts + f"--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def photo(form_name: str = "JPEG", side: int = 224, seed: int = 0, **options) -> bytes:
    """Return a sample face scaled to a square, with fine noise as a camera has it."""
    files = sorted(SAMPLE.rglob("*.jpg"))
    face = Image.open(files[seed % len(files)]).convert("RGB").resize((side, side))
    noise = np.random.default_rng(seed).normal(0, 3, (side, side, 3))
    pixels = np.clip(np.asarray(face) + noise, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form_name, **options)
    return stream.getvalue()


def mutants(number: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield damaged images: bits flipped, cut short, spliced with one another."""
    random_ = random.Random(seed)
    kinds = [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("GIF", {})]
    whole = [photo(kind, 96, i, **options) for i, (kind, options) in enumerate(kinds)]
    for i in range(number):
        data = bytearray(whole[i % len(whole)])
        how = random_.choice(("flip", "header", "cut", "splice", "repeat", "zero"))
        at = random_.randrange(len(data))
        if how == "flip":
            for _ in range(random_.choice((1, 4, 64))):
                data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
        elif how == "header":
            for _ in range(random_.choice((1, 3))):
                data[random_.randrange(min(64, len(data)))] = random_.randrange(256)
        elif how == "cut":
            del data[at:]
        elif how == "splice":
            other = random_.choice(whole)
            data[at:] = other[random_.randrange(len(other)) :]
        elif how == "repeat":
            data[at:at] = data[max(0, at - 200) : at] * random_.randrange(1, 50)
        else:
            data[at : at + 40] = bytes(len(data[at : at + 40]))
        yield how, bytes(data)


def huge_png(side: int = 50_000) -> bytes:
    """Return a small PNG file that claims to be very large."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(10_000_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


class Client:
    """A connection that stays open."""

    def __init__(self, port: int):
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def ask(self, body: bytes, headers: dict, path: str = "/api/predict") -> tuple[int, bytes]:
        """Return status and content of an answer."""
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        return response.status, response.read()


@contextlib.contextmanager
def server(model: str) -> Iterator[tuple[int, subprocess.Popen, float]]:
    """Run the page in a process of its own: port, process, and when it was started."""
    started = time.perf_counter()
    command = [sys.executable, str(paths.project() / "run.py"), "--port", "0"]
    process = subprocess.Popen(
        command + (["--model", model] if model else []), stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline()
        yield int(line.rsplit(":", 1)[1].strip().rstrip("/")), process, started
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def measure_cold_start(model: str, runs: int = 5) -> dict:
    """Return seconds from the command to the first answered upload."""
    times = []
    body, headers = form(("a.jpg", photo()))
    for _ in range(runs):
        with server(model) as (port, _, started):
            status, content = Client(port).ask(body, headers)
            assert status == 200, content
            times.append(time.perf_counter() - started)
    return {"seconds": [round(t, 2) for t in times], "median": round(median(times), 2), "limit": 3}


def measure_latency(port: int, detector: Detector, asks: int = 100) -> dict:
    """Return medians in milliseconds for a one-megapixel photo, asked in turn."""
    data = photo(side=1000, quality=90)
    body, headers = form(("a.jpg", data))
    client = Client(port)
    times: dict[str, list[float]] = {"detector": [], "/api/predict": [], "/answer": []}
    for i in range(asks + WARM_UP):
        for name in times:
            time.sleep(0.03)  # until the threads of the one before have stopped spinning
            start = time.perf_counter()
            if name == "detector":
                detector.predict(data)
            else:
                assert client.ask(body, headers, name)[0] == 200
            if i >= WARM_UP:
                times[name].append(1000 * (time.perf_counter() - start))
    medians = {name: round(median(values), 1) for name, values in times.items()}
    return {
        "bytes": len(data), "p50_ms": medians,
        "ratio_api": round(medians["/api/predict"] / medians["detector"], 2),
        "ratio_page": round(medians["/answer"] / medians["detector"], 2), "limit": 1.3,
    }  # fmt: skip


def measure_load(port: int, process: subprocess.Popen, seconds: float, clients: int = 8) -> dict:
    """Ask with several clients at once; every answer is compared with what one client got."""
    photos = [photo(side=side, seed=37 * side, quality=85) for side in (224, 400, 700, 1000)]
    forms = [form(("a.jpg", data)) for data in photos]
    alone = [Client(port).ask(*each) for each in forms]
    counts: Counter[str] = Counter()

    def work(number: int, until: float) -> None:
        client, i = Client(port), number
        while time.monotonic() < until:
            status, content = client.ask(*forms[i % len(forms)])
            same = status == 200 and content == alone[i % len(forms)][1]
            counts["same" if same else f"status {status}"] += 1
            i += 1

    def crowd(duration: float) -> None:
        until = time.monotonic() + duration
        threads = [threading.Thread(target=work, args=(n, until)) for n in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    crowd(min(10, seconds))  # until every thread of the server has its buffers
    counts.clear()
    memory = psutil.Process(process.pid).memory_info
    before = memory().rss
    crowd(seconds)
    time.sleep(1)
    after = memory().rss
    return {
        "clients": clients, "seconds": seconds, "answers": dict(counts),
        "answers_per_second": round(sum(counts.values()) / seconds, 1),
        "megabytes_before": round(before / 1e6), "megabytes_after": round(after / 1e6),
        "growth": round(after / before - 1, 4), "limit": 0.05,
    }  # fmt: skip


def measure_mutants(port: int, number: int) -> dict:
    """Send damaged images; then a good one must still be answered."""
    client, counts, slowest = Client(port), Counter(), 0.0
    for _, data in mutants(number):
        start = time.perf_counter()
        status, _ = client.ask(*form(("a.jpg", data)))
        slowest = max(slowest, time.perf_counter() - start)
        counts[str(status)] += 1
    good = client.ask(*form(("a.jpg", photo())))[0]
    return {
        "sent": number, "statuses": dict(counts), "slowest_seconds": round(slowest, 3),
        "limit": 2, "good_photo_after": good,
    }  # fmt: skip


def measure_oversized(port: int, process: subprocess.Popen) -> dict:
    """Send what is too large; the server must say so quickly and without taking memory for it."""
    memory = psutil.Process(process.pid).memory_info
    results = {}
    for name, data in {"png_50000": huge_png(), "body_100_mb": bytes(100_000_000)}.items():
        request = form(("a.png", data))
        before, start = memory().rss, time.perf_counter()
        status, content = Client(port).ask(*request)
        results[name] = {
            "status": status, "code": json.loads(content)["error"]["code"],
            "seconds": round(time.perf_counter() - start, 3),
            "megabytes_more": round((memory().rss - before) / 1e6, 1), "limit": 1,
        }  # fmt: skip
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--mutants", type=int, default=5000)
    options = parser.parse_args()
    detector = Detector.load(options.model or paths.default_model())
    results = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "model": detector.name}

    def note(name: str, result: dict) -> None:
        results[name] = result
        print(name, json.dumps(result), flush=True)

    note("cold_start", measure_cold_start(options.model))
    with server(options.model) as (port, process, _):
        note("latency", measure_latency(port, detector))
        note("oversized", measure_oversized(port, process))
        note("mutants", measure_mutants(port, options.mutants))
        note("load", measure_load(port, process, options.seconds))
    file = Path(__file__).with_suffix(".json")
    file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
