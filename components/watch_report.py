"""Watch, step 5: one self-contained page on the trial."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import TrialAct
from components._runtime import component


@component
def watch_report(
    product: str,
    terms: str,
    code: str,
    outcome: Input[TrialAct],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Render the page: effect by day, traffic and state over time, arms, guardrails, segments, events.

    Args:
        product: the loop specification's product section, JSON.
        terms: how candidates are tried, JSON.
        code: checksum of our source, part of the cache key.
        outcome: the verdict and what was done.
        page: the report, without any network access.
        metrics: the headline figures.
    """
    from components._stage import stage
    from components._watching import outcome_rows
    from everloop.contracts.documents import read
    from everloop.contracts.watching import WatchOutcome
    from everloop.loops.sections import assemble
    from everloop.reporting.trial import render_trial

    with stage("watch_report", page, page, metrics) as told:
        found = read(WatchOutcome, outcome.path)
        summary, rows, figures, plots = outcome_rows(found)
        html = render_trial(assemble(product, terms=terms), found)
        told.says(summary, rows, figures, plots, html)
