"""A whole run whose rows are on PostgreSQL: the same dataset, and nothing left in the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop import sdk, settings
from everloop.contracts.evaluation import Decision
from everloop.contracts.ports import Extraction
from everloop.intake.example import import_example
from everloop.loops import load
from everloop.wiring import open_workspace
from pipelines.daily_learning import STAGES
from tests.e2e.whole_runs import EXAMPLE_DAY, SMALL_PEOPLE, small_plan
from tests.postgresql_server import PASSWORD


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_daily_run_goes_all_the_way(
    small_log: Path, tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for name in (settings.SECRETS_FILE, settings.FINGERPRINT_FILE):
        (home / name).write_bytes((small_log / name).read_bytes())
    spec = load("companion")
    with monkeypatch.context() as chosen:
        chosen.setenv(settings.DATABASE_URL, postgresql_url)
        place = open_workspace(home)
        import_example(place.log, spec, place.pseudonyms.of, people=SMALL_PEOPLE)
        run = sdk.run_daily(small_plan(), home=home)
        assert [stage.stage for stage in run.record.stages] == list(STAGES)
        assert run.verdict.decision in Decision
        assert place.runs.run(run.record.run_id) == run.record
        assert place.ledger.verify() > 0
        assert place.registry.checkpoint(run.checkpoint.checkpoint_id) == run.checkpoint
    assert not (home / settings.DATABASE_FILE).exists()
    here = open_workspace(small_log).datasets.extract(
        Extraction(spec, EXAMPLE_DAY, run.manifest.window_days)
    )
    assert here.manifest.dataset_id == run.manifest.dataset_id
    told = [path for path in home.rglob("*") if path.is_file() and _holds_password(path)]
    assert told == []


def _holds_password(path: Path) -> bool:
    return PASSWORD.encode() in path.read_bytes()
