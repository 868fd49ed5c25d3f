"""Looking for entries in a long history: by kind, month, counterparty or words, a bounded piece at a time.

A page may have fewer entries than were asked for, or none, and still not be the last: the search stops after it has looked at
`LOOKED_AT_MAX` entries, says how far it came, and goes on from there when it is asked again.
"""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Awaitable, Callable

import msgspec

from counterfoil.ledger.chart import TransferCode
from counterfoil.payments.history import PAGE_SIZE_MAX, Entry, History

LOOKED_AT_MAX = 1_000
"""Entries that one search looks at: some 30 ms of the event loop, with pauses."""
TEXT_LENGTH_MAX = 100
"""Characters of the words to look for."""

Names = Callable[[int], Awaitable[str | None]]
"""The name of an account's holder; None for the scheme's own accounts."""


class Wanted(msgspec.Struct, frozen=True):
    """Which entries. Zero and empty are no condition.

    Attributes:
        code: the kind of movement.
        since, until: ledger time, ns, from the first (inclusive) to the second (exclusive).
        counterparty: the other account.
        text: contained in the counterparty's name or the memo, whatever the case and the normal form.
        amount: with `text`, also what moved or set aside exactly this, minor units, whichever way.
    """

    code: TransferCode | None = None
    since: int = 0
    until: int = 0
    counterparty: int = 0
    text: str = ""
    amount: int = 0


class Found(msgspec.Struct, frozen=True):
    """A page of matches, newest first. `next`: what to pass as `before` to go on; 0 at the end. `looked_to`: how far it came, ns."""

    entries: list[Entry]
    next: int
    looked_to: int


async def search(history: History, names: Names, account: int, wanted: Wanted, *, before: int = 0, limit: int = 50) -> Found:
    """Entries of `account` that are wanted, older than `before` (0: from the newest), newest first."""
    assert 0 < limit <= PAGE_SIZE_MAX, limit
    text = folded(wanted.text)
    known: dict[int, str] = {}

    async def matches(entry: Entry) -> bool:
        if wanted.code is not None and entry.code is not wanted.code:
            return False
        if wanted.counterparty and entry.counterparty != wanted.counterparty:
            return False
        if not text or (entry.payment and text in folded(entry.payment.memo)):
            return True
        if wanted.amount and wanted.amount in (abs(entry.change), abs(entry.set_aside)):
            return True
        if entry.counterparty not in known:
            known[entry.counterparty] = folded(await names(entry.counterparty) or "")
        return text in known[entry.counterparty]

    if wanted.until:
        before = min(before or wanted.until, wanted.until)
    found: list[Entry] = []
    looked_at = 0
    while looked_at < LOOKED_AT_MAX:
        page = await history.page(account, before=before, since=wanted.since, limit=PAGE_SIZE_MAX)
        for entry in page:
            before = entry.timestamp
            if await matches(entry):
                found.append(entry)
                if len(found) == limit:
                    return Found(found, before, before)
        if len(page) < PAGE_SIZE_MAX:
            return Found(found, 0, wanted.since)
        looked_at += len(page)
        await asyncio.sleep(0)
    return Found(found, before, before)


def folded(text: str) -> str:
    """`text` as it is compared: without difference of case, in one normal form."""
    return unicodedata.normalize("NFC", text.casefold())
