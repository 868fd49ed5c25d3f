"""Accounts, holds and keys as they follow from the entries: what every balance must be."""

from __future__ import annotations

import struct
from collections import Counter
from typing import Any

from counterfoil_verify.keys import check_key, verify
from counterfoil_verify.payloads import ACCOUNT, FREEZE, KEY, canonical, decode_event, sized
from counterfoil_verify.report import Refuted
from counterfoil_verify.rules import AMOUNT_MAX
from counterfoil_verify.shops import Shops
from counterfoil_verify.spending import Calendar, Spending

NS, GRACE_NS, ZERO32, TOGETHER = 10**9, 60 * 10**9, bytes(32), 256
PENDING, POST, VOID = 2, 4, 8
NEVER_BELOW_ZERO, NEVER_ABOVE_ZERO = 2, 4
ISSUANCE, CUSTOMER, MERCHANT, AGENT, INSTITUTION, FEES = 1, 10, 11, 12, 13, 20
HOLDERS, IMPORTED = (CUSTOMER, MERCHANT, AGENT, INSTITUTION), range(21, 40)
DOMAINS = {1: b"counterfoil/enrol/v1", 2: b"counterfoil/add-device/v1", 3: b"counterfoil/recover/v1"}
ALLOW_PIN, PIN_WORD, PIN_CONSENT = b"counterfoil/allow-pin/v1", 3, 5
COUNTERSIGN, COUNTERSIGNED, COUNTERSIGNATURE = b"counterfoil/countersign/v1", 4, 6
Leg = tuple[bytes, bytes, bytes, int, bytes, int, int, int, int]
"""Transfer, debit account, credit account, amount, pending transfer, timeout (s), ledger, code, flags."""


class Freeze:
    """A freeze in force. `since` and `ends_at` in ns; `incoming`: nothing may come in either."""

    __slots__ = ("since", "ends_at", "incoming")

    def __init__(self, since: int, expires_at: int, incoming: bool) -> None:
        self.since, self.ends_at, self.incoming = since, expires_at or 2**64, incoming


class Account:
    __slots__ = (
        *("code", "ledger", "flags", "tier", "former", "seq", "head", "balance", "held", "incoming", "spending", "keys", "closed"),
        *("pin_words", "pin_made_at", "pin_spent", "pin_day_end", "imported", "minute", "low", "low_before"),
    )

    def __init__(self, fields: dict[str, Any]) -> None:
        self.code, self.ledger, self.flags, self.tier = fields["code"], fields["ledger"], fields["flags"], fields["tier"]
        self.seq, self.head, self.balance, self.held, self.incoming, self.closed = 0, ZERO32, 0, 0, 0, False
        self.former = (self.tier, 0)  # the tier before, and when it changed (ns): payments on their way may still be under it
        self.spending = Spending()
        self.keys: dict[bytes, list[Any]] = {}  # device: algorithm, public key, revoked at (ns) or None, since when (ns) it alone may debit
        self.pin_words: list[tuple[int, int]] = []  # what PINs may take a day: since when (ns), how much; the last ones that may matter
        self.pin_made_at = self.pin_spent = self.pin_day_end = 0
        self.imported = self.code in IMPORTED
        self.minute = self.low = self.low_before = 0

    def rises(self, time: int) -> None:
        """Before more comes in, or is promised: the least that the account had is kept, of this minute and of the one before."""
        now, minute = self.balance + self.incoming, time // GRACE_NS
        if minute != self.minute:
            self.low_before, self.low, self.minute = self.low if minute == self.minute + 1 else now, now, minute
        elif now < self.low:
            self.low = now


class Book:
    """All accounts. Every method raises Refuted at the first thing that cannot be."""

    def __init__(self, origin: str) -> None:
        self.origin, self.entry = origin, 0
        self.waiting: list[tuple[int, int, bytes, bytes, bytes, str]] = []  # signatures: entry, then as `signed` takes them
        self.accounts: dict[bytes, Account] = {}
        # By pending transfer: its leg, until (ns), and of a hold: service, payee pays, reserved fee, class
        self.holds: dict[bytes, tuple[Any, ...]] = {}
        self.frozen: dict[bytes, dict[bytes, Freeze]] = {}  # by account and freeze, until it is lifted
        self.calendar: Calendar | None = None
        self.unchecked = Counter[str]()
        self.recoveries = 0
        self.shops = Shops()

    def _chain(self, id: bytes, seq: int, prev: bytes) -> Account:
        account = self.accounts.get(id)
        if account is None:
            raise Refuted(f"account {id.hex()} was never opened")
        account.seq += 1
        if account.seq != seq or account.head != prev:
            raise Refuted(
                f"the chain of account {id.hex()} is broken: number {seq} follows number {account.seq - 1}, or names another before it"
            )
        return account

    def event(self, type: int, payload: bytes, public: bytes) -> list[Account]:
        """The accounts whose chains go on with it: one, or none for a countersignature."""
        fields = decode_event(type, payload)
        name, what = fields["account"], fields["what"]
        if type == KEY and what == COUNTERSIGNED:
            self._countersigned(fields)
            return []
        if type == ACCOUNT and what == 1:
            if name in self.accounts:
                raise Refuted(f"account {name.hex()} is opened twice")
            self.accounts[name] = Account(fields)
            need = NEVER_ABOVE_ZERO if fields["code"] == ISSUANCE else NEVER_BELOW_ZERO if fields["code"] in (*HOLDERS, FEES) else 0
            if fields["flags"] & need != need or (not need and fields["code"] not in IMPORTED):
                raise Refuted(f"account {name.hex()} of code {fields['code']} is opened without the limit that it must have")
        account = self._chain(name, fields["seq"], fields["prev"])
        if type == KEY:
            self._key(account, fields)
        elif type == FREEZE:
            if what == 1:
                self.frozen.setdefault(name, {})[fields["freeze"]] = Freeze(fields["time"], fields["expires_at"], bool(fields["incoming"]))
            elif what != 2 or self.frozen.get(name, {}).pop(fields["freeze"], None) is None:
                raise Refuted("it lifts a freeze that is not there")
            self._check_freeze(fields, public)
        elif what == 2:
            account.closed = True
        elif what == 3:
            account.former, account.tier = (account.tier, fields["time"]), fields["tier"]
        elif what != 1:
            raise Refuted(f"what {what} happens to an account is not known")
        return [account]

    def _key(self, account: Account, fields: dict[str, Any]) -> None:
        """A key proves that it is there; a further one needs an older one's word, or is a recovery, which is counted."""
        device, algorithm, key, statement = fields["device"], fields["algorithm"], fields["public_key"], fields["statement"]
        if fields["what"] == 2:
            if device not in account.keys:
                raise Refuted("it revokes a key that was never bound")
            account.keys[device][2] = account.keys[device][2] or fields["time"]
            return
        if fields["what"] == PIN_WORD:
            self._pin_word(account, fields)
            return
        check_key(algorithm, key)
        name = {1: b"ed25519", 2: b"es256"}.get(algorithm, b"")
        begins = DOMAINS.get(fields["reason"], b"?") + sized(self.origin.encode())
        if fields["what"] != 1 or not statement.startswith(begins) or not statement.endswith(device + sized(name) + sized(key)):
            raise Refuted("what the new key signed is not about this key")
        self.signed(algorithm, key, statement, fields["possession"], "the new key")
        if fields["reason"] == 2:
            older = account.keys.get(fields["by"])
            if older is None or (older[2] is not None and older[2] < fields["time"] - GRACE_NS):
                raise Refuted("a further key is bound on the word of a key that is not in force")
            self.signed(older[0], older[1], statement, fields["consent"], "the older key")
        elif fields["reason"] == 1 and account.keys:
            raise Refuted("a first key is bound to an account that has one: the key was swapped")
        since = 0
        if fields["reason"] == 3:
            if any(other[2] is None for other in account.keys.values()):
                raise Refuted("a recovery leaves an older key in force: the holder would not notice that another has one")
            self.recoveries += 1
            account.pin_words.append((fields["time"], 0))  # who had the lost device may have said it
            if all(other[2] is not None and other[2] < fields["time"] for other in account.keys.values()):
                since = fields["time"] + GRACE_NS  # until now a PIN was enough: payments on their way
        account.keys[device] = [algorithm, key, None, since]

    def _pin_word(self, account: Account, fields: dict[str, Any]) -> None:
        """A key in force says how much a day may be paid by PIN, 0 for nothing. An older word is never shown again."""
        begins, statement = ALLOW_PIN + sized(self.origin.encode()) + fields["account"], fields["statement"]
        if fields["reason"] != PIN_CONSENT or not statement.startswith(begins) or len(statement) != len(begins) + 16:
            raise Refuted("what the key signed is not about payments by PIN from this account")
        key = _key_in_force(account, fields, "payments by PIN are allowed")
        per_day, made_at = int.from_bytes(statement[-16:-8]), int.from_bytes(statement[-8:])
        if made_at <= account.pin_made_at:
            raise Refuted("an older word about payments by PIN is shown again")
        self.signed(key[0], key[1], statement, fields["possession"], "the holder's device")
        account.pin_words.append((fields["time"], per_day))
        account.pin_made_at = made_at

    def _countersigned(self, fields: dict[str, Any]) -> None:
        """A key of the payee says that a payment by PIN came in: this one, of this amount. It takes no place in the account's chain."""
        account, statement = self.accounts.get(fields["account"]), fields["statement"]
        begins = COUNTERSIGN + sized(self.origin.encode()) + fields["account"]
        if fields["reason"] != COUNTERSIGNATURE or not statement.startswith(begins) or len(statement) != len(begins) + 64:
            raise Refuted("what the key signed is not about a payment to this account")
        if account is None or fields["seq"] or fields["prev"] != ZERO32:
            raise Refuted("a countersignature is about no account, or claims a place in its chain")
        key = _key_in_force(account, fields, "a payment is countersigned")
        self.signed(key[0], key[1], statement, fields["possession"], "the payee's device")
        said = statement[len(begins) :]
        self.shops.countersigned(said[:16], (fields["account"], said[16:48], *struct.unpack(">QQ", said[48:])))

    def _check_freeze(self, fields: dict[str, Any], public: bytes) -> None:
        now = fields["time"]
        frozen = [self.accounts[name].balance for name, its in self.frozen.items() if any(each.ends_at > now for each in its.values())]
        told = {"accounts": len(frozen), "at": now, "expires_at": fields["expires_at"], "freeze": fields["freeze"].hex()}
        told |= {"reason_hash": fields["reason_hash"].hex(), "sum": sum(frozen), "what": "freeze" if fields["what"] == 1 else "unfreeze"}
        if canonical(told) != public:
            raise Refuted("what was published about the freeze is not what happened")

    def check_freezes(self, name: bytes, time: int, *, incoming: bool) -> None:
        """Nothing leaves (or, with `incoming`, reaches) a frozen account, but for what was on its way when the freeze came."""
        for freeze in self.frozen.get(name, {}).values():
            if freeze.since + GRACE_NS < time < freeze.ends_at - GRACE_NS and (freeze.incoming or not incoming):
                raise Refuted(f"account {name.hex()} was frozen before, and its money moves all the same")

    def signed(self, algorithm: int, key: bytes, message: bytes, signature: bytes, who: str) -> None:
        """Remembers a signature. Many are checked together: doing one kind of work at a time is quicker."""
        self.waiting.append((self.entry, algorithm, key, message, signature, who))
        if len(self.waiting) >= TOGETHER:
            self.settle()

    def settle(self) -> None:
        """Checks the signatures that wait. Raises Refuted for the first that is false; `entry` is then where it stands."""
        for entry, algorithm, key, message, signature, who in self.waiting:
            right = verify(algorithm, key, message, signature)
            if right is None:
                self.unchecked["P-256 signatures: install the extra p256"] += 1
            elif not right:
                self.entry = entry
                raise Refuted(f"the signature by {who} is missing or false")
        self.waiting.clear()

    def move(self, event: int, kind: int, time: int, legs: list[Leg], principal: int) -> tuple[Any, ...]:
        """Moves the money of all legs. Returns the hold that the principal leg ends, or nothing."""
        ended: tuple[Any, ...] = ()
        for number, leg in enumerate(legs):
            transfer, debit_id, credit_id, amount, pending_id, timeout, ledger, _, flags = leg
            debit, credit = self.accounts.get(debit_id), self.accounts.get(credit_id)
            if debit is None or credit is None or debit is credit or amount > AMOUNT_MAX:
                raise Refuted("a leg names an account that was never opened, or twice the same, or more than can be")
            if debit.ledger != ledger or credit.ledger != ledger:
                raise Refuted("a leg moves money between two currencies: it does not sum to zero")
            if debit.imported != credit.imported or (kind == 0 and event == 0 and not debit.imported):
                raise Refuted("money moves between an imported book and the scheme, or without any order")
            if (debit.code == ISSUANCE or credit.code == ISSUANCE) and (kind not in (7, 8) or (debit.code == ISSUANCE) != (kind == 7)):
                raise Refuted("money comes from nothing: an issuance account moves without an issue or withdrawal")
            if event == 4 or flags & (POST | VOID):
                hold = self.holds.pop(transfer if event == 4 else pending_id, None)
                if hold is None or hold[0][1:3] != (debit_id, credit_id):
                    raise Refuted("it resolves a hold that is not open, or one of others")
                reserved, until = hold[0][3], hold[1]
                if amount > reserved or (event == 4 and amount != reserved):
                    raise Refuted(f"it takes {amount} out of a hold of {reserved}")
                if time < until - NS if event == 4 else time > until + NS:
                    raise Refuted("a hold ends before its time, or is used after it")
                debit.held, credit.incoming = debit.held - reserved, credit.incoming - reserved
                ended = hold if number == principal else ended
                if event == 4 or flags & VOID:
                    continue
            elif (event == 1) != bool(flags & PENDING) or event == 3:
                raise Refuted("the flags of a leg do not fit what happened")
            else:
                credit.rises(time)
            if event == 1:
                self.holds[transfer] = (leg, time + timeout * NS if timeout else 2**64)
                debit.held, credit.incoming = debit.held + amount, credit.incoming + amount
                continue
            debit.balance, credit.balance = debit.balance - amount, credit.balance + amount
            if self.calendar is not None:
                debit.spending.at(time, self.calendar).total += amount
        return ended

    def touched(self, legs: list[Leg], rows: list[Any]) -> list[Account]:
        """The accounts' numbers, balances and limits, as the entry states them and as they follow from all legs so far."""
        named = legs[0][1:3] if len(legs) == 1 else tuple(dict.fromkeys(name for leg in legs for name in leg[1:3]))
        if named != tuple([row[0] for row in rows]):
            raise Refuted("the accounts that it names are not those of its legs")
        found = []
        for name, seq, prev, balance, held in rows:
            account = self._chain(name, seq, prev)
            if account.balance != balance or account.held != held:
                raise Refuted(
                    f"account {name.hex()} has {account.balance} and {account.held} held, and the entry says {balance} and {held}"
                )
            flags = account.flags
            if (balance < held and flags & NEVER_BELOW_ZERO) or (flags & NEVER_ABOVE_ZERO and balance + account.incoming > 0):
                raise Refuted(f"the balance of account {name.hex()} passes its limit")
            if account.closed:
                raise Refuted(f"account {name.hex()} was closed before")
            found.append(account)
        return found


def _key_in_force(account: Account, fields: dict[str, Any], what: str) -> list[Any]:
    """The key that an entry says has signed, if it was bound to the account before, and not revoked, or only within the last minute."""
    key = account.keys.get(fields["device"])
    if key is None or key[:2] != [fields["algorithm"], fields["public_key"]]:
        raise Refuted(f"{what} by a key that was never bound to the account")
    if key[2] is not None and key[2] + GRACE_NS < fields["time"]:
        raise Refuted(f"{what} by a key that was revoked before")
    return key
