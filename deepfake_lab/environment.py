"""What a result was made with, beyond its parameters: code, packages, machine."""

import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from deepfake_lab import paths


def describe() -> dict[str, Any]:
    """Return what somebody needs who wants to repeat a result.

    Returns:
        ``git_commit`` and ``git_dirty`` (whether files under version control differ from it),
        both None outside a checkout; ``lock_sha256`` of ``requirements.txt``, None where there is
        none; ``python``, ``platform``, and ``hardware``: ``processor``, ``cores`` and
        ``memory_gb``, None for what the system does not tell.
    """
    lock = paths.project() / "requirements.txt"
    return {
        "git_commit": _git("rev-parse", "--verify", "HEAD") or None,
        "git_dirty": _dirty(),
        "lock_sha256": hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hardware": {
            "processor": _processor(), "cores": os.cpu_count(), "memory_gb": _memory_gb(),
        },
    }  # fmt: skip


def _dirty() -> bool | None:
    found = _git("status", "--porcelain", "--untracked-files=no")
    return None if found is None else bool(found)


def _git(*arguments: str) -> str | None:
    """Return what git says of the checkout; None where there is no checkout or no git."""
    if not (paths.project() / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", str(paths.project()), *arguments]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() if found.returncode == 0 else None


def _processor() -> str | None:
    facts = Path("/proc/cpuinfo")  # Linux; elsewhere Python knows the name
    if facts.is_file():
        for line in facts.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or None


def _memory_gb() -> float | None:
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
    return round(pages * size / 2**30, 1)
