"""A figure as SVG text: deterministic, small, and safe to put several of on one page."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture", "picture"]


@dataclass(frozen=True)
class Picture:
    """A drawn figure.

    Attributes
    ----------
    figure
        The matplotlib figure, to be changed or saved in another format.
    caption
        One or two sentences that say what it shows.
    svg
        The figure as an ``<svg>`` element.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: str | Path) -> Path:
        """Write the figure; the format follows the name's ending."""
        if Path(path).suffix == ".svg":
            Path(path).write_text(self.svg, encoding="utf-8")
        else:
            self.figure.savefig(path, dpi=200, bbox_inches="tight", facecolor="white")
        return Path(path)


def picture(name: str, title: str, caption: str, figure: Figure) -> Picture:
    """Render under `recfleet.report.style.figure_style`."""
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    return Picture(name, title, caption, figure, _tidy(sink.getvalue(), name, f"{title}. {caption}"))


_DRAWN = re.compile(r' (?:d|points|transform|x|y|width|height|viewBox)="[^"]*"')
_COORDINATE = re.compile(r"(-?\d+\.\d{2})\d+")
_FONT = "font-family: inherit"


def _tidy(svg: str, name: str, label: str) -> str:
    """The ``<svg>`` element alone, coordinates to 0.01 pt, ids unique on the page, fonts as on the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns:xlink="[^"]*"', "", svg, count=1).replace("xlink:href", "href")
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = _DRAWN.sub(lambda attribute: _COORDINATE.sub(r"\1", attribute[0]), svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    svg = re.sub(r"font(-family)?: ([^;\"]*?)('[^']*'(?:, )?)+[^;\"]*", _font, svg)
    size = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', svg)
    assert size is not None
    escaped = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return svg.replace(
        size[0], f'width="100%" style="max-width:{float(size[1]):.0f}pt" role="img" aria-label="{escaped}"', 1
    )


def _font(match: re.Match[str]) -> str:
    """Size and weight as drawn, family as on the page."""
    style = match[2].strip()
    size = re.search(r"([\d.]+)px", style)
    weight = re.search(r"\b(bold|[1-9]00)\b", style)
    parts = [_FONT]
    if size:
        parts.append(f"font-size: {size[1]}px")
    if weight:
        parts.append(f"font-weight: {weight[1]}")
    return "; ".join(parts)
