"""From the manifest to batches: the right pictures, the right labels, the same every time."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images
from deepfake_lab.training import batches
from deepfake_lab.training.augment import STRENGTHS
from deepfake_lab.training.batches import (
    Mix,
    Split,
    augmented_examples,
    evaluation_batches,
    load_splits,
    training_batches,
)

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
    return _split(frames, labels, level=levels)


@pytest.fixture
def files(tmp_path) -> list[Path]:
    """Six pictures on disk."""
    rng = np.random.default_rng(0)
    files = [tmp_path / f"{i}.png" for i in range(6)]
    for path in files:
        pixels = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return files


def _split(frames: np.ndarray, labels, keypoints: np.ndarray | None = None, **columns) -> Split:
    if keypoints is None:
        keypoints = np.full((len(frames), 6, 2), np.nan, np.float32)
    return Split(frames, pd.DataFrame({"label": labels, **columns}), SIZE, keypoints)


def _manifest(files: list[Path], split: str = "train") -> pd.DataFrame:
    labels = np.where(np.arange(len(files)) % 2, "fake", "real")
    return pd.DataFrame({"path": [str(f) for f in files], "label": labels, "split": split})


def _all(dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the pictures and labels of one epoch, (N, H, W, 3) and (N, 1)."""
    pixels, labels = zip(*((x.numpy(), y.numpy()) for x, y in dataset))
    return np.concatenate(pixels), np.concatenate(labels)


# --- training ---


@pytest.mark.parametrize("augment", STRENGTHS)
def test_the_same_seed_gives_the_same_pictures_in_the_same_order(split, augment):
    first, second = (training_batches(split, 8, augment, seed=3) for _ in range(2))
    (pixels, labels), (again, labels_again) = _all(first), _all(second)
    np.testing.assert_array_equal(pixels, again)
    np.testing.assert_array_equal(labels, labels_again)


def test_another_seed_gives_another_order(split):
    orders = [_all(training_batches(split, 8, "none", seed))[0][:, 0, 0, 0] for seed in (0, 1)]
    assert (orders[0] != orders[1]).any()
    np.testing.assert_array_equal(*map(np.sort, orders))


def test_every_epoch_shows_every_picture_once_in_another_order(split):
    pixels, _ = _all(training_batches(split, 8, "none", seed=0, epochs=range(2)))
    orders = pixels[:COUNT, 0, 0, 0], pixels[COUNT:, 0, 0, 0]
    assert (orders[0] != orders[1]).any()
    for order in orders:
        np.testing.assert_array_equal(np.sort(order), split.manifest["level"])


def test_every_epoch_augments_anew(split):
    one = _split(split.frames[:1], ["real"])
    (first, second), _ = _all(training_batches(one, 1, "light", seed=0, epochs=range(2)))
    assert (first != second).any()


def test_a_later_epoch_is_the_same_with_and_without_those_before_it(split):
    (pixels, _), (later, _) = (
        _all(training_batches(split, 8, "light", seed=0, epochs=epochs))
        for epochs in (range(3), range(2, 3))
    )
    np.testing.assert_array_equal(pixels[2 * COUNT :], later)


def test_an_unknown_augmentation_is_refused_with_the_known_ones(split):
    with pytest.raises(UserError, match="'heavy'; known: none, light, strong, mixed"):
        training_batches(split, 8, "heavy", seed=0)


@pytest.mark.parametrize("augment", ["none", "light"])
def test_every_picture_keeps_its_label(split, augment):
    pixels, labels = _all(training_batches(split, 8, augment, seed=1))
    # Brightness (at most +-10%) and contrast leave the darkest and the brightest recognizable.
    level = pixels.mean(axis=(1, 2, 3))
    assert labels.shape == (COUNT, 1) and labels.sum() == COUNT - COUNT // 2
    assert (labels[level < 80] == 0).all() and (labels[level > 170] == 1).all()


def test_without_augmentation_the_center_is_cropped():
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (4, FRAME, FRAME, 3), dtype=np.uint8)
    split = _split(frames, ["real", "fake"] * 2)
    pixels, _ = _all(training_batches(split, 4, "none", seed=0))
    expected = images.center_crop(frames, SIZE)
    for picture in pixels:
        assert any((picture == wanted).all() for wanted in expected)


def test_pictures_of_every_batch_are_floats_between_0_and_255():
    rng = np.random.default_rng(0)
    frames = rng.choice([0, 255], (16, FRAME, FRAME, 3)).astype(np.uint8)  # the extremes
    split = _split(frames, ["real", "fake"] * 8)
    for dataset in (
        training_batches(split, 8, "light", seed=0),
        training_batches(split, 8, "none", seed=0),
        evaluation_batches(split, 8),
    ):
        pixels, labels = _all(dataset)
        assert pixels.dtype == np.float32 and pixels.shape == (16, SIZE, SIZE, 3)
        assert pixels.min() >= 0 and 200 < pixels.max() <= 255
        assert set(labels.ravel()) == {0, 1}


def test_batches_have_the_size_that_was_asked_for_and_the_last_the_rest(split):
    sizes = [len(labels) for _, labels in training_batches(split, 8, "none", seed=0)]
    assert sizes == [8, 8, 6]
    assert [len(labels) for _, labels in evaluation_batches(split, 8)] == sizes


def test_what_devices_cannot_share_equally_is_left_out_of_an_epoch(split):
    whole, _ = _all(training_batches(split, 8, "none", seed=0))
    shared, labels = _all(training_batches(split, 8, "none", seed=0, devices=4))
    assert (len(whole), len(shared), len(labels)) == (22, 20, 20)
    np.testing.assert_array_equal(shared, whole[:20])


def test_photos_of_no_weight_fill_up_what_devices_measure(split):
    photos, labels, weights = (
        np.concatenate(parts) for parts in zip(*evaluation_batches(split, 8, devices=4))
    )
    assert (len(photos), len(labels), len(weights)) == (24, 24, 24)
    np.testing.assert_array_equal(photos[:22], split.centered())
    np.testing.assert_array_equal(labels[:22, 0], split.labels)
    assert set(weights[22:]) == {0}
    values = np.arange(24)
    assert (values * weights).mean() == pytest.approx(values[:22].mean())


@pytest.mark.parametrize("augment", ["light", "strong"])
def test_both_labels_are_augmented_alike(augment):
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 256, (FRAME, FRAME, 3), dtype=np.uint8)
    variants = [
        _all(training_batches(_split(frame[None], [label]), 1, augment, seed=5))[0]
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


# --- drawing from several sources ---


@pytest.fixture(scope="module")
def mixed() -> Split:
    """Ten real photos of one source, two of another, eight fakes; flat, with faces in them."""
    sources = ["a"] * 10 + ["b"] * 2 + ["c"] * 8
    labels = ["real"] * 12 + ["fake"] * 8
    frames = np.empty((20, FRAME, FRAME, 3), np.uint8)
    frames[:] = np.arange(20, dtype=np.uint8)[:, None, None, None] * 10 + 20
    points = np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.5, 0.7], [0.2, 0.5], [0.8, 0.5]])
    keypoints = np.repeat(points[None] * FRAME, 20, axis=0).astype(np.float32)
    return _split(frames, labels, keypoints, source=sources)


def _drawn(split: Split, mix: Mix, augment: str = "none") -> tuple[np.ndarray, np.ndarray]:
    return _all(training_batches(split, 16, augment, seed=0, mix=mix))


def test_an_epoch_draws_from_each_source_by_its_share(mixed):
    pixels, labels = _drawn(mixed, Mix(400, {"real/a": 1, "real/b": 2, "fake/c": 1}))
    row = (pixels[:, 0, 0, 0] - 20) / 10
    shares = [(row < 10).mean(), ((row >= 10) & (row < 12)).mean(), (row >= 12).mean()]
    np.testing.assert_allclose(shares, [0.25, 0.5, 0.25], atol=0.06)
    np.testing.assert_array_equal(labels[:, 0], row >= 12)


def test_a_source_with_the_share_0_is_never_drawn(mixed):
    pixels, _ = _drawn(mixed, Mix(200, {"real/a": 0, "real/b": 1, "fake/c": 1}))
    assert (pixels[:, 0, 0, 0] >= 120).all()


def test_forgeries_are_made_of_real_photos_and_count_as_fakes(mixed):
    mix = Mix(100, {"real/a": 1, "real/b": 1, "fake/c": 1}, forged=0.3)
    pixels, labels = _drawn(mixed, mix)
    real = pixels[:, 0, 0, 0] < 140  # the corner shows which photo it was; the face is elsewhere
    assert (real & (labels[:, 0] == 1)).sum() == 30
    changed = (pixels != pixels[:, :1, :1]).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(changed, real & (labels[:, 0] == 1))


def test_a_source_may_have_a_share_of_forgeries_of_its_own(mixed):
    mix = Mix(100, {"real/a": 1, "real/b": 0, "fake/c": 0, "forged/b": 1})
    pixels, labels = _drawn(mixed, mix)
    of_b = pixels[:, 0, 0, 0] >= 120  # the corner shows which photo it was
    np.testing.assert_array_equal(labels[:, 0], of_b)
    assert of_b.sum() == 50


def test_pairs_are_the_same_photo_changed_lightly_and_strongly(mixed):
    mix = Mix(40, {"real/a": 1, "real/b": 1, "fake/c": 1}, forged=0.3)
    batches = training_batches(mixed, 16, "none", seed=0, mix=mix, pairs=True)
    pixels, labels = _all(batches)
    assert len(pixels) == 80
    np.testing.assert_array_equal(labels[::2], labels[1::2])
    light, strong = pixels[::2], pixels[1::2]
    assert (light != strong).any(axis=(1, 2, 3)).all()
    plain, _ = _all(training_batches(mixed, 16, "light", seed=0, mix=mix))
    np.testing.assert_array_equal(light, plain)


def test_photos_without_a_face_are_not_forged(mixed):
    blind = _split(mixed.frames, mixed.manifest["label"], source=mixed.manifest["source"])
    _, labels = _drawn(blind, Mix(100, {"real/a": 1, "real/b": 1, "fake/c": 0}, forged=0.3))
    assert not labels.any()


@pytest.mark.parametrize(
    ("shares", "named"),
    [({"real/a": 1, "fake/c": 1}, "no share to real/b"),
     ({"real/a": 0, "real/b": 0, "fake/c": 0}, "any of the photos"),
     ({"real/a": 1, "real/b": 1, "fake/c": 1, "forged/c": 1}, "forgeries of c: no real photos")],
)  # fmt: skip
def test_a_mix_that_does_not_fit_the_photos_is_refused(mixed, shares, named):
    with pytest.raises(UserError, match=named):
        training_batches(mixed, 8, "none", seed=0, mix=Mix(8, shares))


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
    photo = np.pad(images.read_image(PORTRAIT), ((100, 300), (300, 100), (0, 0)), "linear_ramp")
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


@pytest.mark.parametrize(("split", "word"), [("train", "learned"), ("valid", "calibrated")])
@pytest.mark.parametrize("lacks", ["real", "fake"])
def test_a_split_that_lacks_a_label_is_refused_before_a_photo_is_read(split, word, lacks):
    rows = [("nowhere.jpg", label, s) for s in ("train", "valid") for label in ("real", "fake")]
    rows = [row for row in rows if row[1:] != (lacks, split)]
    manifest = pd.DataFrame(rows, columns=["path", "label", "split"])
    with pytest.raises(UserError, match=f"{split} split has no {lacks} photos: nothing .* {word}"):
        load_splits(manifest, 64)
