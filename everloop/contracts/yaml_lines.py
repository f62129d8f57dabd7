"""Where in a YAML document something stands, so that a refusal can name the line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ruamel.yaml.comments import CommentedMap, CommentedSeq


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
