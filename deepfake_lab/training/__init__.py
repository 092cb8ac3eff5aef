"""A manifest becomes a trained model, and that a run folder.

In: a data set. Out: batches, a Keras model, its history, and with :func:`save_run` the run folder
that :mod:`deepfake_lab.detection` answers from. Only this room needs Keras.
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
