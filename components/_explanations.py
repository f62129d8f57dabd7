"""Every training episode of a dataset version, explained; and a sample for people to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq

from components._contexts import audited_contexts
from components._pages import Told
from components._private import released_file
from everloop.contracts.contexts import ContextOpener
from everloop.contracts.datasets import DatasetManifest, DatasetVersion, EncodedEpisodes, Int
from everloop.contracts.documents import read, write
from everloop.contracts.episodes import Json
from everloop.contracts.evaluation import TrainingExplanation
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from everloop.trust.explain import Tally, explain
from everloop.trust.explanations_file import write_batches
from everloop.wiring import Workspace
from rl.runtime import load_policy
from synthetic.user_model import load_user_model

SAMPLE = "sample.json"
COVERAGE = "coverage.json"
TABLE = "explanations.parquet"
SHOWN = 12
_BATCH = 4096


def explain_dataset(
    spec: LoopSpec,
    workspace: Workspace,
    dataset: str,
    episodes: EncodedEpisodes,
    user_model: str,
    policy: str,
    folder: Path,
) -> Told:
    """Explain every training episode and write table, sample and coverage into ``folder``.

    Args:
        dataset: path of the manifest.
        user_model: folder of the release that says what was expected.
        policy: folder of the candidate.
        folder: the explanations' artifact.
    """
    version = workspace.datasets.open(read(DatasetManifest, dataset).dataset_id)
    learned = episodes.training
    model = load_user_model(released_file(user_model), spec)
    candidate = load_policy(Path(policy) / "policy.onnx", spec=spec)
    opened, tally = audited_contexts(workspace, version.manifest, "explain"), Tally(SHOWN)

    def explanations() -> Iterator[Sequence[TrainingExplanation]]:
        for rows, contexts in _contexts(version, learned, opened):
            part = learned.where(rows)
            chances = candidate.act(States(part.context, part.mask), spec.exploration.serving_floor)
            found = explain(
                spec,
                contexts,
                part.episode_id.tolist(),
                part.action,
                part.reward,
                model.expected_reward(part.context, part.action),
                chances.propensity,
                part.propensity,
            )
            tally.add(found)
            yield found

    folder.mkdir(parents=True, exist_ok=True)
    write_batches(explanations(), folder / TABLE)
    share, shown = tally.share(len(learned)), tally.shown
    write(shown, folder / SAMPLE, tuple[TrainingExplanation, ...])
    write({"share": share, "episodes": len(learned)}, folder / COVERAGE, dict[str, float])
    rows_of_page = [(e.episode_id, f"{e.action_taken} — {e.model_adjustment}") for e in shown]
    summary = f"{tally.count:,} of {len(learned):,} training episodes explained ({share:.1%})"
    metrics = {"explained_share": share, "explained": float(tally.count)}
    return summary, rows_of_page, metrics, ()


def explained_share_of(folder: str) -> float:
    """Share of training episodes with a complete explanation, in [0, 1]."""
    return float(read(dict[str, float], Path(folder) / COVERAGE)["share"])


def explanations_total(folder: str) -> int:
    """How many explanations an artifact's folder holds."""
    return int(pq.read_metadata(Path(folder) / TABLE).num_rows)


def _contexts(
    version: DatasetVersion, learned: EncodedEpisodes, opened: ContextOpener
) -> Iterator[tuple[Int, list[Mapping[str, Json]]]]:
    """Batches of (rows of ``learned``, their contexts as logged); both are in dataset order."""
    position = {name: row for row, name in enumerate(learned.episode_id.tolist())}
    table = pq.ParquetFile(version.episodes_path)
    for batch in table.iter_batches(_BATCH, columns=["episode_id", "context"]):
        pairs = zip(*(batch.column(i).to_pylist() for i in range(2)), strict=True)
        found = [(position[name], name, text) for name, text in pairs if name in position]
        if not found:
            continue
        rows = np.array([row for row, _, _ in found], dtype=np.int64)
        yield rows, [opened(name, orjson.loads(text)) for _, name, text in found]
