"""Install what a command needs into `.venv`, once: `python3 scripts/install.py product|servers|tests`.

Every package comes from a lock file and is checked against its hash; no package is built here, so none runs code while
it is installed. The tests' lock files are two: Python's, and npm's for what checks our scripts in the browser. What was installed is written to a stamp in `.venv`, so a second call does nothing, and a file lock
makes runs beside each other take turns. Needs nothing but Python: this file runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "installed.json"
PYTHON = VENV / "bin" / "python"
LOCKS = {
    "product": ROOT / "requirements.lock",
    "servers": ROOT / "requirements-servers.lock",  # the product with the clients of database servers
    "tests": ROOT / "requirements-dev.lock",
}
DEBIAN_PACKAGES = ROOT / "debian-packages.txt"
NPM_FOLDER = ROOT / "tests" / "browser"
NPM_FILES = [NPM_FOLDER / name for name in ("package.json", "package-lock.json", ".npmrc")]
PYTHON_MIN = (3, 11)


def install(purpose: str) -> None:
    """Bring `.venv` to the lock file of `purpose`, one of LOCKS, from whatever it is now."""
    with _one_at_a_time():
        installed = json.loads(STAMP.read_text("utf-8")) if STAMP.is_file() else {}
        # Each lock contains those before it, version by version, so who has a later one needs nothing more.
        enough = list(LOCKS)[list(LOCKS).index(purpose) :]
        if any(installed.get(other) == _fingerprint(other) for other in enough):
            return
        print(f"Installing the {purpose} packages into .venv, once: about a minute", flush=True)
        if purpose == "tests":
            _install_debian(_debian_packages())
            _install_npm()
        STAMP.unlink(missing_ok=True)
        if installed.get("machine") != _machine():
            _create_venv()
        # Quiet but for errors: a machine's own pip settings may warn once a package.
        pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--quiet"]
        _run([*pip, "--require-hashes", "--only-binary", ":all:", "--requirement", str(LOCKS[purpose])])
        _run([*pip, "--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT), "--editable", str(ROOT / "verifier")])
        STAMP.write_text(json.dumps({"machine": _machine(), purpose: _fingerprint(purpose)}), "utf-8")


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    with (ROOT / ".venv.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _machine() -> str:
    """What a virtual environment cannot survive a change of: the interpreter, and the folder that it stands in."""
    return f"{sys.version} {ROOT}"


def _fingerprint(purpose: str) -> str:
    projects = [(folder / "pyproject.toml").read_bytes() for folder in (ROOT, ROOT / "verifier")]
    content = [LOCKS[purpose].read_bytes(), *projects, _machine().encode()]
    if purpose == "tests":
        content += [DEBIAN_PACKAGES.read_bytes(), *(path.read_bytes() for path in NPM_FILES)]
        content.append(str(shutil.which("npm") is not None).encode())  # who installs npm later gets what was left out
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in content)).hexdigest()


def _create_venv() -> None:
    if importlib.util.find_spec("ensurepip") is None:  # Debian keeps it in a package of its own
        _install_debian([f"python3.{sys.version_info.minor}-venv"])
    shutil.rmtree(VENV, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(VENV)])


def _debian_packages() -> list[str]:
    lines = (line.split("#")[0].strip() for line in DEBIAN_PACKAGES.read_text("utf-8").splitlines())
    return [line for line in lines if line]


def _install_debian(packages: list[str]) -> None:
    """Install those of `packages` that are missing, as root or with sudo. Otherwise say which are missing, and go on:
    the tests that need them are then skipped in plain sight.
    """
    missing = [name for name in packages if not _debian_has(name)]
    if not missing:
        return
    apt = shutil.which("apt-get")
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if apt is None or (
        sudo and (shutil.which("sudo") is None or subprocess.run([*sudo, "true"], check=False, capture_output=True).returncode)
    ):
        print(f"Not installed, for want of root or apt: {' '.join(missing)}", file=sys.stderr)
        return
    _run([*sudo, apt, "update", "--quiet=2"])
    # DPkg::Lock::Timeout: two runs beside each other take turns instead of failing.
    _run([*sudo, apt, "install", "--quiet=2", "--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=600", *missing])


def _debian_has(package: str) -> bool:
    if shutil.which("dpkg-query") is None:
        return False
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return subprocess.run(query, check=False, capture_output=True, text=True).stdout == "installed"


def _install_npm() -> None:
    """Install the tools of the browser tests, each checked against its hash, or say that they are missing, and go on:
    the tests that need them are then skipped in plain sight.
    """
    npm = shutil.which("npm")
    if npm is None:
        print("Not installed, for want of npm: what tests/browser/package.json names (on Debian: apt-get install npm)", file=sys.stderr)
        return
    _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"], folder=NPM_FOLDER)


def _run(command: list[str], folder: Path = ROOT) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, check=False, env=environment, cwd=folder).returncode:
        sys.exit(f"This did not work: {' '.join(command)}")


if __name__ == "__main__":
    if sys.version_info < PYTHON_MIN:
        sys.exit(f"Counterfoil needs Python 3.11 or later; {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.12 ...")
    if len(sys.argv) != 2 or sys.argv[1] not in LOCKS:
        sys.exit(f"usage: python3 scripts/install.py {'|'.join(LOCKS)}")
    install(sys.argv[1])
