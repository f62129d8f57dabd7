"""``everloop rollout manifests``: what traffic engines need to follow a trial."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from everloop.cli.output import Home, Tenant


class Engine(StrEnum):
    ARGO = "argo"
    FLAGGER = "flagger"
    KSERVE = "kserve"


def manifests(
    service_url: Annotated[
        str,
        typer.Option(
            help="Where everloop answers in the cluster, such as http://everloop.ml:8000."
        ),
    ],
    engine: Annotated[list[Engine], typer.Option(help="Whose manifests; may be repeated.")],
    loop: Annotated[str, typer.Option(help="The loop; its specification gives the ramp.")],
    deployment: Annotated[
        str,
        typer.Option(help="The deployment (default: the one on trial, else the one that serves)."),
    ] = "",
    output: Annotated[
        Path | None, typer.Option(help="Folder for <engine>.yaml files (default: print them).")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the workload (default: the loop's).")] = "",
    namespace: Annotated[str, typer.Option(help="Its namespace.")] = "default",
    image: Annotated[str, typer.Option(help="Image of the serving pods.")] = "everloop:latest",
    storage_uri: Annotated[
        str, typer.Option(help="Where model servers load artefacts from (KServe).")
    ] = "",
    secret: Annotated[
        str, typer.Option(help="Secret whose key `token` is an API key with scope read (Argo).")
    ] = "everloop-read",  # noqa: S107 — a name
    replicas: Annotated[int, typer.Option(help="Of the serving pods.", min=1)] = 2,
    port: Annotated[int, typer.Option(help="Of the serving pods.")] = 8000,
    tenant: Tenant = "default",
    home: Home = None,
) -> None:
    """Write manifests for Argo Rollouts, Flagger or KServe that follow a deployment's verdict.

    The engine splits traffic between pods; who meets the candidate stays assigned by everloop. Argo and
    Flagger ask for the deployment's verdict and go back when it says rollback. Argo waits for each step by
    itself; Flagger and KServe get the traffic that the trial has now, so write their manifests again after
    every step.
    """
    from everloop.contracts.documents import write_atomically
    from everloop.sdk.engines import documents_of, engine_terms

    terms = engine_terms(
        loop,
        service_url,
        deployment_id=deployment,
        name=name,
        namespace=namespace,
        image=image,
        storage_uri=storage_uri,
        secret=secret,
        replicas=replicas,
        port=port,
        tenant=tenant,
        home=home,
    )
    for wanted in dict.fromkeys(engine):
        text = documents_of(wanted.value, terms)
        if output is None:
            typer.echo(text, nl=False)
        else:
            path = write_atomically(text.encode(), output / f"{wanted.value}.yaml")
            typer.echo(str(path))
