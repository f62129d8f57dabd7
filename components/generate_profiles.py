"""Step 5: people who do not exist, drawn from a private release."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import EncodedDataset, EpisodeDataset, PrivateRelease
from components._runtime import component


@component
def generate_profiles(
    workspace: str,
    product: str,
    privacy: str,
    training: str,
    logical_date: str,
    tenant: str,
    code: str,
    dataset: Input[EpisodeDataset],
    episodes: Input[EncodedDataset],
    user_model: Input[PrivateRelease],
    profiles: Output[PrivateRelease],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> bool:
    """Draw synthetic people from noisy tables and moments that the ledger paid for, and play their days.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        privacy: its budget and mechanism, JSON.
        training: its training section, JSON (how many people, which seed).
        logical_date: the day the run is for, ISO.
        tenant: owner of the rows.
        code: checksum of our source, part of the cache key.
        dataset: the manifest of the version.
        episodes: the encoded episodes.
        user_model: the released user model, which the people's days are played over.
        profiles: the people and the release's note, or the refusal.
        page: mechanism, budget and people.
        metrics: epsilon, people.

    Returns:
        Whether there are people to go on with.
    """
    from datetime import date

    from components._patterns import patterns_of
    from components._people import store_people
    from components._private import publish_release, released_file
    from components._stage import stage
    from everloop.contracts.datasets import DatasetManifest
    from everloop.contracts.documents import read
    from everloop.contracts.encoded_file import load_encoded
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace
    from rl.encoders import layout
    from synthetic.profiles import load_profiles, release_profiles
    from synthetic.user_model import load_user_model

    with stage("generate_profiles", profiles, page, metrics) as told:
        spec, place = (
            assemble(product, privacy=privacy, training=training),
            open_workspace(workspace),
        )
        made = publish_release(
            told,
            profiles.path,
            lambda folder: release_profiles(
                spec,
                layout(spec),
                load_encoded(episodes.path),
                place.ledger,
                place.blobs,
                date.fromisoformat(logical_date),
                read(DatasetManifest, dataset.path).dataset_id,
                f"{spec.name}/{tenant}",
                folder,
            ),
        )
        if made:
            people = load_profiles(released_file(profiles.path))
            model = load_user_model(released_file(user_model.path), spec)
            store_people(place, spec, tenant, date.fromisoformat(logical_date), model, people)
            told.rows += patterns_of(profiles.path, layout(spec), spec)
        return made
