"""A YAML document that knows its lines, so that a refusal can name the one that is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from everloop.contracts.errors import EverloopError


def mapping_of(
    text: str, where: str, refusal: type[EverloopError], start_from: str
) -> CommentedMap:
    """The mapping that a YAML text holds.

    Args:
        text: the file's.
        where: its name, as errors show it.
        refusal: what is raised as ``file:line: problem`` where the text holds none.
        start_from: remedy where it holds something else.
    """
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        raise refusal(
            f"{where}:{line}: {problem.problem or 'this is not YAML'}.", "Correct the YAML."
        ) from problem
    except YAMLError as problem:
        raise refusal(f"{where}:1: {problem}.", "Correct the YAML.") from problem
    if not isinstance(document, CommentedMap):
        raise refusal(f"{where}:1: the file holds no mapping.", start_from)
    return document


def plain(node: Any) -> Any:
    """Mappings, tuples and values without their lines."""
    if isinstance(node, CommentedMap):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return tuple(plain(value) for value in node)
    return node


def line_of(document: CommentedMap, location: Sequence[int | str]) -> int:
    """Line (from 1) of the deepest node of ``location`` that exists in the document."""
    node: Any = document
    line = int(document.lc.line) + 1
    for key in location:
        if isinstance(node, CommentedMap) and key in node:
            line = int(node.lc.key(key)[0]) + 1
        elif isinstance(node, CommentedSeq) and isinstance(key, int) and key < len(node):
            line = int(node.lc.item(key)[0]) + 1
        else:
            break
        node = node[key]
    return line
