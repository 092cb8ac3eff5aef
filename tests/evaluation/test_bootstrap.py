"""Intervals that mean what they say."""

import time

import numpy as np
import pandas as pd
import pytest

from deepfake_lab.evaluation import bootstrap
from deepfake_lab.evaluation.bootstrap import (
    mean_of,
    measure_parts,
    resamples,
    share_of,
    wilson_interval,
)


def _rows(count: int, groups=None, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    fake = np.arange(count) % 2 == 1
    p_fake = np.clip(fake * 0.3 + rng.uniform(0, 0.7, count), 0, 1)
    return pd.DataFrame({
        "label": np.where(fake, "fake", "real"), "p_fake": p_fake,
        "verdict": np.where(p_fake >= 0.5, "FAKE", "REAL"),
        "group": np.arange(count) if groups is None else groups,
    })  # fmt: skip


def test_a_resample_draws_whole_groups():
    groups = np.array(["a", "a", "b", "c", "c", "c"])
    for weights in resamples(groups, count=50):
        assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 3] == weights[:, 5]).all()
        drawn = weights[:, [0, 2, 3]]  # one photo of each group
        assert (drawn.sum(axis=1) == 3).all()


def test_so_many_resamples_are_drawn_as_asked_for_however_large_the_blocks(monkeypatch):
    whole = np.concatenate(list(resamples(np.arange(10), count=25)))
    monkeypatch.setattr(bootstrap, "_BLOCK", 30)
    parts = list(resamples(np.arange(10), count=25))
    assert len(parts) > 1 and whole.shape == np.concatenate(parts).shape == (25, 10)


def test_parts_are_measured_on_the_same_resamples():
    rows = _rows(100)
    everything = np.ones(100, bool)
    found = measure_parts(rows, {"one": everything, "two": everything}, ("roc_auc",))
    np.testing.assert_array_equal(found["one"].draws, found["two"].draws)


def test_the_mean_of_independent_parts_is_surer_than_each_of_them():
    rows = _rows(400)
    half = np.arange(400) < 200
    found = measure_parts(rows, {"one": half, "two": ~half}, ("roc_auc",))
    widths = [float(np.diff(part.interval(), axis=0)[0, 0]) for part in found.values()]
    low, high = mean_of(list(found.values())).interval()
    assert high[0] - low[0] == pytest.approx(np.mean(widths) / np.sqrt(2), rel=0.2)


def test_photos_of_one_group_alone_have_no_interval():
    rows = pd.DataFrame({
        "label": ["real", "fake"] * 4, "p_fake": np.linspace(0.1, 0.9, 8), "verdict": "FAKE",
        "group": "one",
    })  # fmt: skip
    whole = {"all": np.ones(8, bool)}
    measured = measure_parts(rows, whole, ("roc_auc",))["all"]
    assert np.isfinite(measured.values).all() and np.isnan(measured.interval()).all()
    apart = measure_parts(rows.assign(group=range(8)), whole, ("roc_auc",))["all"]
    assert np.isfinite(apart.interval()).all()


def test_a_part_without_one_label_has_no_interval():
    rows = _rows(20)
    found = measure_parts(rows, {"real": (rows["label"] == "real").to_numpy()}, ("roc_auc",))
    low, high = found["real"].interval()
    assert np.isnan(found["real"].values[0]) and np.isnan(low[0]) and np.isnan(high[0])


def test_a_thousand_resamples_of_three_thousand_photos_take_seconds():
    rows = _rows(3000)
    names = ("roc_auc", "average_precision", "equal_error_rate", "tpr_at_1_fpr")
    start = time.process_time()
    measure_parts(rows, {"all": np.ones(3000, bool)}, names)
    assert time.process_time() - start < 10  # under one where nothing else runs


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        # Known values, to three places: 8 of 10, 0 of 10, 10 of 10, 50 of 100.
        (8, 10, (0.490, 0.943)),
        (0, 10, (0.000, 0.278)),
        (10, 10, (0.722, 1.000)),
        (50, 100, (0.404, 0.596)),
    ],
)
def test_wilson_intervals_agree_with_known_values(successes, trials, expected):
    assert wilson_interval(successes, trials) == pytest.approx(expected, abs=5e-4)


def test_photos_of_one_group_count_once_in_the_interval_of_a_share():
    wrong = pd.Series([True, False] * 20)
    alone = share_of(wrong, pd.Series(range(40)))
    together = share_of(wrong, pd.Series(range(40)) // 10)
    assert alone["value"] == together["value"] == 0.5
    assert (together["low"], together["high"]) == pytest.approx(wilson_interval(2, 4))
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])


def test_a_share_of_no_photos_is_missing():
    assert np.isnan(list(share_of(pd.Series([], dtype=bool), pd.Series([])).values())).all()
