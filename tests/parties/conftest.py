"""A scheme small enough for a test: a real store, a real ledger in memory, a clock that stands still, quick PINs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.signing import SigningKey
from sqlalchemy import Table

from counterfoil.clock import NANOSECONDS
from counterfoil.ids import new_id
from counterfoil.ledger.chart import ACCOUNT_FLAGS, AccountCode, Chart, TransferCode
from counterfoil.ledger.memory import MemoryEngine
from counterfoil.ledger.service import Ledger
from counterfoil.ledger.types import Account, CreateAccountStatus, CreateTransferStatus, Transfer, TransferFlags
from counterfoil.parties import statements, tables
from counterfoil.parties.service import NewKey, NewParty, Parties
from counterfoil.parties.types import Holder, KeyAlgorithm, Party, PartyKind, StaffRole
from counterfoil.store.database import Store

ORIGIN = "money.example.org/log"
LEDGER = 404
START = 1_795_000_000 * NANOSECONDS  # 2026-11-18T11:06:40Z, a Wednesday
DAY = 24 * 3600 * NANOSECONDS
PIN = "2580"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class StillClock:
    """Time that moves when the test says so, by a nanosecond at each look at the wall; randomness from a seed."""

    def __init__(self, now: int = START) -> None:
        self.now = now
        self._drawn = 0

    def now_ns(self) -> int:
        self.now += 1
        return self.now

    def monotonic_ns(self) -> int:
        return self.now_ns()

    def random_bytes(self, count: int) -> bytes:
        self._drawn += 1
        return hashlib.shake_256(self._drawn.to_bytes(8)).digest(count)

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * NANOSECONDS)


class Phone:
    """A device with a key of its own."""

    def __init__(self, scheme: Scheme, algorithm: KeyAlgorithm = KeyAlgorithm.ED25519) -> None:
        self.id = new_id(scheme.clock)
        self.algorithm = algorithm
        seed = scheme.clock.random_bytes(32)
        self._ed25519 = SigningKey(seed)
        self._es256 = ec.derive_private_key(int.from_bytes(seed[:31]) + 1, ec.SECP256R1())

    @property
    def public_key(self) -> bytes:
        if self.algorithm is KeyAlgorithm.ED25519:
            return bytes(self._ed25519.verify_key)
        return self._es256.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, message: bytes) -> bytes:
        if self.algorithm is KeyAlgorithm.ED25519:
            return self._ed25519.sign(message).signature
        r, s = decode_dss_signature(self._es256.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32) + s.to_bytes(32)

    def new_key(self, statement: bytes, label: str = "phone") -> NewKey:
        return NewKey(device=self.id, algorithm=self.algorithm, public_key=self.public_key, possession=self.sign(statement), label=label)

    def enrol_key(self, number: str) -> NewKey:
        return self.new_key(
            statements.enrol(origin=ORIGIN, number=number, device=self.id, algorithm=self.algorithm, public_key=self.public_key)
        )

    def recover_key(self, number: str) -> NewKey:
        return self.new_key(
            statements.recover(origin=ORIGIN, number=number, device=self.id, algorithm=self.algorithm, public_key=self.public_key)
        )

    def add_statement(self, party: int) -> bytes:
        return statements.add_device(origin=ORIGIN, party=party, device=self.id, algorithm=self.algorithm, public_key=self.public_key)


class Scheme:
    """Store, ledger and parties, running; and the few moves that most tests begin with."""

    def __init__(self, store: Store, ledger: Ledger, parties: Parties, clock: StillClock) -> None:
        self.store = store
        self.ledger = ledger
        self.parties = parties
        self.clock = clock
        self.issuance = 1
        self._numbers = 700_000_000

    def new_id(self) -> int:
        return new_id(self.clock)

    def phone(self, algorithm: KeyAlgorithm = KeyAlgorithm.ED25519) -> Phone:
        return Phone(self, algorithm)

    def next_number(self) -> str:
        self._numbers += 12_345
        return f"+254{self._numbers}"

    async def customer(self, phone: Phone, number: str | None = None, name: str = "Amina") -> Holder:
        number = number or self.next_number()
        sent = await self.parties.enrolment.send_code(number)
        return await self.parties.enrolment.open_customer(
            number=number, code=sent.code or "", name=name, language="en", pin=PIN, key=phone.enrol_key(number)
        )

    async def staff(self, *roles: StaffRole, by: int | None = None) -> Party:
        new = NewParty(
            id=self.new_id(), kind=PartyKind.STAFF, name="Staff", language="en", handle=f"staff_{self._numbers % 99991}x", roles=frozenset(roles)
        )  # fmt: skip
        self._numbers += 1
        if by is None:
            return await self.parties.enrolment.open_first_staff(new)
        return await self.parties.enrolment.open_by_staff(new, by=by)

    async def team(self) -> tuple[Party, Party]:
        """An administrator who opened a supervisor; the second is what most tests want."""
        administrator = await self.staff(StaffRole.ADMINISTRATOR)
        return administrator, await self.staff(StaffRole.SUPERVISOR, by=administrator.id)

    async def fund(self, account: int, amount: int) -> None:
        """Money from nowhere: through an institution, as the chart wants it."""
        institution = self.new_id()
        await self._create(institution, AccountCode.INSTITUTION)
        await self.transfer(self.issuance, institution, amount, TransferCode.ISSUE)
        await self.transfer(institution, account, amount)

    async def void(self, hold: int) -> None:
        """Gives a hold back."""
        void = Transfer(id=self.new_id(), pending_id=hold, flags=TransferFlags.VOID_PENDING_TRANSFER)
        assert (await self.ledger.create_transfers([void]))[0].status is CreateTransferStatus.CREATED

    async def transfer(self, payer: int, payee: int, amount: int, code: int = TransferCode.PAYMENT, *, flags: int = 0) -> int:
        transfer = Transfer(
            id=self.new_id(), debit_account_id=payer, credit_account_id=payee, amount=amount,
            ledger=LEDGER, code=TransferCode.HOLD if flags & TransferFlags.PENDING else code, flags=flags,
        )  # fmt: skip
        result = (await self.ledger.create_transfers([transfer]))[0]
        assert result.status is CreateTransferStatus.CREATED, result.status
        return transfer.id

    async def _create(self, account: int, code: AccountCode) -> None:
        new = Account(id=account, ledger=LEDGER, code=code, flags=ACCOUNT_FLAGS[code][0])
        assert (await self.ledger.create_accounts([new]))[0].status is CreateAccountStatus.CREATED


@contextlib.asynccontextmanager
async def scheme_in(folder: Path, clock: StillClock, *, url: str = "", **settings: object) -> AsyncIterator[Scheme]:
    """A running scheme whose store is at `url`, or in `folder`; `settings` go to Parties."""
    store = Store.open(url or f"sqlite:///{folder}/store.sqlite")
    with store.writing() as connection:
        mine = [table for table in tables.parties.metadata.sorted_tables if table.name in PARTIES_TABLES]
        tables.parties.metadata.create_all(connection, tables=mine)
    ledger = Ledger(MemoryEngine(), Chart(), clock)
    arguments: dict[str, object] = dict(
        origin=ORIGIN, region="KE", languages=("en", "ko", "fr"), currency_ledger=LEDGER, sandbox=True, hasher=QUICK
    )
    parties = Parties(store, ledger, clock, **(arguments | settings))  # type: ignore[arg-type]
    scheme = Scheme(store, ledger, parties, clock)
    async with asyncio.TaskGroup() as group:
        group.create_task(store.run())
        group.create_task(ledger.run())
        await asyncio.sleep(0)
        try:
            await parties.prepare()
            await scheme._create(scheme.issuance, AccountCode.ISSUANCE)
            yield scheme
        finally:
            parties.close()
            await ledger.stop()
            await store.stop()


PARTIES_TABLES = frozenset(table.name for table in vars(tables).values() if isinstance(table, Table))


@pytest.fixture
async def scheme(tmp_path: Path) -> AsyncIterator[Scheme]:
    async with scheme_in(tmp_path, StillClock()) as scheme:
        yield scheme
