"""Many photos in, a table out.

In: files and folders, as a person names them. Out: answers on the screen, or a file of them that an
interrupted run goes on with.
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
