"""Planted faults must be found by name; a clean set must raise no alarm."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfake_lab.auditing import checks, shortcuts
from deepfake_lab.auditing.survey import audit, facts_table
from deepfake_lab.cli import main
from deepfake_lab.data import duplicates, facts, factstore
from deepfake_lab.data.datasets import join, read_dataset

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


def sample_photos() -> list[Path]:
    return sorted(SAMPLE.glob("*/*.jpg"))


def build_clean(root: Path) -> Path:
    """Unforged photos of the sample under labels drawn by lot: nothing can tell them apart."""
    photos = [*SAMPLE.glob("real/*.jpg"), *SAMPLE.glob("fake/gan_*.jpg")]
    photos.sort()
    lot = np.random.default_rng(5).permutation(len(photos))
    for place, number in enumerate(lot):
        folder = root / ("real" if place % 2 else "fake")
        folder.mkdir(parents=True, exist_ok=True)
        os.link(photos[number], folder / f"{place:04d}.jpg")
    return root


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    root = tmp_path_factory.mktemp("clean") / "data"
    try:
        return build_clean(root)
    except OSError:
        pytest.skip("the temporary folder lies on another disk: no links possible")


def build_planted(root: Path) -> Path:
    """A hundred files with every fault that an audit knows."""
    photos = [Image.open(path).convert("RGB") for path in sample_photos()[::4][:96]]
    # 30 real and 50 fake; the fakes are saved by other software: quality 40 against 92.
    for label, count, start, quality in (("real", 28, 0, 92), ("fake", 44, 28, 40)):
        for i in range(count):
            split = "train" if i % 4 else "test"
            path = root / split / label / f"{label}{i:02d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            photos[start + i].save(path, quality=quality)
    train, test = root / "train", root / "test"
    (train / "real/empty.jpg").touch()
    (train / "real/text.jpg").write_text("not a picture")
    whole = (train / "real/real01.jpg").read_bytes()
    (train / "real/truncated.jpg").write_bytes(whole[: len(whole) // 2])
    photos[80].save(train / "fake/png_inside.jpg", "PNG")
    photos[81].save(train / "fake/film.gif", save_all=True, append_images=[photos[82]])
    photos[83].convert("CMYK").save(train / "fake/print.jpg")
    deep = np.asarray(photos[84].convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(train / "fake/deep.png")
    clear = photos[85].convert("RGBA")
    clear.putalpha(128)
    clear.save(train / "fake/clear.png")
    photos[86].resize((600, 100)).save(train / "fake/absurd.jpg")
    Image.new("1", (20_000, 20_000)).save(train / "fake/huge.png")
    photos[87].resize((8, 8)).save(train / "fake/tiny.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photos[88].save(train / "real/turned.jpg", exif=exif)
    (train / "real/copy.jpg").write_bytes((train / "real/real02.jpg").read_bytes())
    (train / "fake/liar.jpg").write_bytes((train / "real/real03.jpg").read_bytes())
    (test / "fake/leak.jpg").write_bytes((train / "fake/fake02.jpg").read_bytes())
    photos[28 + 5].resize((200, 200)).save(train / "fake/near.jpg", quality=70)
    photos[28 + 6].resize((200, 200)).save(train / "real/near_liar.jpg", quality=70)
    photos[28 + 7].resize((200, 200)).save(test / "fake/near_leak.jpg", quality=70)
    wide = Image.new("RGB", (448, 224))
    wide.paste(photos[89], (0, 0))
    wide.paste(photos[90], (224, 0))
    wide.save(train / "real/two.jpg")
    noise = np.random.default_rng(0).integers(0, 255, (224, 224, 3), np.uint8)
    Image.fromarray(noise).save(train / "real/nobody.jpg")
    small = Image.new("RGB", (448, 448), (90, 120, 90))
    small.paste(photos[91].resize((90, 90)), (0, 0))
    small.save(train / "real/corner.jpg")
    photos[92].save(root / "stray.jpg")
    (train / "real/gone.jpg").symlink_to(root / "nowhere.jpg")
    (train / "real/film.mp4").write_bytes(b"0")
    return root


FAULTS = {
    "empty file", "not an image", "truncated image", "wrong file extension", "animated image",
    "CMYK colours", "16 bits per channel", "transparency", "absurd size", "too many pixels",
    "too small", "EXIF rotation", "no label", "broken link", "not an image by its ending",
    "exact duplicates", "exact duplicates across labels", "exact duplicates across splits",
    "near duplicates", "near duplicates across labels", "near duplicates across splits",
    "labels out of balance", "few photos in the test split", "shortcut: JPEG quality",
    "shortcut: bytes per pixel", "no face found", "several faces", "tiny face",
    "face far from the centre",
}  # fmt: skip


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return build_planted(tmp_path_factory.mktemp("planted") / "data")


@pytest.fixture(scope="module")
def found(planted):
    return audit(planted)


def test_a_clean_set_raises_no_alarm(clean):
    result = audit(clean)
    assert result.findings.query("severity != 'low'").to_dict("records") == []
    assert result.verdict.startswith("Nothing gives the label away")


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_planted_fault_is_found_by_name(found, fault):
    assert fault in set(found.findings["finding"])


@pytest.mark.parametrize(
    ("fault", "file"),
    [("truncated image", "train/real/truncated.jpg"), ("empty file", "train/real/empty.jpg"),
     ("wrong file extension", "train/fake/png_inside.jpg"),
     ("animated image", "train/fake/film.gif"), ("EXIF rotation", "train/real/turned.jpg"),
     ("exact duplicates across labels", "train/fake/liar.jpg"),
     ("exact duplicates across splits", "test/fake/leak.jpg"),
     ("near duplicates across labels", "train/real/near_liar.jpg"),
     ("near duplicates across splits", "test/fake/near_leak.jpg"),
     ("near duplicates", "train/fake/near.jpg"), ("several faces", "train/real/two.jpg"),
     ("no face found", "train/real/nobody.jpg")],
)  # fmt: skip
def test_a_finding_names_the_file(found, fault, file):
    row = found.findings.set_index("finding").loc[fault]
    assert file in row["examples"].split(", ")


def test_nothing_is_found_twice_under_one_name(found):
    assert found.findings["finding"].is_unique


def test_the_verdict_says_that_jpeg_quality_gives_the_label_away(found):
    assert re.match(
        r"Without a look at a face, the signals measured here score (0\.9\d|1\.00)", found.verdict
    )
    assert "JPEG quality" in found.verdict
    assert "duplicates across" in found.verdict


def test_one_command_names_every_fault_and_touches_nothing(planted, tmp_path, capsys):
    def state():
        return {p: (p.lstat().st_mtime_ns, p.lstat().st_size) for p in planted.rglob("*")}

    before = state()
    assert main(["audit", str(planted), "--html", str(tmp_path / "report.html")]) == 0
    said = capsys.readouterr().out
    assert [fault for fault in sorted(FAULTS) if fault not in said] == []
    assert state() == before
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [fault for fault in sorted(FAULTS) if fault not in page] == []


def test_a_photo_is_not_replaced_by_the_page(planted, capsys):
    photo = sorted(planted.rglob("*.jpg"))[0]
    before = photo.read_bytes()
    assert main(["audit", str(planted), "--html", str(photo)]) == 2
    assert "must end in .html" in capsys.readouterr().err
    assert photo.read_bytes() == before


def test_the_page_needs_no_other_file_and_knows_light_and_dark(found, tmp_path):
    page = found.to_html(tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)
    assert "<script" not in page and "@import" not in page and "url(" not in page
    assert "prefers-color-scheme: dark" in page


def test_the_page_shows_hostile_names_as_text(tmp_path):
    root = tmp_path / "data"
    for label in ("real", "fake"):
        (root / label).mkdir(parents=True)
    for i, photo in enumerate(sample_photos()[:60]):
        (root / ("real" if i % 2 else "fake") / f"<img onerror=x>{i}.jpg").write_bytes(
            photo.read_bytes()
        )
    (root / "real/<script>bad.jpg").touch()
    page = audit(root).to_html(tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<script" not in page and "<img onerror" not in page
    assert "&lt;script&gt;bad.jpg" in page


def test_a_second_audit_reads_and_measures_nothing(planted, found, monkeypatch):
    def must_not_run(*_, **__):
        raise AssertionError("done again")

    monkeypatch.setattr(facts, "of_file", must_not_run)
    monkeypatch.setattr(shortcuts, "measure", must_not_run)
    again = audit(planted)
    assert again.verdict == found.verdict
    pd.testing.assert_frame_equal(again.findings, found.findings)
    pd.testing.assert_frame_equal(again.shortcuts, found.shortcuts)


def test_a_change_in_the_data_is_seen_by_the_next_audit(tmp_path):
    root = tmp_path / "data"
    for i, photo in enumerate(sample_photos()[::4][:60]):
        folder = root / ("real" if i % 2 else "fake")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / photo.name).write_bytes(photo.read_bytes())
    assert "truncated image" not in set(audit(root).findings["finding"])
    victim = next(root.glob("real/*"))
    victim.write_bytes(victim.read_bytes()[:3000])
    assert "truncated image" in set(audit(root).findings["finding"])


def test_worker_processes_find_the_same_facts(clean, monkeypatch, tmp_path):
    files = sorted(path.relative_to(clean).as_posix() for path in clean.rglob("*.jpg"))[:130]
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path / "one"))
    here = factstore.collect(clean, files, facts.PIXELS, 1.0)
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path / "two"))
    monkeypatch.setattr(factstore, "IN_THIS_PROCESS", (0, 0))
    there = factstore.collect(clean, files, facts.PIXELS, 1.0)
    assert here.tobytes() == there.tobytes()


def test_an_audit_never_imports_tensorflow(planted, tmp_path):
    code = (
        f"import sys; from deepfake_lab.auditing.survey import audit; audit({str(planted)!r});"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    own = os.environ | {"DEEPFAKE_LAB_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=own)


def test_faces_may_be_looked_for_in_a_part_of_the_photos(clean):
    table = facts_table(read_dataset(clean), faces=100)
    assert 60 < (table["faces"] >= 0).sum() < 140
    chosen = table.loc[table["faces"] >= 0, "fingerprint"]
    assert chosen.max() < table.loc[table["faces"] < 0, "fingerprint"].min()


# --- facts ---


def facts_of(image: Image.Image, path: Path, level: int = facts.PIXELS, **settings) -> np.ndarray:
    image.save(path, **settings)
    return facts.of_file(str(path), level)


@pytest.mark.parametrize("quality", [10, 40, 75, 92, 100])
def test_jpeg_quality_is_read_back(tmp_path, quality):
    photo = Image.open(sample_photos()[0])
    assert facts_of(photo, tmp_path / "a.jpg", quality=quality)["quality"] == quality


@pytest.mark.parametrize(("setting", "code"), [("4:4:4", 0), ("4:2:2", 1), ("4:2:0", 2)])
def test_chroma_subsampling_is_read_back(tmp_path, setting, code):
    photo = Image.open(sample_photos()[0])
    assert facts_of(photo, tmp_path / "a.jpg", subsampling=setting)["sampling"] == code


def test_blur_lowers_sharpness_and_steepens_the_spectrum(tmp_path):
    from PIL import ImageFilter

    photo = Image.open(sample_photos()[0]).convert("RGB")
    sharp = facts_of(photo, tmp_path / "a.png")
    soft = facts_of(photo.filter(ImageFilter.GaussianBlur(2)), tmp_path / "b.png")
    assert soft["sharpness"] < 0.2 * sharp["sharpness"]
    assert soft["slope"] < sharp["slope"] - 0.3


def test_the_border_is_measured_apart_from_the_middle(tmp_path):
    photo = Image.new("RGB", (120, 120), (200, 10, 30))
    photo.paste((0, 255, 0), (10, 10, 110, 110))
    found = facts_of(photo, tmp_path / "a.png")
    border = [found[f"border_{channel}"] for channel in ("red", "green", "blue")]
    assert np.allclose(border, [200, 10, 30])
    assert found["border_spread"] == 0


def test_a_header_alone_costs_no_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(facts, "_decoded", lambda *_: pytest.fail("decoded"))
    found = facts_of(Image.open(sample_photos()[0]), tmp_path / "a.jpg", facts.HEADER)
    assert (found["width"], found["height"], found["state"]) == (224, 224, facts.OK)


# --- duplicates ---


def hashes_and_thumbs(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**63, count, dtype=np.int64).astype(np.uint64)
    return hashes, rng.integers(0, 255, (count, 256), np.uint8)


def test_every_pair_within_the_distance_is_found():
    hashes, thumbs = hashes_and_thumbs(3000)
    rng = np.random.default_rng(1)
    for i in range(300):  # copies with up to six bits changed
        bits = rng.choice(64, i % 7, replace=False)
        hashes[2000 + i] = hashes[i] ^ np.bitwise_or.reduce(
            np.uint64(1) << bits.astype(np.uint64), initial=np.uint64(0)
        )
        thumbs[2000 + i] = thumbs[i]
    pairs = {tuple(pair) for pair in duplicates.near_pairs(hashes, thumbs).tolist()}
    assert pairs == {(i, 2000 + i) for i in range(300)}


def test_one_hash_for_two_photos_is_not_enough():
    hashes, thumbs = hashes_and_thumbs(50)
    hashes[1] = hashes[0]
    assert len(duplicates.near_pairs(hashes, thumbs)) == 0


def test_flat_pictures_are_no_duplicates_of_each_other():
    hashes, thumbs = hashes_and_thumbs(50)
    hashes[:] = hashes[0]
    thumbs[:] = 128
    assert len(duplicates.near_pairs(hashes, thumbs)) == 0


def test_ten_thousand_copies_do_not_make_the_search_quadratic():
    hashes, thumbs = hashes_and_thumbs(10_000)
    hashes[:], thumbs[:] = hashes[0], thumbs[0]
    pairs = duplicates.near_pairs(hashes, thumbs)
    assert len(pairs) < 20_000
    assert len(np.unique(duplicates.clusters(10_000, pairs))) == 1


def test_a_chain_through_the_data_is_taken_apart():
    chain = np.stack([np.arange(199), np.arange(1, 200)], axis=1)
    sizes = np.bincount(duplicates.clusters(1000, chain))
    assert sizes.max() == 3


def test_a_short_chain_stays_together():
    assert len(set(duplicates.clusters(3, np.array([[0, 1], [1, 2]])))) == 1


# --- shortcuts ---


def table_of(count: int, seed: int = 0, **columns) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    label = np.where(np.arange(count) % 2, "real", "fake")
    frame = pd.DataFrame({
        "label": label, "source": label, "group": [f"g{i}" for i in range(count)],
        "fingerprint": [f"{i:016x}" for i in rng.permutation(count)],
    })  # fmt: skip
    for signal in shortcuts.SIGNALS:
        for column in signal.columns:
            if column != "source":
                frame[column] = 1.0
    frame["brightness"] = rng.normal(size=count)
    return frame.assign(**columns)


def overall(table: pd.DataFrame) -> pd.DataFrame:
    return shortcuts.measure(table).query("pair == 'all'").set_index("signal")


def test_noise_is_no_shortcut():
    found = overall(table_of(600))
    assert not found["shortcut"].any()
    assert found["auc"]["brightness"] == pytest.approx(0.5, abs=0.06)


def test_a_perfect_signal_scores_one():
    table = table_of(400)
    table["quality"] = np.where(table["label"] == "fake", 75, 92)
    found = overall(table)
    assert found["auc"]["JPEG quality"] == pytest.approx(1.0)
    assert found["shortcut"]["JPEG quality"]


def test_a_signal_that_is_low_and_high_for_fakes_is_found_too():
    table = table_of(600)
    rng = np.random.default_rng(0)
    away = rng.choice([-1, 1], 600) * rng.uniform(1, 2, 600)
    table["brightness"] = np.where(table["label"] == "fake", away, rng.uniform(-1, 1, 600))
    assert overall(table)["auc"]["brightness"] > 0.95


def test_learning_groups_by_heart_is_no_shortcut():
    rng = np.random.default_rng(3)
    groups = np.arange(800) // 20  # 40 groups of 20 photos, each group of one brightness
    table = table_of(800, group=groups.astype(str), brightness=rng.normal(size=40)[groups])
    table["label"] = np.where(groups % 2, "real", "fake")
    assert not overall(table)["shortcut"]["brightness"]


def test_the_interval_is_wider_where_photos_come_in_groups():
    fake = np.arange(400) % 2 == 0
    scores = np.random.default_rng(0).normal(size=400) + fake
    groups = np.arange(400) // 2
    alone = shortcuts.auc_with_interval(fake, scores, np.arange(400), shortcuts.draws(400, 0))
    repeated = shortcuts.auc_with_interval(
        np.tile(fake, 10), np.tile(scores, 10), np.tile(groups, 10), shortcuts.draws(200, 0)
    )
    assert alone[0] == pytest.approx(repeated[0], abs=0.01)
    assert repeated[2] - repeated[1] > 0.5 * (alone[2] - alone[1])


def test_the_auc_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    fake = rng.random(2000) < 0.3
    scores = rng.normal(size=2000) + fake
    weights = shortcuts.draws(2000, 0)
    auc, low, high = shortcuts.auc_with_interval(fake, scores, np.arange(2000), weights)
    assert auc == pytest.approx(roc_auc_score(fake, scores), abs=0.005)
    assert low < auc < high


def test_pairs_of_sources_are_measured_each_on_its_own():
    table = table_of(800)
    number = np.arange(800)
    table["source"] = table["label"] + (number // 2 % 2).astype(str)
    odd = table["source"].isin(["real1", "fake1"])
    table.loc[odd, "sharpness"] = np.where(table.loc[odd, "label"] == "fake", 5.0, 9.0)
    found = shortcuts.measure(table).query("signal == 'sharpness'").set_index("pair")
    assert found["auc"]["real1 / fake1"] == pytest.approx(1.0)
    assert "real0 / fake0" not in found.index  # the same for all photos there


def test_many_weak_signals_are_found_where_they_work_together():
    table = table_of(3000, file=[f"{i}.jpg" for i in range(3000)], bytes=1)
    rng = np.random.default_rng(0)
    columns = ("brightness", "sharpness", "slope", "bytes_per_pixel", "border_red")
    for column in columns:
        table[column] = rng.normal(size=3000) + 0.35 * (table["label"] == "fake")
    measured = shortcuts.measure(table)
    assert overall(table).query("shortcut").index.tolist() == [shortcuts.TOGETHER]
    found = checks.given_away(measured, table)
    assert [fault.finding for fault in found] == ["shortcut: all together"]


def test_sources_that_are_all_real_or_all_fake_are_named():
    table = table_of(400, file=[f"{i}.jpg" for i in range(400)], split="train")
    table["source"] = table["label"] + (np.arange(400) // 2 % 2).astype(str)
    found = {fault.finding: fault for fault in checks.balance(table)}
    assert found["sources with one label only"].count == 400
    assert found["sources with one label only"].severity == "high"


def test_a_split_with_another_share_of_fakes_is_named():
    table = table_of(400, file=[f"{i}.jpg" for i in range(400)], split="train")
    table.loc[table.index % 8 == 0, "split"] = "test"  # even rows are fake
    found = {fault.finding for fault in checks.balance(table)}
    assert "test split out of balance" in found


def test_a_group_of_the_manifest_in_two_splits_is_named(tmp_path):
    rows = []
    for i, photo in enumerate(sample_photos()[::8][:40]):
        (tmp_path / photo.name).write_bytes(photo.read_bytes())
        rows.append((photo.name, ("real", "fake")[i % 2], ("train", "test")[i // 2 % 2], i // 4))
    rows = [(name, label, "valid" if i > 35 else split, f"g{group}")
            for i, (name, label, split, group) in enumerate(rows)]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["path", "label", "split", "group"])
    frame.to_csv(tmp_path / "manifest.csv", index=False)
    found = audit(tmp_path).findings.set_index("finding")
    assert found.loc["groups across splits", "severity"] == "high"


def test_too_few_photos_are_said_to_be_too_few(tmp_path):
    for i, photo in enumerate(sample_photos()[:3]):
        for split in ("train", "valid", "test"):
            label = "real" if i else "fake"
            (tmp_path / split / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / split / label / photo.name).write_bytes(photo.read_bytes())
    assert audit(tmp_path).verdict.startswith("There are too few photos")


# --- real data, where it lies beside the project ---

extra = pytest.mark.skipif(
    not os.environ.get("DEEPFAKE_LAB_DATA"),
    reason="DEEPFAKE_LAB_DATA names no folder with 140k/ and faces/",
)


@extra
def test_the_140k_subset_has_no_trivial_shortcut():
    found = audit("140k")
    everything = found.shortcuts.query("pair == 'all'")
    assert everything["auc"].max() < 0.65
    assert not everything["shortcut"].any()
    assert found.verdict.startswith("No signal is a shortcut")


@extra
def test_the_faces_corpus_is_told_loudly_what_gives_it_away():
    found = audit("faces", faces=500)
    assert found.verdict.startswith("Without a look at a face, the signals measured here score 0.8")
    for word in ("source", "size", "sharpness"):
        assert word in found.verdict
        assert found.findings.set_index("finding").loc[f"shortcut: {word}", "severity"] == "high"


def test_joined_data_sets_are_audited_as_one(clean, tmp_path):
    together = audit(join([read_dataset(SAMPLE), read_dataset(clean)]))
    assert "sharpness" in set(together.shortcuts["signal"])
    assert together.faces_looked_for == len(together.dataset.manifest)
    assert "exact duplicates" in "".join(together.findings["finding"])
    assert "<img" in together.to_html(tmp_path / "audit.html").read_text(encoding="utf-8")
