"""One process at a time: a lock on an open file, where the system has such a thing."""

from deepfake_lab.errors import UserError


def lock(descriptor: int, what: object) -> None:
    """Keep others out of a file that is open, until it is closed or this process ends.

    Windows and storage without locks (some network drives) are passed over: there, two processes
    that write the same file are not told apart.

    Args:
        descriptor: of the open file.
        what: the name of what is being written, for the message.

    Raises:
        UserError: another process has the lock.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(f"Another run is writing {what}: wait for it.") from error
    except OSError:  # the storage knows no locks
        return
