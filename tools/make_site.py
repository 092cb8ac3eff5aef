"""Build the site: guides, notebooks as stored, API, model cards, measurements.

    python tools/make_site.py             everything, into build/site/html (what `make docs` does)
    python tools/make_site.py --source    lay out the pages in build/site/source, build nothing

The pages are laid out as they lie in the repository, so that one link serves both. Three kinds are
written here and nowhere else: the API reference from `__init__.pyi`, the tables of
`benchmarks/*.json`, and the notebooks' page with its links to Colab and Binder, which stand there
once `pyproject.toml` names the repository. Warnings, a broken link among them, end with status 1.
"""

import argparse
import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "site"

#: What is laid out beside `docs/`.
PAGES = [
    "CHANGELOG.md", "CONTRIBUTING.md", "PROJECT_STRUCTURE.md", "data/README.md", "models/README.md",
    "models/efficientnet/README.md", "models/cnn/README.md",
]  # fmt: skip
PICTURES = ["figures/benchmark_engine.png"]
WRITTEN = ["docs/api.md", "docs/benchmarks.md"]

_ROOMS = {
    "photos": "Photos",
    "data": "Data sets",
    "auditing": "What is wrong with a data set",
    "detection": "Detectors and answers",
    "evaluation": "Evaluation",
    "training": "Training",
    "sweeping": "Sweeps",
    "course": "The course",
    "errors": "Errors",
}


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", action="store_true", help="lay out the pages, build nothing")
    options = parser.parse_args()
    source = lay_out(SITE / "source")
    if options.source:
        return 0
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    # Fresh each time: what an earlier build keeps in mind hides the warnings of pages that stay.
    shutil.rmtree(SITE / "html", ignore_errors=True)
    build += ["-E", "-d", SITE / "doctrees", "-c", ROOT / "docs", source, SITE / "html"]
    status = subprocess.run(list(map(str, build))).returncode
    if status == 0:
        print(f"The site lies in {(SITE / 'html').relative_to(ROOT)}: open index.html there.")
    return status


def lay_out(source: Path) -> Path:
    """Write all pages of the site below a folder, as they lie in the repository."""
    shutil.rmtree(source, ignore_errors=True)
    ignore = shutil.ignore_patterns("conf.py", "static", "front", "__pycache__")
    shutil.copytree(ROOT / "docs", source / "docs", ignore=ignore)
    for page in PAGES:
        _write(source / page, _without_head((ROOT / page).read_text(encoding="utf-8")))
    for picture in PICTURES:
        (source / picture).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / picture, source / picture)
    (source / "notebooks").mkdir()
    for notebook in notebooks():
        shutil.copy(notebook, source / "notebooks")
    for page, text in zip(WRITTEN, (api_page(), benchmarks_page()), strict=True):
        _write(source / page, text)
    links = open_in(repository())
    if links:
        with (source / "docs" / "notebooks.md").open("a", encoding="utf-8") as page:
            page.write("\n## Open them elsewhere\n\n" + links)
    return source


def notebooks() -> list[Path]:
    """Return the course's notebooks in order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _without_head(text: str) -> str:
    """Return a page without the YAML that other readers want (the model cards have it)."""
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)


def repository() -> str:
    """Return the address of the repository, ``https://github.com/...``; empty: none is named."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository", "").removesuffix(".git").rstrip("/")


def open_in(address: str) -> str:
    """Return a list of links that open each notebook of a GitHub repository elsewhere."""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", address)
    if not found:
        return ""
    name = found.group(1)
    return "".join(
        f"- {file.stem}: "
        f"[Colab](https://colab.research.google.com/github/{name}/blob/main/notebooks/{file.name})"
        f", [Binder](https://mybinder.org/v2/gh/{name}/main?labpath=notebooks%2F{file.name})\n"
        for file in notebooks()
    )


# --- the API ---


def public_names() -> dict[str, list[tuple[str, str]]]:
    """Return room -> (name as it is used, where it is defined) of all that the API page shows."""
    rooms: dict[str, list[tuple[str, str]]] = {room: [] for room in _ROOMS}
    for package in ("deepfake_lab", "deepfake_lab.course"):
        stub = ROOT / package.replace(".", "/") / "__init__.pyi"
        for node in ast.parse(stub.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                room = "course" if "course" in package else (node.module or "").split(".")[0]
                module = f"{package}.{node.module}"
                names = [(f"{package}.{alias.name}", module) for alias in node.names]
                known = {name for name, _ in rooms.setdefault(room, [])}
                rooms[room] += [pair for pair in names if pair[0] not in known]
    return {room: names for room, names in rooms.items() if names}


def api_page() -> str:
    """Return the API reference: a directive for each name, room by room."""
    lines = [
        "# API reference",
        "",
        "`import deepfake_lab as dl` offers the names below, each imported when it is first used, "
        "so that an answer never waits for TensorFlow. What the notebooks draw with stands in "
        "[plots](#figures).",
    ]
    for room, names in public_names().items():
        lines += ["", f"## {_ROOMS.get(room, room)}"]
        for name, _ in names:
            kind = "autofunction" if name.rpartition(".")[2][0].islower() else "autoclass"
            lines += ["", "```{eval-rst}", f".. {kind}:: {name}"]
            lines += ["   :members:"] if kind == "autoclass" else []
            lines += ["```"]
    lines += ["", "## Figures", "", "```{eval-rst}", ".. automodule:: deepfake_lab.plots"]
    return "\n".join([*lines, "   :members:", "```", ""])


# --- measurements ---


def benchmarks_page() -> str:
    """Return what `benchmarks/*.json` record, as tables."""
    lines = [
        "# Measurements",
        "",
        "What the scripts of `benchmarks/` have measured, each on the machine that its table "
        "names. Run a script again to measure yours. Where a check reads *false*, the limit that "
        "we set ourselves was missed.",
    ]
    for file in sorted((ROOT / "benchmarks").glob("*.json")):
        script = file.with_suffix(".py")
        what = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
        lines += ["", f"## {file.stem}", "", what.split("\n\n")[0].replace("\n", " "), ""]
        lines += [f"`python benchmarks/{script.name}`"]
        record = json.loads(file.read_text(encoding="utf-8"))
        scalars = {key: value for key, value in record.items() if not isinstance(value, dict)}
        lines += _table(scalars)
        for key, value in record.items():
            if isinstance(value, dict):
                lines += ["", f"### {file.stem}: {_words(key)}", *_table(value)]
    return "\n".join(lines) + "\n"


def _table(record: dict) -> list[str]:
    rows = list(_flat(record))
    if not rows:
        return []
    return ["", "| what | value |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)]


def _flat(value: object, above: str = "") -> list[tuple[str, str]]:
    """Return the leaves of a record: (where it stands, value as text)."""
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        pairs = {str(number): item for number, item in enumerate(value, 1)}.items()
    else:
        return [(above, _text(value))]
    return [
        row
        for key, item in pairs
        for row in _flat(item, f"{above}, {_words(key)}" if above else _words(key))
    ]


def _words(key: str) -> str:
    return str(key).replace("_", " ").replace("|", "/")


def _text(value: object) -> str:
    if isinstance(value, list):
        several = len(value) > 8 and all(isinstance(item, int | float) for item in value)
        if several:
            return f"{len(value)} values, {_text(min(value))} to {_text(max(value))}"
        return ", ".join(map(_text, value))
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "*false*", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value).replace("|", "/")


if __name__ == "__main__":
    sys.exit(main())
