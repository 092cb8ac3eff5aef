"""The page in a real browser: what a person sees, with and without JavaScript."""

import csv
import re
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.web import photo
from tests.proxy import mount

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
VERDICT = re.compile(r"Classification: (FAKE|REAL)\s+Confidence: \d{1,2}\.\d\d%")


@pytest.fixture
def open_page(browser, served):
    """Return a function that opens the page in a fresh window with the given options."""
    contexts = []

    def open_(path: str = "", block: str = "", root: str = "", **options):
        options = {"viewport": DESKTOP, "reduced_motion": "reduce"} | options
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        if block:
            page.route(block, lambda route: route.abort())
        page.complaints = []
        page.on("console", lambda m: m.type == "error" and page.complaints.append(m.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.goto((root or served.url) + path)
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def face(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("photos") / "face.jpg"
    file.write_bytes(photo(side=300))
    return file


def upload(page, *files):
    """Choose files and wait until all of them have their answer."""
    page.set_input_files("#photos", files)
    page.wait_for_selector(".answer h2")
    page.wait_for_selector(".pending", state="detached")
    return page.locator(".answer")


def test_an_uploaded_photo_gets_its_verdict_without_a_reload(open_page, face):
    page = open_page()
    page.evaluate("() => { window.stayed = true }")
    answer = upload(page, face)
    assert VERDICT.search(" ".join(answer.inner_text().split()))
    assert page.evaluate("() => window.stayed") and page.complaints == []


@pytest.mark.parametrize("start", ["", "samples/1"])
def test_the_script_works_behind_a_proxy_that_mounts_the_page_at_a_prefix(
    open_page, served, face, start
):
    with mount(served.effective_port) as root:
        page = open_page(start, root=root)
        upload(page, face)
        assert VERDICT.search(" ".join(page.locator(".answer").first.inner_text().split()))
        page.locator(".gallery a").nth(1).click()
        page.wait_for_selector(".truth")
        page.wait_for_selector(".pending", state="detached")
        page.locator(".more summary").first.click()  # folded: there are two answers
        with page.expect_popup() as card:
            page.get_by_role("link", name="Model card", exact=True).first.click()
        card.value.wait_for_url(f"{root}card")
        assert card.value.locator(".card h1").is_visible() and page.complaints == []
        assert page.locator(".answer").count() >= 2  # the answers stay


def test_what_the_answer_rests_on_is_shown_without_being_asked_for(open_page, face):
    page = open_page()
    upload(page, face)
    assert page.locator(".heat").is_visible() and page.get_by_text("What it rests on:").is_visible()


def test_the_spectrum_is_folded_until_it_is_asked_for(open_page, face):
    page = open_page()
    upload(page, face)
    assert not page.locator(".spectra img").first.is_visible()
    page.get_by_text("Its spectrum, beside a camera's").click()
    assert page.locator(".spectra img").first.is_visible()


def test_the_pictures_of_an_answer_are_shown_despite_the_policy(open_page, face):
    page = open_page()
    upload(page, face)
    widths = page.eval_on_selector_all(".answer img", "all => all.map(i => i.naturalWidth)")
    assert len(widths) == 4 and min(widths) > 0 and page.complaints == []


@pytest.fixture(scope="module")
def group(tmp_path_factory) -> Path:
    """Four faces in one photo."""
    file = tmp_path_factory.mktemp("groups") / "group.jpg"
    whole = Image.new("RGB", (1200, 800), (140, 150, 150))
    for i, one in enumerate(sorted(SAMPLE.rglob("*.jpg"))[::40][:4]):
        whole.paste(Image.open(one).resize((300, 300)), (80 + i % 2 * 600, 60 + i // 2 * 380))
    whole.save(file, quality=92)
    return file


def test_in_a_group_photo_a_numbered_box_chooses_a_face_and_its_map(open_page, group):
    page = open_page()
    answer = upload(page, group)
    assert "Each face" in answer.inner_text() and page.complaints == []
    assert page.locator(".photo .number").all_text_contents() == ["1", "2", "3", "4"]
    faces = page.locator(".faces details")
    opened = faces.evaluate_all("all => all.map(one => one.open)")
    assert opened.count(True) == 1
    other = opened.index(False)
    page.locator(".photo .target").nth(other).click()
    assert faces.evaluate_all("all => all.map(one => one.open)").index(True) == other
    image = faces.nth(other).locator("img")
    assert image.is_visible() and image.evaluate("image => image.naturalWidth") > 0
    assert page.url == page.evaluate("() => location.origin") + "/"


def test_a_group_photo_is_answered_without_javascript_too(open_page, group):
    page = open_page(java_script_enabled=False)
    page.set_input_files("#photos", [group])
    page.get_by_role("button", name="Judge them").click()
    assert page.locator(".faces summary").count() == 4


def test_of_the_most_suspicious_face_there_is_one_map(open_page, group):
    page = open_page()
    upload(page, group)
    assert page.locator(".heat").count() == 1
    assert page.locator(".faces details[open]").count() == 1
    assert page.locator(".faces details[open] img").count() == 0
    assert page.locator(".faces img").count() == 3


@pytest.mark.parametrize("script", [True, False], ids=["script", "plain"])
def test_what_is_much_the_same_for_all_is_folded_where_there_are_several(
    open_page, face, group, script
):
    page = open_page(java_script_enabled=script)
    page.set_input_files("#photos", [face, group])
    if not script:
        page.get_by_role("button", name="Judge them").click()
    page.locator(".summary").first.wait_for()
    more = page.locator("#results .more")
    assert more.count() >= 2 and page.locator("#results .more[open]").count() == 0
    assert more.first.locator("p").is_hidden()
    more.first.locator("summary").click()
    assert more.first.locator("p").is_visible()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_share_of_fakes_can_be_chosen_and_changes_the_answer(open_page, face, viewport):
    page = open_page(viewport=viewport)
    upload(page, face)
    before = page.locator(".answer .scale .small").inner_text()
    page.locator("#prior").click()  # nothing lies over it
    page.keyboard.press("Escape")
    page.select_option("#prior", "0.9")
    page.set_input_files("#photos", [face])
    page.locator(".answer").nth(1).wait_for()
    page.wait_for_selector(".pending", state="detached")
    after = page.locator(".answer .scale .small").first.inner_text()
    assert "if 90 in 100 photos are fake" in after and after != before


def test_a_text_file_gets_an_error(open_page, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    answer = upload(open_page(), file)
    assert "No answer" in answer.inner_text() and "not an image" in answer.inner_text()
    assert answer.get_by_role("alert").count() == 1


def test_a_file_that_is_too_large_is_not_even_sent(open_page, tmp_path):
    file = tmp_path / "large.jpg"
    file.write_bytes(bytes(21_000_000))
    page = open_page()
    sent = []
    page.on("request", lambda request: sent.append(request.method))
    assert "more than 20 MB" in upload(page, file).inner_text()
    assert "POST" not in sent


def test_several_photos_are_answered_in_their_order(open_page, face, tmp_path):
    files = [face]
    for number in range(3):
        files.append(tmp_path / f"photo-{number}.png")
        files[-1].write_bytes(photo("PNG", 200 + number))
    page = open_page()
    answers = upload(page, *files)
    names = page.locator(".answer .name").all_inner_texts()
    assert answers.count() == 4 and names == [file.name for file in files]
    assert page.locator("#status").inner_text() == "4 photos judged."


def rows_of(page) -> list[str]:
    return [" ".join(row.split()) for row in page.locator(".summary tbody tr").all_inner_texts()]


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_several_photos_begin_with_a_summary_and_a_csv_file(open_page, face, tmp_path, script):
    text = tmp_path / 'a "b", c.txt'
    text.write_text("hello")
    page = open_page(java_script_enabled=script)
    page.set_input_files("#photos", [face, text])
    if not script:
        page.get_by_role("button", name="Judge them").click()
    page.wait_for_selector(".summary")
    first, second = rows_of(page)
    assert first.startswith("face.jpg") and first.endswith("%")
    assert second == f"{text.name} No answer"
    assert "2 photos: 1 " in page.locator(".summary h2").inner_text()
    with page.expect_download() as download:
        page.get_by_text("Download as CSV").click()
    with open(download.value.path(), newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["photo"] for row in rows] == ["face.jpg", text.name]
    assert 0 <= float(rows[0]["p_fake"]) <= 1 and rows[0]["error"] == ""
    assert rows[1]["verdict"] == "" and "not an image" in rows[1]["error"]
    page.locator(".summary a").nth(1).click()
    assert page.locator(":target .name").inner_text() == text.name


@pytest.mark.parametrize("name", ['=HYPERLINK("http:x","a").jpg', "+1", "-1", "@a", "a=1"])
def test_a_name_that_a_spreadsheet_would_run_is_text_where_there_is_no_answer(open_page, name):
    page = open_page()
    upload(page, *[{"name": name, "mimeType": "image/jpeg", "buffer": b"hello"}] * 2)
    with page.expect_download() as download:
        page.get_by_text("Download as CSV").click()
    with open(download.value.path(), newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["photo"] for row in rows] == [name if name[0] == "a" else f"'{name}"] * 2
    assert "not an image" in rows[0]["error"] and page.locator(".name").first.inner_text() == name


def test_a_photo_that_waits_keeps_the_share_of_fakes_it_was_given_with(open_page, face):
    page = open_page()
    waiting = []
    page.route("**/answer", lambda route: waiting.append(route))
    page.select_option("#prior", "0.9")
    page.set_input_files("#photos", [face, face])
    page.select_option("#prior", "0.01")
    page.set_input_files("#photos", [face])
    for _ in range(3):
        while not waiting:
            page.wait_for_timeout(20)
        waiting.pop().continue_()
        page.wait_for_timeout(100)
    page.wait_for_selector(".pending", state="detached")
    said = " ".join(page.locator(".answer .scale .small").all_inner_texts())
    assert said.count("if 90 in 100 photos are fake") == 2
    assert said.count("if 1 in 100 photos is fake") == 1


def test_the_summary_takes_in_what_comes_later_and_a_single_photo_has_none(
    open_page, face, tmp_path
):
    page = open_page()
    upload(page, face)
    assert page.locator(".summary").count() == 0
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(21_000_000))
    for number in (2, 3):
        page.set_input_files("#photos", [large])
        page.get_by_text(f"{number} photos:").wait_for()
    assert rows_of(page)[:2] == ["large.jpg No answer"] * 2 and len(rows_of(page)) == 3
    assert page.locator(".summary").count() == 1


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_photo_can_be_pasted_and_dropped(open_page, face, event):
    page = open_page()
    page.evaluate(
        """([kind, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "given.jpg"));
            const made = kind === "paste"
                ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
                : new DragEvent("drop", {dataTransfer: data, bubbles: true});
            document.body.dispatchEvent(made);
        }""",
        [event, list(face.read_bytes())],
    )
    page.wait_for_selector(".verdict")
    assert page.locator(".answer .name").inner_text() == "given.jpg"


def test_a_sample_is_judged_with_one_click(open_page):
    page = open_page()
    page.locator(".gallery a").first.click()
    page.wait_for_selector(".verdict")
    assert "The truth: this sample is" in page.locator(".answer").inner_text()
    assert page.url.endswith("/")


def test_the_page_works_without_javascript(open_page, face):
    page = open_page(java_script_enabled=False)
    page.set_input_files("#photos", [face])
    page.get_by_role("button", name="Judge them").click()
    answer = page.locator(".answer")
    assert VERDICT.search(" ".join(answer.inner_text().split()))
    assert page.locator(".heat").is_visible()


def test_an_error_is_told_without_javascript(open_page, tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("hello")
    page = open_page(java_script_enabled=False)
    page.set_input_files("#photos", [file])
    page.get_by_role("button", name="Judge them").click()
    assert "This is not an image" in page.get_by_role("alert").inner_text()


def test_the_keyboard_is_enough_and_ends_at_the_verdict(open_page, face):
    page = open_page()
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.id") == "photos"
    upload(page, face)
    assert page.evaluate("() => document.activeElement.className") in ("verdict", "headline")
    for _ in range(4):  # past what stands open, and the link to the model card in it
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.locator("details.fine").get_attribute("open") is not None


@pytest.mark.parametrize("width", [320, PHONE["width"]])
def test_a_phone_shows_everything_without_scrolling_sideways(open_page, face, width):
    page = open_page(viewport={"width": width, "height": 700})
    upload(page, face)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_what_is_dropped_or_pasted_without_a_file_is_told(open_page):
    page = open_page()
    for event, words in (("drop", "That is no file"), ("paste", "no picture in the clipboard")):
        page.evaluate(
            """(kind) => {
                const data = new DataTransfer();
                data.setData("text/plain", "https://example.org/face.jpg");
                document.body.dispatchEvent(kind === "paste"
                    ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
                    : new DragEvent("drop", {dataTransfer: data, bubbles: true}));
            }""",
            event,
        )
        assert words in page.get_by_role("status").inner_text()
    assert page.locator(".answer").count() == 0


def test_of_too_many_photos_the_rest_is_named(open_page):
    page = open_page()
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            for (let i = 0; i < 201; i += 1) data.items.add(new File(["x"], `${i}.jpg`));
            document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }"""
    )
    page.get_by_text("Only the first 200 of 201 photos are judged. 200 photos judged.").wait_for()
    assert page.locator(".failed").count() == 200


def test_a_busy_server_is_asked_again(open_page, face):
    page = open_page()
    refusals = []

    def refuse_once(route):
        if refusals:
            return route.continue_()
        refusals.append(route)
        return route.fulfill(status=503, headers={"Retry-After": "0.1"}, body="{}")

    page.route("**/answer", refuse_once)
    upload(page, face)
    assert len(refusals) == 1 and page.locator(".verdict").count() == 1


def test_a_server_that_has_gone_is_told(open_page, face):
    page = open_page()
    page.route("**/answer", lambda route: route.abort())
    assert "The server does not answer" in upload(page, face).inner_text()


@pytest.mark.parametrize(
    ("viewport", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)
@pytest.mark.parametrize("view", ["home", "plain", "answers", "card", "error"])
def test_an_accessibility_checker_finds_nothing(
    open_page, face, group, tmp_path, view, viewport, scheme
):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    # The checker is a script of its own, which the page's policy would keep out.
    options = {"viewport": viewport, "color_scheme": scheme, "bypass_csp": True}
    path = {"card": "card", "error": "nothing", "plain": "samples/1"}.get(view, "")
    page = open_page(path, block="**/page.js" if view == "plain" else "", **options)
    if view == "answers":
        text = tmp_path / "notes.txt"
        text.write_text("hello")
        blank = tmp_path / "blank.jpg"
        blank.write_bytes(photo(side=100, quality=10))
        upload(page, face, text, blank, group)
        page.get_by_text("Its spectrum, beside a camera's").first.click()
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = axe.Axe().run(page, options={"runOnly": rules})
    assert len(found.response["passes"]) > 15
    assert found.violations_count == 0, found.generate_report()
