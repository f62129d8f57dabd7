"""Step 2: Great Expectations on the dataset version; a no ends the run in a report."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import EpisodeDataset, Validation
from components._runtime import component


@component
def validate_episodes(
    workspace: str,
    product: str,
    thresholds: str,
    code: str,
    dataset: Input[EpisodeDataset],
    validation: Output[Validation],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> bool:
    """Check schema, ranges, propensities, freshness and volume.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        code: checksum of our source, part of the cache key.
        dataset: the manifest of the version to check.
        validation: every expectation with what was observed.
        page: the same as a page.
        metrics: how many expectations passed and failed.

    Returns:
        Whether the run may go on.
    """
    from components._contexts import audited_contexts
    from components._stage import stage
    from everloop.contracts.datasets import DatasetManifest
    from everloop.contracts.documents import read, write
    from everloop.loops.sections import assemble
    from everloop.validation.page import render_html
    from everloop.validation.suite import validate
    from everloop.wiring import open_workspace

    with stage("validate_episodes", validation, page, metrics) as told:
        spec = assemble(product, thresholds=thresholds)
        manifest = read(DatasetManifest, dataset.path)
        place = open_workspace(workspace)
        contexts = audited_contexts(place, manifest, "validate_episodes")
        report = validate(spec, place.datasets.open(manifest.dataset_id), contexts)
        write(report, validation.path)
        failed = [c for c in report.checks if not c.passed and c.severity == "error"]
        warned = sum(not c.passed for c in report.checks) - len(failed)
        names = f": {', '.join(c.name for c in failed)}" if failed else ""
        told.says(
            f"{len(report.checks)} expectations, {len(failed)} failed{names}, {warned} warnings",
            metrics={"expectations": len(report.checks), "failed": len(failed), "warnings": warned},
            page=render_html(report, spec),
        )
    return report.passed
