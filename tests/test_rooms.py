"""The rooms of the library: data flows one way, and no two modules need each other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parent.parent / "deepfake_lab"

#: Each floor may use the floors before it and its own room.
ORDER = (
    (
        "errors", "extras", "colors", "paths", "environment", "interrupts", "litert", "locks",
        "overlap", "printing", "progress",
    ),
    ("workers", "cluster"),
    ("photos",),
    ("data",),
    ("auditing",),
    ("detection",),
    ("scoring",),
    ("evaluation",),
    ("training",),
    ("plots",),
    ("web",),
    ("course", "starting"),
    ("sweeping",),
    ("cli",),
    ("__main__",),
)  # fmt: skip
FLOOR = {room: floor for floor, rooms in enumerate(ORDER) for room in rooms}


def modules(library: Path = LIBRARY) -> dict[str, Path]:
    """Return dotted name within the library -> file; a room's front counts by its stub."""
    found = {}
    for file in sorted(library.rglob("*.py")):
        parts = file.relative_to(library).with_suffix("").parts
        if parts[-1] == "__init__":
            stub = file.with_suffix(".pyi")
            found[".".join(parts[:-1])] = stub if stub.exists() else file
        else:
            found[".".join(parts)] = file
    return found


def imported(name: str, file: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the library's modules that a module imports: anywhere in it, also for types only."""
    package = name if file.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".") if package else []
            above = parts[: len(parts) - node.level + 1] if node.level else []
            base = ".".join(["deepfake_lab", *above] if node.level else [])
            base = ".".join(filter(None, [base, node.module]))
            named = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for dotted in named:
            if dotted.split(".")[0] != "deepfake_lab":
                continue
            inner = dotted.removeprefix("deepfake_lab").lstrip(".")
            found = inner if inner in known else inner.rpartition(".")[0]
            if found in known and found != name:
                yield found


def graph(library: Path = LIBRARY) -> dict[str, set[str]]:
    known = modules(library)
    return {name: set(imported(name, file, known)) for name, file in known.items()}


def circle(edges: dict[str, set[str]]) -> list[str]:
    """Return the modules of one circle, the first again at the end; empty where there is none."""
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for wanted in sorted(edges[name]):
            found = visit(wanted, [*way, name])
            if found:
                return found
        done.add(name)
        return []

    return next(filter(None, (visit(name, []) for name in sorted(edges))), [])


def against_the_order(edges: dict[str, set[str]]) -> list[str]:
    return [
        f"{name} imports {wanted}"
        for name, all_wanted in edges.items()
        for wanted in sorted(all_wanted)
        if name and wanted and FLOOR[wanted.split(".")[0]] > FLOOR[name.split(".")[0]]
    ]


def test_no_circle_of_modules():
    found = circle(graph())
    assert not found, " -> ".join(found)


def test_no_module_imports_a_later_room():
    found = against_the_order(graph())
    assert not found, "; ".join(found)


def test_every_module_stands_in_a_room_of_the_order():
    assert {name.split(".")[0] for name in modules() if name} == set(FLOOR)


def test_the_base_imports_its_own_floor_alone_one_way():
    edges = graph()
    assert edges["printing"] == set() and edges["colors"] == set()
    assert edges["errors"] == {"printing"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from deepfake_lab.photos.b import x", "from deepfake_lab.photos.a import x"),
        ("def f():\n    from deepfake_lab.photos import b", "import deepfake_lab.photos.a"),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .b import x",
            "from . import a",
        ),
    ],
    ids=["plain", "inside a function", "for types only"],
)
def test_a_circle_is_found_and_both_files_are_named(tmp_path, first, second):
    room = tmp_path / "photos"
    room.mkdir()
    (room / "__init__.py").touch()
    (room / "a.py").write_text(first)
    (room / "b.py").write_text(second)
    assert circle(graph(tmp_path)) == ["photos.a", "photos.b", "photos.a"]


def test_an_import_against_the_order_is_found(tmp_path):
    for room, text in (("photos", "from deepfake_lab.web.b import x"), ("web", "")):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").touch()
        (tmp_path / room / f"{'ab'[room == 'web']}.py").write_text(text)
    assert against_the_order(graph(tmp_path)) == ["photos.a imports web.b"]
