"""The covariance that noise and sampling give a release's parameters, computed from what is public.

With J the Jacobian of the mean clipped gradient, the steps of ``private_fit`` are linear near
the release: an error e of the start and noise n_t of the sums reach the release as

    A e - rate sum_t R_t n_t,

A and R_t from MOMENTUM, the averaging and J alone. Noise then has the covariance

    S <- A S A^T + (sigma C / (q N))^2 rate^2 sum_t R_t R_t^T,

on from the release that this one was warm-started from. J is taken on made-up people who respond as the
release says (``synthetic.user_model.made_people``), clipping included:

    J = mean_i f_i (H_i - [clipped] g_i g_i^T H_i / |g_i|^2),     f_i = min(1, C / |g_i|),

H_i the Hessian of person i's loss. Sampling: (J + r I)^-1 G (J + r I)^-1 / N, G the covariance of clipped
gradients and r what a fit of so few steps leaves at the start.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from everloop.contracts.datasets import EncodingLayout, Float
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import Mechanism
from synthetic.user_model.made_people import made_people
from synthetic.user_model.released import ReleasedUserModel
from synthetic.user_model.responses import Heads
from synthetic.user_model.samples import Samples, samples_of
from synthetic.user_model.schedule import MOMENTUM, averaged_steps
from synthetic.user_model.uncertainty import Uncertainty

PEOPLE = 300


def uncertainty_of(
    spec: LoopSpec,
    model: ReleasedUserModel,
    mechanism: Mechanism,
    learning_rate: float,
    before: Uncertainty | None = None,
    layout: EncodingLayout | None = None,
) -> Uncertainty:
    """How far a release may be off.

    Args:
        spec: the loop.
        model: the release.
        mechanism: what was paid for.
        learning_rate: the rate of its steps.
        before: of the release that it was warm-started from; ``None``: a constant.
        layout: what the context's dimensions mean.
    """
    rng = np.random.default_rng(int(model.release_id[:8], 16))
    people = made_people(spec, model, PEOPLE, rng, layout)
    samples = samples_of(spec, model.features, people)
    jacobian, spread = clipped_jacobian(model.heads, samples, mechanism.clip)
    expected = spec.privacy.people_expected
    deviation = mechanism.sigma * mechanism.clip / (mechanism.sampling_rate * expected)
    kept, noise = responses(jacobian, learning_rate, mechanism.steps)
    old = np.zeros_like(jacobian) if before is None else before.noise
    covariance = kept @ old @ kept.T + deviation**2 * noise
    left = (1.0 - MOMENTUM) / (spec.privacy.learning_rate * mechanism.steps)
    inverse = np.linalg.inv((jacobian + jacobian.T) / 2.0 + left * np.eye(len(jacobian)))
    sampling = inverse @ spread @ inverse.T / expected
    return Uncertainty((covariance + covariance.T) / 2.0, (sampling + sampling.T) / 2.0)


def responses(jacobian: Float, learning_rate: float, steps: int) -> tuple[Float, Float]:
    """(A, rate^2 sum_t R_t R_t^T) of the module's formula; both (p, p)."""
    jacobian = stable(jacobian, learning_rate)
    size = len(jacobian)
    whole, none = np.eye(size), np.zeros((size, size))
    error, speed, moved, push = whole, none, none, none
    errors, moves = [], []
    for step in range(steps):
        speed = MOMENTUM * speed + jacobian @ error
        error = error - learning_rate * speed
        push = whole if step == 0 else MOMENTUM * push + jacobian @ moved
        moved = moved - learning_rate * push
        errors.append(error)
        moves.append(moved)
    last = averaged_steps(steps)
    total = none
    for step in range(steps):
        reached = [moves[s - step] for s in range(max(step, steps - last), steps)]
        response = np.sum(reached, axis=0) / last
        total = total + response @ response.T
    return np.mean(errors[-last:], axis=0), total


def stable(jacobian: Float, learning_rate: float) -> Float:
    """The Jacobian, its symmetric part's eigenvalues at most (1 + MOMENTUM) / rate.

    Twice as much curvature is where linear steps begin to diverge, while clipping bounds the real ones
    near the optimum: what is known of so steep a direction is no worse than at the bound.
    """
    values, vectors = np.linalg.eigh((jacobian + jacobian.T) / 2.0)
    excess = np.maximum(values - (1.0 + MOMENTUM) / learning_rate, 0.0)
    return np.asarray(jacobian - (vectors * excess) @ vectors.T)


def clipped_jacobian(heads: Heads, samples: Samples, clip: float) -> tuple[Float, Float]:
    """(Jacobian of the mean clipped gradient, covariance of clipped gradients); both (p, p)."""
    people, each = samples.people, len(samples.target) // samples.people
    share, size = expit(heads.logits(samples.seen)), len(heads.flat)
    residual = samples.weight * (share - samples.target)
    curvature = samples.weight * share * (1.0 - share)
    gradient = np.zeros((people, size))
    rows = [heads.row(samples.seen, head) for head in range(share.shape[1])]
    columns = [heads.columns(head) for head in range(share.shape[1])]
    for head, (row, own) in enumerate(zip(rows, columns, strict=True)):
        gradient[:, own] += (residual[:, [head]] * row).reshape(people, each, -1).sum(axis=1)
    norm = np.linalg.norm(gradient, axis=1)
    kept = np.minimum(1.0, clip / np.maximum(norm, 1e-12))
    jacobian, turned = np.zeros((size, size)), np.zeros_like(gradient)
    for head, (row, own) in enumerate(zip(rows, columns, strict=True)):
        bent = curvature[:, [head]] * row
        jacobian[np.ix_(own, own)] += (bent * np.repeat(kept, each)[:, None]).T @ row
        along = (row.reshape(people, each, -1) * gradient[:, None, own]).sum(axis=2)
        turned[:, own] += (bent.reshape(people, each, -1) * along[:, :, None]).sum(axis=1)
    clipped = norm > clip
    part = kept[clipped] / norm[clipped] ** 2
    jacobian -= (gradient[clipped] * part[:, None]).T @ turned[clipped]
    spread = gradient * kept[:, None]
    spread = spread - spread.mean(axis=0)
    return jacobian / people, spread.T @ spread / people


def noise_share(
    spec: LoopSpec,
    model: ReleasedUserModel,
    known: Uncertainty,
    layout: EncodingLayout | None = None,
) -> float:
    """Share of the variance of acceptance's logits over made-up decisions that is noise, at most 1."""
    rng = np.random.default_rng(int(model.release_id[:8], 16))
    seen = samples_of(spec, model.features, made_people(spec, model, PEOPLE, rng, layout)).seen
    head = model.features.signals
    row, own = model.heads.row(seen, head), model.heads.columns(head)
    noise = np.einsum("nq,qr,nr->n", row, known.noise[np.ix_(own, own)], row).mean()
    return float(min(1.0, noise / max(float(model.heads.logits(seen)[:, head].var()), 1e-12)))
