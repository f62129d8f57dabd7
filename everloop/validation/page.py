"""A validation report as one self-contained HTML page."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from everloop.contracts.evaluation import ValidationCheck, ValidationReport
from everloop.contracts.loop_spec import LoopSpec


def render_html(report: ValidationReport, spec: LoopSpec) -> str:
    """Render without any network access; everything that comes from data is escaped."""
    return _template().render(
        spec=spec,
        report=report,
        checks=sorted(report.checks, key=_order),
        failed=[c for c in report.checks if not c.passed and c.severity == "error"],
        warned=[c for c in report.checks if not c.passed and c.severity != "error"],
    )


def _order(check: ValidationCheck) -> tuple[bool, bool]:
    """Errors first, then warnings, then what passed; each in the suite's order."""
    return check.passed, check.severity != "error"


@cache
def _template() -> Template:
    text = files("everloop.validation").joinpath("page.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(text)
