"""Every metric at its limits, and intervals that mean what they say."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfake_lab import evaluation
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.predictions import REPORTED, evaluate
from deepfake_lab.photos import images

LABELS = np.repeat([0, 1], 100)
RNG = np.random.default_rng(0)
NOISY = np.clip(LABELS * 0.3 + RNG.uniform(0, 0.7, 200), 0, 1)


def _predictions(labels, p_fake, group=None, source="camera") -> pd.DataFrame:
    p_fake = np.asarray(p_fake, float)
    return pd.DataFrame(
        {
            "label": np.where(np.asarray(labels) == 1, "fake", "real"),
            "source": source,
            "group": np.arange(len(p_fake)) if group is None else group,
            "p_fake": p_fake,
            "verdict": np.where(p_fake >= 0.5, "FAKE", "REAL"),
            "confidence": np.maximum(p_fake, 1 - p_fake),
        }
    )


def _values(labels, p_fake) -> dict[str, float]:
    metrics = evaluate(_predictions(labels, p_fake))["metrics"]
    return {name: metric["value"] for name, metric in metrics.items()}


def _width(predictions: pd.DataFrame, metric: str = "roc_auc") -> float:
    found = evaluate(predictions)["metrics"][metric]
    return found["high"] - found["low"]


# --- limits ---


def test_a_perfect_detector_gets_the_best_of_every_metric():
    assert _values(LABELS, LABELS) == {
        "balanced_accuracy": 1, "roc_auc": 1, "average_precision": 1, "false_alarm_rate": 0,
        "miss_rate": 0, "brier_score": 0, "calibration_error": 0,
    }  # fmt: skip


def test_an_inverted_detector_gets_the_worst_of_every_metric():
    assert _values(LABELS, 1 - LABELS) == {
        "balanced_accuracy": 0, "roc_auc": 0, "average_precision": 0.5, "false_alarm_rate": 1,
        "miss_rate": 1, "brier_score": 1, "calibration_error": 1,
    }  # fmt: skip


def test_a_detector_that_always_says_the_same_gets_what_a_coin_gets():
    assert _values(LABELS, np.full(200, 0.5)) == {
        "balanced_accuracy": 0.5, "roc_auc": 0.5, "average_precision": 0.5, "false_alarm_rate": 1,
        "miss_rate": 0, "brier_score": 0.25, "calibration_error": 0,
    }  # fmt: skip


@pytest.mark.parametrize("label", [0, 1])
def test_one_label_alone_cannot_be_evaluated(label):
    only = "fake" if label else "real"
    with pytest.raises(UserError, match=f"need real and fake photos.*have {only}"):
        evaluate(_predictions([label, label], [0.2, 0.8]))


def test_no_photos_at_all_cannot_be_evaluated():
    with pytest.raises(UserError, match="have none"):
        evaluate(_predictions([], []))


def test_a_missing_column_is_named():
    with pytest.raises(UserError, match="lack the column group"):
        evaluate(_predictions(LABELS, NOISY).drop(columns="group"))


@pytest.mark.parametrize(
    ("column", "odd", "says"),
    [("label", "FAKE", "the label 'FAKE'; known: real, fake"),
     ("verdict", "fake", "the verdict 'fake'; known: REAL, FAKE"),
     ("group", None, "without a group")],
)  # fmt: skip
def test_what_cannot_be_measured_is_named(column, odd, says):
    rows = _predictions(LABELS, NOISY).astype({"group": object})
    rows.loc[3, column] = odd
    with pytest.raises(UserError, match=says):
        evaluate(rows)


def test_fake_is_the_positive_class_whatever_the_labels_sort_like():
    # Three of the four pairs of (fake, real) are in order. With "fake" < "real" as strings,
    # scikit-learn alone would take real for positive and say 0.25.
    predictions = _predictions([0, 0, 1, 1], [0.1, 0.6, 0.4, 0.9])
    assert list(predictions["label"]) == ["real", "real", "fake", "fake"]
    assert evaluate(predictions)["metrics"]["roc_auc"]["value"] == 0.75


def test_false_alarms_are_about_real_photos_and_misses_about_fake_ones():
    values = _values([0, 0, 0, 0, 1, 1], [0.9, 0.1, 0.1, 0.1, 0.9, 0.2])
    assert values["false_alarm_rate"] == 0.25 and values["miss_rate"] == 0.5
    assert values["balanced_accuracy"] == pytest.approx((0.75 + 0.5) / 2)


def test_metrics_do_not_depend_on_the_order_of_the_photos():
    p_fake = np.round(NOISY, 1)  # many ties
    order = np.random.default_rng(1).permutation(200)
    assert _values(LABELS, p_fake) == pytest.approx(_values(LABELS[order], p_fake[order]))


def test_photos_that_could_not_be_read_are_counted_and_not_scored():
    predictions = _predictions(LABELS, NOISY)
    broken = predictions.head(3).assign(p_fake=np.nan, verdict=None, group="broken")
    result = evaluate(pd.concat([predictions, broken]))
    assert result["photos"] == {"real": 100, "fake": 100, "failed": 3}
    assert result["metrics"] == evaluate(predictions)["metrics"]


# --- calibration error ---


def test_fewer_photos_than_bins_have_a_calibration_error():
    assert _values([0, 1], [0.2, 0.7])["calibration_error"] == pytest.approx(0.25)


# --- intervals ---


@pytest.mark.parametrize(
    "p_fake", [NOISY, LABELS, 1 - LABELS, np.full(200, 0.5), np.round(NOISY, 1)]
)
def test_every_interval_contains_its_value(p_fake):
    for name, metric in evaluate(_predictions(LABELS, p_fake))["metrics"].items():
        assert metric["low"] <= metric["value"] <= metric["high"], name
        assert 0 <= metric["low"] and metric["high"] <= 1, name


def test_the_interval_of_a_calibrated_detector_contains_its_calibration_error():
    rng = np.random.default_rng(0)
    p_fake = rng.random(200)
    labels = (rng.random(200) < p_fake).astype(int)
    found = evaluate(_predictions(labels, p_fake))["metrics"]["calibration_error"]
    assert found["low"] <= found["value"] <= found["high"]


def test_four_times_the_photos_halve_the_interval():
    few = slice(0, None, 8)
    ratio = _width(_predictions(LABELS[few], NOISY[few])) / _width(
        _predictions(np.tile(LABELS[few], 4), np.tile(NOISY[few], 4))
    )
    assert ratio == pytest.approx(2, rel=0.2)


def test_copies_of_one_person_do_not_narrow_the_interval():
    few = slice(0, None, 8)
    labels, p_fake = np.tile(LABELS[few], 4), np.tile(NOISY[few], 4)
    person = np.tile(np.arange(25), 4)
    alone = _width(_predictions(LABELS[few], NOISY[few]))
    assert _width(_predictions(labels, p_fake, group=person)) == pytest.approx(alone, rel=0.15)


def test_one_big_group_makes_the_interval_wider_than_single_photos_would():
    big = np.where(LABELS == 0, np.arange(200) // 50, np.arange(200))
    # The groups differ: two real people always raise an alarm, two never do.
    p_fake = np.where(LABELS == 0, np.where(big % 2 == 0, 0.9, 0.1), NOISY)
    wide = _width(_predictions(LABELS, p_fake, group=big), "false_alarm_rate")
    assert wide > 3 * _width(_predictions(LABELS, p_fake), "false_alarm_rate")


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others():
    predictions = _predictions(LABELS, NOISY)
    assert evaluate(predictions, seed=1) == evaluate(predictions, seed=1)
    assert evaluate(predictions, seed=1) != evaluate(predictions, seed=2)


def test_metrics_can_be_written_as_json():
    result = evaluate(_predictions(LABELS, NOISY))
    assert json.loads(json.dumps(result)) == result


# --- tables ---


def test_the_table_by_source_counts_right_verdicts_per_source():
    table = evaluation.by_source(
        _predictions(
            [0, 0, 1, 1, 1, 1], [0.1, 0.9, 0.9, 0.9, 0.9, 0.2], source=["a", "a", *"bbb", "c"]
        )
    ).set_index(["label", "source"])
    assert table.loc[("real", "a"), ["photos", "correct"]].tolist() == [2, 0.5]
    assert table.loc[("fake", "b"), ["photos", "correct"]].tolist() == [3, 1.0]
    assert table.loc[("fake", "c"), ["photos", "correct"]].tolist() == [1, 0.0]
    assert (table["low"] <= table["correct"]).all() and (table["correct"] <= table["high"]).all()


def test_the_worst_mistakes_are_the_surest_wrong_verdicts():
    worst = evaluation.worst_mistakes(
        _predictions([0, 0, 0, 1, 1], [0.6, 0.99, 0.1, 0.05, 0.9]), count=2
    )
    assert list(worst["p_fake"]) == [0.99, 0.05]


def test_a_detector_without_mistakes_has_no_worst_ones():
    assert evaluation.worst_mistakes(_predictions(LABELS, LABELS)).empty


def test_the_long_table_has_a_row_per_detector_and_metric():
    result = evaluate(_predictions(LABELS, NOISY))
    table = evaluation.metrics_table({"a": result, "b": result})
    assert list(table.columns) == ["detector", "metric", "value", "low", "high"]
    assert len(table) == 2 * len(REPORTED)


def test_runs_are_compared_by_the_metrics_that_they_recorded(run_folder):
    table = evaluation.compare_runs(["tiny"], out_dir=run_folder.parents[1])
    recorded = json.loads((run_folder / "metrics.json").read_text())["test"]["metrics"]["roc_auc"]
    expected = f"{recorded['value']:.3f} [{recorded['low']:.3f}, {recorded['high']:.3f}]"
    assert table.loc["tiny", "roc_auc"] == expected


# --- robustness ---


class _SharpnessDetector:
    """Calls a photo fake where it has fine detail: blur must fool it."""

    name = "sharpness"

    def predict_many(self, manifest, change, cluster=None):
        photos = np.stack([change(images.read_image(path)) for path in manifest["path"]])
        grey = photos.astype(float).mean(axis=-1)
        detail = np.abs(np.diff(grey, axis=2)).mean(axis=(1, 2))
        p_fake = 1 / (1 + np.exp(10 - detail))
        return manifest.assign(p_fake=p_fake, verdict=np.where(p_fake >= 0.5, "FAKE", "REAL"))


def test_robustness_degrades_the_photos_and_evaluates_again(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(12):
        label = ("real", "fake")[i % 2]
        noise = 60 if label == "fake" else 4
        pixels = np.clip(128 + rng.normal(0, noise, (32, 32, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
        rows.append({"path": str(tmp_path / f"{i}.png"), "label": label, "source": label})
    manifest = pd.DataFrame(rows).assign(group=range(12))
    table = evaluation.robustness(
        _SharpnessDetector(), manifest, degradations=(("none", 0), ("blur", 4))
    )
    assert list(table["kind"]) == ["none", "blur"]
    assert list(table["balanced_accuracy"]) == [1.0, 0.5]
