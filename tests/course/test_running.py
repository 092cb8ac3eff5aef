"""The headless course, on notebooks that take no time."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from deepfake_lab import paths
from deepfake_lab.course import running as course
from deepfake_lab.course.running import applicable, first_verdict, parse_parameter, run_course
from deepfake_lab.errors import UserError

HEAD = 'data_dir: str = "sample"  # the data set\nout_dir: str = ""  # where results are written\n'
FIRST = HEAD + "epochs: int = 3  # passes\nlearning_rate: float = 0.5  # size of steps\n"
SECOND = (
    HEAD + 'names: list = []  # a list\nflag: bool = False  # a switch\ntitle: str = "x"  # words\n'
)
NOTE = (
    "import json, pathlib\n"
    "log = pathlib.Path(out_dir) / 'log.jsonl'\n"
    "with log.open('a') as file:\n"
    "    print(json.dumps({here}), file=file)"
)


def _write(folder: Path, name: str, parameters: str, *code: str) -> None:
    cells = [new_code_cell(parameters, metadata={"tags": ["parameters"]})]
    cells += [new_code_cell(source) for source in code]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / f"{name}.ipynb"
    )


@pytest.fixture
def notebooks(tmp_path, monkeypatch) -> Path:
    """Two notebooks; each writes down what it was given."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    # Written in the wrong order on purpose.
    _write(folder, "02_second", SECOND, NOTE.format(here="[2, names, flag, title, data_dir]"))
    _write(folder, "01_first", FIRST, NOTE.format(here="[1, epochs, learning_rate, data_dir]"))
    monkeypatch.setattr(paths, "notebooks", lambda: folder)
    monkeypatch.setenv("DEEPFAKE_LAB_HOME", str(tmp_path / "home"))
    return folder


@pytest.fixture
def no_kernel(monkeypatch):
    """Fail where a notebook is started at all."""
    monkeypatch.setattr("papermill.execute_notebook", lambda *_, **__: pytest.fail("it ran"))


@pytest.fixture
def instant(monkeypatch) -> list[tuple[str, dict]]:
    """Note which notebooks would run, with which parameters; run none."""
    ran = []

    def execute(source: str, output: str, parameters: dict, **_):
        ran.append((Path(source).stem, parameters))
        Path(output).write_text("executed")

    monkeypatch.setattr("papermill.execute_notebook", execute)
    return ran


def _log(folder: Path) -> list[list]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


# --- with real kernels ---


def test_notebooks_run_in_order_each_with_the_parameters_that_it_knows(notebooks, tmp_path):
    folder = run_course({"epochs": 7, "flag": True}, out_dir=tmp_path / "run")
    data = "sample"
    assert _log(folder) == [[1, 7, 0.5, data], [2, [], True, "x", data]]
    for name, given in (("01_first", "epochs = 7"), ("02_second", "flag = True")):
        copy = nbformat.read(folder / "notebooks" / f"{name}.ipynb", as_version=4)
        injected = next(c for c in copy.cells if "injected-parameters" in c.metadata["tags"])
        assert given in injected.source and str(folder) in injected.source
        other = "flag" if name == "01_first" else "epochs"
        assert other not in injected.source
        assert copy.cells[-1].execution_count is not None
    recorded = yaml.safe_load((folder / "parameters.yaml").read_text())
    assert recorded == {
        "epochs": 7, "flag": True, "out_dir": str(folder),
        "data_dir": "sample", "learning_rate": 0.5, "names": [], "title": "x",  # by default
    }  # fmt: skip


def test_a_notebook_that_fails_stops_the_course_and_the_cell_is_named(notebooks, tmp_path):
    _write(notebooks, "01_first", FIRST, "a = 1", "raise ValueError('no\\nfaces')", "b = 2")
    with pytest.raises(UserError) as caught:
        run_course({"epochs": 1}, out_dir=tmp_path / "run")
    copy = tmp_path / "run" / "notebooks" / "01_first.ipynb"
    assert "01_first stopped in cell [4]: ValueError: no faces" in str(caught.value)
    assert str(copy) in str(caught.value) and "\n" not in str(caught.value)
    assert not (copy.parent / "02_second.ipynb").exists()
    # The number is the one that stands beside the cell in the executed copy.
    (cell,) = (c for c in nbformat.read(copy, 4).cells if c.get("execution_count") == 4)
    assert "raise ValueError" in cell.source


def test_a_kernel_that_dies_is_an_error_in_one_line_that_names_the_cell(notebooks, tmp_path):
    _write(notebooks, "01_first", FIRST, "a = 1", "import os; os._exit(1)")
    with pytest.raises(UserError, match=r"01_first stopped in cell \[4\].*memory"):
        run_course({"epochs": 1}, out_dir=tmp_path / "run")


# --- parameters ---


@pytest.mark.parametrize(
    ("wrong", "closest"),
    [("epoch", "epochs"), ("learning_rat", "learning_rate"), ("datadir", "data_dir"), (1, "names")],
)
def test_a_misspelt_parameter_is_refused_with_the_closest_before_any_notebook_runs(
    notebooks, no_kernel, tmp_path, wrong, closest
):
    with pytest.raises(UserError, match=f"No notebook knows the parameter '{wrong}'") as caught:
        run_course({wrong: 1}, out_dir=tmp_path / "run")
    if isinstance(wrong, str):
        assert f"did you mean '{closest}'" in str(caught.value)
    for known in ("data_dir", "epochs", "flag", "learning_rate", "names", "title"):
        assert known in str(caught.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("epochs", "many", "int"), ("epochs", 1.5, "int"), ("epochs", True, "int"),
        ("epochs", None, "int"), ("flag", 1, "bool"), ("title", 3, "str"),
        ("learning_rate", "small", "float"), ("names", "one", "list"),
    ],
)  # fmt: skip
def test_a_parameter_of_the_wrong_type_is_refused(notebooks, no_kernel, name, value, wanted):
    with pytest.raises(UserError, match=f"'{name}' must be {wanted}, not {type(value).__name__}"):
        run_course({name: value})


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_no_generator_takes_is_refused(no_kernel, tmp_path, seed):
    with pytest.raises(UserError, match="'seed' must lie in 0 to"):
        run_course({"seed": seed}, out_dir=tmp_path / "run")


def test_a_whole_number_is_a_rate_too(notebooks, instant):
    run_course({"learning_rate": 1})
    assert instant[0][1]["learning_rate"] == 1


@pytest.mark.parametrize(("text", "number"), [("1e-3", 0.001), ("2.5E4", 25_000), (".5e-1", 0.05)])
def test_a_rate_may_be_written_with_an_exponent(notebooks, instant, text, number):
    run_course({"learning_rate": text})
    assert instant[0][1]["learning_rate"] == number


@pytest.mark.parametrize("only", [["02"], ["02", "01"]])
def test_a_parameter_that_none_of_the_chosen_notebooks_knows_is_refused(
    notebooks, no_kernel, tmp_path, only
):
    _write(notebooks, "03_third", HEAD + "third_epochs: int = 3\n")
    with pytest.raises(UserError) as caught:
        run_course({"third_epochs": 1}, only=only, out_dir=tmp_path / "run")
    assert "'third_epochs' belongs to 03_third" in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_name_that_a_notebook_has_for_it_is_proposed(notebooks, no_kernel):
    _write(notebooks, "03_third", HEAD + "third_epochs: int = 3\nepoch: int = 3\n")
    with pytest.raises(UserError, match="did you mean 'third_epochs'"):
        run_course({"epochs": 1}, only=["03"])


def test_of_a_file_for_all_notebooks_each_takes_its_own(notebooks):
    given = {"epochs": 1, "flag": True, "data_dir": "x", "out_dir": "y", "typo": 1}
    assert applicable(given, ["02"]) == {"flag": True, "data_dir": "x", "typo": 1}
    assert applicable(given, None) == {"epochs": 1, "flag": True, "data_dir": "x", "typo": 1}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("title=2024", "2024"), ("title=on", "on"), ("title=007", "007"), ("title=1e3", "1e3"),
        ("title=2024-01-01", "2024-01-01"), ("title=null", "null"), ("title=a=b", "a=b"),
        ("title='2024'", "2024"), ("title=", ""), ("title=[1", "[1"), ("title=a: b", "a: b"),
        ("data_dir=1_000", "1_000"), ("epochs=3", 3), ("flag=on", True), ("names=[a, 1]", ["a", 1]),
        ("unknown=3", 3),
    ],
)  # fmt: skip
def test_a_text_is_taken_as_it_stands(notebooks, text, value):
    name, _, _ = text.partition("=")
    assert parse_parameter(text) == (name, value)


def test_a_folder_called_like_a_number_is_a_data_set(notebooks, instant, tmp_path, monkeypatch):
    (tmp_path / "2024").mkdir()
    monkeypatch.chdir(tmp_path)
    run_course(dict([parse_parameter("data_dir=2024")]))
    assert instant[0][1]["data_dir"] == str(tmp_path / "2024")
    assert paths.data_folder(2024) == tmp_path / "2024"


def test_a_number_in_a_file_where_a_text_belongs_is_refused_with_the_remedy(notebooks, no_kernel):
    with pytest.raises(UserError, match="put it in quotes: title: '2024'"):
        run_course({"title": 2024})


def test_a_default_that_differs_between_notebooks_is_recorded_as_a_comment(
    notebooks, instant, tmp_path
):
    _write(notebooks, "03_third", HEAD + 'title: str = "y"\n')
    record = run_course({}, out_dir=tmp_path / "run") / "parameters.yaml"
    assert "title" not in yaml.safe_load(record.read_text())
    assert "# 02_second: title: x\n# 03_third: title: y\n" in record.read_text()


def test_a_recorded_run_can_be_repeated(notebooks, instant, tmp_path):
    run = run_course({"epochs": 5, "title": "é"}, out_dir=tmp_path / "run")
    first = [(name, given | {"out_dir": ""}) for name, given in instant]
    instant.clear()
    content = yaml.safe_load((run / "parameters.yaml").read_text(encoding="utf-8"))
    run_course(applicable(content, None), out_dir=tmp_path / "again")
    for (name, given), (old_name, old) in zip(instant, first, strict=True):
        assert name == old_name and old.items() <= (given | {"out_dir": ""}).items()


@pytest.mark.parametrize("content", [b"", b"no notebook", b"[]", b'{"cells": 3}', b"\xff\xfe"])
def test_a_damaged_notebook_is_named(notebooks, no_kernel, content):
    (notebooks / "02_second.ipynb").write_bytes(content)
    with pytest.raises(UserError, match=r"02_second\.ipynb is damaged"):
        run_course({"epochs": 1})


def test_out_dir_is_said_with_out(notebooks, no_kernel):
    with pytest.raises(UserError, match="--out"):
        run_course({"out_dir": "somewhere"})


def test_a_data_folder_that_is_not_there_is_refused_before_any_notebook_runs(
    notebooks, no_kernel, tmp_path
):
    with pytest.raises(UserError, match="Data folder 'nowhere' not found"):
        run_course({"data_dir": "nowhere"}, out_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_relative_data_folder_is_the_callers(notebooks, instant, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    run_course({"data_dir": "mine"})
    assert [given["data_dir"] for _, given in instant] == [str(tmp_path / "mine")] * 2


# --- which notebooks, into which folder ---


def test_only_the_notebooks_asked_for_run(notebooks, instant):
    run_course({}, only=["02"])
    assert [name for name, _ in instant] == ["02_second"]


def test_notebooks_run_in_order_whatever_the_order_they_are_asked_for_in(notebooks, instant):
    run_course({}, only=["02", "01_fi"])
    assert [name for name, _ in instant] == ["01_first", "02_second"]


def test_a_notebook_that_does_not_exist_is_refused_with_those_that_do(notebooks, no_kernel):
    with pytest.raises(UserError, match=r"No notebook begins with '7'.*01_first, 02_second"):
        run_course({}, only=["7"])


def test_an_empty_beginning_does_not_mean_all_notebooks(notebooks, no_kernel):
    with pytest.raises(UserError, match="--only takes the beginning of a notebook's name"):
        run_course({}, only=[""])


def test_a_run_never_writes_over_another(notebooks, instant, tmp_path):
    run = run_course({"epochs": 1}, out_dir=tmp_path / "run")
    before = {path: path.read_text() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match="not empty"):
        run_course({"epochs": 2}, out_dir=run)
    assert before == {path: path.read_text() for path in run.rglob("*") if path.is_file()}


def test_two_runs_in_one_second_get_two_folders(notebooks, instant):
    folders = {run_course({}) for _ in range(3)}
    assert len(folders) == 3
    assert all(folder.parent == paths.home() / "runs" for folder in folders)
    assert all(folder.name.startswith("sample-") for folder in folders)


def test_only_goes_on_with_an_earlier_run_and_with_what_it_was_given(notebooks, instant, tmp_path):
    (tmp_path / "mine").mkdir()
    run = run_course({"data_dir": str(tmp_path / "mine"), "epochs": 5}, out_dir=tmp_path / "run")
    instant.clear()
    assert run_course({"flag": True}, only=["02"], out_dir=run) == run
    ((name, given),) = instant
    assert name == "02_second"
    assert given == {
        "data_dir": str(tmp_path / "mine"), "flag": True, "out_dir": str(run),
        "names": [], "title": "x",
    }  # fmt: skip
    recorded = yaml.safe_load((run / "parameters.yaml").read_text())
    assert recorded["epochs"] == 5 and recorded["flag"] is True


def test_runs_that_start_together_get_a_folder_each(notebooks, instant, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: course._own_folder("", {}, True), range(24)))
    assert len(set(folders)) == 24


def test_of_runs_that_start_together_with_one_out_one_gets_it(notebooks, tmp_path):
    def start(_) -> bool:
        try:
            course._own_folder(tmp_path / "run", {}, True)
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(16))) == 1


@pytest.mark.parametrize(
    "files", [["real/a.jpg", "fake/b.jpg"], ["parameters.yaml"], ["notes.txt"], [".hidden"]]
)
@pytest.mark.parametrize("only", [None, ["01"]])
def test_a_folder_of_something_else_is_never_written_into(
    notebooks, no_kernel, tmp_path, files, only
):
    for name in files:
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text("epochs: 3\n")
    with pytest.raises(UserError, match="not empty"):
        run_course({}, only=only, out_dir=tmp_path / "mine")
    found = [path.relative_to(tmp_path / "mine") for path in (tmp_path / "mine").rglob("*")]
    assert sorted(str(path) for path in found if path.suffix) == sorted(
        name for name in files if Path(name).suffix
    )


def test_a_run_is_not_gone_on_with_on_other_data(notebooks, instant, tmp_path):
    for name in ("mine", "other"):
        (tmp_path / name).mkdir()
    run = run_course({"data_dir": str(tmp_path / "mine")}, out_dir=tmp_path / "run")
    before = (run / "parameters.yaml").read_text()
    with pytest.raises(UserError, match=r"holds a run with the data set .*mine, not .*other"):
        run_course({"data_dir": str(tmp_path / "other")}, only=["02"], out_dir=run)
    assert (run / "parameters.yaml").read_text() == before
    run_course({"data_dir": str(tmp_path / "mine" / ".." / "mine")}, only=["02"], out_dir=run)


def test_a_run_by_default_data_is_gone_on_with_by_its_name(notebooks, instant, tmp_path):
    run = run_course({}, out_dir=tmp_path / "run")
    run_course({"data_dir": "sample"}, only=["02"], out_dir=run)


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_two_runs_do_not_go_on_in_one_folder_together(notebooks, instant, tmp_path):
    run = run_course({}, out_dir=tmp_path / "run")
    with course._locked(run / "parameters.yaml"):
        with pytest.raises(UserError, match="Another run is writing"):
            run_course({}, only=["02"], out_dir=run)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"),
                                   OSError(28, "No space left on device")])  # fmt: skip
@pytest.mark.parametrize("method", ["mkdir", "touch", "write_text"])
def test_a_folder_that_cannot_be_written_is_one_line(
    notebooks, no_kernel, tmp_path, monkeypatch, method, error
):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(Path, method, refuse)
    for out_dir in (tmp_path / "run", ""):
        with pytest.raises(UserError, match=error.strerror) as caught:
            run_course({}, out_dir=out_dir)
        assert "\n" not in str(caught.value)


def test_a_file_cannot_receive_a_run(notebooks, no_kernel, tmp_path):
    (tmp_path / "taken").write_text("")
    for only in (None, ["01"]):
        with pytest.raises(UserError, match="is a file"):
            run_course({}, only=only, out_dir=tmp_path / "taken")


# --- the verdict at the end ---


def test_the_verdict_at_the_end_is_about_the_first_photo(tmp_path):
    table = pd.DataFrame(
        {"file": ["a.jpg", "b.jpg"], "verdict": ["FAKE", "REAL"], "confidence": [0.9878, 0.6]}
    )
    table.to_csv(tmp_path / "predictions.csv", index=False)
    assert first_verdict(tmp_path) == ("a.jpg", "Classification: FAKE  Confidence: 98.78%")


def test_there_is_no_verdict_where_no_photo_was_judged(tmp_path):
    assert first_verdict(tmp_path) is None
    columns = ["file", "verdict", "confidence"]
    pd.DataFrame(columns=columns).to_csv(tmp_path / "predictions.csv", index=False)
    assert first_verdict(tmp_path) is None
    unread = pd.DataFrame([["a.jpg", None, None]], columns=columns)
    unread.to_csv(tmp_path / "predictions.csv", index=False)
    assert first_verdict(tmp_path) is None
