from .auditing.neutral import prepare as prepare
from .auditing.survey import Audit as Audit, audit as audit
from .course import run_course as run_course
from .data.datasets import (
    Dataset as Dataset,
    join as join,
    limit_photos as limit_photos,
    read_dataset as read_dataset,
)
from .data.kaggle import download as download
from .detection.detector import Detector as Detector
from .detection.explain import heat_map as heat_map
from .detection.prediction import Prediction as Prediction
from .errors import UserError as UserError
from .evaluation.assessment import Assessment as Assessment, assess as assess
from .evaluation.comparison import compare_settings as compare_settings
from .evaluation.predictions import (
    compare_runs as compare_runs,
    evaluate as evaluate,
    robustness as robustness,
)
from .evaluation.runs import runs_table as runs_table
from .photos.faces import Face as Face, find_faces as find_faces
from .photos.images import load_face as load_face, read_image as read_image
from .sweeping.space import read_space as read_space
from .sweeping.study import run_sweep as run_sweep
from .training.batches import load_splits as load_splits
from .training.fitting import fit as fit, fit_head as fit_head
from .training.models import build_model as build_model
from .training.runs import save_run as save_run

__version__: str
