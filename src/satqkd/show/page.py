"""Pieces of an HTML page: everything given is text and is escaped here; only `Markup` passes through.

The page stands alone: style inside, pictures inside as base64, no script, nothing fetched. It follows the
reader's light or dark setting and prints on white. Knows nothing of passes.
"""

import base64
import html
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Final

from satqkd.errors import DataFormatError
from satqkd.show.tables import Table


class Markup(str):
    """Text that is HTML already. Made by the functions below only."""

    __slots__ = ()


def text(value: str) -> Markup:
    """Plain text, escaped."""
    return Markup(html.escape(value, quote=True))


def element(name: str, *children: str, class_: str = "") -> Markup:
    """An element of this name around its children; a child that is no Markup is escaped."""
    attribute = f' class="{html.escape(class_, quote=True)}"' if class_ else ""
    return Markup(f"<{name}{attribute}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Markup:
    """The children one after another, those that are no Markup escaped."""
    return Markup("".join(child if isinstance(child, Markup) else text(child) for child in children))


def table(content: Table, *, caption: bool = True) -> Markup:
    """A table; columns of numbers stand to the right. One without rows becomes a line that says so."""
    if not content.rows:
        return element("p", f"{content.title}: none.")
    right = [content.is_numeric(column) for column in range(len(content.header))]
    head = element("tr", *(_cell("th", name, on) for name, on in zip(content.header, right, strict=True)))
    body = (
        element("tr", *(_cell("td", cell, on) for cell, on in zip(row, right, strict=True)))
        for row in content.rows
    )
    title = element("caption", content.title) if caption else Markup("")
    named = element("thead", head) if any(content.header) else Markup("")
    return element("div", element("table", title, named, element("tbody", *body)), class_="wide")


def folded(summary: str, *children: str) -> Markup:
    """Details that open at a click."""
    return element("details", element("summary", summary), *children)


def picture(path: Path, description: str) -> Markup:
    """A PNG file, embedded. Raises DataFormatError when it cannot be read or is no PNG."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataFormatError(f"{path}: cannot be read ({error}); draw the pictures first") from None
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise DataFormatError(f"{path}: expected a PNG file, got {data[:8]!r}...")
    encoded = base64.b64encode(data).decode("ascii")
    alt = html.escape(description, quote=True)
    return Markup(
        f'<figure><img alt="{alt}" src="data:image/png;base64,{encoded}">'
        f"<figcaption>{alt}</figcaption></figure>"
    )


def page(title: str, sections: Iterable[str]) -> str:
    """The whole document."""
    return _PAGE.substitute(title=text(title), style=_STYLE, body=joined(sections))


def _cell(name: str, content: str, right: bool) -> Markup:
    """A number to the right; a name or a time, which has hyphens, in one line."""
    single = name == "td" and len(content) <= _WORD and " " not in content
    return element(name, content, class_="n" if right else "w" if single else "")


_WORD: Final = 28
"""Characters of a word that is never parted."""
_PAGE: Final = Template(
    """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>$title</title>
<style>$style</style>
</head>
<body><main>
$body
</main></body>
</html>
"""
)

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2733; --soft: #5b6774; --paper: #fff; --card: #f5f7f9;
  --line: #dfe4e9; --accent: #2f6fb0; --warn: #8a5a00; --warnbg: #fff6e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaee; --soft: #9aa7b4; --paper: #12171c;
  --card: #1b2229; --line: #303a44; --accent: #7fb2e5; --warn: #f0c674; --warnbg: #2b2413; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.2rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, ul { max-width: 46rem; }
.lead { color: var(--soft); margin-top: 0; }
.note { background: var(--warnbg); border-left: 4px solid var(--warn); border-radius: 4px; }
.good { background: var(--card); border-left: 4px solid var(--accent); border-radius: 4px; }
.note, .good { padding: .7rem 1rem; } ul.note { padding-left: 2rem; } .good p { margin: .3rem 0; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { text-align: left; padding: .28rem .8rem .28rem .3rem; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: break-word; }
th { color: var(--soft); font-weight: 600; }
.n { text-align: right; } td.n, .w { white-space: nowrap; }
figure { margin: 1rem 0; }
img { width: 100%; height: auto; background: #fff; border: 1px solid var(--line); border-radius: 6px; }
figcaption { color: var(--soft); font-size: .88rem; }
details { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .4rem .9rem;
  margin: .6rem 0; }
summary { cursor: pointer; color: var(--accent); font-weight: 600; }
@media print { :root { --ink: #000; --soft: #444; --paper: #fff; --card: #fff; --line: #ccc; --warnbg: #fff; }
  main { max-width: none; padding: 0; } body { font-size: 10.5pt; }
  figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } .wide { overflow: visible; } }
"""
