"""Step 6: are the synthetic people and their answers close enough to real ones?"""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import EncodedDataset, PrivateRelease, SyntheticQuality
from components._runtime import component


@component
def check_synthetic(
    product: str,
    thresholds: str,
    code: str,
    episodes: Input[EncodedDataset],
    user_model: Input[PrivateRelease],
    profiles: Input[PrivateRelease],
    quality: Output[SyntheticQuality],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Compare profiles and user model with held-out people, inside the trust boundary.

    Args:
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        code: checksum of our source, part of the cache key.
        episodes: the encoded episodes.
        user_model: the released user model.
        profiles: the synthetic people.
        quality: estimates with intervals and named checks for the gate.
        page: the same as a page.
        metrics: the estimates.
    """
    from components._pages import quality_rows
    from components._private import released_file, released_note
    from components._stage import stage
    from everloop.contracts.documents import write
    from everloop.contracts.encoded_file import load_encoded
    from everloop.loops.sections import assemble
    from everloop.privacy.plan import remaining_epsilon
    from rl.encoders import layout
    from synthetic.profiles import load_profiles
    from synthetic.quality import check_quality
    from synthetic.user_model import load_user_model

    with stage("check_synthetic", quality, page, metrics) as told:
        spec = assemble(product, thresholds=thresholds)
        figures = check_quality(
            spec,
            layout(spec),
            load_profiles(released_file(profiles.path)),
            load_user_model(released_file(user_model.path), spec),
            load_encoded(episodes.path),
            remaining_epsilon(released_note(profiles.path).budget),
        )
        write(figures, quality.path)
        told.says(*quality_rows(figures))
