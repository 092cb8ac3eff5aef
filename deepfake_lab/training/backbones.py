"""The convolutional parts that ``models.py`` builds on, and the ImageNet weights they start from.

EfficientNet-Lite0 is written out here and its weights ship with the project, so it works offline.
The other backbones come from ``keras.applications``, which downloads their weights.
"""

import hashlib
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import layers

from deepfake_lab import paths
from deepfake_lab.errors import UserError

# keras.applications: the class behind each name; these download their ImageNet weights.
APPLICATIONS = {
    "efficientnet_b0": "EfficientNetB0",
    "efficientnet_v2b0": "EfficientNetV2B0",
    "resnet50": "ResNet50",
}

# (kernel, stride of the first block, expansion, filters out, blocks) of stages 1 to 7.
_LITE0_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)

# What tools/convert_lite0.py wrote. A file that differs is refused: it may load and still be wrong.
_SHA256 = {
    "efficientnet_lite0.imagenet.weights.h5": (
        "6ded5ad3f34a0d9160eefafeef023e38f2ec1103f51c60b29479816608fac01c"
    ),
    "efficientnet_lite0.imagenet_top.npz": (
        "0b57dfed2041b08f6b9d130b39c09b6fd59361ae3c283e384c75fb9fe4861031"
    ),
}


def build_backbone(
    name: str, image_size: int | None, weights: str | Path | None, seed: int
) -> keras.Model:
    """Return the convolutional part of a model, with its preprocessing and its weights.

    Args:
        name: ``"efficientnet_lite0"``, or a key of ``APPLICATIONS``.
        image_size: height and width of the photos in pixels; None for any.
        weights: ``"imagenet"``, the path of a weights file, or None for a random start.
        seed: of the random start.

    Returns:
        A model named ``backbone``: float32 RGB in [0, 255], (B, H, W, 3), to (B, h, w, C).

    Raises:
        UserError: weights that are missing, changed or made for another model; a failed download.
    """
    download = weights == "imagenet" and name in APPLICATIONS
    if name == "efficientnet_lite0":
        backbone = lite0_backbone(image_size)
    else:
        try:
            backbone = _application(name, image_size, "imagenet" if download else None)
        except Exception as error:
            if not download:
                raise
            # Keras reports a failed download as a bare Exception: there is no narrower class.
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise UserError(
                f"Could not get the ImageNet weights of {name} ({reason}). Offline, use "
                "efficientnet_lite0, whose weights ship with the project, or give weights as the "
                "path of a file."
            ) from error
    if weights is None:
        _seed_kernels(backbone, seed)
    elif not download:
        shipped = weights == "imagenet"
        file = _checked(paths.backbone_weights()) if shipped else weights
        load_weights(backbone, file, f"the backbone '{name}'")
    return backbone


def _application(name: str, image_size: int | None, weights: str | None) -> keras.Model:
    """Return a backbone of ``keras.applications`` that takes RGB in [0, 255]."""
    build = getattr(keras.applications, APPLICATIONS[name])
    photo = keras.Input((image_size, image_size, 3))
    x = photo
    if name == "resnet50":  # the EfficientNets rescale inside; this one was trained on BGR - mean
        x = layers.Rescaling(1.0, offset=(-123.68, -116.779, -103.939), name="minus_mean")(x)
        x = keras.ops.flip(x, axis=-1)  # RGB -> BGR
    # Keras chooses the file to download by the model's name: rename afterwards, not here.
    built = build(include_top=False, weights=weights, input_tensor=x)
    return keras.Model(built.input, built.output, name="backbone")


def lite0_backbone(image_size: int | None = 224) -> keras.Model:
    """Return EfficientNet-Lite0 without its classifier, not yet initialised from ImageNet.

    Lite0 is EfficientNet-B0 made for phones: ReLU6 in place of swish, no squeeze-and-excitation.
    It has 16 blocks in 7 stages, named ``block1a`` to ``block7a``. ``same`` padding is TensorFlow's
    (on stride 2 the odd pixel goes to the right and the bottom), as the weights were trained.

    Returns:
        A model named ``backbone``: float32 RGB in [0, 255], (B, H, W, 3), to
        (B, H/32, W/32, 1280), each side rounded up.

    Source: M. Tan and Q. Le, "EfficientNet", ICML 2019, arXiv:1905.11946, and the Lite variants of
        github.com/tensorflow/tpu (models/official/efficientnet/lite).
    """
    photo = keras.Input((image_size, image_size, 3), name="photo")
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="rescale")(photo)  # about [-1, 1]
    x = _conv(x, "stem", 32, kernel=3, stride=2)  # (B, H/2, W/2, 32)
    for number, (kernel, stride, expansion, filters, blocks) in enumerate(_LITE0_STAGES, start=1):
        for i in range(blocks):
            name = f"block{number}{'abcd'[i]}"
            x = _inverted_residual(x, name, kernel, stride if i == 0 else 1, expansion, filters)
    x = _conv(x, "head", 1280)  # (B, H/32, W/32, 1280)
    return keras.Model(photo, x, name="backbone")


def _conv(
    x: keras.KerasTensor, name: str, filters: int | None, kernel: int = 1, stride: int = 1,
    relu: bool = True,
) -> keras.KerasTensor:  # fmt: skip
    """Convolution (depthwise where ``filters`` is None), batch norm and ReLU6."""
    settings = {"padding": "same", "use_bias": False, "name": f"{name}_conv"}
    if filters is None:
        x = layers.DepthwiseConv2D(kernel, stride, **settings)(x)
    else:
        x = layers.Conv2D(filters, kernel, stride, **settings)(x)
    # 0.9, not the 0.99 of long trainings: fine-tuning takes few steps and the means must keep up.
    x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if relu else x


def _inverted_residual(
    x: keras.KerasTensor, name: str, kernel: int, stride: int, expansion: int, filters: int
) -> keras.KerasTensor:
    """Widen, filter each channel by itself, narrow; add the input where the shapes agree."""
    shortcut, channels = x, x.shape[-1]
    if expansion > 1:
        x = _conv(x, f"{name}_expand", channels * expansion)
    x = _conv(x, f"{name}_depthwise", None, kernel, stride)
    x = _conv(x, f"{name}_project", filters, relu=False)
    if stride == 1 and filters == channels:
        x = layers.Add(name=f"{name}_add")([shortcut, x])
    return x


def lite0_imagenet_classifier(image_size: int = 224) -> keras.Model:
    """Return EfficientNet-Lite0 as it was trained: a photo to 1000 ImageNet logits, (B, 1000).

    It shows what the backbone knows before it has seen a single fake. ``imagenet_names`` gives the
    names of the classes. The classifier's weights are stored in half precision.

    Raises:
        UserError: a weights file is missing or changed.
    """
    photo = keras.Input((image_size, image_size, 3), name="photo")
    x = build_backbone("efficientnet_lite0", image_size, "imagenet", seed=0)(photo)
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (B, 1280)
    classifier = keras.Model(photo, layers.Dense(1000, name="imagenet")(x), name="lite0_imagenet")
    top_file = paths.backbone_weights().with_name("efficientnet_lite0.imagenet_top.npz")
    with np.load(_checked(top_file)) as top:
        classifier.get_layer("imagenet").set_weights(
            [top["kernel"].astype("float32"), top["bias"].astype("float32")]
        )
    return classifier


def imagenet_names() -> list[str]:
    """Return the names of ImageNet's 1000 classes, in the order of the classifier's logits."""
    names = paths.backbone_weights().with_name("imagenet_classes.txt")
    return names.read_text("utf-8").splitlines()


def _seed_kernels(backbone: keras.Model, seed: int) -> None:
    """Draw every convolution's start again, from ``seed``: keras.applications cannot be told to."""
    for i, layer in enumerate(backbone.layers):
        known = getattr(layer, "depthwise_initializer", getattr(layer, "kernel_initializer", None))
        if known is not None:
            seeded = type(known).from_config({**known.get_config(), "seed": seed + i})
            layer.kernel.assign(seeded(layer.kernel.shape))


def load_weights(model: keras.Model, file: str | Path, what: str) -> None:
    """Load a Keras weights file into ``model``.

    Raises:
        UserError: no such file, or not weights of ``what`` (words for the message).
    """
    path = paths.expanded(file)
    if not path.is_file():
        raise UserError(f"Weights file '{file}' not found. Give 'imagenet', a file, or null.")
    with warnings.catch_warnings():
        # Keras only warns where a file lacks a part, and leaves that part untrained: refuse it.
        warnings.filterwarnings("error", "Skipping nested container", UserWarning)
        try:
            model.load_weights(path)
        except (ValueError, OSError, KeyError, UserWarning) as error:
            raise UserError(
                f"'{file}' does not hold the weights of {what}: give a file that Keras' "
                "save_weights wrote for the same part of the same model."
            ) from error


def _checked(path: Path) -> Path:
    """Return ``path`` if it is the file that the project ships, byte for byte."""
    if not path.is_file():
        raise UserError(f"{path} is missing: restore it with `git checkout -- models`.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != _SHA256[path.name]:
        raise UserError(
            f"{path} is not the file that the project ships (its checksum differs): restore it "
            "with `git checkout -- models`."
        )
    return path
