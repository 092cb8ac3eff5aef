"""What an assessment found, as data: tables, text and files are made of it."""

from dataclasses import dataclass, field

import pandas as pd

from deepfake_lab.detection.detector import Detector
from deepfake_lab.evaluation.labelled import Photos


@dataclass(frozen=True)
class Results:
    """What was found.

    Attributes:
        detector: who was asked.
        photos: about what.
        predictions: the predictions frame of all photos.
        tables: name -> frame: ``families, sources, same_source, cross_source, coverage,
            reliability, subgroups`` and, where it was asked for, ``degradations``; see the modules
            ``breakdown``, ``subgroups`` and ``degradations`` beside this one.
        notes: what must be known to read them.
        degraded: the predictions on the damaged photos: ``kind, level, file, p_fake``.
        seed: of the bootstrap, of splits that had to be made, and of the choice of photos.
    """

    detector: Detector
    photos: Photos
    predictions: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    notes: tuple[str, ...]
    degraded: pd.DataFrame = field(default_factory=pd.DataFrame)
    seed: int = 0
