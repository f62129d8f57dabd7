"""Step 7: the pairing and the emotion model, heads of the private user model as models of their own."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import EncodedDataset, Heads, PrivateRelease
from components._runtime import component


@component
def export_heads(
    product: str,
    privacy: str,
    code: str,
    episodes: Input[EncodedDataset],
    user_model: Input[PrivateRelease],
    heads: Output[Heads],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Write both heads as ONNX, checked against the user model, and measure them on held-out people.

    The files come from the release alone; only their figures read the log.

    Args:
        product: the loop specification's product section, JSON.
        privacy: its budget and mechanism, JSON.
        code: checksum of our source, part of the cache key.
        episodes: the encoded episodes.
        user_model: the released user model.
        heads: both models and their figures.
        page: the figures, with intervals.
        metrics: the same.
    """
    from pathlib import Path

    from components._heads import export_and_measure
    from components._pages import head_rows
    from components._private import released_file
    from components._stage import stage
    from everloop.contracts.documents import write
    from everloop.contracts.encoded_file import load_encoded
    from everloop.loops.sections import assemble
    from synthetic.user_model import load_user_model

    with stage("export_heads", heads, page, metrics) as told:
        spec, folder = assemble(product, privacy=privacy), Path(heads.path)
        model = load_user_model(released_file(user_model.path), spec)
        found = export_and_measure(spec, model, load_encoded(episodes.path), folder)
        write(found, folder / "heads.json")
        told.says(*head_rows(found))
