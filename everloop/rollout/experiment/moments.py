"""Sums of a trial from which effects, their variances and the use of a covariate follow.

For stratum d with n1 decisions of the candidate's people and n0 of the control's, p = n1 / (n1 + n0),
the *score* of a measure y is

    U_d = sum over decisions (A - p) y = h_d (mean1 - mean0),    h_d = n1 n0 / (n1 + n0),

so that strata weigh by how their decisions are divided, never by what came of them. With R_id the sum
over a person's decisions of y - mean_d, a person adds (A_id - p_d) R_id. Two covariances of scores are
kept:

    designed   C_de = sum over i  min(p_d, p_e) (1 - max(p_d, p_e)) R_id R_ie
    observed   C_de = sum over i  (A_id - p_d) R_id (A_ie - p_e) R_ie

The first is the variance over the draw of people, who keep their place while the ramp grows, so that
E[(A_d - p_d)(A_e - p_e)] = min p (1 - max p). It takes both arms' people, so an arm of one in a hundred
that has seen no rare reward yet does not pass for one without variance. The second is the usual
sandwich (Liang & Zeger 1986), for arms that vary differently. Columns of y are: the measure, the arm
itself (whose score is h_d), and the covariates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from everloop.rollout.experiment.observations import Floats, Ints
from everloop.rollout.experiment.strata import Cells

_DENSE = 5_000_000
"""Numbers of a table that is multiplied as it is; larger ones are mostly empty, and kept so."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over D strata and m columns: the measure, the arm, the covariates.

    Attributes:
        decisions, total, people: (2, D) of control and candidate.
        score: (m, D); the arm's row is the weight h_d.
        raw: (m, m, D, D) sum over people of R_id R_ie; ``designed`` is this times ``nested``, (D, D).
        observed: (m, m, D, D).
        together: (D, D) sum over people of their decisions in d times those in e.
    """

    decisions: Floats
    total: Floats
    people: Floats
    score: Floats
    raw: Floats
    nested: Floats
    observed: Floats
    together: Floats

    @property
    def weight(self) -> Floats:
        weights: Floats = self.score[1]
        return weights

    @property
    def designed(self) -> Floats:
        return np.asarray(self.raw * self.nested)

    @property
    def strata(self) -> int:
        return int(self.score.shape[1])


def moments_of(cells: Cells, covariates: Floats | None = None) -> Moments:
    """Sum up a measure.

    Args:
        cells: of the measure.
        covariates: (P, k), known of every person before the trial.
    """
    size, people = cells.strata, cells.people
    arm = cells.candidate.astype(np.int64)
    decisions, total, counted = (
        _sums(arm * size + cells.stratum, w, 2 * size).reshape(2, size)
        for w in (cells.count, cells.total, np.ones(len(arm)))
    )
    whole = np.maximum(decisions.sum(axis=0), 1.0)
    share = decisions[1] / whole
    columns = [cells.total, cells.count * arm]
    if covariates is not None:
        columns += list((covariates[cells.person] * cells.count[:, None]).T)
    sums = np.stack([_sums(cells.stratum, c, size) for c in columns])
    centred = np.stack(columns) - (sums / whole)[:, cells.stratum] * cells.count
    signed = centred * (arm - share[cells.stratum])
    score = np.stack([_sums(cells.stratum, c, size) for c in signed])

    def gram(values: Floats) -> Floats:
        width = len(values)
        column = (np.arange(width)[:, None] * size + cells.stratum).ravel()
        person = np.tile(cells.person, width)
        shape = (people, width * size)
        if people * width * size <= _DENSE:
            place = person * shape[1] + column
            whole = _sums(place, values.ravel(), people * shape[1]).reshape(shape)
            product = (whole.T @ whole).reshape(width, size, width, size)
        else:
            table = sparse.csr_array((values.ravel(), (person, column)), shape=shape)
            product = (table.T @ table).toarray().reshape(width, size, width, size)
        return np.asarray(product.transpose(0, 2, 1, 3))

    return Moments(
        decisions=decisions,
        total=total,
        people=counted,
        score=score,
        raw=gram(centred),
        nested=nested_draw(share),
        observed=gram(signed),
        together=gram(cells.count[None, :])[0, 0],
    )


def nested_draw(share: Floats) -> Floats:
    """(D, D) covariance of meeting the candidate in d and in e, for places that are kept."""
    return np.asarray(np.minimum.outer(share, share) * (1.0 - np.maximum.outer(share, share)))


def _sums(where: Ints, weights: Floats, size: int) -> Floats:
    return np.asarray(np.bincount(where, weights=weights, minlength=size), dtype=np.float64)
