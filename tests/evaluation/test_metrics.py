"""Every metric against the same from scikit-learn, or worked out by hand."""

import numpy as np
import pytest
from sklearn import metrics as sk

from deepfake_lab.evaluation import metrics
from deepfake_lab.evaluation.metrics import METRICS, Scores, measure

RNG = np.random.default_rng(0)


def _value(name: str, labels, p_fake, weights=None, balanced=False) -> float:
    p_fake = np.asarray(p_fake, float)
    scores = Scores.of(np.asarray(labels) == 1, p_fake, p_fake >= 0.5)
    weights = None if weights is None else np.asarray(weights, float)[None]
    return float(measure(scores.count(weights, balanced), (name,))[0, 0])


def _cases(count: int = 200):
    """Yield labels and scores, many of them with ties."""
    for _ in range(count):
        labels = RNG.permutation(np.arange(RNG.integers(2, 40)) % 2)
        yield labels, RNG.random(len(labels)).round(RNG.integers(4))


def test_the_areas_under_the_curves_are_those_of_scikit_learn():
    for labels, p_fake in _cases():
        assert _value("roc_auc", labels, p_fake) == pytest.approx(sk.roc_auc_score(labels, p_fake))
        expected = sk.average_precision_score(labels, p_fake)
        assert _value("average_precision", labels, p_fake) == pytest.approx(expected)


def test_the_brier_score_and_balanced_accuracy_are_those_of_scikit_learn():
    for labels, p_fake in _cases():
        expected = sk.brier_score_loss(labels, p_fake)
        assert _value("brier_score", labels, p_fake) == pytest.approx(expected)
        expected = sk.balanced_accuracy_score(labels, p_fake >= 0.5)
        assert _value("balanced_accuracy", labels, p_fake) == pytest.approx(expected)


def test_the_equal_error_rate_lies_where_the_roc_curve_crosses_the_diagonal():
    for labels, p_fake in _cases():
        alarms, found, _ = sk.roc_curve(labels, p_fake, drop_intermediate=False)
        grid = np.linspace(0, 1, 20_001)
        misses = 1 - np.interp(grid, alarms, found)
        crossing = grid[np.argmax(misses <= grid)]
        assert _value("equal_error_rate", labels, p_fake) == pytest.approx(crossing, abs=1e-3)


@pytest.mark.parametrize(
    ("labels", "p_fake", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9], 0.0),
        ([0, 0, 1, 1], [0.8, 0.9, 0.1, 0.2], 1.0),
        ([0, 0, 1, 1], [0.5, 0.5, 0.5, 0.5], 0.5),
        # One of four on each side is out of place.
        ([0, 0, 0, 0, 1, 1, 1, 1], [0.1, 0.2, 0.3, 0.9, 0.05, 0.6, 0.7, 0.8], 0.25),
    ],
)
def test_the_equal_error_rate_agrees_with_a_count_by_hand(labels, p_fake, expected):
    assert _value("equal_error_rate", labels, p_fake) == pytest.approx(expected)


def test_at_one_percent_false_alarms_one_real_photo_of_a_hundred_may_be_called_fake():
    labels = np.repeat([0, 1], 100)
    p_fake = np.concatenate([np.linspace(0, 0.5, 100), np.linspace(0.4, 0.6, 100)])
    p_fake[0], p_fake[1] = 0.9, 0.55  # the two real photos that look most fake
    # Only the first may lie above the threshold: fakes from above 0.55 on are found.
    assert _value("tpr_at_1_fpr", labels, p_fake) == pytest.approx((p_fake[100:] > 0.55).mean())


def test_at_half_a_percent_one_real_photo_of_two_hundred_may_be_called_fake():
    labels = np.repeat([0, 1], [200, 100])
    p_fake = np.concatenate([np.linspace(0, 0.5, 200), np.linspace(0.4, 0.6, 100)])
    p_fake[0], p_fake[1] = 0.9, 0.55
    found = (p_fake[200:] > 0.55).mean()
    assert _value("tpr_at_0_5_fpr", labels, p_fake) == pytest.approx(found)
    assert _value("tpr_at_1_fpr", labels, p_fake) > found  # two may be there


def test_a_photo_that_weighs_two_counts_like_two_photos():
    for labels, p_fake in _cases(50):
        weights = RNG.integers(0, 4, len(labels))
        weights[[np.argmax(labels == 0), np.argmax(labels == 1)]] = 1
        twice = np.repeat(np.arange(len(labels)), weights)
        for name in METRICS:
            assert _value(name, labels, p_fake, weights) == pytest.approx(
                _value(name, labels[twice], p_fake[twice])
            ), name


def test_with_both_labels_weighing_the_same_more_photos_of_one_change_nothing():
    labels = np.repeat([0, 1], [50, 50])
    p_fake = np.concatenate([RNG.beta(2, 5, 50), RNG.beta(5, 2, 50)])
    more = np.concatenate([np.repeat(np.arange(50), 7), np.arange(50, 100)])  # seven times the real
    for name in METRICS:
        once = _value(name, labels, p_fake, balanced=True)
        assert once == pytest.approx(_value(name, labels[more], p_fake[more], balanced=True)), name
        assert once == pytest.approx(_value(name, labels, p_fake)), name


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("balanced", [False, True])
def test_one_label_alone_has_no_metric(label, balanced):
    for name in METRICS:
        assert np.isnan(_value(name, [label] * 3, [0.2, 0.5, 0.9], balanced=balanced)), name


def test_many_weightings_at_once_give_what_each_gives_alone():
    labels, p_fake = np.arange(30) % 2, RNG.random(30).round(1)
    weights = RNG.integers(1, 4, (5, 30)).astype(float)
    scores = Scores.of(labels == 1, p_fake, p_fake >= 0.5)
    together = measure(scores.count(weights), tuple(METRICS))
    alone = [measure(scores.count(row[None]), tuple(METRICS))[0] for row in weights]
    np.testing.assert_allclose(together, alone)


# --- calibration error ---


def _calibration_error(p_fake: np.ndarray, truth: np.ndarray) -> float:
    labels = np.random.default_rng(0).random(len(truth)) < truth
    return _value("calibration_error", labels, p_fake)


def test_a_calibrated_detector_has_next_to_no_calibration_error():
    p_fake = np.random.default_rng(1).random(100_000)
    assert _calibration_error(p_fake, truth=p_fake) < 0.01


def test_an_overconfident_detector_has_the_error_that_it_claims_too_much():
    p_fake = np.repeat([0.05, 0.95], 50_000)
    error = _calibration_error(p_fake, truth=np.repeat([0.2, 0.8], 50_000))
    assert error == pytest.approx(0.15, abs=0.01)


def test_every_metric_has_a_title():
    assert set(metrics.TITLES) == set(METRICS)
