"""Keep what an attack found as a word on the model, and show it."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import AdversarialFindings, AdversarialWord
from components._runtime import component


@component
def adversarial_record(
    workspace: str,
    code: str,
    findings: Input[AdversarialFindings],
    word: Output[AdversarialWord],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Record an adversarial test of the model, passed or failed, with its figures.

    Args:
        workspace: address of the workspace.
        code: checksum of our source, part of the cache key.
        findings: every attack with its answer and figures.
        word: what was recorded.
        page: the review as a page.
        metrics: how many attacks were made and whether all were withstood.
    """
    from datetime import UTC, datetime

    from components._adversarial import record, review_rows
    from components._stage import stage
    from everloop.contracts.adversarial import AdversarialReview
    from everloop.contracts.documents import read, write
    from everloop.wiring import open_workspace

    with stage("adversarial_record", word, page, metrics) as told:
        review = read(AdversarialReview, findings.path)
        write(record(open_workspace(workspace), review, datetime.now(UTC)), word.path)
        told.says(*review_rows(review))
