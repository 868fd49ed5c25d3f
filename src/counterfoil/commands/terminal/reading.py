"""What a card says when it is held to the reader. The terminal has no keys: it carries the card's word, and the server knows whose it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from counterfoil.acceptance.cards.address import values
from counterfoil.acceptance.cards.ntag424 import CardError, Exchange, read_file, select
from counterfoil.commands.pcsc import MuteCard, NoCard, NoReader, ReaderError

POLL_S = 1.0
"""So long it takes at most until Ctrl-C is heard."""


class Contact(Protocol):
    """A card that can be spoken to, as `pcsc.Card`."""

    def transmit(self, command: bytes) -> bytes: ...


class Field(Protocol):
    """Readers, as `pcsc.Readers`."""

    def chosen(self, name: str | None) -> str: ...
    def wait(self, reader: str, *, present: bool, timeout_s: float) -> None: ...
    def card(self, reader: str) -> AbstractContextManager[Contact]: ...


class Reading:
    """Waits for cards. `say` tells a person one line; `opened` reaches the card service; `pause` waits for so many seconds."""

    def __init__(
        self,
        opened: Callable[[], AbstractContextManager[Field]],
        name: str | None,
        *,
        say: Callable[[str], None],
        pause: Callable[[float], None],
    ) -> None:
        self._opened = opened
        self._name = name
        self._say = say
        self._pause = pause
        self._told = ""
        self._must_leave = False

    def tap(self, asking: str) -> tuple[str, str]:
        """What the next card says, however long that takes: `e` and `c` of its address. Each call needs another tap.

        `asking` is said once the reader is free. A card that was taken away too early, is none of ours, or a reader that is not
        there is told in words, and waited for.
        """
        self._told = ""
        while True:
            try:
                with self._opened() as field:
                    reader = field.chosen(self._name)
                    self._wait_until_free(field, reader)
                    self._tell(asking)
                    self._wait_for_card(field, reader)
                    self._must_leave = True
                    found = self._said(field, reader)
                    if found is not None:
                        return found
            except NoReader as error:
                self._tell(f"No card can be read: {error}. Waiting for the reader.")
                self._pause(POLL_S)
            except ReaderError as error:
                self._tell(f"The reader does not answer ({error}). Waiting for it.")
                self._pause(POLL_S)

    def prove(self, following: Callable[[list[bytes]], bytes | None]) -> bool:
        """Carries commands to the card that lies on the reader until `following`, told all answers so far, has none more.

        False when the card was taken away meanwhile, which is told.
        """
        answers: list[bytes] = []
        try:
            with self._opened() as field, field.card(field.chosen(self._name)) as card:
                card.transmit(next(select()))  # the card was reset when its message had been read
                while (command := following(answers)) is not None:
                    answers.append(card.transmit(command))
        except ReaderError:
            self._say("The card was taken away too early. This amount needs it on the reader until you are asked for the PIN.")
            return False
        return True

    def _wait_until_free(self, field: Field, reader: str) -> None:
        while self._must_leave:
            try:
                field.wait(reader, present=False, timeout_s=POLL_S)
                self._must_leave = False
            except NoCard:
                self._tell("Take the card away from the reader.")

    def _wait_for_card(self, field: Field, reader: str) -> None:
        while True:
            try:
                return field.wait(reader, present=True, timeout_s=POLL_S)
            except MuteCard:
                self._tell("The reader sees something that does not answer. Hold one card alone to it.")
            except NoCard:
                pass

    def _said(self, field: Field, reader: str) -> tuple[str, str] | None:
        try:
            with field.card(reader) as card:
                found = values(_carried(_message(), card))
        except CardError:
            found = None
        except NoReader:
            raise
        except ReaderError:
            self._tell("The card was taken away too early. Hold it to the reader again, and leave it there until you are asked.")
            return None
        if found is None:
            self._tell("This is no card of the scheme. Hold another one to the reader, and one alone.")
        return found

    def _tell(self, text: str) -> None:
        """Each line once, until another one was said."""
        if text != self._told:
            self._told = text
            self._say(text)


def _message() -> Exchange[bytes]:
    yield from select()
    return (yield from read_file())


def _carried(exchange: Exchange[bytes], card: Contact) -> bytes:
    answer: bytes | None = None
    try:
        while True:
            answer = card.transmit(next(exchange) if answer is None else exchange.send(answer))
    except StopIteration as ended:
        found: bytes = ended.value
        return found
