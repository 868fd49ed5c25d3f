"""Accounts on any phone: each hop of a session is answered with a screen, once, however often it comes.

    phone ─ gateway ─> Hop ─> is it a repeat? ─> what was typed ─> flow ─> screen, kept with the session ─> answered

A session is known by the gateway's name for it, and belongs to the number it began with. What it is in the middle of is in the
store, so that a phone that lost the network goes on within three minutes, also after a restart. New PINs wait in memory for
their second time, and no PIN is kept anywhere. Before money moves it is written down that the PIN came; so whoever never saw
the answer is told the outcome, and never asked for a second payment.

A balance, movements and requests are shown after the PIN, once in each session: in a village one phone serves many, and
whoever holds it is not always whose account it is. A payment asks for the PIN again all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable

import msgspec
import structlog

from counterfoil.acceptance.cards.registry import Cards
from counterfoil.acceptance.parking.stays import Stays
from counterfoil.acceptance.tills import Tills
from counterfoil.channels.look_ups import LookUps
from counterfoil.channels.ussd import screens, sessions
from counterfoil.channels.ussd.filling import Filled, House, Next
from counterfoil.channels.ussd.fitting import pages, writable
from counterfoil.channels.ussd.flows import Flows, home
from counterfoil.channels.ussd.repeats import Repeats
from counterfoil.channels.ussd.screens import MENU, RESUME, SCREENS, UNLOCK, WELCOME, Reads
from counterfoil.channels.ussd.sessions import Kept, State
from counterfoil.channels.ussd.tables import GATEWAY_SIZE_MAX
from counterfoil.channels.ussd.types import CHOICE_SIZE_MAX, SESSION_SIZE_MAX, TYPED_SIZE_MAX, Hop, Screen
from counterfoil.clock import NANOSECONDS, Clock
from counterfoil.config import Config
from counterfoil.errors import CounterfoilError, Malformed, PartyNotFound, Refused, Unavailable
from counterfoil.i18n import Language, languages
from counterfoil.ledger.service import Ledger
from counterfoil.parties.numbers import parse_number
from counterfoil.parties.service import Parties
from counterfoil.parties.types import Holder
from counterfoil.payments.history import History
from counterfoil.payments.requests import Requests
from counterfoil.payments.service import Payments
from counterfoil.store.database import Store

ANSWER_S_MAX = 3.0
"""Seconds after which a phone hears that its payment goes on: the shortest wait of a gateway is five, and `web.callbacks` ends one before."""
RESUME_S = 180
"""Seconds in which whoever dials again may go on where the last session broke off."""
STEPS_MAX = 8
"""Screens that one hop may pass through before one is shown."""
CLEAN_INTERVAL_S = 3_600.0
STOP_S_MAX = 10.0
"""Seconds that hops under way have to end in when the server stops; the payments among them are in the books, or never will be."""

log = structlog.get_logger(__name__)


class _Turn:
    """The hops of one session take turns; one that arrives while the same is being answered gets the same answer."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0
        self.hop: Hop | None = None
        self.answer: Screen | None = None


class Ussd:
    """The USSD service of one scheme. `answer_s_max`: seconds, see ANSWER_S_MAX."""

    def __init__(
        self,
        *,
        store: Store,
        parties: Parties,
        payments: Payments,
        requests: Requests,
        history: History,
        ledger: Ledger,
        cards: Cards,
        stays: Stays,
        tills: Tills,
        config: Config,
        clock: Clock,
        look_ups: LookUps | None = None,
        answer_s_max: float = ANSWER_S_MAX,
    ) -> None:
        self._store = store
        self._clock = clock
        self._parties = parties
        self._house = House(
            store=store, parties=parties, payments=payments, requests=requests, history=history, ledger=ledger, cards=cards, stays=stays,
            tills=tills, config=config, clock=clock, languages=languages(config.languages), answer_s_max=answer_s_max, look_ups=look_ups,
        )  # fmt: skip
        self._repeats = Repeats(clock)
        self._turns: dict[tuple[str, str], _Turn] = {}
        self._tasks: set[asyncio.Task[Screen]] = set()
        self._stopping = asyncio.Event()

    async def answer(self, hop: Hop) -> Screen:
        """The screen that follows a hop. The same hop again gets the same screen, and nothing is done twice; never raises a refusal.

        What has begun is finished although the caller goes away.
        """
        task = asyncio.create_task(self._in_turn(hop))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    async def ended(self, gateway: str, session: str) -> None:
        """The gateway says that a session is over. What it was in the middle of can be resumed; a repeat changes nothing."""
        self._house.chosen.pop((gateway, session), None)
        self._repeats.forget(gateway, session)

    async def is_open(self, gateway: str, session: str) -> bool:
        """Whether a session goes on: begun here, and not ended by our last screen."""
        kept = await self._store.read(lambda connection: sessions.find(connection, gateway, session))
        return kept is not None and not kept.ends

    async def run(self) -> None:
        """Removes sessions a day after their last hop, until `stop()`; then waits for the hops that are being answered."""
        while not self._stopping.is_set():
            before = self._clock.now_ns() - sessions.KEPT_S * NANOSECONDS
            await self._store.write(lambda connection: sessions.remove_old(connection, before))  # noqa: B023 - done before the next
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLEAN_INTERVAL_S):
                    await self._stopping.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S_MAX):
                while waited := [*self._tasks, *self._house.under_way.values(), *self._house.afterwards]:
                    await asyncio.wait(waited)

    def stop(self) -> None:
        self._stopping.set()

    # One hop

    async def _in_turn(self, hop: Hop) -> Screen:
        key = (hop.gateway, hop.session)
        turn = self._turns.setdefault(key, _Turn())
        is_same = turn.lock.locked() and turn.hop == hop
        turn.users += 1
        try:
            async with turn.lock:
                if is_same and turn.hop == hop and turn.answer is not None:
                    return turn.answer
                turn.hop, turn.answer = hop, None
                turn.answer = await self._answered(hop)
                return turn.answer
        finally:
            turn.users -= 1
            if not turn.users:
                self._turns.pop(key, None)

    async def _answered(self, hop: Hop) -> Screen:
        language = next(iter(self._house.languages.values()))
        if not 0 < len(hop.session) <= SESSION_SIZE_MAX or not 0 < len(hop.gateway) <= GATEWAY_SIZE_MAX:
            return self._end(language, screens.LATER)
        try:
            number = parse_number(hop.number, self._house.config.region)
        except Malformed:
            return self._end(language, screens.NO_NUMBER)
        try:
            return await self._known(hop, number)
        except Unavailable as error:
            log.warning("ussd_unavailable", gateway=hop.gateway, error=error.detail)
            return self._end(language, screens.LATER)

    async def _known(self, hop: Hop, number: str) -> Screen:
        kept = await self._store.read(lambda connection: sessions.find(connection, hop.gateway, hop.session))
        holder = await self._holder(number)
        language = self._language(holder, kept.state if kept else None)
        is_dial = hop.begins is True or (hop.begins is None and hop.typed == "" and (kept is None or kept.ends or not hop.whole))
        if kept is not None:
            if kept.number != number:
                return self._end(language, screens.OTHER_NUMBER)
            if kept.state.is_repeat(hop) and not (kept.ends and is_dial and not hop.mark and kept.state.hops > 1):
                return await self._repeated(kept, holder, language)
            if kept.ends and not is_dial:
                return Screen(kept.answer or "", True)
            if not is_dial and kept.answer is not None and self._repeats.is_repeat(hop, kept.state):
                return Screen(kept.answer, kept.ends)
        if kept is None or hop.begins is True or kept.ends:
            self._repeats.forget(hop.gateway, hop.session)
            return await self._dialled(hop, number, holder, language)
        screen = await self._typed(hop, kept, holder, language)
        self._repeats.answered(hop)
        return screen

    async def _repeated(self, kept: Kept, holder: Holder | None, language: Language) -> Screen:
        if kept.answer is not None:
            return Screen(kept.answer, kept.ends)
        visit = _Visit(self, kept, holder, language)  # its PIN came, and we went down: what became of the payment?
        return await visit.show(Next("(outcome)" if kept.state.is_sent and kept.state.due else home(holder)))

    async def _dialled(self, hop: Hop, number: str, holder: Holder | None, language: Language) -> Screen:
        now = self._clock.now_ns()
        last = await self._store.read(lambda connection: sessions.newest(connection, number, now - RESUME_S * NANOSECONDS))
        state = State(party=f"{holder.party:x}" if holder else "", language=language.code)
        state.hear(hop, hop.typed, secret=True)
        kept = Kept(hop.gateway, hop.session, number, state, None, False, now)
        if holder is None and await self._parties.directory.party_at(number) is not None:
            return await _Visit(self, kept, holder, language).show(Next("no_account"))
        before = last.state if last is not None and last.state.party == state.party else None
        if before is not None and before.screen == RESUME:
            before = before.before  # broke off while it was asked
        if before is not None and before.is_sent and before.due is not None:
            state.due, state.is_sent, state.begun = before.due, True, before.begun
            return await _Visit(self, kept, holder, language).show(Next("(outcome)"))
        if before is not None and before.screen in SCREENS and SCREENS[before.screen].can_resume:
            state.before = before
            return await _Visit(self, kept, holder, language).show(Next(RESUME))
        told = before.told if before is not None and last is not None and last.ends else ""
        return await _Visit(self, kept, holder, language).show(Next(home(holder), told))

    async def _typed(self, hop: Hop, kept: Kept, holder: Holder | None, language: Language) -> Screen:
        party = f"{holder.party:x}" if holder else ""
        if kept.state.party != party:  # the number has changed hands, or its account was opened or closed elsewhere
            kept.state = State(party=party, hops=kept.state.hops, marks=kept.state.marks)
            kept.state.hear(hop, hop.typed, secret=True)
            return await _Visit(self, kept, holder, language).show(Next(home(holder)))
        state, visit = kept.state, _Visit(self, kept, holder, language)
        typed = state.new_in(hop)
        if typed is None:
            state.hear(hop, hop.typed, secret=True)
            return await visit.show(Next(home(holder), visit.flows.say(screens.OUT_OF_STEP)))
        state.hear(hop, typed, secret=not _is_plain(typed))
        return await visit.read(typed)

    # Parts

    async def _holder(self, number: str) -> Holder | None:
        try:
            return await self._parties.resolve(number)
        except PartyNotFound:
            return None

    def _language(self, holder: Holder | None, state: State | None) -> Language:
        known = self._house.languages
        code = holder.language if holder is not None else state.language if state is not None else ""
        return known.get(code) or next(iter(known.values()))

    @staticmethod
    def _end(language: Language, words: str) -> Screen:
        return Screen(writable(language.text(words)), True)

    async def keep(self, kept: Kept) -> None:
        """Writes a session as it is now."""
        kept.seen_at = self._clock.now_ns()
        await self._store.write_together(sessions.keep, kept)

    @property
    def house(self) -> House:
        return self._house


class _Visit:
    """One hop, from what was typed to the screen."""

    def __init__(self, ussd: Ussd, kept: Kept, holder: Holder | None, language: Language) -> None:
        self.ussd = ussd
        self.kept = kept
        self.began = False
        self.flows = Flows(
            ussd.house, kept.state, key=(kept.gateway, kept.session), number=kept.number, holder=holder, language=language,
            begin=self._begin,
        )  # fmt: skip

    async def read(self, typed: str) -> Screen:
        """What follows from what was typed."""
        state, flows = self.kept.state, self.flows
        sheet = SCREENS.get(state.screen)
        if sheet is None:
            return await self.show(Next(home(flows.holder)))
        if typed == "00":
            return await self.show(Next(home(flows.holder)))
        if typed == "9" and state.page + 1 < len(state.pages):
            return await self._turn_to(state.page + 1)
        if typed == "0" and state.page:
            return await self._turn_to(state.page - 1)
        if typed == "0" and (back := flows.back()):
            return await self.show(Next(back))
        if not typed or len(typed) > TYPED_SIZE_MAX or "*" in typed or "#" in typed:
            return await self.show(Next(state.screen, flows.say(screens.NOT_UNDERSTOOD)))
        if sheet.reads is not None:
            if sheet.reads is Reads.PIN and state.page + 1 < len(state.pages):
                return await self._turn_to(state.page + 1)  # what is agreed to has to be read first
            return await self._carefully(flows.read(state.screen, typed))
        number = int(typed) if len(typed) == 1 and typed.isascii() and typed.isdigit() else 0
        if not 0 < number <= state.choices:
            return await self.show(Next(state.screen, flows.say(screens.CHOOSE)))
        if sheet.lists:
            return await self._carefully(flows.choose(sheet.lists, number - 1))
        return await self.show(Next(sheet.choices[number - 1][1]))

    async def show(self, then: Next) -> Screen:
        """The screen `then`, or the one that takes its place, kept as the answer to this hop."""
        try:
            then, filled = await self._found(then)
        except Refused as refusal:
            then, filled = await self._found(Next(home(self.flows.holder), self._sentence(refusal)))
        state, flows, sheet = self.kept.state, self.flows, SCREENS[then.screen]
        choices = filled.choices if sheet.lists else tuple(flows.say(label) for label, _ in sheet.choices)
        state.screen, state.choices, state.page = then.screen, len(choices), 0
        state.before = state.before if then.screen == RESUME else None
        numbered = [f"{number} {label}" for number, label in enumerate(choices, 1)]
        back = f"0 {flows.say(screens.BACK)}" if flows.back() and not sheet.ends else ""
        lines = [then.word, flows.say(sheet.text, **filled.values), *numbered]
        state.pages = pages(lines, more=f"9 {flows.say(screens.MORE)}", back=back)
        return await self._answer()

    async def _found(self, then: Next) -> tuple[Next, Filled]:
        """The screen that is shown, with its values: what is done first is done, and who has to show a PIN is asked for it."""
        for _ in range(STEPS_MAX):
            state, flows = self.kept.state, self.flows
            if then.screen == "(continue)":
                then = self._continued()
            if then.screen.startswith("("):
                done = await flows.do(then.screen)
                then = Next(done.screen, done.word or then.word, done.values)
                continue
            if then.screen == MENU and flows.holder is None:
                then = Next(WELCOME, then.word)
            if SCREENS[then.screen].private and not state.is_open:
                state.then = then.screen
                then = Next(UNLOCK, then.word)
            if then.values:
                return then, Filled(then.values)
            filled = await flows.fill(then.screen)
            if isinstance(filled, Filled):
                return then, filled
            then = Next(filled.screen, filled.word or then.word, filled.values)
        raise AssertionError(then.screen)

    def _continued(self) -> Next:
        """The session that broke off is this one now; private things ask for the PIN anew."""
        now, before = self.kept.state, self.kept.state.before
        if before is None:
            return Next(home(self.flows.holder))
        state = msgspec.structs.replace(
            before, hops=now.hops, heard=now.heard, heard_size=now.heard_size, marks=now.marks, is_open=False, before=None
        )
        self.kept.state = self.flows.state = state
        if self.flows.holder is None:
            self.flows.language = self.ussd.house.languages.get(state.language, self.flows.language)
        return Next(state.screen)

    async def _turn_to(self, page: int) -> Screen:
        self.kept.state.page = page
        return await self._answer()

    async def _answer(self) -> Screen:
        kept, state = self.kept, self.kept.state
        kept.answer = state.pages[state.page]
        kept.ends = SCREENS[state.screen].ends and state.page + 1 == len(state.pages)
        try:
            await self.ussd.keep(kept)
        except Unavailable:
            if not self.began:  # else the outcome is known, and whoever asks again hears it
                raise
        return Screen(kept.answer, kept.ends)

    async def _carefully(self, reading: Awaitable[Next]) -> Screen:
        try:
            then = await reading
        except Refused as refusal:
            then = Next(home(self.flows.holder), self._sentence(refusal))
        return await self.show(then)

    async def _begin(self) -> None:
        self.began = True
        self.kept.answer, self.kept.ends = None, False
        await self.ussd.keep(self.kept)

    def _sentence(self, error: CounterfoilError) -> str:
        return self.flows.say(error.sentence()) if self.flows.holder is None else self.flows.consent.sentence(error)


def _is_plain(typed: str) -> bool:
    """Whether what was typed may be remembered: what is as short as a choice is no PIN."""
    return len(typed) <= CHOICE_SIZE_MAX and typed.isascii() and typed.isprintable()
