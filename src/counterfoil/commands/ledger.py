"""`counterfoil ledger move`: takes a scheme's ledger from one engine to another.

    copy     what the new place does not have yet; the old one goes on being the ledger
    prove    both are read whole: counts, every balance, and the feed to the last byte must be the same
    switch   one line of the settings, in one step

Until the switch nothing has changed for the scheme, so it may be stopped, or killed, at any point and run again. The old place
is left as it is. A move back finds the books of that day there, and adds what has happened since.
"""

from __future__ import annotations

import argparse
import os
import shlex
from contextlib import closing

import msgspec

from counterfoil import engines
from counterfoil.clock import SystemClock
from counterfoil.commands import settings_file
from counterfoil.commands.output import Answer, Output, WrongUse, pairs
from counterfoil.commands.scheme import config_of
from counterfoil.config import FILE_NAME, PREFIX, Config, without_password
from counterfoil.folder import ledger_path, newest_path, only_process
from counterfoil.ledger import move as moves
from counterfoil.ledger.movable import Movable
from counterfoil.ledger.move import Comparison

FILE = "sqlite"
"""As `--to`: the file in the data folder."""


def move(arguments: argparse.Namespace, output: Output) -> Answer:
    """Moves the ledger to `--to`. The server must not be running. Safe to repeat: where it is there already, nothing is done."""
    config, new = config_of(arguments), config_of(arguments, ledger="" if arguments.to == FILE else arguments.to)
    if not config.ledger and not ledger_path(config).is_file():
        raise WrongUse(f"there is no ledger in {config.folder}: name the data folder with --data or COUNTERFOIL_DATA")
    if f"{PREFIX}LEDGER" in os.environ:
        raise WrongUse(f"{PREFIX}LEDGER is set: it would overrule the settings file. Bring what it says into the file, and unset it")
    with only_process(config.folder):
        config = config_of(arguments)  # another move may have ended while we waited
        if config.ledger == new.ledger:
            return Answer({"moved": False, "ledger": _name(new)}, [f"The ledger is there already: {_name(new)}."])
        settings = config.folder / FILE_NAME
        settings_file.changed(settings, "ledger", new.ledger)  # refuses before hours of work, not after
        if not os.access(settings.resolve().parent, os.W_OK):
            raise WrongUse(f"{settings.resolve().parent} cannot be written to: the settings are to be switched there")
        if config.ledger:
            engines.follow_ledger(config).close()  # refuses where there is none: an engine would make it

        def open_target() -> Movable:
            return engines.open_movable(new, in_use=False)

        with closing(engines.open_movable(config, in_use=True)) as source:
            now = SystemClock.now_ns()
            if arguments.dry_run:
                with closing(open_target()) as target:
                    return _would(config, new, moves.compare(source, target, output.progress))
            found, copied = moves.carry(source, open_target, now, output.progress)
        newest_path(config).unlink(missing_ok=True)  # of a cluster that is no longer the ledger, or an older state of the new one
        settings_file.write(settings, settings_file.changed(settings, "ledger", new.ledger))
    return _moved(config, new, found, copied)


def _moved(config: Config, new: Config, found: Comparison, copied: int) -> Answer:
    data = {"moved": True, "from": _name(config), "to": _name(new), "copied": copied, "books": msgspec.to_builtins(found.here)}
    lines = pairs([
        ("Ledger", _name(new)),
        *_counts(found),
        ("Copied", f"{copied:,} records, {found.here.records - copied:,} were there already"),
        ("Proved equal", f"all balances {found.here.balances[:16]}..., the feed {found.here.feed[:16]}..."),
        ("Left as it is", _name(config)),
    ])  # fmt: skip
    back = f"counterfoil ledger move --data {shlex.quote(str(config.folder))} --to {shlex.quote(_name(config)) if config.ledger else FILE}"
    return Answer(data, [*lines, "", "Start the server. To undo this, stop it again and run:", f"  {back}"])


def _would(config: Config, new: Config, found: Comparison) -> Answer:
    missing = found.here.records - found.there.records
    data = {"moved": False, "from": _name(config), "to": _name(new), "to_copy": missing, "books": msgspec.to_builtins(found.here)}
    lines = pairs([("From", _name(config)), ("To", _name(new)), *_counts(found), ("To be copied", f"{missing:,} records")])
    return Answer(data, [*lines, "", "Nothing was copied or switched: run it without --dry-run."])


def _counts(found: Comparison) -> list[tuple[str, str]]:
    here = found.here
    return [
        ("Accounts", f"{here.accounts:,}"),
        ("Transfers", f"{here.transfers:,}"),
        ("Expired holds", f"{here.expiries:,}"),
        ("Refused ids", f"{here.refused:,}"),
    ]


def _name(config: Config) -> str:
    """Where the ledger is, as it may be shown."""
    return without_password(config.ledger) or str(ledger_path(config))
