"""Manifest -> pixels -> tf.data batches, with augmentation for training.

The only module that uses tf.data; TensorFlow is imported when the first batch is built.
"""

import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from deepfake_lab import images
from deepfake_lab.datasets import SPLITS
from deepfake_lab.errors import UserError
from deepfake_lab.progress import progress

#: Frames of one split that take more memory than this many bytes are kept in a temporary file.
IN_MEMORY = 2 * 1024**3


@dataclass(frozen=True)
class Split:
    """The images of one split, cut and ready.

    Attributes:
        frames: (N, S, S, 3) uint8 RGB in [0, 255], S as :func:`images.frame_size` says.
        manifest: (N rows) the manifest of these images, in the same order, plus ``face_found``.
        image_size: side of the model's input in pixels.
    """

    frames: np.ndarray
    manifest: pd.DataFrame
    image_size: int

    @property
    def labels(self) -> np.ndarray:
        """Return (N,) float32: 1 for fake, 0 for real."""
        return (self.manifest["label"] == "fake").to_numpy(np.float32)

    def centered(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the model's view of the images, (N, image_size, image_size, 3) uint8."""
        return images.center_crop(self.frames[start:stop], self.image_size)


def load_splits(manifest: pd.DataFrame, image_size: int, framing: str = "face") -> dict[str, Split]:
    """Decode and cut every image of a manifest once.

    An image that cannot be decoded is left out and named in a warning.

    Args:
        manifest: as :func:`deepfake_lab.datasets.read_dataset` returns it.
        image_size: side of the model's input in pixels.
        framing: see :func:`deepfake_lab.images.load_face`.

    Returns:
        A :class:`Split` for each of ``train``, ``valid`` and ``test`` that the manifest has.
    """
    images.check_framing(framing)
    present = [split for split in SPLITS if (manifest["split"] == split).any()]
    return {
        split: _load(manifest[manifest["split"] == split], image_size, framing, split)
        for split in present
    }


def _load(rows: pd.DataFrame, image_size: int, framing: str, name: str) -> Split:
    size = images.frame_size(image_size)
    frames = _room_for((len(rows), size, size, 3))
    face_found = np.zeros(len(rows), dtype=bool)
    failed: dict[int, str] = {}

    def load(row: int, path: str) -> None:
        try:
            framed = images.load_face(path, size, framing)
        except UserError as error:
            failed[row] = str(error)
        else:
            frames[row], face_found[row] = framed.pixels, framed.face is not None

    with ThreadPoolExecutor() as pool:
        work = pool.map(load, range(len(rows)), rows["path"])
        list(progress(work, f"loading {name}", len(rows)))
    rows = rows.assign(face_found=face_found)
    if failed:
        if len(failed) == len(rows):
            raise UserError(f"No image of the {name} split can be read; the first: {failed[0]}")
        listed = "; ".join(failed[row] for row in sorted(failed))
        warnings.warn(f"{len(failed)} images of the {name} split left out: {listed}", stacklevel=3)
        good = np.array([row not in failed for row in range(len(rows))])
        frames, rows = frames[good], rows[good]
    return Split(frames, rows.reset_index(drop=True), image_size)


def _room_for(shape: tuple[int, ...]) -> np.ndarray:
    if np.prod(shape) <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    # The file has no name and vanishes with the array.
    return np.memmap(tempfile.TemporaryFile(), np.uint8, "w+", shape=shape)


def training_batches(split: Split, batch_size: int, augment: bool, seed: int):
    """Return shuffled tf.data batches: (B, H, W, 3) float32 in [0, 255] and (B, 1) float32 0/1.

    The order and every random change follow from `seed`, so two runs see the same pictures.

    Args:
        split: the images.
        batch_size: images per batch; the last batch may be smaller.
        augment: crop, flip, recolor and recompress each picture at random; without it, the
            center is cropped.
        seed: of the order and of the random changes.
    """
    import tensorflow as tf

    labels, size, side = split.labels, split.image_size, split.frames.shape[1]

    def fetch(index):
        frame = tf.numpy_function(lambda i: split.frames[i], [index], tf.uint8, stateful=False)
        return tf.ensure_shape(frame, (side, side, 3)), tf.gather(labels, index)[None]

    def prepare(index, seeds):
        frame, label = fetch(index)
        if augment:
            image = _augment(frame, size, seeds)
        else:
            start = (side - size) // 2
            image = tf.cast(frame[start : start + size, start : start + size], tf.float32)
        return image, label

    indices = tf.data.Dataset.range(len(labels)).shuffle(len(labels), seed=seed)
    seeds = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).batch(2)
    return (
        tf.data.Dataset.zip(indices, seeds)
        .map(prepare, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size)
        .prefetch(2)
    )


def evaluation_batches(split: Split, batch_size: int):
    """Return tf.data batches of the center crops, in the order of the manifest."""
    import tensorflow as tf

    def read(start):
        return split.centered(start, start + batch_size)

    def prepare(start):
        pixels = tf.numpy_function(read, [start], tf.uint8, stateful=False)
        pixels = tf.ensure_shape(pixels, (None, split.image_size, split.image_size, 3))
        return tf.cast(pixels, tf.float32), labels[start : start + batch_size, None]

    labels = tf.constant(split.labels)
    starts = tf.data.Dataset.range(0, len(split.manifest), batch_size)
    return starts.map(prepare, num_parallel_calls=2, deterministic=True).prefetch(2)


def _augment(frame, size: int, seeds):
    """Change one picture as photos change on their way: (S, S, 3) uint8 -> float32 in [0, 255].

    Both labels get the same changes, so that none of them can stand for a label.
    """
    import tensorflow as tf

    def chance(key):
        return tf.random.stateless_uniform([], tf.stack([seeds[0], seeds[1] + key]))

    def own(key):
        return tf.stack([seeds[0], seeds[1] + key])

    image = tf.image.stateless_random_crop(frame, (size, size, 3), own(1))
    image = tf.image.stateless_random_flip_left_right(image, own(2))
    image = tf.cast(image, tf.float32) / 255
    image = tf.image.stateless_random_brightness(image, 0.1, own(3))
    image = tf.image.stateless_random_contrast(image, 0.85, 1.15, own(4))
    image = tf.image.stateless_random_saturation(image, 0.85, 1.15, own(5))
    image = tf.clip_by_value(image, 0, 1)
    image = tf.cond(
        chance(6) < 0.5,
        lambda: tf.image.stateless_random_jpeg_quality(image, 60, 100, own(7)),
        lambda: image,
    )
    return tf.ensure_shape(image, (size, size, 3)) * 255


def augmented_examples(frame: np.ndarray, image_size: int, count: int, seed: int) -> np.ndarray:
    """Return `count` random variants of one frame, as training sees them, to look at.

    Args:
        frame: (S, S, 3) uint8.
        image_size: side of the model's input in pixels.
        count: how many variants.
        seed: of the random changes.

    Returns:
        (count, image_size, image_size, 3) uint8.
    """
    import tensorflow as tf

    variants = [_augment(tf.constant(frame), image_size, tf.constant([seed, i * 100], tf.int64))
                for i in range(count)]  # fmt: skip
    return np.stack(variants).round().astype(np.uint8)
