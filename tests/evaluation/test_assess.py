"""From data sets and a detector to tables, files, run folder and README."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.cli import main
from deepfake_lab.data.sources import SOURCES
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import appendix, assessment as assess, record, views
from deepfake_lab.evaluation.assessment import Assessment, check_out, gather
from deepfake_lab.evaluation.card import model_card, write_card

sys.path.insert(0, str(paths.project() / "tools"))
import readme_results

SAMPLE = paths.project() / "data" / "sample"


class _Bright:
    """Calls bright photos fake."""

    name = "bright"
    folder = Path("nowhere")
    prior, band = 0.5, (0.45, 0.55)

    def __init__(self):
        self.config = {
            "name": "bright", "architecture": "none", "image_size": 32, "framing": "whole",
            "calibration": {"temperature": 1.0, "bias": 0.5}, "prior": 0.5,
            "uncertain_band": [0.45, 0.55], "sha256": {"model.tflite": "0" * 64},
            "data": {"name": "sample", "fingerprint": "none"},
        }  # fmt: skip

    def predict_many(self, manifest: pd.DataFrame, change=None, cluster=None) -> pd.DataFrame:
        pixels = [np.asarray(Image.open(path).convert("RGB")) for path in manifest["path"]]
        p_fake = np.array([(change(p) if change else p).mean() / 255 for p in pixels])
        return manifest.assign(
            p_fake=p_fake, verdict=np.where(p_fake >= 0.5, "FAKE", "REAL"),
            confidence=np.maximum(p_fake, 1 - p_fake), face_found=True, error="", model="bright",
            uncertain=np.abs(p_fake - 0.5) < 0.05,
        )  # fmt: skip


def _photos(folder: Path, count: int, brightness: int) -> Path:
    folder.mkdir(parents=True)
    for i in range(count):
        shade = np.full((24, 24, 3), brightness + i, np.uint8)
        Image.fromarray(shade).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def found() -> Assessment:
    return assess.assess(_Bright(), "sample")


@pytest.fixture(scope="module")
def saved(found, tmp_path_factory) -> Path:
    """That assessment as files."""
    return found.save(tmp_path_factory.mktemp("saved") / "out")


@pytest.fixture
def two_sets(tmp_path) -> list[str]:
    """The sample, and a folder of real photos alone."""
    _photos(tmp_path / "camera" / "real", 6, 40)
    return ["sample", str(tmp_path / "camera")]


# --- reading ---


def test_only_the_wanted_split_is_asked_about():
    photos = gather("sample", "valid")
    assert set(photos.manifest["split"]) == {"valid"}
    assert photos.data[0]["real"] == photos.data[0]["fake"] == 38


def test_all_splits_can_be_taken_together():
    assert len(gather("sample", "all").manifest) == 394


def test_photos_drawn_from_all_splits_keep_their_own():
    rows = gather("sample", "all", max_photos=60).manifest
    whole = gather("sample", "all").manifest.set_index("file")["split"]
    assert len(rows) == 60 and rows["split"].nunique() == 3
    assert (rows["split"].to_numpy() == whole[rows["file"]].to_numpy()).all()


def test_one_photo_cannot_be_of_both_labels():
    with pytest.raises(UserError, match="photos of both labels"):
        gather("sample", max_photos=1)


def test_several_data_sets_are_joined_and_their_groups_stay_apart(two_sets):
    photos = gather(two_sets)
    assert photos.manifest["data"].unique().tolist() == ["sample", "camera"]
    groups = photos.manifest.groupby("data")["group"].unique()
    assert not set(groups["sample"]) & set(groups["camera"])


def test_two_folders_of_the_same_name_are_told_apart(tmp_path):
    for place in ("a", "b"):
        _photos(tmp_path / place / "camera" / "real", 2, 40)
    photos = gather([tmp_path / "a" / "camera", tmp_path / "b" / "camera"])
    assert [record["name"] for record in photos.data] == ["camera", "camera_2"]


def test_a_data_set_of_real_photos_alone_is_taken_whole_and_says_what_it_cannot_tell(two_sets):
    photos = gather(two_sets[1])
    assert photos.data[0] | {"fingerprint": ""} == {
        "name": "camera", "layout": "plain", "fingerprint": "", "real": 6, "fake": 0,
    }  # fmt: skip
    assert "neither AUC nor calibration" in " ".join(photos.notes)


def test_copies_of_a_photo_are_one_group_in_a_data_set_of_one_label_too(tmp_path):
    folder = tmp_path / "camera" / "real"
    folder.mkdir(parents=True)
    files = sorted((paths.project() / "data" / "sample" / "real").glob("*.jpg"))[:4]
    for number, file in enumerate([*files, files[0]]):
        (folder / f"{number}.jpg").write_bytes(file.read_bytes())
    rows = gather(tmp_path / "camera").manifest
    assert len(rows) == 5 and rows["group"].nunique() == 4


def test_rows_without_a_split_are_told_of_in_a_data_set_of_one_label_too(tmp_path):
    _photos(tmp_path / "cam" / "real", 6, 40)
    names = sorted(file.relative_to(tmp_path / "cam") for file in (tmp_path / "cam").rglob("*.*"))
    lines = [f"{name},real,{'test' if i < 4 else ''}" for i, name in enumerate(names)]
    (tmp_path / "cam" / "manifest.csv").write_text("path,label,split\n" + "\n".join(lines))
    photos = gather(tmp_path / "cam")
    assert len(photos.manifest) == 4
    assert "2 images without a split were put into train" in " ".join(photos.notes)


def test_a_photo_of_two_data_sets_is_one_group(tmp_path):
    files = sorted((paths.project() / "data" / "sample" / "real").glob("*.jpg"))[:4]
    for place, chosen in (("a", files[:3]), ("b", files[2:])):
        (tmp_path / place / "real").mkdir(parents=True)
        for file in chosen:
            (tmp_path / place / "real" / file.name).write_bytes(file.read_bytes())
    photos = gather([tmp_path / "a", tmp_path / "b"])
    assert len(photos.manifest) == 5 and photos.manifest["group"].nunique() == 4
    assert any("1 photos lie in several of the data sets" in note for note in photos.notes)


@pytest.mark.parametrize("name", ["all", "macro"])
def test_a_data_set_is_not_taken_for_a_row_of_several(tmp_path, name):
    _photos(tmp_path / name / "real", 6, 40)
    _photos(tmp_path / name / "fake", 6, 200)
    found = assess.assess(_Bright(), tmp_path / name, "all")
    assert f"{name}_" in set(found.tables["families"]["data"])


def test_a_few_labelled_photos_can_be_judged_without_making_splits(tmp_path):
    _photos(tmp_path / "few" / "real", 3, 40)
    _photos(tmp_path / "few" / "fake", 3, 200)
    assert len(gather(tmp_path / "few", "all").manifest) == 6
    with pytest.raises(UserError, match="Too few images to make splits"):
        gather(tmp_path / "few")


def test_at_most_so_many_photos_are_taken_and_that_is_said():
    photos = gather("sample", max_photos=20)
    assert photos.data[0]["real"] == photos.data[0]["fake"] == 10
    assert "20 of 90 photos" in photos.notes[0]


def test_of_real_photos_alone_as_many_are_taken_as_were_asked_for(two_sets):
    assert len(gather(two_sets[1], max_photos=4).manifest) == 4


@pytest.mark.parametrize(
    ("folders", "split", "message"),
    [
        ("sample", "tset", "Unknown split 'tset'; known: train, valid, test, all"),
        ("nowhere", "test", "Data folder 'nowhere' not found"),
        (["sample", str(SAMPLE)], "test", "each of them once"),
        ([], "test", "one or more data sets"),
    ],
)
def test_a_mistake_is_told_in_one_line(folders, split, message):
    with pytest.raises(UserError, match=message) as error:
        gather(folders, split)
    assert "\n" not in str(error.value)


def test_a_split_that_is_not_there_is_named_with_those_that_are(tmp_path):
    for label, brightness in (("real", 40), ("fake", 200)):
        _photos(tmp_path / "set" / "test" / label, 4, brightness)
    with pytest.raises(UserError, match="no photos in the split 'valid'; it has: test"):
        gather(tmp_path / "set", "valid")


@pytest.mark.skipif("DEEPFAKE_LAB_DATA" not in os.environ, reason="DEEPFAKE_LAB_DATA is not set")
def test_the_corpora_have_their_families_and_known_terms():
    rows = gather(["140k", "faces"]).manifest
    families = rows[rows["label"] == "fake"].groupby("data")["family"].unique().map(set)
    assert families["140k"] == {"gan"}
    assert families["faces"] == {"gan", "diffusion", "swap", "edit"}
    known = {(name, label) for name, label in zip(rows["source"], rows["label"])}
    assert known <= set(SOURCES)


def test_only_data_sets_that_are_there_are_asked_about_and_each_once():
    assert assess.available(["sample", "nowhere", str(SAMPLE), ""]) == ["sample"]


# --- assessing ---


def test_an_assessment_has_a_row_per_family_and_source(found):
    families = found.tables["families"]
    assert families["family"].tolist() == ["blend", "gan", "swap", "macro", "all"]
    assert set(found.tables["sources"]["source"]) == {
        "caltech101", "self_blended", "face_swap", "mobilestylegan",
    }  # fmt: skip
    assert "degradations" not in found.tables


def test_degrading_asks_again_after_every_damage(monkeypatch):
    monkeypatch.setattr(assess.degradations, "CURVES", (("none", 0), ("jpeg", 30)))
    found = assess.assess(_Bright(), "sample", degrade=True)
    table = found.tables["degradations"]
    assert table["name"].unique().tolist() == ["as it is", "JPEG 30"]
    clean = found.tables["families"].set_index("family")["roc_auc"]
    as_it_is = table[table["kind"] == "none"].set_index("family")["roc_auc"]
    assert as_it_is.to_dict() == pytest.approx(clean.to_dict())
    assert len(found.degraded) == 180


def test_photos_that_cannot_be_read_are_counted_and_named():
    class Half(_Bright):
        def predict_many(self, manifest, change=None, cluster=None):
            answers = super().predict_many(manifest, change, cluster)
            answers.loc[:2, "p_fake"] = np.nan
            answers.loc[:2, "error"] = answers["path"] + ": damaged"
            return answers

    found = assess.assess(Half(), "sample")
    (note,) = (note for note in found.notes if "3 photos could not be read" in note)
    assert note.endswith(": damaged") and str(SAMPLE) not in note
    assert set(found.predictions["error"]) == {"", "damaged"}
    assert found.tables["sources"]["photos"].sum() == 87


def test_numbers_on_photos_that_it_learned_from_are_called_too_good():
    found = assess.assess(_Bright(), "sample", "train")
    assert any("the numbers are too good" in note for note in found.notes)


@pytest.mark.parametrize("p_fake", [[0.3] * 8, [0.1] * 3 + [0.2] + [0.1] * 3 + [0.2]])
def test_equal_scores_are_no_swapped_labels(p_fake):
    rows = pd.DataFrame({"label": ["real"] * 4 + ["fake"] * 4, "p_fake": p_fake, "verdict": "REAL"})
    assert assess._auc(rows) == pytest.approx(0.5)


def test_the_summary_fits_a_terminal_and_says_everything_once(found):
    lines = found.summary().splitlines()
    assert max(map(len, lines)) <= 120
    assert sum("Real photos called fake" in line for line in lines) == 1
    assert any(line.split()[:2] == ["sample", "macro"] for line in lines)


def test_two_detectors_stand_below_each_other(found):
    table = assess.compare([found, found])
    assert len(table) == 2 * len(found.tables["families"]) and "detector" in table


# --- files ---


def test_everything_is_written_and_no_path_of_this_machine(saved):
    written = {path.relative_to(saved).as_posix() for path in saved.rglob("*") if path.is_file()}
    assert written >= {
        "predictions.csv", "metrics.json", "report.md", "families.csv", "sources.csv",
        "coverage.csv", "reliability.csv", "figures/families.png", "figures/sources.png",
        "figures/coverage.png", "figures/reliability.png",
    }  # fmt: skip
    for name in (name for name in written if not name.endswith(".png")):
        assert str(SAMPLE.parent) not in (saved / name).read_text(), name


def test_the_written_metrics_are_those_of_the_tables(found, saved):
    metrics = json.loads((saved / "metrics.json").read_text())
    macro = next(row for row in metrics["families"] if row["family"] == "macro")
    table = found.tables["families"].set_index("family")
    assert macro["roc_auc"] == pytest.approx(table.loc["macro", "roc_auc"], abs=1e-6)
    assert macro["tpr_at_1_fpr"] is None  # 45 real photos cannot tell
    assert metrics["test"]["photos"] == {"real": 45, "fake": 45, "failed": 0}


def test_photos_of_one_person_are_saved_without_intervals_and_shown_on_a_card(tmp_path):
    for label, brightness in (("real", 40), ("fake", 180)):
        _photos(tmp_path / "one" / label, 6, brightness)
    rows = [(f"{label}/{i}.png", label, "test", "ada" if label == "real" else f"fake {i}")
            for label in ("real", "fake") for i in range(6)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["path", "label", "split", "group"])
    table.to_csv(tmp_path / "one" / "manifest.csv", index=False)
    found = assess.assess(_Bright(), str(tmp_path / "one"), seed=3)
    folder = found.save(tmp_path / "out")
    assert "nan" not in (folder / "report.md").read_text().lower().split()
    metrics = json.loads((folder / "metrics.json").read_text(), parse_constant=pytest.fail)
    assert metrics["test"]["metrics"]["roc_auc"] == {"value": 1.0, "low": None, "high": None}
    assert metrics["assessment"]["seed"] == 3
    config = json.loads((paths.project() / "models" / "cnn" / "detector.json").read_text())
    write_card(tmp_path / "card.md", config, {"test": metrics["test"]})
    card = (tmp_path / "card.md").read_text()
    assert "nan" not in card and "None" not in card
    assert "name: ROC AUC\n" in card and "| 1.000 | -" in card


def test_real_photos_alone_can_be_saved(two_sets, tmp_path):
    found = assess.assess(_Bright(), two_sets[1])
    report = (found.save(tmp_path / "out") / "report.md").read_text()
    assert "neither AUC nor calibration" in report
    assert "test" not in json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "Real photos called fake" in found.summary()


def test_the_command_prints_the_tables_and_writes_the_files(run_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["evaluate", "sample", "--model", str(run_folder), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "Kinds of fakes" in said and "Fakes missed" in said and str(out) in said
    assert (out / "report.md").is_file()


@pytest.mark.parametrize("place", [".", "deeper/still"])
def test_an_evaluation_is_not_written_into_its_data(tmp_path, place):
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match="must lie outside"):
        check_out(tmp_path / "data" / place, [tmp_path / "data"])
    assert check_out(tmp_path / "out", [tmp_path / "data"]) == tmp_path / "out"


def test_the_command_writes_nothing_into_its_data(tmp_path, capsys):
    assert main(["evaluate", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "must lie outside" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_command_writes_over_no_other_evaluation(run_folder, tmp_path, capsys):
    (tmp_path / "report.md").write_text("mine")
    arguments = ["evaluate", "sample", "--model", str(run_folder), "--out", str(tmp_path)]
    assert main(arguments) == 2
    assert "holds an evaluation already" in capsys.readouterr().err
    assert (tmp_path / "report.md").read_text() == "mine"


@pytest.mark.parametrize(
    "name", ["metrics.json", "sources.csv", "predictions.csv", "figures/sources.png"]
)
def test_an_evaluation_replaces_no_file(tmp_path, name):
    (tmp_path / "figures").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=f"holds {name}"):
        check_out(tmp_path)


def test_an_evaluation_is_not_written_over_that_of_a_detector(run_folder):
    with pytest.raises(UserError, match="holds a detector"):
        check_out(run_folder)


def test_all_that_an_evaluation_writes_is_looked_for_first(found, tmp_path):
    found.save(tmp_path / "out")
    files = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    made = {file.relative_to(tmp_path / "out").as_posix() for file in files}
    assert made <= {*appendix.FILES, "report.md"}


def test_a_data_set_that_is_not_there_is_one_line(run_folder, capsys):
    assert main(["evaluate", "nowhere", "--model", str(run_folder)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# --- run folder and card ---


@pytest.fixture(scope="module")
def recorded(run_folder, tmp_path_factory) -> Path:
    """A run folder that keeps an assessment, a leave-one-out table and an ablation."""
    folder = tmp_path_factory.mktemp("home") / "models" / "efficientnet"
    shutil.copytree(run_folder, folder)
    pd.DataFrame([
        {"left_out": "face_swap", "kind": "source", "auc": 0.61, "low": 0.5, "high": 0.7,
         "photos": 11},
    ]).to_csv(folder / "leave_one_out.csv", index=False)  # fmt: skip
    pd.DataFrame([{"without": "nothing", "auc": 0.7}]).to_csv(folder / "ablation.csv", index=False)
    pd.DataFrame([
        {"signal": "size", "pair": "all", "auc": 0.71, "shortcut": True},
        {"signal": "size", "pair": "a / b", "auc": 0.5, "shortcut": False},
        {"signal": "size", "pair": "a / c", "auc": 0.93, "shortcut": True},
        {"signal": "source", "pair": "all", "auc": 0.6, "shortcut": False},
    ]).to_csv(folder / "shortcuts.csv", index=False)  # fmt: skip
    found = assess.assess(Detector.load(folder), "sample")
    older = found.tables["families"].assign(detector="older", roc_auc=0.25)
    pd.concat([older, older.assign(detector="tiny")]).to_csv(folder / "baseline.csv", index=False)
    record.record(folder, found, baseline=found)
    return folder


def test_a_run_folder_keeps_its_test_metrics_and_gets_the_tables(run_folder, recorded):
    before, after = (
        json.loads((folder / "metrics.json").read_text()) for folder in (run_folder, recorded)
    )
    assert after["test"] == before["test"]
    assert {"assessment", "families", "sources", "coverage"} <= set(after)
    assert {path.name for path in recorded.glob("*.csv")} >= {
        "families.csv", "sources.csv", "coverage.csv", "reliability.csv", "baseline.csv",
    }  # fmt: skip
    assert Detector.load(recorded).name == "tiny"


def test_the_card_has_what_a_reader_must_know(recorded):
    card = (recorded / "README.md").read_text()
    for title in (
        "Trained on", "Measured", "What tells its photos apart without a face",
        "Fakes that it had never seen", "What helped", "Known failures", "Calibration and doubt",
        "Intended use", "Misuse", "What these numbers do not say",
        "Recipe",
    ):  # fmt: skip
        assert f"\n## {title}\n" in card, title
    assert "| face_swap | source | 0.610 [0.500, 0.700] | 11 |" in card
    assert "| size | 0.71 | 1 of 2 | a / c (0.93) |" in card and "| source | 0.60 |" in card
    assert "CC BY 4.0" in card and "## Beside `tiny`" in card and "## Beside `older`" in card
    assert "### The fakes of each source against the real photos of every source" in card


def test_a_card_says_what_came_of_sources_that_were_never_learned_from(recorded):
    from benchmarks.unseen import table

    config, metrics = (
        json.loads((recorded / name).read_text()) for name in ("detector.json", "metrics.json")
    )
    found = {
        "photos": {"real": 306, "fake": 716}, "false_alarm_rate": [0.012, 0.003, 0.027],
        "miss_rate": [0.54, 0.49, 0.6],
        "kinds": {"gan": {"photos": 12, "roc_auc": [0.8, 0.7, 0.9]}},
        "worn": {"gan": {"photos": 12, "roc_auc": [0.7, 0.6, 0.8]}},
    }  # fmt: skip
    card = model_card(config, metrics, {"unseen": table(found)})
    assert "it called 1.2% [0.3, 2.7] of the real ones FAKE and 54.0% [49.0, 60.0]" in card
    assert "| gan | 0.800 [0.700, 0.900] | 0.700 [0.600, 0.800] | 12 |" in card


def test_the_card_shows_the_numbers_of_the_tables(recorded):
    card = (recorded / "README.md").read_text()
    table = pd.read_csv(recorded / "families.csv")
    for row in table.itertuples():
        auc = views.score(row.roc_auc, row.roc_auc_low, row.roc_auc_high)
        assert f"| {row.family} | {row.real} | {row.fake} | {auc} |" in card


def test_a_card_says_of_an_unknown_source_that_its_terms_are_not_recorded(recorded):
    config, metrics = (
        json.loads((recorded / name).read_text()) for name in ("detector.json", "metrics.json")
    )
    predictions = pd.DataFrame({"label": ["real"], "source": ["mine"]})
    assert "| real | mine | photo | not described | terms not recorded |" in model_card(
        config, metrics, {"predictions": predictions}
    )


def test_a_card_says_that_shorter_trainings_were_those_of_the_detector_it_went_on_from(recorded):
    config, metrics = (
        json.loads((recorded / name).read_text()) for name in ("detector.json", "metrics.json")
    )
    tables = {"leave_one_out": pd.read_csv(recorded / "leave_one_out.csv")}
    said = "went on from an earlier one"
    assert said not in model_card(config, metrics, tables)
    config["recipe"]["start"] = {"name": "earlier"}
    assert said in model_card(config, metrics, tables)


def test_a_run_folder_shows_its_baseline_before_itself(recorded, run_folder):
    table = record.with_baseline(recorded)
    assert table["detector"].unique().tolist() == ["older", "tiny", "efficientnet"]
    assert (table.loc[table["detector"] == "older", "roc_auc"] == 0.25).all()
    assert not (table.loc[table["detector"] == "tiny", "roc_auc"] == 0.25).all()  # measured anew
    assert record.with_baseline(run_folder).empty


def test_an_assessment_of_another_detector_is_refused(run_folder, tmp_path, found):
    folder = shutil.copytree(run_folder, tmp_path / "run")
    with pytest.raises(UserError, match="other weights"):
        record.record(folder, found)


# --- README ---


@pytest.mark.parametrize(
    "page, table",
    [("README.md", readme_results.summary), ("docs/results.md", readme_results.results)],
)
def test_a_page_of_results_shows_what_the_run_folders_record(page, table):
    text = (paths.project() / page).read_text(encoding="utf-8")
    shown = readme_results.fill(text, table(paths.project() / "models"))
    assert shown == text, "run `python tools/readme_results.py`"


def test_the_readme_counts_the_photos_that_no_detector_learns_from():
    listed = pd.read_csv(paths.project() / "tools" / "unseen_faces.csv")
    real, fake = ((listed["label"] == label).sum() for label in ("real", "fake"))
    counted = f"{real} real and {fake} fake photos of {listed['source'].nunique()} collections"
    assert counted in (paths.project() / "README.md").read_text(encoding="utf-8")


def test_the_small_table_names_every_kind_and_the_worst_source_of_false_alarms(recorded):
    table = readme_results.summary(recorded.parent)
    metrics = json.loads((recorded / "metrics.json").read_text())
    kinds = {row["family"] for row in metrics["families"]} - {"macro", "all"}
    assert kinds and table.count(": AUC |") == len(kinds) + 1  # and their mean
    overall = metrics["test"]["metrics"]["false_alarm_rate"]
    share = views.share(overall["value"], overall["low"], overall["high"])
    photos = sum(row["photos"] for row in metrics["sources"] if row["label"] == "real")
    assert f"| real photos called fake | {share}, {photos:,} photos |" in table


def test_a_source_of_few_photos_is_not_called_the_worst():
    folder = paths.project() / "models" / "efficientnet"
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    told = readme_results._in_short(metrics, 0.1, set())
    few = min(
        (row for row in metrics["sources"] if row["label"] == "fake"),
        key=lambda row: row["photos"],
    )
    assert few["photos"] < readme_results.ENOUGH
    few["wrong"] = 1.0
    assert readme_results._in_short(metrics, 0.1, set()) == told


def test_the_table_of_results_has_a_column_per_detector_and_the_recorded_numbers(recorded):
    shutil.copytree(recorded, recorded.with_name("cnn"), dirs_exist_ok=True)
    table = readme_results.results(recorded.parent)
    assert table.startswith("| on test photos | `cnn` | `efficientnet` |")
    (macro,) = (
        row for row in json.loads((recorded / "metrics.json").read_text())["families"]
        if row["family"] == "macro"
    )  # fmt: skip
    auc = views.score(macro["roc_auc"], macro["roc_auc_low"], macro["roc_auc_high"])
    assert f"| sample, mean over kinds: AUC | {auc} | {auc} |" in table
    left_out = "a source of fakes left out of a short training, mean of 1: AUC"
    assert f"| {left_out} | 0.610 | 0.610 |" in table
    assert "| real photos called fake: sample, caltech101 |" in table
    assert "| fake photos called real: sample, mobilestylegan |" in table


def test_a_source_of_two_data_sets_has_a_row_of_each(recorded):
    metrics = json.loads((recorded / "metrics.json").read_text())
    known = len(readme_results._measures(metrics, None))
    metrics["assessment"]["data"].append({"name": "more"})
    metrics["sources"] += [
        row | {"data": "more", "wrong": 0.9} for row in metrics["sources"] if row["photos"]
    ]
    told = readme_results._measures(metrics, None)
    assert len(told) == known + len(metrics["sources"]) // 2
    ours, theirs = (
        told[f"fake photos called real: {data}, mobilestylegan"] for data in ("sample", "more")
    )
    assert theirs.startswith("90.0%") and ours != theirs


def test_only_the_marked_region_of_the_readme_is_written():
    text = f"before\n{readme_results.BEGIN}\nold\n{readme_results.END}\nafter"
    filled = readme_results.fill(text, "new")
    assert filled == text.replace("old", "new")
