from .datasets import (
    COLUMNS as COLUMNS,
    Dataset as Dataset,
    join as join,
    limit_photos as limit_photos,
    read_dataset as read_dataset,
)
from .folders import scan as scan
from .kaggle import download as download
from .layouts import LAYOUTS as LAYOUTS, SPLITS as SPLITS
from .sources import describe as describe, with_origin as with_origin
