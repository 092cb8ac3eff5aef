"""What must agree: the lists of packages, the map of the project, and the notebooks as stored."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from deepfake_lab import paths
from deepfake_lab.detection.runfolder import PARTS

ROOT = paths.project()
NOTEBOOKS = sorted(paths.notebooks().glob("*.ipynb"))
SUFFIXES = (
    ".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".ipynb", ".json", ".csv", ".h5", ".keras",
    ".tflite", ".html", ".css", ".js",
)  # fmt: skip


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def _git(*arguments: str) -> str:
    """Return what git says; skip where this is no checkout."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("needs git and a checkout")
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads(_text("pyproject.toml"))["project"]


@pytest.fixture(scope="module")
def locked() -> list[Requirement]:
    lines = [line.partition("#")[0].strip() for line in _text("requirements.txt").splitlines()]
    return [Requirement(line) for line in lines if line]


# --- lists of packages ---


def test_every_package_is_locked_to_one_version(locked):
    for package in locked:
        operators = [part.operator for part in package.specifier]
        assert operators == ["=="] and package.url is None, str(package)


def test_every_package_that_the_project_asks_for_is_locked_to_a_version_that_fits(project, locked):
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *extras["dev"]]
    named = {name for own in extras["dev"] for name in Requirement(own).extras}
    wanted += [package for name in sorted(named) for package in extras[name]]
    others = [package for package in wanted if not package.startswith("deepfake-lab[")]
    for requirement in map(Requirement, others):
        versions = [
            part.version
            for package in locked
            if canonicalize_name(package.name) == canonicalize_name(requirement.name)
            for part in package.specifier
        ]
        assert versions, f"{requirement.name} is not in requirements.txt: run `make lock`"
        assert all(requirement.specifier.contains(version) for version in versions), requirement


@pytest.mark.parametrize("name", ["requirements.txt", "environment.yml"])
def test_no_list_of_packages_names_an_index_or_a_file_of_one_machine(name):
    for line in _text(name).splitlines():
        stated = line.partition("#")[0]
        assert not re.search(r"index-url|find-links|trusted-host|://| @ |file:", stated), line


def test_the_conda_environment_installs_what_is_locked():
    dependencies = yaml.safe_load(_text("environment.yml"))["dependencies"]
    (pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    assert pip == ["-r requirements.txt", "-e ."]
    others = {entry.partition("=")[0] for entry in dependencies if isinstance(entry, str)}
    assert others == {"python", "pip"}


def _as_pip_reads(lines: list[str], folder: Path) -> list:
    """Return what pip takes from a file with these lines, as conda hands it; a bad line raises."""
    from pip._internal.network.session import PipSession
    from pip._internal.req.req_file import parse_requirements

    file = folder / "condaenv.requirements.txt"
    file.write_text("\n".join(lines))
    return list(parse_requirements(str(file), PipSession()))


def test_pip_understands_every_line_of_the_conda_environment(tmp_path, locked):
    dependencies = yaml.safe_load(_text("environment.yml"))["dependencies"]
    (lines,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    read = _as_pip_reads(lines, tmp_path)
    for requirement in read:
        if not requirement.is_editable:
            Requirement(requirement.requirement)
    assert len(read) == len(locked) + 1
    assert [one.requirement for one in read if one.is_editable] == ["."]


def test_an_option_before_an_editable_package_is_no_line_of_pips(tmp_path):
    from pip._internal.exceptions import RequirementsFileParseError

    with pytest.raises(RequirementsFileParseError):
        _as_pip_reads(["--no-deps -e ."], tmp_path)


def test_the_tools_of_the_commit_hook_are_those_that_are_locked(locked):
    versions = {package.name: str(package.specifier) for package in locked}
    repositories = yaml.safe_load(_text(".pre-commit-config.yaml"))["repos"]
    for repository in repositories:
        tool = repository["repo"].rpartition("/")[2].removesuffix("-pre-commit")
        assert versions[tool] == f"=={repository['rev'].removeprefix('v')}", tool
    assert len(repositories) == 2


def test_every_file_agrees_on_the_versions_of_python(project):
    supported = SpecifierSet(project["requires-python"])
    minors = [minor for minor in range(6, 30) if supported.contains(f"3.{minor}")]
    first, last = minors[0], minors[-1]
    makefile = _text("Makefile")
    assert f"(3, {first}) <= sys.version_info[:2] < (3, {last + 1})" in makefile
    named = ", ".join(f"3.{minor}" for minor in minors[:-1]) + f" or 3.{last}"
    assert f"Python {named} is needed" in makefile
    for minor in minors:
        assert f"python3.{minor} " in makefile
    (conda,) = re.findall(r"^\s*- python=(\S+)$", _text("environment.yml"), re.MULTILINE)
    assert supported.contains(conda)
    tools = tomllib.loads(_text("pyproject.toml"))["tool"]
    assert tools["ruff"]["target-version"] == f"py3{first}"
    workflow = yaml.safe_load(_text(".github/workflows/ci.yml"))
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert all(supported.contains(version) for version in tested)
    assert {f"3.{first}", f"3.{last}"} <= set(tested)


def test_the_command_of_the_package_exists(project):
    module, _, function = project["scripts"]["deepfake-lab"].partition(":")
    source = _text(module.replace(".", "/") + ".py")
    assert re.search(rf"^def {function}\(", source, re.MULTILINE)


# --- the map of the project ---


@pytest.fixture(scope="module")
def structure() -> str:
    return _text("PROJECT_STRUCTURE.md")


def _is_there(named: str, tracked: list[str]) -> bool:
    if (ROOT / named).exists() or (ROOT / "deepfake_lab" / named).exists():
        return True
    if "/" not in named:  # a file that lies in several folders, as detector.json
        return named in PARTS or any(Path(file).name == named for file in tracked)
    return bool(_git("check-ignore", named))  # comes into being when the project is used


def test_every_path_that_the_structure_names_exists(structure):
    tracked = _git("ls-files").splitlines()
    prose = re.sub(r"^```.*?^```", "", structure, flags=re.DOTALL | re.MULTILINE)
    named = [
        name
        for name in re.findall(r"`([^`\n]+)`", prose)
        if re.fullmatch(r"\.?[\w.-]+(/[\w.-]+)*/?", name)
        and ("/" in name or name.endswith(SUFFIXES))
    ]
    assert named and [name for name in named if not _is_there(name, tracked)] == []


def test_the_structure_names_everything_at_the_top(structure):
    top = {file.split("/")[0] for file in _git("ls-files").splitlines()}
    assert sorted(name for name in top if name not in structure) == []


def test_the_structure_names_every_module(structure):
    modules = [path.name for path in (ROOT / "deepfake_lab").glob("*.py")]
    modules += [path.name for path in (ROOT / "deepfake_lab").iterdir() if path.is_dir()]
    unnamed = [name for name in modules if name not in structure and name != "__pycache__"]
    assert sorted(unnamed) == []


def test_no_file_contains_a_path_of_somebodys_home():
    somebodys = re.compile(r"(?<![\w+/=.~-])(?:/(?:home|Users)/\w|/root/\w|[A-Z]:\\+Users\\)")
    found = []
    for name in _git("ls-files").splitlines():
        try:
            text = _text(name)
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture or weights; or deleted a moment ago
        found += [f"{name}: {match.group()}" for match in somebodys.finditer(text)]
    assert found == []


# --- notebooks ---


@pytest.fixture(scope="module", params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


@pytest.fixture
def code(notebook) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _begins(cell: nbformat.NotebookNode) -> str:
    return cell.source[:60]


def test_there_are_six_notebooks_in_order():
    assert [path.name[:2] for path in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06"]


def test_a_notebook_has_a_valid_format_and_the_kernel_that_everybody_has(notebook):
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "python3"


def test_a_notebook_is_stored_as_it_ran_from_top_to_bottom(code):
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_a_notebook_is_stored_without_errors_and_warnings(code):
    noise = [
        _begins(cell)
        for cell in code
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert noise == []


def test_a_notebook_has_one_cell_of_parameters(notebook):
    tagged = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and tagged[0].cell_type == "code"


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_has_a_type_and_an_explanation(file):
    parameters = papermill.inspect_notebook(str(file))
    assert parameters
    for name, facts in parameters.items():
        assert facts["inferred_type_name"] not in ("", "None"), name
        assert facts["help"], name


def test_a_parameter_has_the_same_type_in_every_notebook():
    types: dict[str, set[str]] = {}
    for file in NOTEBOOKS:
        for name, facts in papermill.inspect_notebook(str(file)).items():
            types.setdefault(name, set()).add(facts["inferred_type_name"])
    assert {name: kinds for name, kinds in types.items() if len(kinds) > 1} == {}


def test_no_cell_of_code_is_longer_than_20_lines(code):
    assert [_begins(cell) for cell in code if len(cell.source.splitlines()) > 20] == []


def test_no_cell_is_empty(notebook):
    assert all(cell.source.strip() for cell in notebook.cells)


def test_a_notebook_defines_no_class_and_plays_no_tricks_with_the_path(code):
    tricks = re.compile(r"^\s*class\s|sys\.path|os\.chdir|^%cd", re.MULTILINE)
    assert [_begins(cell) for cell in code if tricks.search(cell.source)] == []
