"""The parts of ``engine.py`` that need TensorFlow or another runtime, each in its own process.

    python benchmarks/engine_peers.py answer|speed|parity|pipeline|transfer|torch --model DIR

The last line that a part prints is its result, as JSON (``answer`` prints a verdict).
"""

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.judgement import verdict_line
from deepfake_lab.litert import cores, make_interpreter

SAMPLE = paths.project() / "data" / "sample"
FILES = sorted(SAMPLE.rglob("*.jpg"))

#: Crops that are scored together where throughput is measured, and how many at a time.
MANY, BATCH = 256, 32

#: Learning rate of the comparison of two ways to train the logit.
RATE = 3e-3


def load_keras(detector: Detector):
    import keras

    return keras.models.load_model(detector.folder / "model.keras", compile=False)


def answer(detector: Detector, options: argparse.Namespace) -> None:
    """Print the verdict as most programs get it: Keras, model.predict."""
    crop = detector.frame(options.photo).pixels[None].astype(np.float32)
    logit = load_keras(detector).predict(crop, verbose=0)[0, 0]
    p_fake = float(detector.probability(logit))
    fake = p_fake >= 0.5
    print(verdict_line("FAKE" if fake else "REAL", p_fake if fake else 1 - p_fake))


def speed(detector: Detector, options: argparse.Namespace) -> None:
    """One photo and many, by every runtime that is here; all in turn."""
    import tensorflow as tf
    from engine import in_turn  # this folder is on the path: it holds the script

    keras_model = load_keras(detector)
    file = str(FILES[-1])
    crop = detector.frame(file).pixels[None]  # (1, S, S, 3) uint8
    floats = crop.astype(np.float32)
    many = np.repeat(floats, MANY, axis=0)

    @tf.function
    def call(batch):
        return keras_model(batch, training=False)

    def compiled(batch: np.ndarray) -> np.ndarray:
        return call(tf.constant(batch)).numpy()

    def compiled_many() -> None:
        for start in range(0, MANY, BATCH):
            compiled(many[start : start + BATCH])

    bare = make_interpreter((detector.folder / "model.tflite").read_bytes(), cores())
    bare.set_tensor(bare.get_input_details()[0]["index"], floats)
    one = {
        "engine": lambda: detector.logits(crop),
        "bare LiteRT invoke": bare.invoke,
        "compiled Keras call": lambda: compiled(floats),
        "model.predict": lambda: keras_model.predict(floats, verbose=0),
    }
    whole = {
        "engine": lambda: detector.predict(file),
        "compiled Keras call": lambda: compiled(
            detector.frame(file).pixels[None].astype(np.float32)
        ),
        "model.predict": lambda: keras_model.predict(
            detector.frame(file).pixels[None].astype(np.float32), verbose=0
        ),
    }
    batches = {
        "engine": lambda: detector.logits(many),
        "compiled Keras call": compiled_many,
        "model.predict": lambda: keras_model.predict(many, batch_size=BATCH, verbose=0),
    }
    if find_spec("openvino"):
        openvino = openvino_model(detector)
        one["OpenVINO"] = lambda: openvino(floats)
        batches["OpenVINO"] = lambda: [openvino(crop[None]) for crop in many]
    single = in_turn(one, options.rounds)
    end_to_end = in_turn(whole, options.rounds)
    throughput = in_turn(batches, max(2, options.rounds // 13))
    rates = {way: round(1000 * MANY / ms, 1) for way, ms in throughput.items()}
    if find_spec("torch"):
        single["Keras on PyTorch"], rates["Keras on PyTorch"] = torch_in_its_own_process(options)
    print(json.dumps({
        "score_one_photo_ms": single, "end_to_end_ms": end_to_end, "crops_per_second": rates,
    }))  # fmt: skip


def openvino_model(detector: Detector):
    import openvino

    core = openvino.Core()
    model = core.read_model(detector.folder / "model.tflite")
    return core.compile_model(model, "CPU", {"PERFORMANCE_HINT": "LATENCY"})


def torch_in_its_own_process(options: argparse.Namespace) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, __file__, "torch", "--model", options.model],
        env=os.environ | {"KERAS_BACKEND": "torch"}, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return tuple(json.loads(done.stdout.splitlines()[-1]))


def torch(detector: Detector, options: argparse.Namespace) -> None:
    """The same network with PyTorch as Keras' backend."""
    import torch
    from engine import in_turn

    model = load_keras(detector)
    crop = detector.frame(str(FILES[-1])).pixels[None].astype(np.float32)
    many = torch.from_numpy(np.repeat(crop, BATCH, axis=0))
    one = torch.from_numpy(crop)
    with torch.inference_mode():
        ways = {"one": lambda: model(one), "many": lambda: model(many)}
        ms = in_turn(ways, max(2, options.rounds // 4))
    print(json.dumps([ms["one"], round(1000 * BATCH / ms["many"], 1)]))


def parity(detector: Detector, options: argparse.Namespace) -> None:
    """Compare raw scores, over the sample and the 140k test split where it is there."""
    sets = {"sample": FILES}
    more = os.environ.get("DEEPFAKE_LAB_DATA")
    if more and (Path(more) / "140k").is_dir():
        from deepfake_lab.data.datasets import read_dataset

        manifest = read_dataset("140k").manifest
        sets["140k test"] = list(manifest.loc[manifest["split"] == "test", "path"])
    model, found = load_keras(detector), {}
    for name, files in sets.items():
        crops = np.stack([detector.frame(file).pixels for file in files])
        by_keras = model.predict(crops.astype(np.float32), batch_size=BATCH, verbose=0)[:, 0]
        by_litert = detector.logits(crops)
        alone = np.array([detector.logits(crop[None])[0] for crop in crops])
        found[name] = {
            "photos": len(files),
            "largest_difference": float(np.abs(by_litert - by_keras).max()),
            "alone_and_together_are_equal": bool((alone == by_litert).all()),
            "logits_from": float(by_litert.min()), "to": float(by_litert.max()),
        }  # fmt: skip
    print(json.dumps(found))


def pipeline(detector: Detector, options: argparse.Namespace) -> None:
    """The training's input, photos per second, against a bare decode."""
    from deepfake_lab.data.datasets import read_dataset
    from deepfake_lab.training.augment import STRENGTHS
    from deepfake_lab.training.batches import load_splits, training_batches

    manifest = read_dataset("sample").manifest
    files = list(manifest["path"])
    decode(files)
    start = time.perf_counter()
    decode(files)
    decoded = len(files) / (time.perf_counter() - start)
    start = time.perf_counter()
    splits = load_splits(manifest, 224)
    loaded = len(files) / (time.perf_counter() - start)
    rates = {"bare decode": round(decoded), "decode, face, crop (once)": round(loaded)}
    for strength in STRENGTHS:
        batches = training_batches(splits["train"], BATCH, strength, 0, range(2))
        photos, start = 0, time.perf_counter()
        for pixels, _ in batches:
            photos += len(pixels)
        rates[f"epoch, augmentation '{strength}'"] = round(photos / (time.perf_counter() - start))
    print(json.dumps(rates))


def decode(files: list[str]) -> None:
    def one(file: str) -> int:
        return np.asarray(Image.open(file).convert("RGB")).shape[0]

    with ThreadPoolExecutor(cores()) as pool:
        list(pool.map(one, files))


def transfer(detector: Detector, options: argparse.Namespace) -> None:
    """Train the logit on a frozen backbone in both ways: same photos, rate, batches, epochs."""
    import keras

    from deepfake_lab.data.datasets import read_dataset
    from deepfake_lab.training.batches import load_splits
    from deepfake_lab.training.fitting import fit_head
    from deepfake_lab.training.models import build_model, set_trainable

    epochs, splits = options.epochs, load_splits(read_dataset("sample").manifest, 224)
    train, valid = splits["train"], splits["valid"]
    model = build_model("efficientnet_lite0", image_size=224, weights="imagenet", seed=0)
    start = time.perf_counter()
    history = fit_head(model, train, valid, epochs=epochs, learning_rate=RATE, seed=0)
    cached = time.perf_counter() - start
    naive_model = build_model("efficientnet_lite0", image_size=224, weights="imagenet", seed=0)
    set_trainable(naive_model, 0)
    # From memory, already decoded: the fastest that the naive way can be. Each photo comes once as
    # it is and once mirrored, as for the cached features.
    pixels = train.centered().astype(np.float32)
    pixels = np.concatenate([pixels, pixels[:, :, ::-1]])  # (2 N, S, S, 3)
    labels = np.tile(train.labels, 2)[:, None]
    steps = -(-len(pixels) // BATCH) * epochs
    naive_model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[keras.metrics.AUC(name="auc", from_logits=True, num_thresholds=500)],
    )
    start = time.perf_counter()
    naive_history = naive_model.fit(
        pixels, labels,
        validation_data=(valid.centered().astype(np.float32), valid.labels[:, None]),
        epochs=epochs, batch_size=BATCH, verbose=0,
    ).history  # fmt: skip
    naive = time.perf_counter() - start
    best = int(np.argmin(naive_history["val_loss"]))
    kept = history.loc[history["val_loss"].idxmin()]
    print(json.dumps({
        "photos": len(train.manifest), "validation_photos": len(valid.manifest), "epochs": epochs,
        "load": round(os.getloadavg()[0], 1),
        "cached": {
            "seconds_per_epoch": round(cached / epochs, 3), "seconds": round(cached, 1),
            "val_auc": round(float(kept["val_auc"]), 4),
            "val_loss": round(float(kept["val_loss"]), 4),
        },
        "naive": {
            "seconds_per_epoch": round(naive / epochs, 3), "seconds": round(naive, 1),
            "val_auc": round(naive_history["val_auc"][best], 4),
            "val_loss": round(naive_history["val_loss"][best], 4),
        },
    }))  # fmt: skip


def main() -> None:
    parts = {part.__name__: part for part in (answer, speed, parity, pipeline, transfer, torch)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=parts)
    parser.add_argument("--model", required=True)
    parser.add_argument("--photo")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    parts[options.part](Detector.load(options.model), options)


if __name__ == "__main__":
    main()
