"""Training, leaving out, ablation and measuring of the shipped detectors, all in small."""

import csv
import json
import shutil
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from deepfake_lab import paths
from deepfake_lab.data.datasets import read_dataset
from deepfake_lab.training.batches import Split, load_splits

sys.path.insert(0, str(paths.project() / "tools"))
import make_models

TINY = {"epochs": 1, "photos": 16, "learning_rate": 1e-3, "augment": "mixed", "warmup": 0.1,
        "forged": 0.1, "average": 0.9}  # fmt: skip
FAKES = {"dfdc": "swap", "stylegan2": "gan"}
SPLITS = {"train": 3, "valid": 2, "test": 2}


@pytest.fixture(scope="module")
def photos() -> dict[str, list[str]]:
    rows = read_dataset("sample").manifest
    return {label: rows.loc[rows["label"] == label, "path"].tolist() for label in ("real", "fake")}


@pytest.fixture(scope="module")
def home(photos, tmp_path_factory):
    """A home where a tiny `cnn` was trained, left things out, and was measured."""
    folder = tmp_path_factory.mktemp("shipped")
    make_140k(folder / "data" / "140k", photos)
    make_faces(folder / "data" / "faces", photos)
    recipe = {"model": "cnn", "image_size": 40, "dropout": 0.5, "keep": "epoch"} | TINY
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPFAKE_LAB_HOME", str(folder))
        patch.setenv("DEEPFAKE_LAB_DATA", str(folder / "data"))
        patch.setattr(make_models, "DATA", ("140k", "faces"))
        patch.setitem(make_models.RECIPES, "cnn", recipe)
        patch.setattr(make_models, "SHORT", TINY | {"top_blocks": 1})
        patch.setattr(make_models, "SEEDS", (0, 1))
        patch.setattr(make_models, "ABLATION", {
            "as often as any, no celeba": {"even": False, "without": "celeba"},
            "the face's frame": {"framing": "whole"},
        })  # fmt: skip
        for command in ("train", "leave-out", "ablate", "measure"):
            patch.setattr(sys, "argv", ["make_models.py", command, "cnn"])
            assert make_models.main() == 0
        yield folder


def make_140k(folder: Path, photos: dict[str, list[str]]) -> None:
    root = folder / "real_vs_fake" / "real-vs-fake"
    for split, number in SPLITS.items():
        rows = []
        for label, value in (("real", 1), ("fake", 0)):
            (root / split / label).mkdir(parents=True)
            for _ in range(number):
                name = f"{split}/{label}/{len(rows):05d}.jpg"
                shutil.copy(photos[label].pop(), root / name)
                rows.append([len(rows), "", len(rows), value, label, name])
        with (folder / f"{split}.csv").open("w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(["", "original_path", "id", "label", "label_str", "path"])
            table.writerows(rows)


def make_faces(folder: Path, photos: dict[str, list[str]]) -> None:
    folder.mkdir()
    rows = []
    sources = [("real", "celeba", "photo"), *(("fake", *pair) for pair in FAKES.items())]
    for label, source, family in sources:
        for split, number in SPLITS.items():
            for _ in range(number):
                name = f"{len(rows)}.jpg"
                shutil.copy(photos[label].pop(), folder / name)
                rows.append([name, label, source, family, name, split])
    columns = ["path", "label", "source", "family", "group", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "manifest.csv", index=False)


def test_a_shipped_detector_comes_with_its_tables_and_a_card_that_shows_them(home):
    folder = home / "models" / "cnn"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "## Fakes that it had never seen" in card and "## What helped" in card
    assert {"families.csv", "sources.csv", "degradations.csv"} <= {p.name for p in folder.iterdir()}
    assert [r["name"] for r in metrics(folder)["assessment"]["data"]] == ["140k", "faces"]


def metrics(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_the_recipe_is_kept_with_what_an_epoch_drew(home):
    recipe = json.loads((home / "models" / "cnn" / "detector.json").read_text())["recipe"]
    assert recipe["learning_rate"] == 1e-3 and recipe["photos"] == 16
    assert sum(recipe["shares"].values()) == pytest.approx(1, abs=0.01)
    assert set(recipe["shares"]) >= {"real/140k", "fake/140k", "real/celeba", "fake/dfdc"}


def test_a_training_that_goes_on_from_a_detector_says_from_which(home, monkeypatch):
    before = json.loads((home / "models" / "cnn" / "detector.json").read_text())
    further = {"epochs": 1, "learning_rate": 1e-6}
    monkeypatch.setattr(make_models, "CONTINUED", further)
    start = ["make_models.py", "train", "cnn", "--start", str(home / "models" / "cnn")]
    monkeypatch.setattr(sys, "argv", [*start, "--name", "further"])
    assert make_models.main() == 0
    recipe = json.loads((home / "models" / "further" / "detector.json").read_text())["recipe"]
    assert recipe["start"]["sha256"] == before["sha256"]["model.keras"]
    assert recipe["start"]["name"] == "cnn" and recipe["learning_rate"] == 1e-6
    first, further = (
        keras.models.load_model(home / "models" / name / "model.keras").get_layer("conv1").kernel
        for name in ("cnn", "further")
    )
    np.testing.assert_allclose(first, further, atol=1e-3)  # and not a new random start


def test_a_detector_is_calibrated_anew_and_stays_the_same_network(home, monkeypatch):
    older, newer = home / "models" / "cnn", home / "models" / "anew"
    shutil.copytree(older, newer)
    before = json.loads((newer / "detector.json").read_text())
    monkeypatch.setattr(make_models, "MAX_FALSE_ALARMS", 0.5)
    monkeypatch.setattr(sys, "argv", ["make_models.py", "calibrate", "anew"])
    assert make_models.main() == 0
    after = json.loads((newer / "detector.json").read_text())
    assert after["name"] == "anew" and after["recipe"]["shares"] == before["recipe"]["shares"]
    assert after["recipe"]["trained"]["created"] == before["created"]
    assert "false_alarms" not in before  # of eight photos no one in ten can be promised
    assert after["false_alarms"]["at_most"] == 0.5
    np.testing.assert_array_equal(
        *(keras.models.load_model(f / "model.keras").get_weights()[0] for f in (older, newer))
    )


def test_other_photos_do_not_calibrate_a_detector(home, monkeypatch, capsys):
    monkeypatch.setattr(make_models, "DATA", ("140k",))
    monkeypatch.setattr(sys, "argv", ["make_models.py", "calibrate", "cnn"])
    assert make_models.main() == 2
    assert "trained with other photos" in capsys.readouterr().err


def test_a_training_cannot_go_on_from_another_network(home, monkeypatch, capsys):
    start = ["make_models.py", "train", "efficientnet", "--start", str(home / "models" / "cnn")]
    monkeypatch.setattr(sys, "argv", [*start, "--name", "further"])
    assert make_models.main() == 2
    assert "holds a cnn of 40 px" in capsys.readouterr().err


def test_frames_are_cut_once_and_kept(home):
    kept = [path.name for path in (home / "logs" / "frames").iterdir()]
    assert not [name for name in kept if name.startswith(".")]
    # train and valid of the face's frame and of the whole photo, test of the face's frame
    assert sorted(name.partition("-")[0] for name in kept) == [
        "test", "train", "train", "valid", "valid",
    ]  # fmt: skip


def test_real_and_fake_weigh_the_same_within_each_class_of_resolution():
    rows = [
        *[("real", "large", 256)] * 400, *[("fake", "many", 256)] * 900,
        *[("fake", "few", 512)] * 36,
        *[("real", "small", 128)] * 100, *[("fake", "far", 200)] * 36,
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["label", "source", "width"])
    shares = make_models.even_shares(table.assign(height=table["width"], family="any"))
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["real/large"] == pytest.approx(shares["fake/many"] + shares["fake/few"])
    assert shares["real/small"] == pytest.approx(shares["fake/far"])
    assert shares["fake/many"] == pytest.approx(5 * shares["fake/few"])  # 30 : 6
    assert shares["real/large"] > shares["real/small"]


def test_a_huge_source_weighs_no_more_than_a_large_one():
    table = pd.DataFrame({"label": ["real"] * 9000 + ["fake"] * 10, "source": "a", "width": 256})
    table.loc[table.index[:3000], "source"] = "b"
    shares = make_models.even_shares(table.assign(height=256, family="any"))
    assert shares["real/a"] == shares["real/b"]


def test_a_source_weighs_as_many_times_as_much_as_it_is_emphasised(monkeypatch):
    monkeypatch.setattr(make_models, "EMPHASIS", {"140k": 3})
    table = pd.DataFrame({"label": ["real"] * 900 + ["fake"] * 100, "source": "140k", "width": 256})
    table.loc[table.index[:400], "source"] = "other"  # 400 of these, 500 of 140k
    shares = make_models.even_shares(table.assign(height=256, family="any"))
    assert shares["real/140k"] / shares["real/other"] == pytest.approx(3 * (500 / 400) ** 0.5)
    assert shares["fake/140k"] == pytest.approx(0.5)


def test_no_photo_of_a_small_source_is_drawn_too_often():
    rows = [("real", "large")] * 5000 + [("fake", "many")] * 4900 + [("fake", "few")] * 4
    table = pd.DataFrame(rows, columns=["label", "source"]).assign(width=256, height=256)
    table["family"] = table["source"]
    shares = make_models.even_shares(table)
    assert 4 * 4 / len(table) <= shares["fake/few"] < 1.25 * 4 * 4 / len(table)  # not .014
    assert shares["real/large"] == pytest.approx(shares["fake/many"] + shares["fake/few"])


def test_a_family_weighs_as_the_square_root_of_its_sources():
    table = pd.DataFrame({"label": "fake", "source": list("abcde") * 400, "width": 256})
    table["family"] = table["source"].map(dict.fromkeys("abcd", "gan") | {"e": "diffusion"})
    real = pd.DataFrame({"label": ["real"] * 400, "source": "a", "width": 256, "family": "photo"})
    shares = make_models.even_shares(pd.concat([table, real]).assign(height=256))
    gan = sum(shares[f"fake/{source}"] for source in "abcd")
    assert gan == pytest.approx(2 * shares["fake/e"])


def test_training_sees_windows_of_the_frames_and_what_comes_out_takes_whole_ones(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path))
    rows = read_dataset("sample").manifest.groupby(["split", "label"]).head(4)
    seen = []

    def fit(model, train, valid, **_):
        seen.append((model.input.shape, train.image_size, valid.image_size))
        model.set_weights([weights + 1 for weights in model.get_weights()])
        return pd.DataFrame({"epoch": [1]})

    monkeypatch.setattr(make_models.fitting, "fit", fit)
    recipe = {"model": "efficientnet_lite0", "image_size": 64, "window": 48, "dropout": 0.0,
              "photos": 8, "forged": 0.0, "top_blocks": 1}  # fmt: skip
    model, _ = make_models._fit(recipe, load_splits(rows, 64), 0, "run")
    assert seen == [((None, None, None, 3), 48, 64)]
    assert model.input.shape == (None, 64, 64, 3)
    start = make_models.models.build_model("efficientnet_lite0", 64, dropout=0.0, seed=0)
    np.testing.assert_allclose(model.get_weights()[0], start.get_weights()[0] + 1, rtol=1e-5)


def test_every_source_and_every_family_of_several_is_left_out_once(home):
    rows = pd.read_csv(home / "models" / "cnn" / "leave_one_out.csv")
    assert sorted(zip(rows["kind"], rows["left_out"])) == [
        ("family", "gan"), ("source", "140k"), ("source", "dfdc"), ("source", "stylegan2"),
    ]  # fmt: skip
    left_out = rows.set_index(["kind", "left_out"])["photos"]
    # Two of each source, and one to train on in one data set that is a test photo of the other.
    assert left_out[("family", "gan")] == left_out["source"][["140k", "stylegan2"]].sum() == 5
    assert rows["auc"].between(0, 1).all()


def test_what_is_left_out_is_gone_from_training_and_no_real_photo_is(home):
    whole = load_splits(make_models._read().manifest, 40)["train"]
    rest = make_models._without(whole, "source", "dfdc")
    gone = set(whole.manifest["path"]) - set(rest.manifest["path"])
    assert len(gone) == 3 and len(rest.frames) == len(rest.manifest) == len(rest.keypoints)
    assert (rest.labels == 0).sum() == (whole.labels == 0).sum()


def test_real_photos_without_fakes_of_their_own_leave_or_are_forged():
    splits = {"source": ["dfdc", "dfdc", "140k", "140k", "stylegan2"],
              "family": ["photo", "swap", "photo", "gan", "gan"],
              "label": ["real", "fake", "real", "fake", "fake"]}  # fmt: skip
    split = Split(None, pd.DataFrame(splits).assign(width=256, height=256), 40, None)
    even = make_models.even_shares(split.manifest)
    swaps = make_models._shares(split, "source", "dfdc")
    assert swaps["forged/dfdc"] == swaps["real/dfdc"] == even["real/dfdc"] > 0
    assert swaps["fake/dfdc"] == 0 and swaps["real/140k"] == even["real/140k"]
    generated = make_models._shares(split, "family", "gan")
    assert generated["real/140k"] == 0 and "forged/140k" not in generated
    assert generated["fake/140k"] == generated["fake/stylegan2"] == 0 < generated["fake/dfdc"]


def test_the_ablation_has_a_row_per_change_and_seed_with_the_auc_of_each_kind(home):
    rows = pd.read_csv(home / "models" / "cnn" / "ablation.csv")
    assert rows["changed"].unique().tolist() == ["as often as any, no celeba", "the face's frame"]
    assert rows["seed"].tolist() == [0, 1, 0, 1]
    kinds = {"140k gan", "faces gan", "faces swap"}
    assert set(rows.columns[2:]) == kinds | {f"{kind}, worn" for kind in kinds}


def test_a_name_that_cannot_be_used_is_refused_before_anything_is_read(monkeypatch, capsys):
    monkeypatch.setattr(make_models, "_read", lambda: pytest.fail("it went to work"))
    monkeypatch.setattr(sys, "argv", ["make_models.py", "train", "cnn", "--name", "a/b"])
    assert make_models.main() == 2
    assert "cannot name a detector" in capsys.readouterr().err


def test_what_comes_out_of_going_on_lies_between_the_old_weights_and_the_new():
    old, new = [np.zeros(3), np.ones((2, 2))], [np.ones(3), np.full((2, 2), 5.0)]
    [first, second] = make_models.interpolated(old, new, 0.25)
    assert first.tolist() == [0.75] * 3 and second.tolist() == [[4, 4]] * 2
