"""A run folder becomes a detector whose answers do not depend on how they are asked for."""

import io
import json
import pickle
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.detection.detector import Detector, data_words
from deepfake_lab.detection.judgement import ANSWER_COLUMNS, verdict_line
from deepfake_lab.detection.prior import at_prior
from deepfake_lab.detection.runfolder import (
    FOR_TRAINING,
    PARTS,
    QUANTISED,
    checksums,
    read_checked,
)
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images
from deepfake_lab.photos.squares import resize

FILES = sorted((paths.project() / "data" / "sample").rglob("*.jpg"))[::10]
CONFIG = {
    "name": "made up",
    "image_size": 64,
    "framing": "face",
    "calibration": {"temperature": 2.0, "bias": 0.5},
    "prior": 0.5,
    "uncertain_band": [0.3, 0.7],
    "data": {"name": "sample", "train": 1234},
    "sha256": {"model.tflite": "0123456789abcdef"},
}


@pytest.fixture(scope="module")
def tiny(run_folder) -> Detector:
    return Detector.load(run_folder)


@pytest.fixture
def copy(run_folder, tmp_path) -> Path:
    """A copy of the run folder, to be damaged."""
    return Path(shutil.copytree(run_folder, tmp_path / "copy"))


@pytest.fixture
def fake_model(monkeypatch) -> Detector:
    """A detector with a made-up config whose logit is what the test says."""
    detector = Detector(Path("nowhere"), CONFIG, b"")
    monkeypatch.setattr(
        detector, "_graph",
        SimpleNamespace(run=lambda picture, alone=True: {"logit": np.array([detector.logit])}),
    )  # fmt: skip
    return detector


def _ask(detector: Detector, p_fake: float, photo=FILES[0]):
    """Make the fake model answer with this P(fake)."""
    calibration = detector.config["calibration"]
    logit = np.log(p_fake / (1 - p_fake))
    detector.logit = (logit - calibration["bias"]) * calibration["temperature"]
    return detector.predict(photo)


# --- loading ---


def test_what_is_only_for_training_on_may_be_missing_where_answers_are_wanted(copy):
    (copy / FOR_TRAINING).unlink()
    assert Detector.load(copy).predict(FILES[0]).verdict in ("REAL", "FAKE")
    with pytest.raises(UserError, match="the installed package leaves it out"):
        read_checked(copy / FOR_TRAINING, "")


@pytest.mark.parametrize("part", [part for part in PARTS if part != FOR_TRAINING])
def test_a_run_folder_that_lacks_a_part_is_refused_by_the_name_of_the_part(copy, part):
    (copy / part).unlink()
    with pytest.raises(UserError, match=rf"not a whole run folder: {re.escape(part)} missing"):
        Detector.load(copy)


def test_a_run_folder_with_a_damaged_config_is_refused(copy):
    (copy / "detector.json").write_text('{"name": ')
    with pytest.raises(UserError, match="damaged"):
        Detector.load(copy)


@pytest.mark.parametrize("where", [0, -1])
def test_a_model_that_is_not_the_one_that_was_written_is_refused(copy, where):
    content = bytearray((copy / "model.tflite").read_bytes())
    content[where] ^= 1
    (copy / "model.tflite").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.tflite is damaged or was exchanged"):
        Detector.load(copy)


def test_a_run_folder_without_checksums_is_refused_and_the_line_says_what_to_do(copy):
    config = json.loads((copy / "detector.json").read_text())
    del config["sha256"]
    (copy / "detector.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"has no checksums .* train this detector again"):
        Detector.load(copy)


@pytest.mark.parametrize("key", ["name", "calibration", "uncertain_band", "data", "prior"])
def test_a_config_that_lacks_what_answers_need_is_refused_when_it_is_loaded(copy, key):
    config = json.loads((copy / "detector.json").read_text())
    del config[key]
    (copy / "detector.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"detector\.json is damaged"):
        Detector.load(copy)


def test_a_run_folder_of_an_older_version_answers_as_it_did(copy):
    logit = Detector.load(copy).predict(FILES[0]).logit
    (copy / "detector.json").rename(copy / "config.json")
    assert Detector.load(copy).predict(FILES[0]).logit == logit


def test_a_run_folder_holds_the_checksums_of_its_models(run_folder):
    assert json.loads((run_folder / "detector.json").read_text())["sha256"] == checksums(run_folder)


def test_without_a_quantised_model_the_line_says_how_to_make_one(copy):
    with pytest.raises(UserError, match=r"no quantised model; make one with `deepfake-lab export"):
        Detector.load(copy, quantised=True)


def test_a_detector_is_found_by_its_name_and_by_its_folder(run_folder):
    by_name = Detector.load("tiny", out_dir=run_folder.parents[1])
    assert by_name.folder == Detector.load(str(run_folder)).folder
    assert by_name.name == "tiny"


def test_answering_never_imports_tensorflow(run_folder):
    code = (
        "import sys, deepfake_lab.detection.detector as d\n"
        f"d.Detector.load({str(run_folder)!r}).predict({str(FILES[0])!r})\n"
        "sys.exit(any(name.split('.')[0] in ('tensorflow', 'keras') for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


# --- the same answer, however it is asked for ---


def test_a_photo_alone_and_in_a_batch_gets_the_same_answer(tiny):
    table = tiny.predict_many(FILES)
    alone = [tiny.predict(file) for file in FILES]
    assert list(table["p_fake"]) == [p.p_fake for p in alone]  # to the last bit
    assert np.ptp(table["p_fake"]) > 1e-3  # else everything would be equal anyway
    assert list(table["verdict"]) == [p.verdict for p in alone]
    assert list(table["face_found"]) == [p.face_found for p in alone]


@pytest.mark.parametrize("count", [1, 31, 32, 33, 65])
def test_the_size_of_the_batch_does_not_change_the_logits(tiny, count):
    pixels = np.stack([tiny.frame(file).pixels for file in FILES[:5]])
    many = tiny.logits(pixels[np.arange(count) % 5])
    assert many.shape == (count,)
    np.testing.assert_array_equal(many, tiny.logits(pixels)[np.arange(count) % 5])


def test_no_pictures_have_no_logits(tiny):
    assert tiny.logits(np.zeros((0, 64, 64, 3), np.uint8)).shape == (0,)


def test_threads_get_the_answers_that_one_thread_gets(tiny):
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda file: tiny.predict(file).p_fake, FILES))
    assert together == [tiny.predict(file).p_fake for file in FILES]


def test_every_way_to_hand_over_a_photo_gets_the_same_answer(tiny):
    file = FILES[0]
    with file.open("rb") as stream:
        sources = [
            file, str(file), file.read_bytes(), stream, io.BytesIO(file.read_bytes()),
            images.read_image(file), Image.open(file),
        ]  # fmt: skip
        assert {tiny.predict(source).p_fake for source in sources} == {tiny.predict(file).p_fake}


def test_larger_pictures_are_judged_by_their_center(tiny):
    pixels = tiny.frame(FILES[0]).pixels
    padded = np.pad(pixels, ((4, 4), (4, 4), (0, 0)))
    assert tiny.logits(padded[None])[0] == tiny.logits(pixels[None])[0]


def test_the_box_of_an_answer_is_the_square_that_was_judged(fake_model):
    photo = np.arange(256, dtype=np.uint8)[None, :, None].repeat(256, 0).repeat(3, 2)
    framed = _ask(fake_model, 0.9, photo).framed
    left, top, right, bottom = framed.box
    assert (right - left, bottom - top) == (240, 240)  # 15/16 of the largest square
    assert framed.pixels.shape == (64, 64, 3)
    assert int(framed.pixels[0, 0, 0]) == pytest.approx(left, abs=5)
    assert int(framed.pixels[0, -1, 0]) == pytest.approx(right, abs=5)


# --- many photos ---


def test_an_unreadable_photo_keeps_its_row_and_says_why(tiny, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(FILES[0].read_bytes()[:2000])
    missing = tmp_path / "missing.jpg"
    table = tiny.predict_many([FILES[0], broken, missing, FILES[1]])
    assert list(table["file"]) == [FILES[0].name, "broken.jpg", "missing.jpg", FILES[1].name]
    assert list(table["error"].str.contains("damaged")) == [False, True, False, False]
    assert list(table["error"].str.contains("no such file")) == [False, False, True, False]
    assert list(table["p_fake"].isna()) == [False, True, True, False]
    assert list(table["verdict"].isna()) == [False, True, True, False]
    assert list(table["confidence"].isna()) == [False, True, True, False]
    assert not table["uncertain"][1]


def test_photos_behind_an_unreadable_one_keep_their_own_answers(tiny, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"")
    with_broken = tiny.predict_many([broken, *FILES]).iloc[1:]
    np.testing.assert_allclose(with_broken["p_fake"], tiny.predict_many(FILES)["p_fake"], atol=1e-5)


def test_where_no_photo_can_be_read_every_row_says_why(tiny, tmp_path):
    table = tiny.predict_many([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert table["error"].str.contains("no such file").all() and table["p_fake"].isna().all()


def test_a_folder_is_read_with_the_folders_below_it(tiny, tmp_path):
    (tmp_path / "deep" / "deeper").mkdir(parents=True)
    shutil.copy(FILES[0], tmp_path / "deep" / "deeper" / "b.JPG")
    shutil.copy(FILES[1], tmp_path / "a.jpg")
    (tmp_path / "notes.txt").write_text("no photo")
    table = tiny.predict_many(tmp_path)
    assert list(table["file"]) == ["a.jpg", "deep/deeper/b.JPG"]


def test_a_folder_given_to_predict_is_answered_as_a_table(tiny, tmp_path):
    shutil.copy(FILES[0], tmp_path / "a.jpg")
    for folder in (tmp_path, str(tmp_path)):
        table = tiny.predict(folder)
        assert list(table["file"]) == ["a.jpg"]
        assert table["p_fake"][0] == tiny.predict(FILES[0]).p_fake


def test_a_stream_gives_answers_and_reasons_in_order(tiny, tmp_path):
    answers = list(tiny.stream([FILES[0], tmp_path / "no.jpg", FILES[1].read_bytes()]))
    assert [getattr(answer, "name", "") for answer in answers] == [FILES[0].name, "", "photo"]
    assert "no such file" in str(answers[1])


def test_an_empty_folder_is_an_error_in_one_line(tiny, tmp_path):
    with pytest.raises(UserError, match="holds no images"):
        tiny.predict_many(tmp_path)


def test_a_manifest_keeps_its_columns_its_order_and_its_index(tiny):
    manifest = pd.DataFrame(
        {"path": [str(FILES[1]), str(FILES[0])], "label": ["real", "fake"], "note": ["x", "y"]},
        index=[7, 3],
    )
    table = tiny.predict_many(manifest)
    assert list(table.columns) == ["path", "label", "note", *ANSWER_COLUMNS]
    assert list(table.index) == [7, 3] and list(table["note"]) == ["x", "y"]
    assert table["p_fake"][3] == pytest.approx(tiny.predict(FILES[0]).p_fake, abs=1e-5)


def test_a_table_agrees_with_single_answers_about_band_and_confidence(fake_model):
    p_fake = np.array([0.01, 0.29, 0.3, 0.31, 0.499, 0.5, 0.69, 0.7, 0.71, 0.99])
    logits = (np.log(p_fake / (1 - p_fake)) - 0.5) * 2.0
    table = fake_model.answers(pd.DataFrame({"face_found": [True] * len(p_fake)}), logits)
    for row in table.itertuples():
        answer = _ask(fake_model, row.p_fake)
        assert (row.verdict, row.uncertain) == (answer.verdict, answer.uncertain)
        assert row.confidence == pytest.approx(answer.confidence)


# --- what an answer says ---


@pytest.mark.parametrize(
    ("p_fake", "verdict", "confidence", "uncertain"),
    [
        (0.95, "FAKE", 0.95, False),
        (0.05, "REAL", 0.95, False),
        (0.60, "FAKE", 0.60, True),
        (0.45, "REAL", 0.55, True),
        (0.701, "FAKE", 0.701, False),
        (0.299, "REAL", 0.701, False),
    ],
)
def test_the_verdict_its_confidence_and_the_band_follow_from_p_fake(
    fake_model, p_fake, verdict, confidence, uncertain
):
    answer = _ask(fake_model, p_fake)
    assert answer.p_fake == pytest.approx(p_fake)
    assert (answer.verdict, answer.uncertain) == (verdict, uncertain)
    assert answer.confidence == pytest.approx(confidence)
    assert any("do not know" in caveat for caveat in answer.caveats) == uncertain


@pytest.mark.parametrize(("p_fake", "verdict"), [(0.85, "REAL"), (0.95, "FAKE")])
def test_the_rarer_fakes_are_the_more_it_takes_to_call_one_fake(
    fake_model, monkeypatch, p_fake, verdict
):
    assert _ask(fake_model, p_fake).verdict == "FAKE"
    monkeypatch.setattr(fake_model, "prior", 0.1)
    answer = _ask(fake_model, p_fake)
    odds = p_fake / (1 - p_fake) / 9  # after Bayes, one to nine
    assert answer.p_fake == pytest.approx(odds / (1 + odds))
    assert (answer.verdict, answer.prior) == (verdict, 0.1)


def test_a_detector_for_another_prior_leaves_the_first_as_it_is(tiny):
    other = tiny.at(0.1)
    assert (tiny.prior, other.prior) == (0.5, 0.1)
    odds = [p / (1 - p) for p in (tiny.probability(0.3), other.probability(0.3))]
    assert odds[0] / odds[1] == pytest.approx(9)
    assert Detector.load(tiny.folder, prior=0.1).probability(0.3) == other.probability(0.3)
    assert pickle.loads(pickle.dumps(other)).prior == 0.1


@pytest.mark.parametrize("prior", [0.01, 0.3, 0.5, 0.99])
@pytest.mark.parametrize("p_fake", [0.001, 0.2, 0.5, 0.8, 0.999])
def test_the_verdict_is_the_likelier_one_at_any_prior(fake_model, monkeypatch, prior, p_fake):
    monkeypatch.setattr(fake_model, "prior", prior)
    answer = _ask(fake_model, p_fake)
    assert answer.confidence >= 0.5
    assert answer.verdict == ("FAKE" if answer.p_fake >= 0.5 else "REAL")


@pytest.mark.parametrize("prior", [0, 1, -0.1, 50, float("nan"), "many", None])
def test_a_prior_that_is_no_share_is_refused(fake_model, prior):
    with pytest.raises(UserError, match="between 0 and 1"):
        fake_model.at(prior)


def test_a_detector_that_an_older_version_wrote_says_what_it_said(tmp_path, tiny):
    folder = shutil.copytree(tiny.folder, tmp_path / "old")
    config = json.loads((folder / "detector.json").read_text())
    del config["prior"]
    older = {"threshold": 0.8, "uncertain_band": [0.3, 0.9]}
    model = (folder / "model.tflite").read_bytes()
    (folder / QUANTISED).write_bytes(model)
    config |= older | {"quantised": {"sha256": config["sha256"]["model.tflite"], "answers": older}}
    (folder / "detector.json").write_text(json.dumps(config))
    old = Detector.load(folder)
    assert old.prior == Detector.load(folder, quantised=True).prior == pytest.approx(0.2)
    temperature, bias = (config["calibration"][part] for part in ("temperature", "bias"))
    at = [(np.log(p / (1 - p)) - bias) * temperature for p in (0.3, 0.8, 0.9)]
    low, half, high = old.probability(np.array(at))
    assert half == pytest.approx(0.5) and [low, high] == pytest.approx(old.config["uncertain_band"])


@pytest.mark.parametrize("logit", [-1e9, 1e9])
def test_an_absurd_logit_is_still_a_probability(fake_model, logit):
    assert 0 <= fake_model.probability(np.array([logit]))[0] <= 1


def test_p_fake_grows_with_the_logit(fake_model):
    p_fake = fake_model.probability(np.linspace(-20, 20, 100))
    assert (np.diff(p_fake) > 0).all()


@pytest.mark.parametrize(
    ("verdict", "confidence", "line"),
    [
        ("FAKE", 0.9878, "Classification: FAKE  Confidence: 98.78%"),
        ("REAL", 0.5, "Classification: REAL  Confidence: 50.00%"),
        ("FAKE", 1.0, "Classification: FAKE  Confidence: 99.99%"),
        ("REAL", 0.99999, "Classification: REAL  Confidence: 99.99%"),
    ],
)
def test_the_line_has_exactly_this_form_and_never_says_100_percent(verdict, confidence, line):
    assert verdict_line(verdict, confidence) == line


def test_an_answer_prints_as_the_line(fake_model):
    assert str(_ask(fake_model, 0.9878)) == "Classification: FAKE  Confidence: 98.78%"


def test_a_photo_without_a_face_gets_a_caveat(fake_model):
    grey = np.full((200, 200, 3), 120, np.uint8)
    answer = _ask(fake_model, 0.99, grey)
    assert not answer.face_found
    assert any("No face" in caveat for caveat in answer.caveats)


def test_a_photo_of_two_people_gets_a_caveat(fake_model):
    pair = np.concatenate([images.read_image(file) for file in (FILES[-1], FILES[-2])], axis=1)
    assert any("2 faces" in caveat for caveat in _ask(fake_model, 0.99, pair).caveats)


def test_a_face_much_smaller_than_the_input_gets_a_caveat(fake_model):
    small = resize(images.read_image(FILES[-1]), 30)
    assert any("small" in caveat for caveat in _ask(fake_model, 0.99, small).caveats)


def test_a_clear_portrait_gets_no_caveat(fake_model):
    assert _ask(fake_model, 0.99, FILES[-1]).caveats == ()


def test_an_answer_bears_the_name_of_the_file_or_the_given_one(fake_model):
    assert _ask(fake_model, 0.9).name == FILES[0].name
    assert fake_model.predict(FILES[0].read_bytes()).name == "photo"
    assert fake_model.predict(FILES[0], name="Anna").name == "Anna"


def test_an_answer_behaves_as_data(fake_model):
    frame = _ask(fake_model, 0.9).to_frame()
    assert list(frame.columns) == ["file", *ANSWER_COLUMNS] and len(frame) == 1
    row = frame.iloc[0]
    assert (row["file"], row["verdict"], row["error"]) == (FILES[0].name, "FAKE", "")
    assert row["p_fake"] == pytest.approx(0.9) and bool(row["face_found"])


def test_the_frame_of_an_answer_fits_below_a_table(tiny):
    table = tiny.predict_many([FILES[0]])
    assert tiny.predict(FILES[0]).to_frame()[ANSWER_COLUMNS].equals(table[ANSWER_COLUMNS])


def test_a_detector_says_what_it_learned_from(fake_model):
    assert "1,234 photos of the project's own sample set;" in fake_model.about


def test_a_joined_data_set_is_told_in_words():
    assert data_words("140k+mine+sample") == (
        "Kaggle's “140k real and fake faces”, the project's own sample set and the data set 'mine'"
    )
    assert data_words("mine+more") == "the data sets 'mine' and 'more'"
    assert data_words("mine") == "the data set 'mine'"
    assert data_words("140k+mine+more+old+sample") == (
        "Kaggle's “140k real and fake faces”, the project's own sample set and 3 further data sets"
    )
    assert data_words("mine+more+old") == "3 data sets"


def test_the_config_records_what_an_answer_depends_on(tiny):
    config = json.loads((tiny.folder / "detector.json").read_text())
    low, high = config["uncertain_band"]
    assert 0 <= low <= 0.5 <= high <= 1 and config["prior"] == 0.5
    assert config["labels"] == {"real": 0, "fake": 1}
    assert config["calibration"]["temperature"] > 0


# --- answers as values, and photos that are no files ---


@pytest.mark.parametrize("many", [False, True], ids=["with pictures", "without"])
def test_answers_can_be_compared(detector, many):
    first, again, other = (
        detector.judge([file], preview=not many)[0] for file in (FILES[0], FILES[0], FILES[1])
    )
    assert first == again and hash(first) == hash(again) and len({first, again, other}) == 2
    assert first != other and first.framed != other.framed and first != "an answer"
    assert first.framed == again.framed and first.framed.face == again.framed.face
    grey, white = (detector.predict(np.full((99, 99, 3), value, np.uint8)) for value in (128, 255))
    assert grey.framed != white.framed


def test_an_answer_in_plain_text_is_short(detector):
    shown = repr(detector.predict(FILES[0]))
    assert len(shown) < 1500 and "array" not in shown and "verdict=" in shown


@pytest.mark.parametrize(
    ("photos", "names", "says"),
    [(FILES[:3], ["x"], "3 photos, but 1 names"), (str(FILES[0]), [], "sequence of photos"),
     (FILES[0], [], "sequence of photos")],
)  # fmt: skip
def test_no_photo_is_dropped_where_several_are_judged(detector, photos, names, says):
    with pytest.raises(UserError, match=says):
        detector.judge(photos, names)


def test_names_of_photos_may_be_an_array(detector):
    (answer,) = detector.judge(FILES[:1], np.array(["a.jpg"]))
    assert answer.name == "a.jpg"


def test_pictures_are_judged_like_files(detector):
    image = Image.open(FILES[0])
    array = np.asarray(image.convert("RGB"))
    photos = [FILES[0], str(FILES[0]), FILES[0].read_bytes(), image, array, io.BytesIO(b"no")]
    rows = detector.predict_many(photos)
    assert rows["p_fake"][:5].nunique() == 1 and rows["error"][5] and rows["path"][4] == ""
    assert rows["file"].tolist() == [FILES[0].name] * 2 + [f"photo {i}" for i in range(3, 7)]
    assert detector.predict_many(np.stack([array, array]))["p_fake"].nunique() == 1
    assert len(detector.predict_many(pd.Series([str(FILES[0])]))) == 1
    assert detector.predict_many([]).empty


@pytest.mark.parametrize(
    "photos",
    [None, 3, b"bytes", Image.new("RGB", (50, 50)), np.zeros((50, 50, 3), np.uint8),
     io.BytesIO(b"x"), pd.DataFrame({"file": ["a.jpg"]}), pd.DataFrame()],
    ids=lambda photos: type(photos).__name__,
)  # fmt: skip
def test_what_is_not_several_photos_is_refused(detector, photos):
    with pytest.raises(UserError, match=r"predict_many takes|needs the column 'path'"):
        detector.predict_many(photos)


def test_a_photo_that_cannot_be_read_is_called_by_its_name(detector):
    with pytest.raises(UserError, match=r"^mine\.jpg: not an image"):
        detector.predict(b"no photo", name="mine.jpg")


def test_the_uncertain_band_moves_with_the_prior_and_holds_the_change_of_verdict(detector):
    own = detector.config["prior"]
    assert list(detector.band) == detector.config["uncertain_band"]
    for prior in (0.01, 0.3, 0.5, 0.9):
        there = detector.at(prior)
        low, high = there.band
        assert low <= 0.5 <= high
        # What is uncertain at its own prior is uncertain at any other.
        ends = at_prior(np.array(detector.band), own, prior)
        assert low <= ends[0] and ends[1] <= high
    rows = pd.DataFrame({"file": ["a"], "face_found": [True], "error": [""]})
    logit = np.array([0.0])
    answer = there.answers(rows, logit).iloc[0]
    assert answer["uncertain"] == (low < answer["p_fake"] < high)
