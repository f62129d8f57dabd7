"""Elements of inline SVG for one HTML file: no scripts, no fonts, no files.

Horizontal positions are percentages and vertical ones pixels, so a plot fills whatever width it gets
while its text stays 12 px; curves alone sit in a nested, stretched SVG. Labels left of the plot area
use negative x in the figure's padding. Colours are the page's CSS variables, so plots follow dark
mode. Every text is escaped. ``ident`` becomes an HTML id and must be unique on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True, slots=True)
class Caption:
    """What a plot is called and what it shows, in words that stand without the picture."""

    ident: str
    title: str
    description: str


def tag(name: str, *children: Markup, **attributes: str | float) -> Markup:
    """One element; attribute names take ``_`` for ``-`` and a trailing ``_`` is dropped."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(coordinate(value))}"'
        for key, value in attributes.items()
    )
    return Markup(f"<{name}{given}>{''.join(children)}</{name}>")  # noqa: S704 - parts are escaped


def coordinate(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    return f"{coordinate(100 * share)}%"


def text(content: str, **attributes: str | float) -> Markup:
    return tag("text", escape(content), **attributes)


def figure(caption: Caption, height: float, *parts: Markup, css: str = "plot") -> Markup:
    """A figure with its caption; the SVG carries title and description for screen readers."""
    ident = caption.ident
    svg = tag(
        "svg",
        tag("title", escape(caption.title), id=f"{ident}-title"),
        tag("desc", escape(caption.description), id=f"{ident}-desc"),
        *parts,
        role="img",
        aria_labelledby=f"{ident}-title {ident}-desc",
        width="100%",
        height=height,
    )
    words = tag(
        "figcaption",
        tag("strong", escape(caption.title)),
        Markup(" "),
        tag("span", escape(caption.description)),
    )
    return tag("figure", words, tag("div", svg, class_="canvas"), class_=css, id=ident)


def x_labels(places: Sequence[tuple[float, str]], y: float, *, inside: bool = True) -> Markup:
    """Texts under the plot area at shares of its width, centred there.

    ``inside`` keeps those at the very ends within the area.
    """
    parts = []
    for share, label in places:
        anchor = "tick middle"
        if inside and not 0.02 <= share <= 0.98:
            anchor = "tick start" if share < 0.5 else "tick end"
        parts.append(text(label, class_=anchor, x=percent(share), y=y))
    return Markup("").join(parts)
