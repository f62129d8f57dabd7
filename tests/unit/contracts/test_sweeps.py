"""What a sweep's table says of its winner."""

from __future__ import annotations

from everloop.contracts.evaluation import Estimate
from everloop.contracts.sweeps import SweepTable, TrialRow

WORTH = Estimate("simulated return", 1.5, 1.4, 1.6, 0.95, 512, 512, "normal interval")
SETTINGS = {"training.hidden": 32, "exploration.start": 0.25}
TABLE = SweepTable(
    trials=(
        TrialRow("a1b2c_00003", SETTINGS, 10, 640, WORTH, "finished"),
        TrialRow("a1b2c_00001", SETTINGS | {"training.hidden": 64}, 1, 64, None, "stopped early"),
    ),
    best="a1b2c_00003",
    judged_again=WORTH,
    scheduler="asha",
    user_model_release="m",
    profiles_release="p",
    sweep="0123456789abcdef",
)


def test_lineage_names_the_sweep_the_trial_and_its_settings() -> None:
    assert TABLE.winner is TABLE.trials[0]
    assert TABLE.lineage == {
        "sweep": "0123456789abcdef",
        "trial": "00003",
        "trial_settings": "exploration.start=0.25 training.hidden=32",
    }


def test_a_trial_is_named_without_what_is_drawn_anew() -> None:
    assert [row.number for row in TABLE.trials] == ["00003", "00001"]
    assert TrialRow("plain", {}, 0, 0, None, "").number == "plain"
