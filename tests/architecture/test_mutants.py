"""The table of mutants cannot rot: what it breaks is there, and so are the tests that must notice."""

from __future__ import annotations

import ast
from collections import Counter
from functools import cache

import pytest

from tests.mutation.mutant import ROOT, Mutant
from tests.mutation.table import MUTANTS


@cache
def _text(file: str) -> str:
    return (ROOT / file).read_text()


@cache
def _tests(file: str) -> frozenset[str]:
    """``test`` and ``Class::test`` of a file, what a class inherits from one of the same file included."""
    functions: set[str] = set()
    classes: dict[str, tuple[set[str], set[str]]] = {}
    for node in ast.parse(_text(file)).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.add(node.name)
        elif isinstance(node, ast.ClassDef):
            own = {
                n.name for n in node.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            classes[node.name] = own, {b.id for b in node.bases if isinstance(b, ast.Name)}

    def methods(name: str) -> set[str]:
        own, bases = classes.get(name, (set(), set()))
        return own.union(*(methods(base) for base in bases))

    found = functions | {f"{name}::{method}" for name in classes for method in methods(name)}
    return frozenset(name for name in found if name.rpartition("::")[2].startswith("test_"))


def test_each_mutant_changes_one_place_and_still_is_python() -> None:
    wrong = [
        m.name for m in MUTANTS if (text := m.mutated(_text(m.file))) is None or not _parses(text)
    ]
    assert wrong == []


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def test_each_mutant_names_tests_that_exist() -> None:
    missing = [
        (mutant.name, killer)
        for mutant in MUTANTS
        for killer in mutant.killers
        if killer.partition("::")[2] not in _tests(killer.partition("::")[0])
    ]
    assert missing == []
    assert [m.name for m in MUTANTS if not m.killers] == []


def test_no_two_mutants_are_one() -> None:
    assert [n for n, times in Counter(m.name for m in MUTANTS).items() if times > 1] == []
    changes = Counter((m.file, m.old, m.new) for m in MUTANTS)
    assert [change for change, times in changes.items() if times > 1] == []


@pytest.mark.parametrize("text", ["", "a b", "a a"])
def test_a_text_that_is_not_there_exactly_once_is_no_mutant(text: str) -> None:
    mutant = Mutant("area", "breaks", "file.py", "a", "c", ("tests/x.py::test_x",))
    assert mutant.mutated(text) == {"": None, "a b": "c b", "a a": None}[text]
