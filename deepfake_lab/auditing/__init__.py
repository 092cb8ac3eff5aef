"""What is wrong with a data set, and a copy without most of it.

In: a data set. Out: an :class:`Audit` with findings and shortcuts, as text and as a page; from
:func:`prepare` a neutral copy on disk. (The room is not called ``audit`` because the function is.)
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
