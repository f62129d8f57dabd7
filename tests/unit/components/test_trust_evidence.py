"""The report's trust figures: read from the workspace, as known when the version was cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from components._evidence import run_evidence
from everloop import loops, settings
from everloop.contracts.documents import write
from everloop.contracts.evaluation import ValidationCheck, ValidationReport
from everloop.contracts.ports import Extraction
from everloop.reporting import section_page
from everloop.wiring import Workspace, open_workspace
from tests.feedback_records import put, survey
from tests.log_records import DAY, NOON, episode, refusal

MIDNIGHT = NOON + timedelta(hours=12)
SPEC = loops.load("companion")


@dataclass
class Artefact:
    path: str
    metadata: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    for name in (settings.HOME_VARIABLE, *settings.KEYS):
        monkeypatch.delenv(name, raising=False)
    settings.initialise(tmp_path / "w")
    opened = open_workspace(tmp_path / "w")
    yield opened
    opened.engine.dispose()


def success_section(workspace: Workspace, folder: Path) -> str:
    """The section in words, of a run that ended at validation."""
    version = workspace.datasets.extract(Extraction(SPEC, DAY, 28))
    failed = ValidationCheck("episodes", False, "4 rows", "1000 rows or more")
    dataset, validation = Artefact(str(folder / "dataset")), Artefact(str(folder / "validation"))
    write(version.manifest, dataset.path)
    write(ValidationReport(version.manifest.dataset_id, (failed,)), validation.path)
    reached = (dataset, validation, *[None] * 13)
    evidence = run_evidence(SPEC, workspace, DAY.isoformat(), "default", "c", reached)
    text = re.sub(r"<[^>]*>", " ", section_page("success", evidence))
    return re.sub(r"\s+", " ", text.replace("\u00a0", " "))


def test_it_says_what_was_known_at_the_cut_off(workspace: Workspace, tmp_path: Path) -> None:
    people = [f"{n:064x}" for n in range(1, 5)]
    put(
        workspace.engine,
        *(survey(n, 5, NOON, user_id=person) for n, person in enumerate(people[:3])),
        survey(9, 1, MIDNIGHT + timedelta(seconds=1), user_id=people[3]),
        survey(10, 1, NOON, user_id=people[3], tenant="other"),
        *(episode(n, NOON, user_id=person) for n, person in enumerate(people)),
    )
    workspace.log.record_consent(refusal(people[0], NOON))
    workspace.log.record_consent(refusal(people[1], MIDNIGHT + timedelta(seconds=1)))
    said = success_section(workspace, tmp_path)
    assert "undecided 3.5 ≥ 4.2 5.0 [1.8, 5.0], n = 3 newest answer of 3 people" in said
    assert "missed 2 % ≤ 2 % 25 % [5, 70], n = 4 1 of 4 people known" in said
    assert "the run ended before its episodes were encoded" in said


def test_it_says_that_nobody_has_answered(workspace: Workspace, tmp_path: Path) -> None:
    said = success_section(workspace, tmp_path)
    assert "not measured 3.5 ≥ 4.2 no answers yet" in said
    assert "not measured 2 % ≤ 2 % no people yet" in said
