from .detector import Detector as Detector
from .explain import (
    heat_map as heat_map,
    log_spectrum as log_spectrum,
    occlusion_map as occlusion_map,
    radial_profile as radial_profile,
    resize_map as resize_map,
)
from .judgement import (
    ANSWER_COLUMNS as ANSWER_COLUMNS,
    JudgedFace as JudgedFace,
    verdict_line as verdict_line,
)
from .prediction import Prediction as Prediction
from .runfolder import PARTS as PARTS
