"""Figures show what the tables say."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from deepfake_lab.evaluation import breakdown, result_plots
from deepfake_lab.evaluation.degradations import degradation_table

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for data in ("one", "two"):
        for label, source, family, low in (
            ("real", "phone", "photo", 0.0),
            ("fake", "net", "gan", 0.4),
            ("fake", "cut", "swap", 0.1),
        ):
            p_fake = low + rng.uniform(0, 0.6, 40)
            rows.append(pd.DataFrame({
                "data": data, "label": label, "source": source, "family": family,
                "p_fake": p_fake, "verdict": np.where(p_fake >= 0.5, "FAKE", "REAL"),
                "confidence": np.maximum(p_fake, 1 - p_fake), "face_found": True,
                "uncertain": np.abs(p_fake - 0.5) < 0.1,
            }))  # fmt: skip
    frame = pd.concat(rows, ignore_index=True)
    return frame.assign(group=frame.index)


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def _marks(ax) -> np.ndarray:
    """Return the positions of all dots along the x axis."""
    return np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "o"])


def test_families_have_a_dot_each_and_none_for_all_at_once(predictions):
    table = breakdown.family_table(predictions)
    ax = result_plots.plot_families(table)
    named = table[(table["data"] != "all") & (table["family"] != "all")]
    assert sorted(_marks(ax)) == pytest.approx(sorted(named["roc_auc"]))
    assert ax.get_yticklabels()[0].get_text() == "one: gan"


def test_each_detector_has_dots_of_its_own(predictions):
    table = breakdown.family_table(predictions)
    both = pd.concat([table.assign(detector="a"), table.assign(detector="b")])
    ax = result_plots.plot_families(both)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]


def test_sources_have_a_bar_as_long_as_their_error(predictions):
    table = breakdown.source_table(predictions)
    ax = result_plots.plot_sources(table)
    lengths = [bar.get_width() for bar in ax.patches]
    assert sorted(lengths) == pytest.approx(sorted(table["wrong"]))


def test_the_coverage_curve_carries_the_detectors_own_point(predictions):
    table = breakdown.coverage_table(predictions)
    ax = result_plots.plot_coverage(table)
    assert sorted(_marks(ax)) == pytest.approx(sorted(table.query("shipped")["coverage"]))


def test_degradations_begin_with_the_photos_as_they_are(predictions):
    rows = predictions[predictions["data"] == "one"].reset_index(drop=True)
    answers = [("none", 0, rows), ("jpeg", 80, rows), ("jpeg", 30, rows), ("blur", 1, rows)]
    table = degradation_table(rows, answers, breakdown.family_parts(rows))
    ax = result_plots.plot_degradations(table, "jpeg")
    assert [text.get_text() for text in ax.get_xticklabels()] == ["as it is", "80", "30"]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["gan", "swap", "mean over kinds"]


def test_reliability_stays_between_zero_and_one(predictions):
    ax = result_plots.plot_reliability(breakdown.reliability_table(predictions))
    assert ax.get_xlim() == ax.get_ylim() == (-0.02, 1.02)


def test_a_figure_is_drawn_where_it_is_told(predictions):
    ax = plt.subplots()[1]
    assert result_plots.plot_sources(breakdown.source_table(predictions), ax) is ax
