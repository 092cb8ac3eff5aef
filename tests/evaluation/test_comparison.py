"""Runs side by side, on run folders that hold nothing but what a comparison reads."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from deepfake_lab.cli import main
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import comparison_files
from deepfake_lab.evaluation.comparison import compare_settings, holm
from deepfake_lab.evaluation.comparison_files import conclusion, save, summary
from deepfake_lab.evaluation.predictions import evaluate
from deepfake_lab.evaluation.runs import list_runs, runs_table, save_table

PHOTOS = 240


def _predictions(strength: float, rng: np.random.Generator, hard: np.ndarray) -> pd.DataFrame:
    """Answers about the same photos: `hard` is common to all runs, the rest is each run's own."""
    label = np.array(["real", "fake"] * (PHOTOS // 2))
    logit = np.where(label == "fake", 1, -1) * strength + hard + rng.normal(0, 0.5, PHOTOS)
    p_fake = 1 / (1 + np.exp(-logit))
    names = [f"{i}.jpg" for i in range(PHOTOS)]
    return pd.DataFrame({
        "file": names, "fingerprint": names, "group": np.arange(PHOTOS) // 2, "label": label,
        "source": "all", "p_fake": p_fake, "verdict": np.where(p_fake >= 0.5, "FAKE", "REAL"),
        "split": "test",
    })  # fmt: skip


def _write(
    root: Path, run: str, rows: pd.DataFrame, *, seed: int = 0, commit: str = "a" * 40, **recipe
) -> Path:
    folder = root / run / "models" / "net"
    folder.mkdir(parents=True)
    config = {
        "architecture": "cnn", "image_size": 64, "framing": "face", "seed": seed,
        "recipe": recipe | {"stages": [1, 2]}, "created": "2026-01-01T00:00:00+00:00",
        "data": {"name": "photos", "fingerprint": "f00d"}, "git_commit": commit,
        "versions": {"keras": "3"},
        "git_dirty": False, "environment": {"hardware": {"cores": 2}},
    }  # fmt: skip
    (folder / "detector.json").write_text(json.dumps(config))
    (folder / "metrics.json").write_text(json.dumps({"test": evaluate(rows)}))
    rows.to_csv(folder / "predictions.csv", index=False)
    history = pd.DataFrame({"epoch": [1, 2], "loss": [0.7, 0.6], "val_loss": [0.7, 0.65]})
    history.to_csv(folder / "history.csv", index=False)
    given = yaml.safe_dump({"seed": seed, "out_dir": "x", "elsewhere": ["b"]} | recipe)
    (root / run / "parameters.yaml").write_text(given)
    return folder


def _sweep(root: Path, strengths: dict[float, float], seeds=range(3), luck: int = 0) -> Path:
    """A run for each learning rate and seed; `strengths`: learning rate -> how good it is."""
    rng = np.random.default_rng(luck)
    hard = rng.normal(0, 1.5, PHOTOS)
    for rate, strength in strengths.items():
        for seed in seeds:
            rows = _predictions(strength, rng, hard)
            _write(root, f"rate={rate}-{seed}", rows, seed=seed, learning_rate=rate)
    return root


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Three learning rates with three seeds: two are equally good, the third is much worse."""
    return _sweep(tmp_path_factory.mktemp("sweep"), {0.1: 1.5, 0.01: 1.5, 0.001: 0.3})


@pytest.fixture(scope="module")
def found(planted):
    return compare_settings(runs_table([planted]))


# --- what is luck ---


def test_a_planted_large_difference_is_more_than_luck_and_a_planted_zero_is_not(found):
    said = found.differences.set_index(["first", "second"])["more_than_luck"]
    for (first, second), more in said.items():
        assert more == ("learning_rate=0.001" in (first, second))
    assert "2 of 3 differences" in conclusion(found)


def test_runs_with_the_same_answers_differ_by_nothing(tmp_path):
    rows = _predictions(1, np.random.default_rng(0), np.zeros(PHOTOS))
    for name in "ab":
        _write(tmp_path, name, rows)
    both = runs_table([tmp_path / "a", tmp_path / "b"])
    both["learning_rate"] = [1.0, 2.0]
    (row,) = compare_settings(both).differences.to_dict("records")
    assert (row["difference"], row["low"], row["high"], row["p_corrected"]) == (0, 0, 0, 1)
    assert not row["more_than_luck"]


def test_a_planted_zero_is_called_a_difference_in_few_of_many_sweeps(tmp_path):
    wrong = 0
    for luck in range(20):
        equal = _sweep(tmp_path / str(luck), {1: 1.0, 2: 1.0, 3: 1.0}, range(2), luck)
        wrong += compare_settings(runs_table([equal])).differences["more_than_luck"].any()
    assert wrong <= 3  # of 20 at 5%: more than 3 in one case of sixty


def test_one_seed_that_was_lucky_is_no_difference(tmp_path):
    """Seeds that scatter widely say that a difference as large as their scatter is luck."""
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 0.1, PHOTOS)
    for rate, strengths in ((1, (0.2, 0.9, 1.6)), (2, (0.1, 0.7, 1.2))):
        for seed, strength in enumerate(strengths):
            rows = _predictions(strength, rng, hard)
            _write(tmp_path, f"{rate}-{seed}", rows, seed=seed, learning_rate=rate)
    (row,) = compare_settings(runs_table([tmp_path])).differences.to_dict("records")
    assert row["difference"] > 0.02 and not row["more_than_luck"]


def test_more_comparisons_ask_for_smaller_p_values():
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03])), [0.06, 0.03, 0.06])
    np.testing.assert_allclose(holm(np.array([0.9, 0.8])), [1, 1])
    assert len(holm(np.array([]))) == 0


# --- the tables ---


def test_seeds_are_gathered_to_mean_and_spread(found):
    assert list(found.settings["runs"]) == [3, 3, 3] and set(found.settings["seeds"]) == {"0, 1, 2"}
    for row in found.settings.to_dict("records"):
        runs = found.runs.loc[found.runs["setting"] == row["setting"], "roc_auc"]
        assert row["roc_auc"] == pytest.approx(runs.mean())
        assert row["spread"] == pytest.approx(runs.std())
        assert row["low"] < row["roc_auc"] < row["high"]
    assert found.settings["roc_auc"].is_monotonic_decreasing


def test_for_a_metric_that_counts_errors_the_lowest_is_the_best(planted):
    settings = compare_settings(runs_table([planted]), "brier_score").settings
    assert settings["brier_score"].is_monotonic_increasing


def test_runs_of_two_sweeps_with_the_same_names_are_told_apart(planted, tmp_path):
    other = shutil.copytree(planted, tmp_path / "longer" / planted.name)
    names = runs_table([planted, other])["name"]
    assert names.is_unique and len(names) == 18
    assert names.str.contains("longer/").sum() == 9


def test_a_table_of_runs_has_parameters_metrics_with_intervals_and_what_made_them(planted):
    table = runs_table([planted])
    assert len(table) == 9 and (table["status"] == "whole").all() and table["name"].is_unique
    row = table.iloc[0]
    assert (row["fingerprint"], row["commit"], row["versions"]) == ("f00d", "a" * 40, "keras 3")
    assert row["elsewhere"] == '["b"]' and row["learning_rate"] in (0.1, 0.01, 0.001)
    assert row["roc_auc_low"] < row["roc_auc"] < row["roc_auc_high"]
    assert "out_dir" not in table and "stages" not in table


def test_a_run_that_stopped_is_listed_with_cell_and_reason(planted, tmp_path):
    run = tmp_path / "stopped"
    (run / "notebooks").mkdir(parents=True)
    (run / "parameters.yaml").write_text("seed: 1\n")
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no\nfaces"}
    cell = {"cell_type": "code", "execution_count": 4, "outputs": [error]}
    (run / "notebooks" / "03_x.ipynb").write_text(json.dumps({"cells": [cell]}))
    table = runs_table([planted, tmp_path])
    (status,) = table.loc[table["status"] != "whole", "status"]
    assert status == "03_x stopped in cell [4]: ValueError: no faces"
    found = compare_settings(table)
    assert len(found.runs) == 9
    assert f"stopped: {status}" in summary(found, table[table["status"] != "whole"])
    assert "stopped" in list_runs(table)


@pytest.mark.parametrize(
    ("file", "content"),
    [("models/net/metrics.json", "{"), ("models/net/detector.json", "[]"),
     ("parameters.yaml", "a: [1"), ("parameters.yaml", "[1]")],
)  # fmt: skip
def test_a_damaged_run_is_named_and_the_others_are_listed(planted, tmp_path, file, content):
    broken = _write(tmp_path, "broken", _predictions(1, np.random.default_rng(0), 0))
    (broken.parent.parent / file).write_text(content)
    table = runs_table([planted, tmp_path])
    (status,) = table.loc[table["status"] != "whole", "status"]
    assert status.startswith("damaged (") and "\n" not in status
    assert len(compare_settings(table).runs) == 9 and "damaged" in list_runs(table)


def test_what_else_differs_is_said(tmp_path):
    rng = np.random.default_rng(0)
    for name, commit in (("a", "a" * 40), ("b", "b" * 40)):
        _write(tmp_path, name, _predictions(1, rng, np.zeros(PHOTOS)), commit=commit)
    notes = " ".join(compare_settings(runs_table([tmp_path])).notes)
    assert "differ in: commit" in notes and "One run per setting" not in notes


def test_only_test_photos_that_all_runs_have_answered_are_compared(tmp_path):
    rows = _predictions(1, np.random.default_rng(0), np.zeros(PHOTOS))
    _write(tmp_path, "a", rows, learning_rate=1)
    _write(tmp_path, "b", rows[100:], learning_rate=2)
    found = compare_settings(runs_table([tmp_path]))
    assert found.photos == 140 and found.differences["difference"].tolist() == [0]
    assert "Only 140 test photos" in found.notes[0]


def test_photos_with_another_label_in_some_run_are_not_compared(tmp_path):
    rows = _predictions(1, np.random.default_rng(0), np.zeros(PHOTOS))
    other = rows.assign(label=np.where(np.arange(PHOTOS) < 40, "fake", rows["label"]))
    _write(tmp_path, "a", rows, learning_rate=1)
    _write(tmp_path, "b", other, learning_rate=2)
    found = compare_settings(runs_table([tmp_path]))
    assert found.photos == PHOTOS - 20 and "with the same label" in found.notes[0]
    assert found.differences["difference"].tolist() == [0]


@pytest.mark.parametrize(("groups", "least"), [(1, 1.0), (2, 0.5), (4, 0.125)])
def test_few_groups_prove_nothing_however_far_runs_lie_apart(tmp_path, groups, least):
    right = _predictions(9, np.random.default_rng(0), np.zeros(PHOTOS))
    right = right.assign(group=np.arange(PHOTOS) // 2 % groups)
    wrong = right.assign(p_fake=1 - right["p_fake"])
    _write(tmp_path, "a", right, learning_rate=1)
    _write(tmp_path, "b", wrong, learning_rate=2)
    found = compare_settings(runs_table([tmp_path])).differences
    assert found["difference"].iloc[0] == pytest.approx(1, abs=0.05)
    assert found["p"].iloc[0] == pytest.approx(least) and not found["more_than_luck"].iloc[0]


@pytest.mark.parametrize("content", ["", "file,label\n"])
def test_answers_that_are_damaged_are_named(tmp_path, content):
    rows = _predictions(1, np.random.default_rng(0), np.zeros(PHOTOS))
    _write(tmp_path, "a", rows)
    (_write(tmp_path, "b", rows) / "predictions.csv").write_text(content)
    with pytest.raises(UserError, match=r"b/models/net/predictions\.csv is damaged"):
        compare_settings(runs_table([tmp_path]))


def test_an_export_which_names_no_photos_is_not_called_damaged(tmp_path):
    rows = _predictions(1, np.random.default_rng(0), np.zeros(PHOTOS))
    _write(tmp_path, "a", rows)
    file = _write(tmp_path, "b", rows) / "predictions.csv"
    pd.read_csv(file).drop(columns="file").to_csv(file, index=False)
    with pytest.raises(UserError, match="does not name its photos, as an export does not"):
        compare_settings(runs_table([tmp_path]))


def test_answers_that_were_cut_off_are_named(tmp_path):
    rows = _predictions(1, np.random.default_rng(0), np.zeros(PHOTOS))
    _write(tmp_path, "a", rows)
    file = _write(tmp_path, "b", rows) / "predictions.csv"
    file.write_text(file.read_text()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match=r"b/models/net/predictions\.csv is damaged"):
        compare_settings(runs_table([tmp_path]))


def test_runs_without_test_photos_in_common_are_refused(tmp_path):
    rows = _predictions(1, np.random.default_rng(0), np.zeros(PHOTOS))
    _write(tmp_path, "a", rows[:100])
    _write(tmp_path, "b", rows[100:])
    with pytest.raises(UserError, match="share no test photos"):
        compare_settings(runs_table([tmp_path]))


def test_wrong_questions_are_refused_in_one_line(planted, tmp_path, capsys):
    for arguments in (
        ["compare", str(planted), "--metric", "luck"],
        ["compare", str(tmp_path)],
        ["runs", str(planted), "--out", str(tmp_path / "x.doc")],
    ):
        assert main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_a_run_whose_python_died_says_that_it_did_not_come_to_its_end(tmp_path):
    (tmp_path / "run" / "notebooks").mkdir(parents=True)
    (tmp_path / "run" / "parameters.yaml").write_text("seed: 1\n")
    begun = {"cells": [], "metadata": {"papermill": {"end_time": None}}}
    (tmp_path / "run" / "notebooks" / "03_x.ipynb").write_text(json.dumps(begun))
    (status,) = runs_table([tmp_path])["status"]
    assert status.startswith("03_x did not come to its end")
    (tmp_path / "run" / "notebooks" / "03_x.ipynb").write_text('{"cells": [')
    (status,) = runs_table([tmp_path])["status"]
    assert status.startswith("03_x is being written")


# --- files ---


def test_a_comparison_replaces_no_file_of_somebody(found, tmp_path):
    (tmp_path / "runs.csv").write_text("mine")
    with pytest.raises(UserError, match="and no comparison: name"):
        save(found, tmp_path)
    assert (tmp_path / "runs.csv").read_text() == "mine"


def test_a_comparison_that_was_cut_off_can_be_repeated(found, tmp_path, monkeypatch):
    monkeypatch.setattr(comparison_files, "_save_figures", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save(found, tmp_path)
    monkeypatch.undo()
    save(found, tmp_path)


def test_a_comparison_is_saved_for_a_spreadsheet_a_paper_and_a_browser(found, tmp_path):
    folder = save(found, tmp_path / "out")
    for name, rows in (("runs", 9), ("settings", 3), ("differences", 3)):
        assert len(pd.read_csv(folder / f"{name}.csv")) == rows
        assert len(pd.read_parquet(folder / f"{name}.parquet")) == rows
        assert r"\begin{tabular}" in (folder / f"{name}.tex").read_text()
        assert (folder / f"{name}.md").read_text().count("\n") == rows + 2
    page = (folder / "comparison.html").read_text()
    for figure in ("settings", "differences", "parameters", "learning_curves"):
        assert f"figures/{figure}.png" in page and (folder / "figures" / f"{figure}.png").is_file()


def test_tensorboard_reads_parameters_and_metrics_of_every_run(found, tmp_path):
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams import metadata

    save(found, tmp_path)
    logs = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "logs")).Reload()
    assert len(logs.Runs()) == 9
    for name, row in found.runs.set_index("name").iterrows():
        notes = logs.SummaryMetadata(name, metadata.SESSION_START_INFO_TAG).plugin_data.content
        given = metadata.parse_session_start_info_plugin_data(notes).hparams
        assert given["learning_rate"].number_value == row["learning_rate"]
        (scalar,) = logs.Tensors(name, "test/roc_auc")
        assert scalar.tensor_proto.float_val[0] == pytest.approx(row["roc_auc"], abs=1e-6)


def test_a_folder_without_runs_says_so(tmp_path):
    with pytest.raises(UserError, match="holds no runs"):
        runs_table([tmp_path])


def test_a_table_whose_column_mixes_types_fits_into_parquet(tmp_path):
    table = pd.DataFrame({"a": [1, "x", None], "b": [0.5, 1.5, 2.5]})
    read = pd.read_parquet(save_table(table, tmp_path / "t.parquet"))
    assert read["a"].tolist()[:2] == ["1", "x"] and read["a"].isna()[2]
