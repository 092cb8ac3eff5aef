"""The head of a model card is what the Hugging Face Hub reads, and says what was measured."""

import json
import math
from functools import cache

import pandas as pd
import pytest
from huggingface_hub import ModelCard

from deepfake_lab import paths
from deepfake_lab.evaluation.card import model_card


@cache
def read_card(name: str) -> ModelCard:
    folder = paths.project() / "models" / name
    return ModelCard((folder / "README.md").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", paths.SHIPPED)
def test_the_hub_reads_what_a_shipped_detector_is(name):
    data = read_card(name).data
    assert (data.library_name, data.pipeline_tag) == ("keras", "image-classification")
    assert data.license == "other" and data.model_name == name
    assert "deepfake-detection" in data.tags


@pytest.mark.parametrize("name", paths.SHIPPED)
def test_the_hub_reads_the_metrics_of_each_source_as_the_table_has_them(name):
    table = pd.read_csv(paths.project() / "models" / name / "sources.csv")
    found = {
        (result.dataset_name, result.metric_type): result.metric_value
        for result in read_card(name).data.eval_results
    }
    for row in table.itertuples():
        dataset = f"{row.data}: {row.label} photos of {row.source} ({row.family})"
        assert found[dataset, "accuracy"] == pytest.approx(1 - row.wrong, abs=1e-4)
        if math.isnan(row.roc_auc):  # a data set of one label alone
            assert (dataset, "roc_auc") not in found
        else:
            assert found[dataset, "roc_auc"] == pytest.approx(row.roc_auc, abs=1e-4)


def test_every_kind_of_metric_in_the_results_is_listed():
    data = read_card("efficientnet").data
    assert set(data.metrics) == {result.metric_type for result in data.eval_results}


def test_a_detector_that_was_never_assessed_has_the_metrics_of_its_test_alone(run_folder):
    data = ModelCard((run_folder / "README.md").read_text(encoding="utf-8")).data
    metrics = json.loads((run_folder / "metrics.json").read_text())["test"]["metrics"]
    known = {name for name, m in metrics.items() if math.isfinite(m["value"])}
    assert {result.metric_type for result in data.eval_results} == known
    assert {result.dataset_name for result in data.eval_results} == {"sample"}


def test_what_could_not_be_measured_is_left_out(run_folder):
    config = json.loads((run_folder / "detector.json").read_text())
    metrics = json.loads((run_folder / "metrics.json").read_text())
    nothing = dict.fromkeys(("value", "low", "high"), math.nan)
    metrics["test"]["metrics"]["roc_auc"] = nothing
    data = ModelCard(model_card(config, metrics)).data
    assert "roc_auc" not in data.metrics
