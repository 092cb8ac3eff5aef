"""Keep the best weights of a training, its history, and a state to go on from after a kill."""

import json
import math
import operator
import os
import zipfile
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from deepfake_lab.errors import UserError

#: What may choose the epoch, and how two of its values compare; by its number it is the last.
_BETTER = {"val_loss": operator.lt, "val_auc": operator.gt, "epoch": operator.gt}


class Enough(Exception):
    """As many epochs as were asked for; the state to go on from is on file."""


class Keeper(keras.callbacks.Callback):
    """Remembers the epoch that did best on validation photos and gives its weights back at the end.

    With a file it writes the whole state there (weights, optimiser, random generators, history)
    when an epoch begins and when the training ends, and takes up what it finds there.
    """

    def __init__(
        self,
        model: keras.Model,
        settings: dict | None = None,
        file: str | Path | None = None,
        keep: str = "val_loss",
        stop_after: int | None = None,
    ):
        """Take up an interrupted training, if there is one.

        Args:
            model: compiled.
            settings: what must be the same for a training to be gone on with.
            file: of the checkpoint; None to keep the state in memory only.
            keep: what chooses the epoch: ``val_loss`` (the lowest), ``val_auc`` (the highest) or
                ``epoch`` (the last).
            stop_after: raise :class:`Enough` after so many epochs; None for all.

        Raises:
            UserError: the file holds another training, or an unknown choice.
        """
        super().__init__()
        if keep not in _BETTER:
            raise UserError(f"Unknown choice of the epoch '{keep}'; known: {', '.join(_BETTER)}.")
        self._keep, self._stop_after = keep, stop_after
        self._settings = json.loads(json.dumps(settings or {}))
        self._file = Path(file) if file else None
        self._rows: list[dict] = []
        self._best: list[np.ndarray] = []
        self._best_value = 0.0
        if self._file and self._file.is_file():
            self._resume(model, self._file)

    @property
    def epochs_done(self) -> int:
        """Return how many epochs have been trained, those before an interruption included."""
        return len(self._rows)

    def history(self) -> pd.DataFrame:
        """Return one row an epoch: ``epoch`` and what Keras measured."""
        frame = pd.DataFrame(self._rows)
        frame.insert(0, "epoch", np.arange(1, len(frame) + 1))
        return frame.drop(columns="learning_rate", errors="ignore")

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the state of the epochs so far."""
        # Here, not at the end of the epoch before: a moving average has now given the weights back.
        if epoch:
            self._write()
        if epoch == self._stop_after:
            raise Enough

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Note what was measured, and the weights if they are the best so far."""
        measured = {key: float(value) for key, value in (logs or {}).items()}
        self._rows.append(measured)
        value = float((measured | {"epoch": epoch})[self._keep])
        # A value that is no number never wins; the first epoch does, until a number comes.
        better = _BETTER[self._keep](value, self._best_value)
        if not self._best or better or (math.isnan(self._best_value) and not math.isnan(value)):
            self._best_value = value
            self._best = self.model.get_weights()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Give the best weights back.

        Raises:
            UserError: they, or what was to choose them, are no numbers.
        """
        finite = all(np.isfinite(weights).all() for weights in self._best)
        if not (math.isfinite(self._best_value) and finite):
            raise UserError(
                "The training went astray: its weights or its loss are no finite numbers. Give a "
                "smaller learning rate."
            )
        self.restore_best(self.model)
        self._write()

    def restore_best(self, model: keras.Model) -> None:
        """Give a model the weights of the best epoch."""
        model.set_weights(self._best)

    def _write(self) -> None:
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        note = {"settings": self._settings, "history": self._rows, "best": self._best_value}
        arrays = {"note": np.array(json.dumps(note))}
        arrays |= {f"state{i}": v for i, v in enumerate(map(np.asarray, _state(self.model)))}
        arrays |= {f"best{i}": weights for i, weights in enumerate(self._best)}
        part = self._file.with_suffix(".part")
        with part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
        os.replace(part, self._file)

    def _resume(self, model: keras.Model, file: Path) -> None:
        try:
            with np.load(file) as saved:
                note = json.loads(str(saved["note"]))
                # One of an earlier version knows less of its photos.
                new = {"files", "validated_on"} - note["settings"].keys()
                known = {key: value for key, value in self._settings.items() if key not in new}
                if note["settings"] != known:
                    raise UserError(
                        f"{file} holds a training with other settings, another model or other "
                        "photos: repeat those to go on, or delete the file to begin anew."
                    )
                state = [saved[f"state{i}"] for i in range(len(_state(model)))]
                best = [saved[f"best{i}"] for i in range(len(model.get_weights()))]
        except (ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
            raise UserError(
                f"{file} is no checkpoint of this training, or damaged: delete it to begin anew."
            ) from error
        self._rows, self._best_value, self._best = note["history"], note["best"], best
        for variable, value in zip(_state(model), state):
            variable.assign(value)


def _state(model: keras.Model) -> list:
    """Return all that changes in training: weights, random generators, optimiser."""
    model.optimizer.build(model.trainable_variables)
    measured = {id(variable) for variable in model.metrics_variables}  # begin anew every epoch
    lasting = [variable for variable in model.variables if id(variable) not in measured]
    return [*lasting, *model.optimizer.variables]
