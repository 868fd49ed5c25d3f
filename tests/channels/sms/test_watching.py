"""Watchers by text alone: asked, agreed to, told, taken away; and what a text in somebody's name does not do."""

from __future__ import annotations

import pytest

from counterfoil.channels.sms.received import WRONG_PER_HOUR_MAX
from counterfoil.parties.watchers import Watcher, WatcherState
from tests.channels.sms.test_inbound import PIN, Phones, code_in, holder, phones
from tests.scheme import Person

__all__ = ["phones"]


async def of(phones: Phones, person: Person) -> list[Watcher]:
    return await phones.services.parties.watchers.of(person.party)


async def asked(phones: Phones, ama: Person, kofi: Person) -> None:
    question = await phones.ask(ama.address, f"WATCH {kofi.address}")
    assert await phones.agree(ama.address, question) == ""


async def last(phones: Phones, person: Person) -> str:
    """The kind of what somebody was told last."""
    return (await phones.told(person.address))[-1][0]


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ("WATCH", "ACCEPT", "WATCHERS", "UNWATCH")),
        ("ko", ("지킴이부탁", "수락", "지킴이", "지킴이빼기")),
        ("fr", ("Veilleur", "accepter", "VEILLEURS", "sansveilleur")),
    ],
)
async def test_somebody_is_asked_agrees_and_is_taken_away_by_text_alone(phones: Phones, language: str, words: tuple[str, ...]) -> None:
    ama, kofi = await holder(phones, "Ama", language=language), await holder(phones, "Kofi", language=language)
    watch, accept, watchers, unwatch = words
    question = await phones.ask(ama.address, f"{watch} {kofi.address}")
    assert "Kofi" in question
    assert await of(phones, ama) == []
    assert await phones.agree(ama.address, question) == ""  # a notice of its own tells it
    assert await last(phones, ama) == "watcher_chosen"
    assert await last(phones, kofi) == "watch_asked"
    question = await phones.ask(kofi.address, accept)
    assert "Ama" in question
    assert (await of(phones, ama))[0].state is WatcherState.ASKED
    assert "Ama" in await phones.agree(kofi.address, question)
    assert (await of(phones, ama))[0].state is WatcherState.WATCHING
    assert await last(phones, ama) == "watcher_accepted"
    assert "Kofi" in await phones.ask(ama.address, f"{watchers} {PIN}")
    assert "Ama" in await phones.ask(kofi.address, f"{watchers} {PIN}")
    question = await phones.ask(ama.address, unwatch)  # the only one
    assert "72" in question
    assert await phones.agree(ama.address, question) == ""
    assert await last(phones, kofi) == "watch_taken_away"
    assert (await of(phones, ama))[0].until is not None
    assert "Kofi" in await phones.ask(ama.address, f"{watchers} {PIN}")
    question = await phones.ask(ama.address, f"{watch} {kofi.address}")
    assert await phones.agree(ama.address, question) == ""
    assert await last(phones, kofi) == "watch_kept"
    assert (await of(phones, ama))[0].until is None


async def test_no_is_said_at_once_and_stopping_takes_code_and_pin(phones: Phones) -> None:
    ama, kofi = await holder(phones, "Ama"), await holder(phones, "Kofi")
    assert await phones.ask(kofi.address, "DECLINE") == "Nobody is asking you to watch now."
    await asked(phones, ama, kofi)
    assert await phones.ask(kofi.address, "DECLINE") == "You have said no to Ama."
    assert (await of(phones, ama), await last(phones, ama)) == ([], "watcher_declined")
    await asked(phones, ama, kofi)
    await phones.agree(kofi.address, await phones.ask(kofi.address, f"ACCEPT {ama.address}"))
    question = await phones.ask(kofi.address, "LEAVE")
    assert "Ama" in question
    assert len(await of(phones, ama)) == 1
    assert await phones.agree(kofi.address, question) == "You no longer watch over the account of Ama."
    assert (await of(phones, ama), await last(phones, ama)) == ([], "watcher_left")


async def test_in_somebodys_name_nobody_is_asked_taken_away_or_blinded(phones: Phones) -> None:
    """Whoever sends texts in another's name gets neither the code nor, without the PIN, anything with it."""
    ama, kofi, thief = await holder(phones, "Ama"), await holder(phones, "Kofi"), await holder(phones, "Thief")
    await asked(phones, ama, kofi)
    await phones.agree(kofi.address, await phones.ask(kofi.address, "ACCEPT"))
    for number, text in ((ama.address, f"UNWATCH {kofi.address}"), (kofi.address, "LEAVE"), (ama.address, f"WATCH {thief.address}")):
        question = await phones.ask(number, text)
        assert "PIN is not right" in await phones.agree(number, question, "13572468")
        wrong = f"{(int(code_in(question)) + 1) % 10_000:04}"
        assert "Nothing was done" in await phones.ask(number, f"{wrong} {PIN}")
    [watcher] = await of(phones, ama)
    assert (watcher.watcher, watcher.until) == (kofi.party, None)
    assert "Nobody" not in (shown := await phones.ask(ama.address, "WATCHERS"))
    assert "Kofi" not in shown
    assert WRONG_PER_HOUR_MAX == 3


async def test_the_same_answer_again_is_done_once(phones: Phones) -> None:
    ama, kofi = await holder(phones, "Ama"), await holder(phones, "Kofi")
    question = await phones.ask(ama.address, f"WATCH {kofi.address}")
    for _ in range(2):
        await phones.agree(ama.address, question)
    assert len(await of(phones, ama)) == 1
    assert [kind for kind, _ in await phones.told(kofi.address)].count("watch_asked") == 1
    assert await phones.ask(ama.address, f"WATCH {kofi.address}") == "Kofi was asked to watch over you."
    question = await phones.ask(ama.address, "UNWATCH")
    assert "No longer ask Kofi" in question
    assert await phones.agree(ama.address, question) == "Kofi is no longer asked to watch."
    assert await of(phones, ama) == []


async def test_who_is_meant_is_asked_for_where_it_is_not_clear(phones: Phones) -> None:
    ama, kofi, union = await holder(phones, "Ama"), await holder(phones, "Kofi"), await holder(phones, "Union")
    shop = await phones.scheme.merchant()
    await phones.services.parties.pins.set(shop.party, PIN, by=shop.party)
    assert (await phones.ask(ama.address, "WATCH")).startswith("Text WATCH and the number of who")
    assert (await phones.ask(ama.address, f"WATCH {ama.address}")) == "Choose somebody else than yourself."
    assert "Nobody has an account" in await phones.ask(ama.address, "WATCH +254799999999")
    assert "not allowed" in await phones.ask(shop.address, f"WATCH {kofi.address}")
    assert (await phones.ask(ama.address, f"WATCHERS {PIN}")).startswith("Nobody watches over you")
    for each in (kofi, union):
        await asked(phones, ama, each)
        await phones.agree(each.address, await phones.ask(each.address, "ACCEPT"))
    assert (await phones.ask(ama.address, "UNWATCH")).startswith("Text UNWATCH and the number")
    assert "Take Union away" in await phones.ask(ama.address, f"UNWATCH {union.address}")
    assert (await phones.ask(ama.address, "LEAVE")).startswith("Text LEAVE and the number")
