"""The model zoo: a small CNN to learn from, and pretrained backbones to get results with.

Every model takes float32 RGB in [0, 255], (B, H, W, 3), and returns one logit a photo, (B, 1), for
"this is fake". Preprocessing lives inside the model, so a saved model cannot be fed wrongly scaled
pixels. Only Keras is imported: the models build and train on any Keras backend.
"""

import hashlib
import re
from pathlib import Path

import keras
import numpy as np
from keras import layers

from deepfake_lab import paths
from deepfake_lab.errors import UserError

MODEL_NAMES = ("cnn", "efficientnet_lite0", "efficientnet_b0", "efficientnet_v2b0", "resnet50")

# keras.applications: the class behind each name; these download their ImageNet weights.
_APPLICATIONS = {
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

# The residual blocks of all four backbones: block2a_... (EfficientNets), conv2_block1_... (ResNet).
_BLOCK = re.compile(r"(block\d+[a-z]|conv\d+_block\d+)_")


def build_model(
    name: str,
    image_size: int = 224,
    weights: str | Path | None = "imagenet",
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Build one of ``MODEL_NAMES``, ready to be compiled.

    Args:
        name: ``"cnn"`` or a backbone's name.
        image_size: height and width of the photos in pixels, 32 or more.
        weights: where a backbone starts. ``"imagenet"`` (Lite0: the file that the project ships;
            the others: downloaded by Keras), the path of a Keras weights file of the backbone
            without its head, or ``None`` for a random start. There is no CNN trained on ImageNet:
            for ``"cnn"`` the default means a random start, and a path loads a whole CNN.
        dropout: share of the features dropped before the logit, in training only.
        seed: the same seed gives the same start (and the same sequence of dropped features).

    Returns:
        A model from float32 RGB in [0, 255], (B, image_size, image_size, 3), to (B, 1) logits;
        the last layer is named ``logit``. P(fake) is the sigmoid of the logit. A backbone is
        nested as the layer ``backbone`` and starts fully trainable: see ``set_trainable``.

    Raises:
        UserError: an unknown name, an image too small, a weights file that is missing, changed
            or made for another model, or a download that failed.
    """
    if name not in MODEL_NAMES:
        raise UserError(f"Unknown model '{name}'. Known models: {', '.join(MODEL_NAMES)}.")
    if image_size < 32:
        raise UserError(f"image_size is {image_size}; these models need 32 pixels or more.")
    if name == "cnn":
        model = _cnn(image_size, dropout, seed)
        if weights not in (None, "imagenet"):
            _load_weights(model, weights, "the model 'cnn'")
        return model

    backbone = _backbone(name, image_size, weights, seed)
    photo = keras.Input((image_size, image_size, 3), name="photo")  # (B, H, W, 3) in [0, 255]
    x = backbone(photo)  # (B, h, w, C)
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (B, C)
    x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
    kernel = keras.initializers.GlorotUniform(seed=seed)
    logit = layers.Dense(1, kernel_initializer=kernel, name="logit")(x)  # (B, 1)
    return keras.Model(photo, logit, name=name)


def _cnn(image_size: int, dropout: float, seed: int) -> keras.Model:
    """Return the classic flow: five times convolution and pooling, flatten, fully connected."""
    photo = keras.Input((image_size, image_size, 3), name="photo")  # (B, H, W, 3) in [0, 255]
    x = layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(photo)  # now in [-1, 1]
    for i, filters in enumerate((16, 32, 64, 128, 128), start=1):
        kernel = keras.initializers.HeNormal(seed=seed + i)
        # The batch norm has a bias of its own, so the convolution needs none.
        x = layers.Conv2D(
            filters, 3, padding="same", use_bias=False, kernel_initializer=kernel, name=f"conv{i}"
        )(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(x)
        x = layers.MaxPooling2D(name=f"pool{i}")(x)  # halves height and width
    x = layers.Flatten(name="flatten")(x)  # (B, H/32 * W/32 * 128)
    kernel = keras.initializers.HeNormal(seed=seed)
    x = layers.Dense(128, activation="relu", kernel_initializer=kernel, name="dense")(x)  # (B, 128)
    x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
    kernel = keras.initializers.GlorotUniform(seed=seed)
    logit = layers.Dense(1, kernel_initializer=kernel, name="logit")(x)  # (B, 1)
    return keras.Model(photo, logit, name="cnn")


def _backbone(name: str, image_size: int, weights: str | Path | None, seed: int) -> keras.Model:
    """Return the convolutional part of ``name``, with its preprocessing and its weights."""
    download = weights == "imagenet" and name in _APPLICATIONS
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
        _load_weights(backbone, file, f"the backbone '{name}'")
    return backbone


def _application(name: str, image_size: int, weights: str | None) -> keras.Model:
    """Return a backbone of ``keras.applications`` that takes RGB in [0, 255]."""
    build = getattr(keras.applications, _APPLICATIONS[name])
    photo = keras.Input((image_size, image_size, 3))
    x = photo
    if name == "resnet50":  # the EfficientNets rescale inside; this one was trained on BGR - mean
        x = layers.Rescaling(1.0, offset=(-123.68, -116.779, -103.939), name="minus_mean")(x)
        x = keras.ops.flip(x, axis=-1)  # RGB -> BGR
    # Keras chooses the file to download by the model's name: rename afterwards, not here.
    built = build(include_top=False, weights=weights, input_tensor=x)
    return keras.Model(built.input, built.output, name="backbone")


def lite0_backbone(image_size: int = 224) -> keras.Model:
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


def _conv(x, name: str, filters: int | None, kernel: int = 1, stride: int = 1, relu: bool = True):
    """Convolution (depthwise where ``filters`` is None), batch norm and ReLU6."""
    settings = {"padding": "same", "use_bias": False, "name": f"{name}_conv"}
    if filters is None:
        x = layers.DepthwiseConv2D(kernel, stride, **settings)(x)
    else:
        x = layers.Conv2D(filters, kernel, stride, **settings)(x)
    x = layers.BatchNormalization(momentum=0.99, epsilon=1e-3, name=f"{name}_norm")(x)
    return layers.ReLU(max_value=6.0, name=f"{name}_relu")(x) if relu else x


def _inverted_residual(x, name: str, kernel: int, stride: int, expansion: int, filters: int):
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
    x = _backbone("efficientnet_lite0", image_size, "imagenet", seed=0)(photo)
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
    return paths.backbone_weights().with_name("imagenet_classes.txt").read_text("utf-8").splitlines()


def backbone_blocks(model: keras.Model) -> list[str]:
    """Return the names of the backbone's residual blocks, from the photo to the logit."""
    found = (_BLOCK.match(layer.name) for layer in _get_backbone(model).layers)
    return list(dict.fromkeys(match.group(1) for match in found if match))


def set_trainable(model: keras.Model, top_blocks: int | None) -> None:
    """Choose how much of the backbone learns. Compile the model after this, not before.

    Args:
        model: one with a backbone; it is changed in place.
        top_blocks: 0: the backbone is frozen, only the logit learns. k: the last k blocks learn,
            and whatever follows them (the EfficientNets' last convolution). None: everything.

    A frozen batch norm runs in inference mode, in training too: it uses the means and variances
    that came with the weights and leaves them alone. A batch norm that learns normalises by the
    batch at hand and moves its means and variances to the new photos: with few photos or small
    batches that is noisy, so use a small learning rate and batches of 16 or more.

    Raises:
        UserError: the model has no backbone, or fewer blocks than asked for.
    """
    backbone = _get_backbone(model)
    blocks = backbone_blocks(model)
    if top_blocks is not None and not 0 <= top_blocks <= len(blocks):
        raise UserError(
            f"top_blocks is {top_blocks}; {model.name} has {len(blocks)} blocks: use 0 (frozen) to "
            f"{len(blocks)}, or null (None) to train everything."
        )
    backbone.trainable = True  # also for every layer inside; then freeze from the photo upwards
    if top_blocks is None:
        return
    if top_blocks == 0:
        backbone.trainable = False
        return
    learning = False
    for layer in backbone.layers:
        match = _BLOCK.match(layer.name)
        learning = learning or (match is not None and match.group(1) == blocks[-top_blocks])
        layer.trainable = learning


def feature_extractor(model: keras.Model) -> keras.Model:
    """Return the photo-to-features part, (B, H, W, 3) -> (B, C); it shares the model's weights.

    Raises:
        UserError: the model has no backbone.
    """
    _get_backbone(model)
    return keras.Model(model.input, model.get_layer("pool").output, name="features")


def feature_head(model: keras.Model) -> keras.Model:
    """Return the features-to-logit part, (B, C) -> (B, 1); training it trains the model's logit.

    Raises:
        UserError: the model has no backbone.
    """
    _get_backbone(model)
    features = keras.Input(model.get_layer("pool").output.shape[1:], name="features")  # (B, C)
    logit = model.get_layer("logit")(model.get_layer("dropout")(features))  # (B, 1)
    return keras.Model(features, logit, name="head")


def with_activation_map(model: keras.Model) -> keras.Model:
    """Return the model with a second output: which places of the photo argued for "fake".

    Averaging over places and weighting the channels are both linear, so they can change order: the
    logit's layer, applied to each place by itself, gives a map whose mean is exactly the logit.

    Returns:
        A model with the outputs ``logit``, (B, 1), and, where the model has a backbone,
        ``activation_map``, (B, h, w), in logits: positive places argue for fake, negative ones for
        real. It shares the model's weights.

    Source: B. Zhou et al., "Learning Deep Features for Discriminative Localization", CVPR 2016.
    """
    outputs = {"logit": model.output}
    if has_backbone(model):
        places = model.get_layer("pool").input  # (B, h, w, C)
        heat = model.get_layer("logit")(places)  # (B, h, w, 1), bias included
        outputs["activation_map"] = layers.Reshape(places.shape[1:3], name="activation_map")(heat)
    return keras.Model(model.input, outputs, name=model.name)


def has_backbone(model: keras.Model) -> bool:
    """Return whether the model rests on a pretrained kind of backbone (all but ``cnn``)."""
    return any(layer.name == "backbone" for layer in model.layers)


def _get_backbone(model: keras.Model) -> keras.Model:
    if not has_backbone(model):
        raise UserError(f"The model '{model.name}' has no backbone: it is trained as a whole.")
    return model.get_layer("backbone")


def _seed_kernels(backbone: keras.Model, seed: int) -> None:
    """Draw every convolution's start again, from ``seed``: keras.applications cannot be told to."""
    for i, layer in enumerate(backbone.layers):
        known = getattr(layer, "depthwise_initializer", getattr(layer, "kernel_initializer", None))
        if known is not None:
            seeded = type(known).from_config({**known.get_config(), "seed": seed + i})
            layer.kernel.assign(seeded(layer.kernel.shape))


def _load_weights(model: keras.Model, file: str | Path, what: str) -> None:
    path = Path(file).expanduser()
    if not path.is_file():
        raise UserError(f"Weights file '{file}' not found. Give 'imagenet', a file, or null.")
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"'{file}' does not hold weights of {what}: {reason}") from error


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
