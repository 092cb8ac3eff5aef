"""A smaller model for a detector that exists, offered only with what it costs.

The weights are kept in fewer bits; the model that answers by default stays as it was. How much of
the AUC is lost is measured here, on photos that nothing was chosen by, and stored in the run
folder: who uses the smaller model is told.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake_lab import paths
from deepfake_lab.data.datasets import SPLITS, read_dataset
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.prediction import Prediction
from deepfake_lab.detection.runfolder import QUANTISED, checksum, read_checked
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.bootstrap import Measured, measure_parts
from deepfake_lab.litert import quiet_stderr
from deepfake_lab.training import models

#: ``int8``: weights and calculations in 8 bits, a quarter of the size and about half of the time.
#: ``float16``: weights in 16 bits, half of the size; no faster.
KINDS = ("int8", "float16")

#: With fewer test photos of a label than this, what is lost cannot be told: on five photos that two
#: models put into the same order it is 0.0000 (0.0000 to 0.0000), whatever they do elsewhere.
FEWEST = 20

#: Training photos that show what range the values inside the network have.
SHOWN = 100


def export_quantised(
    name: str | Path, kind: str, data: str | Path, layout: str = "auto", out_dir: str | Path = ""
) -> Detector:
    """Write a quantised model into a run folder and measure what it loses.

    The folder of a detector that the project ships is only read: what is made of it goes into a
    copy, ``<home>/models/<name>-<kind>``, which has that name.

    Args:
        name: of the detector, or its run folder.
        kind: one of :data:`KINDS`.
        data: a data set, see :func:`deepfake_lab.data.datasets.read_dataset`. Some of its training
            photos are shown to the converter, its validation photos calibrate the new scores, its
            test photos measure.
        layout: of the data set.
        out_dir: see :func:`deepfake_lab.paths.home`.

    Returns:
        The detector with the quantised model. ``quantised`` says: ``kind, sha256, bytes``, the
        new calibration ``answers``, the loss ``auc_loss`` (AUC before minus AUC after, with its
        95% interval over the same resamples), ``auc_before``, ``auc_after``, ``data``, ``photos``.

    Raises:
        UserError: an unknown kind, no such detector or data set, a split of the data set that has
            not both labels, or fewer than :data:`FEWEST` test photos of one.
    """
    if kind not in KINDS:
        raise UserError(f"Unknown quantisation '{kind}'; known: {', '.join(KINDS)}.")
    before = Detector.load(name, out_dir)
    folder = paths.model_folder(name, out_dir)
    target = _own_folder(folder, kind, out_dir)
    manifest = read_dataset(data, layout).manifest
    train, valid, test = (manifest[manifest["split"] == split] for split in SPLITS)
    if min(part["label"].nunique() for part in (train, valid, test)) < 2:
        raise UserError(f"'{data}' needs real and fake photos in train, valid and test.")
    fewest = int(test["label"].value_counts().min())
    if fewest < FEWEST:
        raise UserError(
            f"'{data}' has {fewest} test photos of one label: what the smaller model loses can be "
            f"measured on {FEWEST} or more of each."
        )
    shown = _frames(before, train.sample(min(SHOWN, len(train)), random_state=0)["path"])
    content = quantised_tflite(folder, before.config["sha256"]["model.keras"], kind, shown)
    after = Detector(folder, before.config, content)
    answers = _answers(before, after, valid["path"])
    after = Detector(folder, before.config | answers, content)
    record = {
        "kind": kind,
        "sha256": checksum(content),
        "bytes": len(content),
        "answers": answers,
        **_auc_loss(before.predict_many(test), after.predict_many(test)),
        "data": Path(data).name,
    }
    try:
        if target != folder:
            # Without the modes of the files: what is shipped may be read-only.
            shutil.copytree(folder, target, copy_function=shutil.copyfile, dirs_exist_ok=True)
        _replace(target / QUANTISED, content)
        config = before.config | {"name": target.name, "quantised": record}
        _replace(paths.detector_file(target), (json.dumps(config, indent=2) + "\n").encode())
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror or error}).") from error
    return Detector.load(target, quantised=True)


def _own_folder(folder: Path, kind: str, out_dir: str | Path) -> Path:
    """Return the run folder that may be written to: itself, or a copy of one that is shipped."""
    shipped = [paths.project() / "models" / name for name in paths.SHIPPED]
    target = folder
    if folder.resolve() in [path.resolve() for path in shipped]:
        target = paths.new_model_folder(f"{folder.name}-{kind}", out_dir)
    there = next(parent for parent in (target, *target.parents) if parent.exists())
    if not os.access(there, os.W_OK):
        raise UserError(f"{target}: cannot be written (Permission denied).")
    return target


def quantised_tflite(folder: Path, expected: str, kind: str, shown: list[np.ndarray]) -> bytes:
    """Return a run folder's model for LiteRT with its weights in fewer bits.

    Args:
        folder: of the run.
        expected: the SHA-256 of ``model.keras``.
        kind: one of :data:`KINDS`.
        shown: photos as the model sees them, (S, S, 3) uint8 each.

    Raises:
        UserError: ``model.keras`` is damaged.

    Source: B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877.
    """
    with quiet_stderr():  # TensorFlow talks of graphics cards
        import keras
        import tensorflow as tf

    read_checked(folder / "model.keras", expected)
    model = keras.models.load_model(folder / "model.keras", compile=False)
    tf.get_logger().setLevel("ERROR")  # else it announces temporary folders
    with tempfile.TemporaryDirectory() as work, quiet_stderr():
        models.with_activation_map(model).export(work, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(work)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if kind == "float16":
            converter.target_spec.supported_types = [tf.float16]
        else:
            converter.representative_dataset = lambda: (
                [pixels[None].astype(np.float32)] for pixels in shown
            )
        return converter.convert()


def _frames(detector: Detector, files: pd.Series) -> list[np.ndarray]:
    answers = detector.stream(files, most_faces=1)
    return [answer.framed.pixels for answer in answers if isinstance(answer, Prediction)]


def _answers(before: Detector, after: Detector, photos: pd.Series) -> dict:
    """Return calibration, prior and uncertain band with which the smaller model says the same.

    Its scores are brought to those of the model that it was made of, by a straight line through
    both: prior and band are that model's, and what was promised of false alarms goes on being true
    as far as the order of the photos is kept.
    """
    pairs = [
        (small.logit, large.logit)
        for small, large in zip(*(one.stream(photos, most_faces=1) for one in (after, before)))
        if isinstance(small, Prediction) and isinstance(large, Prediction)
    ]
    ours, theirs = np.array(pairs, np.float64).T
    slope, offset = np.polyfit(ours, theirs, 1) if np.ptp(ours) > 0 else (1.0, 0.0)
    if slope <= 0:  # a model that learned nothing
        slope, offset = 1.0, float((theirs - ours).mean())
    config = before.config
    temperature, bias = (config["calibration"][part] for part in ("temperature", "bias"))
    calibration = {"temperature": temperature / slope, "bias": bias + offset / temperature}
    return {
        "calibration": {name: float(value) for name, value in calibration.items()},
        "prior": config["prior"], "uncertain_band": config["uncertain_band"],
    }  # fmt: skip


def _auc_loss(before: pd.DataFrame, after: pd.DataFrame) -> dict:
    rows = pd.concat([before, after], ignore_index=True)
    first = rows.index < len(before)
    scored = (rows["error"] == "").to_numpy()
    parts = {"before": first & scored, "after": ~first & scored}
    found = measure_parts(rows, parts, ("roc_auc",))  # both on the same resamples
    auc_before, auc_after = found["before"], found["after"]
    loss = Measured(auc_before.values - auc_after.values, auc_before.draws - auc_after.draws)
    (low,), (high,) = loss.interval()
    return {
        "auc_loss": {"value": float(loss.values[0]), "low": float(low), "high": float(high)},
        "auc_before": float(auc_before.values[0]),
        "auc_after": float(auc_after.values[0]),
        "photos": int(parts["after"].sum()),
    }


def _replace(file: Path, content: bytes) -> None:
    """Write a file so that it is either the old one or the new one, never half of it."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_bytes(content)
    os.replace(fresh, file)
