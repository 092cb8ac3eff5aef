"""Model + images -> a trained model and its history."""

import hashlib
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from deepfake_lab.errors import UserError
from deepfake_lab.training import models
from deepfake_lab.training.batches import (
    Mix,
    Split,
    evaluation_batches,
    shared_rows,
    training_batches,
)
from deepfake_lab.training.checkpoints import Enough, Keeper


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

    Under ``keras.distribution.set_distribution(keras.distribution.DataParallel())`` (the JAX
    backend) devices share each batch and give the same result up to rounding: means, variances and
    the loss are those of the whole batch. An epoch then leaves out the last few photos that it
    drew, fewer than there are devices, where they cannot be shared; validation leaves out none.

    Args:
        model: changed in place.
        train: what it learns from.
        valid: what chooses the epoch.
        epochs: passes over the training images.
        learning_rate: the highest; it falls to zero along a cosine.
        batch_size: images per step.
        augment: see :func:`deepfake_lab.training.augment.augment`.
        mix: what an epoch draws; by default each photo once.
        warmup: share of the steps in which the learning rate rises from zero.
        average: momentum of a moving average of the weights (0.99, say), which is what is
            validated and kept; None for the weights themselves.
        keep: what chooses the epoch: ``val_loss`` (the lowest), ``val_auc`` (the highest) or
            ``epoch`` (the last).
        consistency: above 0, photos come in pairs, changed ``light`` and ``strong`` (see
            :func:`deepfake_lab.training.batches.training_batches`), and this many times
            the divergence of the two answers adds to the loss. The batch size must be even.
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
    devices = _devices()
    drawn = mix.photos if mix else len(train.manifest)
    _check_sharing(devices, batch_size, drawn)
    if consistency and batch_size % 2:
        raise UserError(f"batch_size is {batch_size}: pairs of pictures need an even one.")
    _repeatable(seed)
    pictures = (drawn - drawn % devices) * (2 if consistency else 1)
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
        "weights": [list(weights.shape) for weights in model.weights],
        "image_size": train.image_size,
        "photos": len(train.manifest), "which": _fingerprint(train),
        "files": _files(train), "validated_on": [_fingerprint(valid), _files(valid)],
        "epochs": epochs,
        "learning_rate": learning_rate, "batch_size": batch_size, "augment": augment,
        "mix": mix and asdict(mix), "warmup": warmup, "average": average, "keep": keep,
        "seed": seed, "consistency": consistency,
    }  # fmt: skip
    keeper = Keeper(model, settings, checkpoint, keep, stop_after)
    if keeper.epochs_done < (epochs if stop_after is None else stop_after):
        epochs_left = range(keeper.epochs_done, epochs)
        with suppress(Enough):
            model.fit(
                training_batches(
                    train, batch_size, augment, seed, epochs_left, mix, consistency > 0, devices
                ),
                validation_data=evaluation_batches(valid, batch_size, devices),
                epochs=epochs,
                initial_epoch=keeper.epochs_done,
                steps_per_epoch=steps,
                callbacks=_callbacks(log_dir, keeper, average),
                shuffle=False,  # the batches are shuffled already
                verbose=verbose,
            )
    keeper.restore_best(model)
    return keeper.history()


def _fingerprint(photos: Split) -> str:
    """Return what changes with the photos of a split, or their labels."""
    some = np.linspace(0, len(photos.manifest) - 1, min(64, len(photos.manifest)), dtype=int)
    digest = hashlib.blake2b(photos.labels.tobytes(), digest_size=8)
    digest.update(np.ascontiguousarray(photos.frames[some]).tobytes())
    return digest.hexdigest()


def _files(photos: Split) -> str:
    """Return what changes with any file of a split; "" where the manifest does not know them."""
    if "fingerprint" not in photos.manifest:
        return ""
    known = "\n".join(photos.manifest["fingerprint"].astype(str))
    return hashlib.blake2b(known.encode(), digest_size=8).hexdigest()


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
    devices = _devices()
    _check_sharing(devices, batch_size, 2 * len(train.manifest))
    _repeatable(seed)
    extractor = models.feature_extractor(model)
    features = [compute_features(extractor, train, mirrored) for mirrored in (False, True)]
    x = np.concatenate(features)  # (2 N, C) float32
    y = np.tile(train.labels, 2)[:, None]  # (2 N, 1)
    if surplus := len(x) % devices:
        x, y = x[:-surplus], y[:-surplus]
    rows, weights = shared_rows(len(valid.manifest), devices)
    head = models.feature_head(model)
    steps = -(-len(x) // batch_size) * epochs
    _compile(head, keras.optimizers.schedules.CosineDecay(learning_rate, steps))
    keeper = Keeper(head)
    head.fit(
        x, y,
        validation_data=(
            compute_features(extractor, valid)[rows], valid.labels[rows, None], weights
        ),
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
        rows, _ = shared_rows(len(pixels), _devices())
        features.append(extractor.predict_on_batch(pixels[rows])[: len(pixels)])
    return np.concatenate(features)


def _check_settings(epochs: int, learning_rate: float, batch_size: int) -> None:
    if not (epochs >= 1 and learning_rate > 0 and batch_size >= 1):  # so NaN is refused as well
        raise UserError(
            f"epochs={epochs}, learning_rate={learning_rate}, batch_size={batch_size}: "
            "all three must be above zero."
        )


def _devices() -> int:
    """Return how many devices share a batch."""
    shared = keras.distribution.distribution()
    if shared is None:
        return 1
    if keras.backend.backend() != "jax":
        raise UserError(
            f"Devices share a training under JAX alone, and this is {keras.backend.backend()}: set "
            "the environment variable KERAS_BACKEND=jax before Keras is imported."
        )
    mesh = shared.device_mesh
    return int(mesh.shape[mesh.axis_names.index(shared.batch_dim_name)])


def _check_sharing(devices: int, batch_size: int, pictures: int) -> None:
    if batch_size % devices:
        raise UserError(
            f"batch_size is {batch_size}, but {devices} devices share each batch: make it "
            f"{batch_size + -batch_size % devices}."
        )
    if pictures < devices:
        raise UserError(f"{devices} devices cannot share {pictures} photos: use fewer devices.")


def _compile(
    model: keras.Model,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule,
    average: float | None = None,
) -> None:
    ema = {} if average is None else {"use_ema": True, "ema_momentum": average}
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate, **ema),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        weighted_metrics=[  # weighted, because a batch may be filled up with photos of no weight
            keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0),
            keras.metrics.AUC(name="auc", from_logits=True, num_thresholds=500),
        ],
        # JAX takes single operations, one by one, where it may not compile; TensorFlow's own way of
        # compiling is several times slower on a CPU.
        jit_compile=keras.backend.backend() == "jax",
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

    def compute_loss(
        x: keras.KerasTensor | None = None,
        y: keras.KerasTensor | None = None,
        y_pred: keras.KerasTensor | None = None,
        sample_weight: keras.KerasTensor | None = None,
        training: bool = True,
    ) -> keras.KerasTensor:
        loss = plain(model, x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        p_fake = keras.ops.reshape(keras.ops.sigmoid(y_pred), (-1, 2))  # (B / 2, 2)
        between = _entropy(keras.ops.mean(p_fake, axis=1))  # (B / 2,)
        within = keras.ops.mean(_entropy(p_fake), axis=1)
        return loss + weight * keras.ops.mean(between - within)

    model.compute_loss = compute_loss  # a saved model knows nothing of this


def _entropy(p_fake: keras.KerasTensor) -> keras.KerasTensor:
    """Return the entropy of a yes or no, in nats; same shape as given."""
    p_fake = keras.ops.clip(p_fake, 1e-6, 1 - 1e-6)
    p_real = 1 - p_fake
    return -(p_fake * keras.ops.log(p_fake) + p_real * keras.ops.log(p_real))


def _batch_norm(
    layer: keras.layers.BatchNormalization,
    inputs: keras.KerasTensor,
    training: bool | None = None,
    mask: keras.KerasTensor | None = None,
) -> keras.KerasTensor:
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
