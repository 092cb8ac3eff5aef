"""From the manifest to batches: the right pictures, the right labels, the same every time."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfake_lab import batches, images, paths
from deepfake_lab.batches import (
    Split,
    augmented_examples,
    evaluation_batches,
    load_splits,
    training_batches,
)
from deepfake_lab.errors import UserError

SIZE = 32
FRAME = images.frame_size(SIZE)
COUNT = 22
PORTRAIT = sorted((paths.project() / "data" / "sample" / "real").glob("*.jpg"))[0]


@pytest.fixture(scope="module")
def split() -> Split:
    """Flat pictures, each of its own brightness; the dark half is real, the bright half fake."""
    levels = np.linspace(30, 220, COUNT).astype(np.uint8)
    frames = np.broadcast_to(levels[:, None, None, None], (COUNT, FRAME, FRAME, 3)).copy()
    labels = np.where(np.arange(COUNT) < COUNT // 2, "real", "fake")
    return Split(frames, pd.DataFrame({"label": labels, "level": levels}), SIZE)


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Six pictures on disk."""
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(6)]
    for path in files:
        pixels = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return files


def _manifest(files: list[Path], split: str = "train") -> pd.DataFrame:
    labels = np.where(np.arange(len(files)) % 2, "fake", "real")
    return pd.DataFrame({"path": [str(f) for f in files], "label": labels, "split": split})


def _all(dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures and labels of one epoch, (N, H, W, 3) and (N, 1)."""
    pixels, labels = zip(*((x.numpy(), y.numpy()) for x, y in dataset))
    return np.concatenate(pixels), np.concatenate(labels)


# --- training ---


@pytest.mark.parametrize("augment", [True, False])
def test_the_same_seed_gives_the_same_pictures_in_the_same_order(split, augment):
    first, second = (training_batches(split, 8, augment, seed=3) for _ in range(2))
    for _ in range(2):  # epochs
        (pixels, labels), (again, labels_again) = _all(first), _all(second)
        np.testing.assert_array_equal(pixels, again)
        np.testing.assert_array_equal(labels, labels_again)


def test_another_seed_gives_another_order(split):
    orders = [_all(training_batches(split, 8, False, seed))[0][:, 0, 0, 0] for seed in (0, 1)]
    assert (orders[0] != orders[1]).any()
    np.testing.assert_array_equal(*map(np.sort, orders))


def test_every_epoch_shows_every_picture_once_in_another_order(split):
    dataset = training_batches(split, 8, False, seed=0)
    orders = [_all(dataset)[0][:, 0, 0, 0] for _ in range(2)]
    assert (orders[0] != orders[1]).any()
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), split.manifest["level"])


def test_every_epoch_augments_anew(split):
    one = Split(split.frames[:1], split.manifest[:1], SIZE)
    dataset = training_batches(one, 1, True, seed=0)
    assert (_all(dataset)[0] != _all(dataset)[0]).any()


@pytest.mark.parametrize("augment", [True, False])
def test_every_picture_keeps_its_label(split, augment):
    pixels, labels = _all(training_batches(split, 8, augment, seed=1))
    # Brightness (at most +-10%) and contrast leave the darkest and the brightest recognizable.
    level = pixels.mean(axis=(1, 2, 3))
    assert labels.shape == (COUNT, 1) and labels.sum() == COUNT - COUNT // 2
    assert (labels[level < 80] == 0).all() and (labels[level > 170] == 1).all()


def test_without_augmentation_the_center_is_cropped():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, FRAME, FRAME, 3), dtype=np.uint8)
    split = Split(frames, pd.DataFrame({"label": ["real", "fake"] * 2}), SIZE)
    pixels, _ = _all(training_batches(split, 4, False, seed=0))
    expected = images.center_crop(frames, SIZE)
    for picture in pixels:
        assert any((picture == wanted).all() for wanted in expected)


def test_pictures_of_every_batch_are_floats_between_0_and_255():
    rng = np.random.default_rng(0)
    frames = rng.choice([0, 255], (16, FRAME, FRAME, 3)).astype(np.uint8)  # the extremes
    split = Split(frames, pd.DataFrame({"label": ["real", "fake"] * 8}), SIZE)
    for dataset in (
        training_batches(split, 8, True, seed=0),
        training_batches(split, 8, False, seed=0),
        evaluation_batches(split, 8),
    ):
        pixels, labels = _all(dataset)
        assert pixels.dtype == np.float32 and pixels.shape == (16, SIZE, SIZE, 3)
        assert pixels.min() >= 0 and 200 < pixels.max() <= 255
        assert set(labels.ravel()) == {0, 1}


def test_batches_have_the_size_that_was_asked_for_and_the_last_the_rest(split):
    sizes = [len(labels) for _, labels in training_batches(split, 8, False, seed=0)]
    assert sizes == [8, 8, 6]
    assert [len(labels) for _, labels in evaluation_batches(split, 8)] == sizes


def test_both_labels_are_augmented_alike():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (FRAME, FRAME, 3), dtype=np.uint8)
    variants = [
        _all(
            training_batches(
                Split(frame[None], pd.DataFrame({"label": [label]}), SIZE), 1, True, seed=5
            )
        )[0]
        for label in ("real", "fake")
    ]
    np.testing.assert_array_equal(*variants)


def test_examples_of_augmentation_differ_and_can_be_had_again():
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (FRAME, FRAME, 3), dtype=np.uint8)
    variants = augmented_examples(frame, SIZE, count=6, seed=0)
    assert variants.shape == (6, SIZE, SIZE, 3) and variants.dtype == np.uint8
    assert len({variant.tobytes() for variant in variants}) == 6
    np.testing.assert_array_equal(variants, augmented_examples(frame, SIZE, count=6, seed=0))


# --- evaluation ---


def test_evaluation_keeps_the_order_of_the_manifest(split):
    pixels, labels = _all(evaluation_batches(split, 8))
    np.testing.assert_array_equal(pixels, split.centered())
    np.testing.assert_array_equal(labels[:, 0], split.labels)


def test_fake_is_1_and_real_is_0(split):
    expected = (split.manifest["label"] == "fake").astype(np.float32)
    np.testing.assert_array_equal(split.labels, expected)


# --- loading ---


def test_pictures_come_in_the_order_of_the_manifest(files):
    train = load_splits(_manifest(files), SIZE)["train"]
    for frame, path in zip(train.frames, files):
        np.testing.assert_array_equal(frame, images.load_face(path, FRAME).pixels)
    assert list(train.manifest["path"]) == [str(file) for file in files]
    assert train.image_size == SIZE


def test_only_the_splits_of_the_manifest_are_loaded(files):
    manifest = pd.concat([_manifest(files[:4], "train"), _manifest(files[4:], "test")])
    splits = load_splits(manifest, SIZE)
    assert {name: len(split.manifest) for name, split in splits.items()} == {"train": 4, "test": 2}


def test_whether_a_face_was_found_is_recorded(files):
    train = load_splits(_manifest([PORTRAIT, files[0]]), SIZE)["train"]
    assert list(train.manifest["face_found"]) == [True, False]


@pytest.mark.parametrize("framing", images.FRAMINGS)
def test_pictures_are_framed_as_asked(framing, tmp_path):
    photo = np.pad(images.read_image(PORTRAIT), ((100, 300), (300, 100), (0, 0)))
    Image.fromarray(photo).save(tmp_path / "wide.png")
    frame = load_splits(_manifest([tmp_path / "wide.png"]), SIZE, framing)["train"].frames[0]
    np.testing.assert_array_equal(frame, images.frame_face(photo, FRAME, framing).pixels)
    other = "whole" if framing == "face" else "face"
    assert (frame != images.frame_face(photo, FRAME, other).pixels).any()


def test_a_corrupt_image_among_good_ones_is_named_in_a_warning_and_left_out(files):
    files[2].write_bytes(files[2].read_bytes()[:500])
    files[4].unlink()
    with pytest.warns(UserWarning, match="2 images of the train split left out") as caught:
        train = load_splits(_manifest(files), SIZE)["train"]
    message = str(caught[0].message)
    assert str(files[2]) in message and str(files[4]) in message
    assert list(train.manifest["path"]) == [str(files[i]) for i in (0, 1, 3, 5)]
    assert list(train.manifest.index) == [0, 1, 2, 3]
    for frame, path in zip(train.frames, train.manifest["path"]):
        np.testing.assert_array_equal(frame, images.load_face(path, FRAME).pixels)


def test_where_no_image_can_be_read_there_is_an_error(files):
    for file in files:
        file.write_bytes(b"")
    with pytest.raises(UserError, match="No image of the train split can be read"):
        load_splits(_manifest(files), SIZE)


def test_an_unknown_framing_is_an_error_that_lists_the_known_ones(files):
    with pytest.raises(UserError, match="known: face, whole"):
        load_splits(_manifest(files), SIZE, "wide")


def test_frames_that_do_not_fit_into_memory_are_the_same_from_a_file(files, monkeypatch):
    in_memory = load_splits(_manifest(files), SIZE)["train"].frames
    monkeypatch.setattr(batches, "IN_MEMORY", 0)
    on_disk = load_splits(_manifest(files), SIZE)["train"]
    assert isinstance(on_disk.frames, np.memmap)
    np.testing.assert_array_equal(on_disk.frames, in_memory)
    np.testing.assert_array_equal(on_disk.centered(), images.center_crop(in_memory, SIZE))
