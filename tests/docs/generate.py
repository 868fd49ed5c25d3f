"""Writes the pages that follow from the code, and the one that follows from what the programs say: `make docs`.

Tests compare them with what is committed.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import get_type_hints

import msgspec

from counterfoil.channels.sms.commands import WORDS, Action
from counterfoil.channels.ussd.fitting import NAME_SHOWN_MAX, SEPTETS_MAX, UNITS_MAX
from counterfoil.channels.ussd.screens import CAME, SCREENS
from counterfoil.channels.ussd.service import ANSWER_S_MAX, RESUME_S
from counterfoil.config import ONLY_IN_THE_FILE, PREFIX, Config
from counterfoil.errors import CounterfoilError, Refused, Retry

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def errors_page() -> str:
    """Every error class, in the order of errors.py, with a section for each HTTP status."""
    sections = [_errors_section(cls) for cls in _below(CounterfoilError) if _heads_a_section(cls)]
    advice = [f"| `{retry}` | {sentence} |" for retry, sentence in _advice()]
    return _page(
        "# Errors",
        """
        Whatever goes wrong is one of these, and there are no others. A refusal (status 4xx) means that the answer is no and
        that nothing has changed. Status 5xx means that the outcome is not known: ask again with the same id.
        The `code` is stable, and part of the API. A person is shown the sentence, a program reads `code` and `retry`.
        """,
        "| `retry` | What to do next |\n|---|---|\n" + "\n".join(advice),
        *sections,
    )


def _advice() -> Iterator[tuple[Retry, str]]:
    """Each advice with the docstring that stands below it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(Retry))).body[0]
    assert isinstance(body, ast.ClassDef)
    for above, below in itertools.pairwise(body.body):
        if isinstance(above, ast.Assign) and isinstance(below, ast.Expr):
            yield Retry(ast.literal_eval(above.value)), ast.literal_eval(below.value)


def _heads_a_section(cls: type[CounterfoilError]) -> bool:
    """Every class right below Refused, and every one whose status is not its parent's."""
    return cls is not Refused and (cls.__base__ is Refused or cls.status != getattr(cls.__base__, "status", None))


def _errors_section(head: type[CounterfoilError]) -> str:
    rows = [
        f"| `{cls.code}` | {cls.sentence()} | `{cls.retry}` |" for cls in (head, *_below(head)) if cls is head or not _heads_a_section(cls)
    ]
    return f"## {head.status}: {head.code.replace('_', ' ')}\n\n| `code` | Meaning | `retry` |\n|---|---|---|\n" + "\n".join(rows)


def _below(cls: type[CounterfoilError]) -> Iterator[type[CounterfoilError]]:
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)


def settings_page() -> str:
    """Every setting: its two names, its type, its default, its meaning."""
    meanings = dict(_attributes(Config.__doc__ or ""))
    kinds = get_type_hints(Config)
    rows = []
    for field in msgspec.structs.fields(Config):
        default = (
            ", ".join(field.default)
            if isinstance(field.default, tuple)
            else str(field.default).replace("True", "true").replace("False", "false")
        )
        default = f"`{default}`" if default else "empty"
        kind = {str: "text", int: "whole number", bool: "true or false"}.get(kinds[field.name], "list of texts")
        variable = f"`{PREFIX}{field.name.upper()}`"
        if field.name in ONLY_IN_THE_FILE:
            kind, variable = "tables", "cannot be set there"
        rows.append(f"| `{field.name}` | {variable} | {kind} | {default} | {meanings[field.name]} |")
    return _page(
        "# Settings",
        """
        A setting comes from the command line, else from the environment, else from the file `counterfoil.toml` in the data
        folder, else it has its default. An unknown name, a wrong type and a value out of range are errors: a misspelt limit
        is never silently without effect. In the environment a list is written with commas. `data` itself cannot stand in the
        file. Tests and the command-line wallet have further names in the environment, which are not settings of a scheme.
        """,
        "| In the file | In the environment | Type | Default | Meaning |\n|---|---|---|---|---|\n" + "\n".join(rows),
    )


def _attributes(docstring: str) -> Iterator[tuple[str, str]]:
    """(name, meaning) of each entry below `Attributes:`. Continuation lines are indented further."""
    block = textwrap.dedent(docstring.partition("Attributes:\n")[2])
    for name, meaning in re.findall(r"^(\w+): (.+(?:\n +.+)*)", block, re.MULTILINE):
        yield name, " ".join(meaning.split())


SMS_USES = {
    Action.JOIN: ("name", "Opens an account for the number. The answer asks for a PIN to be chosen, with a code."),
    Action.BALANCE: ("PIN", "What is in the account, and how much of it is set aside."),
    Action.LAST: ("PIN", "The last five entries, as many as fit in two parts."),
    Action.PAY: ("payee amount note", "A payment. The answer has the payee's name, the fee, the total and a code."),
    Action.CASH: ("agent amount", "Cash at an agent: the amount is set aside for an hour, until the agent has handed it over."),
    Action.ASK: ("payer amount note", "Asks somebody for money; an agent: to take cash for the account. Open for a day."),
    Action.YES: ("amount", "Pays the newest request. The amount only where the request leaves it open."),
    Action.NO: ("", "Declines the newest request. At once: nothing moves."),
    Action.LOCK: ("PIN", "Nothing leaves the account any more, until it is unlocked, here or on the USSD menu."),
    Action.WATCH: ("number", "Asks somebody to watch over the account, or keeps who was taken away. The answer has the name and a code."),
    Action.UNWATCH: ("number", "Takes a watcher away, with a code. They are told at once, and told everything until the delay is over."),
    Action.WATCHERS: ("PIN", "Who watches over the account, and over whom its holder watches."),
    Action.ACCEPT: ("number", "Agrees to watch over the account of whoever asked last, or of the one who is named. The answer has a code."),
    Action.DECLINE: ("number", "Declines to watch. At once: nothing was told yet."),
    Action.LEAVE: ("number", "Watches over somebody no more, with a code: they are told."),
    Action.LANGUAGE: ("code", "The language in which we write, such as EN, KO or FR."),
    Action.UNLOCK: ("", "Lifts what the holder has locked, on a code and the PIN; what staff have frozen stays."),
    Action.PIN: ("", "Another PIN. The answer has a code; code, old PIN and new PIN are texted back: `4821 2580 13579`."),
    Action.HELP: ("", "All commands, in two parts."),
}
"""What stands behind each word, and what it does."""


def sms_commands_page() -> str:
    """Every command by text, in every language."""
    assert set(SMS_USES) == set(WORDS), set(SMS_USES) ^ set(WORDS)
    codes = list(next(iter(WORDS.values())))
    rows = []
    for action, (behind, meaning) in SMS_USES.items():
        words = " | ".join(", ".join(f"`{word}`" for word in WORDS[action][code]) for code in codes)
        rows.append(f"| {words} | {behind} | {meaning} |")
    return _page(
        "# Commands by text",
        """
        What people can write to the scheme's number. Words of all languages are understood from everybody, in capitals or
        not, in full width or not; a payee is a phone number, with spaces or not, `@handle` or a merchant's seven digits; an
        amount may have a decimal comma and the currency's code.

        A text can be sent in anybody's name. So what moves money or asks for it, and what begins or ends watching, is answered with a code of four digits, and
        is done when the same number texts back the code and the PIN, `4821 2580`, within ten minutes. A wrong code ends the
        question, and three of them in an hour end the hour; only the newest question counts; the same answer again pays
        once. A wrong PIN counts as one on a page does, and locks no USSD. What only shows something takes the PIN. Texts with a PIN stay on the phone
        that sent them: their owner has to delete them, and is told so. We keep that a text came, and nothing that it said.

        Each text is answered by one text at most. What is not understood is answered once an hour to one number, what cannot
        be done ten times; of more than twenty texts a minute, or a hundred an hour, nothing is looked at.
        """,
        f"| {' | '.join(codes)} | Behind it | What it does |\n|{'---|' * (len(codes) + 2)}\n" + "\n".join(rows),
    )


def ussd_page() -> str:
    """Every screen of a phone that dials, in the order of the sources."""
    rows = []
    for name, sheet in SCREENS.items():
        then = [f"{number} {label} → {_screen(goes)}" for number, (label, goes) in enumerate(sheet.choices, 1)]
        if sheet.lists:
            then.append(f"a list → {_screen(sheet.lists)}")
        if sheet.reads is not None:
            then.append(f"reads {sheet.reads.value}")
        if sheet.ends:
            then.append("ends")
        text = sheet.text.replace("\n", "<br>").replace("|", "\\|")
        marks = "after the PIN" if sheet.private else ""
        rows.append(f"| `{name}` | {text} | {'<br>'.join(then)} | {marks} | {_screen(sheet.back) if not sheet.ends else ''} |")
    return _page(
        "# Screens of simple phones",
        f"""
        What a phone shows that dials the scheme's code. On every screen 0 goes back, 00 to the menu and 9 to the next page. A screen
        has at most {SEPTETS_MAX} characters of the GSM alphabet (GSM-7, an extension character counts two) or {UNITS_MAX} of any other
        (UCS-2); what is longer goes on the next page, and a PIN agrees to nothing before the last page was shown. Names have
        {NAME_SHOWN_MAX} characters at most.

        Money moves on the screens `confirm_pay`, `confirm_cash` and `confirm_hold` alone, each time with the PIN. What is private is
        shown after the PIN, which is asked for once in each session. Whoever dials again within {RESUME_S // 60} minutes is asked
        whether to go on where the last session broke off, and reads what became of a payment whose PIN had come. A payment that takes
        longer than {ANSWER_S_MAX:g} seconds goes on without the phone: a text tells how it ended.

        In brackets stands what is done before the next screen is known.
        """,
        "| Screen | Text | What follows | Shown | 0 |\n|---|---|---|---|---|\n" + "\n".join(rows),
    )


def _screen(name: str) -> str:
    return "the screen before" if name == CAME else name if name.startswith("(") else f"`{name}`" if name else ""


def _page(*parts: str) -> str:
    note = "<!-- Generated by `make docs` from the code. Change the code. -->"
    return "\n\n".join(textwrap.dedent(part).strip() for part in (parts[0], note, *parts[1:])) + "\n"


PAGES = {"errors.md": errors_page, "settings.md": settings_page, "sms-commands.md": sms_commands_page, "ussd.md": ussd_page}

if __name__ == "__main__":
    from tests.flow import dishonest_page  # plays the dishonest operator: only for whoever wants the page

    dishonest_page.PAGE.write_text(dishonest_page.played(), "utf-8")
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), "utf-8")
