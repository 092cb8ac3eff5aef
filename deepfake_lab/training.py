"""Model + images -> a run folder with everything that an answer and a report need."""

import json
import shutil
import subprocess
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from deepfake_lab import models, paths
from deepfake_lab.batches import Mix, Split, evaluation_batches, training_batches
from deepfake_lab.calibration import fit_calibration, fit_sharpness
from deepfake_lab.checkpoints import Keeper
from deepfake_lab.datasets import Dataset
from deepfake_lab.detector import Detector, checksums
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import evaluate
from deepfake_lab.evaluation.card import write_card
from deepfake_lab.litert import quiet_stderr
from deepfake_lab.sharpness import measure_sharpness, scaled

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
    augment: str = "light",
    mix: Mix | None = None,
    warmup: float = 0.0,
    average: float | None = None,
    keep: str = "val_loss",
    consistency: float = 0.0,
    seed: int = 0,
    stop_after: int | None = None,
    checkpoint: str | Path | None = None,
    log_dir: str | Path | None = None,
    verbose: int = 2,
) -> pd.DataFrame:
    """Train a model; it ends with the weights of the epoch that did best on validation photos.

    The same seed on the same machine gives the same weights: the order of the photos, their
    random changes and the operations themselves are all made repeatable. With a checkpoint, a
    training that was interrupted goes on after its last whole epoch and ends in the same place.

    Args:
        model: changed in place.
        train: what it learns from.
        valid: what chooses the epoch.
        epochs: passes over the training images.
        learning_rate: the highest; it falls to zero along a cosine.
        batch_size: images per step.
        augment: see :func:`deepfake_lab.augment.augment`.
        mix: what an epoch draws; by default each photo once.
        warmup: share of the steps in which the learning rate rises from zero.
        average: momentum of a moving average of the weights (0.99, say), which is what is
            validated and kept; None for the weights themselves.
        keep: what chooses the epoch: ``val_loss`` (the lowest), ``val_auc`` (the highest) or
            ``epoch`` (the last).
        consistency: above 0, photos come in pairs, changed ``light`` and ``strong`` (see
            :func:`deepfake_lab.batches.training_batches`), and this many times the divergence of
            the two answers adds to the loss. The batch size must be even.
        seed: of order, augmentation and dropout.
        stop_after: end after so many of the epochs, for another training to go on from there.
        checkpoint: a file to keep the state in after every epoch; one that exists is gone on with.
        log_dir: where TensorBoard's logs go; None for none.
        verbose: as Keras' ``fit``: 2 prints a line per epoch, 0 nothing.

    Returns:
        One row an epoch: ``epoch, loss, accuracy, auc, val_loss, val_accuracy, val_auc``.

    Raises:
        UserError: epochs, learning rate or batch size that cannot work, or a checkpoint of another
            training.
    """
    _check_settings(epochs, learning_rate, batch_size)
    if consistency and batch_size % 2:
        raise UserError(f"batch_size is {batch_size}: pairs of pictures need an even one.")
    _repeatable(seed)
    pictures = (mix.photos if mix else len(train.manifest)) * (2 if consistency else 1)
    steps = -(-pictures // batch_size)
    rising = round(warmup * steps * epochs)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0 if rising else learning_rate, steps * epochs - rising,
        warmup_target=learning_rate if rising else None, warmup_steps=rising,
    )  # fmt: skip
    _compile(model, rate, average)
    _prepare_batch_norms(model, average)
    if consistency:
        _ask_for_consistency(model, consistency)
    settings = {
        "photos": len(train.manifest), "epochs": epochs, "learning_rate": learning_rate,
        "batch_size": batch_size, "augment": augment, "mix": mix and asdict(mix),
        "warmup": warmup, "average": average, "keep": keep, "seed": seed,
        "consistency": consistency,
    }  # fmt: skip
    keeper = Keeper(model, settings, checkpoint, keep)
    last = epochs if stop_after is None else stop_after
    if keeper.epochs_done < last:
        epochs_left = range(keeper.epochs_done, last)
        model.fit(
            training_batches(
                train, batch_size, augment, seed, epochs_left, mix, pairs=consistency > 0
            ),
            validation_data=evaluation_batches(valid, batch_size),
            epochs=last,
            initial_epoch=keeper.epochs_done,
            steps_per_epoch=steps,
            callbacks=_callbacks(log_dir, keeper, average),
            shuffle=False,  # the batches are shuffled already
            verbose=verbose,
        )
    else:
        keeper.restore_best(model)
    return keeper.history()


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
    keeper = Keeper(head)
    head.fit(
        x, y,
        validation_data=(compute_features(extractor, valid), valid.labels[:, None]),
        epochs=epochs, batch_size=batch_size, callbacks=_callbacks(None, keeper), verbose=verbose,
    )  # fmt: skip
    return keeper.history()


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
    max_false_alarms: float | None = None,
    ship: bool = False,
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
        max_false_alarms: calibrate on validation photos as they are and once more as they come out
            of a messenger, bring the scores to those of real photos of the same sharpness, and
            raise the threshold until no source of real photos is likely to have more false alarms;
            None for the photos as they are, the raw scores, and a threshold of 0.5.
        ship: allow the name of a detector that the project ships.

    Raises:
        UserError: a name that is no folder name, or that belongs to a detector the project ships.
    """
    folder = paths.new_model_folder(name, out_dir, ship)
    folder.parent.mkdir(parents=True, exist_ok=True)
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
            "sha256": checksums(work),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        detector = Detector(folder, config, (work / "model.tflite").read_bytes())
        config |= _calibrate(detector, splits["valid"], max_false_alarms, seed)
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


def _compile(model: keras.Model, learning_rate, average: float | None = None) -> None:
    ema = {} if average is None else {"use_ema": True, "ema_momentum": average}
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate, **ema),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0),
            keras.metrics.AUC(name="auc", from_logits=True, num_thresholds=500),
        ],
        jit_compile=False,  # several times slower on a CPU
    )


def _prepare_batch_norms(model: keras.Model, average: float | None) -> None:
    """Let batch norms follow the averaged weights, and run as one operation under TensorFlow.

    Averaged weights want the means and variances of as many batches, else those of the last few
    make the validation jump. Keras writes a batch norm out as a dozen passes over its input, which
    take longer than the convolutions; the one operation keeps the unbiased variance of a batch
    instead of the biased one, over all places of a batch one part in thousands of a difference.
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = max(layer.momentum, average or 0)
            if keras.backend.backend() == "tensorflow":
                layer.call = partial(_batch_norm, layer)  # a saved model knows nothing of this


def _ask_for_consistency(model: keras.Model, weight: float) -> None:
    """Add the Jensen-Shannon divergence of both answers about a pair to the loss, in training.

    Source: D. Hendrycks et al., "AugMix", ICLR 2020, arXiv:1912.02781.
    """
    plain = type(model).compute_loss

    def compute_loss(x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = plain(model, x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        p_fake = keras.ops.reshape(keras.ops.sigmoid(y_pred), (-1, 2))  # (B / 2, 2)
        between = _entropy(keras.ops.mean(p_fake, axis=1))  # (B / 2,)
        within = keras.ops.mean(_entropy(p_fake), axis=1)
        return loss + weight * keras.ops.mean(between - within)

    model.compute_loss = compute_loss  # a saved model knows nothing of this


def _entropy(p_fake):
    """Return the entropy of a yes or no, in nats; same shape as given."""
    p_fake = keras.ops.clip(p_fake, 1e-6, 1 - 1e-6)
    p_real = 1 - p_fake
    return -(p_fake * keras.ops.log(p_fake) + p_real * keras.ops.log(p_real))


def _batch_norm(layer: keras.layers.BatchNormalization, inputs, training=None, mask=None):
    if not (training and layer.trainable and len(inputs.shape) == 4):
        return type(layer).call(layer, inputs, training=training, mask=mask)
    import tensorflow as tf

    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        inputs, layer.gamma, layer.beta, epsilon=layer.epsilon, is_training=True
    )
    for moving, new in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign(moving * layer.momentum + new * (1 - layer.momentum))
    return outputs


def _callbacks(
    log_dir: str | Path | None, keeper: Keeper, average: float | None = None
) -> list[keras.callbacks.Callback]:
    callbacks: list[keras.callbacks.Callback] = []
    if average is not None:  # before the keeper, which shall see the averaged weights
        callbacks.append(keras.callbacks.SwapEMAWeights(swap_on_epoch=True))
    callbacks.append(keeper)
    if log_dir is not None:
        callbacks.append(keras.callbacks.TensorBoard(str(log_dir), write_graph=False))
    return callbacks


def _repeatable(seed: int) -> None:
    """Make what follows depend on the seed alone. Training is an entry point: global on purpose."""
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _predictions(detector: Detector, split: Split) -> pd.DataFrame:
    logits = detector.logits(split.frames)
    return detector.answers(split.manifest, logits)


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
    sources = valid.manifest["source"]
    sources = np.concatenate([sources, sources + ", worn"])
    scale = fit_sharpness(logits, sharpness, labels, sources, max_false_alarms)
    logits = scaled(logits, sharpness, scale)
    found = fit_calibration(logits, labels, sources, max_false_alarms)
    # The bias moves into the scale, so that a positive score, and a positive place of the map, says
    # fake rather than real.
    calibration = found["calibration"]
    scale["zero"] = -calibration["bias"] * calibration["temperature"]
    return found | {"sharpness": scale, "calibration": calibration | {"bias": 0.0}}


def _git_commit() -> str | None:
    """Return the checkout's commit, or None where the project is no checkout."""
    if not (paths.project() / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", str(paths.project()), "rev-parse", "--verify", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() or None


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
