"""The image's packages are the lock's, those that everloop[gcp,voice] needs and no others."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "infra/docker"


def exact(path: Path) -> dict[str, str]:
    lines = (line.split("==") for line in path.read_text().split())
    return {canonicalize_name(name): version for name, version in lines}


def needed(name: str, *extras: str) -> set[str]:
    """Every distribution that one needs to run, itself left out, as the installed ones declare it."""
    seen, todo = set[tuple[str, str]](), [(name, extra) for extra in ("", *extras)]
    while todo:
        if (asked := todo.pop()) in seen:
            continue
        seen.add(asked)
        for text in distribution(asked[0]).requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": asked[1]}):
                one = canonicalize_name(requirement.name)
                todo += [(one, extra) for extra in ("", *requirement.extras)]
    return {found for found, _ in seen} - {name}


def test_the_image_holds_what_runs_and_nothing_else() -> None:
    assert set(exact(PLACE / "requirements.txt")) == needed("everloop", "gcp", "voice")


def test_the_images_versions_are_the_locks() -> None:
    lock, ours = exact(ROOT / "requirements.lock"), exact(PLACE / "requirements.txt")
    assert {name: lock.get(name) for name in ours} == ours
    tools = exact(PLACE / "tools.txt")
    assert tools.pop("pip")
    assert {name: lock.get(name) for name in tools} == tools


def test_the_image_is_built_of_what_is_in_its_context() -> None:
    text = "".join(path.read_text() for path in PLACE.iterdir())
    assert set(re.findall(r"https?://\S+", text)) == set()
    assert "# syntax" not in text
    allowed = (ROOT / ".dockerignore").read_text()
    copied = re.findall(
        r"^COPY (?!--from)(.*) \S+$", (PLACE / "Dockerfile").read_text(), re.MULTILINE
    )
    assert len(copied) > 5
    for source in " ".join(copied).split():
        assert f"!{source.split('/')[0]}" in allowed
