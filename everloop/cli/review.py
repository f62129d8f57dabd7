"""``everloop review``: flagged episodes that wait for a person, and the regular review of what serves."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.operator import operator
from everloop.cli.output import Home, Json, Tenant, print_json, print_pairs, print_table

if TYPE_CHECKING:
    from everloop.serving.episode_reviewing import LookedAt
    from everloop.wiring import Workspace

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "Look at flagged episodes and decide, and record the review of the model that serves.\n\n"
        "A run flags an episode when its signals contradict each other (anomaly), or when its action was "
        "taken far more often for a person or in a day than elsewhere (outlier_action). Until a person "
        "releases it, nothing learns from it and nothing is judged by it. What was decided counts from "
        "the next date's run on; a date that was run stays as it was.\n\n"
        "everloop review list --loop companion;  everloop review show ID;  "
        "everloop review release ID ID --reason 'a busy day'"
    ),
)

ReviewIds = Annotated[list[str], typer.Argument(help="Ids of reviews, one or more.")]
Reason = Annotated[str, typer.Option(help="Why, in words; kept with the decision.")]
By = Annotated[
    str | None,
    typer.Option("--by", help="Who decides (default: the account that runs the command)."),
]
ANY = "all"


@app.command("list")
def list_reviews(
    loop: Annotated[str | None, typer.Option(help="Of this loop alone.")] = None,
    state: Annotated[str, typer.Option(help="open, released, rejected or all.")] = "open",
    after: Annotated[str, typer.Option(help="Go on after this review.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Reviews at most.")] = 100,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List flagged episodes, oldest first, with what is strange about them."""
    from everloop.contracts.errors import ShouldFixArgument
    from everloop.contracts.oversight import ReviewState
    from everloop.serving.episode_reviewing import looked_at
    from everloop.wiring import open_workspace

    if state not in {ANY, *ReviewState}:
        raise ShouldFixArgument(
            f"--state {state!r} is none of {', '.join((*ReviewState, ANY))}.", "Name one of them."
        )
    place = open_workspace(home)
    wanted = None if state == ANY else ReviewState(state)
    found = looked_at(place, place.reviews.items(loop, wanted, after, limit, tenant), tenant)
    if as_json:
        print_json([_document(each) for each in found])
        return
    cells = [
        (
            each.item.review_id,
            each.item.kind.value,
            each.item.loop,
            each.item.state.value,
            each.item.flagged_at.date().isoformat(),
            each.person,
            each.episode.action_taken if each.episode else "",
            f"{each.item.score:.1f}",
            each.item.reason,
        )
        for each in found
    ]
    columns = (
        "review", "kind", "loop", "state", "flagged", "person", "action", "score", "reason",
    )  # fmt: skip
    print_table("", columns, cells)
    if len(found) == limit:
        typer.echo(f"More: --after {found[-1].item.review_id}", err=True)


@app.command()
def show(
    review_ids: ReviewIds,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show flagged episodes: the decision, its signals, what is strange and what was decided."""
    from everloop.serving.episode_reviewing import looked_at
    from everloop.wiring import open_workspace

    place = open_workspace(home)
    items = [place.reviews.item(each, tenant) for each in review_ids]
    found = looked_at(place, items, tenant)
    if as_json:
        print_json([_document(each) for each in found])
        return
    for each in found:
        _print(each)


@app.command()
def release(
    review_ids: ReviewIds,
    reason: Reason,
    by: By = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Let episodes teach, from the next date's run on."""
    _decide("release", review_ids, reason, by, tenant, home, as_json)


@app.command()
def reject(
    review_ids: ReviewIds,
    reason: Reason,
    by: By = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Keep episodes from ever teaching, also those that were released before."""
    _decide("reject", review_ids, reason, by, tenant, home, as_json)


@app.command()
def reopen(
    review_ids: ReviewIds,
    reason: Reason,
    by: By = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Take a decision back: the episodes wait for a person again."""
    _decide("reopen", review_ids, reason, by, tenant, home, as_json)


@app.command()
def model(
    loop: Annotated[str, typer.Option(help="The loop whose serving model was reviewed.")],
    reason: Annotated[str, typer.Option(help="What was looked at and found; kept.")],
    by: By = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="It may not go on: the gate holds what comes next.")
    ] = False,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Record that people reviewed the model that serves; an overdue review blocks the next rollout."""
    from everloop.contracts.oversight import Oversight, OversightKind
    from everloop.wiring import open_workspace

    place = open_workspace(home)
    said = place.oversights.add(
        Oversight(
            oversight_id=str(uuid.uuid4()),
            kind=OversightKind.REVIEW,
            loop=loop,
            subject_id=_serving(place, loop, tenant),
            passed=not failed,
            actor=by or operator(),
            reason=reason,
            at=datetime.now(UTC),
            tenant=tenant,
        )
    )
    if as_json:
        print_json(said)
        return
    verdict = "may go on" if said.passed else "may not go on"
    typer.echo(f"{said.subject_id}: {verdict}, says {said.actor} ({said.reason})")


def _serving(place: Workspace, loop: str, tenant: str) -> str:
    """The deployment that serves; its policy where parts were moved one by one."""
    from everloop.contracts.errors import ShouldFixArgument
    from everloop.contracts.rollouts import POLICY

    head = place.deployments.head(loop, tenant)
    policy = head.serves.get(POLICY)
    subject = head.deployment_id or (policy.checkpoint_id if policy else "")
    if not subject:
        raise ShouldFixArgument(
            f"Loop {loop!r} of tenant {tenant!r} serves no model, so there is none to review.",
            "Name a loop that serves; everloop models list shows them.",
        )
    return subject


def _decide(
    decision: str,
    review_ids: Sequence[str],
    reason: str,
    by: str | None,
    tenant: str,
    home: str | None,
    as_json: bool,
) -> None:
    from everloop.serving.episode_reviewing import DECISIONS, decide
    from everloop.wiring import open_workspace

    decided = decide(
        open_workspace(home),
        review_ids,
        DECISIONS[decision],
        reason,
        by or operator(),
        datetime.now(UTC),
        tenant,
    )
    if as_json:
        print_json([_document(each) for each in decided])
        return
    for each in decided:
        typer.echo(f"{each.item.review_id}: {each.item.state.value}")


def _print(each: LookedAt) -> None:
    item, episode = each.item, each.episode
    typer.echo(f"{item.review_id}: {item.state.value}")
    pairs: dict[str, object] = {
        "what": f"{item.kind.value}, score {item.score:.1f}",
        "why": item.reason,
        "loop": item.loop,
        "episode": item.episode_id,
        "flagged": item.flagged_at.isoformat(timespec="seconds"),
    }
    if episode is not None:
        unknown = "not logged"
        pairs |= {
            "decided": episode.timestamp.isoformat(timespec="seconds"),
            "action": episode.action_taken,
            "propensity": unknown if episode.propensity is None else f"{episode.propensity:.4g}",
            "model": f"{episode.model_version} ({episode.arm.value})",
            "person": each.person,
        }
    for number, signal in enumerate(each.signals, 1):
        pairs[f"signal {number}"] = (
            f"{signal.signal_type} {signal.value:g}, confidence {signal.confidence:g}, "
            f"after {signal.latency} s"
        )
    if item.decided_by and item.decided_at is not None:
        when = item.decided_at.isoformat(timespec="seconds")
        pairs["decision"] = f"{item.decided_by}, {when}: {item.decision_reason}"
    print_pairs(pairs)


def _document(each: LookedAt) -> dict[str, object]:
    """The review as JSON; the same names as the service's answers."""
    item, episode = each.item, each.episode
    return {
        "review_id": item.review_id,
        "kind": item.kind.value,
        "state": item.state.value,
        "loop": item.loop,
        "episode_id": item.episode_id,
        "reason": item.reason,
        "score": item.score,
        "flagged_at": item.flagged_at.isoformat(),
        "decided_by": item.decided_by,
        "decided_at": item.decided_at.isoformat() if item.decided_at else None,
        "decision_reason": item.decision_reason,
        "person": each.person,
        "timestamp": episode.timestamp.isoformat() if episode else None,
        "action": episode.action_taken if episode else None,
        "propensity": episode.propensity if episode else None,
        "model_version": episode.model_version if episode else None,
        "arm": episode.arm.value if episode else None,
        "signals": [
            {
                "signal_type": signal.signal_type,
                "value": signal.value,
                "confidence": signal.confidence,
                "latency": signal.latency,
            }
            for signal in each.signals
        ],
    }
