"""The model card as a page: Markdown -> HTML with a way to each section and long tables folded."""

import re
from html import unescape

import mistune

#: A table with more rows than this is folded: on a page all of them would stand between a reader
#: and the next section.
MAX_ROWS = 12

_HEADING = re.compile(r"<h2>(.*?)</h2>")
_TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)

# On a phone a table is wider than the page: it scrolls by itself, by keyboard, too.
_FRAME = '<div class="wide" role="group" aria-label="Table" tabindex="0">{}</div>\n'
_FOLDED = "<details><summary>Table of {} rows</summary>\n{}</details>\n"


def card_html(markdown: str) -> tuple[str, list[tuple[str, str]]]:
    """Return a model card as HTML, and the id and title of each of its sections.

    Args:
        markdown: the card; markup in it is shown as text.
    """
    sections: list[tuple[str, str]] = []

    def with_id(match: re.Match) -> str:
        title = unescape(re.sub("<[^>]+>", "", match[1]))
        sections.append((f"section-{len(sections) + 1}", title))
        return f'<h2 id="{sections[-1][0]}">{match[1]}</h2>'

    html = str(mistune.create_markdown(escape=True, plugins=["table"])(markdown))
    return _TABLE.sub(_framed, _HEADING.sub(with_id, html)), sections


def _framed(match: re.Match) -> str:
    table = _FRAME.format(match[0])
    rows = match[0].count("<tr>") - 1
    return _FOLDED.format(rows, table) if rows > MAX_ROWS else table
