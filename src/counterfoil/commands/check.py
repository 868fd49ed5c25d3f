"""Commands about the scheme's own books: `check` says whether they agree with themselves and with the log, `openings` hands them to an auditor, whose word `audited` publishes."""

from __future__ import annotations

import argparse
import os

import msgspec

from counterfoil import engines
from counterfoil.assurance import audits
from counterfoil.clock import SystemClock
from counterfoil.commands.output import DONE, REFUSED, Answer, Output, WrongUse, pairs, plain, table
from counterfoil.commands.scheme import config_of
from counterfoil.config import Config
from counterfoil.errors import Malformed
from counterfoil.folder import audited_path, ledger_path, log_folder, only_process, openings_path, operator_key, policy_path, store_url
from counterfoil.ledger import check as ledger_check
from counterfoil.moments import moment_text
from counterfoil.money import Currency, format_amount
from counterfoil.payments.openings import Openings, export_openings
from counterfoil.payments.publish.rebuild import Rebuild
from counterfoil.publishing.work import read_policy
from counterfoil.store.reader import StoreReader
from counterfoil.tlog.check import verify_folder
from counterfoil.tlog.checkpoint import Checkpoint
from counterfoil.tlog.keys import Signer
from counterfoil.tlog.known import KnownHeads
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.published import PublishedLog

FINDINGS_SHOWN_MAX = 20


def check(arguments: argparse.Namespace, output: Output) -> Answer:
    """Audits the ledger in the data folder. Exit code 1 when something does not add up."""
    config = config_of(arguments)
    if not config.ledger and not ledger_path(config).is_file():
        raise WrongUse(f"there is no ledger in {config.folder}: name the data folder with --data or COUNTERFOIL_DATA")
    with only_process(config.folder):
        if config.ledger:
            engines.follow_ledger(config).close()  # refuses where there is none: an engine would make it
        engine = engines.open_engine(config)
        try:
            report = ledger_check.check(engine, on_page=lambda read: output.progress("read", read, 0))
        finally:
            engine.close()
        log = _check_log(config, output)
    books = _checked(report, config.currency)
    if log is None:
        return books
    faults = [*log.faults, *([log.difference] if log.difference else [])]
    words = (
        f"The log says the same: {log.entries} entries, made anew from the books, are those that were published."
        if not faults
        else f"The log does NOT agree: {len(faults)} findings."
    )
    lines = [*books.lines, words, *(f"  {plain(fault)}" for fault in faults[:FINDINGS_SHOWN_MAX])]
    passed = books.exit_code == DONE and not faults
    return Answer(books.data | {"log": msgspec.to_builtins(log), "passed": passed}, lines, DONE if passed else REFUSED)


class LogCheck(msgspec.Struct, frozen=True):
    """The log beside the books.

    Attributes:
        size: entries under the newest head; entries: those that were made anew and are the same.
        faults: what is wrong with the published files. difference: the first entry that the books do not yield.
    """

    size: int
    entries: int
    faults: tuple[str, ...]
    difference: str | None


def _check_log(config: Config, output: Output) -> LogCheck | None:
    """Reads the published log whole, and makes every entry anew from ledger and store. None where no log was begun."""
    if not openings_path(config).is_file():
        return None
    published = PublishedLog(log_folder(config))
    key = Signer(config.origin, operator_key(config.folder, SystemClock())).vkey
    policy = policy_path(config).read_text("utf-8") if policy_path(config).is_file() else None
    files = verify_folder(published.folder, key=key, policy=policy)
    with (
        Openings.reading(openings_path(config)) as kept,
        StoreReader(store_url(config)) as store,
        engines.follow_ledger(config) as ledger,
    ):
        rebuilt = Rebuild(
            openings=kept,
            ledger=ledger,
            store=store,
            asset=config.currency_code,
            log=published.reader,
            signed=files.size,
            on_page=lambda entries: output.progress("compared", entries, files.size),
        ).run()
    return LogCheck(size=files.size, entries=rebuilt.entries, faults=files.faults, difference=rebuilt.difference)


def audited(arguments: argparse.Namespace, output: Output) -> Answer:
    """Publishes an auditor's word, if it is one. WrongUse, in words, for anything else. The running server shows it at once."""
    config = config_of(arguments)
    signer = Signer(config.origin, operator_key(config.folder, SystemClock()))
    try:
        data = arguments.file.read_bytes()
        word = audits.verify(data, Policy.parse(read_policy(config, signer).decode()), KnownHeads(PublishedLog(log_folder(config))))
    except OSError as error:
        raise WrongUse(f"{arguments.file} cannot be read: {error.strerror}") from None
    except Malformed as error:
        raise WrongUse(error.detail) from None
    draft = audited_path(config).with_suffix(".draft")
    draft.write_bytes(data)
    draft.replace(audited_path(config))
    lines = [f"{word.name} has audited the first {word.size} entries, at {moment_text(word.at)[:19]}Z by its own clock."]
    return Answer({"name": word.name, "size": word.size, "at": moment_text(word.at)}, lines)


def _checked(report: ledger_check.Report, currency: Currency) -> Answer:
    data = msgspec.to_builtins(report) | {"passed": report.passed}
    rows = [
        (
            totals.ledger,
            totals.accounts,
            _money(totals.debits_posted, totals.ledger, currency),
            _money(totals.credits_posted, totals.ledger, currency),
            _money(totals.debits_pending, totals.ledger, currency),
        )
        for totals in report.ledgers
    ]
    headers = ("Ledger", "Accounts", "Debits", "Credits", "Set aside")
    lines = [
        *pairs([("Accounts", report.accounts), ("Transfers", report.transfers), ("Expired holds", report.expiries)]),
        "",
        *table(headers, rows, right=headers),
        "",
        "The books add up: every balance follows from the transfers, and no money was made or lost."
        if report.passed
        else f"The books do NOT add up: {report.findings_count} findings.",
        *(f"  {plain(finding.text)} (transfer {finding.transfer_id})" for finding in report.findings[:FINDINGS_SHOWN_MAX]),
    ]
    return Answer(data, lines, DONE if report.passed else REFUSED)


def _money(amount: int, ledger: int, currency: Currency) -> str:
    """In major units where the ledger is the scheme's own; minor units of other currencies stay as they are."""
    return format_amount(amount, currency) if ledger == currency.ledger else str(amount)


def openings(arguments: argparse.Namespace, output: Output) -> Answer:
    """Writes the auditor's openings of all that the log has signed. Works beside the running server."""
    config = config_of(arguments)
    path = openings_path(config)
    if not path.is_file():
        raise WrongUse(f"there is no log in {config.folder}: name the data folder with --data or COUNTERFOIL_DATA")
    note = PublishedLog(log_folder(config)).checkpoint()
    size = Checkpoint.parse(note.text).size if note else 0
    if not 0 <= arguments.first <= size:
        raise WrongUse(f"--first: must be 0 to {size}")
    try:
        descriptor = os.open(arguments.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise WrongUse(f"{arguments.out} is already there") from None
    with os.fdopen(descriptor, "wb") as file, Openings.reading(path) as kept:
        count = export_openings(kept, file, arguments.first, size=size)
    data = {"file": str(arguments.out), "first": arguments.first, "entries": count}
    return Answer(data, [f"{count} entries opened in {arguments.out}: everything about everybody. Give it to the auditor alone."])
