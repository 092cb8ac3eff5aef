"""The notebooks: run without a screen, answered by checks and quizzes, moved by sliders.

In: parameters, or what a learner has worked out. Out: a folder with all that a run made; a word on
each exercise.
"""

import lazy_loader

# What stands in __init__.pyi, imported when it is used.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
