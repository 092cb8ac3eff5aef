"""The course with many combinations of parameters, each a run of its own.

In: lists of values, or ranges to search. Out: a folder with a run for each combination, which
:mod:`deepfake_lab.evaluation.comparison` compares.
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
