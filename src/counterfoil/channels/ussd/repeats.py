"""Hops that come again from gateways that number none and send only what is new: hollatags, Infobip, SMPP without a sequence.

Such a gateway repeats a hop when it heard no answer. While the hop is being answered it is known, since it is the same; after
that it looks like something that was typed on the next screen. It is taken for a repeat, is answered as the last hop was, and does
nothing, when the same text was heard in the same session

    within QUICK_S of its answer, if nothing else came in between: nobody reads a screen and answers it in that time
    within LATE_S, if it makes no sense on the screen that is shown: a number where an amount is asked for, or any PIN where a
        payment waits for one. Who types a PIN that was typed a moment ago in this session is asked for it once more.

What remains, harmlessly: a choice or the new PIN that comes again between the two counts as typed, and so does everything after
LATE_S or a restart. A payment still takes a PIN on its own screen, and is paid once.

In memory only, and only as fingerprints under a key that ends with the process: there are PINs among them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import OrderedDict
from typing import Final

from counterfoil.channels.ussd.screens import SCREENS, Reads
from counterfoil.channels.ussd.sessions import State
from counterfoil.channels.ussd.types import CHOICE_SIZE_MAX, Hop
from counterfoil.clock import NANOSECONDS, Clock

QUICK_S: Final = 2
LATE_S: Final = 20
"""Seconds: the longest that a gateway waits for an answer (hollatags, on shared codes) before it asks again."""
HOPS_MAX: Final = 8
"""Hops of a session that are remembered: more do not fit into LATE_S."""
SESSIONS_MAX: Final = 20_000
CHOOSING: Final = ("first_pin", "first_pin_again", "new_pin", "new_pin_again")
"""Screens on which the PIN that was typed last is what belongs there."""


class Repeats:
    """For the event loop's thread only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = clock.random_bytes(32)
        self._sessions: OrderedDict[tuple[str, str], list[tuple[bytes, int]]] = OrderedDict()

    def is_repeat(self, hop: Hop, state: State) -> bool:
        """Whether a hop was heard before, while its session shows what is in `state`. False for all that gateways tell apart."""
        if not _is_bare(hop):
            return False
        known, mark, now = self._sessions.get((hop.gateway, hop.session), []), self._mark(hop), self._clock.monotonic_ns()
        if known and hmac.compare_digest(known[-1][0], mark) and now - known[-1][1] < QUICK_S * NANOSECONDS:
            return True
        heard = [at for each, at in known if hmac.compare_digest(each, mark) and now - at < LATE_S * NANOSECONDS]
        return bool(heard) and not _belongs(hop.typed, state)

    def answered(self, hop: Hop) -> None:
        """Remembers a hop that was no repeat, when its answer is there."""
        if not _is_bare(hop):
            return
        key = (hop.gateway, hop.session)
        self._sessions[key] = [*self._sessions.get(key, [])[1 - HOPS_MAX :], (self._mark(hop), self._clock.monotonic_ns())]
        self._sessions.move_to_end(key)
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)

    def forget(self, gateway: str, session: str) -> None:
        """The session is over, or begins anew."""
        self._sessions.pop((gateway, session), None)

    def _mark(self, hop: Hop) -> bytes:
        return hmac.digest(self._key, hop.typed.encode(errors="replace"), hashlib.sha256)


def _is_bare(hop: Hop) -> bool:
    """Whether nothing but its text tells this hop from another."""
    return not hop.whole and not hop.mark and hop.begins is not True


def _belongs(typed: str, state: State) -> bool:
    """Whether the same text as a moment ago can be meant for what the session shows now."""
    sheet = SCREENS.get(state.screen)
    if sheet is None or typed in ("0", "9"):
        return True
    if sheet.reads is None:
        return len(typed) <= CHOICE_SIZE_MAX and typed.isascii() and typed.isdigit() and 0 < int(typed) <= state.choices
    if sheet.reads is Reads.AMOUNT:
        return len(typed) <= CHOICE_SIZE_MAX
    # What was typed on the first page of terms only turned the page.
    return sheet.reads is Reads.PIN and (state.page > 0 or state.screen in CHOOSING)
