"""The server under load: a scheme with people who have money, behind uvicorn as `counterfoil serve` runs it.

python -m bench.payments_server FOLDER PEOPLE [--one-by-one | --bare | --log | --workers N] [--database URL] [--accounts N]

Prints one line of JSON (port, process id, file of people) once it answers; stops when its standard input ends. With --workers it
is `counterfoil serve --workers N` as it stands, with the log: a process of its own, and 0 is one process for everything. With
--database, ledger and store are in that PostgreSQL database. --accounts fills the ledger up with customers who do nothing. With
--check-interval S the running check begins anew so many seconds after it has ended, which it does only with --workers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Any

import uvloop
from nacl.signing import SigningKey

import counterfoil.store.database as database
from counterfoil.app import collect_garbage_rarely, running
from counterfoil.commands import logs
from counterfoil.config import Config
from counterfoil.ids import new_id
from counterfoil.ledger.chart import ACCOUNT_FLAGS, AccountCode
from counterfoil.ledger.types import BATCH_SIZE_MAX, Account
from counterfoil.ledger.writer import Writer
from counterfoil.parties import statements
from counterfoil.parties.service import NewKey, NewParty
from counterfoil.parties.types import KeyAlgorithm, PartyKind, StaffRole
from counterfoil.payments.orders import Order, encode
from counterfoil.payments.types import SignedOrder
from counterfoil.web.app import create_app
from counterfoil.web.incoming import Application, Receive, Scope, Send
from counterfoil.web.server import listening
from counterfoil.web.services import Services

BARE_ANSWER = b" " * 1_000
"""About the size of a receipt."""
FUNDS = 500_000
"""Minor units that each person begins with."""


def one_by_one() -> None:
    """Takes group commit away: each payment has its own transaction in the store, and its own in the ledger."""
    database.BATCH_SIZE_MAX = 1
    write_batch = Writer._write_batch

    def write_one(self: Writer) -> None:
        waiting = self._queue
        self._queue = deque([waiting.popleft()])
        try:
            write_batch(self)
        finally:
            self._queue = waiting

    Writer._write_batch = write_one  # type: ignore[method-assign]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """Reads a request and answers as many bytes as a receipt has: what HTTP alone costs on this machine."""
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BARE_ANSWER))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BARE_ANSWER})


class Opener:
    """Opens people with keys that follow from their number."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.staff = 0
        self.treasurers: list[int] = []

    async def open_staff(self) -> None:
        enrolment, clock = self.services.parties.enrolment, self.services.clock

        def member(role: StaffRole, handle: str) -> NewParty:
            return NewParty(id=new_id(clock), kind=PartyKind.STAFF, name=handle, language="en", handle=handle, roles=frozenset({role}))

        administrator = (await enrolment.open_first_staff(member(StaffRole.ADMINISTRATOR, "chief"))).id
        self.staff = (await enrolment.open_by_staff(member(StaffRole.CLERK, "clerk"), by=administrator)).id
        for handle in ("tess", "tom_t"):
            self.treasurers.append((await enrolment.open_by_staff(member(StaffRole.TREASURER, handle), by=administrator)).id)

    async def open(self, number: int, kind: PartyKind) -> dict[str, Any]:
        services = self.services
        key = SigningKey(hashlib.sha256(number.to_bytes(8)).digest())
        phone, device, public_key = f"+2547{10_000_000 + number}", new_id(services.clock), bytes(key.verify_key)
        statement = statements.enrol(
            origin=services.config.origin, number=phone, device=device, algorithm=KeyAlgorithm.ED25519, public_key=public_key
        )
        possession = key.sign(statement).signature
        new = NewParty(
            id=new_id(services.clock),
            kind=kind,
            name=f"Person {number}",
            language="en",
            number=phone,
            tier="identity_verified" if kind is PartyKind.CUSTOMER else None,
            key=NewKey(device=device, algorithm=KeyAlgorithm.ED25519, public_key=public_key, possession=possession),
        )
        party = await services.parties.enrolment.open_by_staff(new, by=self.staff)
        holder = await services.parties.holder_of_party(party.id)
        return {"account": holder.account, "device": device, "seed": bytes(key).hex(), "address": holder.merchant_code}

    async def fund(self, people: list[dict[str, Any]], bank: dict[str, Any]) -> None:
        services, clock = self.services, self.services.clock
        total = (FUNDS + 5) * len(people)
        payload = json.dumps({"account": _text(bank["account"]), "amount": total}).encode()
        proposal = await services.approvals.propose(new_id(clock), "issue", payload, reason="for the bench", by=self.treasurers[0])
        assert (await services.approvals.approve(proposal.id, by=self.treasurers[1])).state == "executed"
        key = SigningKey(bytes.fromhex(bank["seed"]))

        async def pay(person: dict[str, Any]) -> None:
            order = Order(
                origin=services.config.origin,
                asset=services.config.currency_code,
                payer=bank["account"],
                payee=person["account"],
                amount=FUNDS,
                max_fee=100,
                id=new_id(clock),
                expiry_ms=clock.now_ns() // 1_000_000 + 3_600_000,
                rules_hash=services.payments.rules.hash,
            )
            data = encode(order)
            await services.payments.pay(SignedOrder(data, bank["device"], key.sign(data).signature))

        await asyncio.gather(*map(pay, people))

    async def fill(self, count: int) -> None:
        """Accounts in the ledger alone, of customers who have nothing and do nothing."""
        flags = ACCOUNT_FLAGS[AccountCode.CUSTOMER][0]
        for first in range(0, count, BATCH_SIZE_MAX):
            size = min(BATCH_SIZE_MAX, count - first)
            ledger = self.services.config.currency_ledger
            await self.services.ledger.create_accounts(
                [Account(id=new_id(self.services.clock), ledger=ledger, code=AccountCode.CUSTOMER, flags=flags) for _ in range(size)]
            )


def option(name: str) -> str:
    """What the command line says after `name`; empty where it is not there."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else ""


def _text(account: int) -> str:
    digits = f"{account:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


async def main(folder: Path, count: int) -> None:
    database = option("--database")
    config = Config(data=str(folder / "data"), store=database, ledger=database, sandbox=True, check_interval_s=0)
    with_workers = "--workers" in sys.argv
    async with running(config, publishing="--log" in sys.argv) as services:
        opener = Opener(services)
        await opener.open_staff()
        bank = await opener.open(0, PartyKind.INSTITUTION)
        shop = await opener.open(1, PartyKind.MERCHANT)
        people = [await opener.open(number, PartyKind.CUSTOMER) for number in range(2, count + 2)]
        await opener.fund(people, bank)
        await opener.fill(int(option("--accounts") or 0))
        rules = services.payments.rules
        known = {"origin": rules.origin, "asset": rules.currency.code, "rules_hash": rules.hash.hex(), "shop": shop, "people": people}
        (folder / "people.json").write_text(json.dumps(known), "utf-8")
        if with_workers:
            return
        application: Application = bare if "--bare" in sys.argv else create_app(services)
        async with listening(application, host="127.0.0.1", port=0) as address:
            collect_garbage_rarely()
            port = int(address.rpartition(":")[2])
            print(json.dumps({"port": port, "pid": os.getpid(), "people": str(folder / "people.json")}), flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def serve(folder: Path, workers: str) -> None:
    """The server that operators run, in the folder that was filled before."""
    command = [sys.executable, "-m", "counterfoil", "serve", "--data", str(folder / "data"), "--port", "0", "--workers", workers]
    environment = os.environ | {"COUNTERFOIL_SANDBOX": "true", "COUNTERFOIL_CHECK_INTERVAL_S": option("--check-interval") or "0"}
    if database := option("--database"):
        environment |= {"COUNTERFOIL_STORE": database, "COUNTERFOIL_LEDGER": database}
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        print(json.dumps({"port": port, "pid": process.pid, "people": str(folder / "people.json")}), flush=True)
        sys.stdin.read()
        process.terminate()


if __name__ == "__main__":
    logs.configure(level=logging.WARNING)  # to stderr: nobody reads stdout after the first line
    if "--one-by-one" in sys.argv:
        one_by_one()
    uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2])))
    if "--workers" in sys.argv:
        serve(Path(sys.argv[1]), option("--workers"))
