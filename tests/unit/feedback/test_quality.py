"""How human a feedback looks: one case per reason, people who stay out of quarantine, and monotony."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.abuse_replay import held_share, replay
from bench.abuse_senders import DEVICES
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.feedback import FeedbackStatus
from everloop.contracts.feedback import FeedbackType as Kind
from everloop.feedback.quality import QualityVerdict, assess, retrospective, verdict_of
from everloop.feedback.quality_crowd import Crowd
from everloop.feedback.quality_evidence import PRIOR, Evidence, Family, human_share, total
from everloop.feedback.quality_records import Incoming, Sent
from everloop.feedback.quality_rhythm import spread_evidence
from everloop.feedback.quality_text import Outlines, are_alike, normalised, outline_of
from tests.unit.feedback.populations import HONEST, MACHINES, Maker

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
HUMAN = (3.1, 7.4, 2.2, 12.9, 4.8, 1.9, 6.3, 30.2, 3.7, 9.1, 2.6, 5.5, 17.3, 4.1, 8.2)


def one(at: float, delay: float | None = 5.0, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "feedback_type": Kind.RATING,
        "value": 5,
        "received_at": NOON + timedelta(seconds=at),
        "claimed_at": NOON + timedelta(seconds=at - 0.1),
        "shown_at": None if delay is None else NOON + timedelta(seconds=at - delay),
        "output_chars": 80,
        "log_id": f"log at {at}",
        "client": DEVICES[0],
    }
    return values | changes


def judged(sent: Sequence[Mapping[str, Any]]) -> QualityVerdict:
    """The verdict on the last of a session's feedback."""
    *earlier, last = sent
    history = [Sent(feedback_id=str(i), **each) for i, each in enumerate(earlier)]
    return assess(Incoming(**last), history[::-1], NOON)


def names(verdict: QualityVerdict) -> set[str]:
    return {reason.partition(":")[0] for reason in verdict.reasons}


def at_gaps(gaps: Sequence[float], **changes: Any) -> list[dict[str, Any]]:
    moments = [sum(gaps[:n]) for n in range(len(gaps) + 1)]
    return [one(at, **changes) for at in moments]


def many(n: int, make: Callable[[int], Mapping[str, Any]]) -> list[dict[str, Any]]:
    sent = at_gaps(HUMAN[: n - 1])
    delays = [timedelta(seconds=0.7 * gap) for gap in (4.4, *HUMAN)]
    return [
        each | {"shown_at": each["received_at"] - delays[index]} | make(index)
        for index, each in enumerate(sent)
    ]


def test_score_is_the_logistic_of_prior_less_evidence() -> None:
    assert human_share(0.0) == pytest.approx(0.98201379)
    assert human_share(PRIOR) == 0.5
    pieces = [
        Evidence(Family.PACE, "a", 2.0, ""),
        Evidence(Family.PACE, "b", 1.0, ""),
        Evidence(Family.CLIENT, "c", 0.5, ""),
    ]
    assert total(pieces) == pytest.approx(2.0 + 0.35 * 1.0 + 0.5)


def test_spread_evidence_is_the_likelihood_ratio() -> None:
    # 10 * (ln 2 - (1 - 1/4) / 2) = 10 * (0.693147 - 0.375)
    assert spread_evidence(0.1, 10, human=0.2) == pytest.approx(3.18147, abs=1e-5)
    assert spread_evidence(0.2, 10, human=0.2) == 0.0


def test_a_first_feedback_with_plausible_timing_passes() -> None:
    verdict = judged([one(0)])
    assert (verdict.quarantined, verdict.reasons) == (False, ())
    assert not judged([one(0, client={})]).quarantined


def early(at: float, by: float, delay: float = 5.0, **changes: Any) -> dict[str, Any]:
    """Sent when it arrives, and dated ``by`` seconds before its output was shown."""
    shown = NOON + timedelta(seconds=at - delay)
    return one(at, delay) | {"claimed_at": shown - timedelta(seconds=by)} | changes


@pytest.mark.parametrize("by", [10.0, 3 * 3600.0, 86_000.0])
def test_a_claim_before_its_output_is_named_and_lowers_the_score(by: float) -> None:
    verdict = judged([early(0, by)])
    assert names(verdict) == {"claimed_before_shown"}
    assert 0.5 < verdict.score < 0.95


@pytest.mark.parametrize("by", [86_500.0, 36 * 365 * 86_400.0])
def test_a_claim_more_than_a_day_before_its_output_is_impossible(by: float) -> None:
    assert judged([early(0, by)]).quarantined
    assert judged([early(0, by), early(40, by + 40.0)]).quarantined, "whatever the clock's offset"


def test_late_delivery_and_small_skew_are_nobody_s_fault() -> None:
    late = one(0, 5 * 3600.0) | {"claimed_at": NOON - timedelta(seconds=5 * 3600 - 20)}
    assert judged([late]).reasons == ()
    assert judged([early(0, 1.9)]).reasons == ()
    shown = NOON - timedelta(seconds=20)
    coarse = one(0) | {"shown_at": shown, "claimed_at": shown.replace(second=0, microsecond=0)}
    assert judged([coarse]).reasons == (), "a client that cuts its times to the minute"


def test_a_slow_clock_explains_its_claims_from_the_second_arrival_on() -> None:
    slow = timedelta(hours=3)
    sent = [
        one(at, delay) | {"claimed_at": NOON + timedelta(seconds=at) - slow}
        for at, delay in ((0, 5.0), (47, 9.0), (120, 6.0))
    ]
    assert names(judged(sent[:1])) == {"claimed_before_shown"}
    assert judged(sent[:2]).reasons == ()
    assert judged(sent).reasons == ()


def test_claims_before_their_outputs_that_no_offset_explains_add_up() -> None:
    sent = [early(47.0 * n + n * n, 600.0 * (n + 1), delay=5.0 + 2 * n) for n in range(5)]
    verdict = judged(sent)
    assert verdict.quarantined
    assert verdict.of_session


def test_fifty_long_texts_are_judged_at_once() -> None:
    rng = Random(7)

    def written() -> str:
        return " ".join("".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(1543))

    texts = [one(i * 11.3, feedback_type=Kind.FREE_TEXT, value=written()) for i in range(51)]
    history = [Sent(feedback_id=str(i), **each) for i, each in enumerate(texts[:50])][::-1]
    last = Incoming(**texts[50])
    outlines = Outlines()
    assess(last, history, NOON, (), outlines)
    started = time.process_time()
    for _ in range(10):
        assess(last, history, NOON, (), outlines)
    assert (time.process_time() - started) / 10 < 0.03  # comparing whole texts takes 100 ms


@given(st.text(max_size=80), st.text(max_size=80))
def test_outlines_tell_how_alike_texts_are(one_text: str, other_text: str) -> None:
    ones, others = outline_of(one_text), outline_of(other_text)
    assert are_alike(ones, ones, 1.0)
    assert are_alike(ones, others, 0.7) == are_alike(others, ones, 0.7)
    words = normalised(one_text), normalised(other_text)
    exact = [{text[i : i + 4] for i in range(max(1, len(text) - 3))} for text in words]
    index = len(exact[0] & exact[1]) / len(exact[0] | exact[1])
    if index > 0.8:
        assert are_alike(ones, others, 0.7)
    if index < 0.5:
        assert not are_alike(ones, others, 0.7)


def test_a_link_far_behind_the_beginning_is_seen() -> None:
    assert outline_of("a word " * 2000 + "HTTPS://example.org").linked
    assert outline_of("see WWW.example.org").linked
    assert not outline_of("www. is no link").linked


CASES: Mapping[str, list[dict[str, Any]]] = {
    "rapid_fire": at_gaps([0.2, 0.25, 0.15, 0.22, 0.2, 0.3]),
    "metronome": at_gaps([3.0, 3.02, 2.97, 3.01, 3.0, 2.99, 3.02, 3.0, 3.01], delay=None),
    "even_drift": at_gaps([20 * 0.8**n for n in range(12)], delay=None),
    "constant_answer_time": [
        one(at, delay=2.0 + 0.01 * (i % 3))
        for i, at in enumerate([sum(HUMAN[:n]) + 3 * n for n in range(11)])
    ],
    "before_shown": [one(0, -30.0), one(50, -20.0)],
    "faster_than_reaction": [one(0, 0.05), one(20, 0.04), one(50, 0.06)],
    "dwell_longer_than_elapsed": [
        one(0, 5.0, feedback_type=Kind.DWELL, value=600.0),
        one(30, 4.0, feedback_type=Kind.DWELL, value=500.0),
    ],
    "automated_client": [one(0, client={"user_agent": "python-requests/2.32"})],
    "changing_client": many(
        8, lambda i: {"client": {"user_agent": f"Mozilla/5.0 ({'abcdef'[i % 6]})"}}
    ),
    "cycling_values": many(16, lambda i: {"value": (1, 5)[i % 2]}),
    "templated_text": many(
        13,
        lambda i: {
            "feedback_type": Kind.FREE_TEXT,
            "value": f"Great answer number {i}, it solved all of my problems!",
        },
    ),
    "judged_again": many(12, lambda i: {"log_id": "the same"}),
    "replayed_rhythm": at_gaps([*HUMAN[:6], *HUMAN[:6]], delay=None),
    "claimed_ahead": many(
        8, lambda i: {"claimed_at": NOON + timedelta(seconds=sum(HUMAN[:i]) + 30 * i)}
    ),
    "round_the_clock": at_gaps([2400.0 * (1 + 0.5 * ((n * 7) % 5 - 2) / 2) for n in range(45)]),
}


@pytest.mark.parametrize("reason", CASES)
def test_each_reason_quarantines_what_it_names(reason: str) -> None:
    verdict = judged(CASES[reason])
    assert reason in names(verdict), verdict.reasons
    assert verdict.quarantined, verdict.reasons


@pytest.mark.parametrize(
    ("reason", "client"),
    [
        ("no_client_facts", {}),
        ("no_user_agent", {"device_type": "mobile"}),
        ("bare_user_agent", {"user_agent": "Mozilla/5.0"}),
        ("contradictory_facts", {**DEVICES[2], "device_type": "desktop"}),
        ("program_as_client", {"user_agent": "axios/1.7.2 (a product's own relay)"}),
    ],
)
def test_odd_facts_lower_the_score_and_do_not_quarantine(reason: str, client: Any) -> None:
    verdict = judged([one(0, client=client)])
    assert reason in names(verdict)
    assert not verdict.quarantined


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(many(15, lambda i: {"value": 5}), id="always five stars"),
        pytest.param(many(15, lambda i: {"client": {}}), id="tells nothing of the client"),
        pytest.param(
            many(15, lambda i: {"claimed_at": NOON + timedelta(seconds=sum(HUMAN[:i]) - 7200)}),
            id="a clock that is two hours slow",
        ),
        pytest.param(
            [
                one(
                    9000.0 + 0.01 * i,
                    claimed_at=NOON + timedelta(seconds=sum(HUMAN[:i])),
                    delay=None,
                )
                for i in range(14)
            ],
            id="an offline client delivers at once",
        ),
        pytest.param(
            [
                one(0.01 * i, 20.0, log_id="one form", feedback_type=kind, value=value)
                for i, (kind, value) in enumerate(
                    [(Kind.RATING, 4), (Kind.FREE_TEXT, "good"), (Kind.THUMB, True)]
                )
            ],
            id="a form",
        ),
        pytest.param(
            [one(0, client={"user_agent": "Mozilla/5.0 (Linux; CUBOT NOTE 50)"})], id="CUBOT"
        ),
    ],
)
def test_people_pass(sent: list[dict[str, Any]]) -> None:
    verdict = judged(sent)
    assert not verdict.quarantined, verdict.reasons


def test_hindsight_names_what_nobody_decided_on() -> None:
    fast = CASES["rapid_fire"]
    status = [FeedbackStatus.ACCEPTED, FeedbackStatus.RELEASED, FeedbackStatus.REJECTED]
    history = [Sent(feedback_id=str(i), **each) for i, each in enumerate(fast[:-1])][::-1]
    history[:3] = [replace(sent, status=s) for sent, s in zip(history, status, strict=False)]
    held = QualityVerdict(0.1, (), quarantined=True, of_session=True)
    assert retrospective(history, held) == ("5", "2", "1", "0")
    assert retrospective(history, replace(held, of_session=False)) == ()
    assert retrospective(history, replace(held, quarantined=False)) == ()


def test_a_release_vouches_for_the_session() -> None:
    history = [Sent(feedback_id=str(i), **each) for i, each in enumerate(CASES["judged_again"])]
    incoming = Incoming(**one(200, log_id="the same"))
    released = [replace(sent, status=FeedbackStatus.RELEASED) for sent in history]
    assert assess(incoming, history[::-1], NOON).quarantined
    assert not assess(incoming, released[::-1], NOON).quarantined


def test_a_fleet_of_one_client_is_seen_by_its_text() -> None:
    crowd = Crowd()
    text = "This is the very best assistant that I have ever used in my life"
    verdicts = []
    for number in range(8):
        incoming = Incoming(**one(100.0 * number, 30.0, feedback_type=Kind.FREE_TEXT, value=text))
        pieces, named = crowd.evidence(f"s{number}", "t", incoming)
        verdicts.append((assess(incoming, (), NOON, pieces).quarantined, named))
        crowd.observe(str(number), f"s{number}", "t", incoming)
    assert verdicts[0] == (False, ())
    assert verdicts[-1] == (True, tuple(map(str, range(7))))
    other, _ = crowd.evidence("s9", "another tenant", Incoming(**one(900, value=text)))
    assert other == ()


weights = st.floats(min_value=0, max_value=50)
pieces = st.lists(
    st.builds(Evidence, st.sampled_from(Family), st.just("x"), weights, st.just("")), max_size=12
)


@given(pieces, st.sampled_from(Family), weights)
def test_more_evidence_never_raises_the_score(
    known: list[Evidence], family: Family, weight: float
) -> None:
    before = verdict_of(known)
    after = verdict_of([*known, Evidence(family, "new", weight, "")])
    assert 0.0 <= after.score <= before.score <= 1.0
    assert after.quarantined >= before.quarantined


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e5),
            st.floats(-1e6, 1e6),
            st.floats(-1e3, 1e6),
            st.sampled_from(Kind),
            st.sampled_from([5, True, "some words here", None, {"winner": "a"}, 1e9]),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_any_session_gets_a_score_and_a_worse_client_never_a_better_one(told: list[Any]) -> None:
    sent, at = [], 0.0
    for gap, claim, delay, kind, value in told:
        at += gap
        claimed = NOON + timedelta(seconds=at + claim)
        sent.append(one(at, delay, feedback_type=kind, value=value, claimed_at=claimed))
    verdict = judged(sent)
    assert 0.0 <= verdict.score <= 1.0
    headless = {**DEVICES[0], "webdriver": True}
    worse = judged([*sent[:-1], sent[-1] | {"client": headless, "clamped": True}])
    assert worse.score <= verdict.score
    assert worse.quarantined


def test_evidence_and_scores_out_of_range_are_refused() -> None:
    with pytest.raises(ShouldFixArgument, match="weight"):
        Evidence(Family.PACE, "x", -1.0, "")
    with pytest.raises(ShouldFixArgument, match="score"):
        QualityVerdict(1.5, (), quarantined=False)


@pytest.mark.parametrize("maker", MACHINES, ids=lambda maker: maker.__name__)
def test_known_machines_end_in_quarantine(maker: Maker) -> None:
    random = Random(1)
    assert held_share([replay(maker(random)) for _ in range(5)]) >= 0.9


def test_known_people_stay_out_of_it() -> None:
    random = Random(2)
    outcomes = [replay(maker(random)) for maker in HONEST for _ in range(6)]
    assert held_share(outcomes) <= 0.01
