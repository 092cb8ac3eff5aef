"""An audit as one HTML page: no script, font or picture that does not lie in the file itself."""

import base64
import io
import os
import re
from html import escape
from pathlib import Path

import pandas as pd
from PIL import Image

from deepfake_lab import paths
from deepfake_lab.auditing.checks import SEVERITIES, Finding
from deepfake_lab.auditing.results import Results
from deepfake_lab.auditing.shortcuts import THRESHOLD
from deepfake_lab.errors import UserError
from deepfake_lab.photos import images

_TOPICS = {
    "shortcuts": "Shortcuts: what gives the label away",
    "duplicates": "Duplicates and leaks",
    "balance": "Balance",
    "faces": "Faces",
    "files": "Files",
}
_WORDS = {
    "high": "No score from this data can be trusted before this is put right.",
    "medium": "To be put right before training.",
    "low": "Good to know.",
}
_THUMB = 88

_STYLE = """
:root { color-scheme: light dark; --text: #1b1f24; --page: #fff; --soft: #5b6570; --line: #d5dae0;
  --card: #f5f7f9; --high: #b3261e; --medium: #9a5b00; --low: #2f6690; --bar: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --page: #14171a; --soft: #a3adb8;
  --line: #353c44; --card: #1d2226; --high: #ff8a80; --medium: #f0b352; --low: #86bce6;
  --bar: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; color: var(--text);
  background: var(--page); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.1rem; color: var(--soft); font-weight: 600; margin: 0; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
.verdict { font-size: 1.5rem; line-height: 1.35; margin: .5rem 0 1.5rem; font-weight: 600; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
th { color: var(--soft); font-weight: 600; }
.wide { overflow-x: auto; }
.finding { background: var(--card); border-left: 4px solid var(--mark); border-radius: 4px;
  padding: .75rem 1rem; margin: .75rem 0; }
.finding h3 { margin: 0; font-size: 1.05rem; }
.finding p { margin: .3rem 0; }
.severity { color: var(--mark); text-transform: uppercase; font-size: .8rem;
  letter-spacing: .05em; }
.high { --mark: var(--high); } .medium { --mark: var(--medium); } .low { --mark: var(--low); }
.files { display: flex; flex-wrap: wrap; gap: .6rem; margin: .6rem 0 0; padding: 0;
  list-style: none; }
.files li { width: 7rem; font-size: .75rem; color: var(--soft); overflow-wrap: anywhere; }
.files img { display: block; width: 88px; height: 88px; object-fit: contain; }
.soft { color: var(--soft); }
.hit { color: var(--high); font-weight: 600; }
svg { width: 100%; height: auto; max-width: 44rem; display: block; }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
"""


def write_report(audit: Results, path: Path) -> Path:
    """Write the page and return where.

    Raises:
        UserError: the page cannot be written there.
    """
    data = audit.dataset
    name = escape(data.folder.name)
    counts = ", ".join(
        f"{number} {severity}"
        for severity in SEVERITIES
        if (number := sum(fault.severity == severity for fault in audit.faults))
    )
    body = [
        f"<h1>Audit of {name}</h1>",
        f'<p class="verdict">{escape(audit.verdict)}</p>',
        f"<p>{escape(data.layout)} layout, {len(data.manifest):,} images; findings: "
        f"{counts or 'none'}. Faces were looked for in {audit.faces_looked_for:,} photos.</p>",
        *(f'<p class="soft">{escape(note)}</p>' for note in data.notes),
        _counts(data.counts()),
        _signals(audit.shortcuts),
        *(_topic(audit, topic) for topic in _TOPICS),
    ]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Audit of {name}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}.") from error
    return path


def check_page(path: Path) -> None:
    """Raise a :class:`UserError` where the page could not be written."""
    path = paths.expanded(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"{path}: the name of the page must end in .html.")
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file: name a file for the page.")
    paths.check_writable(path.parent)
    if path.exists() and not os.access(path, os.W_OK):
        raise UserError(f"{path} cannot be written: no permission.")


def _counts(counts: pd.DataFrame) -> str:
    rows = "".join(
        f"<tr><td>{split}</td><td>{row['real']:,}</td><td>{row['fake']:,}</td></tr>"
        for split, row in counts.iterrows()
    )
    return f"<table><tr><th>split</th><th>real</th><th>fake</th></tr>{rows}</table>"


def _signals(shortcuts: pd.DataFrame) -> str:
    overall = shortcuts[shortcuts["pair"] == "all"].sort_values("auc", ascending=False)
    if overall.empty:
        return ""
    height = 30 * len(overall) + 34
    parts = [f'<svg viewBox="0 0 700 {height}" role="img" aria-label="AUC of each signal">']

    def x(auc: float) -> float:
        return 170 + 460 * max(0.0, min(1.0, (auc - 0.3) / 0.7))

    for value, dash in ((0.5, "2 4"), (THRESHOLD, "6 4"), (1.0, "2 4")):
        parts.append(
            f'<line x1="{x(value):.0f}" x2="{x(value):.0f}" y1="0" y2="{height - 22}" '
            f'stroke="var(--soft)" stroke-dasharray="{dash}"/>'
            f'<text x="{x(value):.0f}" y="{height - 6}" text-anchor="middle">{value:.2f}</text>'
        )
    for i, row in enumerate(overall.to_dict("records")):
        y, color = 18 + 30 * i, "var(--high)" if row["shortcut"] else "var(--bar)"
        parts.append(
            f'<text x="0" y="{y + 4}">{escape(row["signal"])}</text>'
            f'<line x1="{x(row["low"]):.1f}" x2="{x(row["high"]):.1f}" y1="{y}" y2="{y}" '
            f'stroke="{color}" stroke-width="3"/>'
            f'<circle cx="{x(row["auc"]):.1f}" cy="{y}" r="5" fill="{color}"/>'
            f'<text x="648" y="{y + 4}">{row["auc"]:.2f}</text>'
        )
    parts.append("</svg>")
    intro = (
        "How well real and fake can be told apart without looking at a face: area under the ROC "
        "curve of a model that sees this signal only, cross-validated by group, with its 95% "
        f"interval. 0.50 is a coin; above {THRESHOLD:.2f} a signal is a shortcut."
    )
    return f"<h2>Without looking at a face</h2><p>{intro}</p>{''.join(parts)}{_pairs(shortcuts)}"


def _pairs(shortcuts: pd.DataFrame) -> str:
    """Return the table of source pairs, a signal in each column."""
    pairs = shortcuts[shortcuts["pair"] != "all"]
    if pairs.empty:
        return ""
    signals = list(dict.fromkeys(pairs["signal"]))
    head = "".join(f"<th>{escape(signal)}</th>" for signal in signals)
    lines = []
    for pair, rows in pairs.groupby("pair", sort=True):
        by = rows.set_index("signal")
        cells = []
        for signal in signals:
            if signal not in by.index:
                cells.append('<td class="soft">same</td>')
                continue
            mark = ' class="hit"' if by.loc[signal, "shortcut"] else ""
            cells.append(f"<td{mark}>{by.loc[signal, 'auc']:.2f}</td>")
        lines.append(f"<tr><td>{escape(str(pair))}</td>{''.join(cells)}</tr>")
    return (
        "<h2>Between single sources (real / fake)</h2>"
        f'<div class="wide"><table><tr><th>sources</th>{head}</tr>{"".join(lines)}</table></div>'
    )


def _topic(audit: Results, topic: str) -> str:
    faults = [fault for fault in audit.faults if fault.topic == topic]
    if not faults:
        return ""
    manifest = audit.dataset.manifest
    places = dict(zip(manifest["file"], manifest["path"]))
    cards = "".join(_card(fault, audit.dataset.folder, places) for fault in faults)
    return f"<h2>{_TOPICS[topic]}</h2>{cards}"


def _card(fault: Finding, folder: Path, places: dict[str, str]) -> str:
    files = "".join(
        f"<li>{_picture(Path(places.get(file, folder / file)))}{escape(file)}</li>"
        for file in fault.files
    )
    return (
        f'<div class="finding {fault.severity}"><h3>{escape(fault.finding)} '
        f'<span class="soft">({fault.count:,})</span></h3>'
        f'<p class="severity" title="{_WORDS[fault.severity]}">{fault.severity}</p>'
        f"<p>{escape(fault.detail)}</p><p><strong>What to do:</strong> {_code(fault.advice)}</p>"
        f'<ul class="files">{files}</ul></div>'
    )


def _code(text: str) -> str:
    """Return text with what stands between backticks set as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _picture(path: Path) -> str:
    """Return a small picture as part of the page; nothing for a file that is no picture."""
    try:
        picture = Image.fromarray(images.read_image(path))
    except UserError:
        return ""
    picture.thumbnail((_THUMB, _THUMB))
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=80)
    data = base64.b64encode(stream.getvalue()).decode()
    return f'<img alt="" src="data:image/jpeg;base64,{data}">'
