"""What a policy is and what it was made from: light to import, for whoever reads a policy's file."""

from __future__ import annotations

from dataclasses import dataclass

from everloop.contracts.models import Provenance


@dataclass(frozen=True, slots=True)
class PolicyCard:
    """What a policy is and what it was made from, beside its weights. Equal trainings, equal cards.

    Attributes:
        version: ``<loop>-<first 16 digits of the weights' SHA-256>``.
        loop, encoder, actions, width, hidden: what it reads and decides.
        layout: blocks of the state, each ``field:kind:first dimension:dimensions``.
        catalogue: version of its ``ActionCatalogue``.
        action_features: names of the numbers of an action that it reads; none: it knows actions by their
            ids alone.
        spec_sha256, user_model_release, profiles_release: what it was trained for and with.
        seed, iterations, steps: how long it was trained, from which seed.
        weights_sha256, onnx_sha256: its two forms.
        first_reward, last_reward, best_reward: mean reward per decision in the simulator, in the
            first, the last and the best iteration; each includes that iteration's exploration.
        propensity_error: largest |logged - recomputed| propensity of the whole training.
        export_error: largest difference between the network and the exported form.
        torch_version: what trained and exported it.
        code_sha256: of the code that trained it.
        epsilon, delta, period_days: the budget of each person whose data the user model was learned from.
        doubts: how the user model's uncertainty was met in training, in words.
        limits: what the policy must not be taken for, in words.
        started_from: version of the policy whose weights it started from; "": from nothing.
        learner: name of the learner, see ``PolicyLearner``.
        provenance: what it was learned from; only private releases may be deployed.
    """

    version: str
    loop: str
    encoder: str
    actions: tuple[str, ...]
    width: int
    hidden: int
    spec_sha256: str
    user_model_release: str
    profiles_release: str
    seed: int
    iterations: int
    steps: int
    weights_sha256: str
    onnx_sha256: str
    first_reward: float
    last_reward: float
    best_reward: float
    propensity_error: float
    export_error: float
    torch_version: str
    learner: str = "ppo"
    provenance: Provenance = Provenance.PRIVATE_RELEASE
    layout: tuple[str, ...] = ()
    catalogue: str = ""
    action_features: tuple[str, ...] = ()
    code_sha256: str = ""
    epsilon: float | None = None
    delta: float | None = None
    period_days: int | None = None
    doubts: str = ""
    limits: tuple[str, ...] = ()
    started_from: str = ""
    schema_version: int = 1
