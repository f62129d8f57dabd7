"""The command tree, and how every command ends.

Exit codes: 0 done (a *hold* verdict is a result, not a failure), 1 a run failed, 2 bad input or
usage, 3 the verdict is not *continue* and ``--fail-on-hold`` was given, 4 another process runs this loop
and date, 5 the cluster did not answer.
"""

from __future__ import annotations

import sys

import typer

from everloop import __version__
from everloop.cli import (
    backup,
    bigquery,
    demo,
    doctor,
    experiments,
    feedback,
    importing,
    keys,
    models,
    notifications,
    people,
    persona,
    policies,
    privacy,
    review,
    rollouts,
    running,
    runs,
    sandbox,
    scheduling,
    serving,
    storage,
    submitting,
    synth,
    variants,
    voice,
    voice_speaking,
    workspace,
)
from everloop.cli.output import complain
from everloop.contracts.documents import is_full_disk
from everloop.contracts.errors import EverloopError, ShouldFreeDisk
from everloop.settings import wait_briefly

app = typer.Typer(
    name="everloop",
    help=(
        "A daily learning loop: logged decisions become a privately trained policy that ships only "
        "when the evidence allows.\n\nStart with:  everloop init;  everloop import example;  "
        "everloop run daily --loop companion --date 2026-03-28"
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def everloop(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Root options."""


app.command("init")(workspace.init)
app.command("migrate")(workspace.migrate)
app.command("serve")(serving.serve)
app.command("demo")(demo.demo)
app.command("compile")(workspace.compile_graphs)
app.command("loops")(workspace.loops)
app.command("doctor")(doctor.doctor)
app.add_typer(importing.app, name="import")
app.add_typer(running.app, name="run")
app.add_typer(runs.app, name="runs")
app.command("submit")(submitting.submit)
app.add_typer(scheduling.app, name="schedule")
app.add_typer(policies.train, name="train")
app.command("tune")(policies.tune)
app.command("experiment")(experiments.experiment)
app.add_typer(privacy.app, name="privacy")
app.add_typer(synth.app, name="synth")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(people.consent, name="consent")
app.add_typer(people.dispute, name="dispute")
app.add_typer(people.person, name="person")
app.add_typer(feedback.app, name="feedback")
app.add_typer(review.app, name="review")
app.add_typer(persona.app, name="persona")
app.add_typer(voice.app, name="voice")
voice.app.command("prepare")(voice_speaking.prepare)
voice.app.command("speak")(voice_speaking.speak)
voice.app.command("export")(voice_speaking.export)
app.add_typer(models.app, name="models")
app.add_typer(rollouts.app, name="rollout")
app.add_typer(variants.app, name="variants")
app.add_typer(notifications.app, name="notify")
app.add_typer(storage.app, name="storage")
app.add_typer(backup.app, name="backup")
app.add_typer(bigquery.app, name="bigquery")
app.add_typer(keys.app, name="keys")
app.add_typer(keys.audit, name="audit")


def main() -> None:
    """Run a command; our errors become one readable line and exit code 2."""
    wait_briefly()
    try:
        app()
    except EverloopError as problem:
        complain(problem)
        sys.exit(2)
    except OSError as problem:
        if not is_full_disk(problem):
            raise
        place = problem.filename or "the disk"
        complain(
            ShouldFreeDisk(
                f"No room to write {place} ({problem.strerror}).",
                "Free disk space there and in the temporary folder, and run it again.",
            )
        )
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted; run the same command again to continue.\n")
        sys.exit(130)
