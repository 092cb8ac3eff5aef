"""A trained model -> a run folder with everything that an answer and a report need."""

import os
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from deepfake_lab import environment, paths
from deepfake_lab.data import seen
from deepfake_lab.data.datasets import Dataset
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.judgement import ANSWER_COLUMNS
from deepfake_lab.detection.runfolder import checksums
from deepfake_lab.evaluation.appendix import write_json
from deepfake_lab.evaluation.card import write_card
from deepfake_lab.evaluation.predictions import answered, evaluate
from deepfake_lab.litert import quiet_stderr
from deepfake_lab.photos.sharpness import measure_sharpness, scaled
from deepfake_lab.training import models
from deepfake_lab.training.batches import Split
from deepfake_lab.training.calibration import fit_calibration, fit_sharpness

#: Packages whose versions a run folder records.
_RECORDED = ("deepfake-lab", "keras", "tensorflow", "ai-edge-litert", "numpy", "pillow")

#: What is kept of each answer about a validation or test photo.
_KEPT = (
    "file", "label", "split", "source", "group", "width", "height", "format", "bytes",
    "fingerprint", "data", "family", *ANSWER_COLUMNS,
)  # fmt: skip


def save_run(
    name: str,
    model: keras.Model,
    data: Dataset,
    splits: dict[str, Split],
    history: pd.DataFrame,
    *,
    framing: str,
    recipe: dict,
    seed: int,
    out_dir: str | Path = "",
    max_false_alarms: float | None = None,
    ship: bool = False,
) -> Detector:
    """Calibrate a trained model and write its run folder, whole or not at all.

    Validation photos choose the calibration, the prior and the uncertain band; the test photos
    are scored for the report and choose nothing. A run folder of the same name is replaced.

    Args:
        name: of the detector; the folder is ``<out_dir>/models/<name>``.
        model: trained.
        data: what was read.
        splits: what was trained on (``train``, ``valid``, ``test``).
        history: from :func:`fit`; the epochs of several phases may be joined.
        framing: as given to :func:`deepfake_lab.training.batches.load_splits`.
        recipe: how it was trained (epochs, rates, ...), for the record.
        seed: for the record.
        out_dir: see :func:`deepfake_lab.paths.home`.
        max_false_alarms: calibrate on validation photos as they are and once more as they come out
            of a messenger, bring the scores to those of real photos of the same sharpness, and
            lower the prior until no source of real photos is likely to have more false alarms;
            None for the photos as they are, the raw scores, and a prior of one half.
        ship: allow the name of a detector that the project ships.

    Raises:
        UserError: a name that is no folder name, or that belongs to a detector the project ships.
    """
    folder = paths.new_model_folder(name, out_dir, ship)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made_with = environment.describe()
    # The work goes into a neighbouring folder that takes the name at the very end.
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        # Without the optimiser: it would quadruple the file, and a training goes on from a
        # checkpoint. Keras leaves it out of a model alone that was never compiled.
        model.save(work / "model.keras")
        keras.models.load_model(work / "model.keras", compile=False).save(work / "model.keras")
        (work / "model.tflite").write_bytes(to_tflite(model))
        config = {
            "name": name,
            "architecture": model.name,
            "image_size": splits["train"].image_size,
            "framing": framing,
            "labels": {"real": 0, "fake": 1},
            "calibration": {"temperature": 1.0, "bias": 0.0},
            "prior": 0.5,
            "uncertain_band": [0.0, 1.0],
            "seed": seed,
            "recipe": recipe,
            "data": {
                "name": data.folder.name,
                "layout": data.layout,
                "fingerprint": data.fingerprint(),
                **{split: len(part.manifest) for split, part in splits.items()},
            },
            "versions": {package: version(package) for package in _RECORDED},
            "optimizer": _kind(getattr(model, "optimizer", None)),
            "loss": _kind(getattr(model, "loss", None)),
            "git_commit": made_with.pop("git_commit"),
            "git_dirty": made_with.pop("git_dirty"),
            "environment": made_with,
            "sha256": checksums(work),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        detector = Detector(folder, config, (work / "model.tflite").read_bytes())
        config |= _calibrate(detector, splits["valid"], max_false_alarms, seed)
        detector = detector.at(config["prior"])
        predictions = pd.concat(
            [_predictions(detector, splits[s]) for s in ("valid", "test") if s in splits]
        )
        test = predictions[predictions["split"] == "test"]
        metrics = {"test": _measured(test, seed)}
        history.to_csv(work / "history.csv", index=False, float_format="%.6g")
        # Where the files lie, and what else a manifest said of them, is nobody else's business.
        predictions[[c for c in _KEPT if c in predictions]].to_csv(
            work / "predictions.csv", index=False, float_format="%.6g"
        )
        learned = [path for split in ("train", "valid") for path in splits[split].manifest["path"]]
        seen.write(work, learned)
        write_json(work / "metrics.json", metrics)
        write_json(work / paths.DETECTOR_FILE, config)
        write_card(work / "README.md", config, metrics)
        work.chmod(0o755)  # temporary folders are private
        older = work.with_name(f"{work.name}-older")
        if folder.exists():  # deleting takes time and may fail; renaming is done at once
            folder.rename(older)
        work.rename(folder)
        shutil.rmtree(older, ignore_errors=True)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Detector.load(folder)


def to_tflite(model: keras.Model) -> bytes:
    """Return the model as LiteRT reads it: logit and, where there is one, activation map."""
    if keras.backend.backend() != "tensorflow":
        return _by_tensorflow(model)
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # else it announces temporary folders
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        # Through a SavedModel: the converter's direct way expects the Keras of TensorFlow 2.15.
        models.with_activation_map(model).export(folder, verbose=False)
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def _by_tensorflow(model: keras.Model) -> bytes:
    """Convert in a process of its own: of what other backends export the converter reads little."""
    code = (
        "import sys\nfrom pathlib import Path\nimport keras\n"
        "from deepfake_lab.training.runs import to_tflite\n"
        "model = keras.models.load_model(sys.argv[1], compile=False)\n"
        "Path(sys.argv[2]).write_bytes(to_tflite(model))"
    )
    with tempfile.TemporaryDirectory() as folder:
        saved, converted = Path(folder) / "model.keras", Path(folder) / "model.tflite"
        model.save(saved)
        done = subprocess.run(
            [sys.executable, "-c", code, str(saved), str(converted)],
            env=os.environ | {"KERAS_BACKEND": "tensorflow"}, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"TensorFlow did not convert the model: {done.stderr[-2000:]}")
        return converted.read_bytes()


def _predictions(detector: Detector, split: Split) -> pd.DataFrame:
    logits = detector.logits(split.frames)
    return detector.answers(split.manifest, logits)


def _measured(test: pd.DataFrame, seed: int) -> dict:
    """Return the metrics; where the test photos lack a label, that nothing could be measured."""
    rows = answered(test)
    count = {label: int((rows["label"] == label).sum()) for label in ("real", "fake")}
    if all(count.values()):
        return evaluate(test, seed=seed)
    lacks = " and ".join(label for label, number in count.items() if not number)
    note = f"The test split has no {lacks} photos: nothing was measured on it."
    return {"photos": {**count, "failed": len(test) - len(rows)}, "metrics": {}, "note": note}


def _calibrate(detector: Detector, valid: Split, max_false_alarms: float | None, seed: int) -> dict:
    logits = detector.logits(valid.frames)
    if max_false_alarms is None:
        return fit_calibration(logits, valid.labels)
    worn = valid.worn(seed)
    logits = np.concatenate([logits, detector.logits(worn)])
    labels = np.tile(valid.labels, 2)
    sharpness = np.array([
        measure_sharpness(picture) for pictures in (valid.centered(), worn) for picture in pictures
    ])  # fmt: skip
    # Apart, so that the fewer false alarms among worn photos do not stand in for the others'.
    named = valid.manifest["source"]
    sources = np.concatenate([named, named + ", worn"])
    scale = fit_sharpness(logits, sharpness, labels, sources, max_false_alarms)
    logits = scaled(logits, sharpness, scale)
    found = fit_calibration(logits, labels, sources, max_false_alarms)
    # The bias moves into the scale, so that a positive score, and a positive place of the map, says
    # fake rather than real.
    calibration = found["calibration"]
    scale["zero"] = -calibration["bias"] * calibration["temperature"]
    return found | {"sharpness": scale, "calibration": calibration | {"bias": 0.0}}


def _kind(part: object) -> str | None:
    """Return the name of an optimiser or a loss, for the record; None where there is none."""
    return part if part is None or isinstance(part, str) else type(part).__name__
