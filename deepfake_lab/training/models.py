"""The model zoo: a small CNN to learn from, and pretrained backbones to get results with.

Every model takes float32 RGB in [0, 255], (B, H, W, 3), and returns one logit a photo, (B, 1), for
"this is fake". Preprocessing lives inside the model, so a saved model cannot be fed wrongly scaled
pixels. Only Keras is imported: the models build and train on any Keras backend.
"""

import re
from pathlib import Path

import keras
from keras import layers

from deepfake_lab.errors import UserError
from deepfake_lab.training import backbones

MODEL_NAMES = ("cnn", "efficientnet_lite0", "efficientnet_b0", "efficientnet_v2b0", "resnet50")

# The residual blocks of all four backbones: block2a_... (EfficientNets), conv2_block1_... (ResNet).
_BLOCK = re.compile(r"(block\d+[a-z]|conv\d+_block\d+)_")


def build_model(
    name: str,
    image_size: int | None = 224,
    weights: str | Path | None = "imagenet",
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Build one of ``MODEL_NAMES``, ready to be compiled.

    Args:
        name: ``"cnn"`` or a backbone's name.
        image_size: height and width of the photos in pixels, 32 or more; None for photos of any
            size, which only a backbone can take.
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
    if image_size is not None and image_size < 32:
        raise UserError(f"image_size is {image_size}; these models need 32 pixels or more.")
    if name == "cnn":
        if image_size is None:
            raise UserError("The model 'cnn' needs an image_size: its dense layer is made for one.")
        model = _cnn(image_size, dropout, seed)
        if weights not in (None, "imagenet"):
            backbones.load_weights(model, weights, "the model 'cnn'")
        return model

    backbone = backbones.build_backbone(name, image_size, weights, seed)
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
    # Flatten hands over thousands of positive numbers: without a norm, one step of the optimiser
    # throws the sums far off, the more so the larger the photo.
    x = layers.Dense(128, use_bias=False, kernel_initializer=kernel, name="dense")(x)  # (B, 128)
    x = layers.BatchNormalization(momentum=0.9, name="dense_norm")(x)
    x = layers.ReLU(name="dense_relu")(x)
    x = layers.Dropout(dropout, seed=seed, name="dropout")(x)
    kernel = keras.initializers.GlorotUniform(seed=seed)
    logit = layers.Dense(1, kernel_initializer=kernel, name="logit")(x)  # (B, 1)
    return keras.Model(photo, logit, name="cnn")


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
    first = blocks[-top_blocks] if top_blocks else None
    learning = top_blocks is None
    backbone.trainable = top_blocks != 0
    # Layer by layer: under TensorFlow, setting True where it already says True reaches no layer.
    for layer in backbone.layers:
        match = _BLOCK.match(layer.name)
        learning = learning or (match is not None and match.group(1) == first)
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
