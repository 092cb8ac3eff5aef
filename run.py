"""Start the web page: python run.py [--host HOST] [--port PORT] [--model NAME]."""

import shutil
import sys


def main():
    """Start the page, or say the one command that installs what it needs."""
    if sys.version_info < (3, 11):  # noqa: UP036  (older Pythons get here, and no further)
        return "Deepfake Lab needs Python 3.11, 3.12 or 3.13. Type: " + install_command()
    try:
        from deepfake_lab.cli import main as command
        from deepfake_lab.web import serve  # noqa: F401  (its packages must be there too)
    except ModuleNotFoundError as error:
        wanted = f"The package '{error.name}' is not installed for this Python."
        return f"{wanted} Type: {install_command()}"
    return command(["serve", *sys.argv[1:]])


def install_command():
    """Return what to type: `make serve` builds the environment and starts the page in it."""
    if shutil.which("make"):
        return "make serve"
    return "python -m pip install -r requirements.txt -e ."


if __name__ == "__main__":
    sys.exit(main())
