"""The one exception that means: a person can put this right."""

from deepfake_lab.printing import printable


class UserError(Exception):
    """A mistake in what was given (a path, a name, a file), not in the program.

    The message is one line that says what is wrong and what to do. The command line prints it
    without a traceback and exits with status 2.
    """

    def __init__(self, message: object):
        super().__init__(printable(message))  # it may quote a name with a line break
