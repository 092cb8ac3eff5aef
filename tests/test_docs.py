"""The site without building it: every page has its place, and every link its target."""

import re
import sys
import urllib.parse

import nbformat
import pytest
import yaml

from deepfake_lab import paths

sys.path.insert(0, str(paths.project() / "tools"))
import make_site

ROOT = paths.project()
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *(ROOT / page for page in make_site.PAGES)]
WITH_LINKS = [*PAGES, ROOT / "README.md"]
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|<img [^>]*src=\"([^\"]+)\"")


def _targets(text: str) -> list[str]:
    """Return where a page's own links lead, not those to other sites."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = ["".join(groups) for groups in _LINK.findall(re.sub(r"`[^`\n]*`", "", prose))]
    return [target for target in found if not re.match(r"[a-z]+:", target)]


def _anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MyST make them."""
    prose = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def _broken(text: str, folder) -> list[str]:
    broken = []
    for target in _targets(text):
        name, _, anchor = urllib.parse.unquote(target).partition("#")
        file = (folder / name).resolve() if name else None
        if file is not None and not file.exists():
            broken.append(target)
        elif anchor and (file is None or file.suffix == ".md"):
            there = file.read_text(encoding="utf-8") if file else text
            if anchor not in _anchors(there):
                broken.append(target)
    return broken


@pytest.mark.parametrize("page", WITH_LINKS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_of_a_page_has_a_target(page):
    assert _broken(page.read_text(encoding="utf-8"), page.parent) == []


@pytest.mark.parametrize(
    "file", [*make_site.notebooks(), *sorted((paths.notebooks() / "solutions").glob("*.ipynb"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)  # fmt: skip
def test_every_link_of_a_notebook_has_a_target(file):
    cells = nbformat.read(file, as_version=4).cells
    prose = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert _broken(prose, file.parent) == []


def test_a_missing_file_and_a_missing_heading_are_both_broken_links(tmp_path):
    (tmp_path / "b.md").write_text("# Title of B\n", encoding="utf-8")
    text = "[1](b.md#title-of-b) [2](b.md#nothing) [3](c.md) [4](#here)\n\n## Here\n"
    assert _broken(text, tmp_path) == ["b.md#nothing", "c.md"]


def test_the_table_of_contents_names_every_page():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    trees = re.findall(r"```\{toctree\}\n(.*?)```", index, re.DOTALL)
    lines = [line for tree in trees for line in tree.splitlines()]
    entries = [line for line in lines if line and not line.startswith(":")]
    named = [re.sub(r"^.* <(.+)>$", r"\1", entry) for entry in entries]
    pages = {f"docs/{file.name}" for file in (ROOT / "docs").glob("*.md")} - {"docs/index.md"}
    pages |= {*make_site.PAGES, *make_site.WRITTEN}
    pages |= {f"notebooks/{file.name}" for file in make_site.notebooks()}
    there = [name[3:] if name.startswith("../") else f"docs/{name}" for name in named]
    assert sorted(there) == sorted(page.rpartition(".")[0] for page in pages)


def test_the_settings_run_no_notebook_and_begin_with_the_index():
    settings = (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
    assert 'nb_execution_mode = "off"' in settings and 'root_doc = "docs/index"' in settings


def test_the_api_page_shows_every_public_name():
    import deepfake_lab

    page = make_site.api_page()
    public = [name for name in deepfake_lab.__all__ if name != "__version__"]
    shown = [name for name in public if f":: deepfake_lab.{name}\n" in page]
    assert public and shown == public


def test_the_pages_are_laid_out_as_in_the_repository_without_the_heads_of_the_cards(tmp_path):
    source = make_site.lay_out(tmp_path / "source")
    for page in [*make_site.PAGES, *make_site.WRITTEN]:
        assert (source / page).is_file(), page
    card = (source / "models" / "efficientnet" / "README.md").read_text(encoding="utf-8")
    assert card.lstrip().startswith("# efficientnet")


def test_notebooks_are_opened_elsewhere_only_where_a_repository_is_named():
    assert make_site.open_in("") == ""
    links = make_site.open_in("https://github.com/owner/name")
    assert links.count("colab.research.google.com/github/owner/name/blob/main/notebooks/") == 6
    assert links.count("mybinder.org/v2/gh/owner/name/main?labpath=notebooks%2F") == 6


def test_the_glossary_has_a_heading_for_each_word_in_order():
    words = re.findall(r"^## (.+)$", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.M)
    assert len(words) > 50 and words == sorted(words, key=str.lower)


def test_the_site_is_put_out_as_it_is_built():
    workflow = yaml.safe_load((ROOT / ".github/workflows/pages.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["site"]["steps"]
    assert {"run": "make docs"} in steps
    (upload,) = (step for step in steps if "upload-pages" in step.get("uses", ""))
    assert ROOT / upload["with"]["path"] == make_site.SITE / "html"


@pytest.mark.parametrize("name", [path.stem for path in make_site.notebooks()])
def test_every_notebook_has_a_small_thumbnail(name):
    file = ROOT / "docs" / "thumbnails" / f"{name}.png"
    assert 0 < file.stat().st_size < 25_001


def test_the_picture_of_the_page_is_small():
    assert (ROOT / "docs" / "page.png").stat().st_size < 200_000


def test_the_counts_of_a_notebook_are_those_of_its_cells():
    import count_courses

    cells = list(
        count_courses._cells("# %% [markdown]\n# Two words\n# %%\nplot()\nwidgets.Text()\n")
    )
    counted = count_courses._counted([cells], by_calls=False)
    assert (counted["words_a_line"], counted["longest_cell"], counted["interactions"]) == (1, 2, 1)


def test_the_counts_are_shown_with_the_commits_that_were_read():
    import json

    import count_courses

    page = count_courses.PAGE.read_text(encoding="utf-8")
    record = json.loads(count_courses.RECORD.read_text(encoding="utf-8"))
    assert set(record) == set(count_courses.COURSES)
    assert all(row["commit"] in page for row in record.values())
