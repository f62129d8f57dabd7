"""The trust figures of a workspace: answers to the survey, people known, people who opted out.

Everything here is answered from indexes alone. People known is the dear part, a pass over the index of
episodes by person; whoever asks often should remember the answer for a minute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from sqlalchemy import (
    Connection,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal_column,
    select,
    true,
    union,
)

from everloop.contracts.feedback import (
    SURVEY_RANGE,
    TRUST_CONFIDENCE,
    FeedbackStatus,
    FeedbackType,
    TrustFigures,
)
from everloop.contracts.intervals import bounded_mean, critical, wilson
from everloop.storage.schema import consents, training_episodes
from everloop.storage.service_tables import feedback, interactions

_COUNTED = (str(FeedbackStatus.ACCEPTED), str(FeedbackStatus.RELEASED))
# Indexes on a part of a table are found by what the statement says, not by its parameters.
_IS_SURVEY = feedback.c.feedback_type == literal_column(f"'{FeedbackType.TRUST_SURVEY}'")
_IS_REFUSAL = consents.c.granted == false()


def trust_figures(connection: Connection, until: datetime, tenant: str | None) -> TrustFigures:
    """Trust and opt-outs as known at ``until``.

    An answer counts with the status that it has now: a review says what it was worth all along.

    Args:
        connection: of a read transaction.
        until: what is dated later is left out.
        tenant: whose; ``None``: over all tenants, each with people of its own.
    """
    answers: Counter[float] = Counter()
    people = opted_out = 0
    for name in (tenant,) if tenant is not None else _tenants(connection):
        answers.update(_answers(connection, until, name))
        people += _people(connection, until, name)
        opted_out += _opted_out(connection, until, name)
    return _figures(answers, people, opted_out)


def _figures(answers: Counter[float], people: int, opted_out: int) -> TrustFigures:
    n = answers.total()
    mean = low = high = rate = rate_low = rate_high = None
    if n:
        mean = sum(value * times for value, times in answers.items()) / n
        low, high = bounded_mean(answers, *SURVEY_RANGE, TRUST_CONFIDENCE)
    if people:
        rate = opted_out / people
        rate_low, rate_high = wilson(rate, people, critical(TRUST_CONFIDENCE))
    return TrustFigures(
        trust_n=n,
        trust_mean=mean,
        trust_low=low,
        trust_high=high,
        people=people,
        opted_out=opted_out,
        opt_out_rate=rate,
        opt_out_low=rate_low,
        opt_out_high=rate_high,
    )


def _answers(connection: Connection, until: datetime, tenant: str) -> Counter[float]:
    """Newest answer of each person -> how many people gave it."""
    age = func.row_number().over(
        partition_by=feedback.c.user_id,
        order_by=(feedback.c.timestamp.desc(), feedback.c.seq.desc()),
    )
    given = (
        select(cast(feedback.c.value, Text).label("value"), age.label("age"))
        .where(
            feedback.c.tenant == tenant,
            _IS_SURVEY,
            feedback.c.status.in_(_COUNTED),
            # As a plain comparison it draws SQLite to the index by time, and to every row.
            case((feedback.c.timestamp <= until, 1), else_=0) == 1,
        )
        .subquery()
    )
    newest = select(given.c.value, func.count()).where(given.c.age == 1).group_by(given.c.value)
    answers: Counter[float] = Counter()
    for value, times in connection.execute(newest):
        answers[float(value)] += times  # 3 and 3.0 are two texts and one number
    return answers


def _people(connection: Connection, until: datetime, tenant: str) -> int:
    """People with an episode, an interaction or a consent."""
    known = union(
        *(
            select(table.c.user_id).where(table.c.tenant == tenant, moment <= until).distinct()
            for table, moment in (
                (training_episodes, training_episodes.c.timestamp),
                (interactions, interactions.c.timestamp),
                (consents, consents.c.recorded_at),
            )
        )
    )
    # Distinct, PostgreSQL reads each index in its order; ordered, SQLite merges all three. Else
    # either would sort every row.
    merged = known.order_by("user_id").subquery()
    return connection.scalar(select(func.count()).select_from(merged)) or 0


def _opted_out(connection: Connection, until: datetime, tenant: str) -> int:
    """People whose newest consent to training is a refusal: found among those who ever refused."""
    of_training = and_(consents.c.tenant == tenant, consents.c.purpose == "train")
    refused = (
        select(consents.c.user_id)
        .where(of_training, _IS_REFUSAL, consents.c.recorded_at <= until)
        .distinct()
        .subquery()
    )
    said = consents.alias()
    newest = (
        select(said.c.granted)
        .where(
            said.c.tenant == tenant,
            said.c.user_id == refused.c.user_id,
            said.c.purpose == "train",
            said.c.recorded_at <= until,
        )
        .order_by(said.c.recorded_at.desc(), said.c.revision.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = select(func.count()).select_from(refused).where(newest != true())
    return connection.scalar(query) or 0


def _tenants(connection: Connection) -> Iterator[str]:
    """Every tenant with a row, by steps from one to the next."""
    tables = (training_episodes, interactions, consents, feedback)
    last = ""
    while True:
        following = [
            connection.scalar(select(func.min(table.c.tenant)).where(table.c.tenant > last))
            for table in tables
        ]
        found = [name for name in following if name is not None]
        if not found:
            return
        last = min(found)
        yield last
