"""USSD over SMPP: a deliver_sm is a hop, a submit_sm is a screen. Pure but for the sessions that it remembers.

    phone dials     deliver_sm  op  1 (PSSR indication)   ──>  Hop, begins
    phone answers   deliver_sm  op 18 (USSR confirm)      ──>  Hop
    screen          submit_sm   op  2 (USSR request)      <──  Screen
    last screen     submit_sm   op 17 (PSSR response)     <──  Screen that ends, with the end bit
    network ends    deliver_sm  with the end bit          ──>  the session is over

The option its_session_info has a session number (unique for one telephone), and behind it a sequence number and the end bit. We
send it back as it came. Whether networks count the sequence from screen to screen or keep it, they do not say: see `mark`.
Source: SMPP 3.4 §5.3.2.43 and §5.3.2.44; what networks do with it is read from other programs, not tried with a live one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import msgspec

from counterfoil.channels.gateways.smpp_pdu import ITS_SESSION_INFO, USSD_SERVICE_OP, Delivered, Garbage, text_of
from counterfoil.channels.ussd.types import TYPED_SIZE_MAX, Hop

SERVICE_TYPE: Final = "USSD"
PSSR_INDICATION, USSR_REQUEST, PSSR_RESPONSE, USSR_CONFIRM, USSN_CONFIRM = 1, 2, 17, 18, 19
SESSIONS_MAX: Final = 50_000
"""Sessions whose sequence is remembered; of older ones a repeat is told from a new hop by the engine's own rules."""
_END, _SEQUENCES = 0x01, 128


class Dialogue(msgspec.Struct, frozen=True, kw_only=True):
    """What a deliver_sm of service type USSD says. `hop` is None when nothing is asked: an end, or that a notice was seen."""

    session: str
    ends: bool
    hop: Hop | None
    sequence: int | None


class _Session(msgspec.Struct):
    """What was last seen of a session. `counts`: the network counts the sequence up; `shown`: it took the screen after that hop."""

    sequence: int
    counts: bool = False
    shown: bool = False
    again: int = 0


def read_dialogue(gateway: str, number: str, message: Delivered) -> Dialogue:
    """What the message says; `number` is its source in E.164. Raises Garbage for an operation that no phone sends."""
    operation = message.options.get(USSD_SERVICE_OP, b"")
    info = message.options.get(ITS_SESSION_INFO, b"")
    if len(operation) != 1 or len(info) not in (0, 2):
        raise Garbage("the option ussd_service_op or its_session_info is not there or too long")
    session = f"{number}/{info[0]}" if info else number
    ends = bool(info and info[1] & _END)
    if operation[0] not in (PSSR_INDICATION, USSR_CONFIRM, USSN_CONFIRM):
        raise Garbage("the operation is none that a phone begins or answers")
    if ends or operation[0] == USSN_CONFIRM:
        return Dialogue(session=session, ends=ends, hop=None, sequence=None)
    typed = text_of(message.content, message.data_coding)
    if typed is None or len(typed) > TYPED_SIZE_MAX:
        raise Garbage("what was typed is no text, or too long")
    begins = operation[0] == PSSR_INDICATION
    hop = Hop(gateway=gateway, session=session, number=number, typed="" if begins else typed, begins=begins)
    return Dialogue(session=session, ends=False, hop=hop, sequence=info[1] >> 1 if info else None)


def screen_options(message: Delivered, *, ends: bool) -> bytes:
    """The options of the submit_sm that answers `message`."""
    options = _option(USSD_SERVICE_OP, bytes([PSSR_RESPONSE if ends else USSR_REQUEST]))
    if info := message.options.get(ITS_SESSION_INFO, b""):
        options += _option(ITS_SESSION_INFO, bytes([info[0], (info[1] & ~_END) | (_END if ends else 0)]))
    return options


class Sequences:
    """Tells a hop that comes again from a second one with the same input."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def mark(self, dialogue: Dialogue) -> str | None:
        """The hop's mark, "" where the network sends no sequence; None for one that is behind the last: nobody waits for its answer.

        A sequence that has moved is another hop. The same one is a repeat where the network counts, and where it has not taken
        the screen that came after; otherwise the network keeps one sequence for the whole session, and this is the next hop.
        """
        hop, sequence = dialogue.hop, dialogue.sequence
        assert hop is not None
        if sequence is None:
            return ""
        known = self._sessions.get(hop.session)
        if known is None or (hop.begins and sequence != known.sequence):
            self._remember(hop.session, _Session(sequence))
            return str(sequence)
        if sequence != known.sequence:
            if (sequence - known.sequence) % _SEQUENCES > _SEQUENCES // 2:
                return None
            self._remember(hop.session, _Session(sequence, counts=True))
            return str(sequence)
        if known.shown and not known.counts:
            self._remember(hop.session, _Session(sequence, again=known.again + 1))
            return f"{sequence}.{known.again + 1}"
        return f"{sequence}.{known.again}" if known.again else str(sequence)

    def shown(self, session: str) -> None:
        """The network took the screen: what comes next is typed on it."""
        if (known := self._sessions.get(session)) is not None:
            known.shown = True

    def forget(self, session: str) -> None:
        """The session is over: its number may be given again."""
        self._sessions.pop(session, None)

    def _remember(self, session: str, seen: _Session) -> None:
        self._sessions[session] = seen
        self._sessions.move_to_end(session)
        if len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)


def _option(tag: int, value: bytes) -> bytes:
    return tag.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
