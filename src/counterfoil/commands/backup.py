"""`counterfoil backup`: a copy of a scheme's folder, made while it serves, from which it can be served again.

What is written later is copied later, so that each part has all that the parts before it speak of:

    settings and keys -> the log, at one head -> what opens it -> the ledger -> the store, which knew each order first

Nobody waits for it: databases are read in one view, and files of the log stand still between two heads.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

from counterfoil.commands.output import Answer, Output, WrongUse, pairs
from counterfoil.commands.scheme import config_of
from counterfoil.config import FILE_NAME, Config
from counterfoil.errors import Unavailable
from counterfoil.folder import audited_path, ledger_path, log_folder, newest_path, openings_path, policy_path, store_path
from counterfoil.tlog.log import HEAD

ROUNDS_MAX = 200
ROUND_PAUSE_S = 0.05
"""The log publishes once a second: a round in which nothing changes comes soon."""


def backup(arguments: argparse.Namespace, output: Output) -> Answer:
    """Copies the scheme in the data folder to `--to`, a new folder. An interrupted one leaves nothing of that name behind.

    Raises Unavailable when a disk is full or the log never stands still.
    """
    config, target = config_of(arguments), Path(arguments.to)
    if not (config.folder / "keys").is_dir():
        raise WrongUse(f"there is no scheme in {config.folder}: name the data folder with --data or COUNTERFOIL_DATA")
    if target.exists():
        raise WrongUse(f"{target} exists: a backup is a new folder")
    draft = target.with_name(f"{target.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        left_out = _copy(config, draft, output)
        _sync(draft)
        draft.rename(target)
    except (OSError, sqlite3.OperationalError) as error:
        raise Unavailable(f"the backup could not be made: {error}") from error
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    lines = pairs([("backup", target), ("bytes", f"{size:,}"), *(("not in it", each) for each in left_out)])
    return Answer({"backup": str(target), "bytes": size, "left_out": left_out}, [*lines, f"Prove it: counterfoil check --data {target}"])


def _copy(config: Config, target: Path, output: Output) -> list[str]:
    """Copies everything; returns what is kept by servers and has to be copied there, in this order, after this."""
    source = config.folder
    for path in (source / FILE_NAME, policy_path(config), audited_path(config), newest_path(config)):
        if path.is_file():
            shutil.copy2(path, target)
    shutil.copytree(source / "keys", target / "keys", ignore=shutil.ignore_patterns("*.draft"))
    (target / "keys").chmod(0o700)
    log, copy = log_folder(config), target / log_folder(config).name
    if log.is_dir():
        output.progress("copied: the log", 0, 3)
        _copy_log(log, copy)
    left_out = []
    databases = [openings_path(config), *([] if config.ledger else [ledger_path(config)])]
    databases += [] if config.store else [store_path(config)]
    for number, path in enumerate(databases, 1):
        if path.is_file():
            output.progress(f"copied: {path.name}", number, len(databases) + 1)
            _copy_database(path, target / path.relative_to(source))
    left_out += ["the ledger, which its server keeps"] if config.ledger else []
    left_out += ["the store, which its server keeps"] if config.store else []
    return left_out


def _copy_log(source: Path, target: Path) -> None:
    """The signed files and the head that they belong to: rounds that copy what has changed, until one finds nothing to do."""
    pause = threading.Event()
    for _ in range(ROUNDS_MAX):
        head = _read(source / HEAD)
        changed = sum(_copy_changed(source / name, target / name) for name in ("public", "state"))
        if not changed and head == _read(source / HEAD):
            return
        pause.wait(ROUND_PAUSE_S)
    raise Unavailable(f"the log in {source} changed in each of {ROUNDS_MAX} rounds: try again when less is going on")


def _copy_changed(source: Path, target: Path) -> int:
    """Makes `target` like `source`. How many files were copied or removed: 0 says that both were the same all along."""
    changed = 0
    there = {path.relative_to(source) for path in source.rglob("*") if path.is_file()}
    for name in {path.relative_to(target) for path in target.rglob("*") if path.is_file()} - there:
        (target / name).unlink()
        changed += 1
    for name in there:
        try:
            changed += _copy_file(source / name, target / name)
        except FileNotFoundError:  # gone meanwhile: the next round sees what came instead
            changed += 1
    return changed


def _copy_file(source: Path, target: Path) -> bool:
    """Whether there was anything to copy. The time that is kept is from before the copy: what changes meanwhile is copied again."""
    found = source.stat()
    if target.exists() and (target.stat().st_size, target.stat().st_mtime_ns) == (found.st_size, found.st_mtime_ns):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    shutil.copymode(source, target)
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
    return True


def _copy_database(source: Path, target: Path) -> None:
    """One view of the database, however long it takes; its writer goes on meanwhile."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as write:
        read.execute("PRAGMA query_only = ON")
        read.backup(write)


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _sync(folder: Path) -> None:
    """Files and names are on the disk."""
    for path in [folder, *folder.rglob("*")]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
