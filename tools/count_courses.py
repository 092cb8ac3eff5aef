"""Count what this course and five others offer: exercises, interactions, figures, words, code.

    python tools/count_courses.py                 our row anew, the others as they were counted
    python tools/count_courses.py --clones DIR    all rows, from the clones in DIR

Fills the marked region of `docs/comparison.md`; what was counted, with the commits, is kept in
`docs/courses.json`. A clone lies in `DIR/<owner>+<name>`, as a checkout or a bare repository
(`git clone --bare`); one commit of it is read. Definitions stand in `docs/comparison.md`.
"""

import argparse
import ast
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "comparison.md"
RECORD = ROOT / "docs" / "courses.json"
BEGIN = "<!-- counts: written by tools/count_courses.py, not by hand -->"
END = "<!-- end of counts -->"


class Cell(NamedTuple):
    """A cell of a notebook, or of a script in cells."""

    code: bool
    source: str
    figure: bool
    widget: bool


class Course(NamedTuple):
    """Where a course is read.

    Attributes:
        clone: ``owner+name``; a fork where the original was too large to fetch.
        revision: the original's last commit that the fork holds, or the newest.
        original: ``owner/name`` whose commit that is.
        files: which files of the newest commit are its lessons.
        asked: lessons -> how many tasks they set their reader.
        extra: files whose text counts for ``asked`` alone.
    """

    clone: str
    revision: str
    original: str
    files: str
    asked: Callable[[list[str]], int]
    extra: str = "$."


def _numbered(texts: list[str]) -> int:
    """Questions in lists that follow a heading 'Questionnaire' or 'Further Research'."""
    found = 0
    for text in texts:
        for part in re.split(r"^#+ ", text, flags=re.MULTILINE):
            if part.startswith(("Questionnaire", "Further Research")):
                found += len(re.findall(r"^\d+\. ", part, re.MULTILINE))
    return found


def _homl(texts: list[str]) -> int:
    """Exercises under headings such as '## 1. to 8.' and '## 9. ...'."""
    found = 0
    for text in texts:
        _, _, part = text.partition("# Exercises\n")
        for first, last in re.findall(r"^## (\d+)\.(?: to (\d+)\.)?", part, re.MULTILINE):
            found += int(last or first) - int(first) + 1
    return found


def _mooc(texts: list[str]) -> int:
    """Places to write code in exercise notebooks, and questions of quizzes."""
    return sum(
        len(re.findall(r"^# Write your code here", text, re.MULTILINE))
        + len(re.findall(r"^```\{admonition\} Question", text, re.MULTILINE))
        for text in texts
    )


def _headed(texts: list[str]) -> int:
    """Headings that say exercise."""
    return sum(len(re.findall(r"^#+ Exercises?\b", text, re.MULTILINE)) for text in texts)


COURSES = {
    "scikit-learn-mooc": Course(
        "castorfou+scikit-learn-mooc",
        "e1ec9db1",
        "INRIA/scikit-learn-mooc",
        r"python_scripts/(?!.*_(ex|sol)_).*\.py",
        _mooc,
        r"(python_scripts/.*_ex_.*\.py|jupyter-book/.*quiz.*\.md)",
    ),
    "computervision-recipes, classification": Course(
        "microsoft+computervision-recipes",
        "HEAD",
        "microsoft/computervision-recipes",
        r"scenarios/classification/\d.*\.ipynb",
        _headed,
    ),
    "fastbook, chapters 1 and 5": Course(
        "finn-no+fastbook",
        "e57e315",
        "fastai/fastbook",
        r"(01_intro|05_pet_breeds)\.ipynb",
        _numbered,
    ),
    "handson-ml3, chapter 14": Course(
        "ageron+handson-ml3", "HEAD", "ageron/handson-ml3", r"14_.*\.ipynb", _homl
    ),
    "keras-io, EfficientNet example": Course(
        "ekmixon+keras-io",
        "HEAD",
        "keras-team/keras-io",
        r"examples/vision/ipynb/image_classification_efficientnet_fine_tuning\.ipynb",
        _headed,
    ),
}

#: Figures of the keras-io example stand in its page, not in the notebook, which stores no outputs.
_PAGES = {
    "keras-io, EfficientNet example": r"examples/vision/md/"
    r"image_classification_efficientnet_fine_tuning\.md"
}
_DRAWS = re.compile(r"\.(plot|imshow|hist|scatter|show_batch|boxplot|pairplot|heatmap)\w*\(|^sns\.")
_INTERACTS = re.compile(r"\bwidgets\.\w+\(|\binteract\w*\(|FileUpload\(|\w+Widget\(|display_quiz\(")


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clones", type=Path, help="folder of clones, to count the others anew")
    options = parser.parse_args()
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.is_file() else {}
    if options.clones:
        record = {name: count(name, options.clones) for name in COURSES}
        RECORD.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE.name} lacks the marks {BEGIN} and {END}.")
    content = table({"Deepfake Lab": ours(), **record})
    PAGE.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}", encoding="utf-8")
    return 0


def ours() -> dict:
    """Return the counts of this course, from `notebooks/`."""
    stub = (ROOT / "deepfake_lab" / "course" / "__init__.pyi").read_text(encoding="utf-8")
    offered = {
        alias.name
        for node in ast.parse(stub).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    moving = offered - {"check", "exercise", "grade", "run_course", "KernelDied"}
    calls = re.compile(
        r"\bcourse\.(?!check\(|grade\()\w+\(|(?<!\w)(?:" + "|".join(sorted(moving)) + r")\("
    )
    lessons = []
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = [
            cell._replace(widget=cell.widget or (cell.code and bool(calls.search(cell.source))))
            for cell in _cells(file.read_text(encoding="utf-8"))
        ]
        lessons.append(cells)
    code = "\n".join(cell.source for cells in lessons for cell in cells if cell.code)
    checks = set(re.findall(r"""check\(\s*["'](\d\d [^"']+)["']""", code))
    quizzes = (ROOT / "deepfake_lab" / "course" / "quizzes").glob("*.json")
    questions = sum(len(json.loads(file.read_text(encoding="utf-8"))) for file in quizzes)
    tasks = len(checks) + questions  # a quiz answers, too
    return {"commit": "", "tasks": tasks, "checked": tasks, **_counted(lessons, False)}


def count(name: str, clones: Path) -> dict:
    """Return the counts of another course, from its clone."""
    course = COURSES[name]
    git = _git_directory(clones / course.clone)
    files = _said(git, "ls-tree", "-r", "--name-only", course.revision).splitlines()

    def texts(pattern: str) -> list[str]:
        chosen = [file for file in files if re.fullmatch(pattern, file)]
        return [_said(git, "show", f"{course.revision}:{file}") for file in chosen]

    lessons = [list(_cells(text)) for text in texts(course.files)]
    if not lessons:
        raise SystemExit(f"{course.clone} holds no file {course.files}.")
    prose = ["\n".join(cell.source for cell in cells if not cell.code) for cells in lessons]
    counted = _counted(lessons, not any(cell.figure for cells in lessons for cell in cells))
    for page in texts(_PAGES[name]) if name in _PAGES else ():
        counted["figures"] = len(re.findall(r"^!\[", page, re.MULTILINE)) / len(lessons)
    commit = _said(git, "log", "-1", "--format=%h of %cs", course.revision).strip()
    tasks = course.asked([*prose, *texts(course.extra)])
    return {"commit": f"{course.original} {commit}", "tasks": tasks, "checked": 0,
            **counted}  # fmt: skip


def _git_directory(folder: Path) -> Path:
    for place in (folder / ".git", folder / "repo", folder):
        if (place / "HEAD").is_file():
            return place
    raise SystemExit(f"{folder} is no clone.")


def _said(git: Path, *arguments: str) -> str:
    command = ["git", f"--git-dir={git}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _cells(text: str) -> Iterator[Cell]:
    """Yield the cells of a notebook (JSON) or of a script in the percent format."""
    if text.lstrip().startswith("{"):
        for cell in json.loads(text)["cells"]:
            source = "".join(cell["source"])
            data = [output.get("data", {}) for output in cell.get("outputs", [])]
            figure = any(
                "image/png" in one or "image/jpeg" in one or "data:image/" in str(one)
                for one in data
            )
            views = [one for one in data if "application/vnd.jupyter.widget-view+json" in one]
            moves = any("Progress" not in str(one.get("text/plain")) for one in views)
            code = cell["cell_type"] == "code"
            yield Cell(code, source, figure, moves or (code and bool(_INTERACTS.search(source))))
        return
    for part in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]:
        head, _, body = part.partition("\n")
        if "[markdown]" in head:
            yield Cell(False, re.sub(r"^# ?", "", body, flags=re.MULTILINE), False, False)
        else:
            yield Cell(True, body.strip(), False, bool(_INTERACTS.search(body)))


def _counted(lessons: list[list[Cell]], by_calls: bool) -> dict:
    """Return what is counted in cells; `by_calls`: cells that draw stand for stored figures."""
    cells = [cell for lesson in lessons for cell in lesson]
    lengths = [
        sum(bool(line.strip()) for line in cell.source.splitlines())
        for cell in cells
        if cell.code and cell.source.strip()
    ]
    words = sum(len(re.findall(r"\w+", _plain(cell.source))) for cell in cells if not cell.code)
    drawn = [_DRAWS.search(cell.source) if by_calls else cell.figure for cell in cells if cell.code]
    shown = sum(len(re.findall(r"!\[|<img ", cell.source)) for cell in cells if not cell.code)
    return {
        "notebooks": len(lessons),
        "interactions": sum(cell.widget for cell in cells),
        "figures": (sum(map(bool, drawn)) + shown) / len(lessons),
        "figures_by_calls": by_calls,
        "words_a_line": words / sum(lengths),
        "median_cell": statistics.median(lengths),
        "longest_cell": max(lengths),
    }


def _plain(markdown: str) -> str:
    """Return what a reader reads: no addresses, no tags, no attachments."""
    text = re.sub(r"\]\([^)]*\)|<[^>]*>|https?://\S+", " ", markdown)
    return re.sub(r"```.*?```", " ", text, flags=re.DOTALL)


def table(record: dict[str, dict]) -> str:
    """Return the counts as a Markdown table, and below it what was read."""
    head = ["course", "notebooks", "tasks", "answered by a check", "cells to move or answer",
            "figures a notebook", "words a code line", "code cell: median, longest"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for name, row in record.items():
        figures = f"{row['figures']:.1f}" + ("*" if row["figures_by_calls"] else "")
        cell = f"{row['median_cell']:g}, {row['longest_cell']}"
        numbers = [row["notebooks"], row["tasks"], row["checked"], row["interactions"], figures,
                   f"{row['words_a_line']:.1f}", cell]  # fmt: skip
        lines.append("| " + " | ".join([name, *map(str, numbers)]) + " |")
    lines += ["", "Counted in " + "; ".join(
        row["commit"] for row in record.values() if row["commit"]
    ) + "."]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
