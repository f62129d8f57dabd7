"""``everloop sandbox``: try a candidate voice where nobody hears it, talk with it, have people rate it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.output import Home, Json, Tenant, notes, print_json, print_pairs, print_table
from everloop.cli.readable import readable

if TYPE_CHECKING:
    from everloop.contracts.sandboxes import SandboxReport, TestRunLog, TestScenario

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "Try a voice apart from everything: a process without network that reads the model and nothing "
        "else, and shows first that it is so.\n\n"
        "everloop sandbox scenarios --loop companion;  "
        "everloop sandbox run --loop companion --adapter FOLDER --out report.json;  "
        "everloop sandbox chat --loop companion --adapter FOLDER"
    ),
)

Loop = Annotated[str, typer.Option(help="A shipped loop, or the path of a YAML file.")]
Base = Annotated[Path | None, typer.Option(help="A prepared base model (default: the loop's own).")]
Adapter = Annotated[
    Path | None, typer.Option(help="Folder of the candidate's adapter (default: the base alone).")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")]
Threads = Annotated[
    int, typer.Option(min=1, help="CPU threads of the model.", show_default="all cores")
]
CORES = os.cpu_count() or 1


@app.command("scenarios")
def scenarios_command(
    loop: Loop,
    seed: Seed = 23,
    suite: Annotated[str, typer.Option(help="This suite alone.")] = "",
    as_json: Json = False,
) -> None:
    """List the scenarios that a candidate of this loop is tried in, and where shipped ones are."""
    from everloop.sandbox.loading import SHIPPED

    found = _of(_scenarios(loop, seed), [suite] if suite else [])
    if as_json:
        print_json([each.model_dump(mode="json") for each in found])
        return
    rows = [
        (
            each.id,
            each.suite.value,
            len(each.turns),
            len(each.expect),
            each.source,
            each.turns[-1].say[:70],
        )
        for each in found
    ]
    columns = ("scenario", "suite", "turns", "expectations", "source", "last turn")
    print_table("", columns, rows)
    typer.echo(f"{len(found)} scenarios; shipped ones are in {SHIPPED}", err=True)


@app.command("run")
def run_command(
    loop: Loop,
    adapter: Adapter = None,
    active: Annotated[
        Path | None,
        typer.Option(help="Folder of the adapter that serves (default: the base alone)."),
    ] = None,
    base: Base = None,
    suite: Annotated[
        list[str] | None, typer.Option(help="These suites alone (repeatable).")
    ] = None,
    measure: Annotated[
        Path | None,
        typer.Option(
            help="What the graph's step measure_voice found of this candidate on held-out people, JSON; "
            "without it the effect of an adapter is not known, and the answer is no go."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the whole report there, as JSON.")] = None,
    seed: Seed = 23,
    threads: Threads = CORES,
    fail_on_no_go: Annotated[
        bool, typer.Option("--fail-on-no-go", help="Exit with 3 where the answer is no go.")
    ] = False,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Run every scenario with a candidate and with what serves, and decide."""
    from everloop.contracts.documents import read, write
    from everloop.contracts.voices import VoiceComparison
    from everloop.sdk.sandboxed import contest, try_contest

    chosen = _of(_scenarios(loop, seed), suite or [])
    comparison = read(VoiceComparison, measure) if measure is not None else None
    given = contest(loop, home, tenant, base, adapter, active)
    done = 0

    def told(log: TestRunLog) -> None:
        nonlocal done
        done += 1
        notes.print(f"{done}/{2 * len(chosen)} {log.scenario_id} {log.status}")

    report = try_contest(given, chosen, seed, threads, told, comparison)
    if out is not None:
        write(report, out)
    if as_json:
        print_json(report)
    else:
        _print(report)
    if fail_on_no_go and not report.go:
        raise typer.Exit(3)


@app.command("chat")
def chat_command(
    loop: Loop,
    adapter: Adapter = None,
    base: Base = None,
    trait: Annotated[
        list[str] | None,
        typer.Option(help="A trait's value for this talk, as in warmth=0.8 (repeatable)."),
    ] = None,
    seed: Seed = 23,
    threads: Threads = CORES,
    tenant: Tenant = "default",
    home: Home = None,
) -> None:
    """Talk with a candidate in its sandbox; nothing is kept. An empty line ends it."""
    from everloop.contracts.speaking import SpeakRequest
    from everloop.contracts.voices import Message
    from everloop.sdk.sandboxed import apart, contest

    given = contest(loop, home, tenant, base, adapter)
    traits = _traits(trait or [])
    version = given.candidate.version if given.candidate is not None else ""
    said: list[Message] = []
    with apart(given, threads) as voice:
        notes.print(f"closed: {', '.join(voice.isolation.mechanisms)}; an empty line ends it")
        while text := typer.prompt("you", default="", show_default=False).strip():
            said.append(Message("user", text))
            prompt = voice.prompt(said, traits, "")
            request = SpeakRequest(prompt, version, seed + len(said), given.spec.generation)
            answer = ""
            for piece in voice.stream(request):
                typer.echo(readable(piece), nl=False)
                answer += piece
            typer.echo()
            said.append(Message("assistant", answer))


@app.command("rate")
def rate_command(
    report: Annotated[Path, typer.Argument(help="A report of everloop sandbox run --out.")],
    loop: Loop,
    page: Annotated[Path, typer.Option(help="The page for people, HTML.")],
    key: Annotated[Path, typer.Option(help="What is which, JSON; keep it from those who rate.")],
    count: Annotated[int, typer.Option(min=1, max=500, help="Pairs at most.")] = 30,
    seed: Seed = 23,
) -> None:
    """Write a page on which people choose between two answers without knowing whose they are."""
    from everloop.contracts.documents import read, write_atomically
    from everloop.contracts.sandboxes import SandboxReport
    from everloop.sandbox.rating_page import render_ratings
    from everloop.sandbox.ratings import pairs_of

    pairs, sides = pairs_of(read(SandboxReport, report), _scenarios(loop, seed), seed, count)
    write_atomically(render_ratings(pairs, sides).encode(), page)
    write_atomically(sides.model_dump_json(indent=2).encode(), key)
    key.chmod(0o600)
    typer.echo(f"{page}: {len(pairs)} pairs to rate; {key} says what is which")


@app.command("ratings")
def ratings_command(
    key: Annotated[Path, typer.Argument(help="What is which, as everloop sandbox rate wrote it.")],
    answers: Annotated[list[Path], typer.Argument(help="What people gave back, one file each.")],
    as_json: Json = False,
) -> None:
    """Read what people chose: who won how often, with an exact interval."""
    from everloop.contracts.documents import from_json
    from everloop.contracts.errors import ShouldFixInput
    from everloop.sandbox.ratings import RatingKey, Ratings, result_of

    def content(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as problem:
            raise ShouldFixInput(
                f"{path} cannot be read: {problem}.", "Check the path."
            ) from problem

    given = [from_json(Ratings, content(path)) for path in answers]
    found = result_of(from_json(RatingKey, content(key)), given)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_pairs(
        {
            "raters": ", ".join(found.raters),
            "won by the candidate": found.candidate,
            "won by the active voice": found.active,
            "even": found.even,
            "share won": f"{found.win_rate:.0%} [{found.low:.0%}, {found.high:.0%}]",
        }
    )


def _scenarios(loop: str, seed: int) -> tuple[TestScenario, ...]:
    from everloop.loops.loader import load
    from everloop.loops.sections import voice_of
    from everloop.sandbox.choosing import scenarios_of

    beside = Path(loop).parent if loop.endswith((".yaml", ".yml")) else Path()
    return scenarios_of(voice_of(load(loop)), seed, beside)


def _of(scenarios: Sequence[TestScenario], suites: Sequence[str]) -> tuple[TestScenario, ...]:
    """Scenarios of these suites; all of them where none is named."""
    from everloop.contracts.errors import ShouldFixArgument

    known = {each.suite.value for each in scenarios}
    for name in suites:
        if name not in known:
            raise ShouldFixArgument(
                f"No scenario is of suite {name!r}.", f"Suites: {', '.join(sorted(known))}."
            )
    return tuple(each for each in scenarios if not suites or each.suite in suites)


def _traits(given: list[str]) -> dict[str, float]:
    from everloop.contracts.errors import ShouldFixArgument

    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            found[name] = float(value)
            if not math.isfinite(found[name]):
                raise ValueError(value)
        except ValueError:
            raise ShouldFixArgument(
                f"--trait {text!r} is no name=number.", "Write it as warmth=0.8."
            ) from None
    return found


def _print(report: SandboxReport) -> None:
    """Reasons quote what a candidate said, which neither the terminal nor the table may obey."""
    from rich.markup import escape

    print_pairs(
        {
            "answer": "go" if report.go else "no go",
            "candidate": report.model_id[:16],
            "active": report.active_id[:16],
            "scenarios": len(report.runs),
            "seconds": f"{report.seconds:.0f}",
        }
    )
    rows = [
        (check.name, check.status.value, escape(readable(check.reason))) for check in report.checks
    ]
    print_table("checks", ("check", "answer", "why"), rows)
