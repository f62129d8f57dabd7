"""The questions that synthetic people must pass, by named thresholds; no evidence is no pass."""

from __future__ import annotations

import math

from everloop.contracts.evaluation import Check, CheckStatus, Estimate, GroupValue
from synthetic.quality.closeness import Closeness
from synthetic.quality.groups import worst
from synthetic.quality.transfer import Transfer


def distance(found: Estimate, most: float) -> Check:
    """Are contexts distributed as real ones are?"""
    return _bounded(
        found,
        most,
        found.value <= most,
        f"Synthetic people are {found.value:.3f} nats from held-out ones on average over their "
        f"context; at most {most:g} is allowed.",
    )


def diversity(found: Estimate, least: float) -> Check:
    """Do synthetic people differ from one another as real ones do?"""
    enough = found.value >= least
    said = "differ enough" if enough else "are too much alike: the generator has collapsed"
    return _bounded(
        found,
        least,
        enough,
        f"Synthetic people {said}: within the clusters of real people they have {found.value:.2f} of "
        f"the real variance; at least {least:g} is asked for.",
    )


def least_diverse(found: Estimate, least: float) -> Check:
    """Is no kind of people played by one synthetic person many times over?"""
    return _bounded(
        found,
        least,
        found.value >= least,
        f"In the cluster where they are most alike, synthetic people have {found.value:.2f} of the real "
        f"variance; at least {least:g} is asked for.",
    )


def two_sample(found: Estimate, most: float) -> Check:
    """Is a classifier kept from telling synthetic people from real ones?"""
    return _bounded(
        found,
        most,
        found.value <= most,
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
    value = found.share.value
    return Check(
        name,
        CheckStatus.PASSED if value >= least else CheckStatus.FAILED,
        f"What synthetic decisions teach reaches an AUC of {found.synthetic.value:.3f} on held-out "
        f"people, {value:.1%} of the {found.real.value:.3f} of real ones; at least {least:.0%} is asked "
        "for.",
        value,
        least,
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
    farthest = worst(found)
    if farthest is None:
        return ()
    value = farthest.estimate.value
    return (
        Check(
            "group_fidelity",
            CheckStatus.PASSED if value <= most else CheckStatus.FAILED,
            f"Of all protected groups, {farthest.attribute} {farthest.group} is served worst: its "
            f"synthetic people are {value:.3f} nats from held-out ones; at most {most:g} is allowed.",
            value,
            most,
        ),
    )


def _bounded(found: Estimate, threshold: float, holds: bool, reason: str) -> Check:
    if not math.isfinite(found.value):
        reason = f"It could not be measured: {found.method}."
        return Check(found.name, CheckStatus.INSUFFICIENT, reason, None, threshold)
    status = CheckStatus.PASSED if holds else CheckStatus.FAILED
    return Check(found.name, status, reason, found.value, threshold)
