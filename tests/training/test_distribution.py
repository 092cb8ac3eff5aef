"""One training divided among devices: two processors that JAX makes of one, in its own process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deepfake_lab.litert import Graph

pytest.importorskip("jax")

# Sums over a batch are taken half by half on two devices: their last bits differ, and Adam, which
# divides each gradient by its size, makes more of it.
WEIGHTS, LOSS = 1e-5, 1e-5

#: What a process does; the same folder of results is given to each.
SCRIPT = """
import json, sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers

from deepfake_lab.errors import UserError
from deepfake_lab.training.batches import Split
from deepfake_lab.training.fitting import compute_features, fit, fit_head
from deepfake_lab.training.models import feature_extractor
from deepfake_lab.training.runs import to_tflite

out = Path(sys.argv[1])
rng = np.random.default_rng(0)


def split(count):
    labels = (["real", "fake"] * count)[:count]
    color = np.array([(90, 100, 130) if label == "real" else (130, 100, 90) for label in labels])
    frames = color[:, None, None] + rng.integers(-80, 80, (count, 37, 37, 3))
    keypoints = np.full((count, 6, 2), np.nan, np.float32)
    manifest = pd.DataFrame({"label": labels})
    return Split(frames.clip(0, 255).astype(np.uint8), manifest, 32, keypoints)


def on(devices):
    found = keras.distribution.list_devices("cpu")[:devices]
    assert len(found) == devices
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found))


def small_model():
    photo = keras.Input((32, 32, 3))
    kernel = keras.initializers.HeNormal(1)  # no bias: before a norm its gradient is mere rounding
    first = layers.Conv2D(8, 3, strides=2, use_bias=False, kernel_initializer=kernel)
    norm = layers.BatchNormalization(momentum=0.9)
    x = keras.Sequential([layers.Rescaling(1 / 255), first, norm], name="backbone")(photo)
    x = layers.GlobalAveragePooling2D(name="pool")(layers.ReLU()(x))
    x = layers.Dropout(0.3, seed=0, name="dropout")(x)
    kernel = keras.initializers.GlorotUniform(seed=0)
    return keras.Model(photo, layers.Dense(1, kernel_initializer=kernel, name="logit")(x))


def train(name, checkpoint=None, **more):
    model = small_model()
    history = fit(
        model, twenty_four, thirteen, epochs=4, learning_rate=1e-2, batch_size=8, average=0.9,
        checkpoint=out / checkpoint if checkpoint else None, verbose=0, **more,
    )
    history.to_csv(out / f"{name}.csv", index=False)
    np.savez(out / f"{name}.npz", *model.get_weights())
    return model


def head(name):
    model = small_model()
    history = fit_head(
        model, twenty_four, thirteen, epochs=2, learning_rate=1e-2, batch_size=16
    )
    history.to_csv(out / f"{name}.csv", index=False)
    np.save(out / f"{name}.npy", compute_features(feature_extractor(model), thirteen))


twenty_four, thirteen = split(24), split(13)
train("one")
train("begun", checkpoint="state", stop_after=1)
head("head one")
on(2)
model = train("two")
(out / "model.tflite").write_bytes(to_tflite(model))
np.save(out / "logits.npy", model.predict_on_batch(twenty_four.centered().astype(np.float32)))
np.save(out / "photos.npy", twenty_four.centered())
train("gone on", checkpoint="state")
head("head two")
said = {}
for name, photos, batch_size in (("odd", thirteen, 7), ("few", split(1), 8)):
    try:
        fit(small_model(), photos, thirteen, epochs=1, learning_rate=1e-3,
            batch_size=batch_size, verbose=0)
    except UserError as error:
        said[name] = str(error)
(out / "said.json").write_text(json.dumps(said))
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Path:
    """A folder with the weights and histories of the same trainings on one and two devices."""
    folder = tmp_path_factory.mktemp("divided")
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


def _apart(one: Path, other: Path) -> float:
    with np.load(one) as first, np.load(other) as second:
        assert first.files == second.files
        return max(float(np.abs(first[name] - second[name]).max()) for name in first.files)


def _history(file: Path) -> np.ndarray:
    return np.genfromtxt(file, delimiter=",", names=True)


def _same_history(one: Path, other: Path) -> None:
    first, second = _history(one), _history(other)
    assert first.dtype.names == second.dtype.names
    for name in first.dtype.names:
        np.testing.assert_allclose(first[name], second[name], atol=LOSS, err_msg=name)


def test_two_devices_end_where_one_does(results):
    assert _apart(results / "one.npz", results / "two.npz") < WEIGHTS


def test_something_was_learned_so_that_the_same_says_something(results):
    losses = _history(results / "one.csv")["loss"]
    assert losses[-1] < 0.8 * losses[0]


def test_two_devices_measure_what_one_does_on_photos_that_they_cannot_share_equally(results):
    _same_history(results / "one.csv", results / "two.csv")


def test_what_one_device_began_two_go_on_with(results):
    assert _apart(results / "one.npz", results / "gone on.npz") < WEIGHTS
    _same_history(results / "one.csv", results / "gone on.csv")


def test_the_logit_alone_learns_on_two_devices_as_on_one(results):
    _same_history(results / "head one.csv", results / "head two.csv")


def test_features_of_photos_that_two_devices_cannot_share_equally_are_all_there(results):
    one, two = (np.load(results / f"head {name}.npy") for name in ("one", "two"))
    assert len(two) == 13
    np.testing.assert_allclose(one, two, atol=1e-5)


def test_what_jax_trained_answers_on_litert(results):
    graph = Graph((results / "model.tflite").read_bytes())
    answers = [graph.run(photo)["logit"] for photo in np.load(results / "photos.npy")]
    np.testing.assert_allclose(answers, np.load(results / "logits.npy"), atol=1e-4)


def test_a_batch_that_the_devices_cannot_share_is_refused_with_what_to_do(results):
    said = json.loads((results / "said.json").read_text())
    assert said["odd"] == "batch_size is 7, but 2 devices share each batch: make it 8."
    assert said["few"] == "2 devices cannot share 1 photos: use fewer devices."
