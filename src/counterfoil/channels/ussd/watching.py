"""Watchers on a phone's screens: whom somebody chooses to be told of all that happens to their account, and over whom they watch.

Who is chosen and who is taken away takes the PIN on a screen of its own, after the name was shown; lists and answers the PIN that is
asked for once in each session. Whatever comes twice is done once: see `parties.watchers`.
"""

from __future__ import annotations

from counterfoil.channels.consent import Problem
from counterfoil.channels.ussd import screens
from counterfoil.channels.ussd.filling import Filled, Filling, Next, typed_address
from counterfoil.channels.ussd.fitting import cut
from counterfoil.errors import NotFound, NotInThisState, Refused
from counterfoil.ids import id_text, parse_id
from counterfoil.parties.types import Holder, PartyKind
from counterfoil.parties.watchers import Watcher, Watchers, WatcherState


class WatchFlows(Filling):
    """What the screens below "Watchers" are filled with, and what is done on them."""

    # Who watches over the holder

    async def _fill_my_watchers(self) -> Filled | Next:
        found = await self._watchers.of(self._own.party)
        return self._listed(found, [each.watcher_name for each in found]) if found else Next("no_watchers")

    async def choose_my_watcher(self, number: int) -> Next:
        """`number` from 0: one of those who watch, or are asked to."""
        self.state.watcher = self.state.listed[number]
        return Next("watcher_active")

    async def _fill_one_of_mine(self) -> Filled | Next:
        """The screen that belongs to the state in which the watcher is by now."""
        watcher = await self._one(mine=True)
        if watcher is None:
            return Next("my_watchers", self.say(screens.ANSWERED_BY_NOW))
        fitting = _state(watcher, "watcher")
        if self.aim not in (fitting, _LEADS_TO.get(fitting)):
            return Next(fitting)
        return Filled(self._values(watcher, watcher.watcher_name))

    _fill_watcher_asked = _fill_watcher_active = _fill_watcher_ending = _fill_one_of_mine
    _fill_take_back = _fill_take_away = _fill_one_of_mine

    async def _read_take_away(self, typed: str) -> Next:
        watcher = await self._one(mine=True)
        if watcher is None:
            return Next("my_watchers", self.say(screens.ANSWERED_BY_NOW))
        screen = self.state.screen
        if _LEADS_TO.get(_state(watcher, "watcher")) != screen:  # they have answered meanwhile: the PIN was for something else
            return Next(_state(watcher, "watcher"))
        problem = await self._check_pin(screen, typed)
        if problem is not None:
            return problem
        self.state.is_open = True
        taken = await self._watchers.take_away(watcher.id, party=self._own.party, by=self._own.party)
        if taken.state is WatcherState.ENDED:
            return Next("my_watchers", self.say(screens.TAKEN_BACK))
        return Next("watcher_ending")

    _read_take_back = _read_take_away

    async def do_keep(self) -> Next:
        """Takes back that a watcher was taken away."""
        try:
            await self._watchers.keep(parse_id(self.state.watcher), party=self._own.party, by=self._own.party)
        except (NotFound, NotInThisState):
            return Next("my_watchers", self.say(screens.ANSWERED_BY_NOW))
        return Next("watcher_active")

    # Choosing somebody

    async def _fill_watcher(self) -> Filled | Next:
        if self._own.kind is not PartyKind.CUSTOMER:
            return Next("watchers", self.say(screens.ONLY_PEOPLE))
        self.state.payee = ""
        return Filled()

    async def _read_watcher(self, typed: str) -> Next:
        try:
            found = await self.consent.payee(typed_address(typed))
        except Problem as problem:
            return Next("watcher", problem.sentence)
        if found.party == self._own.party:
            return Next("watcher", self.say(screens.NOT_YOURSELF))
        self.state.payee = f"{found.account:x}"
        return Next("confirm_watcher")

    async def _fill_confirm_watcher(self) -> Filled | Next:
        if not self.state.payee:
            return Next("watcher")
        return Filled({"name": cut(await self.consent.name(int(self.state.payee, 16)))})

    async def _read_confirm_watcher(self, typed: str) -> Next:
        if not self.state.payee:
            return Next("watcher")
        problem = await self._check_pin("confirm_watcher", typed)
        if problem is not None:
            return problem
        self.state.is_open = True
        found = await self.house.parties.holder(int(self.state.payee, 16))
        try:
            watcher = await self._watchers.ask(self._own.party, found, by=self._own.party)
        except Refused as refusal:
            return Next("watchers", self.consent.sentence(refusal))
        self.state.watcher = id_text(watcher.id)
        return Next(_state(watcher, "watcher"))

    # Over whom the holder watches

    async def _fill_watched(self) -> Filled | Next:
        """Those who wait for an answer first: there is room for eight."""
        found = await self._watchers.watched_by(self._own.party)
        found.sort(key=lambda each: (each.state is not WatcherState.ASKED, -each.asked_at))
        return self._listed(found, [each.name for each in found]) if found else Next("nobody_watched")

    async def choose_watched(self, number: int) -> Next:
        """`number` from 0: somebody over whom the holder watches, or is asked to."""
        self.state.watcher = self.state.listed[number]
        return Next("watched_active")

    async def _fill_one_watched(self) -> Filled | Next:
        watcher = await self._one(mine=False)
        if watcher is None:
            return Next("watched", self.say(screens.ANSWERED_BY_NOW))
        fitting = _state(watcher, "watched")
        if self.aim not in (fitting, "stop_watching") or (self.aim == "stop_watching" and fitting == "watched_asked"):
            return Next(fitting)
        return Filled(self._values(watcher, watcher.name))

    _fill_watched_asked = _fill_watched_active = _fill_watched_ending = _fill_stop_watching = _fill_one_watched

    async def do_watch(self, action: str) -> Next:
        """What the holder says to somebody who asked, or over whom they watch: (agree), (refuse), (leave)."""
        watchers, own, chosen = self._watchers, self._own.party, parse_id(self.state.watcher)
        try:
            if action == "(agree)":
                await watchers.accept(chosen, watcher=own)
                return Next("watched_active")
            await (watchers.leave if action == "(leave)" else watchers.decline)(chosen, watcher=own)
        except (NotFound, NotInThisState):
            return Next("watched", self.say(screens.ANSWERED_BY_NOW))
        return Next("watched", self.say(screens.LEFT if action == "(leave)" else screens.DECLINED))

    # Parts

    @property
    def _watchers(self) -> Watchers:
        return self.house.parties.watchers

    @property
    def _own(self) -> Holder:
        assert self.holder is not None
        return self.holder

    async def _one(self, *, mine: bool) -> Watcher | None:
        """The watcher that was chosen from a list, while there is something to be told."""
        found = await (self._watchers.of if mine else self._watchers.watched_by)(self._own.party)
        return next((each for each in found if id_text(each.id) == self.state.watcher), None)

    def _listed(self, found: list[Watcher], names: list[str]) -> Filled:
        self.state.listed = [id_text(each.id) for each in found][: screens.CHOICES_MAX]
        lines = []
        for each, name in zip(found[: screens.CHOICES_MAX], names, strict=False):
            until = self.say(screens.UNTIL, time=self.consent.time(each.until)) if each.until is not None else ""
            note = self.say(screens.ASKED) if each.state is WatcherState.ASKED else until
            lines.append(f"{cut(name)} ({note})" if note else cut(name))
        return Filled({}, tuple(lines))

    def _values(self, watcher: Watcher, name: str) -> dict[str, str]:
        until = self.consent.time(watcher.until) if watcher.until is not None else ""
        return {"name": cut(name), "time": until, "hours": str(-(-self._watchers.notice_s // 3_600))}


_LEADS_TO = {"watcher_asked": "take_back", "watcher_active": "take_away"}


def _state(watcher: Watcher, prefix: str) -> str:
    """The screen of a watcher in this state."""
    state = "asked" if watcher.state is WatcherState.ASKED else "active" if watcher.until is None else "ending"
    return f"{prefix}_{state}"
