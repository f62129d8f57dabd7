"""Weights that a training starts from: those of an earlier policy, as far as they mean the same.

An earlier policy fits where its states have the same layout: the same fields, kinds and dimensions in the
same order. Its encoder may be another version otherwise, as that of a loop with other actions is. Free
rows go by action id; columns of action features go by name; what is new starts at 0 where features
score it, else as in a fresh network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from everloop.contracts import documents
from everloop.contracts.datasets import EncodingLayout
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from rl.encoders.catalogue import ActionCatalogue
from rl.encoders.context import layout
from rl.module import PolicyNetwork
from rl.policy_card import PolicyCard
from rl.ppo.checkpoint import Array

LEARNER = "ppo"
WEIGHTS_FILE = "policy.safetensors"
CARD_FILE = "policy.json"

_ROWS = ("policy.4.weight", "policy.4.bias")
"""Parameters with one row for each action."""
_COLUMNS = ("taste.weight", "taste.bias")
"""Parameters with one row for each number of an action."""


@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """An earlier policy: its card, and its weights by parameter name."""

    card: PolicyCard
    weights: dict[str, Array]

    @classmethod
    def read(cls, folder: Path) -> Start:
        """The policy of a folder with ``policy.json`` and ``policy.safetensors``.

        Raises:
            ShouldFixArgument: another learner made it, or it was learned from more than private releases.
            ShouldRestoreArtefact: a file is missing, or the weights are not those of the card.
        """
        card = documents.read(PolicyCard, folder / CARD_FILE)
        _require_own(card)
        path = folder / WEIGHTS_FILE
        try:
            data = path.read_bytes()
        except OSError as problem:
            raise ShouldRestoreArtefact(
                f"{path} cannot be read ({problem.strerror}).", "Fetch the earlier policy again."
            ) from problem
        found = documents.sha256_of(path)
        if found != card.weights_sha256:
            raise ShouldRestoreArtefact(
                f"{path} has checksum {found}, not {card.weights_sha256}.",
                "Fetch the earlier policy again.",
            )
        try:
            return cls(card, load(data))
        except SafetensorError as problem:
            raise ShouldRestoreArtefact(
                f"{path} holds no weights ({problem!s:.200}).", "Fetch the earlier policy again."
            ) from problem

    def weights_for(self, spec: LoopSpec, network: PolicyNetwork) -> dict[str, Array]:
        """Weights for ``network``, which serves ``spec``, taken from the earlier policy.

        Raises:
            ShouldFixArgument: the earlier policy reads other states, or has other hidden layers.
        """
        self._require_fit(spec, network)
        catalogue = ActionCatalogue(spec)
        described = network.taste is not None
        taken: dict[str, Array] = {}
        for name, tensor in network.state_dict().items():
            fresh = tensor.numpy().copy()
            earlier = self.weights.get(name)
            if name in _ROWS:
                fresh = _by_name(fresh, catalogue.ids, earlier, self.card.actions, zeroed=described)
            elif name in _COLUMNS:
                fresh = _by_name(
                    fresh, catalogue.names, earlier, self.card.action_features, zeroed=True
                )
            elif earlier is not None:
                fresh = earlier.copy()
            taken[name] = fresh
        return taken

    def _require_fit(self, spec: LoopSpec, network: PolicyNetwork) -> None:
        wanted = {
            "states": (self.card.layout, blocks(layout(spec))),
            "hidden units": (self.card.hidden, network.policy[0].out_features),
            "action features": (bool(self.card.action_features), network.taste is not None),
        }
        for what, (earlier, asked) in wanted.items():
            if earlier != asked:
                raise ShouldFixArgument(
                    f"Policy {self.card.version} has {what} {earlier!s:.200}, but the training has "
                    f"{asked!s:.200}.",
                    "Start from a policy that reads the same context, or from nothing.",
                )


def _require_own(card: PolicyCard) -> None:
    """Other learners' weights mean other things, and raw data must not reach a policy that serves."""
    if card.learner != LEARNER or card.provenance is not Provenance.PRIVATE_RELEASE:
        raise ShouldFixArgument(
            f"Policy {card.version} was made by learner {card.learner!r} from {card.provenance.value}, "
            f"but a training goes on from {LEARNER!r} on private releases alone.",
            "Start from an earlier policy of PPO, or from nothing.",
        )


def blocks(encoding: EncodingLayout) -> tuple[str, ...]:
    """Each block of a state as ``field:kind:first dimension:dimensions``."""
    return tuple(f"{b.field}:{b.kind}:{b.start}:{b.width}" for b in encoding.blocks)


def _by_name(
    fresh: Array,
    names: tuple[str, ...],
    earlier: Array | None,
    earlier_names: tuple[str, ...],
    *,
    zeroed: bool,
) -> Array:
    """``fresh`` with the rows that the earlier policy has by name; other rows 0 if ``zeroed``."""
    made = np.zeros_like(fresh) if zeroed else fresh.copy()
    if earlier is None:
        return fresh
    for row, name in enumerate(names):
        if name in earlier_names:
            made[row] = earlier[earlier_names.index(name)]
    return made
