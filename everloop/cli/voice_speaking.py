"""``everloop voice prepare``, ``speak`` and ``export``: a loop's base, its answers, and a file of both."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from everloop.cli.output import Home, Json, Tenant, notes, print_json
from everloop.cli.readable import readable

if TYPE_CHECKING:  # what speaks loads torch
    from everloop.adaptation.training.reward_weights import RewardScorer
    from everloop.contracts.loop_spec import LoopSpec
    from everloop.contracts.personas import PersonaGraph
    from everloop.contracts.speaking import AdapterFolder, BaseFolder
    from everloop.registry.loading import VerifiedModel
    from everloop.wiring import Workspace

Loop = Annotated[str, typer.Option("--loop", help="A shipped loop or a YAML file.")]
Version = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        help="Version or checkpoint of an adapter; 'base' for none. Default: the one that serves.",
    ),
]


def prepare(loop: Loop = "companion", home: Home = None, as_json: Json = False) -> None:
    """Prepare the base model of a loop's voice, once for training and serving."""
    from everloop.cli.progress import Spinner
    from everloop.loops import load
    from everloop.loops.sections import voice_of
    from everloop.settings import read, voice_cache
    from everloop.speaking.base import prepare_base

    spec = voice_of(load(loop))
    spinner = Spinner(notes)
    try:
        base = prepare_base(
            spec.base,
            voice_cache(read(home).home) / "bases",
            lambda what, part: spinner.show(f"{spec.base.name}: {what} ({part:.0%})"),
        )
    finally:
        spinner.close()
    if as_json:
        print_json(
            {
                "name": base.name,
                "path": str(base.path),
                "sha256": base.sha256,
                "license": base.license,
            }
        )
        return
    typer.echo(f"{base.name} ({base.license}): {base.path}")


def speak(
    text: Annotated[str, typer.Argument(help="What is said to the voice.")],
    loop: Loop = "companion",
    adapter: Version = None,
    user: Annotated[
        str | None, typer.Option(help="Who says it; the product's own id. Default: nobody.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the draws; by default another each time.")
    ] = None,
    best_of: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="Answers that are drawn; the adapter's reward model takes one. Default: as the loop says.",
        ),
    ] = None,
    tenant: Tenant = "default",
    home: Home = None,
) -> None:
    """Answer on stdout, as the voice comes up with it. Nothing is logged, and no screen is passed.

    The best of several answers is shown once all are there.
    """
    from everloop.contracts.speaking import SpeakRequest
    from everloop.contracts.voices import Message
    from everloop.loops import load
    from everloop.loops.sections import voice_of
    from everloop.persona.prompt import prompt_of
    from everloop.wiring import open_workspace

    spec, workspace = load(loop), open_workspace(home)
    voice, base = voice_of(spec), _base(spec, workspace)
    kept = _registered(spec, workspace, tenant, adapter)
    found = _unpacked(kept, workspace, base)
    scorer = _scorer(kept, workspace, base, best_of, voice.reward_model.best_of)
    person = None if user is None else workspace.pseudonyms.of(user, tenant)
    prompt = prompt_of(
        voice, _graph(spec, workspace, tenant, person), (Message("user", text),), person
    )
    from everloop.adaptation.training.best_of import best_of_n
    from everloop.speaking.engine import Engine

    engine = Engine(base)
    if found is not None:
        engine.load(found)
    version = "" if found is None else found.version
    notes.print(f"{base.name}, {f'adapter {version}' if version else 'no adapter'}")
    drawn = secrets.randbits(32) if seed is None else seed
    request = SpeakRequest(prompt, version, drawn, voice.generation)
    if scorer is not None:
        best = best_of_n(engine, scorer, request, best_of or voice.reward_model.best_of)
        typer.echo(readable(best.text))
        return
    for piece in engine.stream(request):
        sys.stdout.write(readable(piece))
        sys.stdout.flush()
    typer.echo("")


def export(
    gguf: Annotated[Path, typer.Option(help="File that is written; an older one is replaced.")],
    loop: Loop = "companion",
    adapter: Version = None,
    tenant: Tenant = "default",
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Write base and adapter merged as one GGUF file (float16) for other runtimes."""
    from everloop.loops import load
    from everloop.wiring import open_workspace

    spec, workspace = load(loop), open_workspace(home)
    base = _base(spec, workspace)
    found = _unpacked(_registered(spec, workspace, tenant, adapter), workspace, base)
    from everloop.speaking.gguf_export import export_gguf

    sha256 = export_gguf(base, found, gguf)
    version = "base" if found is None else found.version
    if as_json:
        print_json({"file": str(gguf), "sha256": sha256, "base": base.name, "adapter": version})
        return
    typer.echo(
        f"{gguf}: {base.name} with {version}, {gguf.stat().st_size / 2**20:,.0f} MiB, {sha256}"
    )


def _base(spec: LoopSpec, workspace: Workspace) -> BaseFolder:
    from everloop.contracts.errors import ShouldRetryLater
    from everloop.loops.sections import voice_of
    from everloop.settings import voice_cache
    from everloop.speaking.base import prepared_base

    wanted = voice_of(spec).base
    base = prepared_base(wanted, voice_cache(workspace.home) / "bases")
    if base is None:
        raise ShouldRetryLater(
            f"The base {wanted.name} of loop {spec.name!r} is not prepared.",
            "Run `everloop voice prepare`.",
        )
    return base


def _registered(
    spec: LoopSpec, workspace: Workspace, tenant: str, named: str | None
) -> VerifiedModel | None:
    """The adapter of that version or checkpoint, verified; the one that serves where none is named."""
    from everloop.contracts.errors import ShouldNameKnownId
    from everloop.contracts.models import ModelType
    from everloop.registry.loading import active_alias, load

    registry = workspace.registry
    if named == "base":
        return None
    if named is None:
        checkpoint, _ = registry.alias(spec.name, active_alias(ModelType.ADAPTER), tenant)
        if checkpoint is None:
            return None
    else:
        rows = [
            row
            for row in registry.checkpoints(spec.name, tenant)
            if row.model_type is ModelType.ADAPTER
        ]
        known = {row.lineage.get("version", row.checkpoint_id): row.checkpoint_id for row in rows}
        known |= {row.checkpoint_id: row.checkpoint_id for row in rows}
        if named not in known:
            versions = sorted(row.lineage.get("version", row.checkpoint_id) for row in rows)
            raise ShouldNameKnownId(
                f"Loop {spec.name!r} has no adapter {named!r}.",
                f"It has: {', '.join(versions) or 'none yet'}.",
            )
        checkpoint = known[named]
    return load(checkpoint, registry, workspace.blobs)


def _unpacked(
    found: VerifiedModel | None, workspace: Workspace, base: BaseFolder
) -> AdapterFolder | None:
    from everloop.settings import voice_cache
    from everloop.speaking.adapters import require_base, unpack_adapter

    if found is None:
        return None
    require_base(found.checkpoint, base)
    version = found.checkpoint.lineage.get("version") or found.checkpoint.checkpoint_id
    return unpack_adapter(found.files, base, version, voice_cache(workspace.home) / "adapters")


def _scorer(
    found: VerifiedModel | None,
    workspace: Workspace,
    base: BaseFolder,
    asked: int | None,
    usual: int,
) -> RewardScorer | None:
    """The adapter's reward model, where there is more than one answer to choose from; without one only
    who asks for it is told."""
    from everloop.adaptation.training.reward_weights import SCORER_LINEAGE, unpack_scorer
    from everloop.contracts.errors import ShouldFixArgument
    from everloop.settings import voice_cache

    if (usual if asked is None else asked) == 1:
        return None
    sha256 = None if found is None else found.checkpoint.lineage.get(SCORER_LINEAGE)
    if found is None or sha256 is None:
        if asked is None:
            return None
        raise ShouldFixArgument(
            f"--best-of {asked}: {'the base' if found is None else 'this adapter'} has no reward model.",
            "Name an adapter that was registered with one, or leave --best-of out.",
        )
    return unpack_scorer(found.files, base, sha256, voice_cache(workspace.home) / "reward_models")


def _graph(spec: LoopSpec, workspace: Workspace, tenant: str, person: str | None) -> PersonaGraph:
    """What the service builds prompts from now."""
    from everloop.contracts.models import ModelType
    from everloop.registry.loading import active_alias
    from everloop.sdk.spoken_graph import spoken_graph

    prompt, _ = workspace.registry.alias(spec.name, active_alias(ModelType.PROMPT), tenant)
    return spoken_graph(workspace, spec, tenant, person, prompt)
