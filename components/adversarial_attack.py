"""Attack the active model: perturbed states, extreme contexts, catalogue tricks and poisoned rewards."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import AdversarialFindings, EncodedDataset, EpisodeDataset
from components._runtime import component


@component
def adversarial_attack(
    workspace: str,
    product: str,
    thresholds: str,
    logical_date: str,
    tenant: str,
    model: str,
    code: str,
    dataset: Input[EpisodeDataset],
    episodes: Input[EncodedDataset],
    findings: Output[AdversarialFindings],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Attack a model by every way that the product knows; nothing of it is changed.

    Args:
        workspace: address of the workspace; its registry names the active model.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        logical_date: the day the run is for, ISO.
        tenant: owner of the rows.
        model: the checkpoint to attack; empty: the active one.
        code: checksum of our source, part of the cache key.
        dataset: the dataset version, which says how much was logged by then.
        episodes: the encoded episodes.
        findings: every attack with its answer and figures.
        page: the same as a page.
        metrics: whether each was withstood.
    """
    from functools import partial

    from components._adversarial import attack, attacked_model, review_rows
    from components._evaluation import logged_so_far
    from components._poisoned_log import held_back
    from components._stage import stage
    from everloop.contracts.adversarial import AdversarialReview, AttackLimits
    from everloop.contracts.datasets import DatasetManifest
    from everloop.contracts.documents import read, write
    from everloop.contracts.encoded_file import load_encoded
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("adversarial_attack", findings, page, metrics) as told:
        spec, place = assemble(product, thresholds=thresholds), open_workspace(workspace)
        manifest = read(DatasetManifest, dataset.path)
        attacked = attacked_model(place, spec, tenant, model)
        logged = logged_so_far(place, spec, manifest)
        review = AdversarialReview(
            loop=spec.name,
            tenant=tenant,
            logical_date=logical_date,
            checkpoint_id=attacked.checkpoint.checkpoint_id,
            policy=attacked.policy.version,
            dataset_id=manifest.dataset_id,
            epsilon=spec.serving_epsilon(logged),
            attacks=attack(
                spec,
                attacked.policy,
                load_encoded(episodes.path),
                logged,
                AttackLimits(),
                partial(held_back, spec, place.datasets.open(manifest.dataset_id)),
            ),
        )
        write(review, findings.path)
        told.says(*review_rows(review))
