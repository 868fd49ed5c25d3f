"""One fill after the other: the driver chooses at the pump, money is set aside, the pump runs, and exactly what ran is taken.

A fill is on the disk, with its id and the pump's totaliser, before the server hears of it. From there on nothing is remembered:
each round asks the pump and the server how it stands, and does what comes next. So a controller that died goes on where it was.

A pump that answers but has forgotten the fill had no power for a while: what it gave is what its totaliser says. One that does
not answer is told to the server as silent, and asked until it does.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from counterfoil.clock import Clock
from counterfoil.commands.client import ServerRefused
from counterfoil.commands.output import UNAVAILABLE, Failure, WrongUse, plain
from counterfoil.commands.pairing import Answered, Caller, Pairing, of_another_shop
from counterfoil.commands.pump.folder import Folder, OpenFill
from counterfoil.commands.pump.protocol import Line, Status
from counterfoil.errors import Retry, Unavailable
from counterfoil.ids import id_text, new_id
from counterfoil.money import Currency, format_amount

PAUSE_S: Final = 0.5
"""Between two rounds."""
SILENT_ROUNDS: Final = 20
"""Rounds without an answer of the pump, until the server is told."""


class Controller:
    """The controller of one pump, paired. Alone in its folder."""

    def __init__(
        self, *, folder: Folder, pairing: Pairing, till: Caller, line: Line, say: Callable[[str], None], clock: Clock, number: int
    ) -> None:
        """`number`: of the pump, as the station has set it up; `say`: tells what it does."""
        self.folder = folder
        self.pairing = pairing
        self.till = till
        self.line = line
        self.say = say
        self.clock = clock
        self.number = number
        self._silent = 0
        self._said = ""

    def run(self) -> None:
        """Serves until it is interrupted. Failure when a fill is left: it is gone on with at the next start."""
        try:
            currency = self._answer(self.till.shop)["currency"]
            self._currency = Currency(currency["code"], currency["digits"], int(currency["numeric"]))
            self._pump = self._find_pump()
            self.say(f"{plain(self.pairing.merchant)}, pump {self.number}. Ctrl-C ends.")
            while True:
                self.round()
                self.till.client.pause(PAUSE_S)
        except KeyboardInterrupt:
            if self.folder.fill() is not None:
                detail = "A fill is under way. It is kept, and gone on with when the controller starts again"
                raise Failure(detail, code="unavailable", retry=Retry.SAME_ID, exit_code=UNAVAILABLE) from None
        finally:
            self.line.close()

    def round(self) -> None:
        """What comes next, if anything does."""
        open_fill = self.folder.fill()
        if open_fill is not None and open_fill.account != self.pairing.account:
            raise of_another_shop(self.folder)
        try:
            status = self._ask_pump(open_fill)
            if status is not None and open_fill is None:
                self._begin(status)
            elif status is not None and open_fill is not None:
                self._go_on(open_fill, status)
        except Unavailable as error:  # the pump's: the server is asked until it answers
            self._tell(plain(error.detail))
        except ServerRefused as no:  # as while the shop is frozen: the fill is kept
            self._tell(f"The server refuses: {plain(no.detail)} Asking again.")

    # Parts

    def _ask_pump(self, fill: OpenFill | None) -> Status | None:
        """How it stands with the pump; None where it does not answer. After a while the server hears of that."""
        try:
            status = self.line.ask("status")
        except Unavailable as error:
            self._silent += 1
            self._tell(f"{plain(error.detail)}. Asking again.")
            if fill is not None and self._silent == SILENT_ROUNDS:
                self._tell_of_silence(fill)
            return None
        self._silent = 0
        return status

    def _tell_of_silence(self, fill: OpenFill) -> None:
        try:
            self._report(fill, "report", event="silent")
        except ServerRefused as no:
            if no.code not in ("fill_out_of_order", "not_found"):
                raise

    def _find_pump(self) -> str:
        pumps = self._answer(lambda: self.till.call("GET", "/v1/till/pumps"))["pumps"]
        for pump in pumps:
            if pump["number"] == self.number:
                return str(pump["id"])
        numbers = ", ".join(str(pump["number"]) for pump in pumps) or "none so far"
        raise WrongUse(f"--number: the station has no pump {self.number}; there are: {numbers}")

    def _begin(self, status: Status) -> None:
        if status.wanted is None or status.state in ("authorised", "dispensing"):
            return
        fill = OpenFill(
            id=id_text(new_id(self.clock)), account=self.pairing.account, pump=self._pump, product=status.wanted.product,
            amount=status.wanted.amount, totaliser=status.totaliser,
        )  # fmt: skip
        self.folder.keep_fill(fill)
        self._go_on(fill, status)

    def _go_on(self, fill: OpenFill, status: Status) -> None:
        try:
            view = self._answer(lambda: self._ask(fill))
        except ServerRefused as no:
            if self._is_known(fill):
                raise
            self.line.ask("dismiss", text=plain(no.detail))
            self._end(f"Refused: {plain(no.detail)}")
            return
        state = view["state"]
        if state == "idle":
            self._idle(fill, view, status)
        elif state == "authorised" and self._may_begin(fill, status):
            self._release(fill, view)
        elif state in ("authorised", "dispensing", "timed_out"):
            self._running(fill, state, status)
        else:
            self._over(view)

    def _idle(self, fill: OpenFill, view: Any, status: Status) -> None:
        if status.wanted is None:  # nobody waits any more
            self._report(fill, "report", event="aborted")
        elif view["sale"]["state"] == "held":
            self._report(fill, "permit")
        else:
            self.line.ask("show", text=f"{self.pairing.server}{view['sale']['link']}")
            self._tell(f"Asked for {self._shown(view['amount'])} at {self.pairing.server}{view['sale']['link']}")

    def _may_begin(self, fill: OpenFill, status: Status) -> bool:
        """Whether the pump has not been told yet, or has forgotten it before anything ran."""
        return status.fill != fill.id and status.totaliser == fill.totaliser

    def _release(self, fill: OpenFill, view: Any) -> None:
        now = datetime.fromisoformat(self._answer(self.till.shop)["now"])
        seconds = int((datetime.fromisoformat(view["until"]) - now).total_seconds())
        told = None
        if seconds > 0:
            told = self.line.ask(
                "authorise",
                fill=fill.id,
                product=fill.product,
                price=view["price"],
                millilitres_max=view["millilitres_max"],
                seconds=seconds,
            )
        if told is not None and told.fill == fill.id:
            self._tell(f"Released up to {_litres(view['millilitres_max'])}.")
        else:  # too late, or it cannot: nothing ran, and nothing will
            self._report(fill, "report", event="aborted", totaliser=fill.totaliser)

    def _running(self, fill: OpenFill, state: str, status: Status) -> None:
        if status.fill != fill.id:  # it lost its power: its totaliser has not
            if state != "timed_out":
                self._report(fill, "report", event="silent")
            ran = status.totaliser - fill.totaliser
            self._report(fill, "report", event="done", millilitres=ran, totaliser=status.totaliser)
            return
        if status.state == "done" and state == "authorised" and status.millilitres == 0:
            self._report(fill, "report", event="aborted", totaliser=status.totaliser)
            return
        if status.state == "authorised":
            return
        if state == "authorised":
            self._report(fill, "report", event="started")
        if status.state == "done":
            self._report(fill, "report", event="done", millilitres=status.millilitres, totaliser=status.totaliser)
        elif state != "timed_out":
            self._report(fill, "report", event="progress", millilitres=status.millilitres)
            self._tell(f"{_litres(status.millilitres)} ...")

    def _over(self, view: Any) -> None:
        if view["state"] == "aborted":
            self.line.ask("dismiss", text="")
            self._end("Nothing ran, and nothing is taken.")
            return
        unpaid = f", {self._shown(view['unpaid'])} of it unpaid" if view["unpaid"] else ""
        self._end(f"{_litres(view['millilitres'])} {plain(view['product'])}: {self._shown(view['charge'])}{unpaid}.")

    # The server

    def _ask(self, fill: OpenFill) -> Any:
        body = {"id": fill.id, "pump": fill.pump, "product": fill.product, "amount": fill.amount, "totaliser": fill.totaliser}
        return self.till.call("POST", "/v1/till/fills", body)

    def _is_known(self, fill: OpenFill) -> bool:
        """Whether the server has ever kept it: then money may be held for it."""
        try:
            self._answer(lambda: self.till.call("GET", f"/v1/till/fills/{fill.id}"))
        except ServerRefused as no:
            if no.code != "not_found":
                raise
            return False
        return True

    def _report(self, fill: OpenFill, what: str, **report: Any) -> Any:
        try:
            return self._answer(lambda: self.till.call("POST", f"/v1/till/fills/{fill.id}/{what}", report or None))
        except ServerRefused as no:
            if no.code == "fill_contradicted":
                detail = "The pump's volume and its totaliser contradict each other. Read it, and report the fill by hand"
                raise Failure(detail, code=no.code, retry=Retry.CHANGE) from None
            raise

    def _answer(self, call: Callable[[], Answered]) -> Answered:
        return self.till.until_answered(call, say=self._tell, pause=lambda: self.till.client.pause(PAUSE_S))

    # Telling

    def _end(self, words: str) -> None:
        self._tell(words)
        self.folder.forget_fill()

    def _tell(self, words: str) -> None:
        if words != self._said:
            self.say(words)
        self._said = words

    def _shown(self, amount: int) -> str:
        return f"{format_amount(amount, self._currency)} {self._currency.code}"


def _litres(millilitres: int) -> str:
    return f"{millilitres // 1000}.{millilitres % 1000:03} L"
