"""Model + images -> a run folder with everything that an answer and a report need."""

import json
import re
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from deepfake_lab import models, paths
from deepfake_lab.batches import Split, evaluation_batches, training_batches
from deepfake_lab.calibration import fit_calibration
from deepfake_lab.card import write_card
from deepfake_lab.datasets import Dataset
from deepfake_lab.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import evaluate
from deepfake_lab.litert import quiet_stderr

#: Packages whose versions a run folder records.
_RECORDED = ("deepfake-lab", "keras", "tensorflow", "ai-edge-litert", "numpy", "pillow")


def fit(
    model: keras.Model,
    train: Split,
    valid: Split,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int = 32,
    augment: bool = True,
    seed: int = 0,
    log_dir: str | Path | None = None,
    verbose: int = 2,
) -> pd.DataFrame:
    """Train a model; it ends with the weights of the epoch with the lowest validation loss.

    The same seed on the same machine gives the same weights: the order of the photos, their
    random changes and the operations themselves are all made repeatable.

    Args:
        model: changed in place.
        train: what it learns from.
        valid: what chooses the epoch.
        epochs: passes over the training images.
        learning_rate: the highest; it falls to zero along a cosine.
        batch_size: images per step.
        augment: see :func:`deepfake_lab.batches.training_batches`.
        seed: of order, augmentation and dropout.
        log_dir: where TensorBoard's logs go; None for none.
        verbose: as Keras' ``fit``: 2 prints a line per epoch, 0 nothing.

    Returns:
        One row an epoch: ``epoch, loss, accuracy, auc, val_loss, val_accuracy, val_auc``.

    Raises:
        UserError: epochs, learning rate or batch size that cannot work.
    """
    _check_settings(epochs, learning_rate, batch_size)
    _repeatable(seed)
    steps = -(-len(train.manifest) // batch_size) * epochs
    _compile(model, keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    history = model.fit(
        training_batches(train, batch_size, augment, seed),
        validation_data=evaluation_batches(valid, batch_size),
        epochs=epochs,
        callbacks=_callbacks(log_dir, epochs),
        shuffle=False,  # the batches are shuffled already
        verbose=verbose,
    )
    return _history_frame(history)


def fit_head(
    model: keras.Model,
    train: Split,
    valid: Split,
    *,
    epochs: int,
    learning_rate: float,
    batch_size: int = 32,
    seed: int = 0,
    verbose: int = 0,
) -> pd.DataFrame:
    """Train only the logit, on features of the frozen backbone that are computed once.

    The backbone sees every photo once, and once mirrored, instead of once an epoch: the epochs
    after that cost almost nothing.

    Args and returns as :func:`fit`; the model must have a backbone.
    """
    _check_settings(epochs, learning_rate, batch_size)
    _repeatable(seed)
    extractor = models.feature_extractor(model)
    features = [compute_features(extractor, train, mirrored) for mirrored in (False, True)]
    x = np.concatenate(features)  # (2 N, C) float32
    y = np.tile(train.labels, 2)[:, None]  # (2 N, 1)
    head = models.feature_head(model)
    steps = -(-len(x) // batch_size) * epochs
    _compile(head, keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    history = head.fit(
        x, y,
        validation_data=(compute_features(extractor, valid), valid.labels[:, None]),
        epochs=epochs, batch_size=batch_size, callbacks=_callbacks(None, epochs), verbose=verbose,
    )  # fmt: skip
    return _history_frame(history)


def compute_features(
    extractor: keras.Model, split: Split, mirrored: bool = False, batch_size: int = 32
) -> np.ndarray:
    """Return the backbone's pooled features of a split's center crops, (N, C) float32."""
    features = []
    for start in range(0, len(split.manifest), batch_size):
        pixels = split.centered(start, start + batch_size).astype(np.float32)  # (B, H, W, 3)
        pixels = pixels[:, :, ::-1] if mirrored else pixels
        features.append(extractor.predict_on_batch(pixels))
    return np.concatenate(features)


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
) -> Detector:
    """Calibrate a trained model and write its run folder, whole or not at all.

    Validation photos choose the calibration, the threshold and the uncertain band; the test photos
    are scored for the report and choose nothing. A run folder of the same name is replaced.

    Args:
        name: of the detector; the folder is ``<out_dir>/models/<name>``.
        model: trained.
        data: what was read.
        splits: what was trained on (``train``, ``valid``, ``test``).
        history: from :func:`fit`; the epochs of several phases may be joined.
        framing: as given to :func:`deepfake_lab.batches.load_splits`.
        recipe: how it was trained (epochs, rates, ...), for the record.
        seed: for the record.
        out_dir: see :func:`deepfake_lab.paths.home`.

    Raises:
        UserError: a name that is no folder name, or that belongs to a detector the project ships.
    """
    folder = _run_folder(name, out_dir)
    folder.parent.mkdir(parents=True, exist_ok=True)
    # The work goes into a neighbouring folder that takes the name at the very end.
    work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=folder.parent))
    try:
        model.save(work / "model.keras")
        (work / "model.tflite").write_bytes(to_tflite(model))
        config = {
            "name": name,
            "architecture": model.name,
            "image_size": splits["train"].image_size,
            "framing": framing,
            "labels": {"real": 0, "fake": 1},
            "calibration": {"temperature": 1.0, "bias": 0.0},
            "threshold": 0.5,
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
            "git_commit": _git_commit(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        detector = Detector(folder, config, (work / "model.tflite").read_bytes())
        valid = splits["valid"]
        config |= fit_calibration(detector.logits(valid.frames), valid.labels)
        predictions = pd.concat(
            [_predictions(detector, splits[split]) for split in ("valid", "test")]
        )
        test = predictions[predictions["split"] == "test"]
        metrics = {"test": evaluate(test, seed=seed)}
        history.to_csv(work / "history.csv", index=False, float_format="%.6g")
        # Where the files lie is of no interest to anybody else.
        predictions.drop(columns="path").to_csv(
            work / "predictions.csv", index=False, float_format="%.6g"
        )
        _write_json(work / "metrics.json", metrics)
        _write_json(work / "config.json", config)
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
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # else it announces temporary folders
    with tempfile.TemporaryDirectory() as folder, quiet_stderr():
        # Through a SavedModel: the converter's direct way expects the Keras of TensorFlow 2.15.
        models.with_activation_map(model).export(folder, verbose=False)
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def _check_settings(epochs: int, learning_rate: float, batch_size: int) -> None:
    if not (epochs >= 1 and learning_rate > 0 and batch_size >= 1):  # so NaN is refused as well
        raise UserError(
            f"epochs={epochs}, learning_rate={learning_rate}, batch_size={batch_size}: "
            "all three must be above zero."
        )


def _compile(model: keras.Model, learning_rate) -> None:
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0),
            keras.metrics.AUC(name="auc", from_logits=True, num_thresholds=500),
        ],
        jit_compile=False,  # several times slower on a CPU
    )


def _callbacks(log_dir: str | Path | None, epochs: int) -> list[keras.callbacks.Callback]:
    best = keras.callbacks.EarlyStopping(
        monitor="val_loss", mode="min", patience=epochs, restore_best_weights=True
    )
    if log_dir is None:
        return [best]
    return [best, keras.callbacks.TensorBoard(str(log_dir), write_graph=False)]


def _history_frame(history: keras.callbacks.History) -> pd.DataFrame:
    frame = pd.DataFrame(history.history)
    frame.insert(0, "epoch", np.arange(1, len(frame) + 1))
    return frame.drop(columns="learning_rate", errors="ignore")


def _repeatable(seed: int) -> None:
    """Make what follows depend on the seed alone. Training is an entry point: global on purpose."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _predictions(detector: Detector, split: Split) -> pd.DataFrame:
    logits = detector.logits(split.frames)
    return detector.answers(split.manifest, logits)


def _run_folder(name: str, out_dir: str | Path) -> Path:
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise UserError(f"'{name}' cannot name a detector: use letters, digits, - and _.")
    folder = paths.home(out_dir) / "models" / name
    if name.lower() in paths.SHIPPED and folder.parent == paths.project() / "models":
        raise UserError(f"'{name}' is a detector that the project ships; choose another name.")
    return folder


def _git_commit() -> str | None:
    """Return the checkout's commit, or None where the project is no checkout."""
    if not (paths.project() / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", str(paths.project()), "rev-parse", "--verify", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() or None


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
