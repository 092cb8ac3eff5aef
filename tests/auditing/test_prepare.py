"""The neutral copy: equal in all that can be made equal, and honest about the rest."""

import json
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from PIL import Image

from deepfake_lab.auditing import neutral as module
from deepfake_lab.auditing.neutral import prepare
from deepfake_lab.cli import main
from deepfake_lab.data.datasets import read_dataset
from deepfake_lab.errors import UserError
from deepfake_lab.locks import lock

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> Path:
    """Real photos at quality 92, fakes small, at quality 40 and with metadata; copies and leaks."""
    root = tmp_path_factory.mktemp("original") / "data"
    photos = [*sorted(SAMPLE.glob("real/*.jpg"))[::3], *sorted(SAMPLE.glob("fake/gan_*.jpg"))]
    exif = Image.Exif()
    exif[0x0131] = "Some Software 1.0"
    for i, path in enumerate(photos[:120]):
        split = ("train", "train", "train", "valid", "test", "test")[i // 2 % 6]
        label = "fake" if i % 2 else "real"
        target = root / split / label / f"{label}{i:03d}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        photo = Image.open(path)
        if label == "fake":
            photo.resize((160, 160)).save(target, quality=40, exif=exif)
        else:
            photo.save(target, quality=92)
    train, test = root / "train", root / "test"
    shutil.copy(test / "real/real008.jpg", train / "real/leak.jpg")
    shutil.copy(train / "real/real000.jpg", train / "real/copy.jpg")
    shutil.copy(train / "real/real002.jpg", train / "fake/liar.jpg")
    Image.open(test / "real/real010.jpg").resize((200, 200)).save(train / "real/near_leak.jpg")
    whole = (train / "real/real004.jpg").read_bytes()
    (train / "real/truncated.jpg").write_bytes(whole[: len(whole) // 2])
    return root


@pytest.fixture(scope="module")
def prepared(original, tmp_path_factory):
    return prepare(original, tmp_path_factory.mktemp("prepared") / "neutral", size=128)


def reason_for(prepared, name: str) -> str:
    found = prepared.left_out[prepared.left_out["file"].str.endswith(name)]
    assert len(found) == 1, f"{name} was not left out"
    return found["reason"].iloc[0]


def test_every_photo_has_one_size_one_setting_and_no_metadata(prepared):
    seen = set()
    for path in prepared.folder.rglob("*.jpg"):
        with Image.open(path) as image:
            tables = str(sorted(image.quantization.items()))
            seen.add((image.size, image.mode, tables, "exif" in image.info, len(image.info)))
    assert len(seen) == 1
    assert next(iter(seen))[0] == (128, 128)


def test_file_names_say_nothing(prepared):
    names = [path.stem for path in prepared.folder.rglob("*.jpg")]
    assert all(len(name) == 16 and set(name) <= set("0123456789abcdef") for name in names)


def test_the_copy_is_read_as_any_data_set(prepared):
    data = read_dataset(prepared.folder)
    assert data.layout == "manifest"
    assert data.problems.empty
    assert set(data.manifest["split"]) == {"train", "valid", "test"}


def test_the_manifest_says_where_each_photo_comes_from(prepared, original):
    rows = pd.read_csv(prepared.folder / "manifest.csv", dtype=str)
    assert all((original / name).is_file() for name in rows["original"])
    assert set(rows["original_width"]) == {"160", "224"}
    assert rows["box"].str.fullmatch(r"\d+ \d+ \d+ \d+").all()
    assert (rows["face_found"] == "True").mean() > 0.9


def test_what_software_left_behind_is_cured(prepared):
    compared = prepared.compare().set_index("signal")
    for signal in ("size", "JPEG quality", "metadata"):
        assert compared["before"][signal] > 0.95
        assert compared["after"][signal] == 0.5
        assert compared["outcome"][signal] == "cured"


def test_a_signal_that_grew_is_not_cured_by_a_wider_interval():
    def audited(auc: float, shortcut: bool) -> SimpleNamespace:
        row = {"signal": "border", "pair": "all", "auc": auc, "shortcut": shortcut}
        return SimpleNamespace(shortcuts=pd.DataFrame([row]))

    def outcome(before: float, after: float) -> str:
        both = audited(before, True), audited(after, False)
        return module.Prepared(Path(), pd.DataFrame(), *both).compare()["outcome"].iloc[0]

    assert outcome(0.74, 0.77) == "remains" and outcome(0.74, 0.6) == "cured"


def test_what_the_pixels_remember_remains_and_is_said(prepared):
    compared = prepared.compare().set_index("signal")
    assert compared["outcome"]["sharpness"] == "remains"
    assert "remains" in prepared.summary()


def test_a_leak_is_taken_out_of_training(prepared):
    assert "a copy of another file" in reason_for(prepared, "train/real/leak.jpg")
    assert "a photo of another split: test" in reason_for(prepared, "train/real/near_leak.jpg")


def test_one_of_two_copies_stays(prepared):
    kept = pd.read_csv(prepared.folder / "manifest.csv")["original"]
    assert "train/real/copy.jpg" in set(kept)
    assert "a copy of another file" in reason_for(prepared, "train/real/real000.jpg")


def test_a_file_called_real_and_fake_is_left_out_twice(prepared):
    for name in ("train/fake/liar.jpg", "train/real/real002.jpg"):
        assert reason_for(prepared, name) == "the same file is called real and fake"


def test_a_truncated_photo_is_left_out_with_the_reason(prepared):
    assert reason_for(prepared, "truncated.jpg") == "truncated image"


def test_every_photo_is_either_kept_or_left_out(prepared, original):
    kept = len(pd.read_csv(prepared.folder / "manifest.csv"))
    assert kept + len(prepared.left_out) == len(list(original.rglob("*.jpg")))


def test_no_duplicate_is_left_across_splits_or_labels(prepared):
    assert not any("across" in fault.finding for fault in prepared.after.faults)


def test_an_interrupted_run_is_taken_up_where_it_stopped(original, tmp_path, monkeypatch):
    write_chunk = module._write_chunk
    parts = []

    def write_one_part(*arguments):
        if parts:
            raise KeyboardInterrupt
        parts.append(len(arguments[-1]))
        return write_chunk(*arguments)

    monkeypatch.setattr(module, "_write_chunk", write_one_part)
    with pytest.raises(KeyboardInterrupt):
        prepare(original, tmp_path / "out", size=64)
    assert not (tmp_path / "out/manifest.csv").exists()
    first = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.jpg")}
    assert len(first) == parts[0]

    monkeypatch.setattr(module, "_write_chunk", write_chunk)
    made = prepare(original, tmp_path / "out", size=64)
    assert len(made.after.dataset.manifest) > parts[0]
    assert made.after.dataset.problems.empty
    assert all(path.stat().st_mtime_ns == time for path, time in first.items())


def test_a_finished_copy_is_not_made_again(original, prepared, monkeypatch):
    monkeypatch.setattr(module, "_write_chunk", lambda *_: pytest.fail("written again"))
    again = prepare(original, prepared.folder, size=128)
    pd.testing.assert_frame_equal(again.left_out, prepared.left_out)


def test_a_photo_that_was_removed_from_a_finished_copy_is_made_again(own_photos, tmp_path):
    copy = tmp_path / "copy"
    made = prepare(own_photos, copy, size=64).after.dataset.manifest
    for removed in (made["file"][0], "manifest.csv", "left_out.csv"):
        (copy / removed).unlink()
        assert len(prepare(own_photos, copy, size=64).after.dataset.manifest) == len(made)
        assert (copy / removed).is_file()


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_two_at_once_are_told_apart(own_photos, tmp_path):
    out = tmp_path / "copy"
    prepare(own_photos, out, size=64)
    next(out.rglob("*.jpg")).unlink()
    with (out / module._JOURNAL).open("a") as other:
        lock(other.fileno(), out)
        with pytest.raises(UserError, match="Another run is writing"):
            prepare(own_photos, out, size=64)
    prepare(own_photos, out, size=64)


@pytest.mark.parametrize("content", [b'{"size": 6', b"[]", b"\xff"])
def test_a_damaged_record_of_settings_is_named(own_photos, tmp_path, content):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "prepared.json").write_bytes(content)
    with pytest.raises(UserError, match=r"prepared\.json is damaged: give a new folder"):
        prepare(own_photos, tmp_path / "copy", size=64)


def test_the_original_is_not_touched(original, tmp_path):
    def state():
        return {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in original.rglob("*")}

    before = state()
    prepare(original, tmp_path / "out", size=64)
    assert state() == before


def test_other_settings_need_a_new_folder(original, prepared):
    with pytest.raises(UserError, match="made with another size"):
        prepare(original, prepared.folder, size=64)


def test_a_folder_that_holds_something_is_refused(original, tmp_path):
    (tmp_path / "letter.txt").write_text("dear all")
    with pytest.raises(UserError, match="holds something already"):
        prepare(original, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("place", ["", "inside", ".."])
def test_the_copy_may_not_lie_in_the_data_nor_around_it(original, place):
    with pytest.raises(UserError, match="must lie outside"):
        prepare(original, original / place)


@pytest.mark.parametrize(("setting", "value"), [("size", 8), ("framing", "oval"), ("quality", 101)])
def test_a_setting_that_cannot_be_is_refused(original, tmp_path, setting, value):
    with pytest.raises(UserError, match=setting):
        prepare(original, tmp_path / "out", **{setting: value})
    assert not (tmp_path / "out").exists()


def test_the_command_shows_before_and_after(original, tmp_path, capsys):
    assert main(["prepare", str(original), str(tmp_path / "out"), "--size", "64"]) == 0
    said = capsys.readouterr().out
    assert "JPEG quality" in said and "cured" in said
    assert "Before: Without a look at a face" in said and "After: " in said
    assert json.loads((tmp_path / "out/prepared.json").read_text())["complete"] is True


@pytest.fixture
def own_photos(tmp_path) -> Path:
    """Twelve photos with a table that says where they come from."""
    root, rows = tmp_path / "own", []
    for label, found in (("real", "real/*.jpg"), ("fake", "fake/gan_*.jpg")):
        (root / label).mkdir(parents=True)
        for i, photo in enumerate(sorted(SAMPLE.glob(found))[:6]):
            shutil.copy(photo, root / label / f"{i}.jpg")
            split = ("train", "valid", "test")[i % 3]
            rows.append(f"{label}/{i}.jpg,{label},{split},camera a")
    (root / "manifest.csv").write_text("\n".join(["path,label,split,source", *rows]) + "\n")
    return root


def test_a_corrected_table_makes_the_copy_another_one(tmp_path, own_photos):
    prepare(own_photos, tmp_path / "out")
    table = own_photos / "manifest.csv"
    table.write_text(table.read_text().replace("camera a", "camera b"))
    with pytest.raises(UserError, match="another manifest"):
        prepare(own_photos, tmp_path / "out")


def test_a_data_set_without_one_usable_photo_is_one_line(tmp_path, own_photos):
    for photo in own_photos.glob("*/*.jpg"):
        photo.write_bytes(photo.read_bytes()[: photo.stat().st_size // 2])
    with pytest.raises(UserError, match="None of the photos can be used"):
        prepare(own_photos, tmp_path / "out")
