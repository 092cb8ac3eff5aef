"""The head of a model card that programs read: YAML, as the Hugging Face Hub defines it.

Source: "Model Cards", https://huggingface.co/docs/hub/model-cards, and the model-index of Papers
with Code that the Hub took over.
"""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import yaml

from deepfake_lab.evaluation.metrics import TITLES

_TASK = {"type": "image-classification", "name": "Is this face photo real or fake?"}

#: Columns of the table ``sources`` that go into the head -> (the Hub's metric, its name).
_OF_SOURCE = {
    "roc_auc": ("roc_auc", "ROC AUC, against the other label's photos of the same data set"),
    "wrong": ("accuracy", "Judged rightly"),
}


def front_matter(
    config: dict[str, Any], metrics: dict[str, Any], tables: dict[str, pd.DataFrame]
) -> str:
    """Return the head of a model card, between two lines of dashes.

    ``model-index`` holds the metrics over all test photos and, where the detector was assessed, two
    for each source of photos.

    Args:
        config: as in ``detector.json``.
        metrics: as in ``metrics.json``.
        tables: name -> frame; ``sources`` is used.
    """
    results = [_overall(config, metrics)]
    if "sources" in tables:
        split = metrics["assessment"]["split"] if "assessment" in metrics else "test"
        results += _of_sources(tables["sources"], split)
    content = {
        # The photos' terms differ, and some allow no commercial use.
        "license": "other",
        "license_name": "research-and-teaching",
        "library_name": "keras",
        "pipeline_tag": "image-classification",
        "tags": ["deepfake-detection", "face", "litert", config["architecture"]],
        "metrics": sorted({metric["type"] for result in results for metric in result["metrics"]}),
        "model-index": [{"name": config["name"], "results": results}],
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{text}---"


def _overall(config: dict[str, Any], metrics: dict[str, Any]) -> dict[str, Any]:
    found = metrics["test"]["metrics"]
    return {
        "task": _TASK.copy(),  # the same dict twice would be written as a YAML alias
        "dataset": {"type": config["data"]["name"], "name": config["data"]["name"],
                    "split": "test"},
        "metrics": [
            _metric(name, TITLES[name], m["value"], m["low"], m["high"])
            for name, m in found.items() if not pd.isna(m["value"])
        ],
    }  # fmt: skip


def _of_sources(sources: pd.DataFrame, split: str) -> Iterator[dict[str, Any]]:
    for row in sources.to_dict("records"):
        measured = []
        for column, (kind, title) in _OF_SOURCE.items():
            value, low, high = (row[column + end] for end in ("", "_low", "_high"))
            if pd.isna(value):
                continue
            if column == "wrong":
                value, low, high = 1 - value, 1 - high, 1 - low
            measured.append(_metric(kind, title, value, low, high))
        if measured:
            yield {
                "task": _TASK.copy(),
                "dataset": {
                    "type": row["data"],
                    "name": f"{row['data']}: {row['label']} photos of {row['source']} "
                    f"({row['family']})",
                    "config": f"{row['label']}-{row['source']}-{row['family']}",
                    "split": split,
                },
                "metrics": measured,
            }


def _metric(kind: str, title: str, value: float, low: float, high: float) -> dict[str, Any]:
    interval = "" if pd.isna(low) else f" (95% interval {low:.3f} to {high:.3f})"
    return {
        "type": kind,
        "name": f"{title}{interval}",
        "value": round(float(value), 4),
    }
