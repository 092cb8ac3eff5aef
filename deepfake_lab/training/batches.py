"""Manifest -> pixels -> tf.data batches; which photos an epoch draws, and in which variant.

The only module that uses tf.data; TensorFlow is imported when the first batch is built.
"""

import contextlib
import hashlib
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from deepfake_lab.data.datasets import SPLITS
from deepfake_lab.data.factstore import code_version
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images
from deepfake_lab.progress import progress
from deepfake_lab.training.augment import augment as change, check_strength
from deepfake_lab.training.forge import SELF, can_forge, forge

if TYPE_CHECKING:
    import tensorflow as tf

#: Frames of one split that take more memory than this many bytes are kept in a temporary file.
IN_MEMORY = 2 * 1024**3


@dataclass(frozen=True)
class Split:
    """The images of one split, cut and ready.

    Attributes:
        frames: (N, S, S, 3) uint8 RGB in [0, 255], S as :func:`images.frame_size` says.
        manifest: (N rows) the manifest of these images, in the same order, plus ``face_found``.
        image_size: side of the model's input in pixels; a smaller one than the frames were cut for
            makes training see a window at a random place of each.
        keypoints: (N, 6, 2) float32, where eyes, nose, mouth and ears lie in the frame, in pixels
            (see :class:`deepfake_lab.photos.faces.Face`); NaN where no face was found.
    """

    frames: np.ndarray
    manifest: pd.DataFrame
    image_size: int
    keypoints: np.ndarray

    @property
    def labels(self) -> np.ndarray:
        """Return (N,) float32: 1 for fake, 0 for real."""
        return (self.manifest["label"] == "fake").to_numpy(np.float32)

    def centered(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return the model's view of the images, (N, image_size, image_size, 3) uint8."""
        return images.center_crop(self.frames[start:stop], self.image_size)

    def worn(self, seed: int) -> np.ndarray:
        """Return each image once as photos come out of a journey, shape and dtype as centered."""
        rngs = np.random.default_rng(seed).spawn(len(self.frames))
        return np.stack([
            change(frame, self.image_size, "strong", rng) for frame, rng in zip(self.frames, rngs)
        ])  # fmt: skip


def load_splits(
    manifest: pd.DataFrame, image_size: int, framing: str = "face", cache: Path | None = None
) -> dict[str, Split]:
    """Decode and cut every image of a manifest once.

    An image that cannot be decoded is left out and named in a warning.

    Args:
        manifest: as :func:`deepfake_lab.data.datasets.read_dataset` returns it.
        image_size: side of the model's input in pixels.
        framing: see :func:`deepfake_lab.photos.images.load_face`.
        cache: a folder in which frames are kept for the next time; None for no such time. Frames
            of other photos, another size or another version of the code that cuts them are cut
            anew; what is no longer needed there may be deleted.

    Raises:
        UserError: of data to train on, `train` or `valid` lacks a label: nothing could be learned
            or calibrated. (A `test` that lacks one is said in the metrics.)

    Returns:
        A :class:`Split` for each of ``train``, ``valid`` and ``test`` that the manifest has.
    """
    images.check_framing(framing)
    _check_labels(manifest)
    present = [split for split in SPLITS if (manifest["split"] == split).any()]
    return {
        split: _load(manifest[manifest["split"] == split], image_size, framing, split, cache)
        for split in present
    }


def _check_labels(manifest: pd.DataFrame) -> None:
    if not {"train", "valid"} <= set(manifest["split"]):
        return  # not to be trained on
    for split in ("train", "valid"):
        there = manifest.loc[manifest["split"] == split, "label"].unique()
        if len(there) == 1:
            lacks = "fake" if there[0] == "real" else "real"
            raise UserError(
                f"The {split} split has no {lacks} photos: nothing can be "
                f"{'learned' if split == 'train' else 'calibrated'} from it. Put {lacks} photos "
                f"into {split}, or make the splits anew."
            )


def _load(
    rows: pd.DataFrame, image_size: int, framing: str, name: str, cache: Path | None
) -> Split:
    size = images.frame_size(image_size)
    kept = cache / f"{name}-{_key(rows, size, framing)}" if cache else None
    if kept is not None and kept.is_dir():
        frames = np.load(kept / "frames.npy", mmap_mode="r")
        keypoints, good = np.load(kept / "keypoints.npy"), np.load(kept / "rows.npy")
    else:
        work = kept and Path(tempfile.mkdtemp(prefix=f".{name}-", dir=_made(kept.parent)))
        frames, keypoints, good = _cut(rows, size, framing, name, work)
        if kept is not None and work is not None:
            np.save(work / "keypoints.npy", keypoints)
            np.save(work / "rows.npy", good)
            with contextlib.suppress(OSError):  # another training was quicker: its are the same
                work.rename(kept)
    found = ~np.isnan(keypoints[:, 0, 0])
    rows = rows.iloc[good].assign(face_found=found).reset_index(drop=True)
    return Split(frames[: len(good)], rows, image_size, keypoints)


def _cut(
    rows: pd.DataFrame, size: int, framing: str, name: str, folder: Path | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return frames (at least N, S, S, 3), keypoints (N, 6, 2), and which rows could be read (N,).

    With a folder, the frames lie there in ``frames.npy``.
    """
    frames = _room_for((len(rows), size, size, 3), folder)
    keypoints = np.full((len(rows), 6, 2), np.nan, np.float32)
    failed: dict[int, str] = {}

    def load(row: int, path: str) -> None:
        try:
            framed = images.load_face(path, size, framing)
        except UserError as error:
            failed[row] = str(error)
        else:
            frames[row] = framed.pixels
            if framed.face is not None:
                keypoints[row] = framed.square.place(framed.face.keypoints, size)

    with ThreadPoolExecutor() as pool:
        work = pool.map(load, range(len(rows)), rows["path"])
        list(progress(work, f"loading {name}", len(rows)))
    good = np.array([row for row in range(len(rows)) if row not in failed], int)
    if failed:
        if len(failed) == len(rows):
            raise UserError(f"No image of the {name} split can be read; the first: {failed[0]}")
        listed = "; ".join(failed[row] for row in sorted(failed))
        warnings.warn(f"{len(failed)} images of the {name} split left out: {listed}", stacklevel=4)
        for to, row in enumerate(good):  # in place: the frames may lie in a file for want of memory
            frames[to] = frames[row]
    return frames, keypoints[good], good


def _key(rows: pd.DataFrame, size: int, framing: str) -> str:
    """Return a name for these photos, cut this way by this code."""
    digest = hashlib.blake2b(f"{code_version()} {size} {framing}".encode(), digest_size=8)
    digest.update("\n".join(rows["path"].astype(str) + rows["fingerprint"].astype(str)).encode())
    return digest.hexdigest()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _room_for(shape: tuple[int, ...], folder: Path | None) -> np.ndarray:
    if folder is not None:
        return np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, shape)
    if np.prod(shape) <= IN_MEMORY:
        return np.empty(shape, np.uint8)
    # The file has no name and vanishes with the array.
    return np.memmap(tempfile.TemporaryFile(), np.uint8, "w+", shape=shape)


@dataclass(frozen=True)
class Mix:
    """How an epoch draws from several sources, so that none of them can stand for a label.

    Attributes:
        photos: how many photos an epoch draws, with replacement.
        shares: ``label/source`` -> its share of the draws; they are brought to a sum of 1. Every
            source of the training split must be named (0 leaves one out). ``forged/source`` is
            the share of fakes that :func:`deepfake_lab.training.forge.forge` makes of that
            source's real photos.
        forged: share of the draws that are forgeries of any source's real photos, drawn by the
            shares; the shares divide the rest.
    """

    photos: int
    shares: dict[str, float]
    forged: float = 0.0


def training_batches(
    split: Split,
    batch_size: int,
    augment: str,
    seed: int,
    epochs: range = range(1),
    mix: Mix | None = None,
    pairs: bool = False,
    devices: int = 1,
) -> "tf.data.Dataset":
    """Return tf.data batches: (B, H, W, 3) float32 in [0, 255] and (B, 1) float32 0/1.

    Order, draws, forgeries and changes follow from the seed and the epoch's number alone: two runs
    see the same pictures, and a run that is taken up again goes on with those it would have seen.

    Args:
        split: the images.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        augment: see :func:`deepfake_lab.training.augment.augment`.
        seed: of order and random changes.
        epochs: the numbers of the epochs, counted from 0, that follow one another.
        mix: what an epoch draws; by default each photo once.
        pairs: let each photo drawn come twice in a row, changed ``light`` and ``strong``, whatever
            `augment` says.
        devices: that share each batch equally; the batch size is a multiple of it, and the last
            photos of an epoch that cannot be shared are left out.

    Raises:
        UserError: an unknown augmentation, or a mix that does not fit the photos.
    """
    check_strength(augment)
    parts = [
        _epoch(split, batch_size, augment, (seed, epoch), mix, pairs, devices) for epoch in epochs
    ]
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.concatenate(part)
    return joined.prefetch(2)


def _epoch(
    split: Split, batch_size: int, augment: str, seeds: tuple[int, int], mix: Mix | None,
    pairs: bool, devices: int,
) -> "tf.data.Dataset":  # fmt: skip
    import tensorflow as tf

    rows, forged = _draws(split, seeds, mix)
    shared = len(rows) - len(rows) % devices
    rows, forged = rows[:shared], forged[:shared]
    strengths = ("light", "strong") if pairs else (augment,)
    rows, forged = np.repeat(rows, len(strengths)), np.repeat(forged, len(strengths))
    labels = np.where(forged, 1, split.labels[rows]).astype(np.float32)[:, None]  # (n, 1)
    donors = _forgeable(split) if forged.any() else {}

    def picture(position: int) -> np.ndarray:
        number, strength = divmod(position, len(strengths))
        rng = np.random.default_rng((*seeds, number))  # so that both of a pair are forged alike
        frame = split.frames[rows[position]]
        if forged[position]:
            frame = _forgery(split, rows[position], donors, rng)
        return change(frame, split.image_size, strengths[strength], rng).astype(np.float32)

    def prepare(position: "tf.Tensor") -> "tf.Tensor":
        image = tf.numpy_function(picture, [position], tf.float32, stateful=False)
        return tf.ensure_shape(image, (split.image_size, split.image_size, 3))

    positions = tf.data.Dataset.range(len(rows))
    pictures = positions.map(prepare, num_parallel_calls=2, deterministic=True)
    return tf.data.Dataset.zip(pictures, tf.data.Dataset.from_tensor_slices(labels)).batch(
        batch_size
    )


def _draws(split: Split, seeds: tuple[int, int], mix: Mix | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of an epoch in their order, (n,) int, and which are forged, (n,) bool."""
    rng = np.random.default_rng(seeds)
    if mix is None:
        rows = rng.permutation(len(split.manifest))
        return rows, np.zeros(len(rows), dtype=bool)
    keys = split.manifest["label"] + "/" + split.manifest["source"]
    _check_mix(mix, set(keys))
    weights = (keys.map(mix.shares) / keys.map(keys.value_counts())).to_numpy(float)
    good = (split.labels == 0) & can_forge(split.keypoints, split.frames.shape[1])
    any_source, own_source = weights * good, _forged_weights(split, mix, good)
    count = round(mix.forged * mix.photos) if any_source.any() else 0
    own = own_source.sum() / (weights.sum() + own_source.sum())
    counts = (mix.photos - count - round(own * (mix.photos - count)), count)
    rows = np.concatenate([
        rng.choice(len(part), number, p=part / part.sum()) if number else np.array([], int)
        for part, number in zip(
            (weights, any_source, own_source), (*counts, mix.photos - sum(counts))
        )
    ])  # fmt: skip
    order = rng.permutation(mix.photos)
    return rows[order], (np.arange(mix.photos) >= counts[0])[order]


def _forged_weights(split: Split, mix: Mix, good: np.ndarray) -> np.ndarray:
    """Return how often each photo is the base of its own source's forgeries, (N,)."""
    sources = split.manifest["source"].where(good)
    shares = ("forged/" + sources).map(mix.shares) / sources.map(sources.value_counts())
    return shares.fillna(0).to_numpy(float)


def _check_mix(mix: Mix, present: set[str]) -> None:
    asked = {key.removeprefix("forged/") for key in mix.shares if key.startswith("forged/")}
    if unknown := sorted(source for source in asked if f"real/{source}" not in present):
        raise UserError(
            f"The mix asks for forgeries of {', '.join(unknown)}: no real photos of it."
        )
    missing = sorted(present - set(mix.shares))
    if missing or not any(mix.shares.get(key, 0) > 0 for key in present):
        raise UserError(
            f"The mix gives no share to {', '.join(missing) or 'any of the photos'}; the training "
            f"photos are from {', '.join(sorted(present))}."
        )


def _forgeable(split: Split) -> dict[str, np.ndarray]:
    """Return the rows of real photos that can be forged, by source."""
    good = can_forge(split.keypoints, split.frames.shape[1]) & (split.labels == 0)
    rows = pd.Series(np.flatnonzero(good))
    return {
        str(source): part.to_numpy()
        for source, part in rows.groupby(split.manifest["source"].to_numpy()[good])
    }


def _forgery(
    split: Split, row: int, forgeable: dict[str, np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Return a forged variant of a real photo; a foreign donor is of the same source."""
    donor = row
    if rng.random() >= SELF:
        donor = rng.choice(forgeable[str(split.manifest["source"].iat[row])])
    frames, keypoints = split.frames, split.keypoints
    return forge(frames[row], keypoints[row], frames[donor], keypoints[donor], rng)


def evaluation_batches(split: Split, batch_size: int, devices: int = 1) -> "tf.data.Dataset":
    """Return tf.data batches of the center crops, in the order of the manifest.

    Where devices share each batch, a third part is the weight of each photo, (B,) float32: the last
    batch may have to be filled up (see :func:`shared_rows`). The batch size is a multiple of them.
    """
    import tensorflow as tf

    rows, weights = shared_rows(len(split.manifest), devices)

    def read(start: int) -> np.ndarray:
        pixels = split.centered(start, start + batch_size)
        return pixels[rows[start : start + batch_size] - start]

    def prepare(start: "tf.Tensor") -> tuple["tf.Tensor", ...]:
        pixels = tf.numpy_function(read, [start], tf.uint8, stateful=False)
        pixels = tf.ensure_shape(pixels, (None, split.image_size, split.image_size, 3))
        these = slice(start, start + batch_size)
        batch = tf.cast(pixels, tf.float32), labels[these, None]
        return batch if devices == 1 else (*batch, weight[these])

    labels, weight = tf.constant(split.labels[rows]), tf.constant(weights)
    starts = tf.data.Dataset.range(0, len(split.manifest), batch_size)
    return starts.map(prepare, num_parallel_calls=2, deterministic=True).prefetch(2)


def shared_rows(count: int, devices: int) -> tuple[np.ndarray, np.ndarray]:
    """Return rows 0 to count - 1, filled up to a multiple of the devices, and their weights.

    The last row is repeated, with a weight of zero. The other weights are such that a mean over all
    rows, as Keras takes it of the loss, is the mean over the rows that are asked for.

    Returns:
        (n,) int and (n,) float32, with n a multiple of `devices`.
    """
    numbers = np.arange(count + -count % devices)
    weights = np.where(numbers < count, len(numbers) / count, 0)
    return np.minimum(numbers, count - 1), weights.astype(np.float32)


def augmented_examples(
    frame: np.ndarray, image_size: int, count: int, seed: int, augment: str = "light"
) -> np.ndarray:
    """Return `count` random variants of one frame, as training sees them, to look at.

    Args:
        frame: (S, S, 3) uint8.
        image_size: side of the model's input in pixels.
        count: how many variants.
        seed: of the random changes.
        augment: see :func:`deepfake_lab.training.augment.augment`.

    Returns:
        (count, image_size, image_size, 3) uint8.
    """
    check_strength(augment)
    generators = np.random.default_rng(seed).spawn(count)
    return np.stack([change(frame, image_size, augment, rng) for rng in generators])
