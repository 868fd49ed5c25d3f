"""How somebody comes to take part: a customer by themselves, everybody else through a member of staff."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from counterfoil.errors import AlreadyTaken, IdReused, Malformed, NotInThisState, Unavailable
from counterfoil.ids import ID_MAX, new_id
from counterfoil.ledger.chart import ACCOUNT_FLAGS, AccountCode
from counterfoil.ledger.types import Account, CreateAccountStatus
from counterfoil.parties import statements
from counterfoil.parties.codes import SentCode, use
from counterfoil.parties.context import Context, NewKey, find_party, get_party
from counterfoil.parties.journal import record, send_sms
from counterfoil.parties.numbers import handle_skeleton, merchant_code, parse_handle, parse_name, parse_number, parse_pin
from counterfoil.parties.pins import keep_pin
from counterfoil.parties.staff import require
from counterfoil.parties.tables import accounts, devices, parties, staff_roles, tiers
from counterfoil.parties.tiers import DEFAULT_TIER
from counterfoil.parties.types import DeviceState, Holder, Party, PartyKind, PartyState, Permission, StaffRole

ACCOUNT_CODES = {
    PartyKind.CUSTOMER: AccountCode.CUSTOMER,
    PartyKind.MERCHANT: AccountCode.MERCHANT,
    PartyKind.AGENT: AccountCode.AGENT,
    PartyKind.INSTITUTION: AccountCode.INSTITUTION,
}
_WITH_CODE = (PartyKind.MERCHANT, PartyKind.AGENT)


class NewParty(msgspec.Struct, frozen=True, kw_only=True):
    """What staff know of somebody who is to take part. `id` is made by the caller, so that a repeat opens nothing twice."""

    id: int
    kind: PartyKind
    name: str
    language: str
    number: str | None = None
    handle: str | None = None
    tier: str | None = None
    pin: str | None = None
    key: NewKey | None = None
    roles: frozenset[StaffRole] = frozenset()


class Enrolment:
    """Opens parties. The account in the ledger is made first: one that nobody holds does no harm, a holder without one would."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def send_code(self, number: str, purpose: str = "enrol") -> SentCode:
        """Sends a code by SMS that proves the number. The answer is the same whether or not somebody has it."""
        return await self._context.codes.send(parse_number(number, self._context.region), purpose)

    async def open_customer(self, *, number: str, code: str, name: str, language: str, pin: str, key: NewKey) -> Holder:
        """Opens a customer's account with its first device, on the proof of a code and of the key's own signature.

        `key.possession` signs `statements.enrol`. A repeat by the same device answers the same holder. Refusals in this
        order: Malformed, WrongSignature, AlreadyTaken (the device's id or key), WrongCode, AlreadyTaken (the number).
        """
        context = self._context
        number, name, language = parse_number(number, context.region), parse_name(name), context.language(language)
        parse_pin(pin)
        statement = statements.enrol(
            origin=context.origin, number=number, device=key.device, algorithm=key.algorithm, public_key=key.public_key
        )
        key.check(statement)
        known = await context.directory.device(key.device)
        if known is not None:
            party = await context.party(known.party)
            if known.public_key != key.public_key or party.number != number:
                raise AlreadyTaken(field="device")
            return await context.directory.holder_of_party(party.id)
        code_id = await context.codes.check(number, "enrol", code)
        pin_hash = await context.pins.hashed(pin)
        account = await self._create_account(PartyKind.CUSTOMER)
        new = NewParty(id=new_id(context.clock), kind=PartyKind.CUSTOMER, name=name, language=language, number=number, key=key)

        def write(connection: Connection) -> None:
            self._insert(connection, new, account, statement, pin_hash, by=None)
            use(connection, code_id, context.clock.now_ns())

        await context.change(write, new.id)
        return await context.directory.holder_of_party(new.id)

    async def open_by_number(self, *, number: str, name: str, language: str, pin: str, channel: str) -> Holder:
        """Opens a customer's account for somebody who comes by `number`, for which the network vouches, and has no device: they pay by PIN.

        `channel`, such as "ussd", is written down. Not to be repeated: whoever has an account already is AlreadyTaken. Refusals in
        this order: Malformed, AlreadyTaken.
        """
        context = self._context
        number, name, language = parse_number(number, context.region), parse_name(name), context.language(language)
        pin_hash = await context.pins.hashed(pin)
        await context.store.read(lambda connection: _check_free(connection, number, None))  # before the ledger has an account for nobody
        account = await self._create_account(PartyKind.CUSTOMER)
        new = NewParty(id=new_id(context.clock), kind=PartyKind.CUSTOMER, name=name, language=language, number=number)
        await context.change(lambda connection: self._insert(connection, new, account, b"", pin_hash, by=None, channel=channel), new.id)
        return await context.directory.holder_of_party(new.id)

    async def open_by_staff(self, new: NewParty, *, by: int) -> Party:
        """Opens a merchant, agent, institution, member of staff, or a customer at the counter. A repeat answers the same party.

        The key, if one comes along, signs `statements.enrol` with the number, or "" without one. Refusals: Forbidden
        (permission open_party, for staff manage_staff), Malformed, WrongSignature, IdReused, AlreadyTaken.
        """
        permission = Permission.MANAGE_STAFF if new.kind is PartyKind.STAFF else Permission.OPEN_PARTY
        await self._context.store.read(lambda connection: require(connection, by, permission))
        return await self._open(new, by=by)

    async def open_first_staff(self, new: NewParty) -> Party:
        """Opens the scheme's first member of staff, who is nobody's to approve. Refused (NotInThisState) once there is one."""
        if new.kind is not PartyKind.STAFF:
            raise Malformed("kind", "must be staff")
        return await self._open(new, by=None)

    async def set_handle(self, party: int, handle: str) -> Party:
        """Takes a handle, once: others must be able to rely on it. Refuses AlreadyTaken also for a lookalike of another's."""
        handle = parse_handle(handle)

        def write(connection: Connection) -> Party:
            found = get_party(connection, party)
            if found.handle == handle:
                return found
            if found.handle is not None or found.state is not PartyState.OPEN:
                raise NotInThisState("A handle is chosen once.")
            _check_free(connection, None, handle)
            connection.execute(update(parties).where(parties.c.id == party).values(handle=handle, handle_skeleton=handle_skeleton(handle)))
            record(connection, self._context.clock, party, "handle_set", by=party, handle=handle)
            return get_party(connection, party)

        return await self._context.change(write, party)

    async def set_language(self, party: int, language: str) -> None:
        """From now on we speak `language` to the party."""
        language = self._context.language(language)
        statement = update(parties).where(parties.c.id == party).values(language=language)
        await self._context.change(lambda connection: connection.execute(statement).rowcount, party)

    async def set_number(self, party: int, number: str, code: str) -> None:
        """Moves a party to another number, on the proof of a code sent to it (purpose "number"). The old number is told."""
        context = self._context
        number = parse_number(number, context.region)
        code_id = await context.codes.check(number, "number", code)

        def write(connection: Connection) -> None:
            found = get_party(connection, party)
            if found.number == number:
                return
            _check_free(connection, number, None)
            if found.number is not None:
                send_sms(connection, context.clock, found.number, "number_changed", party=party)
            connection.execute(update(parties).where(parties.c.id == party).values(number=number))
            record(connection, context.clock, party, "number_changed", by=party)
            use(connection, code_id, context.clock.now_ns())

        await context.change(write, party)

    async def _open(self, new: NewParty, *, by: int | None) -> Party:
        context = self._context
        if not 0 < new.id <= ID_MAX:
            raise Malformed("id", "must be an id")
        number = None if new.number is None else parse_number(new.number, context.region)
        handle = None if new.handle is None else parse_handle(new.handle)
        if number is None and handle is None and new.kind not in _WITH_CODE:
            raise Malformed("number", "a number or a handle is needed")
        if new.roles and new.kind is not PartyKind.STAFF:
            raise Malformed("roles", "are for staff only")
        new = msgspec.structs.replace(new, name=parse_name(new.name), language=context.language(new.language), number=number, handle=handle)
        statement = b""
        if new.key is not None:
            key = new.key
            statement = statements.enrol(
                origin=context.origin, number=number or "", device=key.device, algorithm=key.algorithm, public_key=key.public_key
            )
            key.check(statement)
        known = await context.store.read(lambda connection: find_party(connection, parties.c.id == new.id))
        if known is not None:
            return _same(known, new)
        pin_hash = None if new.pin is None else await context.pins.hashed(new.pin)
        account = None if new.kind is PartyKind.STAFF else await self._create_account(new.kind)

        def write(connection: Connection) -> Party:
            if by is None and connection.execute(select(func.count()).where(parties.c.kind == PartyKind.STAFF)).scalar_one():
                raise NotInThisState("There is staff already; they open further accounts.")
            known = find_party(connection, parties.c.id == new.id)
            if known is not None:
                return _same(known, new)
            self._insert(connection, new, account, statement, pin_hash, by=by)
            return get_party(connection, new.id)

        return await context.change(write, new.id)

    async def _create_account(self, kind: PartyKind) -> int:
        code = ACCOUNT_CODES[kind]
        account = Account(id=new_id(self._context.clock), ledger=self._context.currency_ledger, code=code, flags=ACCOUNT_FLAGS[code][0])
        result = (await self._context.ledger.create_accounts([account]))[0]
        if result.status is not CreateAccountStatus.CREATED:
            raise Unavailable(f"the ledger did not open the account: {result.status.name}")
        return account.id

    def _insert(
        self,
        connection: Connection,
        new: NewParty,
        account: int | None,
        statement: bytes,
        pin_hash: str | None,
        *,
        by: int | None,
        channel: str = "",
    ) -> None:
        clock = self._context.clock
        now = clock.now_ns()
        _check_free(connection, new.number, new.handle)
        connection.execute(
            insert(parties),
            {
                "id": new.id,
                "kind": new.kind,
                "name": new.name,
                "number": new.number,
                "handle": new.handle,
                "handle_skeleton": None if new.handle is None else handle_skeleton(new.handle),
                "merchant_code": self._free_merchant_code(connection) if new.kind in _WITH_CODE else None,
                "tier": _tier(connection, new),
                "language": new.language,
                "state": PartyState.OPEN,
                "created_at": now,
            },
        )
        if account is not None:
            values = {"id": account, "party": new.id, "code": ACCOUNT_CODES[new.kind], "ledger": self._context.currency_ledger}
            connection.execute(insert(accounts), values)
        if new.key is not None:
            insert_device(connection, new.id, new.key, statement, state=DeviceState.ACTIVE, now=now)
        if pin_hash is not None:
            keep_pin(connection, new.id, pin_hash, now)
        for role in sorted(new.roles):
            connection.execute(insert(staff_roles), {"party": new.id, "role": role})
        came = {"channel": channel} if channel else {}
        record(connection, clock, new.id, "opened", by=by, party_kind=new.kind, roles=" ".join(sorted(new.roles)), **came)
        if new.number is not None:
            send_sms(connection, clock, new.number, "welcome", party=new.id, name=new.name)

    def _free_merchant_code(self, connection: Connection) -> str:
        for _ in range(100):  # of 900,000 codes
            code = merchant_code(100_000 + int.from_bytes(self._context.clock.random_bytes(8)) % 900_000)
            if connection.execute(select(parties.c.id).where(parties.c.merchant_code == code)).first() is None:
                return code
        raise Unavailable("no free merchant code was found")


def insert_device(
    connection: Connection,
    party: int,
    key: NewKey,
    statement: bytes,
    *,
    state: DeviceState,
    now: int,
    bound_by: int | None = None,
    bound_signature: bytes | None = None,
) -> None:
    """Keeps a key that has been checked. AlreadyTaken when its id or the key itself was ever enrolled."""
    taken = select(devices.c.id).where((devices.c.id == key.device) | (devices.c.public_key == key.public_key))
    if connection.execute(taken).first() is not None:
        raise AlreadyTaken(field="device")
    connection.execute(
        insert(devices),
        {
            "id": key.device,
            "party": party,
            "algorithm": key.algorithm,
            "public_key": key.public_key,
            "label": parse_name(key.label, "label"),
            "state": state,
            "statement": statement,
            "possession": key.possession,
            "bound_by": bound_by,
            "bound_signature": bound_signature,
            "created_at": now,
        },
    )


def _check_free(connection: Connection, number: str | None, handle: str | None) -> None:
    if number is not None and connection.execute(select(parties.c.id).where(parties.c.number == number)).first() is not None:
        raise AlreadyTaken(field="number")
    if handle is not None:
        skeleton = select(parties.c.id).where(parties.c.handle_skeleton == handle_skeleton(handle))
        if connection.execute(skeleton).first() is not None:
            raise AlreadyTaken(field="handle")


def _tier(connection: Connection, new: NewParty) -> str | None:
    if new.kind is PartyKind.STAFF:
        return None
    name = new.tier or DEFAULT_TIER[new.kind]
    if connection.execute(select(tiers.c.name).where(tiers.c.name == name, tiers.c.kind == new.kind)).first() is None:
        raise Malformed("tier", f"must be a tier for {new.kind}s")
    return name


def _same(known: Party, new: NewParty) -> Party:
    if (known.kind, known.name, known.number, known.handle) != (new.kind, new.name, new.number, new.handle):
        raise IdReused
    return known
