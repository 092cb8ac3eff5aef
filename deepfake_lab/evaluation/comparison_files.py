"""A comparison as text and as files: for a terminal, a spreadsheet, a paper, and TensorBoard."""

import html
import time
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deepfake_lab.errors import UserError
from deepfake_lab.evaluation import views
from deepfake_lab.evaluation.comparison import Comparison, varied
from deepfake_lab.evaluation.metrics import TITLES
from deepfake_lab.evaluation.runs import save_table

_TITLES = {
    "runs": "Runs",
    "settings": "Settings, the best first; runs that differ only in their seed together",
    "differences": "Which differences are more than luck",
}


def summary(found: Comparison, failed: pd.DataFrame | None = None) -> str:
    """Return the comparison for a terminal.

    Args:
        found: the comparison.
        failed: rows of :func:`deepfake_lab.evaluation.runs.runs_table` that are not whole.
    """
    lines = [f"{len(found.runs)} runs, compared on {found.photos:,} test photos.", ""]
    for name, view in _views(found).items():
        if len(view):
            lines += [f"{_TITLES[name]}:", views.aligned(view), ""]
    lines += [conclusion(found), "", *[f"- {note}" for note in found.notes]]
    if failed is not None:
        lines += _not_whole(failed, "- ")
    return "\n".join(lines).rstrip()


def conclusion(found: Comparison) -> str:
    """Return in a sentence or two what the comparison has shown."""
    title = TITLES[found.metric]
    pairs, sure = len(found.differences), found.differences["more_than_luck"]
    if not pairs:
        return "There is one setting only, and nothing to compare it with."
    best = found.settings["setting"][0]
    if not sure.any():
        return (
            f"'{best}' has the best {title} here, but no difference between settings is larger "
            "than luck explains: these runs do not say which is better."
        )
    mine = found.differences[found.differences["first"] == best]
    beaten = mine.loc[mine["more_than_luck"], "second"]
    rest = mine.loc[~mine["more_than_luck"], "second"]
    said = f"{sure.sum()} of {pairs} differences between settings are more than luck."
    if len(beaten):
        said += f" '{best}' is better than {_listed(beaten)}."
    if len(rest):
        said += f" Whether it is better than {_listed(rest)}, these runs do not say."
    return said


def check_folder(folder: Path) -> None:
    """Raise a :class:`UserError` where a file would be replaced that no comparison has written."""
    if (folder / "comparison.html").is_file():
        return
    tables = [f"{name}.{end}" for name, end in product(_TITLES, ("csv", "parquet", "md", "tex"))]
    drawn = ("settings", "differences", "parameters", "learning_curves")
    pictures = [f"figures/{name}.png" for name in drawn]
    for name in (*tables, *pictures):
        if (folder / name).exists():
            raise UserError(f"{folder} holds {name}, and no comparison: name another folder.")


def save(found: Comparison, folder: Path, failed: pd.DataFrame | None = None) -> Path:
    """Write tables (CSV, Parquet, LaTeX, Markdown), figures, a page and TensorBoard's HParams.

    Beside ``runs``, ``settings`` and ``differences`` in each format lie ``figures/``,
    ``comparison.html`` and ``logs/``; what an earlier comparison has left there is replaced.

    Raises:
        UserError: the folder cannot be written, or see :func:`check_folder`.
    """
    check_folder(folder)
    tables = {"runs": found.runs, "settings": found.settings, "differences": found.differences}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # What is cut off here is known as a comparison when it is begun again.
        (folder / "comparison.html").write_text("This comparison was not finished.\n")
        for name, table in tables.items():
            for ending in ("csv", "parquet"):
                save_table(table, folder / f"{name}.{ending}")
        for name, view in _views(found).items():
            (folder / f"{name}.md").write_text(views.markdown(view) + "\n", encoding="utf-8")
            latex = view.to_latex(index=False, escape=True)
            (folder / f"{name}.tex").write_text(latex, encoding="utf-8")
        figures = _save_figures(found, folder / "figures")
        page = _page(found, [path.relative_to(folder).as_posix() for path in figures], failed)
        (folder / "comparison.html").write_text(page, encoding="utf-8")
        write_hparams(found.runs, folder / "logs")
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return folder


def write_hparams(runs: pd.DataFrame, folder: Path) -> None:
    """Write what TensorBoard's HParams tab shows: each run's parameters and test metrics.

    Without TensorFlow, which TensorBoard's own writer of these would import.

    Args:
        runs: whole runs, from :func:`deepfake_lab.evaluation.runs.runs_table`.
        folder: a folder of logs for each run goes there.
    """
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2
    from tensorboard.summary.writer.record_writer import RecordWriter

    for older in folder.glob("*/events.out.tfevents.*.hparams"):
        older.unlink()
    shown = [*varied(runs), "seed"]
    metrics = [name for name in TITLES if name in runs]

    def event(*values: Any) -> bytes:
        summary = summary_pb2.Summary(value=values)
        return event_pb2.Event(wall_time=time.time(), summary=summary).SerializeToString()

    def note(tag: str, **content: Any) -> Any:
        data = plugin_data_pb2.HParamsPluginData(**content)
        return summary_pb2.Summary.Value(
            tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
        )

    for row in runs.to_dict("records"):
        made = datetime.fromisoformat(row["made"]).timestamp()
        start = plugin_data_pb2.SessionStartInfo(start_time_secs=made, group_name=row["name"])
        for name in shown:
            value = row[name]
            if isinstance(value, bool):
                start.hparams[name].bool_value = value
            elif isinstance(value, int | float):
                start.hparams[name].number_value = value
            else:
                start.hparams[name].string_value = str(value)
        end = plugin_data_pb2.SessionEndInfo(
            status=api_pb2.STATUS_SUCCESS, end_time_secs=made + (row["seconds"] or 0)
        )
        scalars = [
            summary_pb2.Summary.Value(tag=f"test/{name}", simple_value=row[name])
            for name in metrics
        ]
        logs = folder / row["name"].replace("/", "-")
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"events.out.tfevents.{int(made)}.hparams").open("wb") as file:
            writer = RecordWriter(file)
            version = event_pb2.Event(wall_time=made, file_version="brain.Event:2")
            writer.write(version.SerializeToString())
            writer.write(event(note(metadata.SESSION_START_INFO_TAG, session_start_info=start)))
            writer.write(event(*scalars))
            writer.write(event(note(metadata.SESSION_END_INFO_TAG, session_end_info=end)))
            writer.flush()


def _views(found: Comparison) -> dict[str, pd.DataFrame]:
    """Return the tables as people read them, three digits a number."""
    metric, title = found.metric, TITLES[found.metric]
    runs = found.runs
    shown: dict[str, pd.Series | list[str]] = {"run": runs["name"]}
    shown |= {name: runs[name] for name in varied(runs)}
    # A run keeps the intervals of some metrics, on all of its own test photos.
    own = f"{metric}_low" in runs and bool(np.isclose(runs[metric], runs["measured"]).all())
    score = _cells(runs, metric, f"{metric}_") if own else runs["measured"].map(views.score)
    shown |= {"seed": runs["seed"], f"{title} [95%]" if own else title: score}
    shown |= {
        "seconds of the run": runs["seconds"],
        "data": runs["data"],
        "commit": runs["commit"].str[:8],
    }
    settings = found.settings
    means: dict[str, pd.Series | list[str]] = {
        "setting": settings["setting"], "runs": settings["runs"],
        f"mean {title} [95%]": _cells(settings, metric), "spread of seeds": settings["spread"],
    }  # fmt: skip
    pairs = found.differences
    verdicts = pairs["more_than_luck"].map({True: "more than luck", False: "may be luck"})
    said: dict[str, pd.Series | list[str]] = {
        "better": pairs["first"], "than": pairs["second"],
        "by [95%]": _cells(pairs, "difference"), "p, corrected": pairs["p_corrected"],
        "verdict": verdicts,
    }  # fmt: skip
    tables = {"runs": shown, "settings": means, "differences": said}
    return {name: pd.DataFrame(table).map(_cell) for name, table in tables.items()}


def _cells(table: pd.DataFrame, column: str, prefix: str = "") -> list[str]:
    ends = table[f"{prefix}low"], table[f"{prefix}high"]
    return [views.score(*numbers) for numbers in zip(table[column], *ends)]


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _not_whole(failed: pd.DataFrame, mark: str = "") -> list[str]:
    pairs = zip(failed["name"], failed["status"])
    return [f"{mark}Not whole, and left out: {name}: {status}" for name, status in pairs]


def _save_figures(found: Comparison, folder: Path) -> list[Path]:
    import matplotlib.pyplot as plt

    from deepfake_lab.evaluation import comparison_plots as draw

    folder.mkdir(exist_ok=True)
    drawn = {
        "settings": draw.plot_settings(found).figure.get_figure(root=True),
        "differences": draw.plot_differences(found).figure.get_figure(root=True),
        "parameters": draw.plot_parameters(found),
        "learning_curves": draw.plot_learning_curves(found).figure.get_figure(root=True),
    }
    files = []
    for name, figure in drawn.items():
        files.append(folder / f"{name}.png")
        figure.savefig(files[-1], dpi=110, bbox_inches="tight")
        plt.close(figure)
    return files


def _page(found: Comparison, figures: list[str], failed: pd.DataFrame | None) -> str:
    parts = [f"<p>{html.escape(conclusion(found))}</p>"]
    for name, view in _views(found).items():
        parts += [f"<h2>{_TITLES[name]}</h2>", view.to_html(index=False, border=0)]
    notes = list(found.notes)
    if failed is not None:
        notes += _not_whole(failed)
    parts += ["<ul>", *[f"<li>{html.escape(note)}</li>" for note in notes], "</ul>"]
    parts += [f'<p><img src="{file}" alt="{Path(file).stem.replace("_", " ")}"></p>'
              for file in figures]  # fmt: skip
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Runs compared</title>'
        "<style>body{font:16px/1.5 sans-serif;margin:2em;max-width:70em}td,th{padding:.2em .8em;"
        "text-align:left}img{max-width:100%}</style></head><body><h1>Runs compared</h1>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )


def _listed(names: pd.Series) -> str:
    quoted = [f"'{name}'" for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
