"""The questions that synthetic people must pass, by named thresholds; no evidence is no pass.

A figure passes where its whole interval (two-sided, 95 %) is on the right side of the threshold and fails
where it is wholly on the wrong one; between them the evidence is too weak, which does not pass either. The
two questions about remembered people are asked the other way: they fail where memory is shown, since an
honest generator lies close to their threshold by its nature.
"""

from __future__ import annotations

import math
from dataclasses import replace

from everloop.contracts.evaluation import Check, CheckStatus, Estimate, GroupValue
from synthetic.quality.closeness import Closeness
from synthetic.quality.clusters import ALIKE
from synthetic.quality.groups import worst
from synthetic.quality.transfer import Transfer


def distance(found: Estimate, most: float) -> Check:
    """Are contexts distributed as real ones are?"""
    return _at_most(
        found,
        most,
        f"Synthetic people are {found.value:.3f} nats from held-out ones on average over their "
        f"context; at most {most:g} is allowed.",
    )


def diversity(found: Estimate, least: float) -> Check:
    """Do synthetic people differ from one another as real ones do?"""
    said = {
        CheckStatus.PASSED: "differ enough",
        CheckStatus.FAILED: "are too much alike: the generator has collapsed",
        CheckStatus.INSUFFICIENT: "may be too much alike",
    }[_side(least - found.high, least - found.low)]
    return _at_least(
        found,
        least,
        f"Synthetic people {said}: within the clusters of real people they have {found.value:.2f} of "
        f"the real variance; at least {least:g} is asked for.",
    )


def least_diverse(found: Estimate, least: float) -> Check:
    """Is no kind of people played by one synthetic person many times over?"""
    return _at_least(
        found,
        least,
        f"In the cluster where they are most alike, synthetic people have {found.value:.2f} of the real "
        f"variance; at least {least:g} is asked for.",
    )


def two_sample(found: Estimate, most: float) -> Check:
    """Is a classifier kept from telling synthetic people from real ones?"""
    return _at_most(
        found,
        most,
        f"A classifier tells synthetic from held-out people with an AUC of {found.value:.3f} (0.5: not "
        f"at all, 1: always); at most {most:g} is allowed.",
    )


def exact_copies(near: Closeness) -> Check:
    """Is no synthetic person's context a real one's?"""
    copied = near.comparable and near.copies > 0
    return Check(
        "exact_copies",
        CheckStatus.FAILED if copied else CheckStatus.PASSED,
        f"{near.copies:,} of {near.n:,} synthetic people equal a real person's context."
        if near.comparable
        else "Contexts hold no numbers, so that equal ones say nothing about copying.",
        float(near.copies),
        0.0,
    )


def remembered_people(nearer: Estimate, most: float) -> Check:
    """Are synthetic people as near to people who were never learned from?"""
    name = "remembered_people"
    if not math.isfinite(nearer.value):
        reason = "No episode was learned from, so nothing shows whom the generator remembers."
        return Check(name, CheckStatus.INSUFFICIENT, reason, None, most)
    return Check(
        name,
        CheckStatus.FAILED if nearer.low > most else CheckStatus.PASSED,
        f"{nearer.value:.1%} of synthetic people are nearer to people who were learned from than to "
        "held-out ones; a generator that remembers nobody has about 50 %.",
        nearer.value,
        most,
    )


def near_copies(found: Estimate, most: float) -> Check:
    """Is being much nearer to one person no commoner towards those who were learned from?"""
    name = "near_copies"
    if not found.n:
        reason = "No synthetic person is much nearer to one kind of people than to the other."
        return Check(name, CheckStatus.PASSED, reason, None, most)
    return Check(
        name,
        CheckStatus.FAILED if found.low > most else CheckStatus.PASSED,
        f"Of {found.n:,} synthetic people that are twice as near to one kind of people as to the other, "
        f"{found.value:.1%} are so to people who were learned from; without copies it is about half.",
        found.value,
        most,
    )


def transfer(found: Transfer, least: float) -> Check:
    """Is what synthetic journeys teach true of real people?"""
    name = "tstr_share"
    if not (math.isfinite(found.share.value) and found.real.low > 0.5):
        reason = (
            "People's own decisions do not teach what others accept, so synthetic ones cannot be "
            "judged by what they teach."
        )
        return Check(name, CheckStatus.INSUFFICIENT, reason, None, least)
    told = f"{found.share.value:.1%} of the {found.real.value:.3f} of real ones"
    return _at_least(
        found.share,
        least,
        f"What synthetic decisions teach reaches an AUC of {found.synthetic.value:.3f} on held-out "
        f"people, {told}; at least {least:.0%} is asked for.",
    )


def skill(found: Estimate) -> Check:
    """Does the user model foresee held-out people better than a constant?"""
    name = "user_model_skill"
    if not math.isfinite(found.low):
        reason = "No held-out episode shows a signal that varies, so the user model was not tested."
        return Check(name, CheckStatus.INSUFFICIENT, reason, None, 0.0)
    told = f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
    if found.low > 0.0:
        status, said = CheckStatus.PASSED, "predicts held-out people better than a constant"
    elif found.high < 0.0:
        status, said = CheckStatus.FAILED, "predicts held-out people worse than a constant"
    else:
        status, said = CheckStatus.INSUFFICIENT, "cannot be told from a constant on held-out people"
    return Check(name, status, f"The user model {said}: skill {told}.", found.value, 0.0)


def groups(found: tuple[GroupValue, ...], most: float) -> tuple[Check, ...]:
    """Is each protected group among the synthetic people as it is? Nothing where none is declared."""
    farthest = worst(found, most)
    if farthest is None:
        return ()
    estimate = replace(farthest.estimate, name="group_fidelity")
    return (
        _at_most(
            estimate,
            most,
            f"Of all protected groups, {farthest.attribute} {farthest.group} is served worst: its "
            f"synthetic people are {estimate.value:.3f} nats from held-out ones; at most {most:g} is "
            "allowed.",
        ),
    )


def _at_most(found: Estimate, most: float, reason: str) -> Check:
    return _judged(found, most, _side(found.low - most, found.high - most), reason)


def _at_least(found: Estimate, least: float, reason: str) -> Check:
    if found.method == ALIKE:
        alike = (
            "Held-out people of a kind have equal contexts, so that there is no variety that synthetic "
            "people could lack: the question does not apply. The distance compares how common each "
            "kind is."
        )
        return Check(found.name, CheckStatus.PASSED, alike, None, least)
    return _judged(found, least, _side(least - found.high, least - found.low), reason)


def _side(low: float, high: float) -> CheckStatus:
    """Of an interval of what is beyond the threshold: passed up to 0; NaN is no evidence."""
    if high <= 0.0:
        return CheckStatus.PASSED
    return CheckStatus.FAILED if low > 0.0 else CheckStatus.INSUFFICIENT


def _judged(found: Estimate, threshold: float, status: CheckStatus, reason: str) -> Check:
    if not math.isfinite(found.value):
        reason = f"It could not be measured: {found.method}."
        return Check(found.name, CheckStatus.INSUFFICIENT, reason, None, threshold)
    if status is CheckStatus.INSUFFICIENT:
        reason += (
            f" The {found.confidence:.0%} interval [{found.low:.3f}, {found.high:.3f}] is on both sides "
            f"of it: {found.clusters:,} people are too few to tell."
        )
    return Check(found.name, status, reason, found.value, threshold)
