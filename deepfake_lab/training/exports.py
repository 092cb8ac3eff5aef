"""A detector in the form that another runtime reads, kept only where it answers the same.

What is written takes float32 RGB in [0, 255], (B, S, S, 3), and returns the raw logit, (B, 1). How
that becomes P(fake) stands in the ``detector.json`` and in the model card beside it.
"""

import json
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from deepfake_lab import paths
from deepfake_lab.data import seen
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.runfolder import FOR_TRAINING, QUANTISED, read_checked, read_run
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.record import rewrite_card
from deepfake_lab.extras import require
from deepfake_lab.litert import Graph, quiet_stderr
from deepfake_lab.photos.listing import find_photos

#: ``onnx``: for ONNX Runtime; ``keras``: one file, to train on or to change; ``hf``: a folder to
#: push to the Hugging Face Hub, which Keras (``load_model("hf://...")``) and this library read.
FORMATS = ("onnx", "keras", "hf")

#: How far a logit may lie from the detector's own.
ALLOWED = 1e-3

#: Photos of the sample set that are asked about.
_ASKED = 16


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: with the model, ``detector.json``, the model card and its tables.
        apart: the largest difference of a logit from the detector's own.
        photos: over how many photos.
    """

    folder: Path
    apart: float
    photos: int


def export_detector(
    name: str | Path, format: str, out: str | Path, out_dir: str | Path = ""
) -> Exported:
    """Write a detector in another format into a new folder, whole or not at all.

    An export is made to be passed on: the names of photos in ``predictions.csv``, and what the
    training photos are known by, are left out.

    Args:
        name: of the detector, or its run folder; it is only read.
        format: one of :data:`FORMATS`.
        out: a new or empty folder, outside every run folder.
        out_dir: see :func:`deepfake_lab.paths.home`.

    Raises:
        UserError: an unknown format, a package that is missing, no such detector, a folder that
            holds something or cannot be written, or an export that answers otherwise.
    """
    if format not in FORMATS:
        raise UserError(f"Unknown format '{format}'; known: {', '.join(FORMATS)}.")
    for module in ("tensorflow", *(("tf2onnx", "onnxruntime") if format == "onnx" else ())):
        require(module)
    target = _new_folder(out)
    folder = paths.model_folder(name, out_dir)
    detector = Detector.load(folder)
    read_checked(folder / FOR_TRAINING, detector.config["sha256"][FOR_TRAINING])
    asked = _sample_pixels(detector)
    expected = _in_litert(folder, asked)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # The work goes into a neighbouring folder that takes the name at the very end.
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        try:
            _copy_facts(folder, detector.config, work)
            answers = _WRITERS[format](folder, work, asked)
            apart = float(np.abs(np.stack(answers) - expected).max())
            if not apart <= ALLOWED:  # NaN is no answer either
                raise UserError(
                    f"'{detector.name}' as {format} answers otherwise: its logits differ by up to "
                    f"{apart:.2g}, where {ALLOWED:g} is allowed. Nothing was written."
                )
            work.chmod(0o755)  # temporary folders are private
            if target.exists():
                target.rmdir()  # an empty one
            work.rename(target)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}.") from error
    return Exported(target, apart, len(asked))


def _new_folder(out: str | Path) -> Path:
    target = paths.expanded(out).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} holds something already: name a new folder.")
    for above in target.resolve().parents:
        shipped = above == paths.project() and not paths.is_checkout()
        if shipped or paths.detector_file(above).is_file():
            raise UserError(f"{target} lies in {above}, which is only read: name another folder.")
    return target


def _sample_pixels(detector: Detector) -> np.ndarray:
    """Return photos of the sample set as the detector sees them, (N, S, S, 3) float32."""
    found = list(find_photos([paths.project() / "data" / "sample"]))
    some = found[:: max(1, len(found) // _ASKED)][:_ASKED]
    return np.stack([detector.frame(photo.path).pixels for photo in some]).astype(np.float32)


def _copy_facts(folder: Path, config: dict, work: Path) -> None:
    """Copy what a run folder says, but no models and no photos; the card is made anew."""
    # What photos are known by holds a small picture of each of them.
    left = ("model.*", paths.OLDER_DETECTOR_FILE, paths.DETECTOR_FILE, QUANTISED, seen.FILE, ".*")
    shutil.copytree(folder, work, ignore=shutil.ignore_patterns(*left), dirs_exist_ok=True)
    whole = {key: value for key, value in config.items() if key != "quantised"}
    text = json.dumps(whole, indent=2) + "\n"
    (work / paths.DETECTOR_FILE).write_text(text, encoding="utf-8")
    rows = pd.read_csv(work / "predictions.csv", dtype=str, keep_default_na=False)
    rows.drop(columns="file", errors="ignore").to_csv(work / "predictions.csv", index=False)
    rewrite_card(work)


def _write_onnx(folder: Path, work: Path, asked: np.ndarray) -> list[np.ndarray]:
    with quiet_stderr():  # TensorFlow talks of graphics cards
        import keras
        import onnxruntime
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        model = keras.models.load_model(folder / FOR_TRAINING, compile=False)
        model(asked[:1])  # Keras exports no model that was never called
        model.export(work / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(work / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: asked})
    return [logits[:, 0]]


def _write_keras(folder: Path, work: Path, asked: np.ndarray) -> list[np.ndarray]:
    shutil.copyfile(folder / FOR_TRAINING, work / FOR_TRAINING)
    return [_in_keras(work / FOR_TRAINING, asked)]


def _write_hf(folder: Path, work: Path, asked: np.ndarray) -> list[np.ndarray]:
    # The folder that Keras reads from the Hub is its file, unpacked.
    with zipfile.ZipFile(folder / FOR_TRAINING) as file:
        file.extractall(work)
    shutil.copyfile(folder / "model.tflite", work / "model.tflite")
    return [_in_litert(work, asked), _in_keras(work, asked)]


def _in_litert(folder: Path, asked: np.ndarray) -> np.ndarray:
    graph = Graph(read_run(folder)[1])
    return np.array([graph.run(pixels)["logit"].item() for pixels in asked])


def _in_keras(saved: Path, asked: np.ndarray) -> np.ndarray:
    with quiet_stderr():
        import keras

        return keras.models.load_model(saved, compile=False).predict_on_batch(asked)[:, 0]


#: Each writes the model and returns what every runtime that reads it answers, (N,) logits each.
_WRITERS = {"onnx": _write_onnx, "keras": _write_keras, "hf": _write_hf}
