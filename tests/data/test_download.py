"""Getting data: no test here speaks to Kaggle; a stand-in for its package does."""

import sys
import types
import zipfile

import pytest

from deepfake_lab.cli import main
from deepfake_lab.data import kaggle as module
from deepfake_lab.data.kaggle import download
from deepfake_lab.errors import UserError


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_LAB_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def kaggle(monkeypatch, answer):
    """Put a package in kagglehub's place whose download does `answer(folder)`."""
    stand_in = types.ModuleType("kagglehub")
    asked = []

    def dataset_download(handle, *, output_dir):
        asked.append(handle)
        answer(output_dir)
        return output_dir

    stand_in.dataset_download = dataset_download
    monkeypatch.setitem(sys.modules, "kagglehub", stand_in)
    return asked


def raising(error):
    def answer(_):
        raise error

    return answer


def http_error(status):
    error = type("KaggleApiHTTPError", (OSError,), {})("no")
    error.response = types.SimpleNamespace(status_code=status)
    return error


def test_a_download_lands_where_its_short_name_finds_it(monkeypatch, place):
    def answer(folder):
        (place / "hardfake.part").joinpath("data.csv").write_text("images_id,label\n")
        assert folder == str(place / "hardfake.part")

    asked = kaggle(monkeypatch, answer)
    assert download("hardfake") == place / "hardfake"
    assert asked == ["hamzaboulahia/hardfakevsrealfaces"]
    assert [path.name for path in (place / "hardfake").iterdir()] == ["data.csv"]


def test_what_is_there_is_not_downloaded_again(monkeypatch, place):
    (place / "140k").mkdir(parents=True)
    (place / "140k/train.csv").touch()
    kaggle(monkeypatch, lambda _: pytest.fail("downloaded again"))
    assert download("140k") == place / "140k"


def test_without_kagglehub_the_line_says_how_to_get_it_and_how_to_do_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(UserError) as caught:
        download("140k")
    said = str(caught.value)
    assert "pip install" in said and "download 140k --zip" in said
    assert "kaggle.com/datasets/xhlulu/140k-real-and-fake-faces" in said


@pytest.mark.parametrize(
    ("error", "says"),
    [(http_error(403), "did not permit"), (http_error(401), "did not permit"),
     (http_error(404), "no such data set"), (ConnectionError("no route"), "cannot be reached"),
     (TimeoutError("slow"), "cannot be reached"), (ValueError("odd\nand long"), r"failed \(odd\)")],
)  # fmt: skip
def test_each_way_to_fail_has_its_own_advice(monkeypatch, place, error, says):
    kaggle(monkeypatch, raising(error))
    with pytest.raises(UserError, match=says) as caught:
        download("140k")
    assert "By hand: download the zip" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (place / "140k").exists()


def make_zip(path, names=("real/1.jpg", "fake/1.jpg")):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return path


def test_a_zip_downloaded_by_hand_is_unpacked(tmp_path, place):
    assert download("hardfake", make_zip(tmp_path / "a.zip")) == place / "hardfake"
    assert (place / "hardfake/real/1.jpg").is_file()


def test_a_zip_cannot_write_outside_its_folder(tmp_path, place):
    download("hardfake", make_zip(tmp_path / "a.zip", ["../../evil.jpg", "/abs.jpg"]))
    inside = {p.relative_to(place / "hardfake").as_posix() for p in place.rglob("*.jpg")}
    assert inside == {"evil.jpg", "abs.jpg"}
    assert not (tmp_path / "evil.jpg").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [("none.zip", None, "no such file"), ("half.zip", b"PK\x03\x04half", "no whole zip")],
)
def test_an_unusable_zip_is_one_clear_line(tmp_path, place, name, content, says):
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=says):
        download("140k", tmp_path / name)
    assert not (place / "140k").exists()


def test_a_zip_of_something_else_leaves_room_for_the_right_one(tmp_path, place):
    with pytest.raises(UserError, match="holds no images"):
        download("hardfake", make_zip(tmp_path / "junk.zip", ["readme.txt"]))
    assert list(place.iterdir()) == []
    download("hardfake", make_zip(tmp_path / "good.zip"))
    with pytest.raises(UserError, match="was not opened: remove or rename the folder first"):
        download("hardfake", make_zip(tmp_path / "other.zip"))


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2, zipfile.ZIP_DEFLATED])
def test_a_damaged_zip_is_named_however_it_is_packed(tmp_path, place, packing):
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", packing) as archive:
        archive.writestr("real/1.jpg", bytes(range(256)) * 40)
    content = bytearray(file.read_bytes())
    content[60:90] = b"\x7f" * 30
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.zip is no whole zip file"):
        download("hardfake", file)


def test_a_zip_larger_than_the_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1))
    with pytest.raises(UserError, match="the disk has less left"):
        download("hardfake", make_zip(tmp_path / "a.zip"))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="known: 140k, hardfake"):
        download("cifar")


def test_the_command_says_what_to_do_next(tmp_path, capsys):
    assert main(["download", "hardfake", "--zip", str(make_zip(tmp_path / "a.zip"))]) == 0
    assert "deepfake-lab audit hardfake" in capsys.readouterr().out


def test_the_command_fails_in_one_line(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert main(["download", "140k"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
