"""``everloop serve``: the HTTP service."""

from __future__ import annotations

from typing import Annotated

import typer

from everloop.cli.output import Home, notes


def serve(
    loop: Annotated[
        list[str] | None,
        typer.Option(
            "--loop", help="A shipped loop or a YAML file; repeat for several. Default: companion."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 8200,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that serve together.")] = 1,
    train: Annotated[
        bool,
        typer.Option(
            "--train/--no-train",
            help="Start the daily graph after 1,000 new episodes or a day, whichever comes first.",
        ),
    ] = True,
    rate: Annotated[
        float, typer.Option(min=0.001, help="Records a second that a tenant may send a worker.")
    ] = 50_000.0,
    home: Home = None,
) -> None:
    """Serve the HTTP API: log events, ask for decisions, start training, deploy models.

    Events are on disk before they are acknowledged. With EVERLOOP_DATABASE_URL they go to PostgreSQL,
    otherwise to the workspace. Make a key first:

      KEY=$(everloop keys create --name me --scope ingest --scope decide --scope read)

    The documentation of every route is at /docs, figures for Prometheus at /metrics.
    """
    from everloop.serving import workers as processes
    from everloop.serving.configuration import ServiceConfig
    from everloop.settings import read

    folder = read(home).home
    config = ServiceConfig(
        home=folder,
        loops=tuple(loop or ("companion",)),
        requests_per_second=rate,
        request_burst=2 * rate,
        train=train,
        workers=workers,
        metrics_folder=folder / "metrics" if workers > 1 else None,
    )
    listening = processes.bind(host, port)
    address = f"http://{host}:{listening.getsockname()[1]}"
    notes.print(f"everloop serves {', '.join(config.loops)} at {address} (docs: {address}/docs)")
    notes.print("stop it with Ctrl-C: what was acknowledged is stored")
    raise typer.Exit(processes.run(config, listening))
