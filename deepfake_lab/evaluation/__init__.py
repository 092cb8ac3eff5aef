"""How good a detector is, and how sure that is.

In: a predictions frame, or a detector and data sets. Out: metrics with intervals, tables by source,
kind and damage, figures, and the model card of a run folder.
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
