"""The environment of the peers: what they are made of is neither the product's nor its tests', so it is installed beside both, once.

Every package is pinned with its hashes in `peers-requirements.txt`, and only ready-made packages are taken, but for one: hordak
is given out as source only, and is built with the pinned setuptools and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

FOLDER = Path(sys.prefix) / "peers"
"""Inside our own environment: `make clean` removes both."""
LOCK = Path(__file__).parent / "peers-requirements.txt"
STAMP = FOLDER / "installed"
FROM_SOURCE = "django-hordak"
PACKAGES = ("django-hordak", "django", "psycopg")
"""Whose versions are told."""
INSTALL_S_MAX = 600


class NotInstalledError(Exception):
    """In words, why."""


def python(*, offline: bool) -> Path:
    """The interpreter of the peers' environment, which is made first if need be. Raises NotInstalledError."""
    program = FOLDER / "bin" / "python"
    wanted = hashlib.sha256(LOCK.read_bytes() + sys.version.encode() + str(FOLDER).encode()).hexdigest()
    if STAMP.is_file() and STAMP.read_text("ascii") == wanted:
        return program
    if offline:
        raise NotInstalledError("it is not installed, and --offline installs nothing")
    shutil.rmtree(FOLDER, ignore_errors=True)
    try:
        venv.create(FOLDER, with_pip=True)
        _install(program)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or b"").decode(errors="replace").strip().splitlines()
        raise NotInstalledError(f"it could not be installed: {said[-1] if said else error}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalledError(f"it could not be installed: {error}") from error
    STAMP.write_text(wanted, "ascii")
    return program


def versions(program: Path) -> dict[str, str]:
    """Of PACKAGES, as they are installed."""
    code = f"import importlib.metadata, json; print(json.dumps({{n: importlib.metadata.version(n) for n in {PACKAGES!r}}}))"
    found: dict[str, str] = json.loads(subprocess.run([program, "-c", code], check=True, capture_output=True, text=True).stdout)
    return found


def _install(program: Path) -> None:
    ready, source = split(LOCK.read_text("utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        for name, text, options in (
            ("ready", ready, ["--only-binary", ":all:"]),
            ("source", source, ["--no-deps", "--no-build-isolation", "--no-binary", FROM_SOURCE]),
        ):
            file = Path(folder) / f"{name}.txt"
            file.write_text(text, "utf-8")
            command = [str(program), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", *options]
            subprocess.run([*command, "--requirement", str(file)], check=True, capture_output=True, timeout=INSTALL_S_MAX)


def split(lock: str) -> tuple[str, str]:
    """The entries that are ready-made, and the one that is built."""
    entries = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", lock, re.MULTILINE | re.DOTALL)
    built = [entry for entry in entries if entry.startswith(f"{FROM_SOURCE}==")]
    assert len(built) == 1, len(built)
    return "".join(entry for entry in entries if entry not in built), built[0]
