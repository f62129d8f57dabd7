"""``everloop notify``: who is told of failures, holds, rollbacks, approvals and budgets."""

from __future__ import annotations

from typing import Annotated

import typer

from everloop.cli.output import Home, Json, Tenant, print_json, print_pairs, print_table

app = typer.Typer(
    no_args_is_help=True,
    help=(
        "Tell people of failures, holds, rollbacks, waiting approvals and budgets nearly spent.\n\n"
        "Channels come from the environment: EVERLOOP_NOTIFY_WEBHOOK_URL with "
        "EVERLOOP_NOTIFY_WEBHOOK_SECRET, EVERLOOP_NOTIFY_SLACK_URL, EVERLOOP_NOTIFY_SMTP_URL with "
        "EVERLOOP_NOTIFY_MAIL_FROM and EVERLOOP_NOTIFY_MAIL_TO. Try them with:  everloop notify test"
    ),
    rich_markup_mode=None,
)


@app.command("test")
def try_channels(
    loop: Annotated[str, typer.Option(help="The loop that the message speaks of.")] = "companion",
) -> None:
    """Send one message through every channel that is configured; exit code 1 if one refuses it."""
    from datetime import UTC, datetime

    from everloop.contracts.errors import EverloopError, ShouldFixArgument
    from everloop.contracts.notifications import Notice, NoticeKind
    from everloop.sdk.notifying import configured

    channels = configured()
    if not channels:
        raise ShouldFixArgument(
            "No channel is configured.", "Set EVERLOOP_NOTIFY_WEBHOOK_URL or another; see --help."
        )
    now = datetime.now(UTC)
    said = "This is a test of everloop's notifications"
    notice = Notice(f"test/{now.isoformat()}", NoticeKind.HOLD, loop, said, "All is well.", now)
    failed = False
    for channel in channels:
        try:
            channel.send(notice)
        except EverloopError as problem:
            failed = True
            typer.echo(f"{channel.name}: {problem.message} {problem.remedy}")
        else:
            typer.echo(f"{channel.name}: sent")
    if failed:
        raise typer.Exit(1)


@app.command("list")
def list_notices(
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List what was told, what waits and what was given up, newest first."""
    from everloop.sdk.notifying import outbox
    from everloop.wiring import open_workspace

    found = outbox(open_workspace(home), limit, tenant)
    if as_json:
        print_json(list(found))
        return
    rows = [
        (
            q.notice_id[:8],
            f"{q.notice.at:%Y-%m-%d %H:%M}",
            q.channel,
            q.state,
            q.notice.title,
            q.last_error,
        )
        for q in found
    ]
    print_table("", ("notice", "at", "channel", "state", "title", "last error"), rows)


@app.command()
def deliver(
    limit: Annotated[int, typer.Option(help="How many at most.", min=1)] = 100,
    home: Home = None,
) -> None:
    """Send what is due now; a running service does so by itself."""
    from everloop.sdk.notifying import deliver_due
    from everloop.wiring import open_workspace

    done = deliver_due(open_workspace(home), limit)
    print_pairs({"sent": done.sent, "to be tried again": done.failed, "given up": done.given_up})
