from __future__ import annotations

import pytest

from everloop.contracts.datasets import EncodedEpisodes
from tests.unit.rl.adversarial.attacked import logged_states


@pytest.fixture(scope="session")
def episodes() -> EncodedEpisodes:
    return logged_states()
