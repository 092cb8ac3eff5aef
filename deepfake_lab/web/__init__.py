"""The web page and its JSON API.

In: an uploaded photo. Out: the verdict, what it rests on and what speaks against relying on it.
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
