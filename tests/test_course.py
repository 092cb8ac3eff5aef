"""The headless course, on notebooks that take no time."""

import json
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from deepfake_lab import paths
from deepfake_lab.course import first_verdict, run_course
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
    assert recorded == {"epochs": 7, "flag": True, "out_dir": str(folder)}


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


def test_a_whole_number_is_a_rate_too(notebooks, instant):
    run_course({"learning_rate": 1})
    assert instant[0][1]["learning_rate"] == 1


@pytest.mark.parametrize(("text", "number"), [("1e-3", 0.001), ("2.5E4", 25_000), (".5e-1", 0.05)])
def test_a_rate_may_be_written_with_an_exponent(notebooks, instant, text, number):
    run_course({"learning_rate": text})
    assert instant[0][1]["learning_rate"] == number


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
    assert given == {"data_dir": str(tmp_path / "mine"), "flag": True, "out_dir": str(run)}
    recorded = yaml.safe_load((run / "parameters.yaml").read_text())
    assert recorded["epochs"] == 5 and recorded["flag"] is True


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
