"""Training: repeatable, written whole or not at all, and the same answer from both runtimes."""

import ast
import json
import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from deepfake_lab import paths
from deepfake_lab.data import seen
from deepfake_lab.data.datasets import Dataset, read_dataset
from deepfake_lab.detection.detector import Detector
from deepfake_lab.detection.runfolder import PARTS
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.card import model_card
from deepfake_lab.training import fitting as training, models, runs
from deepfake_lab.training.batches import Mix, Split, load_splits
from deepfake_lab.training.checkpoints import Keeper
from deepfake_lab.training.fitting import fit, fit_head
from deepfake_lab.training.models import build_model
from deepfake_lab.training.runs import save_run, to_tflite

SIZE = 64
PACKAGE = Path(training.__file__).parent


@pytest.fixture(scope="module")
def data() -> Dataset:
    return read_dataset("sample")


@pytest.fixture(scope="module")
def splits(data) -> dict[str, Split]:
    """About forty photos a split, both labels in each."""
    return load_splits(data.manifest[::3], image_size=SIZE)


@pytest.fixture(scope="module")
def flat() -> dict[str, Split]:
    """Pictures that anything can tell apart: the real ones are blue, the fake ones red."""
    rng = np.random.default_rng(0)
    colors = {"real": (40, 60, 190), "fake": (190, 60, 40)}
    made = {}
    for name, count in (("train", 24), ("valid", 12)):
        labels = ["real", "fake"] * (count // 2)
        color = np.array([colors[label] for label in labels])[:, None, None]
        frames = color + rng.integers(-30, 30, (count, 37, 37, 3))
        no_faces = np.full((count, 6, 2), np.nan, np.float32)
        manifest = pd.DataFrame({"label": labels})
        made[name] = Split(frames.astype(np.uint8), manifest, 32, no_faces)
    return made


@pytest.fixture(scope="module")
def lite0() -> tuple[keras.Model, Detector]:
    """The default model, its logit with something to say, and the same on LiteRT."""
    model = build_model("efficientnet_lite0", image_size=SIZE)
    rng = np.random.default_rng(0)
    model.get_layer("logit").set_weights([rng.normal(0, 0.1, (1280, 1)), np.array([0.7])])
    return model, _on_litert(model)


def _on_litert(model: keras.Model) -> Detector:
    config = {
        "name": model.name,
        "image_size": SIZE,
        "framing": "face",
        "calibration": {"temperature": 1.0, "bias": 0.0},
        "prior": 0.5,
        "uncertain_band": [0.4, 0.6],
    }
    return Detector(Path("nowhere"), config, to_tflite(model))


def _in_keras(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return model.predict_on_batch(pixels.astype(np.float32))[:, 0]


@pytest.fixture(scope="module")
def twice(splits) -> list[tuple[keras.Model, pd.DataFrame]]:
    """The same small training with the same seed, two times: model and history."""
    results = []
    for _ in range(2):
        model = build_model("cnn", image_size=SIZE, seed=1)
        history = fit(
            model, splits["train"], splits["valid"],
            epochs=2, learning_rate=1e-3, batch_size=16, seed=1, verbose=0,
        )  # fmt: skip
        results.append((model, history))
    return results


# --- fit ---


def test_the_same_seed_gives_the_same_history(twice):
    (_, history), (_, again) = twice
    pd.testing.assert_frame_equal(history, again, check_exact=True)


def test_the_same_seed_gives_the_same_weights(twice):
    (first, _), (second, _) = twice
    for one, other in zip(first.get_weights(), second.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_the_history_has_a_row_per_epoch_and_the_promised_columns(twice):
    history = twice[0][1]
    columns = ["epoch", "loss", "accuracy", "auc", "val_loss", "val_accuracy", "val_auc"]
    assert sorted(history.columns) == sorted(columns)
    assert list(history["epoch"]) == [1, 2]


def test_a_network_learns_what_can_be_learned_and_logs_it_for_tensorboard(flat, tmp_path):
    model = build_model("cnn", image_size=32)
    history = fit(
        model, flat["train"], flat["valid"],
        epochs=6, learning_rate=1e-3, log_dir=tmp_path / "logs", verbose=0,
    )  # fmt: skip
    assert history["val_auc"].max() == 1
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]
    assert {path.parent.name for path in tmp_path.rglob("events.*")} == {"train", "validation"}


def test_the_weights_of_the_best_epoch_are_kept(flat):
    # Validation says the opposite of training, so every epoch makes it worse.
    others = {"real": "fake", "fake": "real"}
    manifest = flat["valid"].manifest.assign(label=flat["valid"].manifest["label"].map(others))
    valid = replace(flat["valid"], manifest=manifest)
    model = build_model("cnn", image_size=32)
    history = fit(model, flat["train"], valid, epochs=4, learning_rate=1e-3, verbose=0)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    kept = float(loss(valid.labels[:, None], _in_keras(model, valid.centered())[:, None]))
    assert history["val_loss"].idxmin() < 3  # else the test shows nothing
    assert kept == pytest.approx(history["val_loss"].min(), rel=1e-3)


def test_the_last_epoch_may_be_kept_whatever_validation_says(flat):
    labels = ["real" if label == "fake" else "fake" for label in flat["valid"].manifest["label"]]
    wrong = replace(flat["valid"], manifest=pd.DataFrame({"label": labels}))
    losses = []
    for keep in ("val_loss", "epoch"):
        model = build_model("cnn", image_size=32)
        history = fit(
            model, flat["train"], wrong, epochs=4, learning_rate=1e-3, keep=keep, verbose=0
        )
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        losses.append(
            float(loss(wrong.labels[:, None], _in_keras(model, wrong.centered())[:, None]))
        )
    assert history["val_loss"].iloc[-1] > 1.05 * history["val_loss"].min()  # else nothing is shown
    assert losses[0] == pytest.approx(history["val_loss"].min(), rel=1e-3)
    assert losses[1] == pytest.approx(history["val_loss"].iloc[-1], rel=1e-3)


@pytest.mark.parametrize("keep", ["val_loss", "epoch"])
def test_a_training_that_leaves_the_numbers_is_refused(flat, keep):
    model = build_model("cnn", image_size=32)
    with pytest.raises(UserError, match="smaller learning rate"):
        fit(model, flat["train"], flat["valid"], epochs=2, learning_rate=1e30, keep=keep, verbose=0)


def test_an_epoch_of_no_number_gives_way_to_the_next(flat):
    keeper = Keeper(build_model("cnn", image_size=32))
    keeper.set_model(build_model("cnn", image_size=32))
    keeper.on_epoch_end(0, {"val_loss": float("nan")})
    keeper.model.set_weights([np.full_like(weights, 0.5) for weights in keeper.model.get_weights()])
    keeper.on_epoch_end(1, {"val_loss": 0.7})
    assert (keeper._best[0] == 0.5).all()


def test_an_unknown_choice_of_the_epoch_is_refused(flat):
    model = build_model("cnn", image_size=32)
    with pytest.raises(UserError, match="'loss'; known: val_loss, val_auc, epoch"):
        fit(model, flat["train"], flat["valid"], epochs=1, learning_rate=1e-3, keep="loss")


# --- answers that damage does not change ---


def test_consistency_adds_the_divergence_of_a_pairs_answers_to_the_loss_in_training():
    model = build_model("cnn", image_size=32)
    training._compile(model, 1e-3)
    training._ask_for_consistency(model, 2.0)
    labels = np.ones((4, 1), np.float32)
    logits = np.array([[-1.0], [3.0], [2.0], [2.0]], np.float32)  # pairs: far apart, and equal
    p_fake = 1 / (1 + np.exp(-logits[:2, 0]))
    divergence = _entropy(p_fake.mean()) - _entropy(p_fake).mean()
    plain = np.log1p(np.exp(-logits)).mean()
    assert divergence > 0.2
    for in_training, expected in ((True, plain + 2.0 * divergence / 2), (False, plain)):
        loss = float(model.compute_loss(None, labels, logits, None, in_training))
        assert loss == pytest.approx(expected, rel=1e-4)


def _entropy(p_fake: np.ndarray) -> np.ndarray:
    return -(p_fake * np.log(p_fake) + (1 - p_fake) * np.log1p(-p_fake))


def test_pairs_need_an_even_batch(flat):
    model = build_model("cnn", image_size=32)
    with pytest.raises(UserError, match="batch_size is 5: pairs of pictures need an even one"):
        fit(model, flat["train"], flat["valid"], epochs=1, learning_rate=1e-3, batch_size=5,
            consistency=1.0)  # fmt: skip


# --- going on after a kill ---


def _train(splits, file, **changed) -> tuple[keras.Model, pd.DataFrame]:
    """Train three epochs with everything that has a state: averages, dropout, forgeries."""
    model = build_model("cnn", image_size=SIZE, seed=1)
    keys = set(splits["train"].manifest["label"] + "/" + splits["train"].manifest["source"])
    settings = {
        "epochs": 3, "learning_rate": 1e-3, "batch_size": 8, "augment": "strong", "warmup": 0.2,
        "mix": Mix(24, dict.fromkeys(sorted(keys), 1.0), forged=0.25), "average": 0.9, "seed": 1,
        "consistency": 1.0,
    } | changed  # fmt: skip
    history = fit(model, splits["train"], splits["valid"], checkpoint=file, verbose=0, **settings)
    return model, history


@pytest.fixture(scope="module")
def resumed(splits, tmp_path_factory):
    """A training in one go, the same one killed after two epochs and begun again, its file."""
    file = tmp_path_factory.mktemp("resume") / "logs" / "checkpoint.npz"
    begin = Keeper.on_epoch_begin

    def kill(self, epoch, logs=None):
        begin(self, epoch, logs)
        if epoch == 2:
            raise KeyboardInterrupt

    whole = _train(splits, None)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Keeper, "on_epoch_begin", kill)
        _train(splits, file)
    return whole, _train(splits, file), file


def test_a_training_that_was_killed_ends_with_the_same_weights(resumed):
    (whole, _), (again, _), _ = resumed
    for one, other in zip(whole.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_a_training_that_was_killed_ends_with_the_same_history(resumed):
    (_, history), (_, again), _ = resumed
    assert len(history) == 3
    pd.testing.assert_frame_equal(history, again, check_exact=True, check_like=True)


def test_a_training_that_was_stopped_goes_on_to_the_same_end(resumed, splits, tmp_path):
    (whole, history), _, _ = resumed
    _, first = _train(splits, tmp_path / "state", stop_after=1)
    assert len(first) == 1
    again, rest = _train(splits, tmp_path / "state")
    pd.testing.assert_frame_equal(history, rest, check_exact=True, check_like=True)
    for one, other in zip(whole.get_weights(), again.get_weights()):
        np.testing.assert_array_equal(one, other)


def test_a_training_that_was_finished_is_not_repeated(resumed, splits, monkeypatch):
    (whole, _), _, file = resumed
    monkeypatch.setattr(Keeper, "on_epoch_begin", lambda *_: pytest.fail("it trains again"))
    again, history = _train(splits, file)
    assert len(history) == 3
    np.testing.assert_array_equal(whole.get_weights()[0], again.get_weights()[0])


def test_a_checkpoint_of_other_settings_is_refused(resumed, splits):
    with pytest.raises(UserError, match="other settings"):
        _train(splits, resumed[2], learning_rate=1e-4)


def test_a_checkpoint_of_other_photos_or_another_model_is_refused(resumed, splits, tmp_path):
    train = splits["train"]
    others = {
        "photos": replace(train, frames=train.frames[::-1].copy()),
        "labels": replace(train, manifest=train.manifest.iloc[::-1].reset_index(drop=True)),
    }
    for other in others.values():
        with pytest.raises(UserError, match="another model or other photos"):
            _train(splits | {"train": other}, resumed[2])
    valid = splits["valid"]
    other = replace(valid, frames=valid.frames[::-1].copy())
    with pytest.raises(UserError, match="another model or other photos"):
        _train(splits | {"valid": other}, resumed[2])
    with np.load(resumed[2]) as saved:
        content = dict(saved)
    note = json.loads(str(content["note"]))
    # Of an earlier version, which knew less of its photos.
    older = {k: v for k, v in note["settings"].items() if k not in ("files", "validated_on")}
    content["note"] = np.array(json.dumps(note | {"settings": older}))
    np.savez(tmp_path / "older.npz", **content)
    assert len(_train(splits, tmp_path / "older.npz")[1]) == 3
    assert note["settings"]["image_size"] == SIZE and len(note["settings"]["weights"]) > 10


def test_a_damaged_checkpoint_is_refused(resumed, splits, tmp_path):
    file = tmp_path / "checkpoint.npz"
    for content in (resumed[2].read_bytes()[:2000], b"", b"no zip"):
        file.write_bytes(content)
        with pytest.raises(UserError, match="no checkpoint of this training, or damaged"):
            _train(splits, file)


def test_a_moving_average_is_what_is_kept(resumed, splits):
    (averaged, _), _, _ = resumed
    plain, _ = _train(splits, None, average=None)
    assert (averaged.get_weights()[0] != plain.get_weights()[0]).any()


def test_fused_batch_norms_do_what_those_of_keras_do(splits):
    photos = splits["train"].centered().astype(np.float32)
    answers, moved = [], []
    for fuse in (False, True):
        model = build_model("efficientnet_lite0", image_size=SIZE, dropout=0)
        if fuse:
            training._prepare_batch_norms(model, None)
        answers.append(np.array(model(photos, training=True)))
        moved.append(model.get_weights())
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-3, atol=1e-3)
    for fused, plain in zip(moved[1], moved[0], strict=True):
        np.testing.assert_allclose(fused, plain, rtol=5e-3, atol=1e-3)
    before = build_model("efficientnet_lite0", image_size=SIZE).get_weights()
    assert sum(not np.allclose(new, old) for new, old in zip(moved[1], before)) > 90


@pytest.mark.parametrize("train", [fit, fit_head])
@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0}, {"epochs": -1}, {"learning_rate": 0.0}, {"learning_rate": -1.0},
        {"learning_rate": float("nan")}, {"batch_size": 0},
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused_before_anything_is_computed(flat, train, wrong):
    settings = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 8} | wrong
    with pytest.raises(UserError, match="must be above zero"):
        train(None, flat["train"], flat["valid"], **settings)


# --- fit_head ---


def test_the_head_learns_and_leaves_the_backbone_as_it_was(flat):
    model = build_model("efficientnet_lite0", image_size=32)
    before = [weights.copy() for weights in model.get_layer("backbone").get_weights()]
    history = fit_head(model, flat["train"], flat["valid"], epochs=15, learning_rate=1e-2)
    for old, new in zip(before, model.get_layer("backbone").get_weights()):
        np.testing.assert_array_equal(old, new)
    assert history["val_auc"].iloc[-1] == 1
    # What was learned answers through the whole model, not only through the head.
    logits = _in_keras(model, flat["valid"].centered())
    np.testing.assert_array_equal(logits > 0, flat["valid"].labels == 1)


def test_features_are_those_of_the_backbone_in_the_order_of_the_manifest(splits, lite0):
    extractor = models.feature_extractor(lite0[0])
    pixels = splits["valid"].centered().astype(np.float32)
    for mirrored in (False, True):
        features = training.compute_features(extractor, splits["valid"], mirrored, batch_size=20)
        seen = pixels[:, :, ::-1] if mirrored else pixels
        assert features.shape == (len(pixels), 1280)
        np.testing.assert_allclose(features, extractor.predict_on_batch(seen), atol=1e-3)


def test_a_network_without_a_backbone_has_no_head_to_train(flat):
    with pytest.raises(UserError, match="no backbone"):
        fit_head(
            build_model("cnn", image_size=32), flat["train"], flat["valid"],
            epochs=1, learning_rate=1e-3,
        )  # fmt: skip


# --- run folders ---


@pytest.fixture
def save(data, splits):
    """Save a run with an untrained network under a name."""
    model = build_model("cnn", image_size=SIZE)
    history = pd.DataFrame({"epoch": [1], "loss": [0.7]})

    def run(name: str, out_dir: Path):
        return save_run(
            name, model, data, splits, history,
            framing="face", recipe={"epochs": 1}, seed=0, out_dir=out_dir,
        )  # fmt: skip

    return run


def test_a_run_folder_is_whole(run_folder):
    assert {path.name for path in run_folder.iterdir()} == {*PARTS, seen.FILE}
    assert [path.name for path in run_folder.parent.iterdir()] == [run_folder.name]


def test_the_saved_model_carries_no_optimiser(run_folder):
    model = keras.models.load_model(run_folder / "model.keras")
    assert getattr(model, "optimizer", None) is None
    weights = sum(array.nbytes for array in model.get_weights())
    assert (run_folder / "model.keras").stat().st_size < 1.5 * weights


def test_a_run_folder_says_how_it_was_made(run_folder, data):
    config = json.loads((run_folder / "detector.json").read_text())
    assert config["name"] == run_folder.name and config["architecture"] == "cnn"
    assert config["data"]["fingerprint"] == data.fingerprint()
    assert set(config["versions"]) >= {"keras", "tensorflow", "numpy"}
    assert {"seed", "recipe", "created", "git_commit", "framing", "image_size"} <= set(config)
    assert (config["optimizer"], config["loss"]) == ("Adam", "BinaryCrossentropy")
    assert config["git_dirty"] in ((True, False) if config["git_commit"] else (None,))


def test_predictions_of_a_run_are_stated_for_its_own_prior(data, splits, tmp_path):
    model = build_model("cnn", image_size=SIZE)
    told = replace(splits["valid"], manifest=splits["valid"].manifest.assign(original="elsewhere"))
    detector = save_run(
        "careful", model, data, splits | {"valid": told}, pd.DataFrame({"epoch": [1]}),
        framing="face", recipe={"start": {"name": "earlier"}}, seed=0, out_dir=tmp_path,
        max_false_alarms=0.1,
    )  # fmt: skip
    assert detector.config["prior"] < 0.5 and detector.prior == detector.config["prior"]
    recorded = pd.read_csv(detector.folder / "predictions.csv")
    assert np.allclose(recorded["prior"], detector.prior)
    assert ((recorded["verdict"] == "FAKE") == (recorded["p_fake"] >= 0.5)).all()
    assert (recorded.loc[recorded["label"] == "real", "verdict"] == "FAKE").mean() <= 0.1
    assert "original" not in recorded and "path" not in recorded  # of no interest to others


def test_predictions_of_a_run_are_those_of_its_detector(run_folder, data):
    recorded = pd.read_csv(run_folder / "predictions.csv")
    assert set(recorded["split"]) == {"valid", "test"} and "path" not in recorded
    rows = recorded.merge(data.manifest[["file", "path"]], on="file").iloc[::20]
    asked = Detector.load(run_folder).predict_many(rows)
    np.testing.assert_allclose(asked["p_fake"], rows["p_fake"], atol=1e-4)
    assert list(asked["verdict"]) == list(rows["verdict"])


def test_the_model_card_names_the_test_metrics_and_their_limits(run_folder):
    card = (run_folder / "README.md").read_text()
    metrics = json.loads((run_folder / "metrics.json").read_text())["test"]["metrics"]
    assert f"| ROC AUC | {metrics['roc_auc']['value']:.3f} |" in card
    assert "What these numbers do not say" in card


def test_the_model_card_says_what_the_threshold_was_raised_for(run_folder):
    config, metrics = (
        json.loads((run_folder / name).read_text()) for name in ("detector.json", "metrics.json")
    )
    promise = "for the small ones together, that no more than 10%"
    assert promise not in model_card(config, metrics)
    raised = config | {"false_alarms": {"at_most": 0.1, "confidence": 0.9}}
    assert promise in model_card(raised, metrics)


@pytest.mark.parametrize("step", ["to_tflite", "fit_calibration", "evaluate", "write_card"])
def test_a_run_that_is_stopped_leaves_no_half_folder_and_the_older_run_as_it_was(
    save, tmp_path, run_folder, monkeypatch, step
):
    older = tmp_path / "models" / "mine"
    shutil.copytree(run_folder, older)
    before = {path.name: path.read_bytes() for path in older.iterdir()}
    tflite = (run_folder / "model.tflite").read_bytes()
    monkeypatch.setattr(runs, "to_tflite", lambda model: tflite)

    def stop(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, step, stop)
    with pytest.raises(KeyboardInterrupt):
        save("mine", tmp_path)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mine"]
    assert {path.name: path.read_bytes() for path in older.iterdir()} == before


def test_a_new_run_replaces_the_older_one_of_its_name(save, tmp_path, run_folder, monkeypatch):
    older = tmp_path / "models" / "mine"
    shutil.copytree(run_folder, older)
    (older / "left_over.txt").write_text("of the older run")
    tflite = (run_folder / "model.tflite").read_bytes()
    monkeypatch.setattr(runs, "to_tflite", lambda model: tflite)
    detector = save("mine", tmp_path)
    assert detector.name == "mine" and detector.folder == older
    assert {path.name for path in older.iterdir()} == {*PARTS, seen.FILE}
    assert [path.name for path in older.parent.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "a/b", "/absolute", "nul\0byte", "two words"]
)
def test_a_name_that_cannot_name_a_folder_is_refused(save, tmp_path, name):
    with pytest.raises(UserError, match="cannot name a detector"):
        save(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [*paths.SHIPPED, "CNN"])
def test_the_name_of_a_shipped_detector_is_refused_in_the_project(save, name, monkeypatch):
    monkeypatch.delenv("DEEPFAKE_LAB_HOME", raising=False)
    monkeypatch.setattr(runs, "to_tflite", lambda model: pytest.fail("it went to work"))
    with pytest.raises(UserError, match="choose another name"):
        save(name, "")


# --- two runtimes, one answer ---


def test_the_cnn_gives_the_same_logits_on_keras_and_on_litert(splits, run_folder):
    model = keras.models.load_model(run_folder / "model.keras")
    pixels = splits["test"].centered()
    logits = Detector.load(run_folder).logits(pixels)
    assert np.ptp(logits) > 0.01
    np.testing.assert_allclose(logits, _in_keras(model, pixels), atol=1e-3)


def test_the_backbone_gives_the_same_logits_on_keras_and_on_litert(splits, lite0):
    model, detector = lite0
    pixels = splits["test"].centered()
    logits = detector.logits(pixels)
    assert np.ptp(logits) > 0.1
    np.testing.assert_allclose(logits, _in_keras(model, pixels), atol=1e-3)


def test_the_mean_of_an_activation_map_is_the_logit(splits, lite0):
    _, detector = lite0
    for photo in splits["test"].manifest["path"]:
        answer = detector.predict(photo)
        assert answer.activation_map.shape == (2, 2)
        logit = detector.logits(answer.framed.pixels[None])[0]
        assert answer.activation_map.mean() == pytest.approx(logit, abs=1e-4)


# --- imports ---


@pytest.mark.parametrize("module", ["models", "backbones", "fitting", "runs", "batches"])
def test_tensorflow_is_imported_only_inside_the_functions_that_need_it(module):
    tree = ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    at_the_top = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom) and node.col_offset == 0
    ]
    names = [
        name
        for node in at_the_top
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names])
    ]  # fmt: skip
    assert names and not [name for name in names if name.split(".")[0] == "tensorflow"]


@pytest.mark.parametrize("lacks", [["fake"], ["real"], ["real", "fake"]])
def test_a_test_split_that_lacks_a_label_is_saved_and_said(data, splits, tmp_path, lacks):
    rows = data.manifest[(data.manifest["split"] == "test") & ~data.manifest["label"].isin(lacks)]
    parts = {split: splits[split] for split in ("train", "valid")}
    if len(rows):
        parts |= load_splits(rows[:4], image_size=SIZE)
    model = build_model("cnn", image_size=SIZE)
    history = pd.DataFrame({"epoch": [1], "loss": [0.7]})
    detector = save_run(
        "half", model, data, parts, history,
        framing="face", recipe={"epochs": 1}, seed=0, out_dir=tmp_path,
    )  # fmt: skip
    test = json.loads((detector.folder / "metrics.json").read_text())["test"]
    assert test["metrics"] == {}
    assert "nothing was measured" in test["note"]
    assert test["note"] in (detector.folder / "README.md").read_text()
