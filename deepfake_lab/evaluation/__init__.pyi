from .assessment import Assessment as Assessment, assess as assess, compare as compare
from .comparison import Comparison as Comparison, compare_settings as compare_settings
from .labelled import available as available, gather as gather
from .metrics import METRICS as METRICS
from .predictions import (
    answered as answered,
    by_source as by_source,
    check_both_labels as check_both_labels,
    compare_runs as compare_runs,
    evaluate as evaluate,
    metrics_table as metrics_table,
    robustness as robustness,
    worst_mistakes as worst_mistakes,
)
from .record import rewrite_card as rewrite_card, with_baseline as with_baseline
from .runs import runs_table as runs_table
