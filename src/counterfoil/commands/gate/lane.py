"""One car after the other: what a camera, a scanner or a button writes as a line, and what the lane says to it.

    in     a plate, or an empty line for a ticket alone ──> the stay is kept ──> the barrier opens, the ticket is told
    out    a plate, or a ticket ──> what is due? ── nothing ──> it has left ──> the barrier opens
                                         └── something: the link to pay it is told; it opens as soon as that is done

A passage is on the disk before the server hears of it, and is sent again, the same, until the server has answered. A lane that
died looks first what became of the last one, and says so; it does not open for a car that may be gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

from counterfoil.clock import Clock
from counterfoil.commands.client import ServerRefused
from counterfoil.commands.gate.barrier import Barrier
from counterfoil.commands.gate.folder import Folder, Passage
from counterfoil.commands.output import UNAVAILABLE, Failure, WrongUse, plain
from counterfoil.commands.pairing import Answered, Caller, Pairing, of_another_shop
from counterfoil.errors import Retry
from counterfoil.ids import id_text, new_id
from counterfoil.money import Currency, format_amount

PAUSE_S: Final = 2.0
"""Between two times that something is asked again."""
PATIENCE: Final = 60
"""How often it is looked whether a car at the way out has paid, before the next one is served."""
_TICKET: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Console(Protocol):
    """Where the lane reads and tells. `ask` raises EOFError at the end of the input."""

    def say(self, text: str) -> None: ...
    def ask(self) -> str: ...


class Lane:
    """A lane, paired. Alone in its folder."""

    def __init__(
        self, *, folder: Folder, pairing: Pairing, gate: Caller, barrier: Barrier | None, console: Console, clock: Clock,
        way: Literal["in", "out"], car_park: str, hold: bool,
    ) -> None:  # fmt: skip
        """`car_park`: the name of the one that cars come into; `hold`: whether they are asked to set money aside."""
        self.folder = folder
        self.pairing = pairing
        self.gate = gate
        self.barrier = barrier
        self.console = console
        self.clock = clock
        self.way = way
        self.car_park = car_park
        self.hold = hold

    def run(self) -> None:
        """Serves until the input ends. Failure when it is interrupted while nobody knows what became of a passage."""
        try:
            currency = self._answer(self.gate.shop)["currency"]
            self._currency = Currency(currency["code"], currency["digits"], int(currency["numeric"]))
            park = self._find_car_park() if self.way == "in" else ""
            self.console.say(f"{plain(self.pairing.merchant)}, {plain(self.pairing.till_name)}, way {self.way}. Ctrl-C ends.")
            self._tell_of_last()
            while True:
                line = self.console.ask().strip()
                if self.way == "in":
                    self._come_in(line, park)
                elif line:
                    self._go_out(line)
        except EOFError:
            return
        except KeyboardInterrupt:
            if self.folder.passage() is not None:
                detail = "What became of the last passage is not known. It is kept, and looked up when the gate starts again"
                raise Failure(detail, code="unavailable", retry=Retry.SAME_ID, exit_code=UNAVAILABLE) from None

    # In

    def _find_car_park(self) -> str:
        parks = self._answer(lambda: self.gate.call("GET", "/v1/till/car-parks"))["car_parks"]
        found = [park["id"] for park in parks if park["name"] == self.car_park]
        if len(found) != 1:
            names = ", ".join(plain(park["name"]) for park in parks) or "none so far"
            raise WrongUse(f"--car-park: {'several have' if found else 'none has'} the name {plain(self.car_park)}; there are: {names}")
        return str(found[0])

    def _come_in(self, plate: str, park: str) -> None:
        stay_id, entered_at = id_text(new_id(self.clock)), self._answer(self.gate.shop)["now"]
        passage = Passage(
            way="in", id=stay_id, account=self.pairing.account, stay=stay_id, car_park=park, entered_at=entered_at, plate=plate,
            hold=self.hold,
        )  # fmt: skip
        self.folder.keep_passage(passage)
        try:
            stay = self._answer(lambda: self._enter(passage))
        except ServerRefused as no:
            self._end(f"Closed: {plain(no.detail)}")
        else:
            self._open(passage, stay)
            if stay["hold"] is not None:
                link = f"{self.pairing.server}{stay['hold']['link']}"
                self.console.say(f"To set {self._shown(stay['hold']['amount'])} aside: {link}")
            self._end(f"Ticket{self._of(stay)}: {self.pairing.server}/parking/{stay['id']}")

    def _enter(self, passage: Passage) -> Any:
        body = {"id": passage.id, "car_park": passage.car_park, "entered_at": passage.entered_at, "hold": passage.hold}
        return self.gate.call("POST", "/v1/till/stays", body | ({"plate": passage.plate} if passage.plate else {}))

    # Out

    def _go_out(self, line: str) -> None:
        ticket = _TICKET.search(line)
        try:
            stay = self._answer(lambda: self._look(ticket[0].lower()) if ticket else self._find(line))
        except ServerRefused as no:
            self.console.say(f"Closed: {plain(no.detail)}")
            return
        passage = Passage(
            way="out", id=id_text(new_id(self.clock)), account=self.pairing.account, stay=stay["id"], plate=stay["plate"] or ""
        )
        self.folder.keep_passage(passage)
        try:
            self._end(self._until_left(passage))
        except ServerRefused as no:
            self._end(f"Closed: {plain(no.detail)}")

    def _until_left(self, passage: Passage) -> str:
        """How it ended, in words: asked again until it was paid, for a while."""
        told, stay = None, self._answer(lambda: self._leave(passage))
        for _ in range(PATIENCE):
            if stay["may_leave"]:
                self._open(passage, stay)
                return f"Left{self._of(stay)}: {stay['minutes']} min, {self._shown(stay['fee'])}."
            if told != stay["asked"]["id"]:
                told = stay["asked"]["id"]
                link = f"{self.pairing.server}{stay['asked']['link']}"
                self.console.say(f"To pay{self._of(stay)}: {self._shown(stay['due'])} at {link}")
            self.gate.client.pause(PAUSE_S)
            stay = self._answer(lambda: self._leave(passage))
        return f"Closed: {self._shown(stay['due'])} are not paid yet. Come again with the ticket."

    def _look(self, stay: str) -> Any:
        return self.gate.call("GET", f"/v1/till/stays/{stay}")

    def _find(self, plate: str) -> Any:
        return self.gate.call("POST", "/v1/till/stays/find", {"plate": plate})

    def _leave(self, passage: Passage) -> Any:
        return self.gate.call("POST", f"/v1/till/stays/{passage.stay}/leave", {"passage": passage.id})

    # Both

    def _open(self, passage: Passage, stay: Any) -> None:
        if self.barrier is None or self.barrier.open(passage, stay["plate"] or ""):
            self.console.say("Open.")
        else:
            self.console.say("The barrier does not answer: open it by hand.")

    def _tell_of_last(self) -> None:
        """What became of the passage that was under way when the lane stopped."""
        passage = self.folder.passage()
        if passage is None:
            return
        if passage.account != self.pairing.account:
            raise of_another_shop(self.folder)
        try:
            stay = self._answer(lambda: self._look(passage.stay))
        except ServerRefused as no:
            if no.code != "not_found":
                raise
            self._end(f"The last car{_named(passage.plate)} was not let in when the gate stopped.")
            return
        if passage.way == "in":
            self._end(f"The last car{self._of(stay)} was let in when the gate stopped, if the barrier has opened. Ticket: {stay['id']}")
        elif stay["left_at"] is not None:
            self._end(f"The last car{self._of(stay)} was let out when the gate stopped. If it is still there, open by hand.")
        else:
            self._end(f"The last car{self._of(stay)} was not let out when the gate stopped.")

    def _end(self, words: str) -> None:
        self.console.say(words)
        self.folder.forget_passage()

    def _of(self, stay: Any) -> str:
        return _named(stay["plate"] or "")

    def _shown(self, amount: int) -> str:
        return f"{format_amount(amount, self._currency)} {self._currency.code}"

    def _answer(self, call: Callable[[], Answered]) -> Answered:
        return self.gate.until_answered(call, say=self.console.say, pause=lambda: self.gate.client.pause(PAUSE_S))


def _named(plate: str) -> str:
    return f" {plain(plate)}" if plate else ""
