"""How long a control of the notebooks takes to follow its slider, in milliseconds.

    python benchmarks/sliders.py

Wall clock from a slider's new value to the picture that it shows, median and slowest of the moves,
beside the cheapest thing that could be done: a matplotlib figure of two panels drawn from nothing.
The detector is the shipped `efficientnet`, on a photo of the sample set. Writes `sliders.json`.
"""

import io
import json
import time
from pathlib import Path
from statistics import median

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from ipywidgets import FloatSlider, IntSlider, Widget
from PIL import Image

from deepfake_lab import Detector, read_dataset
from deepfake_lab.course import controls, controls_trust
from deepfake_lab.environment import describe


def slider_of(control: Widget) -> Widget:
    """Return the first slider below a control."""
    if isinstance(control, (IntSlider, FloatSlider)):
        return control
    found = (slider_of(child) for child in getattr(control, "children", ()))
    return next((slider for slider in found if slider is not None), None)


def milliseconds(move, values) -> dict[str, float]:
    taken = []
    for value in values:
        start = time.perf_counter()
        move(value)
        taken.append(1000 * (time.perf_counter() - start))
    return {"median": round(median(taken), 1), "slowest": round(max(taken), 1)}


def set_to(slider: Widget):
    return lambda value: setattr(slider, "value", value)


def redrawn(value: float) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(8, 4))
    for ax in axes:
        ax.plot(np.linspace(0, value, 100))
    figure.savefig(io.BytesIO(), format="png")
    plt.close(figure)


def main() -> None:
    test = read_dataset("sample").manifest.query("split == 'test'")
    photo = np.asarray(Image.open(test["path"].iloc[0]).convert("RGB").resize((128, 128)))
    detector = Detector.load("efficientnet")
    answers = detector.predict_many(test)
    wear = controls_trust.Wear(detector, np.asarray(Image.open(test["path"].iloc[0])))
    lab, designer = controls.compression_lab(photo), controls.filter_designer(photo)
    found = {
        "a figure of two panels from nothing": milliseconds(redrawn, range(1, 21)),
        "01: JPEG quality": milliseconds(set_to(slider_of(lab)), range(10, 95, 5)),
        "02: a number of the filter": milliseconds(
            set_to(slider_of(designer)), np.linspace(-8, 8, 21).round(1).tolist()
        ),
        "04: threshold": milliseconds(
            set_to(controls_trust.Thresholds(answers).threshold), np.linspace(0, 1, 21)
        ),
        "05: JPEG quality, the detector asked": milliseconds(
            set_to(wear.quality), range(90, 5, -10)
        ),
    }
    for what, taken in found.items():
        print(f"{what}: {taken['median']} ms, at the slowest {taken['slowest']} ms")
    record = {"milliseconds": found, "environment": describe()}
    file = Path(__file__).with_suffix(".json")
    file.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
