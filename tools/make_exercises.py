"""Write the notebooks that people work through from those that hold the solutions.

    python tools/make_exercises.py           notebooks/solutions/*.ipynb -> notebooks/*.ipynb
    python tools/make_exercises.py --check   say which ones differ, write nothing

A solution stands between the lines `### BEGIN SOLUTION` and `### END SOLUTION`, as nbgrader marks
them. Of what stands there each name that is given a value keeps it as `...`, and each function its
first line and its docstring. All other cells are the same in both. Edit the solutions; the outputs
of cells that stay as they are stay as well, and `make notebooks` fills in the others.
"""

import argparse
import ast
import re
import sys
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
OPEN = "  # your answer"
_SOLUTION = re.compile(r"^### BEGIN SOLUTION\n(.*?)^### END SOLUTION\n?", re.DOTALL | re.MULTILINE)


def emptied(source: str) -> str:
    """Return a cell's code with its solutions taken out.

    Raises:
        ValueError: a mark without its partner, or a solution that gives nothing a value.
    """
    found = _SOLUTION.sub(lambda match: _open(match.group(1)), source)
    if "### BEGIN SOLUTION" in found or "### END SOLUTION" in found:
        raise ValueError("a mark of a solution lacks its partner")
    return found.removesuffix("\n")


def _open(solution: str) -> str:
    lines = []
    for node in ast.parse(solution).body:
        if isinstance(node, ast.Assign):
            names = [n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)]
            lines += [f"{name} = ...{OPEN}" for name in names]
        elif isinstance(node, ast.FunctionDef):
            head = f"def {node.name}({ast.unparse(node.args)}):"
            words = ast.get_docstring(node)
            body = [f'    """{words}"""'] if words else []
            lines += [head, *body, f"    ...{OPEN}"]
    if not lines:
        raise ValueError(f"this solution gives nothing a value: {solution!r}")
    return "\n".join(lines) + "\n"


def exercises(solutions: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Return a copy of a notebook without its solutions and without outputs, a folder above."""
    made = nbformat.from_dict(solutions)
    for cell in made.cells:
        if cell.cell_type == "code":
            cell.source = emptied(cell.source)
            cell.outputs, cell.execution_count = [], None
        else:
            cell.source = cell.source.replace("](../../", "](../")
    return made


def write(file: Path, target: Path) -> bool:
    """Bring a notebook up to date with its solutions; return whether it had to change."""
    made = exercises(nbformat.read(file, as_version=4))
    if target.exists():
        before = nbformat.read(target, as_version=4)
        if _content(before) == _content(made):
            return False
        kept = {cell.source: cell for cell in before.cells if cell.cell_type == "code"}
        for cell in made.cells:
            if cell.cell_type == "code" and cell.source in kept:
                cell.outputs = kept[cell.source].outputs
                cell.execution_count = kept[cell.source].execution_count
    nbformat.write(made, target)
    return True


def _content(notebook: nbformat.NotebookNode) -> list[tuple]:
    return [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in notebook.cells]


def main() -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    differ = []
    for file in sorted((NOTEBOOKS / "solutions").glob("*.ipynb")):
        target = NOTEBOOKS / file.name
        if options.check:
            made = exercises(nbformat.read(file, as_version=4))
            there = target.exists() and _content(nbformat.read(target, as_version=4))
            differ += [file.name] if there != _content(made) else []
        elif write(file, target):
            print(f"{target.name} written")
    for name in differ:
        print(f"notebooks/{name} is not what its solutions give: run tools/make_exercises.py")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
