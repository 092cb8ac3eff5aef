"""From raw scores to probabilities: what comes back is right, finite, and honest about noise."""

import numpy as np
import pytest

from deepfake_lab.detection.prior import at_prior
from deepfake_lab.errors import UserError
from deepfake_lab.training.calibration import CONFIDENCE, MAX_ERROR, fit_calibration, fit_sharpness


def _scores(count: int, distance: float = 4.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a calibrated detector: two normal distributions `distance` apart."""
    labels = np.arange(count) % 2
    noise = np.random.default_rng(seed).normal(0, distance**0.5, count)
    return noise + distance * (labels - 0.5), labels.astype(np.float32)


def _probability(fitted: dict, logits: np.ndarray) -> np.ndarray:
    calibration = fitted["calibration"]
    even = 1 / (1 + np.exp(-(logits / calibration["temperature"] + calibration["bias"])))
    return at_prior(even, 0.5, fitted["prior"])


@pytest.mark.parametrize("scale", [0.01, 0.5, 1.0, 3.0, 100.0])
def test_the_temperature_recovers_a_known_scaling(scale):
    logits, labels = _scores(20_000)
    fitted = fit_calibration(logits * scale, labels)
    assert fitted["calibration"]["temperature"] == pytest.approx(scale, rel=0.1)
    assert fitted["calibration"]["bias"] == pytest.approx(0, abs=0.1)


def test_a_known_shift_is_taken_back():
    logits, labels = _scores(20_000)
    assert fit_calibration(logits + 7, labels)["calibration"]["bias"] == pytest.approx(-7, rel=0.1)


def test_the_scale_of_the_logits_does_not_change_the_probabilities():
    logits, labels = _scores(60)
    small, large = (
        _probability(fit_calibration(logits * k, labels), logits * k) for k in (0.02, 50)
    )
    np.testing.assert_allclose(small, large, atol=1e-4)


def test_both_labels_count_alike_however_many_there_are():
    logits, labels = _scores(20_000)
    keep = (labels == 0) | (np.random.default_rng(1).random(20_000) < 0.1)
    fitted = fit_calibration(logits[keep], labels[keep])
    assert fitted["calibration"]["bias"] == pytest.approx(0, abs=0.15)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_photos_told_apart_without_an_error_give_a_finite_temperature(scale):
    labels = np.repeat([0, 1], 30).astype(np.float32)
    logits = (labels - 0.5) * scale
    fitted = fit_calibration(logits, labels)
    p_fake = _probability(fitted, logits)
    assert 0 < fitted["calibration"]["temperature"] < np.inf
    assert (p_fake[labels == 1] > 0.9).all() and (p_fake < 1).all()


def test_nothing_is_uncertain_where_nothing_is_wrong():
    labels = np.repeat([0, 1], 30)
    assert fit_calibration(labels - 0.5, labels)["uncertain_band"] == [0.5, 0.5]


@pytest.mark.parametrize("distance", [0.5, 1.0, 2.0, 4.0, 9.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_outside_the_band_few_validation_verdicts_are_wrong(distance, seed):
    logits, labels = _scores(200, distance, seed)
    fitted = fit_calibration(logits, labels)
    low, high = fitted["uncertain_band"]
    p_fake = _probability(fitted, logits)
    outside = ~((low < p_fake) & (p_fake < high))
    wrong = (p_fake >= 0.5) != (labels == 1)
    assert not outside.any() or wrong[outside].mean() <= MAX_ERROR + 1e-9


def test_the_band_is_no_wider_than_it_must_be():
    logits, labels = _scores(2000)
    fitted = fit_calibration(logits, labels)
    low, high = fitted["uncertain_band"]
    p_fake = _probability(fitted, logits)
    wrong = (p_fake >= 0.5) != (labels == 1)
    narrower = np.abs(p_fake - 0.5) >= (high - low) / 2 * 0.9
    assert wrong[narrower].mean() > MAX_ERROR


@pytest.mark.parametrize("center", [0.0, 7.0, -200.0])
def test_inverted_scores_become_one_half_and_all_uncertain(center):
    logits, labels = _scores(400)
    keep = (labels == 0) | (np.arange(400) < 80)  # many real photos, few fake ones
    logits, labels = logits[keep], labels[keep]
    fitted = fit_calibration(center - logits, labels)
    p_fake = _probability(fitted, center - logits)
    low, high = fitted["uncertain_band"]
    np.testing.assert_allclose(p_fake, 0.5, atol=0.01)
    assert np.mean((low < p_fake) & (p_fake < high)) > 0.98


def test_a_model_that_always_says_the_same_is_uncertain():
    fitted = fit_calibration(np.full(60, 3.0, np.float32), np.arange(60) % 2)
    np.testing.assert_allclose(_probability(fitted, np.float32(3)), 0.5)
    assert fitted["uncertain_band"] == [0.0, 1.0]


def test_scores_that_are_no_numbers_are_refused():
    with pytest.raises(UserError, match="smaller learning rate"):
        fit_calibration(np.array([np.nan, 1.0]), np.array([0, 1]))


def test_one_label_alone_cannot_be_calibrated():
    with pytest.raises(UserError, match="real and fake photos"):
        fit_calibration(np.array([0.5, 1.0]), np.array([1, 1]))


# --- the prior ---


def _false_alarms(photos: int, seed: int) -> float:
    """Fit a prior with so many photos of a hard source; return that source's true rate."""
    rng = np.random.default_rng(seed)
    sources = np.repeat(["easy", "hard", "fakes"], (500, photos, 500))
    labels = (sources == "fakes").astype(int)
    means = {"easy": -2.0, "hard": -0.5, "fakes": 2.0}
    logits = rng.normal([means[source] for source in sources], 1.0)
    fitted = fit_calibration(logits, labels, sources, max_false_alarms=0.1)
    unseen = rng.normal(means["hard"], 1.0, 20_000)
    return (_probability(fitted, unseen) >= 0.5).mean()


@pytest.mark.parametrize("photos", [53, 76])
def test_new_photos_of_the_hardest_source_are_seldom_called_fake_more_often_than_allowed(photos):
    rates = np.array([_false_alarms(photos, seed) for seed in range(200)])
    assert (rates > 0.1).mean() <= 1 - CONFIDENCE + 0.05


def test_the_margin_shrinks_with_the_photos_of_a_source():
    few, many = (np.mean([_false_alarms(n, seed) for seed in range(20)]) for n in (53, 4000))
    assert few < 0.07 < 0.085 < many < 0.1


def test_a_source_of_too_few_photos_to_show_anything_gets_no_false_alarm():
    logits = np.array([-3.0, -2.0, 1.0, 2.0, 3.0, 0.5])
    labels = np.array([0, 0, 0, 1, 1, 1])
    fitted = fit_calibration(logits, labels, np.repeat("some", 6), max_false_alarms=0.1)
    called_fake = _probability(fitted, logits) >= 0.5
    assert called_fake.tolist() == [False, False, False, True, True, False]
    assert "false_alarms" not in fitted


def test_where_real_photos_score_one_nothing_is_promised():
    logits = np.r_[np.full(170, -50.0), np.full(230, 50.0)]
    labels = np.repeat([0, 1], 200)  # 30 of 200 real photos score as every fake does
    sources = np.repeat(["camera", "fakes"], 200)
    fitted = fit_calibration(logits, labels, sources, max_false_alarms=0.1)
    kept = (_probability(fitted, logits[:200]) >= 0.5).mean() <= 0.1
    assert kept or "false_alarms" not in fitted


def test_sources_of_too_few_photos_are_judged_together():
    # Of forty photos one may be called fake; of four of them alone none might.
    logits = np.append(np.append(np.full(39, -3.0), 2.0), np.full(40, 3.0))
    labels = np.repeat([0, 1], 40)
    sources = np.append(np.repeat([f"small {i}" for i in range(10)], 4), np.repeat("fakes", 40))
    fitted = fit_calibration(logits, labels, sources, max_false_alarms=0.1)
    assert (_probability(fitted, logits[:40]) >= 0.5).sum() == 1
    assert fitted["false_alarms"] == {"at_most": 0.1, "confidence": CONFIDENCE}


def test_the_worst_photo_of_a_small_source_does_not_decide_for_all():
    # 51 photos, two of them called fake: alone only one might be, of 51 + 35 four may.
    logits = np.r_[2.0, 2.0, np.full(484, -3.0), np.full(40, 3.0)]
    sources = np.repeat(("51", "35", "large", "fakes"), (51, 35, 400, 40))
    labels = (sources == "fakes").astype(int)
    fitted = fit_calibration(logits, labels, sources, max_false_alarms=0.1)
    assert _probability(fitted, np.float64(2.0)) >= 0.5
    assert "false_alarms" in fitted


def test_the_third_worst_photo_of_a_source_of_52_decides_if_no_source_is_worse():
    logits = np.r_[2.5, 2.0, 1.0, np.full(449, -3.0), np.full(40, 3.0)]
    sources = np.repeat(("52", "large", "fakes"), (52, 400, 40))
    labels = (sources == "fakes").astype(int)
    fitted = fit_calibration(logits, labels, sources, max_false_alarms=0.1)
    called_fake = _probability(fitted, logits[:452]) >= 0.5
    assert called_fake.nonzero()[0].tolist() == [0, 1]


def test_small_sources_that_are_too_few_even_together_count_with_the_next_larger_one():
    # Seven photos of two sources, one of them called fake; 33 and 60 of two others, none.
    logits = np.r_[-3.0, -3.0, 2.0, np.full(4, -3.0), np.full(93, -3.0), np.full(40, 3.0)]
    names = ("three", "four", "next", "large", "fakes")
    sources = np.repeat(names, (3, 4, 33, 60, 40))
    labels = (sources == "fakes").astype(int)
    fitted = fit_calibration(logits, labels, sources, max_false_alarms=0.1)
    assert (_probability(fitted, logits[:100]) >= 0.5).sum() == 1  # one of forty
    assert "false_alarms" in fitted


@pytest.mark.parametrize(("photos", "promised"), [(21, False), (22, True)])
def test_a_limit_is_promised_where_there_are_photos_enough_to_show_it(photos, promised):
    logits = np.append(np.linspace(-3, -1, photos), [2.0, 3.0])
    labels = np.append(np.zeros(photos), [1, 1])
    sources = np.array(["some"] * (photos + 2))
    fitted = fit_calibration(logits, labels, sources, max_false_alarms=0.1)
    expected = {"at_most": 0.1, "confidence": CONFIDENCE} if promised else None
    assert fitted.get("false_alarms") == expected


def test_without_a_limit_the_prior_is_one_half():
    logits, labels = _scores(200)
    fitted = fit_calibration(logits, labels)
    assert fitted["prior"] == 0.5 and "false_alarms" not in fitted


# --- scores by sharpness ---


def _by_sharpness(count: int = 4000) -> tuple[np.ndarray, ...]:
    """Scores of two sources of real photos whose spread grows with sharpness, and of fakes."""
    rng = np.random.default_rng(0)
    sharpness = rng.uniform(0, 3, count)
    logits = -1 + rng.normal(0, 1, count) * (0.5 + sharpness)
    labels = (np.arange(count) % 4 == 0).astype(int)
    sources = np.where(sharpness < 1, "soft", "sharp")
    return logits + 9 * labels, sharpness, labels, sources


def test_the_spread_of_real_photos_is_found_at_any_sharpness():
    logits, sharpness, labels, sources = _by_sharpness()
    found = fit_sharpness(logits, sharpness, labels, sources, max_false_alarms=0.07)
    assert found["center"] == pytest.approx(-1, abs=0.1)
    spread = found["spread"] + found["slope"] * sharpness.clip(*found["sharpness"])
    above = logits - found["center"] > spread
    for low in (0, 1, 2):
        chosen = (labels == 0) & (low <= sharpness) & (sharpness < low + 1)
        assert above[chosen].mean() == pytest.approx(0.07, abs=0.025)


def test_a_source_of_real_photos_weighs_as_much_as_the_root_of_its_photos():
    rng = np.random.default_rng(1)
    sources = np.repeat(["many", "few"], (1600, 100))
    sharpness = rng.uniform(0, 3, 1700)
    logits = rng.normal(0, 1, 1700) * (0.5 + sharpness) + 3 * (sources == "few")
    found = fit_sharpness(logits, sharpness, np.zeros(1700), sources, 0.07)
    # 40 against 10 for 16 times as many photos: as if each of the few had been there four times.
    rows = np.repeat(np.arange(1700), np.where(sources == "few", 4, 1))
    same = fit_sharpness(
        logits[rows], sharpness[rows], np.zeros(len(rows)), np.full(len(rows), "all"), 0.07
    )
    assert found["center"] == same["center"]
    for name in ("spread", "slope"):
        assert found[name] == pytest.approx(same[name], rel=0.02)
    each = fit_sharpness(logits, sharpness, np.zeros(1700), np.full(1700, "all"), 0.07)
    assert abs(each["spread"] - found["spread"]) > 0.1  # it matters here


def test_a_spread_that_would_be_negative_does_not_depend_on_sharpness():
    logits, sharpness, labels, sources = _by_sharpness()
    always = fit_sharpness(np.zeros_like(logits), sharpness, labels, sources, 0.07)
    assert always["slope"] == 0 and always["spread"] > 0
