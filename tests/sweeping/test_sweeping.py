"""Sweeps whose runs take no time, and one with real processes and kernels."""

import json
import threading
from pathlib import Path

import nbformat
import optuna
import pandas as pd
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from deepfake_lab import paths
from deepfake_lab.cli import main
from deepfake_lab.errors import UserError
from deepfake_lab.sweeping import process, read_space, run_sweep, study

PARAMETERS = (
    'data_dir: str = "sample"  # the data set\nout_dir: str = ""  # where results are written\n'
    "learning_rate: float = 0.5  # size of steps\nseed: int = 0  # of chance\n"
    "names: list = []  # a list\n"
)
# What a training leaves behind, as far as a sweep looks; seed 1 fails, seed 2 kills its kernel.
TRAINING = """\
import json, os, pathlib
if seed == 1:
    raise ValueError("no faces")
if seed == 2 and not (mark := pathlib.Path(out_dir).parent / "died").exists():
    mark.touch(); os._exit(1)
folder = pathlib.Path(out_dir) / "models" / "net"
folder.mkdir(parents=True)
rows = ["split,label,source,group,p_fake,verdict"]
rows += [f"valid,{label},s,{label},{p},{label.upper()}" for label, p in [("real", 0), ("fake", 1)]]
(folder / "predictions.csv").write_text("\\n".join(rows))
(folder / "metrics.json").write_text("{}")
"""


@pytest.fixture(autouse=True)
def course(tmp_path, monkeypatch) -> Path:
    """A course folder, the current one, whose notebook trains in no time."""
    (tmp_path / paths.COURSE_MARK).touch()
    (tmp_path / "notebooks").mkdir()
    cells = [new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}), new_code_cell(TRAINING)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "notebooks" / "03_train.ipynb")
    monkeypatch.delenv("DEEPFAKE_LAB_HOME")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _write_run(run: Path, p_fake: float = 1.0) -> None:
    (run / "models" / "net").mkdir(parents=True)
    rows = [
        {"split": "valid", "label": label, "source": "s", "group": label, "verdict": label.upper(),
         "p_fake": p}
        for label, p in (("real", 0.5), ("fake", p_fake))
    ]  # fmt: skip
    pd.DataFrame(rows).to_csv(run / "models" / "net" / "predictions.csv", index=False)
    (run / "models" / "net" / "metrics.json").write_text("{}")
    (run / "notebooks").mkdir()
    ended = {"cells": [], "metadata": {"papermill": {"end_time": "now", "exception": False}}}
    (run / "notebooks" / "03_train.ipynb").write_text(json.dumps(ended))


@pytest.fixture
def instant(monkeypatch) -> list[str]:
    """Note which combinations would run; seed 1 fails, all others leave a whole run."""
    ran = []

    def execute(sweep: str, name: str, only: list[str] | None) -> str | None:
        ran.append(name)
        given = yaml.safe_load((Path(sweep) / "combinations" / f"{name}.yaml").read_text())
        if given.get("seed") == 1:
            return "03_train stopped in cell [2]: ValueError: no faces"
        _write_run(Path(sweep) / name, given.get("learning_rate", 1.0))
        return None

    monkeypatch.setattr(study, "execute", execute)
    return ran


def _space(**values):
    return read_space({}, values)


def _quiet(line: str) -> None:
    pass


# --- with real processes and kernels ---


def test_a_failing_combination_is_named_a_dead_kernel_gets_a_second_try_the_others_go_on(
    course, capsys
):
    arguments = ["sweep", "-p", "seed=0,1,2", "--only", "03", "--jobs", "2", "--out", "s"]
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "2 of 3 runs are whole" in said
    assert "failed: 001-seed=1: 03_train stopped in cell [3]: ValueError: no faces" in said
    for name in ("000-seed=0", "002-seed=2"):
        assert process.is_whole(course / "s" / name, ["03"])
    assert (course / "s" / "died").exists()


def test_what_an_earlier_attempt_has_left_is_put_aside_not_thrown_away(tmp_path):
    for text in ("first", "second"):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "half").write_text(text)
        process._put_aside(tmp_path / "run")
    kept = [file.read_text() for file in sorted(tmp_path.glob(".earlier/run-*/half"))]
    assert kept == ["first", "second"]


# --- which combinations ---


def test_every_combination_runs_once_with_its_own_values(course, instant):
    found = run_sweep(_space(learning_rate=["1e-3", 0.1], seed=[0, 2]), report=_quiet)
    assert sorted(instant) == found.whole and len(found.whole) == 4
    assert found.folder.parent == course / "runs" and found.folder.name.startswith("sweep-")
    given = yaml.safe_load((found.folder / "combinations" / f"{found.whole[0]}.yaml").read_text())
    assert given == {"learning_rate": 0.001, "seed": 0}


def test_the_same_command_goes_on_with_the_same_sweep_and_runs_nothing_twice(instant):
    space = _space(seed=[0, 1, 2])
    first = run_sweep(space, report=_quiet)
    assert list(first.failed.values()) == ["03_train stopped in cell [2]: ValueError: no faces"]
    instant.clear()
    second = run_sweep(space, report=_quiet)
    assert second.folder == first.folder and instant == ["001-seed=1"]


def test_a_run_whose_metrics_are_gone_is_queued_again(instant):
    found = run_sweep(_space(seed=[0, 2]), report=_quiet)
    (found.folder / "000-seed=0" / "models" / "net" / "metrics.json").unlink()
    assert not process.is_whole(found.folder / "000-seed=0", None)
    instant.clear()
    (found.folder / "000-seed=0").rename(found.folder / ".gone")
    run_sweep(_space(seed=[0, 2]), report=_quiet)
    assert instant == ["000-seed=0"]


def test_two_processes_share_a_sweep_and_no_combination_runs_twice(instant):
    space = _space(seed=[0, *range(2, 12)])
    threads = [
        threading.Thread(target=run_sweep, args=(space,), kwargs={"jobs": 1, "report": _quiet})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(instant) == 11 and len(set(instant)) == 11


def test_a_combination_that_a_killed_process_had_claimed_is_queued_again(instant, monkeypatch):
    space = _space(seed=[0, 2])
    killed = study._Study(space, None, "s", 0, "roc_auc")
    task = killed.take()
    alive = run_sweep(space, out_dir="s", report=_quiet)
    assert alive.elsewhere == [task.name] and task.name not in instant
    task.claim.release()  # as the system does when a process ends
    assert len(run_sweep(space, out_dir="s", report=_quiet).whole) == 2
    assert sorted(instant) == ["000-seed=0", "001-seed=2"]


def test_a_combination_left_before_it_had_its_values_gets_them_all_the_same(instant):
    space = _space(seed=[0, 2], learning_rate=[0.1, 0.2])
    killed = study._Study(space, None, "s", 0, "roc_auc")
    for _ in range(3):
        killed._study.ask()  # and died before it took up the values
    found = run_sweep(space, out_dir="s", report=_quiet)
    assert len(found.whole) == 4
    for name in found.whole:
        written = yaml.safe_load((found.folder / "combinations" / f"{name}.yaml").read_text())
        assert f"seed={written['seed']}" in name
        assert f"learning_rate={written['learning_rate']}" in name


def test_a_search_tries_so_many_and_improves_on_validation_photos(instant):
    space = _space(learning_rate=["0.1..0.9"])
    found = run_sweep(space, search=4, metric="brier_score", report=_quiet)
    assert len(found.whole) == 4 == len(instant)
    assert run_sweep(space, search=6, metric="brier_score", report=_quiet).folder == found.folder
    assert len(instant) == 6
    storage = study.JournalStorage(study.JournalFileBackend(str(found.folder / "study.journal")))
    best = optuna.load_study(study_name="sweep", storage=storage)
    assert best.direction.name == "MINIMIZE"
    rates = {t.user_attrs["name"]: t.params["learning_rate"] for t in best.trials}
    assert best.best_trial.params["learning_rate"] == max(rates.values())


def test_a_folder_of_another_sweep_is_refused(instant, course):
    run_sweep(_space(seed=[0, 2]), out_dir="s", report=_quiet)
    with pytest.raises(UserError, match="another sweep"):
        run_sweep(_space(seed=[0, 3]), out_dir="s", report=_quiet)
    with pytest.raises(UserError, match="holds other things"):
        run_sweep(_space(seed=[0, 3]), out_dir=course / "notebooks", report=_quiet)


def test_never_more_runs_at_a_time_than_cores_and_memory_allow(monkeypatch, instant):
    monkeypatch.setattr(study, "RUN_GIB", 10_000)
    assert study.allowed_jobs() == 1
    said = []
    run_sweep(_space(seed=[0, 2]), jobs=64, report=said.append)
    assert "1 it is" in said[0]


def test_an_interrupted_sweep_ends_its_processes_and_tries_none_again(tmp_path, monkeypatch):
    sleep = [process.sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(
        process, "_wait", lambda _, printed, wait=process._wait: wait(sleep, printed)
    )
    (tmp_path / "combinations").mkdir()
    said = []
    thread = threading.Thread(
        target=lambda: said.append(process.execute(str(tmp_path), "000", None))
    )
    process.begin()
    thread.start()
    while not process._at_work:
        thread.join(0.05)
    process.end_all()
    thread.join(20)
    assert said == ["interrupted"]


def test_a_sweep_runs_on_the_workers_of_a_cluster(instant):
    distributed = pytest.importorskip("distributed")
    cluster = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    with distributed.Client(**cluster, dashboard_address=":0") as client:
        found = run_sweep(_space(seed=[0, 1, 2, 3]), client=client, report=_quiet)
    assert len(found.whole) == 3 and list(found.failed) == ["001-seed=1"]


def test_a_worker_that_is_lost_costs_its_combination_alone(instant, monkeypatch):
    whole = study.execute

    def execute(sweep: str, name: str, only: list[str] | None) -> str | None:
        if name == "000-seed=0":
            raise ConnectionError("the worker is gone")
        return whole(sweep, name, only)

    monkeypatch.setattr(study, "execute", execute)
    found = run_sweep(_space(seed=[0, 2]), report=_quiet)
    assert found.failed == {"000-seed=0": "ConnectionError: the worker is gone"}
    assert found.whole == ["001-seed=2"]


# --- values ---


def test_a_list_in_a_file_stands_for_alternatives_but_not_for_a_list_parameter():
    space = read_space({"seed": [0, 1], "names": ["a", "b"], "learning_rate": 0.1}, {})
    assert space.choices == {"seed": [0, 1]}
    assert space.fixed == {"names": ["a", "b"], "learning_rate": 0.1}
    space = read_space({"names": [["a"], ["b"]]}, {"seed": [3]})
    assert space.choices == {"names": [["a"], ["b"]]} and space.fixed == {"seed": 3}


def test_alternatives_that_are_lists_run_as_lists(instant):
    found = run_sweep(read_space({"names": [["a"], ["b", "c"]]}, {}), report=_quiet)
    given = [yaml.safe_load(f.read_text()) for f in found.folder.glob("combinations/*.yaml")]
    assert sorted(g["names"] for g in given) == [["a"], ["b", "c"]]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-p", "sed=1,2"], "did you mean 'seed'"),
        (["-p", "seed=1,x"], "must be int"),
        (["-p", "seed=1,1"], "twice"),
        (["-p", "seed=1"], "Nothing varies"),
        (["-p", "seed="], "has no value"),
        (["-p", "seed"], "NAME=A,B"),
        (["-p", "seed=[1"], "no values"),
        (["-p", "learning_rate=0.1..0.9"], "--search N"),
        (["-p", "learning_rate=0.9..0.1", "--search", "2"], "must rise"),
        (["-p", "data_dir=1..2", "--search", "2"], "is no number"),
        (["-p", "seed=0.5..2", "--search", "2"], "whole numbers"),
        (["-p", "seed=0,1", "--metric", "luck"], "No metric 'luck'"),
        (["-p", "seed=0,1", "--only", "07"], "No notebook begins with '07'"),
    ],
)
def test_what_cannot_be_swept_is_refused_in_one_line_before_anything_runs(
    arguments, reason, instant, course, capsys
):
    assert main(["sweep", *arguments]) == 2
    said = capsys.readouterr().err
    assert reason in said and said.count("\n") == 1
    assert instant == [] and not (course / "runs").exists()
