"""What journeys pay is what the reward definition makes of the same signals in the logs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from everloop.contracts.datasets import Float32, Int
from everloop.contracts.simulation import ProfileBatch, Responses
from everloop.rewards.table import write_rewards
from rl.encoders import layout
from rl.environment import JourneyBatch, JourneySource
from synthetic.user_model.linear import LinearUserModel
from tests.made_datasets import Evidence, Row, write_dataset
from tests.unit.synthetic.releases import model_of, random_weights
from tests.unit.synthetic.world import SPEC, contexts

N, STEPS = 40, 5


class Heard:
    """A user model whose answers are written down."""

    def __init__(self, model: LinearUserModel) -> None:
        self._model = model
        self.release_id = model.release_id
        self.answers: list[Responses] = []

    def respond(
        self, resting: Float32, context: Float32, action: Int, rng: np.random.Generator
    ) -> Responses:
        self.answers.append(self._model.respond(resting, context, action, rng))
        return self.answers[-1]


def test_a_journeys_reward_is_the_definitions_whenever_its_signals_come(tmp_path: Path) -> None:
    heard, rng = Heard(model_of(random_weights(1))), np.random.default_rng(5)
    people = contexts(N, rng)
    mask = np.ones((N, len(SPEC.actions)), dtype=np.bool_)
    profiles = ProfileBatch(people, mask, np.ones(N), layout(SPEC).encoder, "people")
    journeys = JourneyBatch(JourneySource(heard, profiles, 3), N)  # type: ignore[arg-type]
    journeys.reset(rng)
    paid = [journeys.step(rng.integers(len(SPEC.actions), size=N)).reward for _ in range(STEPS)]
    evidence: list[Evidence] = []
    for step, answer in enumerate(heard.answers):
        assert answer.present is not None
        assert not answer.present.all(), "some types are silent"
        for person, place in zip(*np.nonzero(answer.present), strict=True):
            signal, mean = SPEC.signals[place], float(answer.signals[person, place])
            value = (mean + 1.0) / 2.0 if signal.two_sided else mean
            # one signal per type: it may be as late as the window lets it, its mean is the same
            latency = int(rng.integers(SPEC.reward.closes_after_seconds + 1))
            evidence.append(Evidence(step * N + int(person), signal.name, value, latency))
    rows = [Row(number, valid_actions=["no_action"]) for number in range(N * STEPS)]
    dataset = write_dataset(tmp_path / "d", rows, evidence)
    table = pq.read_table(write_rewards(SPEC, dataset, tmp_path / "rewards.parquet"))
    defined = dict(zip(table["episode_id"].to_pylist(), table["reward"].to_pylist(), strict=True))
    expected = [defined[key] for key in sorted(defined)]
    np.testing.assert_allclose(np.concatenate(paid), expected, rtol=0, atol=1e-12)
