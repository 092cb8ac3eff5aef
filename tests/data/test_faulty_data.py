"""Data sets as people hand them over: spreadsheets' tables, other machines' paths, odd names."""

import io
import sqlite3
import struct
import unicodedata
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from deepfake_lab.data import factstore
from deepfake_lab.data.datasets import read_dataset
from deepfake_lab.data.folders import LABEL_WORDS, FolderWords, SplitFolders, word_in
from deepfake_lab.data.kaggle import download
from deepfake_lab.data.tables import read_written
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setattr(factstore, "_SAID", set())


def picture(seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
    return Image.fromarray(noise).resize((32, 32), Image.Resampling.BICUBIC)


def jpeg(seed: int) -> bytes:
    stream = io.BytesIO()
    picture(seed).save(stream, "JPEG")
    return stream.getvalue()


def put(root, real="real", fake="fake", number=6, name="{}{}.jpg"):
    """Write photos of both labels; return the rows of a table."""
    rows = []
    for label, folder, first in (("real", real, 0), ("fake", fake, 100)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for i in range(number):
            file = f"{folder}/{name.format(label[0], i)}"
            (root / file).write_bytes(jpeg(first + i))
            rows.append((file, label))
    return rows


def table(rows, separator=",", head=("path", "label"), path=lambda name: name) -> str:
    lines = [separator.join(head)] + [separator.join((path(p), label)) for p, label in rows]
    return "\n".join(lines) + "\n"


# --- tables from spreadsheets ---


@pytest.mark.parametrize(
    "made",
    [
        lambda rows: table(rows, ";").encode(),
        lambda rows: table(rows, "\t").encode(),
        lambda rows: ("sep=;\r\n" + table(rows, ";")).encode(),
        lambda rows: ("sep=,\n\n" + table(rows)).encode("utf-8-sig"),
        lambda rows: table(rows).encode("utf-16"),
        lambda rows: table(rows).encode("utf-16-le"),
        lambda rows: table(rows, "\t").encode("utf-16-be").join([b"\xfe\xff", b""]),
        lambda rows: table(rows, head=("Path", " LABEL ")).encode(),
        lambda rows: (table(rows) + ",\n , \n\n").encode(),
        lambda rows: table([(p, word) for p, word in rows]).replace(",real", ",Original").encode(),
    ],
    ids=["semicolon", "tab", "sep line", "sep line and BOM", "UTF-16", "UTF-16 without BOM",
         "big-endian", "capitals", "empty rows", "another word"],
)  # fmt: skip
def test_a_table_is_read_as_spreadsheets_write_it(tmp_path, made):
    (tmp_path / "manifest.csv").write_bytes(made(put(tmp_path)))
    assert read_dataset(tmp_path).manifest["label"].value_counts().to_dict() == {
        "real": 6,
        "fake": 6,
    }


def test_a_table_whose_lines_end_as_on_old_macs_is_read(tmp_path):
    text = "sep=,\n" + table(put(tmp_path))
    (tmp_path / "manifest.csv").write_bytes(text.replace("\n", "\r").encode())
    assert len(read_dataset(tmp_path).manifest) == 12


def test_a_cell_that_no_table_can_hold_is_one_line(tmp_path):
    put(tmp_path)
    (tmp_path / "manifest.csv").write_text("path,label," + "x" * 200_000 + "\n")
    with pytest.raises(UserError, match=r"cannot be read as a CSV file: field larger"):
        read_dataset(tmp_path, layout="manifest")


def test_a_line_with_more_cells_than_the_header_is_refused(tmp_path):
    text = table(put(tmp_path)).replace("real/r1.jpg,real\n", "real/r1.jpg,real,train\n")
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(UserError, match=r"manifest\.csv, line 3: 3 cells, but the header has 2"):
        read_dataset(tmp_path)


@pytest.mark.filterwarnings("error")
def test_empty_cells_at_the_ends_of_lines_are_passed_over(tmp_path):
    head, *lines = table(put(tmp_path)).splitlines()
    lines[1:] = [f"{line},, " for line in lines[1:]]
    (tmp_path / "manifest.csv").write_text("\n".join([head, *lines]))
    assert len(read_dataset(tmp_path).manifest) == 12


def test_a_manifest_that_contradicts_the_folders_is_followed_and_it_is_said(tmp_path):
    rows = put(tmp_path)
    swapped = [(file, {"real": "fake", "fake": "real"}[label]) for file, label in rows]
    (tmp_path / "manifest.csv").write_text(table(swapped))
    data = read_dataset(tmp_path)
    said = "note: 12 of 12 photos lie in a folder that says the other label than manifest.csv"
    assert said in data.summary()
    (tmp_path / "manifest.csv").write_text(table(rows))
    assert "other label" not in read_dataset(tmp_path).summary()


def test_a_collection_that_is_called_fakes_contradicts_no_manifest(tmp_path):
    rows = put(tmp_path, real="deepfakes/a", fake="deepfakes/b")
    (tmp_path / "manifest.csv").write_text(table(rows))
    assert "other label" not in read_dataset(tmp_path).summary()


def test_a_table_in_windows_alphabet_is_read(tmp_path):
    rows = put(tmp_path, name="{}_é{}.jpg")
    (tmp_path / "manifest.csv").write_bytes(table(rows).encode("cp1252"))
    assert len(read_dataset(tmp_path).manifest) == 12


def test_a_complaint_names_the_line_of_the_file_also_after_empty_lines(tmp_path):
    rows = put(tmp_path)
    text = "sep=,\n" + table(rows[:2]) + "\n\n" + "real/r3.jpg,perhaps\n"
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(UserError, match="line 7: label 'perhaps' is neither real nor fake"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("word", ["generated", "deepfake", "not real", "Synthetic"])
def test_labels_are_the_same_words_in_tables_as_in_folders(tmp_path, word):
    rows = [(file, word if label == "fake" else "genuine") for file, label in put(tmp_path)]
    (tmp_path / "manifest.csv").write_text(table(rows))
    assert (read_dataset(tmp_path).manifest["label"] == "fake").sum() == 6


@pytest.mark.parametrize(
    ("head", "separator", "coding"),
    [("id,label", ";", "utf-8"), ("ID,Label", ",", "utf-8"), ("id,label", ",", "utf-16")],
)
def test_the_tables_of_the_140k_family_are_compared_in_any_dialect(
    tmp_path, head, separator, coding
):
    for i, split in enumerate(("train", "valid", "test")):
        rows = put(tmp_path / split, name=f"{{}}{i}_{{}}.jpg")
        lines = [head] + [
            f"{file.split('/')[1][:-4]},{int(label == 'real')}" for file, label in rows
        ]
        lines[1] = lines[1][:-1] + "0"  # one that contradicts its folder
        text = "\n".join(lines).replace(",", separator)
        (tmp_path / f"{split}.csv").write_bytes(text.encode(coding))
    data = read_dataset(tmp_path)
    assert data.layout == "140k"
    assert data.problems["kind"].tolist() == ["labels contradict"] * 3


def test_a_table_that_is_not_used_is_named(tmp_path):
    put(tmp_path, number=12)
    (tmp_path / "answers.csv").write_text("picture,label\n1,real\n")
    assert any("not used: answers.csv" in note for note in read_dataset(tmp_path).notes)


# --- paths that miss ---


@pytest.mark.parametrize(
    "path",
    [
        lambda p: p.split("/")[1],
        lambda p: p.upper(),
        lambda p: p.replace(".jpg", ""),
        lambda p: f"/kaggle/input/x/{p}",
        lambda p: f"../input/x/{p}".replace("../", ""),
        lambda p: "D:\\photos\\" + p.replace("/", "\\"),
    ],
    ids=["bare", "capitals", "no ending", "Kaggle", "relative", "Windows"],
)
def test_paths_of_another_machine_are_found_where_one_file_fits_and_it_is_said(tmp_path, path):
    (tmp_path / "manifest.csv").write_text(table(put(tmp_path), path=path))
    data = read_dataset(tmp_path)
    assert len(data.manifest) == 12
    assert all(file.startswith(label) for file, label in data.manifest[["file", "label"]].values)
    assert "12 of 12 paths in manifest.csv are spelled otherwise" in data.notes[0]


def test_accents_may_be_stored_in_either_way(tmp_path):
    rows = put(tmp_path, name=unicodedata.normalize("NFD", "{}_é{}.jpg"))
    text = unicodedata.normalize("NFC", table(rows))
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
    assert len(read_dataset(tmp_path).manifest) == 12


def test_a_bare_name_that_two_files_have_is_not_guessed(tmp_path):
    rows = put(tmp_path, name="{}{}.jpg")
    for folder in ("real", "fake"):
        (tmp_path / folder / "same.jpg").write_bytes(jpeg(500 + len(folder)))
    (tmp_path / "manifest.csv").write_text(table([*rows, ("same.jpg", "real")]))
    data = read_dataset(tmp_path)
    assert len(data.manifest) == 12
    assert "label without a file" in set(data.problems["kind"])


def test_a_fake_that_is_missing_is_never_replaced_by_a_real_photo_of_its_name(tmp_path):
    rows = put(tmp_path, name="{1}.jpg")
    (tmp_path / "fake/3.jpg").unlink()
    (tmp_path / "manifest.csv").write_text(table(rows, path=lambda p: f"/kaggle/input/{p}"))
    data = read_dataset(tmp_path)
    assert len(data.manifest) == 11
    assert all(file.startswith(label) for file, label in data.manifest[["file", "label"]].values)


def test_a_table_of_which_no_photo_is_there_says_so(tmp_path):
    rows = put(tmp_path)
    (tmp_path / "manifest.csv").write_text(table(rows, path=lambda p: f"else/{p}x.png"))
    with pytest.raises(UserError, match=r"names 12 photos, none of them is there; the first: else"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("again", ["Label", "label", " label "])
def test_a_column_that_is_there_twice_is_refused(tmp_path, again):
    put(tmp_path)
    (tmp_path / "manifest.csv").write_text(f"path,label,{again}\nreal/0.jpg,real,fake\n")
    with pytest.raises(UserError, match="has the column label twice: remove one"):
        read_dataset(tmp_path)


def test_cells_of_blanks_are_empty_cells(tmp_path):
    rows = [f"{path},{label}, , , " for path, label in put(tmp_path)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,group,source,split", *rows]))
    data = read_dataset(tmp_path, must_split=False).manifest
    assert data["group"].nunique() == len(data) == 12
    assert (data["source"] == data["label"]).all()


def test_a_photo_that_a_table_calls_both_real_and_fake_is_left_out(tmp_path):
    rows = put(tmp_path)
    text = table([*rows, (rows[0][0], "fake"), rows[1]])
    (tmp_path / "manifest.csv").write_text(text)
    data = read_dataset(tmp_path, must_split=False)
    assert len(data.manifest) == 11 and rows[0][0] not in set(data.manifest["file"])
    kinds = dict(zip(data.problems["file"], data.problems["kind"]))
    assert kinds == {rows[0][0]: "labels contradict", rows[1][0]: "listed twice"}


def test_a_column_of_groups_that_is_empty_leaves_the_search_for_likeness_on(tmp_path):
    rows = [f"{path},{label}," for path, label in put(tmp_path)]
    (tmp_path / "real/r0.jpg").write_bytes((tmp_path / "real/r1.jpg").read_bytes() + b" ")
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,group", *rows]))
    data = read_dataset(tmp_path, must_split=False)
    assert data.groups_from == "likeness" and data.manifest["group"].nunique() == 11


def test_a_person_is_one_group_whatever_blanks_a_spreadsheet_leaves(tmp_path):
    rows = put(tmp_path)
    people = ["anna", "anna ", " anna", "bo", "bo ", "Bo"] * 2
    lines = [f"{path},{label},{who}" for (path, label), who in zip(rows, people)]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,group", *lines]))
    data = read_dataset(tmp_path, must_split=False)
    assert set(data.manifest["group"]) == {"anna", "bo", "Bo"}


def test_a_table_of_column_names_alone_says_so(tmp_path):
    put(tmp_path)
    (tmp_path / "manifest.csv").write_text("path,label\n")
    with pytest.raises(UserError, match="names no photos"):
        read_dataset(tmp_path)


# --- words that negate ---


@pytest.mark.parametrize(
    ("name", "label"),
    [("not_real", "fake"), ("non-fake", "real"), ("un-edited", "real"), ("UnAltered", "real"),
     ("un_real", None), ("no-deepfake", "real"), ("NotReal", "fake"),
     ("nonfake", "real"), ("unaltered", "real"), ("unmanipulated", "real"), ("not a fake", "real"),
     ("unreal", None), ("no_mask_real", None), ("real_not", None), ("altered", "fake"),
     ("training_fake", "fake"), ("RealFaces", "real"), ("Notes", None)],
)  # fmt: skip
def test_a_word_that_negates_is_understood_or_refused(name, label):
    assert word_in(name, LABEL_WORDS) == label


@pytest.mark.parametrize(
    ("folders", "read"),
    [(["real/Brad_Pitt", "real/Dev_Patel", "fake/Dev_Patel"], [None] * 3),
     (["real/test_subject_1", "real/test_subject_2", "fake/test_subject_3"], [None] * 3),
     (["real/celeba_train", "real/celeba_test", "fake/train", "fake/test"],
      ["train", "test", "train", "test"]),
     (["test_images/real", "test_images/fake"], ["test"] * 2),
     (["celeba_test/real", "sdxl_test/fake"], ["test"] * 2),
     (["training_real", "training_fake"], ["train"] * 2),
     (["Val_Kilmer/real", "Emma_Stone/fake"], [None] * 2)],
)  # fmt: skip
def test_a_name_that_holds_a_word_of_a_split_by_chance_is_no_split(folders, read):
    files = [f"{folder}/1.jpg" for folder in folders]
    splits = SplitFolders(files)
    assert [splits.of(file)[0] for file in files] == read


def test_a_folder_that_was_read_against_its_word_is_named(tmp_path):
    put(tmp_path, fake="not_real", number=12)
    data = read_dataset(tmp_path)
    assert "the folder 'not_real' is read as fake" in data.notes
    assert (data.manifest["label"] == "fake").sum() == 12


def test_a_folder_that_is_not_understood_is_named(tmp_path):
    put(tmp_path, number=12)
    put(tmp_path, real="unreal", fake="fake", number=1)
    problems = read_dataset(tmp_path).problems
    assert problems["problem"].tolist() == [
        "its folder 'unreal' says neither real nor fake clearly: left out"
    ]
    with pytest.raises(UserError, match=r"says clearly real or fake \(it has: maybe, unreal\)"):
        put(tmp_path / "none", real="unreal", fake="maybe")
        read_dataset(tmp_path / "none")


def test_where_a_label_is_missing_a_folder_that_was_not_understood_is_named(tmp_path):
    put(tmp_path, real="real", fake="unreal")
    with pytest.raises(UserError, match=r"only real images.* 6 more say no label.*'unreal'"):
        read_dataset(tmp_path)


# --- endings and formats ---


def test_photos_are_known_by_content_where_the_ending_says_nothing(tmp_path):
    put(tmp_path, number=12)
    for name in ("a", "b.jpg_large", "c.JPE", "d.mpo", "e.jpeg-1"):
        (tmp_path / "real" / name).write_bytes(jpeg(hash(name) % 1000 + 1000))
    assert (read_dataset(tmp_path).manifest["label"] == "real").sum() == 17


def test_what_is_passed_over_is_named_with_the_reason(tmp_path):
    put(tmp_path, number=12)
    (tmp_path / "real/a.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40))
    (tmp_path / "real/film.mov").write_bytes(b"\0\0\0\x14ftypqt  " + bytes(40))
    (tmp_path / "real/notes.txt").write_text("nobody needs to hear of it")
    said = read_dataset(tmp_path).problems.set_index("file")
    assert list(said.index) == ["real/a.jp2", "real/film.mov"]
    assert said.loc["real/a.jp2", "kind"] == "format not read here"
    assert "JPEG 2000 is not read here; convert" in said.loc["real/a.jp2", "problem"]


def test_a_raw_file_beside_photos_is_left_out_with_what_to_do(tmp_path):
    put(tmp_path, number=12)
    picture(7).save(tmp_path / "real/a.tif")
    (tmp_path / "real/a.tif").rename(tmp_path / "real/a.NEF")
    (said,) = read_dataset(tmp_path).problems.itertuples()
    assert said.file == "real/a.NEF" and said.kind == "format not read here"
    assert "a camera's raw file is not read here; convert it to JPEG" in said.problem


def test_a_photo_without_its_decoder_is_read_once_that_is_installed(tmp_path, monkeypatch):
    put(tmp_path, number=12)
    heic = tmp_path / "real/phone.heic"
    heic.write_bytes(b"\0\0\0\x18ftypheic" + bytes(52))
    monkeypatch.setattr(images, "formats", lambda: images.FORMATS)
    factstore.code_version.cache_clear()
    (said,) = read_dataset(tmp_path).problems.itertuples()
    assert said.kind == "no decoder" and "pip install pillow-heif" in said.problem
    before = factstore.code_version()
    monkeypatch.setattr(images, "formats", lambda: (*images.FORMATS, "HEIF"))
    factstore.code_version.cache_clear()
    assert factstore.code_version() != before  # so that it is looked at again
    factstore.code_version.cache_clear()


def test_a_folder_without_a_photo_names_what_it_has(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a.jxl").write_bytes(b"\xff\x0a" + bytes(40))
    with pytest.raises(UserError, match=r"1 file was passed over: real/a\.jxl: JPEG XL"):
        read_dataset(tmp_path)


# --- the cache ---


def cache_of(content: bytes):
    file = factstore.cache_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def damaged_database(tmp_path) -> bytes:
    file = tmp_path / "base.sqlite"
    with sqlite3.connect(file) as base:
        for statement in factstore._Store._TABLES:
            base.execute(statement)
        rows = [(f"/x/{i}", 1, 1, 1, 1) for i in range(500)]
        base.executemany("INSERT INTO files VALUES (?,?,?,?,?)", rows)
    base.close()
    raw = bytearray(file.read_bytes())
    raw[4096:9000] = b"\x55" * 4904
    return bytes(raw)


@pytest.mark.parametrize("kind", ["text", "page", "cut"])
def test_a_damaged_cache_is_done_without_and_replaced(tmp_path, capsys, kind):
    put(tmp_path / "data", number=12)
    database = damaged_database(tmp_path)
    cache_of({"text": b"no database at all" * 300, "page": database, "cut": database[:5000]}[kind])
    assert len(read_dataset(tmp_path / "data").manifest) == 24
    assert capsys.readouterr().err.count("goes on without it") == 1
    read_dataset(tmp_path / "data")
    assert factstore.cache_file().read_bytes().startswith(b"SQLite format 3")


def test_a_cache_that_cannot_be_made_is_said_once(tmp_path, capsys, monkeypatch):
    put(tmp_path / "data", number=12)
    (tmp_path / "file").write_text("a file where the home should be")
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path / "file"))
    read_dataset(tmp_path / "data")
    read_dataset(tmp_path / "data")
    assert capsys.readouterr().err.count("cannot be used") == 1


def test_a_full_disk_under_the_cache_is_done_without(tmp_path, capsys, monkeypatch):
    put(tmp_path / "data", number=12)
    use = factstore._Store._use

    def small(self, connection):
        use(self, connection)
        if connection.execute("PRAGMA database_list").fetchone()[2]:  # not the one in memory
            connection.execute("PRAGMA max_page_count = 5")

    monkeypatch.setattr(factstore._Store, "_use", small)
    assert len(read_dataset(tmp_path / "data").manifest) == 24
    assert "full" in capsys.readouterr().err


def test_a_name_that_is_not_utf8_is_left_out_and_named(tmp_path):
    put(tmp_path / "data", number=12)
    try:
        (tmp_path / "data/real/lat\udce9.jpg").write_bytes(jpeg(900))
    except OSError:
        pytest.skip("this disk takes UTF-8 names only")
    data = read_dataset(tmp_path / "data")
    assert len(data.manifest) == 24
    assert data.problems["file"].tolist() == [r"real/lat\xe9.jpg"]


# --- zips ---


def one_file_zip(method: int, flag: int) -> bytes:
    """Return a zip of one stored file whose header says something else."""
    content, name = b"x" * 100, b"real/a.jpg"
    facts = (flag, method, 0, 0x21, zlib.crc32(content), len(content), len(content), len(name))
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, *facts, 0) + name
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, *facts, 0, 0, 0, 0, 0, 0) + name
    place = len(local) + len(content)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(entry), place, 0)
    return local + content + entry + end


def damaged_zip(tmp_path, method: int) -> bytes:
    file = tmp_path / "made.zip"
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("old/first.jpg", "x")
        archive.writestr("old/second.jpg", bytes(range(256)) * 20)
    raw = bytearray(file.read_bytes())
    raw[120:126] = b"\xff" * 6
    return bytes(raw)


@pytest.mark.parametrize(
    ("kind", "says"),
    [("deflate64", "cannot unpack"), ("encrypted", "is encrypted"), ("crc", "no whole zip"),
     ("deflate", "no whole zip")],
)  # fmt: skip
def test_a_zip_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, kind, says):
    place = tmp_path / "sets"
    monkeypatch.setenv("DEEPFAKE_LAB_DATA", str(place))
    content = {
        "deflate64": lambda: one_file_zip(9, 0),
        "encrypted": lambda: one_file_zip(0, 1),
        "crc": lambda: damaged_zip(tmp_path, zipfile.ZIP_STORED),
        "deflate": lambda: damaged_zip(tmp_path, zipfile.ZIP_DEFLATED),
    }[kind]()
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(UserError, match=says):
        download("hardfake", tmp_path / "bad.zip")
    assert not list(place.iterdir())
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as archive:
        archive.writestr("real/a.jpg", "x")
    folder = download("hardfake", tmp_path / "good.zip")
    assert [p.name for p in folder.rglob("*") if p.is_file()] == ["a.jpg"]


# --- folders and tables that disagree ---


@pytest.mark.parametrize("inner", ["original", "edited"])
def test_a_folder_that_contradicts_the_class_folder_above_it_is_not_guessed(tmp_path, inner):
    put(tmp_path)
    put(tmp_path, f"real/{inner}", f"fake/{inner}", name="inner{}{}.jpg")
    data = read_dataset(tmp_path, must_split=False)
    out = "fake" if inner == "original" else "real"
    assert (data.manifest["label"].value_counts()[out]) == 6
    contradicting = data.problems[data.problems["kind"] == "labels contradict"]["file"]
    assert len(contradicting) == 6 and contradicting.str.startswith(f"{out}/{inner}/").all()


@pytest.mark.parametrize(
    ("real", "fake", "odd", "beside"),
    [("real", "fake", "fake/RealVisXL", "fake/deepfakes"),
     ("real", "fake", "fake/original", "fake/edited"),
     ("real", "fake", "real/edited", "real/unedited"),
     ("real", "fake", "fake_stylegan/original", "fake_stylegan/edited"),
     ("real", "fake", "fake/real", "fake/fake"),
     ("set/real", "set/fake", "set/fake/Real-ESRGAN", "set/fake/generated_by_GAN")],
)  # fmt: skip
def test_what_a_folder_is_called_does_not_depend_on_the_folder_beside_it(
    tmp_path, real, fake, odd, beside
):
    put(tmp_path, real, fake)
    put(tmp_path, odd, beside, name="inner{}{}.jpg")
    data = read_dataset(tmp_path, must_split=False)
    contradicting = data.problems[data.problems["kind"] == "labels contradict"]["file"]
    assert len(contradicting) == 6 and contradicting.str.startswith(f"{odd}/").all()
    inside = data.manifest["file"].str.startswith(f"{beside}/")
    assert inside.sum() == 6 and data.manifest["label"][inside].nunique() == 1


@pytest.mark.parametrize(
    "folders",
    [["real_extra", "deepfake_database/train/real", "deepfake_database/train/df",
      "deepfake_database/validation/real", "deepfake_database/validation/forged"],
     ["real", "deepfakes_dataset/real", "deepfakes_dataset/fake"],
     ["deepfake_timit/real", "deepfake_timit/fake", "celeb_real/real", "celeb_real/fake",
      "openforensics_synthetic/fake", "real_vs_fake/real"],
     ["original/real", "original/fake", "synthetic/real", "synthetic/fake", "generated/fake"]],
    ids=["mesonet", "one", "several", "beside a label"],
)  # fmt: skip
def test_a_collection_with_both_labels_inside_keeps_them_whatever_lies_beside_it(folders):
    words = FolderWords([f"{folder}/1.jpg" for folder in folders], LABEL_WORDS)
    said = {folder: words.of(f"{folder}/1.jpg") for folder in folders}
    assert not any(contradicted for _, contradicted in said.values())
    nearest = {folder: word_in(folder.rpartition("/")[2], LABEL_WORDS) for folder in folders}
    assert all(label == (nearest[folder] or "fake") for folder, (label, _) in said.items())


def test_folders_of_generators_that_are_not_read_as_sources_are_said(tmp_path):
    put(tmp_path, fake="fake/blender")
    put(tmp_path, real="real/train", fake="fake/train/faceshop", name="more{}{}.jpg")
    notes = read_dataset(tmp_path, must_split=False).notes
    (note,) = [note for note in notes if "not read as sources" in note]
    assert note.startswith("2 folders below 'fake'") and "blender, faceshop" in note


def test_a_name_that_holds_the_word_of_a_label_among_others_is_said(tmp_path):
    put(tmp_path)
    put(tmp_path, "RealVisXL", "fake_faces", name="more{}{}.jpg")
    data = read_dataset(tmp_path, must_split=False)
    (note,) = [note for note in data.notes if "RealVisXL" in note]
    assert "among others (1)" in note and "'RealVisXL' is read as real" in note


def test_collections_that_each_hold_both_labels_are_read_by_the_folders_inside(tmp_path):
    for collection in ("original", "synthetic"):
        put(tmp_path / collection / "train", name=collection + "{}{}.jpg")
    data = read_dataset(tmp_path, must_split=False).manifest
    for _, rows in data.groupby(data["file"].str.partition("/")[0]):
        assert rows["label"].value_counts().to_dict() == {"real": 6, "fake": 6}


def test_a_collection_of_fakes_may_hold_a_folder_of_real_photos(tmp_path):
    put(tmp_path / "deepfakes")
    assert len(read_dataset(tmp_path, must_split=False).manifest) == 12


@pytest.mark.parametrize("name", ["NA", "null", "None", "nan"])
def test_a_person_or_source_may_have_a_name_that_looks_like_none(tmp_path, name):
    put(tmp_path)
    photos = sorted(tmp_path.rglob("*.jpg"))
    rows = [
        f"{photo.relative_to(tmp_path).as_posix()},{photo.parent.name},{name},{name}{i % 6 or ''}"
        for i, photo in enumerate(photos)
    ]
    (tmp_path / "manifest.csv").write_text("\n".join(["path,label,source,group", *rows]))
    data = read_dataset(tmp_path, must_split=False).manifest
    assert set(data["source"]) == {name}
    assert (data["group"] == name).sum() == 2
    data.to_csv(tmp_path / "again.csv", index=False)
    assert set(read_written(tmp_path / "again.csv")["source"]) == {name}


def test_a_table_of_R_says_NA_for_what_is_missing(tmp_path):
    put(tmp_path, number=12)
    photos = sorted(tmp_path.rglob("*.jpg"))

    def read(group):
        rows = [
            f"{photo.relative_to(tmp_path).as_posix()},{photo.parent.name},NA,{group(i)}"
            for i, photo in enumerate(photos)
        ]
        (tmp_path / "manifest.csv").write_text("\n".join(["path,label,split,group", *rows]))
        return read_dataset(tmp_path)

    data = read(lambda i: "NA")
    assert data.groups_from == "likeness" and data.manifest["split"].nunique() == 3
    data = read(lambda i: f"p{i}" if i % 6 else "NA")
    assert any("4 photos have the group 'NA'" in note for note in data.notes)


def put_140k(root, ids, codes, split=""):
    """Write photos under train/, or without splits, with the tables of the 140k family."""
    for name in ("train", "valid", "test"):
        (root / f"{name}.csv").write_text("id,label\n")
    put(root, f"{split}real", f"{split}fake")
    lines = [f"{name},{code}" for name, code in zip(ids, codes)]
    (root / "train.csv").write_text("\n".join(["id,label", *lines]))


IDS = [f"{letter}{i}" for letter in "rf" for i in range(6)]


def test_a_table_without_folders_of_splits_is_compared_and_says_the_split(tmp_path):
    put_140k(tmp_path, IDS, [1] * 6 + [0] * 6)
    data = read_dataset(tmp_path, "140k", must_split=False)
    assert data.problems.empty and len(data.manifest) == 12
    put_140k(tmp_path, IDS, [0] * 6 + [1] * 6)  # 1 = fake, as many write it
    with pytest.raises(UserError, match="1 means real"):
        read_dataset(tmp_path, "140k", must_split=False)


def test_a_table_that_calls_a_photo_both_is_refused(tmp_path):
    put_140k(tmp_path, [*IDS, "r0"], [1] * 6 + [0] * 7, split="train/")
    with pytest.raises(UserError, match="line 14: 'r0' is fake here and real in a line above"):
        read_dataset(tmp_path, "140k", must_split=False)


@pytest.mark.parametrize("code", [["real", "fake"], [1, 0]])
def test_ids_may_hold_a_folder_and_lines_without_one_are_passed_over(tmp_path, code):
    put(tmp_path)
    lines = [f"{folder}/{name}.jpg,{code[name[0] == 'f']}" for name in IDS
             for folder in [{"r": "real", "f": "fake"}[name[0]]]]  # fmt: skip
    lines += [f",{one}" for one in code]
    (tmp_path / "data.csv").write_text("\n".join(["images_id,label", *lines]))
    data = read_dataset(tmp_path, must_split=False)
    assert data.problems.empty and len(data.manifest) == 12


def test_dots_in_the_name_of_a_photo_are_part_of_it(tmp_path):
    put(tmp_path, name="{}{}.v1.jpg")
    lines = [f"{name}.v1,{code}" for name, code in zip(IDS, ["real"] * 6 + ["fake"] * 6)]
    (tmp_path / "data.csv").write_text("\n".join(["images_id,label", *lines]))
    assert read_dataset(tmp_path, must_split=False).problems.empty


def test_one_label_that_is_missing_does_not_stop_the_others(tmp_path):
    put(tmp_path)
    lines = [f"{name},{code}" for name, code in zip(IDS, ["1"] * 6 + ["0"] * 5 + [""])]
    (tmp_path / "data.csv").write_text("\n".join(["images_id,label", *lines]))
    data = read_dataset(tmp_path, must_split=False)
    assert len(data.manifest) == 12
    assert data.problems[["file", "kind"]].values.tolist() == [["fake/f5.jpg", "file in no CSV"]]


def test_of_ciplab_two_photos_of_one_name_and_size_are_both_read(tmp_path):
    put(tmp_path / "a", "training_real", "training_fake")
    put(tmp_path / "b", "training_real", "training_fake")
    for file in (tmp_path / "b").rglob("*.jpg"):  # the same size, another picture
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(content)
    data = read_dataset(tmp_path, must_split=False)
    assert "second copy in the download" not in set(data.problems["kind"])
