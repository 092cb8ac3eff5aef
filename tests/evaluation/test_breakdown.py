"""Tables by family, source, coverage and subgroup, on answers that are known beforehand."""

import numpy as np
import pandas as pd
import pytest

from deepfake_lab.data import sources
from deepfake_lab.evaluation import breakdown, subgroups, views
from deepfake_lab.evaluation.failures import known_failures

RNG = np.random.default_rng(0)


def _answers(label, source, p_fake, family=None, data="set", band=(0.4, 0.6), **columns):
    p_fake = np.asarray(p_fake, float)
    frame = pd.DataFrame({
        "label": label, "source": source, "p_fake": p_fake, "data": data,
        "family": family or ("photo" if label == "real" else source),
        "verdict": np.where(p_fake >= 0.5, "FAKE", "REAL"),
        "confidence": np.maximum(p_fake, 1 - p_fake),
        "uncertain": (p_fake > band[0]) & (p_fake < band[1]), "face_found": True,
        "file": [f"{data}/{label}/{source}_{i}.jpg" for i in range(len(p_fake))],
    })  # fmt: skip
    return frame.assign(group=frame["file"]).assign(**columns)


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    """200 real photos of two cameras; one kind of fake that is found, one that is not."""
    return pd.concat([
        _answers("real", "phone", RNG.uniform(0, 0.3, 150)),
        _answers("real", "webcam", np.r_[np.full(20, 0.9), np.full(30, 0.1)]),
        _answers("fake", "generator", RNG.uniform(0.95, 1, 60), "gan"),
        _answers("fake", "forger", RNG.uniform(0, 0.3, 40), "edit"),
    ])  # fmt: skip


def test_each_family_stands_against_all_real_photos(predictions):
    table = breakdown.family_table(predictions).set_index("family")
    assert table.loc[["gan", "edit"], "real"].tolist() == [200, 200]
    assert table.loc[["gan", "edit", "all"], "fake"].tolist() == [60, 40, 100]
    assert table.loc["gan", "roc_auc"] == 1.0 and table.loc["edit", "roc_auc"] < 0.5


def test_macro_is_the_mean_over_families_and_all_is_every_fake_at_once(predictions):
    table = breakdown.family_table(predictions).set_index("family")
    for metric in breakdown.FAMILY_METRICS:
        mean = table.loc[["gan", "edit"], metric].mean()
        assert table.loc["macro", metric] == pytest.approx(mean)
    assert table.loc["all", "roc_auc"] == pytest.approx(
        0.6 * table.loc["gan", "roc_auc"] + 0.4 * table.loc["edit", "roc_auc"]
    )


def test_every_interval_of_a_table_contains_its_value(predictions):
    for table in (
        breakdown.family_table(predictions),
        breakdown.source_table(predictions),
        breakdown.coverage_table(predictions),
        breakdown.reliability_table(predictions),
    ):
        for column in (name.removesuffix("_low") for name in table if name.endswith("_low")):
            rows = table[table[column].notna()]
            assert (rows[f"{column}_low"] <= rows[column] + 1e-9).all(), column
            assert (rows[column] <= rows[f"{column}_high"] + 1e-9).all(), column


def test_false_alarms_and_misses_are_counted_per_source(predictions):
    table = breakdown.source_table(predictions).set_index("source")
    expected = {"phone": 0.0, "webcam": 0.4, "generator": 0.0, "forger": 1.0}
    assert table["wrong"].to_dict() == expected
    assert table["photos"].to_dict() == {"phone": 150, "webcam": 50, "generator": 60, "forger": 40}


def test_the_fakes_of_each_source_stand_against_the_photos_of_each(predictions):
    few = _answers("fake", "rare", np.full(breakdown.ENOUGH_FOR_A_PAIR - 1, 0.9), "gan")
    table = breakdown.cross_source_table(pd.concat([predictions, few]))
    pairs = table.set_index(["fake_source", "real_source"])["roc_auc"]
    assert set(pairs.index) == {(fake, real) for fake in ("generator", "forger")
                                for real in ("phone", "webcam")}  # fmt: skip
    assert pairs["generator", "phone"] == pairs["generator", "webcam"] == 1.0
    # Twenty of the webcam's fifty photos lie above all of the forger's, some others below.
    scores = predictions[predictions["source"] == "forger"]["p_fake"]
    assert pairs["forger", "webcam"] == pytest.approx((scores > 0.1).mean() * 0.6)
    shown = views.view("cross_source", table)
    assert shown["that is"].tolist() == ["webcam", "phone"]
    assert shown["sources of real photos"].tolist() == ["2", "2"]


def test_photos_of_one_label_cross_nothing(predictions):
    assert breakdown.cross_source_table(predictions[predictions["label"] == "real"]).empty


def test_few_real_photos_cannot_tell_of_one_percent_false_alarms(predictions):
    rows = predictions[predictions["source"] != "phone"]  # fifty real photos are left
    assert breakdown.family_table(rows)["tpr_at_1_fpr"].isna().all()
    assert breakdown.family_table(predictions)["tpr_at_1_fpr"].notna().all()
    fewer = predictions[predictions["source"] != "webcam"]  # 150: enough for 1%, not for 0.5%
    assert breakdown.family_table(fewer)["tpr_at_1_fpr"].notna().all()
    assert breakdown.family_table(fewer)["tpr_at_0_5_fpr"].isna().all()


def test_downloads_are_described_as_what_they_hold():
    known = sources.describe("hardfakevsrealfaces", "fake")
    assert (known.name, known.family) == ("hardfakevsrealfaces", "gan")
    assert "StyleGAN2" in known.what and sources.describe("mine", "fake").family == "mine"


def test_where_nothing_names_a_source_its_label_does():
    scores = RNG.uniform(0, 1, 50)
    rows = pd.concat([_answers("fake", "fake", scores), _answers("real", "real", scores / 2)])
    table = breakdown.family_table(rows.drop(columns=["data", "family"], errors="ignore"))
    assert table["family"].tolist() == ["fake", "all"]


def test_one_source_with_both_labels_is_measured_against_itself():
    rows = pd.concat([
        _answers("real", "clips", RNG.uniform(0.6, 0.7, 30)),
        _answers("fake", "clips", RNG.uniform(0.8, 0.9, 30), "swap"),
        _answers("real", "easy", np.zeros(30)),
    ])  # fmt: skip
    table = breakdown.same_source_table(rows)
    assert table["source"].tolist() == ["clips"] and table["real"].tolist() == [30]
    assert table["balanced_accuracy"].tolist() == [0.5] and table["roc_auc"].tolist() == [1.0]


def test_two_data_sets_stand_side_by_side_and_together(predictions):
    both = pd.concat([predictions, predictions.assign(data="other")])
    table = breakdown.family_table(both)
    assert table["data"].unique().tolist() == ["set", "other", "all"]
    assert (table[table["data"] == "all"].set_index("family")["real"] == 400).all()


def test_real_photos_alone_have_false_alarms_and_nothing_else(predictions):
    rows = predictions[predictions["label"] == "real"]
    assert breakdown.family_table(rows).empty and breakdown.same_source_table(rows).empty
    table = breakdown.source_table(rows)
    assert table["wrong"].tolist() == [0.0, 0.4] and "roc_auc" not in table
    shipped = breakdown.coverage_table(rows).query("shipped")
    assert np.isnan(shipped["misses"].item()) and shipped["false_alarms"].item() == 0.1


def test_a_frame_without_data_and_family_is_one_data_set(predictions):
    rows = predictions.drop(columns=["data", "family"])
    table = breakdown.family_table(rows)
    assert set(table["data"]) == {"all"}
    assert set(table["family"]) == {"generator", "forger", "macro", "all"}


# --- coverage and reliability ---


def test_the_shipped_point_counts_the_answers_outside_the_band():
    rows = pd.concat([
        _answers("real", "a", [0.1, 0.1, 0.1, 0.45, 0.7]), _answers("fake", "b", [0.9, 0.9, 0.55])
    ])  # fmt: skip
    shipped = breakdown.coverage_table(rows).query("shipped").iloc[0]
    assert shipped["coverage"] == 6 / 8 and shipped["error"] == 1 / 6
    assert shipped["false_alarms"] == 1 / 4 and shipped["misses"] == 0


def test_the_curve_answers_the_surest_first_and_ends_with_all(predictions):
    curve = breakdown.coverage_table(predictions).query("not shipped")
    assert curve["coverage"].is_monotonic_increasing and curve["coverage"].iloc[-1] == 1
    wrong = predictions["verdict"].str.lower() != predictions["label"]
    assert curve["error"].iloc[-1] == pytest.approx(wrong.mean())


def test_the_frames_of_one_video_make_no_bin_surer(predictions):
    width = {}
    for name, group in {"apart": predictions["file"], "together": "one"}.items():
        table = breakdown.reliability_table(predictions.assign(group=group), bins=1)
        width[name] = (table["share_high"] - table["share_low"]).iloc[0]
    assert width["together"] > 2 * width["apart"]


def test_reliability_has_every_photo_in_one_bin(predictions):
    table = breakdown.reliability_table(predictions)
    assert table["photos"].sum() == len(predictions) and len(table) == 10
    mean = (table["share"] * table["photos"]).sum() / len(predictions)
    assert mean == pytest.approx((predictions["label"] == "fake").mean())


# --- subgroups and sources ---


@pytest.mark.parametrize(
    ("source", "label", "stem", "told"),
    [
        ("utkface", "real", "9_1_4_20170103213057382.jpg.chip",
         {"age": "0 to 12", "gender": "female", "ethnicity": "other"}),
        ("utkface", "real", "61_0_20170109150557335.jpg.chip", {}),  # a name that lacks a part
        ("ciplab", "fake", "test_easy_119_0011",
         {"difficulty": "easy", "parts replaced": "2", "left eye replaced": "no",
          "right eye replaced": "no", "nose replaced": "yes", "mouth replaced": "yes"}),
        ("ciplab", "fake", "train_mid_7_111", {}),
        ("generated_photos", "fake", "female__asian__0b1c", {"gender": "female",
                                                             "ethnicity": "asian"}),
        ("sfhq_t2i", "fake", "FLUX1_schnell_0000328", {"generator": "FLUX.1 schnell"}),
    ],
)  # fmt: skip
def test_a_file_name_tells_what_its_makers_wrote_into_it_and_no_more(source, label, stem, told):
    assert subgroups.READERS[source, label](stem) == told


def test_errors_are_counted_by_subgroup():
    names = ["30_0_0_20170101", "35_0_0_20170101", "70_1_1_20170101", "71_1_1_20170101"]
    rows = _answers("real", "utkface", [0.1, 0.9, 0.9, 0.9])
    rows["file"] = [f"utkface/real/{name}.jpg.chip.jpg" for name in names]
    table = subgroups.subgroup_table(rows).set_index(["attribute", "subgroup"])
    assert table.loc[("age", "20 to 39"), "wrong"] == 0.5
    assert table.loc[("gender", "female"), "wrong"] == 1.0
    assert (table["overall"] == 0.75).all()


def test_where_the_file_name_tells_nothing_the_group_may():
    rows = _answers("real", "aaf", [0.9, 0.1, 0.1])
    rows["group"] = ["more/aaf:00001A02", "more/aaf:00007A08", "more/aaf:00009A61"]
    table = subgroups.subgroup_table(rows).set_index("subgroup")
    assert table["photos"].to_dict() == {"0 to 12": 2, "60 and over": 1}
    assert table["wrong"].to_dict() == {"0 to 12": 0.5, "60 and over": 0.0}


def test_errors_are_counted_by_the_size_of_the_photo():
    rows = _answers("real", "ytf", [0.9, 0.1, 0.1]).assign(width=[90, 300, 500])
    table = subgroups.subgroup_table(rows.assign(height=[400, 250, 400])).set_index("subgroup")
    assert table["wrong"].to_dict() == {"0 to 99 px": 1, "200 to 399 px": 0, "400 px and more": 0}
    assert subgroups.subgroup_table(rows.assign(width=90, height=90)).empty


def test_sources_whose_names_tell_nothing_have_no_subgroups(predictions):
    assert subgroups.subgroup_table(predictions).empty


def test_every_source_with_subgroups_says_what_they_mean():
    assert {name for name, _ in subgroups.READERS} == set(subgroups.MEANING)


def test_a_set_without_sources_gets_its_own_name_and_what_is_known_of_it():
    manifest = pd.DataFrame({"label": ["real", "fake"], "source": ["real", "fake"]})
    rows = sources.with_origin(manifest, "140k")
    assert rows["source"].tolist() == ["140k", "140k"] and rows["family"].tolist() == [
        "photo",
        "gan",
    ]
    rows = sources.with_origin(manifest, "mine")
    assert rows["family"].tolist() == ["photo", "mine"]
    assert sources.describe("mine", "real").terms == sources.UNKNOWN


def test_the_family_of_the_manifest_is_kept():
    manifest = pd.DataFrame({"label": ["fake", "fake"], "source": "dfdc", "family": ["x", None]})
    assert sources.with_origin(manifest, "set")["family"].tolist() == ["x", "swap"]


# --- known failures ---


def test_the_worst_rows_are_named_with_their_numbers(predictions):
    tables = {
        "families": breakdown.family_table(predictions),
        "sources": breakdown.source_table(predictions),
    }
    found = "\n".join(known_failures(tables))
    assert "kind edit (set): no better than a coin" in found
    assert "forger (set, edit): 100.0%" in found and "webcam (set, photo): 40.0%" in found
    assert "phone" not in found and "generator" not in found


def test_a_detector_without_failures_still_names_its_hardest_kind():
    rows = pd.concat([_answers("real", "a", np.zeros(50)), _answers("fake", "b", np.ones(50))])
    (line,) = known_failures({"families": breakdown.family_table(rows),
                              "sources": breakdown.source_table(rows)})  # fmt: skip
    assert line.startswith("The hardest kind of fake is b")
