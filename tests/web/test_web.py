"""The page and the JSON API: what people and programs get for an answer."""

import csv
import dataclasses
import html
import io
import re
import shutil
import subprocess
import sys
from urllib.parse import unquote

import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from PIL import Image

from benchmarks.web import form, photo
from deepfake_lab import paths
from deepfake_lab.detection.detector import Detector
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images
from deepfake_lab.web import about, app as web_app, create_app, limits, problems, uploads
from deepfake_lab.web.answers import illustrated_answer
from deepfake_lab.web.card import card_html
from deepfake_lab.web.uploads import Upload
from tests.telling import png


@pytest.fixture(scope="module")
def app(detector):
    return create_app(detector)


@pytest.fixture
def client(app):
    return app.test_client()


@pytest.fixture(scope="module")
def face() -> bytes:
    return photo()


def send(client, *files: tuple[str, bytes], path: str = "/api/predict"):
    body, headers = form(*files)
    return client.post(path, data=body, headers=headers)


def text_of(response) -> str:
    """Return what a page says, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", "", response.text).split())


def code_of(response) -> str:
    return response.json["error"]["code"]


# --- the answer ---


def test_the_page_says_the_verdict_in_the_agreed_words(client, detector, face):
    said = text_of(send(client, ("a.jpg", face), path="/"))
    assert " ".join(str(detector.predict(face)).split()) in said
    assert re.search(r"Classification: (FAKE|REAL) Confidence: \d{1,2}\.\d\d%", said)


def test_the_api_says_what_the_detector_says(client, detector, face):
    (told,) = send(client, ("a.jpg", face)).json["predictions"]
    expected = detector.predict(face)
    assert told["text"] == str(expected)
    assert (told["p_fake"], told["verdict"]) == (expected.p_fake, expected.verdict)
    assert told["box"] == list(expected.framed.box)


def test_a_face_that_is_cut_off_reaches_beyond_the_photo(client, app):
    whole = images.read_image(app.extensions["deepfake_lab"].gallery["1"].path)
    stream = io.BytesIO()
    Image.fromarray(whole[:, 70:]).save(stream, "PNG")
    (told,) = send(client, ("a.png", stream.getvalue())).json["predictions"]
    left = told["faces"][0]["box"][0]
    page = send(client, ("a.png", stream.getvalue()), path="/").text
    drawn = re.search(r'class="face" x="([-\d.]+)"', page)
    assert left < 0 and round(float(drawn[1])) == left


def test_page_and_api_agree(detector, face, client):
    facts = about.ModelFacts(detector)
    shown = illustrated_answer(detector, facts, Upload("a.jpg", face)).prediction
    assert shown.p_fake == send(client, ("a.jpg", face)).json["predictions"][0]["p_fake"]


def _at(client, face, prior: str | list[str], path: str = "/api/predict"):
    data = {"photos": (io.BytesIO(face), "a.jpg"), "prior": prior}
    return client.post(path, data=data, content_type="multipart/form-data")


def test_a_form_may_name_the_share_of_fakes(detector, face, client):
    told = _at(client, face, "0.01").json["predictions"][0]
    expected = detector.at(0.01).predict(face)
    assert (told["p_fake"], told["prior"]) == (expected.p_fake, 0.01)
    assert "if 1 in 100 photos is fake" in text_of(_at(client, face, "0.01", "/answer"))
    own = _at(client, face, "").json["predictions"][0]
    assert (own["p_fake"], own["prior"]) == (detector.predict(face).p_fake, detector.prior)


@pytest.mark.parametrize("prior", ["", "0.9", ".3", "0.000001"])
def test_the_share_of_fakes_that_was_chosen_stays_chosen(face, client, prior):
    asked = _at(client, face, prior, "/").text
    told = re.search(r'<option value="([^"]*)" selected>([^<]*)', asked)
    value, words = told.groups()
    assert asked.count(" selected>") == 1 and (not prior) == (not value)
    assert f"if {words.removesuffix(' (default)')} " in asked
    links = re.findall(r'href="\./samples/1([^"#]*)#results"', asked)
    assert links == [f"?prior={value}" if prior else ""]
    again = client.get(f"/samples/1{links[0]}").text
    assert told[0] in again and f"if {words.removesuffix(' (default)')} " in again


def test_two_priors_are_a_bad_request(face, client):
    refused = _at(client, face, ["0.1", "0.1"])
    assert refused.status_code == 400 and "more than once" in refused.json["error"]["message"]


@pytest.mark.parametrize("prior", ["0", "1", "0.0", "-0.1", "many", "nan", "1e999", "\xff"])
def test_a_prior_that_is_no_share_is_a_bad_request(face, client, prior):
    refused = _at(client, face, prior)
    assert refused.status_code == 400 and code_of(refused) == "bad_request"
    assert "between 0 and 1" in refused.json["error"]["message"]


def test_the_page_draws_bar_band_face_heat_map_and_spectrum(client, detector, face):
    page = send(client, ("a.jpg", face), path="/").text
    low, high = detector.config["uncertain_band"]
    assert f'<rect x="{low * 100}%"' in page and f'width="{(high - low) * 100}%"' in page
    assert 'class="face"' in page and 'class="heat"' in page
    assert page.count("data:image/jpeg;base64,") == 2  # the photo, the heat map
    assert page.count("data:image/png;base64,") == 2  # its spectrum, a camera's


def test_the_page_names_the_detector_its_data_and_its_card(client, detector, face):
    page = send(client, ("a.jpg", face), path="/")
    assert detector.about in text_of(page).replace("&#39;", "'") and 'href="./card"' in page.text


def test_several_photos_get_an_answer_each_in_their_order(client, face):
    sent = [("one.jpg", face), ("two.txt", b"hello"), ("three.png", photo("PNG"))]
    told = send(client, *sent).json["predictions"]
    assert [each["name"] for each in told] == ["one.jpg", "two.txt", "three.png"]
    assert [("verdict" in each, "error" in each) for each in told] == [
        (True, False), (False, True), (True, False),
    ]  # fmt: skip
    page = send(client, *sent, path="/").text
    assert page.count('class="verdict"') == 2 and page.count('<h2 tabindex="-1">No answer') == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "HEIF"])
def test_photos_of_this_format_are_read(client, kind):
    if kind == "HEIF" and "HEIF" not in images.formats():
        pytest.skip("the extra `heic` is not installed")
    response = send(client, ("a", photo(kind)), path="/answer")
    assert response.status_code == 200 and "Classification" in response.text


def test_exif_rotation_is_applied(client):
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.open(io.BytesIO(photo())).crop((0, 0, 200, 120)).save(stream, "JPEG", exif=exif)
    page = send(client, ("a.jpg", stream.getvalue()), path="/answer").text
    assert 'viewBox="0 0 120 200"' in page


def test_a_photo_without_a_face_is_called_unreliable(client):
    stream = io.BytesIO()
    Image.effect_noise((300, 200), 60).convert("RGB").save(stream, "PNG")
    page = text_of(send(client, ("a.png", stream.getvalue()), path="/answer"))
    assert "No face found" in page and "Do not rely on this answer." in page


@pytest.mark.parametrize(
    ("p_fake", "words"),
    [(0.0, "below 0.01%"), (0.00004, "below 0.01%"), (0.25, "25.00%"), (1.0, "above 99.99%")],
)
def test_no_probability_is_told_as_certain(app, client, face, monkeypatch, p_fake, words):
    detector = app.extensions["deepfake_lab"].detector
    answer = dataclasses.replace(detector.predict(face), p_fake=p_fake)
    monkeypatch.setattr(detector, "predict", lambda photo, name="": answer)
    page = text_of(send(client, ("a.jpg", face), path="/answer"))
    assert f"P(fake), is {words} if one photo in two is fake." in page


@pytest.mark.parametrize(
    ("p_fake", "uncertain", "headline"),
    [(0.81, True, "Uncertain: leans fake (81%)"), (0.2, True, "Uncertain: leans real (80%)"),
     (0.99, False, "")],
)  # fmt: skip
def test_without_certainty_the_headline_says_so_above_the_verdict(
    app, client, face, monkeypatch, p_fake, uncertain, headline
):
    detector = app.extensions["deepfake_lab"].detector
    answer = dataclasses.replace(detector.predict(face), p_fake=p_fake, uncertain=uncertain)
    monkeypatch.setattr(detector, "predict", lambda photo, name="": answer)
    page = send(client, ("a.jpg", face), path="/answer").text
    title = re.search(r"<h2[^>]*>(.*?)</h2>", page)[1]
    assert title == headline or (not headline and title.startswith("<span>Classification:"))
    assert f"{headline} Classification:".strip() in text_of(client.post("/answer", **as_form(face)))


def as_form(face: bytes) -> dict:
    body, headers = form(("a.jpg", face))
    return {"data": body, "headers": headers}


def test_several_photos_begin_with_a_summary(client, face):
    page = send(client, ("a.jpg", face), ("b.txt", b"hello"), path="/answer").text
    summary = page.partition('<section class="summary"')[2].partition("</section>")[0]
    assert summary and page.index('class="summary"') < page.index('class="answer')
    places = re.findall(r'href="#(answer-\w+)"', summary)
    assert len(places) == 2 and all(f'id="{place}"' in page for place in places)
    (file,) = re.findall(r'href="data:text/csv;charset=utf-8,([^"]*)"', summary)
    rows = _rows(file)
    told = send(client, ("a.jpg", face)).json["predictions"][0]
    assert float(rows[0]["p_fake"]) == told["p_fake"] and rows[0]["verdict"] == told["verdict"]
    assert [row["photo"] for row in rows] == ["a.jpg", "b.txt"] and rows[1]["error"]


def _rows(file: str) -> list[dict]:
    """Return the rows of a CSV file in an address, which is marked as UTF-8."""
    text = unquote(file)
    assert text[0] == "\ufeff"
    return list(csv.DictReader(io.StringIO(text[1:])))


def test_a_name_that_a_spreadsheet_would_run_is_text_in_the_csv(client, face):
    name = '=HYPERLINK("http://x.example","a").jpg'
    page = send(client, (name, face), ("b.txt", b"hello"), path="/answer").text
    (file,) = re.findall(r'href="data:text/csv;charset=utf-8,([^"]*)"', page)
    rows = _rows(file)
    assert rows[0]["photo"].startswith("'=HYPERLINK") and 0 <= float(rows[0]["p_fake"]) <= 1


def test_a_single_photo_has_no_summary(client, face):
    results = send(client, ("a.jpg", face), path="/answer").text
    assert 'class="summary"' not in results and 'data-csv="a.jpg,' in results


def test_what_speaks_against_an_answer_stands_right_beside_it(client):
    stream = io.BytesIO()
    Image.effect_noise((300, 200), 60).convert("RGB").save(stream, "PNG")
    page = text_of(send(client, ("a.png", stream.getvalue()), path="/answer"))
    assert re.search(r"No face found Classification: \w+ Confidence: [\d.]+% Do not rely", page)


def test_the_page_says_no_caveat_twice(detector, client):
    stream = io.BytesIO()
    Image.effect_noise((300, 200), 60).convert("RGB").save(stream, "JPEG", quality=20)
    told = send(client, ("a.jpg", stream.getvalue())).json["predictions"][0]["caveats"]
    page = text_of(send(client, ("a.jpg", stream.getvalue()), path="/answer"))
    assert told[0].startswith("No face was found") and told[0] not in page
    (compressed,) = [caveat for caveat in told if "strongly compressed" in caveat]
    assert compressed in page and page.count("No face found") == 1


def test_a_strongly_compressed_photo_gets_a_caveat(client):
    caveats = [
        " ".join(send(client, ("a.jpg", photo(quality=q))).json["predictions"][0]["caveats"])
        for q in (20, 90)
    ]
    assert "JPEG quality about 20" in caveats[0] and "JPEG quality" not in caveats[1]


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 95])
def test_the_quality_of_a_jpeg_is_estimated(quality):
    assert abs(images.read_photo(photo(quality=quality)).jpeg_quality - quality) <= 2


# --- how far to trust it ---


def test_the_track_record_counts_test_photos_with_a_similar_score(detector, monkeypatch):
    facts = about.ModelFacts(detector)
    scores = [(0.9, True)] * 8 + [(0.85, False)] * 4 + [(0.3, False)] * 50
    monkeypatch.setattr(about.ModelFacts, "_test_scores", scores)
    told = facts.track_record(0.88, detector.prior)
    assert "12 photos had a score like this one: 8 fake, 4 real." in told


def test_a_rate_that_was_not_measured_is_no_number(detector, monkeypatch):
    facts = about.ModelFacts(detector)
    monkeypatch.setattr(facts, "metrics", {})
    assert "unknown" in str(facts.misses) and "nan" not in str(facts.misses)


def test_a_rate_without_an_interval_is_said_without_one(detector, monkeypatch):
    facts = about.ModelFacts(detector)
    nothing = {"value": 0.25, "low": None, "high": None}
    monkeypatch.setattr(facts, "metrics", {"miss_rate": nothing})
    assert str(facts.misses) == "25.0%"


@pytest.mark.parametrize("content", ["{", "{}", '{"test": 3}'])
def test_a_detector_without_a_test_does_not_serve_and_says_so(tmp_path, detector, content):
    folder = tmp_path / "detector"
    shutil.copytree(detector.folder, folder)
    (folder / "metrics.json").write_text(content)
    with pytest.raises(UserError, match="does not say how the detector did"):
        create_app(Detector.load(folder))


def test_an_answer_says_how_often_it_errs_at_the_share_that_was_chosen(detector, face, client):
    asked, own = (text_of(_at(client, face, prior, "/answer")) for prior in ("0.9", ""))
    other = about.ModelFacts(detector.at(0.9))
    said = (
        f"Asked for this share of fakes, it called {other.false_alarms} of the real photos of its "
        f"test fake, and {other.misses} of the fakes real."
    )
    assert said in asked and "Asked for this share" not in own


def test_the_track_record_counts_test_photos_of_the_same_verdict_only(detector, monkeypatch):
    facts = about.ModelFacts(detector)
    scores = [(0.55, True)] * 30 + [(0.45, True)] * 7 + [(0.42, False)] * 5
    monkeypatch.setattr(about.ModelFacts, "_test_scores", scores)
    prior = detector.prior
    assert "12 photos had a score like this one: 7 fake, 5 real." in facts.track_record(0.49, prior)
    assert "30 photos had a score like this one: 30 fake, 0" in facts.track_record(0.51, prior)


def test_the_track_record_takes_the_prior_that_was_asked_for(detector, monkeypatch):
    facts = about.ModelFacts(detector)
    monkeypatch.setitem(detector.config, "prior", 0.5)
    monkeypatch.setattr(about.ModelFacts, "_test_scores", [(0.9, True)] * 12)
    assert "12 photos had a score like this one: 12 fake" in facts.track_record(0.52, 0.1)
    assert "only 0 photos" in facts.track_record(0.9, 0.1)


def test_a_track_record_of_few_photos_says_that_they_are_too_few(detector, monkeypatch):
    facts = about.ModelFacts(detector)
    monkeypatch.setattr(about.ModelFacts, "_test_scores", [(0.9, True)] * 9)
    assert "only 9 photos" in facts.track_record(0.9, detector.prior)


def test_test_scores_are_those_of_the_test_split(detector):
    photos = about.ModelFacts(detector).photos
    assert len(about.ModelFacts(detector)._test_scores) == photos["real"] + photos["fake"]


def test_the_model_card_is_shown_as_a_page(client, detector):
    page = client.get("/card")
    assert f"<h1>{detector.name}</h1>" in page.text and "<table>" in page.text


def test_the_card_is_shown_without_the_head_that_programs_read(client, detector):
    assert (detector.folder / "README.md").read_text(encoding="utf-8").startswith("---\nlicense:")
    page = client.get("/card").text
    assert "pipeline_tag" not in page and "model-index" not in page


def test_the_model_card_begins_with_a_summary_and_a_way_to_each_section(client, detector):
    page = client.get("/card").text
    ways = re.findall(r'<a href="#([^"]+)">([^<]+)</a>', page.partition('class="card"')[0])
    assert "Measured" in dict(ways).values() and "Misuse" in dict(ways).values()
    assert all(f'<h2 id="{place}">' in page for place, _ in ways if place != "main")
    assert page.index("In short") < page.index("Contents of the model card") < page.index("<h1>")
    assert detector.about in html.unescape(page)


@pytest.mark.parametrize(("rows", "folded"), [(12, False), (13, True)])
def test_a_long_table_of_the_card_is_folded(rows, folded):
    page, _ = card_html("| a |\n| - |\n" + "| 1 |\n" * rows)
    assert page.count("<table>") == 1 and ("<details>" in page) == folded
    assert ("Table of 13 rows" in page) == folded


def test_a_model_card_cannot_bring_in_markup(detector, client, monkeypatch):
    monkeypatch.setattr(about.ModelFacts, "card", lambda self: "<script>alert(1)</script> *x*")
    page = client.get("/card").text
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_the_api_describes_its_detector(client, detector):
    (model,) = client.get("/api/models").json["models"]
    assert model["name"] == detector.name and model["trained_on"] == "sample"
    assert model["test"]["metrics"]["roc_auc"].keys() == {"value", "low", "high"}


# --- what the file says about itself ---


def test_a_plain_photo_says_nothing_about_itself(face, client):
    assert images.read_photo(face).evidence == ()
    assert "that proves nothing" in text_of(send(client, ("a.jpg", face), path="/answer"))


def test_a_damaged_text_behind_the_pixels_is_told_and_no_bug(client):
    data = photo("PNG")
    damaged = data[:-12] + b"\0\0\0\3tEXta\0b????" + data[-12:]
    (told,) = send(client, ("a.png", damaged)).json["predictions"]
    assert told["evidence"][0]["sentence"] == "Its metadata is damaged."


def test_metadata_changes_nothing_of_the_score(client):
    plain, told = photo("PNG"), png(parameters="Steps: 20, Sampler: Euler a")
    answers = [send(client, ("a.png", d)).json["predictions"][0] for d in (plain, told)]
    assert answers[0]["p_fake"] == answers[1]["p_fake"]
    assert not answers[0]["evidence"] and answers[1]["evidence"]


def test_metadata_is_shown_escaped_and_shortened(client):
    page = send(client, ("a.png", png(parameters="<script>" + 5000 * "x")), path="/answer").text
    assert "<script>" not in page and "&lt;script&gt;" in page and 300 * "x" not in page


# --- the gallery ---


def test_the_gallery_offers_as_many_fakes_as_real_photos(app):
    gallery = app.extensions["deepfake_lab"].gallery
    fakes = [sample for sample in gallery.values() if sample.path.parent.name == "fake"]
    assert (len(gallery), len(fakes)) == (8, 4)
    assert all(sample.truth.startswith("a fake") for sample in fakes)


def test_the_gallery_does_not_give_the_answer_away(client):
    page = client.get("/").text
    assert "/samples/1.jpg" in page and not re.search(r"gan_|blend|swap|a real photo", page)


def test_a_sample_that_is_saved_has_a_name_that_does_not_tell(client, app):
    for number in app.extensions["deepfake_lab"].gallery:
        told = client.get(f"/samples/{number}.jpg").headers["Content-Disposition"]
        assert re.fullmatch(rf"inline; filename=\"?{number}\.jpg\"?", told)


def test_a_sample_is_judged_and_its_truth_told(client, app):
    page = text_of(client.get("/samples/1"))
    assert "Classification:" in page
    assert f"this sample is {app.extensions['deepfake_lab'].gallery['1'].truth}" in page


def test_a_sample_is_judged_for_the_share_of_fakes_that_was_chosen(client):
    default, chosen = (text_of(client.get(f"/samples/1?prior={p}")) for p in ("", "0.9"))
    assert "Classification:" in chosen and chosen != default
    assert client.get("/samples/1?prior=2").status_code == 400


@pytest.mark.parametrize(
    ("prior", "said"),
    [(0.5, "one photo in two"), (0.25, "25 in 100 photos"), (0.03, "3 in 100 photos"),
     (0.002, "2 in 1,000 photos"), (0.99, "99 in 100 photos"),
     (0.995, "all but 5 in 1,000 photos"), (0.001, "1 in 1,000 photos"),
     (0.0007, "7 in 10,000 photos"), (1e-6, "1 in 1,000,000 photos"),
     (0.99999, "all but 1 in 100,000 photos"), (0.999999, "all but 1 in 1,000,000 photos")],
)  # fmt: skip
def test_a_share_of_fakes_is_said_in_whole_photos(prior, said):
    assert web_app._in_a_hundred(prior) == said


def test_a_link_out_of_a_page_with_answers_opens_a_tab_of_its_own(client, face):
    page = send(client, ("a.jpg", face), path="/").text
    links = re.findall(r'<a ([^>]*href="\./(?!samples/)[^>]*)>', page)
    assert len(links) == 5 and 'id="new-tab" hidden>Opens in a new tab.' in page
    for link in links:
        assert 'target="_blank" rel="noopener" aria-describedby="new-tab"' in link
    assert "new-tab" in send(client, ("a.jpg", face), path="/answer").text
    assert "_blank" not in client.get("/card").text


@pytest.mark.parametrize("number", ["0", "99", "..%2f..%2fREADME", "1.png"])
def test_only_the_gallery_is_served(client, number):
    assert client.get(f"/samples/{number}").status_code == 404
    assert client.get(f"/samples/{number}.jpg").status_code == 404


# --- mistakes ---


def _line(width: int) -> bytes:
    """Return a picture that is hardly more than a line."""
    stream = io.BytesIO()
    Image.new("RGB", (width, 16)).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("files", "status", "code"),
    [
        ([], 400, "no_photo"),
        ([("", b"")], 400, "no_photo"),
        ([("a.jpg", b"")], 400, "not_an_image"),
        ([("a.jpg", b"hello")], 400, "not_an_image"),
        ([("a.jpg", photo()[:2000])], 400, "damaged_image"),
        ([("a.png", photo("PNG", 8))], 400, "too_small"),
        ([("a.png", _line(16 * limits.MAX_RATIO + 1))], 400, "too_small"),
        ([("a.jpg", bytes(limits.MAX_FILE_BYTES + 1))], 413, "too_large"),
        ([("a.jpg", b"x")] * (limits.MAX_FILES + 1), 400, "too_many_files"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_gets_its_code_and_a_sentence(client, files, status, code):
    response = send(client, *files)
    assert (response.status_code, code_of(response)) == (status, code)
    assert re.fullmatch(r"[A-Z0-9].{15,}\.", response.json["error"]["message"])


def test_what_is_no_form_is_refused(client):
    response = client.post("/api/predict", data=photo(), content_type="image/jpeg")
    assert (response.status_code, code_of(response)) == (415, "wrong_media_type")


@pytest.mark.parametrize("body", [b"hello", form(("a", b"x"))[0][:-20]])
def test_a_form_that_is_cut_off_is_refused(client, body):
    response = client.post("/api/predict", data=body, headers=form()[1])
    assert (response.status_code, code_of(response)) == (400, "bad_request")


def test_a_file_without_a_name_is_read(client, face):
    body, headers = form(("a.jpg", face))
    response = client.post(
        "/api/predict", data=body.replace(b'; filename="a.jpg"', b""), headers=headers
    )
    assert response.json["predictions"][0]["name"] == "photo"


@pytest.mark.parametrize("path", ["/api/nothing", "/nothing"])
def test_an_unknown_address_says_so_to_programs_and_people(client, path):
    response = client.get(path)
    assert response.status_code == 404 and problems.SENTENCES["not_found"] in response.text
    assert response.is_json == path.startswith("/api")


def test_a_wrong_method_names_the_right_one(client):
    response = client.get("/api/predict")
    assert (response.status_code, code_of(response)) == (405, "method_not_allowed")
    assert "POST" in response.headers["Allow"]


def test_a_mistake_on_the_page_is_told_on_a_page(client):
    response = send(client, ("a.jpg", b"hello"), path="/")
    assert response.status_code == 400 and response.mimetype == "text/html"
    assert "This is not an image" in response.text


# --- the API's description ---


def test_the_description_states_the_limits_of_the_server(client):
    document = client.get("/api/openapi.json").json
    numbers = [
        f"{limits.MAX_BODY_BYTES // limits.MEGABYTE} MB",
        f"{limits.MAX_FILES} photos",
        f"{limits.MAX_FILE_BYTES // limits.MEGABYTE} MB",
        f"{limits.MAX_PIXELS // 1_000_000} megapixels",
    ]
    assert all(number in document["info"]["description"] for number in numbers)
    content = document["paths"]["/api/predict"]["post"]["requestBody"]["content"]
    photos = content["multipart/form-data"]["schema"]["properties"]["photos"]
    assert photos["maxItems"] == limits.MAX_FILES


def test_the_description_knows_every_error_code_and_status(client):
    document = client.get("/api/openapi.json").json
    error = document["components"]["schemas"]["Error"]["properties"]["error"]
    assert set(error["properties"]["code"]["enum"]) == set(problems.STATUS)
    described = set(document["paths"]["/api/predict"]["post"]["responses"])
    assert described == {"200", "400", "405", "413", "415", "431", "500", "503"}


# Schemathesis fills the form with these; on its own it knows no images.
for _type in ("jpeg", "png", "webp", "avif", "gif", "tiff", "bmp"):
    schemathesis.openapi.media_type(
        f"image/{_type}", st.sampled_from([photo("JPEG", 48), photo("PNG", 64), photo("WEBP", 96)])
    )


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_the_api_keeps_to_its_description(app, mode):
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", app)
    operations = [result.ok() for result in schema.get_all_operations()]
    operations = [o for o in operations if o.path != "/api/openapi.json"]  # it has just been read
    assert len(operations) == 3
    for operation in operations:
        if mode == "negative" and operation.method == "get":
            continue  # without parameters nothing can be wrong
        requests = operation.as_strategy(generation_mode=schemathesis.GenerationMode(mode))

        @given(case=requests)
        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        def keeps_to_it(case):
            prior = case.body.get("prior") if isinstance(case.body, dict) else None
            # In a form a list of one or of nothing looks as what it holds.
            assume(not (isinstance(prior, list) and len(prior) < 2))
            case.call_and_validate()

        keeps_to_it()


# --- safety of the page ---


@pytest.mark.parametrize(
    "path", ["/", "/card", "/samples/1", "/samples/1.jpg", "/static/page.css", "/healthz",
             "/api/models", "/api/openapi.json", "/nothing", "/api/predict"],
)  # fmt: skip
def test_every_answer_carries_the_security_headers(client, path):
    headers = client.get(path).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_no_script_and_no_style_stands_in_a_page(client, face):
    for page in (client.get("/").text, send(client, ("a.jpg", face), path="/").text):
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", page)


def test_a_page_loads_nothing_from_elsewhere(client, face):
    page = send(client, ("a.jpg", face), path="/").text
    addresses = re.findall(r'(?:src|href|action)="([^"]*)"', page)
    assert len(addresses) > 10
    assert [a for a in addresses if not a.startswith(("./", "#", "data:image/"))] == []
    sheet, script = (client.get(f"/static/page.{kind}").text for kind in ("css", "js"))
    assert "http" not in sheet and "://" not in script and "@import" not in sheet


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "192.168.1.7", "127.0.0.1.evil.example"]
)
def test_a_local_server_answers_to_local_names_only(client, host):
    """Else a site could point its own name at this machine and read the answers."""
    for own in ("localhost:5000", "127.0.0.1", "[::1]:5000", "127.0.1.1:5000"):
        assert client.get("/healthz", headers={"Host": own}).status_code == 200
    assert client.get("/healthz", headers={"Host": host}).status_code == 400


def test_a_shared_server_answers_to_every_name(detector):
    client = create_app(detector, local=False).test_client()
    assert client.get("/healthz", headers={"Host": "lab.example"}).status_code == 200
    assert "Photos are judged in this server's memory" in client.get("/").text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\me.jpg", "me.jpg"),
        ("\u202egpj.exe", "gpj.exe"),
        ("a\x00b\nc.jpg", "abc.jpg"),
        ("", "photo"),
        ("x" * 200 + ".jpg", "x" * 200 + ".jpg"),
        ("x" * 500 + ".jpg", "x" * 200 + "…" + "x" * 46 + ".jpg"),
    ],
)
def test_a_file_name_is_cleaned_for_people(name, shown):
    assert uploads.clean_name(name) == shown


def test_two_long_names_are_told_apart_where_they_are_worked_with(client, face):
    names = [f"{'portrait_' * 9}000{number}_edited_final.jpg" for number in (1, 2)]
    files = [(name, face) for name in names]
    told = send(client, *files).json["predictions"]
    assert [answer["name"] for answer in told] == names
    page = send(client, *files, path="/").text
    (file,) = re.findall(r'href="data:text/csv;charset=utf-8,([^"]*)"', page)
    assert [row["photo"] for row in _rows(file)] == names
    assert f">{uploads.shortened(names[0])}</a>" in page


@pytest.mark.parametrize("path", ["/answer", "/api/predict"])
def test_a_raw_file_of_a_camera_is_called_so(client, face, path):
    stream = io.BytesIO()
    Image.open(io.BytesIO(face)).save(stream, "TIFF")
    told = send(client, ("photo.dng", stream.getvalue()), path=path)
    assert told.status_code == 400 and "raw file is not read here" in told.text
    assert send(client, ("photo.tif", stream.getvalue()), path=path).status_code == 200


def test_a_file_name_is_escaped_on_the_page(client, face):
    page = send(client, ("<img src=x onerror=y>.jpg", face), path="/answer").text
    assert "<img src=x" not in page and "&lt;img src=x onerror=y&gt;.jpg" in page


# --- starting it ---


def run_page(*arguments: str, flags: tuple[str, ...] = (), **options):
    command = [sys.executable, *flags, str(paths.project() / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)


def test_without_the_packages_run_py_says_the_one_command():
    ended = run_page(flags=("-S",))  # without the folder in which packages are installed
    assert ended.returncode == 1 and ended.stdout == ""
    assert re.fullmatch(r"The package '\w+' is not installed .* Type: [^\n]+\n", ended.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--model", "nowhere"), "No detector 'nowhere'"), (("--port", "99999"), "0 to 65535")],
)
def test_a_start_that_cannot_work_says_why_in_one_line(arguments, words, run_folder):
    model = () if "--model" in arguments else ("--model", str(run_folder))
    ended = run_page(*model, *arguments)
    said = ended.stderr.splitlines()
    assert ended.returncode == 2 and len(said) == 1 and words in said[0]


def test_a_port_that_is_taken_names_another(served, run_folder):
    ended = run_page("--model", str(run_folder), "--port", str(served.effective_port))
    assert ended.returncode == 2 and f"--port {int(served.effective_port) + 1}" in ended.stderr


def test_the_server_never_imports_tensorflow_and_never_unpickles(run_folder):
    program = f"""
import sys
found = []
sys.addaudithook(lambda event, _: found.append(event) if event.startswith("pickle") else None)
from benchmarks.web import form, photo
from deepfake_lab.web import create_app
from deepfake_lab.web.server import load_detector
client = create_app(load_detector({str(run_folder)!r})).test_client()
body, headers = form(("a.jpg", photo()))
status = client.post("/", data=body, headers=headers).status_code
heavy = {{"tensorflow", "keras", "pandas", "sklearn", "matplotlib"}} & set(sys.modules)
print(status, sorted(heavy), found)
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=paths.project()
    )
    assert ended.stdout == "200 [] []\n", ended.stderr


def test_where_no_photo_of_several_can_be_judged_each_is_named_with_its_reason(client):
    files = [("a.jpg", b"no"), ("b.jpg", b"GIF89a"), ("c.png", b"")]
    said = send(client, *files).json["error"]
    assert said["code"] == "not_an_image"
    for name, _ in files:
        assert f"{name}: This" in said["message"]
    shown = text_of(send(client, *files, path="/"))
    assert all(name in shown for name, _ in files)


def test_rates_and_band_are_those_of_the_prior_that_is_answered_at(detector):
    own, other = about.ModelFacts(detector), about.ModelFacts(detector.at(0.9))
    assert own.false_alarms == about.Rate(**own.metrics["false_alarm_rate"])
    assert other.false_alarms.value > own.false_alarms.value
    assert other.misses.value < own.misses.value
    scores, fake = np.asarray(other._test_scores).T
    assert other.misses.value == pytest.approx((scores[fake == 1] < 0.5).mean())
    assert other.misses.low <= other.misses.value < other.misses.high
    said = other.to_json()
    assert said["uncertain_band"] == list(detector.at(0.9).band)
    assert (said["prior"], said["test"]["prior"]) == (0.9, detector.config["prior"])


def test_the_page_says_what_came_of_sources_that_were_never_learned_from(tmp_path, detector):
    folder = tmp_path / "detector"
    shutil.copytree(detector.folder, folder)
    rows = ["what,photos,measure,value,low,high,worn,worn_low,worn_high",
            "real,306,called fake,0.013,0.003,0.027,,,", "fake,716,called real,0.543,0.49,0.6,,,",
            "gan,9,AUC,0.8,0.7,0.9,0.7,0.6,0.8"]  # fmt: skip
    (folder / "unseen.csv").write_text("\n".join(rows))
    copy = Detector.load(folder)
    page = text_of(create_app(copy).test_client().get("/"))
    assert "1,022 photos of sources that it never learned from, it called 1.3%" in page
    assert "54.3% (95% interval 49.0% to 60.0%) of the fakes real" in page
    # What was measured at one prior says nothing of another.
    assert "never learned from" not in text_of(create_app(copy.at(0.9)).test_client().get("/"))
