"""One combination of a sweep, in a process of its own.

A process of its own, because the ports of two kernels started by one may collide, and because a
training that is killed for want of memory must not take the sweep with it.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

import yaml
from filelock import FileLock

from deepfake_lab.course.running import KernelDied, chosen_notebooks, run_course
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.runs import failure_of

#: Exit status of a process whose notebook stopped, and of one whose notebook's Python died.
_STOPPED, _DIED = 2, 3


def execute(sweep: str, name: str, only: list[str] | None) -> str | None:
    """Run one combination to its end; once more where its Python, or its kernel's, has died.

    Args:
        sweep: the sweep's folder; ``combinations/<name>.yaml`` holds the parameters, and what the
            process prints goes beside it, into ``<name>.log``.
        name: of the combination, and of its run folder.
        only: as for :func:`deepfake_lab.course.run_course`.

    Returns:
        None where the run is whole, else why it is not, in one line.
    """
    command = [sys.executable, "-m", "deepfake_lab.sweeping.process", sweep, name, *(only or [])]
    log = Path(sweep) / "combinations" / f"{name}.log"
    for _ in range(2):
        with log.open("w", encoding="utf-8") as printed:
            status = _wait(command, printed)
        if status == 0:
            return None
        if _ending.is_set():
            return "interrupted"
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "no word")
        if status == _STOPPED:
            return reason
        if status != _DIED:
            reason = f"its process ended with status {status}: {reason} (see {log})"
    return f"{reason} (twice)"


def is_whole(run: Path, only: list[str] | None) -> bool:
    """Return whether every notebook of a run has come to its end and a detector was measured.

    The folder itself says so, whatever a study remembers of it.
    """
    if not any(run.glob("models/[!.]*/metrics.json")) or failure_of(run):
        return False
    copies = (run / "notebooks" / notebook.name for notebook in chosen_notebooks(only))
    return all(copy.is_file() for copy in copies)


#: Processes of this one that are at work, to be ended with it.
_at_work: set[subprocess.Popen] = set()

#: Set while they are being ended: nothing is tried again.
_ending = threading.Event()


def end_all() -> None:
    """End the processes that :func:`execute` has started here; their kernels notice and end.

    None is started again before :func:`begin`.
    """
    _ending.set()
    for process in list(_at_work):
        process.terminate()


def begin() -> None:
    """Allow processes again after :func:`end_all`."""
    _ending.clear()


def _wait(command: list[str], printed: TextIO) -> int:
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.STDOUT
    )
    _at_work.add(process)
    try:
        return process.wait()
    finally:
        _at_work.discard(process)


def main(sweep: Path, name: str, only: list[str]) -> int:
    """Run one combination in this process and return its exit status."""
    parameters = yaml.safe_load(
        (sweep / "combinations" / f"{name}.yaml").read_text(encoding="utf-8")
    )
    run = sweep / name
    # A sweep that was killed may have left its process at work: wait for that one, do not mix.
    with FileLock(sweep / "combinations" / f"{name}.running"):
        if is_whole(run, only or None):
            return 0
        _put_aside(run)
        try:
            run_course(parameters, only or None, run)
        except UserError as error:
            print(f"\n{error}")
            return _DIED if isinstance(error, KernelDied) else _STOPPED
        if not is_whole(run, only or None):
            print("\nit trained no detector: sweep notebooks that do (02, 03)")
            return _STOPPED
    return 0


def _put_aside(run: Path) -> None:
    """Keep what an earlier attempt has left, where no table of runs counts it."""
    if not run.exists():
        return
    aside = run.parent / ".earlier"
    aside.mkdir(exist_ok=True)
    number = 1
    while (aside / f"{run.name}-{number}").exists():
        number += 1
    run.rename(aside / f"{run.name}-{number}")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # else it talks of graphics cards
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]))
