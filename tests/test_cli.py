"""The command: exact lines, one-line errors, exit codes."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import web
from deepfake_lab import cli, paths
from deepfake_lab.course import running as course
from deepfake_lab.detection.caveats import NO_FACE
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.photos.credentials import TRUST_LIST
from deepfake_lab.photos.listing import Found
from deepfake_lab.scoring.maps import map_name
from deepfake_lab.scoring.scorefile import ScoreFile
from tests.telling import signed

FILES = sorted((paths.project() / "data" / "sample").rglob("*.jpg"))
LINE = r"Classification: (REAL|FAKE)  Confidence: \d{1,2}\.\d\d%"


@pytest.fixture
def predict(run_folder, capsys):
    """Run `deepfake-lab predict` with the small detector: exit code, output lines, error lines."""

    def run(*photos: str | Path) -> tuple[int, list[str], list[str]]:
        code = cli.main(["predict", "--model", str(run_folder), *map(str, photos)])
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    return run


@pytest.fixture
def no_course(monkeypatch):
    """Fail where a notebook would run."""
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: pytest.fail("it ran"))


def _refused(capsys, *arguments: str) -> str:
    """Run the command, which must refuse with one line and status 2; return the line."""
    assert cli.main(list(arguments)) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("deepfake-lab: ") and printed.out == ""
    return line


# --- predict ---


def test_one_photo_is_answered_with_exactly_the_line(predict, run_folder):
    code, out, err = predict(FILES[0])
    assert code == 0 and err == []
    assert out[0] == str(Detector.load(run_folder).predict(FILES[0]))
    assert re.fullmatch(LINE, out[0])


def test_several_photos_are_answered_with_name_and_line(predict):
    code, out, err = predict(*FILES[:3])
    lines = [line for line in out if "Classification" in line]
    assert code == 0 and err == [] and len(lines) == 3
    for file, line in zip(FILES, lines):
        assert re.fullmatch(re.escape(f"{file}: ") + LINE, line)


def test_an_answer_says_what_the_detector_learned_from(predict):
    _, out, _ = predict(FILES[0])
    assert "learned from" in out[-1] and "the project's own sample set" in out[-1]


def test_the_caveats_of_an_answer_are_printed_below_it(predict, tmp_path):
    Image.new("RGB", (200, 200), "grey").save(tmp_path / "grey.png")
    _, out, _ = predict(tmp_path / "grey.png")
    assert out[1] == f"  {NO_FACE}"


@pytest.mark.parametrize(("content", "reason"), [(None, "no such file"), (b"text", "not an image")])
def test_a_bad_photo_among_good_ones_gets_one_line_and_the_others_are_answered(
    predict, tmp_path, content, reason
):
    bad = tmp_path / "bad.jpg"
    if content is not None:
        bad.write_bytes(content)
    code, out, err = predict(FILES[0], bad, FILES[1])
    assert code == 1
    (line,) = err
    assert line.startswith(f"deepfake-lab: {bad}: ") and reason in line
    assert [str(file) for file in FILES[:2]] == [
        line.split(": Classification")[0] for line in out if "Classification" in line
    ]


def test_where_no_photo_can_be_read_nothing_is_answered(predict, tmp_path):
    code, out, err = predict(tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert code == 2 and out == [] and len(err) == 2


def test_an_empty_folder_is_named(predict, tmp_path):
    code, _, err = predict(tmp_path)
    assert code == 2 and err == [f"deepfake-lab: {tmp_path}: this folder holds no images."]


@pytest.fixture
def album(tmp_path) -> Path:
    """Two photos at different depths, and a damaged one."""
    folder = tmp_path / "album"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(FILES[0].read_bytes())
    (folder / "deep" / "b.jpg").write_bytes(FILES[1].read_bytes())
    (folder / "deep" / "c.jpg").write_bytes(FILES[1].read_bytes()[:1500])
    return folder


def test_a_folder_is_answered_with_the_folders_below_it_and_failures_come_last(predict, album):
    code, out, err = predict(album)
    assert code == 1 and len(err) == 1 and "damaged" in err[0]
    lines = [line for line in out if "Classification" in line]
    assert [line.split(": ")[0] for line in lines] == [
        str(album / "a.jpg"), str(album / "deep" / "b.jpg")
    ]  # fmt: skip


def test_json_is_valid_and_complete_in_spite_of_failures(predict, album, run_folder):
    code, out, _ = predict("--format", "json", album)
    rows = json.loads("\n".join(out))
    assert code == 1 and [Path(row["path"]).name for row in rows] == ["a.jpg", "b.jpg", "c.jpg"]
    needed = {"path", "verdict", "confidence", "p_fake", "uncertain", "face_found", "model",
              "error"}  # fmt: skip
    assert all(needed <= set(row) for row in rows)
    assert rows[2]["verdict"] is None and "damaged" in rows[2]["error"]
    answer = Detector.load(run_folder).predict(FILES[0])
    assert rows[0]["p_fake"] == answer.p_fake and rows[0]["verdict"] == answer.verdict


def test_csv_is_a_table_with_a_row_for_every_photo(predict, album):
    code, out, _ = predict("--format", "csv", album)
    rows = list(csv.DictReader(out))
    assert code == 1 and [bool(row["error"]) for row in rows] == [False, False, True]
    assert rows[2]["p_fake"] == "" and 0 <= float(rows[0]["p_fake"]) <= 1


@pytest.mark.parametrize("form", ["csv", "json"])
def test_where_everything_fails_the_table_is_still_valid(predict, tmp_path, form):
    code, out, _ = predict("--format", form, tmp_path / "no.jpg")
    rows = json.loads("\n".join(out)) if form == "json" else list(csv.DictReader(out))
    assert code == 2 and len(rows) == 1 and "no such file" in rows[0]["error"]


def test_an_output_file_holds_the_answers_and_a_second_run_has_nothing_to_do(
    predict, album, tmp_path
):
    output = tmp_path / "r.csv"
    code, out, err = predict("--out", output, album)
    assert code == 1 and len(err) == 1
    assert re.fullmatch(r".*r\.csv: 3 photos, \d FAKE, \d REAL, 1 failed\.", out[0])
    before = output.read_bytes()
    code, out, err = predict("--out", output, album)
    assert code == 1 and "damaged" in err[0] and "(2 of them answered before)" in out[0]
    assert output.read_bytes() == before


def test_a_repaired_photo_loses_its_error_and_a_replaced_one_its_verdict(predict, album, tmp_path):
    output = tmp_path / "r.csv"
    assert predict("--out", output, album)[0] == 1
    (album / "deep" / "c.jpg").write_bytes(FILES[2].read_bytes())
    (album / "a.jpg").write_bytes(FILES[-1].read_bytes())
    code, out, err = predict("--out", output, f"{album}/./")
    assert code == 0 and err == []
    assert "3 photos (1 of them answered before)" in out[0] and "0 failed" in out[0]
    fresh = {}
    for photo in ("a.jpg", "deep/c.jpg"):
        _, lines, _ = predict("--format", "json", album / photo)
        (fresh[str(album / photo)],) = json.loads("\n".join(lines[: lines.index("]") + 1]))
    rows = {row["path"]: row for row in csv.DictReader(output.open(newline=""))}
    assert len(rows) == 3
    for path, row in fresh.items():
        assert float(rows[path]["p_fake"]) == row["p_fake"] and rows[path]["error"] == ""


def test_an_error_elsewhere_in_the_file_of_answers_is_not_this_runs(predict, album, tmp_path):
    output = tmp_path / "r.csv"
    predict("--out", output, album)
    code, out, err = predict("--out", output, FILES[0])
    assert code == 0 and err == [] and "4 photos" in out[0] and "1 failed" in out[0]


@pytest.mark.skipif(sys.platform != "linux", reason="such names are refused there")
@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"lat\xe9.jpg", r"lat\xe9.jpg"), (b"new\nline.jpg", r"new\nline.jpg"),
     (b"esc\x1b[31mred.jpg", r"esc\x1b[31mred.jpg")],
)  # fmt: skip
def test_a_name_reaches_the_terminal_harmless(predict, tmp_path, name, shown):
    for content, ending in ((FILES[0].read_bytes(), b""), (b"no photo", b".jpg")):
        with open(os.path.join(os.fsencode(tmp_path), name + ending), "wb") as file:
            file.write(content)
    code, out, err = predict(tmp_path)
    assert code == 1 and out[0].startswith(f"{tmp_path}/{shown}: Classification")
    assert len(err) == 1 and err[0].startswith(f"deepfake-lab: {tmp_path}/{shown}.jpg: ")
    assert "\x1b" not in "".join(out + err)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", ["--help", "predict PHOTO", "predict PHOTO --format csv",
                                   "predict FOLDER --format json"])  # fmt: skip
def test_output_that_cannot_be_written_is_one_line(run_folder, words):
    names = {"PHOTO": str(FILES[0]), "FOLDER": str(FILES[0].parent)}
    command = [names.get(word, word) for word in words.split()]
    command += ["--model", str(run_folder)] if "predict" in words else []
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "deepfake_lab", *command],
            stdout=full, stderr=subprocess.PIPE, text=True,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )  # fmt: skip
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "No space left on device" in line


def test_heat_maps_are_written_beside_each_other_under_the_photos_names(predict, album, tmp_path):
    predict("--explain", tmp_path / "heat", album)
    made = sorted(str(f.relative_to(tmp_path / "heat")) for f in (tmp_path / "heat").rglob("*.jpg"))
    assert made == ["a.map.jpg", "deep/b.map.jpg"]
    with Image.open(tmp_path / "heat" / "a.map.jpg") as picture:
        assert picture.format == "JPEG" and picture.width >= 560


@pytest.mark.parametrize(
    "others",
    [["a.png", "a.JPG.jpg"], ["a.jpg.jpg"], ["a"], ["A.jpeg"], ["a.map.jpg", "a.map.png"]],
    ids=str,
)
def test_no_two_photos_have_one_heat_map(tmp_path, others):
    for name in ("a.jpg", *others):
        (tmp_path / name).write_bytes(b"")
    photos = [Found(str(tmp_path / name), f"deep/{name}") for name in ("a.jpg", *others)]
    names = [map_name(photo).lower() for photo in photos]
    assert len(set(names)) == len(names)
    assert all(name.startswith("deep/a") and name.endswith(".map.jpg") for name in names)


def test_photos_of_one_name_in_two_folders_keep_a_heat_map_each(predict, tmp_path):
    heat = tmp_path / "heat"
    for folder, file in zip(("A", "B"), FILES):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").write_bytes(file.read_bytes())
    predict("--explain", heat, tmp_path / "A")
    first = (heat / "1.map.jpg").read_bytes()
    for _ in range(2):
        predict("--explain", heat, tmp_path / "B")
        predict("--explain", heat, tmp_path / "A")
        assert (heat / "1.map.jpg").read_bytes() == first
        assert len(list(heat.glob("1-*.map.jpg"))) == 1


def test_a_picture_of_somebody_is_no_place_for_a_heat_map(predict, tmp_path):
    mine = tmp_path / "a.map.jpg"
    mine.write_bytes(FILES[1].read_bytes())
    (tmp_path / "a.jpg").write_bytes(FILES[0].read_bytes())
    for _ in range(2):
        assert predict("--explain", tmp_path, tmp_path / "a.jpg")[0] == 0
    assert mine.read_bytes() == FILES[1].read_bytes()
    assert len(list(tmp_path.glob("a-*.map.jpg"))) == 1


def test_a_linked_file_of_answers_is_gone_on_with_where_it_lies(predict, tmp_path):
    shared = tmp_path / "share" / "answers.csv"
    shared.parent.mkdir()
    predict("--out", shared, FILES[0])
    link = tmp_path / "link.csv"
    link.symlink_to(shared)
    predict("--out", link, FILES[1])
    assert link.is_symlink() and len(shared.read_text().splitlines()) == 3
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.csv", "share"]


def test_answers_that_a_spreadsheet_has_saved_are_gone_on_with(predict, tmp_path):
    scores = tmp_path / "answers.csv"
    predict("--out", scores, FILES[0])
    text = scores.read_text(encoding="utf-8").replace("\n", "\r\n")
    scores.write_bytes(text.encode("utf-8-sig"))
    assert predict("--out", scores, *FILES[:2])[0] == 0
    assert len(scores.read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("name", ["~photo.jpg", "=1+1.jpg"])
def test_a_name_is_a_name_whatever_it_begins_with(predict, tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(FILES[0].read_bytes())
    monkeypatch.chdir(tmp_path)
    status, out, _ = predict("--format", "csv", name)
    (row,) = csv.DictReader(out)
    assert status == 0 and row["verdict"] and row["path"][0] not in "=+-@"
    assert (tmp_path / row["path"]).is_file()


def test_an_empty_name_is_no_place_for_results(run_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in (["evaluate", "sample"], ["predict", str(FILES[0])]):
        with pytest.raises(SystemExit):
            cli.main([*words, "--out", ""])
        assert "--out: the name is empty" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_whoever_names_a_trust_list_hears_that_earlier_answers_keep_their_evidence(
    predict, tmp_path, monkeypatch
):
    monkeypatch.setenv(TRUST_LIST, "")  # so that the command's own leaves with the test
    certificates = tmp_path / "list.pem"
    certificates.write_bytes(signed(web.photo())[1])
    told = "evidence stays as it was"
    options = ("--out", tmp_path / "r.csv", FILES[0])
    assert told not in " ".join(predict(*options, "--trust-list", certificates)[2])
    assert told not in " ".join(predict(*options)[2])
    assert told in " ".join(predict(*options, "--trust-list", certificates)[2])


def test_heat_maps_of_photos_that_were_answered_before_are_drawn_too(predict, album, tmp_path):
    scores, heat = tmp_path / "r.csv", tmp_path / "heat"
    predict("--out", scores, album)
    before = sorted(scores.read_text().splitlines())
    _, out, _ = predict("--out", scores, "--explain", heat, album)
    assert (heat / "a.map.jpg").is_file() and (heat / "deep" / "b.map.jpg").is_file()
    assert "3 photos" in out[0] and sorted(scores.read_text().splitlines()) == before
    drawn = (heat / "a.map.jpg").stat().st_mtime_ns
    predict("--out", scores, "--explain", heat, album)
    assert (heat / "a.map.jpg").stat().st_mtime_ns == drawn


def test_a_home_folder_is_known_after_an_equals_sign(predict, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert predict("--out=~/r.csv", "--explain=~/heat", FILES[0])[0] == 0
    assert (tmp_path / "r.csv").is_file() and (tmp_path / "heat").is_dir()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("finished", [True, False])
def test_answers_of_the_other_kind_are_told_from_damage(
    predict, album, tmp_path, ending, finished, monkeypatch
):
    pytest.importorskip("pyarrow")
    output = tmp_path / f"r.{ending}"
    for first, second, said in (
        ([], ["--each-face"], "a row for each photo: leave out --each-face"),
        (["--each-face"], [], "a row for each face: add --each-face"),
    ):
        with monkeypatch.context() as patch:
            if not finished:
                patch.setattr(ScoreFile, "finish", lambda _: None)
            predict(*first, "--out", output, album)
        code, _, err = predict(*second, "--out", output, album)
        assert code == 2 and len(err) == 1 and said in err[0]
        for file in tmp_path.glob("r.*"):
            file.unlink()


def test_the_command_has_no_need_of_a_screen(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as after `>&-`
    assert cli.main(["predict", "--format", "csv", str(FILES[0])]) == 0


def test_answers_among_the_photos_are_not_told_of(predict, album):
    (album / "a.csv.part").write_bytes(b"[]")
    assert "passed over" not in " ".join(predict(album)[2])


def test_a_photo_that_cannot_have_a_heat_map_does_not_stop_the_others(
    predict, tmp_path, monkeypatch
):
    from deepfake_lab.detection import display

    def explain_picture(answer):
        if answer.name.startswith("b"):
            raise OSError(28, "No space left on device")
        return Image.new("RGB", (9, 9))

    monkeypatch.setattr(display, "explain_picture", explain_picture)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(FILES[0].read_bytes())
    heat = tmp_path / "heat"
    code, out, err = predict("--explain", heat, *(tmp_path / f"{name}.jpg" for name in "abc"))
    assert code == 1 and len([line for line in out if "Classification" in line]) == 3
    assert err == [
        f"deepfake-lab: the map of {tmp_path}/b.jpg cannot be written (No space left on device)."
    ]
    assert sorted(os.listdir(heat)) == ["a.map.jpg", "c.map.jpg"]


@pytest.mark.parametrize("size", [(20000, 40), (40, 20000), (16, 30000)])
def test_an_extremely_thin_picture_has_a_heat_map_too(predict, tmp_path, size):
    Image.new("RGB", size, (90, 100, 110)).save(tmp_path / "ribbon.png")
    code, _, err = predict("--explain", tmp_path / "heat", tmp_path / "ribbon.png")
    assert code == 0 and err == []
    with Image.open(tmp_path / "heat" / "ribbon.map.jpg") as picture:
        assert max(picture.size) < 2500


@pytest.mark.parametrize("letter", ["L", "é", "漢"])
def test_a_photo_with_the_longest_name_has_a_heat_map_too(predict, tmp_path, letter):
    count = 251 // len(letter.encode())
    names = [f"{letter * count}.jpg", f"{letter * (count - 1)}x.jpg"]
    for name in names:
        (tmp_path / name).write_bytes(FILES[0].read_bytes())
    code, _, err = predict("--explain", tmp_path / "heat", *(tmp_path / name for name in names))
    assert code == 0 and err == [] and len(os.listdir(tmp_path / "heat")) == 2


def test_a_folder_that_takes_no_heat_maps_is_refused_before_anything_is_scored(
    predict, tmp_path, monkeypatch
):
    monkeypatch.setattr(Detector, "judge", lambda *_, **__: pytest.fail("it scored"))
    (tmp_path / "file").write_bytes(b"")
    code, out, err = predict("--explain", tmp_path / "file" / "heat", FILES[0])
    assert code == 2 and out == [] and "cannot be written to" in err[0]


def test_heat_maps_in_the_folder_that_is_read_are_refused(predict, album):
    code, _, err = predict("--explain", album / "heat", album)
    assert code == 2 and "choose a folder outside" in err[0] and not (album / "heat").exists()


def test_a_photo_that_vanishes_while_the_folder_is_read_is_one_failure(predict, album, monkeypatch):
    judge = Detector.judge

    def lose(self, photos, *arguments, **options):
        if str(album / "deep" / "b.jpg") in photos:  # it was there when the folder was listed
            (album / "deep" / "b.jpg").unlink()
        return judge(self, photos, *arguments, **options)

    monkeypatch.setattr(Detector, "judge", lose)
    code, out, err = predict(album)
    assert code == 1 and len([line for line in out if "Classification" in line]) == 1
    assert any("b.jpg: no such file" in line for line in err)


@pytest.mark.parametrize(
    ("output", "reason"), [("r.txt", "must end in"), ("no/r.csv", "make it first")]
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_scored(
    predict, tmp_path, monkeypatch, output, reason
):
    monkeypatch.setattr(Detector, "judge", lambda *_: pytest.fail("it scored"))
    code, out, err = predict("--out", tmp_path / output, FILES[0])
    assert code == 2 and out == [] and reason in err[0]


def test_an_interrupted_run_says_that_its_answers_are_kept(
    capsys, run_folder, album, tmp_path, monkeypatch
):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Detector, "judge", interrupted)
    code = cli.main(["predict", "--model", str(run_folder), "--out", str(tmp_path / "r.csv"),
                     str(FILES[0])])  # fmt: skip
    assert code == 130 and "the same command goes on" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_crash(run_folder):
    command = [sys.executable, "-m", "deepfake_lab.cli", "predict", "--model", str(run_folder)]
    process = subprocess.Popen(
        [*command, *map(str, FILES[:60])], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait() == 1


def test_notebook_command_and_page_give_the_same_verdict_on_the_same_bytes(
    predict, run_folder, detector
):
    from deepfake_lab.web.app import create_app

    page = create_app(detector).test_client()
    for file in FILES[::40]:
        answer = Detector.load(run_folder).predict(file)
        _, out, _ = predict(file)
        sent = {"photos": (io.BytesIO(file.read_bytes()), file.name)}
        (served,) = page.post("/api/predict", data=sent).get_json()["predictions"]
        assert out[0] == str(answer) == served["text"]
        assert served["p_fake"] == answer.p_fake


def test_answering_one_photo_imports_neither_pandas_nor_a_framework(run_folder):
    code = (
        "import sys\n"
        "from deepfake_lab import cli\n"
        f"cli.main(['predict', '--model', {str(run_folder)!r}, {str(FILES[0])!r}])\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'flask',"
        " 'tqdm', 'pyarrow'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_detector_lists_the_known_ones(capsys, run_folder, monkeypatch):
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(run_folder.parents[1]))
    line = _refused(capsys, "predict", "--model", "tinny", str(FILES[0]))
    assert "No detector 'tinny'" in line and "tiny" in line.split("Known detectors:")[1]


def test_the_installed_command_answers_from_any_folder(run_folder, tmp_path):
    command = Path(sys.executable).with_name("deepfake-lab")
    called = [str(command)] if command.exists() else [sys.executable, "-m", "deepfake_lab.cli"]
    done = subprocess.run(
        [*called, "predict", "--model", str(run_folder), str(FILES[0])],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0 and done.stderr == ""
    assert re.fullmatch(LINE, done.stdout.splitlines()[0])


# --- run ---


def test_a_misspelt_parameter_is_refused_with_the_closest_name(capsys, no_course):
    line = _refused(capsys, "run", "-p", "epoch=3")
    assert "'epoch'" in line and "did you mean 'epochs'" in line


def test_a_parameter_of_the_wrong_type_is_refused(capsys, no_course):
    assert "must be int, not str: 'many'" in _refused(capsys, "run", "-p", "epochs=many")


@pytest.mark.parametrize("text", ["max_photos=-1", "max_photos=1", "learning_rate=.nan", "seed=-1"])
def test_a_parameter_that_no_run_can_use_is_refused(capsys, no_course, text):
    name, _, value = text.partition("=")
    line = _refused(capsys, "run", "-p", text)
    assert f"'{name}'" in line and value.strip(".") in line


def test_rates_in_a_list_are_numbers_however_they_are_written(monkeypatch, tmp_path):
    given: dict = {}
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **now: given.update(now))
    course.run_course({"small_rates": ["1e-3", 0.01]}, ["06"], tmp_path / "out")
    assert given["parameters"]["small_rates"] == [1e-3, 0.01]


@pytest.mark.parametrize("text", ["epochs", "=3", ""])
def test_a_parameter_without_name_or_value_is_refused(capsys, no_course, text):
    assert "NAME=VALUE" in _refused(capsys, "run", "-p", text)


def test_a_value_that_is_none_is_refused(capsys, no_course):
    assert "'[1' is not a value" in _refused(capsys, "run", "-p", "epochs=[1")


def test_an_unknown_notebook_is_refused_with_those_that_exist(capsys, no_course):
    line = _refused(capsys, "run", "--only", "09")
    assert "'09'" in line and "01_explore_data" in line


def test_a_missing_data_folder_is_refused(capsys, no_course):
    assert "'nowhere' not found" in _refused(capsys, "run", "-p", "data_dir=nowhere")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        (b"", "must hold lines"),
        (b"- a\n- b\n", "must hold lines"),
        (b"a: [1\nb: 2", "not valid YAML"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"3: 4", "the parameter '3'"),
        (b"epochs: ten", "must be int"),
    ],
)
def test_a_parameter_file_that_cannot_be_used_is_refused(
    capsys, no_course, tmp_path, content, reason
):
    file = tmp_path / "my.yaml"
    if content is not None:
        file.write_bytes(content)
    assert reason in _refused(capsys, "run", "--params", str(file))


@pytest.fixture
def given(monkeypatch, tmp_path) -> list:
    """Note what the course would be asked to do."""
    asked = []

    def run_course(*arguments):
        asked.append(arguments)
        return tmp_path

    monkeypatch.setattr(course, "run_course", run_course)
    return asked


def test_parameters_on_the_command_line_go_before_those_of_the_file(given, tmp_path):
    (tmp_path / "my.yaml").write_text("epochs: 9\nseed: 1\n")
    arguments = ["--params", str(tmp_path / "my.yaml"), "-p", "epochs=2", "-p", "cnn_name=a=b"]
    assert cli.main(["run", *arguments, "--only", "03", "--out", "here"]) == 0
    assert given == [({"epochs": 2, "seed": 1, "cnn_name": "a=b"}, ["03"], "here")]


def test_an_empty_value_is_an_empty_word(given):
    cli.main(["run", "-p", "photo="])
    assert given[0][0] == {"photo": ""}


@pytest.mark.parametrize("file", sorted((paths.project() / "params").glob("*.yaml")), ids=str)
def test_every_parameter_file_of_the_project_fits_the_notebooks(file, monkeypatch, tmp_path):
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(paths, "data_folder", lambda name: tmp_path / "data")
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: None)
    assert cli.main(["run", "--params", str(file), "--out", str(tmp_path / "run")]) == 0


def test_an_error_of_the_course_is_one_line_and_an_interruption_another(capsys, monkeypatch):
    def stopped(*_):
        raise UserError("01 stopped in cell [3]: why")

    monkeypatch.setattr(course, "run_course", stopped)
    assert _refused(capsys, "run") == "deepfake-lab: 01 stopped in cell [3]: why"

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "run_course", interrupted)
    assert cli.main(["run"]) == 130
    assert capsys.readouterr().err == "deepfake-lab: interrupted.\n"


@pytest.mark.parametrize(
    ("labels", "reason"),
    [([], "holds no images"), (["real"], "has only real images")],
    ids=["empty", "only real"],
)
def test_a_data_folder_that_cannot_be_used_stops_the_first_notebook_with_one_line(
    capsys, tmp_path, labels, reason
):
    """With the real notebook: the reason reaches the person, with notebook and cell."""
    data = tmp_path / "data"
    data.mkdir()
    for label in labels:
        (data / label).mkdir()
        for i, file in enumerate(FILES[:4]):
            (data / label / f"{i}.jpg").write_bytes(file.read_bytes())
    code = cli.main(["run", "-p", f"data_dir={data}", "--out", str(tmp_path / "run")])
    said = [line for line in capsys.readouterr().err.splitlines() if "deepfake-lab:" in line]
    assert code == 2 and len(said) == 1
    assert re.search(r"01_explore_data stopped in cell \[\d+\]: UserError: ", said[0])
    assert (
        reason in said[0] and not (tmp_path / "run" / "notebooks" / "02_train_cnn.ipynb").exists()
    )


# --- the command itself ---


def test_without_a_command_the_usage_is_shown(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([])
    assert stopped.value.code == 2 and "usage: deepfake-lab" in capsys.readouterr().err


def test_asking_for_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from deepfake_lab import cli\n"
        "try:\n    cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'matplotlib', 'papermill', 'flask'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for command in ("run", "predict", "serve"):
        assert command in done.stdout


@pytest.fixture
def parsed():
    """Return what a command line is understood as; nothing is done."""

    def parse(*words: str) -> dict:
        options = vars(cli._parser().parse_args(words))
        return {name: value for name, value in options.items() if name != "command"}

    return parse


@pytest.mark.parametrize(
    ("today", "earlier"),
    [
        ("predict a.jpg --out r.csv", "predict a.jpg --output r.csv"),
        ("predict a.jpg --quantised", "predict a.jpg --quantized"),
        ("export cnn --quantise int8 --data sample", "export cnn --quantize int8 --data sample"),
        ("prepare sample --out new", "prepare sample new"),
        ("prepare sample --out new --size 64", "prepare sample new --size 64"),
    ],
)
def test_an_older_spelling_is_understood_and_help_shows_one(parsed, capsys, today, earlier):
    assert parsed(*earlier.split()) == parsed(*today.split())
    with pytest.raises(SystemExit):
        cli.main([today.split()[0], "--help"])
    shown = capsys.readouterr().out
    assert not re.search(r"--output|--quantized?\b|^  (out|OUT)\b", shown, re.MULTILINE)


def test_neither_place_for_a_copy_or_two_of_them_is_refused(capsys):
    for words in (["prepare", "sample"], ["prepare", "sample", "a", "--out", "b"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(words)
        assert stopped.value.code == 2 and "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        "evaluate sample --max-photos -1",
        "audit sample --faces x",
        "serve --port -1",
        "prepare sample --out x --size 1.5",
    ],
)
def test_a_number_that_cannot_be_is_refused_by_name(capsys, words):
    with pytest.raises(SystemExit) as stopped:
        cli.main(words.split())
    assert stopped.value.code == 2
    assert re.search(r"--\S+: (-1 is below zero|invalid whole number)", capsys.readouterr().err)


def test_the_layouts_of_the_command_are_those_of_the_library():
    from deepfake_lab.data.layouts import LAYOUTS

    assert cli.LAYOUTS == ("auto", *LAYOUTS)


def test_help_shows_each_options_choices_and_default(capsys):
    for command in ("evaluate", "audit", "prepare", "serve", "predict", "export", "download"):
        parser = next(a for a in cli._parser()._actions if a.choices).choices[command]
        for action in parser._actions:
            if action.help == "==SUPPRESS==" or action.dest == "help":
                continue
            shown = " ".join(parser.format_help().replace("-\n", "-").split())
            if isinstance(action.default, int | str) and action.default not in ("", False):
                assert f"(default {action.default}" in shown, (command, action.dest)
            assert action.help, (command, action.dest)


def test_the_package_is_the_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "deepfake_lab", "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("usage: deepfake-lab ")
