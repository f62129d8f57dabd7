"""Voice, step 2: what people said becomes examples, screened, held out by person."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import VoiceCollection, VoiceData
from components._runtime import component


@component
def build_training_data(
    workspace: str,
    product: str,
    voice: str,
    tenant: str,
    code: str,
    collection: Input[VoiceCollection],
    data: Output[VoiceData],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Build the examples: corrections, comparisons, thumbs, own texts and corpora.

    Args:
        workspace: address of the workspace; holds the base that paraphrases scarce corrections.
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        tenant: owner of the rows.
        code: checksum of our source, part of the cache key.
        collection: what people said.
        data: examples to learn from, examples to judge on, and what became of the rows.
        page: the same as a page.
        metrics: counts.
    """
    from pathlib import Path

    from components._stage import stage
    from components._voice_data import build_data
    from components._voice_pages import data_rows
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("build_training_data", data, page, metrics) as told:
        spec = assemble(product, voice=voice)
        place = open_workspace(workspace)
        figures = build_data(spec, place, tenant, Path(collection.path), Path(data.path))
        told.says(*data_rows(figures))
