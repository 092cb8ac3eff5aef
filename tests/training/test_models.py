"""The model zoo: what each model takes and returns, what learns, and that the backbone is real."""

import ast
import inspect

import keras
import numpy as np
import pytest
from skimage import data as photos

from deepfake_lab import paths
from deepfake_lab.errors import UserError
from deepfake_lab.training import backbones, models
from deepfake_lab.training.models import MODEL_NAMES, build_model, set_trainable

BACKBONES = [name for name in MODEL_NAMES if name != "cnn"]
# Known numbers of weights without the classifier, plus the logit's C + 1. Lite0's is published as
# 4,652,008, with the classifier of 1280 * 1000 + 1000 and without the norms' means and variances.
PARAMETERS = {
    "efficientnet_lite0": 4_652_008 - 1_281_000 + 42_016 + 1281,
    "efficientnet_b0": 4_049_571 + 1281,
    "efficientnet_v2b0": 5_919_312 + 1281,
    "resnet50": 23_587_712 + 2049,
}


@pytest.fixture(scope="module")
def lite0() -> keras.Model:
    """The default model with a logit that has something to say (biased, not near zero)."""
    model = build_model("efficientnet_lite0")
    rng = np.random.default_rng(0)
    model.get_layer("logit").set_weights([rng.normal(0, 0.1, (1280, 1)), np.array([0.7])])
    return model


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    """Eight photos: the cat, the coffee, the rocket, the astronaut, and their mirror images."""
    four = [getattr(photos, name)() for name in ("cat", "coffee", "rocket", "astronaut")]
    squares = np.stack([_centre_square(photo) for photo in four])
    return np.concatenate([squares, squares[:, :, ::-1]])  # (8, 224, 224, 3) float32 in [0, 255]


@pytest.fixture
def small_lite0() -> keras.Model:
    """The default model at 64 px, for tests that change which layers learn."""
    return build_model("efficientnet_lite0", image_size=64, weights=None)


def _centre_square(photo: np.ndarray, size: int = 224) -> np.ndarray:
    height, width = photo.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = photo[top : top + side, left : left + side].astype("float32")
    resized = keras.ops.image.resize(square, (size, size), antialias=True)
    return keras.ops.convert_to_numpy(resized)


def _numpy(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def _trainable_layers(model: keras.Model) -> set[str]:
    return {layer.name for layer in model.get_layer("backbone").layers if layer.trainable_weights}


# --- what a model takes and returns ---


@pytest.mark.parametrize("name", MODEL_NAMES)
def test_every_model_turns_photos_into_one_finite_logit_each(name):
    model = build_model(name, image_size=64, weights=None)
    noise = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    logits = _numpy(model(noise))
    assert model.layers[-1].name == "logit"
    assert logits.shape == (2, 1) and np.isfinite(logits).all()


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_have_the_published_number_of_weights(name):
    assert build_model(name, image_size=64, weights=None).count_params() == PARAMETERS[name]


@pytest.mark.parametrize("image_size", [128, 224])
def test_the_cnn_stays_small_enough_for_a_laptop(image_size):
    assert build_model("cnn", image_size).count_params() < 1_500_000


@pytest.mark.parametrize("name", ["cnn", "efficientnet_b0"])
def test_the_same_seed_gives_the_same_start_and_another_seed_another(name):
    first, again, other = (build_model(name, 64, weights=None, seed=s) for s in (3, 3, 4))
    kernels = [
        [w for w in m.get_weights() if w.ndim > 1 and w.std()] for m in (first, again, other)
    ]
    assert len(kernels[0]) > 5
    assert all(np.array_equal(a, b) for a, b in zip(kernels[0], kernels[1], strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(kernels[0], kernels[2], strict=True))


@pytest.mark.parametrize("name", ["cnn", "efficientnet_lite0", "resnet50"])
def test_a_saved_model_gives_the_same_logits_when_loaded(name, tmp_path):
    model = build_model(name, image_size=64, weights=None)
    noise = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    models.with_activation_map(model)  # sharing the logit's layer must not leak into the file
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")  # safe mode: no code in the file
    np.testing.assert_allclose(_numpy(loaded(noise)), _numpy(model(noise)), rtol=1e-5)


def test_resnet_subtracts_the_mean_and_swaps_the_channels():
    backbone = build_model("resnet50", 64, weights=None).get_layer("backbone")
    seen = keras.Model(backbone.inputs, backbone.get_layer("conv1_pad").input)
    photo = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype("float32")
    expected = keras.applications.resnet50.preprocess_input(photo.copy())
    np.testing.assert_allclose(_numpy(seen([photo])), expected, atol=1e-4)


@pytest.mark.parametrize("module", [models, backbones])
def test_building_models_imports_no_tensorflow(module):
    tree = ast.parse(inspect.getsource(module))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    text = " ".join(ast.unparse(node) for node in imports)
    assert "import keras" in text and "tensorflow" not in text and "tf_keras" not in text


# --- the pretrained backbone is the real thing ---


@pytest.mark.parametrize(
    ("photo", "accepted"),
    [
        (0, {"tabby", "tiger cat", "Egyptian cat"}),
        (1, {"espresso", "cup", "coffee mug"}),
        (2, {"missile", "projectile"}),
    ],
    ids=["cat", "coffee", "rocket"],
)
def test_the_backbone_names_what_is_in_the_photo_among_its_top_five(photo, accepted, batch):
    logits = _numpy(backbones.lite0_imagenet_classifier()(batch[photo : photo + 1]))[0]  # (1000,)
    names = backbones.imagenet_names()
    assert len(set(names)) == 1000
    assert accepted & {names[i] for i in logits.argsort()[-5:]}


def test_the_detector_starts_from_the_weights_that_the_project_ships(lite0):
    shipped = backbones.lite0_imagenet_classifier().get_layer("backbone").get_weights()
    ours = lite0.get_layer("backbone").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(ours, shipped, strict=True))


def test_a_changed_weights_file_is_refused(tmp_path, monkeypatch):
    changed = bytearray(paths.backbone_weights().read_bytes())
    changed[len(changed) // 2] ^= 1
    copy = tmp_path / paths.backbone_weights().name
    copy.write_bytes(changed)
    monkeypatch.setattr(paths, "backbone_weights", lambda: copy)
    with pytest.raises(UserError, match="checksum differs"):
        build_model("efficientnet_lite0")


def test_a_missing_weights_file_says_how_to_get_it_back(tmp_path, monkeypatch):
    name = paths.backbone_weights().name
    monkeypatch.setattr(paths, "backbone_weights", lambda: tmp_path / name)
    with pytest.raises(UserError, match="missing: restore it"):
        build_model("efficientnet_lite0")


# --- weights from elsewhere, and mistakes ---


def test_an_unknown_model_lists_the_known_ones():
    with pytest.raises(UserError, match=r"efficientnet_lite0.*resnet50"):
        build_model("vgg16")


def test_a_backbone_without_a_size_takes_photos_of_any_and_answers_as_one_with_it():
    sized, free = (build_model("efficientnet_lite0", size, None) for size in (64, None))
    photos = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_array_equal(sized.predict_on_batch(photos), free.predict_on_batch(photos))
    assert free.predict_on_batch(photos[:, :48, :48]).shape == (2, 1)


def test_the_cnn_is_refused_without_a_size():
    with pytest.raises(UserError, match="needs an image_size"):
        build_model("cnn", image_size=None)


def test_an_image_size_too_small_for_the_models_is_refused():
    with pytest.raises(UserError, match="32 pixels"):
        build_model("cnn", image_size=16)


@pytest.mark.parametrize("name", ["cnn", "efficientnet_lite0", "efficientnet_v2b0"])
def test_a_weights_path_that_does_not_exist_is_named(name):
    with pytest.raises(UserError, match=r"nowhere\.h5' not found"):
        build_model(name, 64, weights="nowhere.h5")


def test_weights_of_another_model_are_refused(tmp_path):
    file = tmp_path / "cnn.weights.h5"
    build_model("cnn", 64).save_weights(file)
    with pytest.raises(UserError, match="does not hold the weights of the backbone"):
        build_model("efficientnet_b0", 64, weights=file)


@pytest.mark.parametrize("name", ["cnn", "efficientnet_v2b0"])
def test_weights_from_a_file_replace_the_random_start(name, tmp_path):
    file = tmp_path / "saved.weights.h5"
    source = build_model(name, 64, weights=None, seed=1)
    part = source if name == "cnn" else source.get_layer("backbone")
    part.save_weights(file)
    loaded = build_model(name, 64, weights=file, seed=2)
    part_loaded = loaded if name == "cnn" else loaded.get_layer("backbone")
    pairs = zip(part.get_weights(), part_loaded.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)


def test_a_failed_download_names_the_offline_choice(monkeypatch):
    def offline(**_):
        raise Exception("URL fetch failure on https://example.org: None -- no route to host")

    monkeypatch.setattr(keras.applications, "EfficientNetB0", offline)
    with pytest.raises(UserError, match=r"no route to host.*efficientnet_lite0"):
        build_model("efficientnet_b0")


# --- what learns ---


def test_with_no_top_blocks_only_the_logit_learns(small_lite0):
    set_trainable(small_lite0, 0)
    assert [w.path for w in small_lite0.trainable_weights] == ["logit/kernel", "logit/bias"]


def test_with_two_top_blocks_those_and_the_head_learn(small_lite0):
    set_trainable(small_lite0, 2)
    learning = {name.split("_")[0] for name in _trainable_layers(small_lite0)}
    assert learning == {"block6d", "block7a", "head"}
    # Two blocks of three convolutions with batch norm (kernel, scale, shift), head, logit.
    assert len(small_lite0.trainable_weights) == 2 * 9 + 3 + 2


@pytest.mark.parametrize("before", [0, 2])
def test_with_none_everything_learns_whatever_was_frozen_before(small_lite0, before):
    set_trainable(small_lite0, before)
    set_trainable(small_lite0, None)
    assert len(small_lite0.trainable_weights) == 49 * 3 + 2  # 49 convolutions with batch norm


def test_fewer_top_blocks_than_before_freezes_the_others_again(small_lite0):
    set_trainable(small_lite0, 5)
    set_trainable(small_lite0, 1)
    assert {name.split("_")[0] for name in _trainable_layers(small_lite0)} == {"block7a", "head"}


@pytest.mark.parametrize(
    ("name", "blocks", "last"),
    [
        ("efficientnet_lite0", 16, "block7a"),
        ("efficientnet_b0", 16, "block7a"),
        ("efficientnet_v2b0", 21, "block6h"),
        ("resnet50", 16, "conv5_block3"),
    ],
)
def test_every_backbone_can_be_unfrozen_block_by_block(name, blocks, last):
    model = build_model(name, image_size=64, weights=None)
    set_trainable(model, 1)
    assert len(models.backbone_blocks(model)) == blocks
    assert (
        {n for n in _trainable_layers(model) if not n.startswith(("head", "top"))}
        == {n for n in _trainable_layers(model) if n.startswith(last)}
        != set()
    )


def test_more_blocks_than_there_are_is_refused(small_lite0):
    with pytest.raises(UserError, match="16 blocks"):
        set_trainable(small_lite0, 17)


def test_a_frozen_backbone_keeps_its_batch_statistics_in_training(small_lite0):
    set_trainable(small_lite0, 0)
    before = [w.copy() for w in small_lite0.get_layer("backbone").get_weights()]
    small_lite0.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    small_lite0.train_on_batch(np.full((4, 64, 64, 3), 200, "float32"), np.array([0, 1, 0, 1]))
    after = small_lite0.get_layer("backbone").get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


# --- features and the activation map ---


def test_features_and_head_put_together_are_the_model(lite0, batch):
    features = models.feature_extractor(lite0)(batch)
    assert features.shape == (8, 1280)
    logits = models.feature_head(lite0)(features)
    np.testing.assert_allclose(_numpy(logits), _numpy(lite0(batch)), atol=1e-5)


def test_training_the_head_trains_the_model(small_lite0):
    head = models.feature_head(small_lite0)
    head.get_layer("logit").set_weights([np.zeros((1280, 1)), np.array([2.5])])
    assert _numpy(small_lite0(np.zeros((1, 64, 64, 3), "float32")))[0, 0] == 2.5


def test_the_mean_of_the_activation_map_is_the_logit(lite0, batch):
    outputs = models.with_activation_map(lite0)(batch)
    assert outputs["activation_map"].shape == (8, 7, 7)
    means = _numpy(outputs["activation_map"]).mean((1, 2))
    np.testing.assert_allclose(means, _numpy(outputs["logit"])[:, 0], atol=1e-4)
    assert np.ptp(means) > 0.1  # the photos differ: the agreement above is not that of constants


def test_the_cnn_has_no_activation_map_and_no_frozen_features():
    cnn = build_model("cnn", 64)
    assert set(models.with_activation_map(cnn).output) == {"logit"}
    for needs_backbone in (models.feature_extractor, models.feature_head, models.backbone_blocks):
        with pytest.raises(UserError, match="no backbone"):
            needs_backbone(cnn)


def test_the_model_with_its_map_runs_in_litert_at_any_batch_size(lite0, batch, tmp_path):
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    model = models.with_activation_map(lite0)
    model.export(tmp_path, format="tf_saved_model", verbose=False)
    tflite = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert()
    expected = {name: _numpy(value) for name, value in model(batch).items()}
    for size in (1, 8):
        run = Interpreter(model_content=tflite).get_signature_runner()
        outputs = run(photo=batch[:size])  # resizes its input to the batch
        assert set(outputs) == {"logit", "activation_map"}
        for name, value in outputs.items():
            np.testing.assert_allclose(value, expected[name][:size], atol=1e-3)
