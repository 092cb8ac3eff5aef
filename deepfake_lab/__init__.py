"""Deepfake Lab: classify a face photo as REAL or FAKE, honestly.

    import deepfake_lab as dl

    detector = dl.Detector.load("efficientnet")
    detector.predict("photo.jpg")

Each name is imported when it is used (PEP 562): ``import deepfake_lab`` costs next to nothing, and
whoever only wants an answer never waits for TensorFlow. The names stand in ``__init__.pyi``.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
