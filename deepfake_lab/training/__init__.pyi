from .batches import (
    Mix as Mix,
    Split as Split,
    augmented_examples as augmented_examples,
    evaluation_batches as evaluation_batches,
    load_splits as load_splits,
    training_batches as training_batches,
)
from .exports import export_detector as export_detector
from .fitting import compute_features as compute_features, fit as fit, fit_head as fit_head
from .models import (
    MODEL_NAMES as MODEL_NAMES,
    build_model as build_model,
    set_trainable as set_trainable,
)
from .quantize import export_quantised as export_quantised
from .runs import save_run as save_run, to_tflite as to_tflite
