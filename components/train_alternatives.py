"""Step 9: what else could decide: the user model's best decision, linear bandits, the raw log's policy."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    AlternativePolicies,
    EncodedDataset,
    PrivateRelease,
    ReportOnlyPolicies,
)
from components._runtime import component


@component
def train_alternatives(
    product: str,
    training: str,
    code: str,
    episodes: Input[EncodedDataset],
    user_model: Input[PrivateRelease],
    profiles: Input[PrivateRelease],
    alternatives: Output[AlternativePolicies],
    report_only: Output[ReportOnlyPolicies],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Learn the policies that PPO is compared with.

    The log is read for the report-only learner alone, and what it learns is an artifact of its own.

    Args:
        product: the loop specification's product section, JSON.
        training: its training section, JSON.
        code: checksum of our source, part of the cache key.
        episodes: the encoded episodes.
        user_model: the released user model.
        profiles: the synthetic people.
        alternatives: policies made from private releases alone.
        report_only: policies learned on the raw log.
        page: what was learned, at what cost.
        metrics: CPU seconds of each.
    """
    from pathlib import Path

    from components._alternatives import learn_alternatives
    from components._stage import stage
    from everloop.loops.sections import assemble

    with stage("train_alternatives", alternatives, page, metrics) as told:
        told.says(
            *learn_alternatives(
                assemble(product, training=training),
                episodes.path,
                user_model.path,
                profiles.path,
                Path(alternatives.path),
                Path(report_only.path),
            )
        )
