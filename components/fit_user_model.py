"""Step 4: the private simulator of how people respond, paid for in the ledger."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import EncodedDataset, EpisodeDataset, PrivateRelease
from components._runtime import component


@component
def fit_user_model(
    workspace: str,
    product: str,
    privacy: str,
    logical_date: str,
    tenant: str,
    code: str,
    dataset: Input[EpisodeDataset],
    episodes: Input[EncodedDataset],
    user_model: Output[PrivateRelease],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> bool:
    """Fit the user model with person-level differential privacy.

    Budget is reserved before the first gradient. A rerun of the same date returns the stored
    release; when nothing is left, the last release serves and the page says so.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        privacy: its budget and mechanism, JSON.
        logical_date: the day the run is for, ISO.
        tenant: owner of the rows.
        code: checksum of our source, part of the cache key.
        dataset: the manifest of the version.
        episodes: the encoded episodes.
        user_model: the released model and its note, or the refusal.
        page: mechanism, budget and fit.
        metrics: epsilon, people, parameters.

    Returns:
        Whether there is a model to go on with.
    """
    from datetime import date

    from components._private import publish_release
    from components._stage import stage
    from everloop.contracts.datasets import DatasetManifest
    from everloop.contracts.documents import read
    from everloop.contracts.encoded_file import load_encoded
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace
    from rl.encoders import layout
    from synthetic.user_model import release_user_model

    with stage("fit_user_model", user_model, page, metrics) as told:
        spec, place = assemble(product, privacy=privacy), open_workspace(workspace)
        version = read(DatasetManifest, dataset.path)
        return publish_release(
            told,
            user_model.path,
            lambda folder: release_user_model(
                spec,
                load_encoded(episodes.path),
                place.ledger,
                place.blobs,
                date.fromisoformat(logical_date),
                version.dataset_id,
                f"{spec.name}/{tenant}",
                folder,
                layout=layout(spec),
                known_until=version.known_until,
            ),
        )
