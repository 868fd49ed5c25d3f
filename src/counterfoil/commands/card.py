"""Commands of whoever makes a scheme's cards, at a desk with a reader."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from typing import TypeVar

from counterfoil.acceptance.cards.address import message
from counterfoil.acceptance.cards.keys import BatchKeys
from counterfoil.acceptance.cards.ntag424 import CardError, Exchange
from counterfoil.acceptance.cards.personalise import personalise
from counterfoil.acceptance.cards.presence import identify
from counterfoil.clock import SystemClock
from counterfoil.commands.output import UNAVAILABLE, Answer, Failure, Output, WrongUse, pairs, plain
from counterfoil.commands.pcsc import Card, NoReader, ReaderError, Readers
from counterfoil.commands.scheme import config_of
from counterfoil.errors import Malformed, Retry
from counterfoil.folder import card_secret, found_card_secret

Found = TypeVar("Found")

WAIT_S = 60.0
"""For a card to be put on the reader, or taken away."""
COUNT_MAX = 1_000


def make(arguments: argparse.Namespace, output: Output) -> Answer:
    """Makes cards of the scheme, one after the other. A card that is one already stays as it is.

    Unavailable (3): the card was taken away, or the reader does not answer; put it back and run it again. Refused (1): not a card
    that could become one. The cards that were finished before are told.
    """
    if not 0 < arguments.count <= COUNT_MAX:
        raise WrongUse(f"--count must be 1 to {COUNT_MAX}")
    config, clock = config_of(arguments), SystemClock()
    host = arguments.host if arguments.host is not None else config.origin.partition("/")[0]
    try:
        message(host)
    except Malformed as error:
        raise WrongUse(f"--host {error.detail}") from None
    keys, made = BatchKeys(card_secret(config.folder, clock)), list[str]()
    with _telling(f"become a card of {host}", made), Readers() as readers:
        reader = readers.chosen(arguments.reader)
        while len(made) < arguments.count:
            if made:
                output.line(f"{made[-1]} is finished: take it away, and put the next one on the reader.")
                readers.wait(reader, present=False, timeout_s=WAIT_S)
            elif arguments.count > 1:
                output.line(f"Put the first card on {plain(reader)}.")
            readers.wait(reader, present=True, timeout_s=WAIT_S)
            with readers.card(reader) as card:
                made.append(_carried(personalise(host, keys, random=clock.random_bytes), card).hex())
    rows = [("Made" if number == 0 else "", uid) for number, uid in enumerate(made)]
    return Answer({"host": host, "made": made}, [*pairs([("For", host), *rows])])


def read(arguments: argparse.Namespace, output: Output) -> Answer:
    """Which of the scheme's cards lies on the reader: it has proved that it does. Its counter goes up by one.

    Refused (1) for any other card, and for what only repeats a card's words. Unavailable (3) as for `make`.
    """
    config, clock = config_of(arguments), SystemClock()
    secret = found_card_secret(config.folder)
    if secret is None:
        raise WrongUse(f"no card was made in {config.folder} yet: make one with `counterfoil card make`")
    keys = BatchKeys(secret)
    with _telling("be read", []), Readers() as readers:
        reader = readers.chosen(arguments.reader)
        readers.wait(reader, present=True, timeout_s=WAIT_S)
        with readers.card(reader) as card:
            tap = _carried(identify(keys, random=clock.random_bytes(16)), card)
    rows = [("Card", tap.uid.hex()), ("Readings so far", tap.counter)]
    return Answer({"card": tap.uid.hex(), "counter": tap.counter}, pairs(rows))


@contextlib.contextmanager
def _telling(deed: str, made: list[str]) -> Iterator[None]:
    """Turns what readers and cards say into what commands tell. `made`: the cards that were finished before."""
    try:
        yield
    except NoReader as error:
        raise Failure(str(error), code="no_reader", retry=Retry.SAME_ID, facts={"made": made}, exit_code=UNAVAILABLE) from None
    except ReaderError as error:
        detail = f"{error}. Put the card back and run it again: what was begun is finished then"
        raise Failure(detail, code="unavailable", retry=Retry.SAME_ID, facts={"made": made}, exit_code=UNAVAILABLE) from None
    except CardError as error:
        raise Failure(f"this card cannot {deed}: {error}", code="card_refused", retry=Retry.NEVER, facts={"made": made}) from None


def _carried(exchange: Exchange[Found], card: Card) -> Found:
    """Drives the exchange to its end with the card."""
    answer: bytes | None = None
    try:
        while True:
            command = next(exchange) if answer is None else exchange.send(answer)
            answer = card.transmit(command)
    except StopIteration as ended:
        return ended.value  # type: ignore[no-any-return]
