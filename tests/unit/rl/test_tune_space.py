"""Search spaces are read and checked against the loop before anything starts."""

from __future__ import annotations

import pytest

from everloop.contracts.errors import ShouldFixArgument
from rl.tune import parse_space
from rl.tune.plan import SweepPlan
from rl.tune.space import Dimension, applied
from tests.learning.worlds import loop_of

SPEC = loop_of(2, 2)


def test_a_space_is_read() -> None:
    space = parse_space(
        [
            "training.learning_rate=loguniform(1e-4, 1e-2)",
            "training.epochs = randint(2,8)",
            "exploration.start=uniform(.1,.4)",
            "training.hidden=choice(32,64,128)",
        ],
        SPEC,
    )
    assert space.dimensions == (
        Dimension("training.learning_rate", "loguniform", (1e-4, 1e-2)),
        Dimension("training.epochs", "randint", (2, 8)),
        Dimension("exploration.start", "uniform", (0.1, 0.4)),
        Dimension("training.hidden", "choice", (32, 64, 128)),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("training.learning_rate", "is no dimension"),
        ("training.learning_rate=0.1", "is no dimension"),
        ("training.learning_rat=uniform(0.1,0.2)", "'training.learning_rat' cannot be tuned"),
        ("privacy.epsilon=uniform(0.1,2)", "'privacy.epsilon' cannot be tuned"),
        ("training.iterations=randint(1,9)", "'training.iterations' cannot be tuned"),
        ("training.profiles=randint(10,90)", "cannot be tuned"),
        ("exploration.serving_floor=uniform(0.1,0.2)", "cannot be tuned"),
        ("training.clip=normal(0.1,0.2)", "there is no 'normal'"),
        ("training.clip=uniform(0.2,0.1)", "the lower one first"),
        ("training.clip=uniform(0.2)", "a range is two numbers"),
        ("training.clip=uniform(0.2,1.5)", "training.clip=1.5 is not possible"),
        ("training.clip=choice(0.2)", "needs two different values"),
        ("training.clip=choice(0.2,wide)", "training.clip=wide is not possible"),
        ("training.learning_rate=loguniform(0,1)", "starts above 0"),
        ("training.epochs=uniform(2,8)", "is not possible"),
        ("training.epochs=randint(2,8.5)", "whole numbers"),
    ],
)
def test_what_cannot_be_searched_is_named(text: str, said: str) -> None:
    with pytest.raises(ShouldFixArgument, match=said.replace("(", r"\(")):
        parse_space([text], SPEC)


def test_nothing_twice_and_not_nothing() -> None:
    with pytest.raises(ShouldFixArgument, match="is empty"):
        parse_space([], SPEC)
    with pytest.raises(ShouldFixArgument, match=r"training\.clip is given twice"):
        parse_space(["training.clip=uniform(0.1,0.2)", "training.clip=choice(0.1,0.2)"], SPEC)


def test_the_nearest_point_lies_within() -> None:
    space = parse_space(
        [
            "training.clip=uniform(0.1,0.3)",
            "training.epochs=randint(2,8)",
            "training.hidden=choice(8,16)",
        ],
        SPEC,
    )
    given = {"training.clip": 0.36, "training.epochs": 1.6, "training.hidden": 9}
    assert space.nearest(given) == {
        "training.clip": 0.3,
        "training.epochs": 2,
        "training.hidden": 8,
    }
    inside = {"training.clip": 0.2, "training.epochs": 4.4, "training.hidden": 16}
    assert space.nearest(inside)["training.epochs"] == 4


def test_settings_take_the_place_of_the_loops_own() -> None:
    spec = applied(SPEC, {"training.clip": 0.25, "exploration.start": 0.4})
    assert (spec.training.clip, spec.exploration.start) == (0.25, 0.4)
    assert spec.checksum != SPEC.checksum
    assert spec.model_copy(update={"training": SPEC.training}).actions == SPEC.actions


def test_a_plan_that_cannot_be_searched_is_refused() -> None:
    shape = parse_space(["training.hidden=choice(8,16)"], SPEC)
    rate = parse_space(["training.clip=uniform(0.1,0.3)"], SPEC)
    assert SweepPlan(shape, 1).scheduler == "asha"
    with pytest.raises(ShouldFixArgument, match=r"training\.hidden is for good"):
        SweepPlan(shape, 4, "pbt")
    with pytest.raises(ShouldFixArgument, match="population of 3"):
        SweepPlan(rate, 3, "pbt")
    with pytest.raises(ShouldFixArgument, match="cpus=0"):
        SweepPlan(rate, 3, cpus=0)
    with pytest.raises(ShouldFixArgument, match="no scheduler 'median'"):
        SweepPlan(rate, 3, "median")  # type: ignore[arg-type]
