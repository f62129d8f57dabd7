"""The page on which people rate: one file without scripts or pictures from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from everloop.sandbox.ratings import RatedPair, RatingKey


def render_ratings(pairs: Sequence[RatedPair], key: RatingKey) -> str:
    """The page; of the key it holds the page's id alone, and every text is escaped."""
    return _template().render(page=key.page, pairs=pairs)


@cache
def _template() -> Template:
    text = files("everloop.sandbox").joinpath("rating_page.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True).from_string(
        text
    )
