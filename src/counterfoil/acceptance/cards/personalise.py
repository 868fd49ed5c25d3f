"""Makes a card of this scheme from an NTAG 424 DNA, new or torn away half way: one exchange, that may be begun again. Pure.

In this order: who holds key 0 is found out, for a card of somebody else is not touched; the address is written, the settings make it dynamic, keys 3, 2 and 1 are changed, then key 0, and last the
UID is hidden. Up to the change of key 0 the card opens with the factory's key, and all is done once more; after it, only
what is missing. So a card that was taken away at any moment is made whole by doing it again, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from counterfoil.acceptance.cards.address import message, values
from counterfoil.acceptance.cards.keys import BatchKeys, KeyNumber
from counterfoil.acceptance.cards.ntag424 import (
    COUNTER_MAX,
    ISO_OK,
    UID_SIZE,
    CardError,
    Exchange,
    Session,
    authenticate,
    change_key,
    change_settings,
    hide_uid,
    read_file,
    select,
    uid_in_clear,
    write_file,
)

FACTORY_KEY = bytes(16)
KEY_VERSION = 1


def personalise(host: str, keys: BatchKeys, *, random: Callable[[int], bytes], counter_limit: int = COUNTER_MAX) -> Exchange[bytes]:
    """Makes the card of `host` (such as "money.example.org") and answers its UID. A finished card is found to be one, unchanged.

    `random(n)` gives n fresh random bytes. CardError: not such a card, a card of somebody else, or one that was torn away; in
    doubt put it back and do it again.
    """
    yield from select()
    uid = yield from uid_in_clear()
    if uid == bytes(UID_SIZE):
        return (yield from _finished(host, keys, random))
    ours = keys.of(KeyNumber.CHANGE, uid)
    opens, session = yield from _opened(KeyNumber.CHANGE, [FACTORY_KEY, ours], random)
    if opens == FACTORY_KEY:
        yield from _prepare(host, keys, uid, random, counter_limit)
        session = yield from authenticate(KeyNumber.CHANGE, ours, random=random(16))
    else:
        yield from _says(host)
        session = yield from authenticate(KeyNumber.CHANGE, ours, random=random(16))
    yield from hide_uid(session)
    return uid


def _finished(host: str, keys: BatchKeys, random: Callable[[int], bytes]) -> Exchange[bytes]:
    """The UID of a card that hides it, which its message tells whoever has the batch's keys."""
    tap = keys.read(*(yield from _says(host)))
    if tap is None:
        raise CardError("read the message", ISO_OK)
    yield from authenticate(KeyNumber.CHANGE, keys.of(KeyNumber.CHANGE, tap.uid), random=random(16))
    return tap.uid


def _says(host: str) -> Exchange[tuple[str, str]]:
    """The two values in the card's message, which must be that of `host`."""
    ndef, e_at, _ = message(host)
    found = yield from read_file()
    said = values(found)
    if said is None or found[: e_at - 2] != ndef[: e_at - 2]:
        raise CardError("read the message", ISO_OK)
    return said


def _opened(number: KeyNumber, candidates: Sequence[bytes], random: Callable[[int], bytes]) -> Exchange[tuple[bytes, Session]]:
    """Which of the candidates the card has as this key, and a session of it."""
    last: CardError | None = None
    for key in candidates:
        try:
            return key, (yield from authenticate(number, key, random=random(16)))
        except CardError as error:
            last = error
    assert last is not None
    raise last


def _written(host: str) -> Exchange[tuple[int, int]]:
    """Where the two values begin, when the message stands on the card. One that can no longer be written must have it already."""
    ndef, e_at, c_at = message(host)
    try:
        yield from write_file(ndef)
    except CardError:
        yield from _says(host)
    return e_at, c_at


def _prepare(host: str, keys: BatchKeys, uid: bytes, random: Callable[[int], bytes], counter_limit: int) -> Exchange[None]:
    """All that is done under the factory's key 0. A key that was changed before is found to be, and changed to itself."""
    e_at, c_at = yield from _written(host)
    session = yield from authenticate(KeyNumber.CHANGE, FACTORY_KEY, random=random(16))
    yield from change_settings(session, e_at=e_at, c_at=c_at, counter_limit=counter_limit, meta_key=KeyNumber.META, file_key=KeyNumber.FILE)
    for number in (KeyNumber.FILE, KeyNumber.META, KeyNumber.PRESENCE):
        new = keys.of(number, uid)
        old, _ = yield from _opened(number, [FACTORY_KEY, new], random)
        session = yield from authenticate(KeyNumber.CHANGE, FACTORY_KEY, random=random(16))
        yield from change_key(session, number, old=old, new=new, version=KEY_VERSION)
    new = keys.of(KeyNumber.CHANGE, uid)
    yield from change_key(session, KeyNumber.CHANGE, old=FACTORY_KEY, new=new, version=KEY_VERSION)
