"""A folder becomes a manifest.

In: a folder as people have it, or a table. Out: a :class:`Dataset`, whose manifest has a row a
photo (``path, label, split, source, group, ...``) and whose problems name every file that has none.
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
