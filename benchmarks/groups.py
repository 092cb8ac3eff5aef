"""Measure what several faces in one photo do to false alarms, and to the fakes that are found.

    python benchmarks/groups.py [--data faces 140k] [--model efficientnet] [--photos 100]

Photos are composed of portraits of the test splits, those of one photo of one source: real ones
alone, and real ones with one fake among them. Each is a JPEG that the detector is asked about as
about any other. Beside the prior that falls with the number of faces stands what the prior
for one face would have said. The promise is checked against its limit; the figures go to
``benchmarks/groups.json``.
"""

import argparse
import io
import json
import sys

import numpy as np
import pandas as pd
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.data.datasets import read_dataset
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.prediction import Prediction

FACES = (1, 2, 3, 5, 10)

#: Side of a portrait in the composed photo, in pixels.
SIDE = 256

#: Promise: at most this share of photos of real people is called fake.
MOST_FALSE_ALARMS = 0.10


def compose(files: list[str]) -> bytes:
    """Return portraits side by side, in rows of five at most, as a JPEG."""
    columns = min(5, len(files))
    rows = -(-len(files) // columns)
    photo = Image.new("RGB", (columns * SIDE, rows * SIDE), (110, 110, 110))
    for place, file in enumerate(files):
        picture = Image.open(file).convert("RGB")
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        photo.paste(picture, (place % columns * SIDE, place // columns * SIDE))
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=92)
    return stream.getvalue()


def asked(detector: Detector, photos: list[bytes]) -> dict:
    """Return which share of photos is called fake, with either prior."""
    answers = [answer for answer in detector.stream(photos) if isinstance(answer, Prediction)]
    return {
        "photos": len(answers),
        "faces_found": round(float(np.mean([len(answer.faces) for answer in answers])), 2),
        "fake": round(float(np.mean([answer.verdict == "FAKE" for answer in answers])), 4),
        "fake_at_the_prior_of_one": round(
            float(
                np.mean([(detector.probability(answer.logit) >= 0.5).item() for answer in answers])
            ),
            4,
        ),
    }


def main() -> int:
    """Measure, write the figures, and return 1 where the promise is broken."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", default=["faces", "140k"])
    parser.add_argument("--model", default="efficientnet")
    parser.add_argument("--photos", type=int, default=100, help="of each kind")
    options = parser.parse_args()
    detector = Detector.load(options.model)
    manifests = [read_dataset(paths.data_folder(name)).manifest for name in options.data]
    rows = pd.concat([rows[rows["split"] == "test"] for rows in manifests])
    real, fake = (rows[rows["label"] == label] for label in ("real", "fake"))
    sources = sorted(real["source"].unique())
    by_source = {source: real.loc[real["source"] == source, "path"].tolist() for source in sources}
    result: dict = {"model": detector.name, "sources": sources, "real": {}, "one_fake": {}}
    for count in FACES:
        rng = np.random.default_rng(count)
        groups = []
        for number in range(options.photos):
            own = by_source[sources[number % len(sources)]]
            groups.append([str(own[i]) for i in rng.choice(len(own), count, replace=False)])
        result["real"][str(count)] = asked(detector, [compose(files) for files in groups])
        fakes = fake["path"].iloc[rng.choice(len(fake), options.photos, replace=False)]
        for files, path in zip(groups, fakes):
            files[rng.integers(count)] = str(path)
        result["one_fake"][str(count)] = asked(detector, [compose(files) for files in groups])
        print(count, result["real"][str(count)], result["one_fake"][str(count)], flush=True)
    worst = max(row["fake"] for row in result["real"].values())
    result["checks"] = {
        f"at most {MOST_FALSE_ALARMS:.0%} of photos of real people are called fake, however many "
        "they are": worst <= MOST_FALSE_ALARMS
    }
    target = paths.project() / "benchmarks" / "groups.json"
    target.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    for promise, kept in result["checks"].items():
        print(f"{'kept  ' if kept else 'BROKEN'} {promise}")
    return 0 if all(result["checks"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
