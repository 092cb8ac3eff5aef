"""Each layout is made here as it comes when unpacked, and must be read to the right counts."""

import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfake_lab.data import datasets
from deepfake_lab.data.datasets import Dataset, join, limit_photos, read_dataset
from deepfake_lab.errors import UserError


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path_factory.mktemp("home")))


def picture(seed: int, size: int = 32) -> Image.Image:
    """A picture that looks like no other: coarse noise, enlarged."""
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)


def jpeg(seed: int) -> bytes:
    stream = io.BytesIO()
    picture(seed).save(stream, "JPEG")
    return stream.getvalue()


def put(root: Path, folder: str, names: list[str], first_seed: int) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        (root / folder / name).write_bytes(jpeg(first_seed + i))


def counts(data: Dataset) -> dict[str, tuple[int, int]]:
    return {split: tuple(row) for split, row in data.counts().iterrows()}


def make_140k(root: Path, splits=("train", "valid", "test"), base="real_vs_fake/real-vs-fake"):
    seed = 0
    for split, number in zip(splits, (7, 3, 4)):
        rows = []
        for label, value in (("fake", 0), ("real", 1)):
            ids = [f"{label[0].upper()}{seed + i:05d}" for i in range(number)]
            put(root, f"{base}/{split}/{label}", [f"{i}.jpg" for i in ids], seed)
            seed += number
            rows += [("", i, value, label, f"{split}/{label}/{i}.jpg") for i in ids]
        columns = ["original_path", "id", "label", "label_str", "path"]
        pd.DataFrame(rows, columns=columns).to_csv(root / f"{split}.csv")
    return root


def make_hardfake(root: Path, labels={"fake": "fake", "real": "real"}):  # noqa: B006
    for label, seed in (("fake", 0), ("real", 100)):
        put(root, label, [f"{label}_{i}.jpg" for i in range(1, 21)], seed)
    rows = [(f"{label}_{i}", labels[label]) for label in ("fake", "real") for i in range(1, 21)]
    pd.DataFrame(rows, columns=["images_id", "label"]).to_csv(root / "data.csv", index=False)
    return root


def make_ciplab(root: Path):
    levels = ("easy", "mid", "hard")
    fakes = [f"{levels[i % 3]}_{i + 1}_{i % 16:04b}.jpg" for i in range(30)]
    put(root, "training_fake", fakes, 0)
    put(root, "training_real", [f"real_{i:05d}.jpg" for i in range(1, 31)], 100)
    return root


def make_plain(root: Path, real="real", fake="fake", number=12):
    put(root, real, [f"{i}.jpg" for i in range(number)], 0)
    put(root, fake, [f"{i}.jpg" for i in range(number)], 500)
    return root


def write_manifest(root: Path, rows: list[dict]) -> Path:
    pd.DataFrame(rows).to_csv(root / "manifest.csv", index=False)
    return root


# --- the layouts ---


def test_140k_is_read_with_its_splits(tmp_path):
    data = read_dataset(make_140k(tmp_path))
    assert data.layout == "140k"
    assert counts(data) == {"train": (7, 7), "valid": (3, 3), "test": (4, 4)}
    assert data.problems.empty


def test_140k_is_read_two_folders_deep(tmp_path):
    make_140k(tmp_path / "archive" / "rvsf")
    data = read_dataset(tmp_path)
    assert data.layout == "140k"
    assert counts(data) == {"train": (7, 7), "valid": (3, 3), "test": (4, 4)}


def test_140k_is_read_in_another_letter_case(tmp_path):
    make_140k(tmp_path / "small")
    for old, new in (("train", "TRAIN"), ("valid", "Valid"), ("test", "Test")):
        base = tmp_path / "small/real_vs_fake/real-vs-fake"
        (base / old / "real").rename(base / old / "REAL")
        (base / old).rename(base / new)
        (tmp_path / f"small/{old}.csv").rename(tmp_path / f"small/{new}.csv")
    data = read_dataset(tmp_path / "small")
    assert (data.layout, counts(data)["train"]) == ("140k", (7, 7))
    assert data.problems.empty


def test_rvf10k_has_no_test_split_so_one_is_made(tmp_path):
    make_140k(tmp_path, splits=("train", "valid"), base="rvf10k")
    data = read_dataset(tmp_path)
    assert data.layout == "rvf10k"
    assert counts(data)["valid"] == (3, 3)
    assert sum(counts(data)["train"]) + sum(counts(data)["test"]) == 14
    assert min(counts(data)["test"]) > 0
    assert any("test made" in note for note in data.notes)


@pytest.mark.parametrize("outer", ["", "hardrvsf"])
def test_hardfake_is_read_and_split(tmp_path, outer):
    make_hardfake(tmp_path / outer)
    data = read_dataset(tmp_path)
    assert data.layout == "hardfakevsrealfaces"
    assert data.manifest["label"].value_counts().to_dict() == {"real": 20, "fake": 20}
    assert data.problems.empty
    assert all(min(pair) > 0 for pair in counts(data).values())


def test_hardfake_numbers_mean_what_the_folders_say(tmp_path):
    data = read_dataset(make_hardfake(tmp_path, {"fake": 1, "real": 0}))
    assert data.problems.empty
    assert any("0 = real, 1 = fake" in note for note in data.notes)


def test_hardfake_numbers_that_fit_no_folder_are_refused(tmp_path):
    make_hardfake(tmp_path)
    table = pd.read_csv(tmp_path / "data.csv")
    table["label"] = [i % 2 for i in range(len(table))]
    table.to_csv(tmp_path / "data.csv", index=False)
    with pytest.raises(UserError, match="cannot be told from the folders"):
        read_dataset(tmp_path)


def test_ciplab_is_read_with_its_difficulty(tmp_path):
    data = read_dataset(make_ciplab(tmp_path / "real_and_fake_face"))
    assert data.layout == "ciplab"
    assert data.manifest["label"].value_counts().to_dict() == {"real": 30, "fake": 30}
    fakes = data.manifest[data.manifest["label"] == "fake"]
    assert fakes["difficulty"].value_counts().to_dict() == {"easy": 10, "mid": 10, "hard": 10}


def test_ciplab_is_known_beside_other_folders(tmp_path):
    make_ciplab(tmp_path / "real_and_fake_face")
    put(tmp_path / "my_fakes", "", ["1.jpg"], 0)
    data = read_dataset(tmp_path)
    assert data.layout == "ciplab" and data.problems["file"].tolist() == ["my_fakes/1.jpg"]


def test_the_second_copy_in_the_ciplab_download_is_read_once(tmp_path):
    make_ciplab(tmp_path / "real_and_fake_face")
    make_ciplab(tmp_path / "real_and_fake_face_detection/real_and_fake_face")
    data = read_dataset(tmp_path)
    assert len(data.manifest) == 60
    assert (data.problems["kind"] == "second copy in the download").sum() == 60


def test_an_edited_ciplab_photo_stays_with_its_original(tmp_path):
    make_ciplab(tmp_path)
    for i in range(10):
        whole = picture(1000 + i, 128)
        whole.save(tmp_path / "training_real" / f"real_9{i:04d}.jpg", quality=92)
        whole.paste(picture(2000 + i, 16), (56, 56))
        whole.save(tmp_path / "training_fake" / f"hard_9{i:02d}_0010.jpg", quality=92)
    rows = read_dataset(tmp_path).manifest.set_index("file")
    for i in range(10):
        pair = rows.loc[
            [f"training_real/real_9{i:04d}.jpg", f"training_fake/hard_9{i:02d}_0010.jpg"]
        ]
        assert pair["group"].nunique() == pair["split"].nunique() == 1


def test_deepfake_and_real_images_is_named(tmp_path):
    seed = 0
    for split, number in (("Train", 6), ("Validation", 3), ("Test", 2)):
        for label in ("Real", "Fake"):
            names = [f"{label.lower()}_{i}.jpg" for i in range(number)]
            put(tmp_path, f"Dataset/{split}/{label}", names, seed)
            seed += number
    data = read_dataset(tmp_path)
    assert data.layout == "deepfake-and-real-images"
    assert counts(data) == {"train": (6, 6), "valid": (3, 3), "test": (2, 2)}


@pytest.mark.parametrize(
    ("real", "fake"),
    [("real", "fake"), ("REAL", "Fake"), ("a/b/RealFaces", "a/b/FakeFaces"), ("0_real", "1_fake"),
     ("original", "deepfakes")],
)  # fmt: skip
def test_two_folders_that_say_real_and_fake_are_enough(tmp_path, real, fake):
    data = read_dataset(make_plain(tmp_path, real, fake))
    assert data.layout == "plain"
    assert data.manifest["label"].value_counts().to_dict() == {"real": 12, "fake": 12}


def test_the_folder_may_itself_be_called_fake(tmp_path):
    data = read_dataset(make_plain(tmp_path / "fake"))
    assert data.manifest["label"].value_counts().to_dict() == {"real": 12, "fake": 12}


def test_a_single_class_folder_is_told_to_go_one_up(tmp_path):
    put(tmp_path / "fake", "", ["1.jpg"], 0)
    with pytest.raises(UserError, match="give the folder above it"):
        read_dataset(tmp_path / "fake")


def test_a_layout_can_be_forced(tmp_path):
    assert read_dataset(make_140k(tmp_path), layout="plain").layout == "plain"


@pytest.mark.parametrize(
    ("layout", "lacks"),
    [("140k", "train.csv"), ("hardfakevsrealfaces", "data.csv"), ("manifest", "manifest.csv"),
     ("ciplab", "training_real"), ("deepfake-and-real-images", "Validation")],
)  # fmt: skip
def test_a_forced_layout_that_does_not_fit_says_what_is_missing(tmp_path, layout, lacks):
    with pytest.raises(UserError, match=lacks):
        read_dataset(make_plain(tmp_path), layout=layout)


def test_an_unknown_layout_names_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="known: auto, manifest, 140k"):
        read_dataset(make_plain(tmp_path), layout="coco")


# --- labels that do not fit ---


def test_a_csv_that_contradicts_a_folder_is_named_and_left_out(tmp_path):
    make_140k(tmp_path)
    table = pd.read_csv(tmp_path / "train.csv", index_col=0, dtype={"id": str})
    table.loc[0, "label"] = 1
    table.to_csv(tmp_path / "train.csv")
    data = read_dataset(tmp_path)
    assert data.problems["kind"].tolist() == ["labels contradict"]
    assert "folder says fake, CSV says real" in data.problems["problem"][0]
    assert counts(data)["train"] == (7, 6)


def test_inverted_csv_labels_are_refused_whole(tmp_path):
    make_140k(tmp_path)
    for split in ("train", "valid", "test"):
        table = pd.read_csv(tmp_path / f"{split}.csv", index_col=0, dtype={"id": str})
        table["label"] = 1 - table["label"]
        table.to_csv(tmp_path / f"{split}.csv")
    with pytest.raises(UserError, match="Most CSV labels contradict the folders"):
        read_dataset(tmp_path)


def test_a_hardfake_csv_that_contradicts_a_folder_is_named(tmp_path):
    make_hardfake(tmp_path)
    (tmp_path / "fake/fake_1.jpg").rename(tmp_path / "real/fake_1.jpg")
    data = read_dataset(tmp_path)
    assert data.problems[["file", "kind"]].to_numpy().tolist() == [
        ["real/fake_1.jpg", "labels contradict"]
    ]


def test_a_label_without_a_file_and_a_file_without_a_label_are_named(tmp_path):
    make_140k(tmp_path)
    (tmp_path / "real_vs_fake/real-vs-fake/train/fake/F00000.jpg").unlink()
    put(tmp_path, "real_vs_fake/real-vs-fake/train/fake", ["new.jpg"], 900)
    kinds = read_dataset(tmp_path).problems["kind"].tolist()
    assert sorted(kinds) == ["file in no CSV", "label without a file"]


def test_a_file_outside_the_class_folders_is_left_out_and_named(tmp_path):
    make_plain(tmp_path)
    put(tmp_path, "", ["stray.jpg"], 900)
    data = read_dataset(tmp_path)
    assert data.problems[["file", "kind"]].to_numpy().tolist() == [["stray.jpg", "no label"]]


def test_a_fake_folder_inside_a_real_folder_is_never_guessed(tmp_path):
    make_plain(tmp_path)
    put(tmp_path, "real/fake", ["which.jpg"], 900)
    data = read_dataset(tmp_path)
    assert data.problems[["file", "kind"]].to_numpy().tolist() == [
        ["real/fake/which.jpg", "labels contradict"]
    ]


# --- manifests ---


def rows_for(root: Path, number=12) -> list[dict]:
    make_plain(root, number=number)
    return [
        {"path": f"{label}/{i}.jpg", "label": label}
        for label in ("real", "fake")
        for i in range(number)
    ]


def test_a_manifest_keeps_its_columns_and_splits(tmp_path):
    rows = [
        row | {"split": ("train", "val", "Test")[i % 3], "family": "x", "group": f"g{i}"}
        for i, row in enumerate(rows_for(tmp_path))
    ]
    data = read_dataset(write_manifest(tmp_path, rows))
    assert data.layout == "manifest"
    assert counts(data) == {"train": (4, 4), "valid": (4, 4), "test": (4, 4)}
    assert set(data.manifest["family"]) == {"x"}


@pytest.mark.parametrize("path", ["../outside.jpg", "/nowhere/at/all.jpg", "C:\\photos\\1.jpg", ""])
def test_a_manifest_cannot_reach_outside_its_folder(tmp_path, path):
    put(tmp_path, "", ["outside.jpg"], 900)
    root = tmp_path / "data"
    rows = [*rows_for(root), {"path": path, "label": "real"}]
    data = read_dataset(write_manifest(root, rows))
    assert len(data.manifest) == 24
    assert data.problems["kind"].tolist() == ["path outside the folder"]


def test_an_absolute_path_inside_the_folder_is_understood(tmp_path):
    rows = rows_for(tmp_path)
    rows[0]["path"] = str(tmp_path / rows[0]["path"])
    rows[1]["path"] = rows[1]["path"].replace("/", "\\")
    data = read_dataset(write_manifest(tmp_path, rows))
    assert len(data.manifest) == 24
    assert data.problems.empty


def test_several_tables_side_by_side_are_not_chosen_between(tmp_path):
    for name in ("a", "b"):
        write_manifest(tmp_path / name, rows_for(tmp_path / name))
    with pytest.raises(UserError, match=r"several tables: a/manifest\.csv, b/manifest\.csv"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path / "b").manifest) == 24


def test_a_table_in_a_subfolder_is_named_where_it_leaves_images_out(tmp_path):
    make_plain(tmp_path)
    write_manifest(tmp_path / "old", rows_for(tmp_path / "old"))
    data = read_dataset(tmp_path)
    assert any("old/manifest.csv alone: 24 images outside" in note for note in data.notes)
    assert set(data.problems["problem"]) == {"not in old/manifest.csv: left out"}
    assert len(read_dataset(tmp_path, layout="plain").manifest) == 48


def test_manifest_rows_without_a_file_or_twice_are_named(tmp_path):
    rows = rows_for(tmp_path)
    rows += [rows[0], {"path": "real/none.jpg", "label": "real"}]
    put(tmp_path, "real", ["unlisted.jpg"], 900)
    kinds = read_dataset(write_manifest(tmp_path, rows)).problems["kind"].tolist()
    assert sorted(kinds) == ["label without a file", "listed twice", "no label"]


@pytest.mark.parametrize(
    ("column", "value"), [("label", "maybe"), ("label", ""), ("split", "holdout")]
)
def test_a_word_that_a_manifest_may_not_hold_is_shown_with_its_line(tmp_path, column, value):
    rows = [row | {"split": "train"} for row in rows_for(tmp_path)]
    rows[3][column] = value
    with pytest.raises(UserError, match=f"line 5: {column} '{value}' is neither"):
        read_dataset(write_manifest(tmp_path, rows))


def test_a_manifest_that_is_no_table_is_one_clear_line(tmp_path):
    make_plain(tmp_path)
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="lacks the column"):
        read_dataset(tmp_path)


# --- files ---


def test_files_that_are_no_images_are_left_out_with_the_reason(tmp_path):
    make_plain(tmp_path)
    (tmp_path / "real/empty.jpg").touch()
    (tmp_path / "real/text.jpg").write_text("not a picture")
    picture(1, 8).save(tmp_path / "real/tiny.png")
    Image.new("1", (20_000, 20_000)).save(tmp_path / "real/huge.png")
    (tmp_path / "real/gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "real/film.mp4").write_bytes(b"0")
    data = read_dataset(tmp_path)
    assert data.problems.set_index("file")["kind"].to_dict() == {
        "real/gone.jpg": "broken link",
        "real/film.mp4": "not an image by its ending",
        "real/empty.jpg": "empty file",
        "real/text.jpg": "not an image",
        "real/tiny.png": "too small",
        "real/huge.png": "too many pixels",
    }
    assert len(data.manifest) == 24


def test_a_file_that_vanishes_while_it_is_read_is_a_problem_not_a_crash(tmp_path, monkeypatch):
    from deepfake_lab.data import datasets

    make_plain(tmp_path)
    scan = datasets.scan

    def scan_then_lose_one(root):
        listing = scan(root)
        (tmp_path / "real/3.jpg").unlink()
        return listing

    monkeypatch.setattr(datasets, "scan", scan_then_lose_one)
    data = read_dataset(tmp_path)
    assert data.problems[["file", "kind"]].to_numpy().tolist() == [
        ["real/3.jpg", "unreadable file"]
    ]


def test_a_circle_of_links_ends(tmp_path):
    make_plain(tmp_path)
    (tmp_path / "real/again").symlink_to(tmp_path, target_is_directory=True)
    data = read_dataset(tmp_path)
    assert len(data.manifest) == 24
    assert data.problems["kind"].tolist() == ["link to a folder read before"]


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path):
    make_plain(tmp_path / "elsewhere")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/all").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert len(read_dataset(tmp_path / "data").manifest) == 24


def test_an_archive_is_named_where_nothing_else_is(tmp_path):
    (tmp_path / "140k.zip").write_bytes(b"PK")
    with pytest.raises(UserError, match=r"Unpack 140k\.zip first"):
        read_dataset(tmp_path)


def test_nothing_is_written_to_the_folder(tmp_path):
    make_plain(tmp_path)

    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in tmp_path.rglob("*")}

    before = state()
    read_dataset(tmp_path)
    assert state() == before


# --- splits ---


def test_made_splits_follow_from_the_seed_alone(tmp_path):
    make_plain(tmp_path, number=40)
    one, again, other = (read_dataset(tmp_path, seed=seed).manifest for seed in (0, 0, 1))
    assert one["split"].tolist() == again["split"].tolist() != other["split"].tolist()


def test_made_splits_do_not_depend_on_where_the_folder_lies(tmp_path):
    splits = [
        read_dataset(make_plain(tmp_path / place, number=40)).manifest["split"].tolist()
        for place in ("here", "somewhere/else")
    ]
    assert splits[0] == splits[1]


def test_photos_that_show_the_same_never_straddle_made_splits(tmp_path):
    make_plain(tmp_path, number=40)
    for i in range(20):
        image = Image.open(tmp_path / f"real/{i}.jpg")
        image.resize((48, 48)).save(tmp_path / f"real/copy_{i}.jpg", quality=60)
    data = read_dataset(tmp_path)
    rows = data.manifest.set_index("file")
    assert data.groups_from == "likeness"
    for i in range(20):
        assert rows["split"][f"real/{i}.jpg"] == rows["split"][f"real/copy_{i}.jpg"]


def test_groups_of_the_manifest_never_straddle_made_splits(tmp_path):
    rows = [row | {"group": f"g{i // 2}"} for i, row in enumerate(rows_for(tmp_path, 40))]
    manifest = read_dataset(write_manifest(tmp_path, rows)).manifest
    assert manifest.groupby("group")["split"].nunique().max() == 1


def test_too_few_images_to_split_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="Too few images to make splits"):
        read_dataset(make_plain(tmp_path, number=3))


def test_data_made_for_testing_alone_stays_so(tmp_path):
    make_plain(tmp_path, "test/real", "test/fake")
    data = read_dataset(tmp_path)
    assert counts(data) == {"train": (0, 0), "valid": (0, 0), "test": (12, 12)}
    assert any("only be evaluated on" in note for note in data.notes)


def test_every_split_that_is_made_holds_both_labels():
    rng = np.random.default_rng(0)
    for case in range(40):
        groups = [("fake", f"s{i % 4}", f"f{i}") for i in range(7)]
        groups += [("real", f"s{i % 3}", f"r{i}") for i in range(8)]
        rows = [group for group in groups for _ in range(rng.integers(1, 12))]
        frame = pd.DataFrame(rows, columns=["label", "source", "group"]).assign(split=None)
        made, _ = datasets._with_splits(frame, case % 3, must_split=True)
        assert made.groupby("split")["label"].nunique().to_dict() == dict.fromkeys(
            ("train", "valid", "test"), 2
        )
        assert (made.groupby("group")["split"].nunique() == 1).all()


def test_photos_of_one_label_that_are_to_be_joined_get_splits_of_their_own(tmp_path):
    put(tmp_path / "cameras" / "real", "", [f"{i}.jpg" for i in range(10)], 0)
    put(tmp_path / "generator" / "fake", "", [f"{i}.jpg" for i in range(10)], 100)
    parts = [read_dataset(tmp_path / name, both_labels=False) for name in ("cameras", "generator")]
    assert counts(join(parts)) == {"train": (6, 6), "valid": (2, 2), "test": (2, 2)}


@pytest.mark.parametrize("at_most", [-1, 1])
def test_a_limit_that_leaves_a_label_out_is_refused(tmp_path, at_most):
    data = read_dataset(make_140k(tmp_path))
    with pytest.raises(UserError, match="give 2 or more"):
        limit_photos(data.manifest, at_most)


def test_a_seed_that_no_generator_takes_is_refused(tmp_path):
    with pytest.raises(UserError, match="seed=-1"):
        read_dataset(make_plain(tmp_path), seed=-1)


@pytest.mark.parametrize("between", ["_", "/"])
def test_folders_called_after_splits_and_labels_are_no_ciplab(tmp_path, between):
    for split, number in (("training", 6), ("validation", 3), ("testing", 2)):
        for label, first in (("real", 0), ("fake", 100)):
            names = [f"{split}{i}.jpg" for i in range(number)]
            joined = "_" if split == "training" else between
            put(tmp_path / f"{split}{joined}{label}", "", names, first + 20 * number)
    data = read_dataset(tmp_path)
    assert data.layout == "plain" and data.problems.empty
    assert counts(data) == {"train": (6, 6), "valid": (3, 3), "test": (2, 2)}


def test_photos_can_be_limited_alike_for_both_labels(tmp_path):
    data = read_dataset(make_140k(tmp_path))
    train = limit_photos(data.manifest, 6).query("split == 'train'")
    assert train["label"].value_counts().to_dict() == {"real": 3, "fake": 3}


# --- the facts and their cache ---


def test_a_changed_file_is_noticed(tmp_path):
    make_plain(tmp_path)
    first = read_dataset(tmp_path).fingerprint()
    (tmp_path / "real/0.jpg").write_bytes(jpeg(12345))
    assert read_dataset(tmp_path).fingerprint() != first


def test_a_cache_that_cannot_be_written_changes_nothing(tmp_path, monkeypatch):
    make_plain(tmp_path / "data")
    first = read_dataset(tmp_path / "data").fingerprint()
    (tmp_path / "file").touch()
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path / "file"))
    assert read_dataset(tmp_path / "data").fingerprint() == first


def test_a_damaged_cache_is_made_anew(tmp_path):
    from deepfake_lab.data.factstore import cache_file

    make_plain(tmp_path)
    first = read_dataset(tmp_path).fingerprint()
    cache_file().write_bytes(b"no database at all" * 100)
    assert read_dataset(tmp_path).fingerprint() == first


def test_moved_files_are_known_by_their_content(tmp_path, monkeypatch):
    from deepfake_lab.data import facts

    make_plain(tmp_path / "old")
    read_dataset(tmp_path / "old")
    os.rename(tmp_path / "old", tmp_path / "new")

    def must_not_decode(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr(facts, "_read", must_not_decode)
    assert len(read_dataset(tmp_path / "new").manifest) == 24


# --- real data, where it lies beside the project ---

extra = pytest.mark.skipif(
    not os.environ.get("DEEPFAKE_LAB_DATA"),
    reason="DEEPFAKE_LAB_DATA names no folder with 140k/ and faces/",
)


@extra
def test_the_140k_subset_is_read_as_kaggle_ships_it():
    data = read_dataset("140k")
    assert (data.layout, len(data.problems)) == ("140k", 0)
    assert counts(data) == {"train": (700, 700), "valid": (100, 100), "test": (150, 150)}


@extra
def test_the_faces_corpus_is_read_by_its_manifest():
    data = read_dataset("faces")
    assert data.layout == "manifest"
    assert data.manifest["split"].value_counts().to_dict() == {
        "train": 10_541, "valid": 1_500, "test": 3_029,
    }  # fmt: skip


# --- several data sets as one ---


@pytest.fixture
def joined(tmp_path) -> Dataset:
    """Two data sets, the second with the same pictures in it as the first."""
    return join([
        read_dataset(make_140k(tmp_path / "first")), read_dataset(make_plain(tmp_path / "mine")),
    ])  # fmt: skip


def test_joined_data_sets_keep_all_photos_and_say_where_each_is_from(joined):
    assert joined.manifest["data"].value_counts().to_dict() == {"140k": 28, "mine": 24}
    assert joined.folder.name == "140k+mine"
    assert joined.manifest["path"].map(os.path.isfile).all()


def test_a_source_without_a_name_gets_that_of_its_data_set(joined):
    keys = set(joined.manifest["label"] + "/" + joined.manifest["source"])
    assert keys == {"real/140k", "fake/140k", "real/mine", "fake/mine"}


def test_files_and_groups_of_joined_data_sets_stay_apart(joined):
    assert joined.manifest["file"].is_unique
    assert joined.manifest.groupby("group")["data"].nunique().max() == 1


def test_what_two_data_sets_share_is_in_one_split_with_its_groups(tmp_path):
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    rows = {"first": [], "second": []}
    for number, (split, other) in enumerate([
        ("test", "train"), ("train", "valid"), ("train", "train"), ("valid", "test")
    ]):  # fmt: skip
        shown = picture(number, 96)
        shown.save(folders[0] / f"{number}.png")
        shown.save(folders[1] / f"{number}.jpg", quality=60)
        rows["first"].append((f"{number}.png", "real", split, f"a{number}"))
        rows["second"].append((f"{number}.jpg", "real", other, f"b{number}"))
    picture(9, 96).save(folders[1] / "kin.jpg")  # the same person as 0.jpg
    rows["second"].append(("kin.jpg", "real", "train", "b0"))
    for folder in folders:
        table = pd.DataFrame(rows[folder.name], columns=["path", "label", "split", "group"])
        table.to_csv(folder / "manifest.csv", index=False)
    together = join([read_dataset(folder, both_labels=False) for folder in folders])
    splits = together.manifest.set_index("file")["split"].to_dict()
    assert splits == {
        "first/0.png": "test", "first/1.png": "valid", "first/2.png": "train",
        "first/3.png": "test", "second/0.jpg": "test", "second/1.jpg": "valid",
        "second/2.jpg": "train", "second/3.jpg": "test", "second/kin.jpg": "test",
    }  # fmt: skip
    assert together.notes[-1].startswith("4 photos that another data set has too")


def test_one_data_set_joined_is_itself(tmp_path):
    data = read_dataset(make_plain(tmp_path / "mine"))
    assert join([data]) is data


def test_two_folders_of_one_name_are_two_data_sets(tmp_path):
    folders = [make_plain(tmp_path / home / "photos") for home in ("one", "two")]
    together = join([read_dataset(folder, seed=seed) for seed, folder in enumerate(folders)])
    assert together.manifest["data"].unique().tolist() == ["photos", "photos_2"]
    assert together.manifest["file"].is_unique
    assert together.manifest.groupby("fingerprint")["split"].nunique().max() == 1


# --- what real folders bring ---


def test_a_long_clip_of_one_scene_comes_into_one_split(tmp_path):
    make_plain(tmp_path, number=60)
    scene, shifts = np.asarray(picture(999, 96)), np.random.default_rng(0)
    for number in range(100):  # more than a chain may have
        moved = np.roll(scene, shifts.integers(-1, 2, 2), axis=(0, 1)).astype(np.int16)
        moved += shifts.integers(-3, 4, moved.shape, np.int16)
        Image.fromarray(moved.clip(0, 255).astype(np.uint8)).save(tmp_path / f"real/c{number}.png")
    manifest = read_dataset(tmp_path).manifest
    clip = manifest[manifest["file"].str.startswith("real/c")]
    assert len(clip) == 100 and clip["split"].nunique() == clip["group"].nunique() == 1


def test_columns_named_like_what_is_measured_are_left_out_and_named(tmp_path):
    rows = [{"path": f"{label}/{i}.jpg", "label": label, "state": "NV", "hash": "x", "camera": "c"}
            for label in ("real", "fake") for i in range(12)]  # fmt: skip
    for start, label in enumerate(("real", "fake")):
        put(tmp_path, label, [f"{i}.jpg" for i in range(12)], 100 * start)
    write_manifest(tmp_path, rows)
    data = read_dataset(tmp_path)
    assert "camera" in data.manifest and not {"state", "hash"} & set(data.manifest)
    assert any("left out hash, state" in note or "left out state, hash" in note
               for note in data.notes)  # fmt: skip


def test_many_sources_of_three_photos_are_split(tmp_path):
    rows = []
    for source in range(8):
        for label in ("real", "fake"):
            names = [f"{source}-{i}.jpg" for i in range(3)]
            put(tmp_path, label, names, 10 * source + 1000 * (label == "real"))
            rows += [{"path": f"{label}/{name}", "label": label, "source": f"camera {source}"}
                     for name in names]  # fmt: skip
    write_manifest(tmp_path, rows)
    assert set(read_dataset(tmp_path).manifest["split"]) == {"train", "valid", "test"}


def test_a_link_to_itself_is_a_broken_link(tmp_path):
    make_plain(tmp_path)
    (tmp_path / "real/loop.jpg").symlink_to("loop.jpg")
    problems = read_dataset(tmp_path).problems
    assert problems["file"].tolist() == ["real/loop.jpg"]
    assert problems["kind"].tolist() == ["broken link"]
