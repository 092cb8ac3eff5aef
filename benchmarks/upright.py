"""Measure whether an answer depends on how a photo is turned or a head tilted.

    python benchmarks/upright.py [--data faces 140k] [--model efficientnet] [--photos 200]

The photos are test photos, as many real as fake, spread over the sources. Turned by 90, 180 and 270
degrees they are the same pixels in another order (as arrays, and through EXIF in files); tilted by
10 to 45 degrees they are drawn whole on a larger canvas in the colour of their border. Every
promise is checked against its limit; the figures go to ``benchmarks/upright.json``.
"""

import argparse
import io
import json
import sys
from collections.abc import Iterator

import numpy as np
import pandas as pd
from PIL import ExifTags, Image

from deepfake_lab import paths
from deepfake_lab.data.datasets import read_dataset
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.prediction import Prediction
from deepfake_lab.photos.images import read_image

TILTS = (10, 20, 30, 45)

#: What EXIF calls a picture whose pixels were turned clockwise by so many quarters.
ORIENTATIONS = {1: 8, 2: 3, 3: 6}

#: Formats that hold EXIF, each without a loss where it can.
FORMATS = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "JPEG": {"quality": 100, "subsampling": 0},
}

#: Promises: other verdicts after a turn; recall and false alarms after a tilt against upright.
OTHER_VERDICTS, RECALL_LOST, FALSE_ALARMS_MORE = 0.02, 0.03, 0.02


def spread(rows: pd.DataFrame, count: int) -> list[str]:
    """Return photos, as many of each source as there are, up to a count."""
    parts = [part.sample(frac=1, random_state=0) for _, part in rows.groupby("source")]
    order = pd.concat([part.assign(turn=range(len(part))) for part in parts])
    return order.sort_values("turn", kind="stable")["path"].head(count).astype(str).tolist()


def tilted(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """Return a photo tilted clockwise, all of it, on the colour of its border."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    color = tuple(int(value) for value in border.mean(axis=0))
    picture = Image.fromarray(pixels)
    return np.asarray(picture.rotate(-degrees, Image.Resampling.BICUBIC, True, fillcolor=color))


def with_exif(pixels: np.ndarray, quarters: int, form: str) -> bytes:
    """Return a file whose pixels are turned and whose EXIF says how to turn them back."""
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(pixels, -quarters)))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = ORIENTATIONS[quarters]
    stream = io.BytesIO()
    turned.save(stream, form, exif=exif, **FORMATS[form])
    return stream.getvalue()


def ask(detector: Detector, photos: Iterator) -> list[Prediction]:
    """Return the answers about photos that can all be read."""
    answers = list(detector.stream(photos))
    assert all(isinstance(answer, Prediction) for answer in answers)
    return answers


def fakes(answers: list[Prediction]) -> np.ndarray:
    """Return which photos are called fake."""
    return np.array([answer.verdict == "FAKE" for answer in answers])


def main() -> int:
    """Measure, write the figures, and return 1 where a promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["faces", "140k"])
    parser.add_argument("--model", default="efficientnet")
    parser.add_argument("--photos", type=int, default=200, help="of each label")
    parser.add_argument("--exif", type=int, default=40, help="photos of each label in every format")
    options = parser.parse_args()
    detector = Detector.load(options.model)
    rows = pd.concat([read_dataset(paths.data_folder(name)).manifest for name in options.data])
    rows = rows[rows["split"] == "test"]
    files = {
        label: spread(rows[rows["label"] == label], options.photos) for label in ("real", "fake")
    }
    photos = {label: [read_image(file) for file in some] for label, some in files.items()}
    upright = {label: fakes(ask(detector, iter(some))) for label, some in photos.items()}
    both = np.concatenate([upright["real"], upright["fake"]])
    result: dict = {
        "model": detector.name,
        "photos": {label: len(some) for label, some in photos.items()},
        "upright": {"false_alarms": _share(upright["real"]), "recall": _share(upright["fake"])},
        "turned": {}, "exif": {}, "tilted": {},
    }  # fmt: skip
    for quarters in (1, 2, 3):
        turned = [
            fakes(ask(detector, (np.ascontiguousarray(np.rot90(p, -quarters)) for p in some)))
            for some in photos.values()
        ]
        result["turned"][str(90 * quarters)] = {
            "other_verdict": _share(np.concatenate(turned) != both),
            "false_alarms": _share(turned[0]),
            "recall": _share(turned[1]),
        }
        print("turned", 90 * quarters, result["turned"][str(90 * quarters)], flush=True)
    few = [p for some in photos.values() for p in some[: options.exif]]
    for form in FORMATS:
        plain = fakes(ask(detector, (_saved(p, form) for p in few)))
        other = [
            fakes(ask(detector, (with_exif(p, quarters, form) for p in few))) != plain
            for quarters in ORIENTATIONS
        ]
        result["exif"][form] = {
            "photos": len(few) * 3,
            "other_verdict": _share(np.concatenate(other)),
        }
        print("exif", form, result["exif"][form], flush=True)
    for degrees in TILTS:
        answers = {
            label: ask(detector, (tilted(p, degrees) for p in some))
            for label, some in photos.items()
        }
        result["tilted"][str(degrees)] = {
            "false_alarms": _share(fakes(answers["real"])),
            "recall": _share(fakes(answers["fake"])),
            "face_found": _share([a.face_found for some in answers.values() for a in some]),
            "no_caveat": _share([not a.caveats for some in answers.values() for a in some]),
        }
        print("tilted", degrees, result["tilted"][str(degrees)], flush=True)
    flat = result["upright"]
    turns = [*result["turned"].values(), *result["exif"].values()]
    result["checks"] = checks = {
        f"turned, at most {OTHER_VERDICTS:.0%} of the verdicts are others":
            max(row["other_verdict"] for row in turns) <= OTHER_VERDICTS,
        f"tilted, the recall is at most {RECALL_LOST} lower": all(
            row["recall"] >= flat["recall"] - RECALL_LOST - 1e-9
            for row in result["tilted"].values()
        ),
        f"tilted, the false alarms are at most {FALSE_ALARMS_MORE} more": all(
            row["false_alarms"] <= flat["false_alarms"] + FALSE_ALARMS_MORE + 1e-9
            for row in result["tilted"].values()
        ),
    }  # fmt: skip
    target = paths.project() / "benchmarks" / "upright.json"
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result["upright"]))
    for promise, kept in checks.items():
        print(f"{'kept  ' if kept else 'BROKEN'} {promise}")
    return 0 if all(checks.values()) else 1


def _saved(pixels: np.ndarray, form: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **FORMATS[form])
    return stream.getvalue()


def _share(hits: np.ndarray | list[bool]) -> float:
    return round(float(np.mean(hits)), 4)


if __name__ == "__main__":
    sys.exit(main())
