"""The shape of the code: sizes, where the environment is read, what may be loaded."""

from __future__ import annotations

import ast
import statistics
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("everloop", "rl", "synthetic", "components", "pipelines")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
STEPS = sorted(p for p in (ROOT / "components").glob("*.py") if not p.name.startswith("_"))
MAX_STEP_LINES = 15


def test_packages_are_the_ones_that_are_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert tuple(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == PACKAGES


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_ships_our_names(package: str) -> None:
    assert set(packages_distributions().get(package, [])) <= {"everloop"}


def test_every_folder_of_tests_is_run() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    folders = {str(p.parent.relative_to(ROOT)) for p in (ROOT / "tests").rglob("test_*.py")}
    assert {
        folder for folder in folders if not folder.startswith(tuple(options["testpaths"]))
    } == set()


def test_modules_are_small() -> None:
    lines = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert {path for path, count in lines.items() if count > 600} == set()
    assert statistics.median(lines.values()) <= 150


def test_no_drawer_is_called_utils() -> None:
    names = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
    assert [path for path in SOURCES if path.stem in names or path.parent.name in names] == []


def test_every_module_says_what_it_is() -> None:
    silent = [path for path in SOURCES if ast.get_docstring(ast.parse(path.read_text())) is None]
    assert silent == []


@pytest.mark.parametrize("path", STEPS, ids=lambda p: p.stem)
def test_a_step_is_thin(path: Path) -> None:
    (function,) = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
    assert function.name == path.stem
    assert ast.get_docstring(function), "the docstring is what the Kubeflow UI shows"
    imports = (ast.Import, ast.ImportFrom)
    statements = [n for n in ast.walk(function) if isinstance(n, ast.stmt)]
    body = [n for n in statements if n is not function and not isinstance(n, imports)]
    assert len(body) - 1 <= MAX_STEP_LINES


def _attribute_chains(path: Path) -> set[str]:
    chains = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            chains.add(ast.unparse(node))
        elif isinstance(node, ast.Import):
            chains.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            chains.update(f"{node.module}.{alias.name}" for alias in node.names)
    return chains


def test_only_settings_reads_the_environment() -> None:
    allowed = {*(ROOT / "everloop/settings").glob("*.py"), ROOT / "pipelines/local_run.py"}
    reading = {p for p in SOURCES if _attribute_chains(p) & {"os.environ", "os.getenv"}}
    assert reading <= allowed


def test_nothing_unsafe_is_unpickled() -> None:
    unsafe = {
        "pickle",
        "pickle.load",
        "pickle.loads",
        "torch.load",
        "joblib",
        "numpy.load",
        "np.load",
    }
    # A classifier that its package ships as pickles: bytes of a known SHA-256 alone are unpickled.
    known = {ROOT / "everloop/adaptation/screens/toxicity.py": {"joblib"}}
    assert {p: c for p in SOURCES if (c := _attribute_chains(p) & unsafe)} == known


def test_input_is_not_checked_with_asserts() -> None:
    asserting = [
        path
        for path in SOURCES
        if any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text())))
    ]
    assert asserting == []


def test_the_lock_is_exact_and_names_no_path() -> None:
    lines = (ROOT / "requirements.lock").read_text().split()
    assert [line for line in lines if line.count("==") != 1] == []
    assert "torch==2.13.0" in lines
