"""A file becomes pixels.

In: a path, bytes, an open file, a Pillow image or an array. Out: upright, checked RGB pixels
(H, W, 3) uint8, the faces in them, the square that a model looks at, and what the file says about
itself. Nothing else in the library decodes an image or looks for a face.
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
