"""Reporting: the success metrics of a run, its HTML report and the pages of its stages."""

from everloop.reporting.evidence import RunEvidence, logged_action_share
from everloop.reporting.report import SECTIONS, render, section_page, stage_page
from everloop.reporting.success import success_figures

__all__ = [
    "SECTIONS",
    "RunEvidence",
    "logged_action_share",
    "render",
    "section_page",
    "stage_page",
    "success_figures",
]
