"""The study of a sweep: which combination is next, which are done, which have failed.

Optuna keeps the study in a journal in the sweep's folder, so that several processes, on several
machines that share the disk, work on one sweep. The run folders are the truth: a combination whose
folder is not whole is queued again when the sweep is started again.

Source: T. Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD
    2019.
"""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import psutil
import yaml
from filelock import FileLock, Timeout
from optuna.storages.journal import (
    JournalFileBackend,
    JournalFileOpenLock,
    JournalFileSymlinkLock,
    JournalStorage,
)
from optuna.trial import FrozenTrial, Trial, TrialState

from deepfake_lab import paths
from deepfake_lab.course.running import chosen_notebooks
from deepfake_lab.data.tables import read_written
from deepfake_lab.errors import UserError
from deepfake_lab.evaluation.comparison import LOWER_IS_BETTER
from deepfake_lab.evaluation.metrics import METRICS
from deepfake_lab.evaluation.predictions import evaluate
from deepfake_lab.sweeping.process import begin, end_all, execute, is_whole
from deepfake_lab.sweeping.space import Space, folder_name, is_wide, label

if TYPE_CHECKING:
    from distributed import Client

#: Memory that one run is counted with, in GiB: TensorFlow, a kernel, and a small data set.
RUN_GIB = 3


@dataclass
class Sweep:
    """What became of a sweep.

    Attributes:
        folder: where its runs lie.
        whole: names of the combinations whose runs are whole.
        failed: name -> why, in one line.
        elsewhere: names of those that another process is at.
    """

    folder: Path
    whole: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    elsewhere: list[str] = field(default_factory=list)


def run_sweep(
    space: Space,
    only: list[str] | None = None,
    out_dir: str | Path = "",
    *,
    jobs: int = 0,
    search: int = 0,
    metric: str = "roc_auc",
    client: "Client | None" = None,
    report: Callable[[str], None] = print,
) -> Sweep:
    """Run the course once for each combination; what an earlier start has done stays done.

    Args:
        space: what varies.
        only: as for :func:`deepfake_lab.course.run_course`.
        out_dir: the sweep's folder; empty for ``<home>/runs/sweep-<checksum of what varies>``, so
            that the same command goes on with the same sweep.
        jobs: runs at a time; 0 for as many as memory and cores allow, which is also the most.
        search: instead of the grid, so many combinations that Optuna's default sampler proposes.
        metric: what the search improves, measured on **validation** photos: test photos choose
            nothing.
        client: of a Dask cluster whose workers share this disk; a run per worker goes there. None
            for this machine.
        report: receives a line for each combination that ends.

    Raises:
        UserError: a metric that is not known, ranges without a search, or a folder that holds
            another sweep.
    """
    if metric not in METRICS:
        raise UserError(f"No metric '{metric}'. Metrics: {', '.join(METRICS)}.")
    if space.ranges and not search:
        names = ", ".join(space.ranges)
        raise UserError(f"A range ({names}) has no end of values: say how many with --search N.")
    chosen_notebooks(only)  # a notebook that does not exist is refused now
    study = _Study(space, only, out_dir, search, metric)
    executor, at_a_time = _executor(jobs, client, report)
    running: dict = {}
    begin()
    try:
        while True:
            while len(running) < at_a_time:
                task = study.take()
                if task is None:
                    break
                future = executor.submit(execute, str(study.folder), task.name, only)
                running[future] = task
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                report(study.give_back(running.pop(future), _reason(future)))
    except BaseException:
        for future in running:
            future.cancel()
        end_all()
        raise
    finally:
        executor.shutdown()
    return study.summary()


def _reason(future: Future) -> str | None:
    """Return why a combination failed, or None; a worker that was lost with it is a reason, too."""
    error = future.exception()
    return f"{type(error).__name__}: {error}" if error else future.result()


def allowed_jobs() -> int:
    """Return how many runs this machine's cores and free memory allow at a time; at least one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = psutil.virtual_memory().available / 2**30
    return max(1, min(cores or 1, int(memory // RUN_GIB)))


def _executor(
    jobs: int, client: "Client | None", report: Callable[[str], None]
) -> tuple[Executor, int]:
    """Return what runs combinations, and how many at a time."""
    if client is not None:
        workers = max(1, len(client.nthreads()))
        return client.get_executor(pure=False), min(jobs or workers, workers)
    allowed = allowed_jobs()
    if jobs > allowed:
        report(f"{jobs} runs at a time are more than cores and memory allow: {allowed} it is.")
    return ThreadPoolExecutor(min(jobs or allowed, allowed)), min(jobs or allowed, allowed)


@dataclass(frozen=True)
class _Task:
    """A combination that this process has claimed; the lock is held until it is given back."""

    name: str
    trial: Trial
    claim: FileLock


class _Study:
    """Optuna's study in a sweep's folder."""

    def __init__(
        self, space: Space, only: list[str] | None, out_dir: str | Path, search: int, metric: str
    ):
        self._space, self._only, self._search, self._metric = space, only, search, metric
        record = space.record() | {"only": only, "metric": metric, "search": bool(search)}
        name = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:8]
        default = paths.home() / "runs" / f"sweep-{name}"
        self.folder = paths.expanded(out_dir).resolve() if out_dir else default
        try:
            (self.folder / "combinations").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.folder} cannot be written: {error.strerror}.") from error
        self._lock = FileLock(self.folder / "combinations" / "study.lock")
        with self._lock:
            self._check_record(record)
            self._study = self._open()
            if not search:
                self._queue_grid()
            self._queue_again(anew=True)

    def take(self) -> _Task | None:
        """Claim the next combination, or return None where nobody needs to begin one."""
        with self._lock:
            self._queue_again()
            if not self._more():
                return None
            trial = self._study.ask()
            values = self._values(trial)
            name = trial.user_attrs.get("name") or folder_name(len(self._latest()), values)
            claim = self._claim(name)
            claim.acquire(blocking=False)
            parameters = yaml.safe_dump(self._space.fixed | values, allow_unicode=True)
            file = self.folder / "combinations" / f"{name}.yaml"
            file.write_text(parameters, encoding="utf-8")
            trial.set_user_attr("name", name)  # the last: without it, the trial is nobody's
            return _Task(name, trial, claim)

    def give_back(self, task: _Task, reason: str | None) -> str:
        """Tell the study how a combination ended, and return a line that says so."""
        with self._lock:
            if reason:
                task.trial.set_user_attr("reason", reason)
            self._tell(task.trial.number, task.name, reason is None)
            trials = self._latest().values()
            ended = sum(trial.state.is_finished() for trial in trials)
        task.claim.release()
        line = f"[{ended}/{self._search or self._space.grid}] {task.name}: "
        if reason:
            return f"{line}FAILED: {reason}"
        return f"{line}{self._metric} {self._value(task.name):.3f} on validation photos"

    def summary(self) -> Sweep:
        found = Sweep(self.folder)
        for name, trial in sorted(self._latest().items()):
            if is_whole(self.folder / name, self._only):
                found.whole.append(name)
            elif trial.state.is_finished():
                found.failed[name] = trial.user_attrs.get("reason", "its run folder is not whole")
            else:
                found.elsewhere.append(name)
        return found

    def _check_record(self, record: dict[str, Any]) -> None:
        file = self.folder / "sweep.yaml"
        text = yaml.safe_dump(record, sort_keys=True, allow_unicode=True)
        if not file.is_file():
            others = [path for path in self.folder.iterdir() if path.name != "combinations"]
            if others:
                raise UserError(f"{self.folder} holds other things: give --out a new folder.")
            file.write_text(text, encoding="utf-8")
        elif file.read_text(encoding="utf-8") != text:
            raise UserError(
                f"{file} is of another sweep: give --out a new folder, or leave it out."
            )

    def _open(self) -> optuna.Study:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        journal = str(self.folder / "study.journal")
        lock = JournalFileOpenLock if os.name == "nt" else JournalFileSymlinkLock
        return optuna.create_study(
            storage=JournalStorage(JournalFileBackend(journal, lock_obj=lock(journal))),
            study_name="sweep",
            direction="minimize" if self._metric in LOWER_IS_BETTER else "maximize",
            load_if_exists=True,
        )

    def _values(self, trial: Trial) -> dict[str, Any]:
        """Return the trial's values as the notebooks take them."""
        values: dict[str, Any] = {}
        for name, choices in self._space.choices.items():
            known = {label(value): value for value in choices}
            values[name] = known[trial.suggest_categorical(name, list(known))]
        for name, (low, high) in self._space.ranges.items():
            wide = is_wide(low, high)
            if isinstance(low, int) and isinstance(high, int):
                values[name] = trial.suggest_int(name, low, high, log=wide)
            else:
                values[name] = trial.suggest_float(name, low, high, log=wide)
        return values

    def _latest(self) -> dict[str, FrozenTrial]:
        """Return name -> its last trial."""
        trials = self._study.get_trials(deepcopy=False)
        return {trial.user_attrs["name"]: trial for trial in trials if "name" in trial.user_attrs}

    def _more(self) -> bool:
        waiting = self._study.get_trials(deepcopy=False, states=[TrialState.WAITING])
        return bool(waiting) or len(self._latest()) < self._search

    def _queue_grid(self) -> None:
        """Queue the combinations that the study does not know yet: all, or none.

        Not through Optuna's GridSampler: towards the end it hands out what others are at, and where
        trials are asked for one by one, its way of ending a study raises an error.
        """
        known = self._latest()
        for number, row in enumerate(product(*self._space.choices.values())):
            values = dict(zip(self._space.choices, row))
            name = folder_name(number, values)
            if name not in known:
                kept = {parameter: label(value) for parameter, value in values.items()}
                self._study.enqueue_trial(kept, user_attrs={"name": name})

    def _queue_again(self, anew: bool = False) -> None:
        """Queue what a process has left half done, and at the start also what had failed."""
        for name, trial in self._latest().items():
            if trial.state == TrialState.WAITING:
                continue
            running = trial.state == TrialState.RUNNING
            if not (self._abandoned(name) if running else anew):
                continue
            whole = is_whole(self.folder / name, self._only)
            if running:
                self._tell(trial.number, name, whole)
            if not whole:
                # Left before it had taken its values, it has them in the queue's note alone.
                values = trial.system_attrs.get("fixed_params", trial.params)
                self._study.enqueue_trial(values, user_attrs={"name": name})

    def _abandoned(self, name: str) -> bool:
        for lock in (self._claim(name), self._running(name)):
            try:
                with lock.acquire(blocking=False):
                    pass
            except Timeout:
                return False
        return True

    def _claim(self, name: str) -> FileLock:
        file = self.folder / "combinations" / f"{name}.claim"
        return FileLock(file, thread_local=False)

    def _running(self, name: str) -> FileLock:
        return FileLock(self.folder / "combinations" / f"{name}.running", thread_local=False)

    def _tell(self, number: int, name: str, whole: bool) -> None:
        if whole:
            self._study.tell(number, self._value(name))
        else:
            self._study.tell(number, state=TrialState.FAIL)

    def _value(self, name: str) -> float:
        """Return the metric on a run's validation photos, the mean over its detectors."""
        values = []
        for file in sorted((self.folder / name).glob("models/[!.]*/predictions.csv")):
            rows = read_written(file)
            found = evaluate(rows[rows["split"] == "valid"], metrics=(self._metric,))
            values.append(found["metrics"][self._metric]["value"])
        return sum(values) / len(values)
