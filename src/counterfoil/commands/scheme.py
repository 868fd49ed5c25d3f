"""Commands of whoever runs the scheme, besides serve: migrate, check, keys, import."""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
from collections.abc import Callable
from typing import TypeVar

import msgspec

from counterfoil import app, engines
from counterfoil.clock import SystemClock
from counterfoil.commands import keyfile
from counterfoil.commands.account import new_key
from counterfoil.commands.keyfile import KeyFile
from counterfoil.commands.output import Answer, Failure, Output, WrongUse, pairs, plain
from counterfoil.config import Config, load
from counterfoil.errors import CounterfoilError, Malformed, Refused
from counterfoil.folder import only_process, operator_key, store_url
from counterfoil.ids import id_text, new_id, parse_id
from counterfoil.institutions.book.mapping import load_mapping
from counterfoil.institutions.book.service import import_book
from counterfoil.institutions.book.types import BookReport
from counterfoil.ledger.chart import Chart
from counterfoil.ledger.service import Ledger
from counterfoil.money import Currency, format_amount, parse_amount
from counterfoil.parties import statements
from counterfoil.parties.service import NewKey, NewParty
from counterfoil.parties.types import KeyAlgorithm, PartyKind, StaffRole
from counterfoil.store.migrations import migrate as migrate_store
from counterfoil.tlog.keys import ED25519, VerifierKey
from counterfoil.web.values import base64_text

T = TypeVar("T")


def config_of(arguments: argparse.Namespace, **overrides: object) -> Config:
    """The settings; WrongUse, naming the setting, when one is not right."""
    names = {name: getattr(arguments, name, None) for name in ("data", "host", "port")}
    try:
        return load(os.environ, **(names | overrides))
    except Malformed as error:
        raise WrongUse(error.detail) from None


def migrate(arguments: argparse.Namespace, output: Output) -> Answer:
    """Brings the tables up to date. Safe to repeat."""
    config = config_of(arguments)
    with only_process(config.folder):
        migrate_store(store_url(config))
    return Answer({"data": str(config.folder), "migrated": True}, [f"{config.folder} is up to date."])


def keys_show(arguments: argparse.Namespace, output: Output) -> Answer:
    """The operator's public key. WrongUse when there is none yet."""
    config = config_of(arguments)
    if not (config.folder / "keys" / "operator.ed25519").is_file():
        raise WrongUse(f"there is no operator's key in {config.folder}: make one with `counterfoil keys create`")
    return keys_create(arguments, output)


def keys_create(arguments: argparse.Namespace, output: Output) -> Answer:
    """The operator's public key, made if there is none. Safe to repeat."""
    config = config_of(arguments)
    key = bytes(operator_key(config.folder, SystemClock()).verify_key)
    vkey = str(VerifierKey.of(config.origin, key, ED25519))
    rows = [
        ("Operator's key", base64_text(key)),
        ("In base64", base64.b64encode(key).decode()),
        ("In hex", key.hex()),
        ("In a policy", f"log {vkey}"),
        ("Scheme", config.origin),
    ]
    return Answer({"operator_key": base64_text(key), "hex": key.hex(), "vkey": vkey, "origin": config.origin}, pairs(rows))


def first_staff(arguments: argparse.Namespace, output: Output) -> Answer:
    """Opens a new scheme's first member of staff, an administrator, with a key file. Refused once there is one."""
    config, clock = config_of(arguments), SystemClock()

    async def run() -> KeyFile:
        async with app.running(config, clock) as services:
            rules = services.payments.rules
            scheme = {
                "origin": rules.origin,
                "currency": rules.currency.code,
                "digits": rules.currency.digits,
                "operator_key": base64_text(services.payments.acknowledger.public_key),
            }
            key = new_key(f"http://{config.host}:{config.port}", scheme, clock, name=arguments.name)
            device, public_key = parse_id(key.device), bytes(key.signing_key.verify_key)
            algorithm = KeyAlgorithm.ED25519
            statement = statements.enrol(origin=rules.origin, number="", device=device, algorithm=algorithm, public_key=public_key)
            possession = key.signing_key.sign(statement).signature
            keyfile.save(arguments.new_key, key)
            first = NewParty(
                id=new_id(clock),
                kind=PartyKind.STAFF,
                name=arguments.name,
                language=config.languages[0],
                handle=arguments.handle,
                key=NewKey(device=device, algorithm=algorithm, public_key=public_key, possession=possession),
                roles=frozenset({StaffRole.ADMINISTRATOR}),
            )
            try:
                party = await services.parties.enrolment.open_first_staff(first)
            except Refused:
                arguments.new_key.unlink()
                raise
            key = msgspec.structs.replace(key, party=id_text(party.id))
            keyfile.complete(arguments.new_key, key)
            return key

    key = unwrapped(lambda: asyncio.run(run()))
    data = {"party": key.party, "device": key.device, "name": key.name, "key_file": str(arguments.new_key)}
    rows = [("Administrator", plain(key.name)), ("Key file", str(arguments.new_key)), ("Party", key.party)]
    return Answer(
        data, [*pairs(rows), "Open the others with: counterfoil staff open staff NAME --role ROLE --handle HANDLE --new-key FILE"]
    )


def import_book_file(arguments: argparse.Namespace, output: Output) -> Answer:
    """Imports an institution's book. Exit code 1 when an account was left out. Safe to stop and to repeat."""
    config = config_of(arguments)
    if not arguments.file.is_file():
        raise WrongUse(f"there is no file {arguments.file}")
    try:
        mapping = load_mapping(arguments.mapping)
        tolerance = parse_amount(arguments.tolerance, config.currency, "--tolerance")
    except Malformed as error:
        raise WrongUse(error.detail) from None

    async def run() -> BookReport:
        with only_process(config.folder):
            engine = engines.open_engine(config)
            try:
                ledger = Ledger(engine, Chart(), SystemClock(), queue_size_max=config.queue_size_max)
                async with asyncio.TaskGroup() as group:
                    group.create_task(ledger.run())
                    try:
                        return await import_book(
                            ledger,
                            arguments.file,
                            mapping,
                            tolerance=tolerance,
                            currency=config.currency,
                            name=arguments.name,
                            progress=output.progress,
                        )
                    finally:
                        await ledger.stop()
            finally:
                engine.close()

    return _imported(unwrapped(lambda: asyncio.run(run())), config.currency)


def _imported(report: BookReport, currency: Currency) -> Answer:
    lines = pairs(
        [
            ("Accounts", report.accounts),
            ("Transactions", report.transactions),
            ("Exact", report.exact),
            ("With rounding", f"{report.rounded} ({report.rounding_entries} entries, net {format_amount(report.rounding_net, currency)})"),
            ("Left out", len(report.failed)),
            ("Closing total", format_amount(report.closing_total, currency)),
        ]
    )
    for failed in report.failed:
        lines.append(f"  account {plain(failed.account)}, line {failed.line}, {failed.date}: {plain(failed.detail)}")
    return Answer(report.to_json(), lines, report.exit_code)


def unwrapped(run: Callable[[], T]) -> T:
    """Runs it; a single error that came out of a task group is raised as itself, so that it is told as what it is."""
    try:
        return run()
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, CounterfoilError | Failure):
            raise error from None
        raise
