"""Send real photos through the auto-encoder of a current diffusion model: only the traces differ.

    python tools/reconstruct.py taef2_encoder.pth taef2_decoder.pth 140k faces more --out DIR

writes for real photos of each source the same photo as the auto-encoder gives it back, with the
JPEG tables and the size of its original, and a `manifest.csv` that `read_dataset` reads (source
`reconstructed`, family `diffusion`, group and split of the original, whose path stands in
`original`). Two thirds of those to train on are mixed with their original, pixel by pixel or by
region, so that no one share of traces is learned by heart. Interrupted, the same command goes on.
`--check taesd.py` holds the network to the original first, which needs `pip install torch`.

The weights are FLUX.2's tiny auto-encoder (TAEF2) of github.com/madebyollin/taesd, MIT.

Source: A. Rajan et al., "Aligned Datasets Improve Detection of Latent Diffusion-Generated Images",
    arXiv:2410.11835; R. Chen et al., "Dual Data Alignment Makes AI-Generated Image Detector Easier
    Generalizable", arXiv:2505.14359.
"""

import argparse
import csv
import importlib.util
import io
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from convert_lite0 import _SafeUnpickler
from keras import layers
from PIL import Image

from deepfake_lab.data.datasets import join, read_dataset
from deepfake_lab.photos.images import read_image
from deepfake_lab.progress import progress

#: The networks as the original lists them; each weight's name begins with its place in the list.
#: `down` is a convolution of stride 2, `pooled` a block that normalises over the whole picture.
ENCODER = (
    "conv", "block", "down", "block", "block", "block", "down", "block", "block", "block",
    "down", "pooled", "pooled", "pooled", "latent",
)  # fmt: skip
DECODER = (
    "clamp", "conv", "relu", "pooled", "pooled", "pooled", "up", "plain", "block", "block", "block",
    "up", "plain", "block", "block", "block", "up", "plain", "block", "picture",
)  # fmt: skip

CHANNELS, LATENT = 64, 32

#: The picture's sides must be multiples of this: it is halved three times.
CELL = 8

#: How a reconstruction is mixed with its original.
KINDS = ("whole", "pixels", "region")

FIELDS = ("path", "label", "source", "family", "group", "split", "original", "mixed")


def network(parts: Sequence[str], channels: int) -> keras.Model:
    """Return one half of the auto-encoder, untrained: (B, H, W, channels) float32 in and out."""
    x = inputs = keras.Input((None, None, channels))
    for place, part in enumerate(parts):
        if part == "clamp":
            x = keras.ops.tanh(x / 3) * 3
        elif part == "relu":
            x = layers.ReLU()(x)
        elif part == "up":
            x = layers.UpSampling2D(2)(x)
        elif part in ("block", "pooled"):
            x = _block(x, str(place), part == "pooled")
        else:
            filters = {"latent": LATENT, "picture": 3}.get(part, CHANNELS)
            stride = 2 if part == "down" else 1
            x = _conv(x, filters, str(place), stride, bias=part not in ("down", "plain"))
    return keras.Model(inputs, x)


def _conv(x, filters: int, name: str, stride: int = 1, bias: bool = True):
    """Add a 3x3 convolution with one pixel of zeros around, as PyTorch pads it."""
    x = layers.ZeroPadding2D(1)(x)
    return layers.Conv2D(filters, 3, stride, use_bias=bias, name=_named(name))(x)


def _block(x, name: str, pooled: bool):
    if pooled:
        wide = layers.Conv2D(4 * CHANNELS, 1, use_bias=False, name=_named(f"{name}.pool.0"))(x)
        wide = layers.GroupNormalization(4, epsilon=1e-5, name=_named(f"{name}.pool.1"))(wide)
        wide = layers.ReLU()(wide)
        x = x + layers.Conv2D(CHANNELS, 1, use_bias=False, name=_named(f"{name}.pool.3"))(wide)
    y = layers.ReLU()(_conv(x, CHANNELS, f"{name}.conv.0"))
    y = layers.ReLU()(_conv(y, CHANNELS, f"{name}.conv.2"))
    return layers.ReLU()(_conv(y, CHANNELS, f"{name}.conv.4") + x)


def _named(name: str) -> str:
    return "at_" + name.replace(".", "_")


def load(model: keras.Model, file: Path) -> keras.Model:
    """Give a network the weights of a file of PyTorch; every array must find its layer."""
    arrays = read_pth(file)
    for layer in model.layers:
        name = layer.name.removeprefix("at_").replace("_", ".")
        if layer.weights:
            values = [arrays.pop(f"{name}.{part}") for part in ("weight", "bias")
                      if f"{name}.{part}" in arrays]  # fmt: skip
            layer.set_weights([v.transpose(2, 3, 1, 0) if v.ndim == 4 else v for v in values])
    if arrays:
        raise SystemExit(f"{file}: no layer for {', '.join(arrays)}")
    return model


def read_pth(file: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a weights file of PyTorch 1.6 or later, by name, as float32.

    The file is a zip of one pickle, the named tensors, and a raw array for each storage.
    """
    with zipfile.ZipFile(file) as opened:
        root = opened.namelist()[0].partition("/")[0]
        tensors = _SafeUnpickler(io.BytesIO(opened.read(f"{root}/data.pkl"))).load()
        arrays = {}
        for name, (key, dtype, offset, shape, _) in tensors.items():
            numbers = np.frombuffer(opened.read(f"{root}/data/{key}"), dtype)
            size = int(np.prod(shape))
            arrays[name] = numbers[offset : offset + size].reshape(shape).astype(np.float32)
    return arrays


class AutoEncoder:
    """Both halves, with their weights."""

    def __init__(self, encoder: Path, decoder: Path):
        self.encoder = load(network(ENCODER, 3), encoder)
        self.decoder = load(network(DECODER, LATENT), decoder)
        self._both = keras.Model(self.encoder.input, self.decoder(self.encoder.output))

    def __call__(self, photo: np.ndarray) -> np.ndarray:
        """Return a photo as the auto-encoder gives it back; (H, W, 3) uint8 in and out."""
        height, width = photo.shape[:2]
        room = [(0, -height % CELL), (0, -width % CELL), (0, 0)]
        picture = np.pad(photo, room, "reflect")[None].astype(np.float32) / 255
        back = self._both.predict_on_batch(picture)[0, :height, :width]
        return np.clip(np.rint(back * 255), 0, 255).astype(np.uint8)

    def check(self, original: Path, weights: Sequence[Path]) -> None:
        """Compare with the original network, given as its `taesd.py`, on random pixels."""
        import torch

        spec = importlib.util.spec_from_file_location("original", original)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        there = module.TAESD(*map(str, weights)).eval().float()
        pixels = np.random.default_rng(0).random((1, 96, 128, 3), np.float32)
        with torch.no_grad():
            latents = there.encoder(torch.from_numpy(pixels.transpose(0, 3, 1, 2)))
            picture = there.decoder(latents).numpy().transpose(0, 2, 3, 1)
        mine = keras.ops.convert_to_numpy(self.encoder(pixels))
        again = keras.ops.convert_to_numpy(self.decoder(mine))
        far = [np.abs(latents.numpy().transpose(0, 2, 3, 1) - mine).max(),
               np.abs(picture - again).max()]  # fmt: skip
        print(f"largest difference of a latent: {far[0]:.1e}, of a pixel in [0, 1]: {far[1]:.1e}")
        if max(far) > 1e-4:
            raise SystemExit("This is not the original network: nothing was written.")


def mixed(photo: np.ndarray, back: np.ndarray, kind: str, seed: int) -> np.ndarray:
    """Return a reconstruction alone (`whole`) or mixed with its original (`pixels`, `region`)."""
    if kind == "whole":
        return back
    rng = np.random.default_rng(seed)
    if kind == "pixels":
        share = np.float32(rng.uniform(0.4, 0.9))
    else:  # a soft field of blobs, cut so that about half of the photo is the reconstruction
        height, width = photo.shape[:2]
        field = Image.fromarray(rng.random((5, 5), np.float32)).resize((width, height), 3)
        values = np.asarray(field)
        share = np.clip((values - np.median(values)) * 8 + 0.5, 0, 1)[..., None]
    blend = back * share + photo * (1 - share)
    return np.rint(blend).astype(np.uint8)


def save_as(pixels: np.ndarray, file: Path, original: Path) -> None:
    """Write pixels as their original was written: the same JPEG tables, or without loss."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    picture = Image.fromarray(pixels)
    with Image.open(original) as before:
        tables = before.quantization if before.format == "JPEG" else None
        if tables:
            layers_of = [(h, v) for _, h, v, _ in before.layer]
            sampling = {(1, 1): "4:4:4", (2, 1): "4:2:2", (2, 2): "4:2:0"}.get(layers_of[0])
            chosen = {} if sampling is None else {"subsampling": sampling}
            picture.save(part, "JPEG", qtables=list(tables.values()), **chosen)
        else:
            picture.save(part, "PNG")
    os.replace(part, file)


def choose(manifest: pd.DataFrame, per_source: int, held_out: int, seed: int) -> pd.DataFrame:
    """Return the real photos to reconstruct: so many of each source and split, the same always."""
    real = manifest[manifest["label"] == "real"]
    real = real.sample(frac=1, random_state=seed)
    many = real["split"].map({"train": per_source}).fillna(held_out)
    return real[real.groupby(["source", "split"]).cumcount() < many]


def main() -> None:
    """Read the data sets, choose photos, and write what is not written yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("encoder", type=Path)
    parser.add_argument("decoder", type=Path)
    parser.add_argument("data", nargs="+", help="data sets, folders or names")
    parser.add_argument("--out", type=Path, required=True, help="a folder that git ignores")
    parser.add_argument("--sources", nargs="+", help="only these; by default all")
    parser.add_argument("--per-source", type=int, default=700, help="training photos of each")
    parser.add_argument("--held-out", type=int, default=60, help="valid and test photos of each")
    parser.add_argument("--longest", type=int, default=520, help="leave out larger photos")
    parser.add_argument("--check", type=Path, metavar="taesd.py")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    model = AutoEncoder(options.encoder, options.decoder)
    if options.check:
        model.check(options.check, (options.encoder, options.decoder))
    manifest = join([read_dataset(name) for name in options.data]).manifest
    manifest = manifest[manifest[["width", "height"]].max(axis=1) <= options.longest]
    if options.sources:
        manifest = manifest[manifest["source"].isin(options.sources)]
    rows = choose(manifest, options.per_source, options.held_out, options.seed).to_dict("records")
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "manifest.csv.part").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, FIELDS)
        writer.writeheader()
        for row in progress(iter(rows), "reconstructing", len(rows)):
            original = Path(row["path"])
            seed = zlib.crc32(f"{options.seed} {row['source']} {row['file']}".encode())
            name = f"{row['split']}/{row['source']}_{seed:08x}{original.suffix or '.png'}"
            kind = KINDS[seed % 3] if row["split"] == "train" else "whole"
            if not (options.out / name).exists():
                photo = read_image(original)
                save_as(mixed(photo, model(photo), kind, seed), options.out / name, original)
            writer.writerow({
                "path": name, "label": "fake", "source": "reconstructed", "family": "diffusion",
                "group": row["group"], "split": row["split"], "original": row["path"],
                "mixed": kind,
            })  # fmt: skip
    os.replace(options.out / "manifest.csv.part", options.out / "manifest.csv")


if __name__ == "__main__":
    main()
