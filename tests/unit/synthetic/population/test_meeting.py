"""Whom a pairing brings, against every draw counted by hand."""

from itertools import product

import numpy as np
import pytest

from synthetic.population.meeting import meet


class Scripted(np.random.Generator):
    """Answers ``integers`` from columns of a table: every draw there is, once."""

    def __init__(self, columns: list[np.ndarray]) -> None:
        super().__init__(np.random.PCG64(0))
        self._columns = columns

    def integers(self, *_args, **_more):
        return self._columns.pop(0)


@pytest.mark.parametrize("size", [2, 3, 7, 9, 16])
@pytest.mark.parametrize("inside", [True, False])
def test_the_probability_of_a_slate_is_the_share_of_the_draws_that_lead_to_it(size, inside) -> None:
    pool = 2 * np.arange(size) + 10
    own = int(pool[size // 2]) if inside else 11
    reach = max(2, size // 4) - 1
    every = np.array(list(product(range(size), range(1, reach + 1), range(1, reach + 1))))
    found = meet(np.full(len(every), own), pool, Scripted(list(every.T)))
    for first in range(1, 4):
        slates, counts = np.unique(found.met[:, :first], axis=0, return_counts=True)
        for slate, count in zip(slates, counts, strict=True):
            mine = (found.met[:, :first] == slate).all(axis=1)
            np.testing.assert_allclose(found.chance[mine, first - 1], count / len(every))
    assert not inside or (found.met != own).all()


def test_who_is_alone_meets_themselves_for_certain() -> None:
    for pool in ([], [4]):
        found = meet(np.array([4]), np.array(pool, dtype=np.int64), np.random.default_rng(0))
        assert (found.met == 4).all()
        assert (found.chance == 1).all()
