"""A run folder becomes a detector, and a photo an answer; TensorFlow is never imported.

In: the name of a run folder, then photos. Out: a :class:`Prediction` a photo, or a predictions
frame.
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
