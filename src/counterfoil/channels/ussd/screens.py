"""Every screen that a phone can show, as data: its words, what can be chosen, what is read, where back leads.

`flows` fills in the values and reads what is typed; a test holds every screen in every language against the size of a screen.
On every screen 0 is back, 00 the menu and 9 the next page; so at most eight things can be chosen.
"""

from __future__ import annotations

import enum

import msgspec

CHOICES_MAX = 8
MENU, WELCOME, RESUME, UNLOCK = "menu", "welcome", "resume", "unlock"
CAME = "(came)"
"""As `back`: the screen with which this payment began."""


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


class Reads(enum.Enum):
    """What is typed on a screen that offers nothing to choose."""

    ADDRESS = "a number, a name with @, a code"
    AMOUNT = "an amount in major units"
    NAME = "a person's name"
    PIN = "a PIN: shown nowhere, kept nowhere"


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """One screen.

    Attributes:
        text: in English, with %(values)s.
        choices: what 1, 2, ... say, and the screens that they lead to. Those of a list are filled in with the values, and lead to `lists`.
        reads: what is typed instead.
        back: the screen behind 0; "" for none.
        ends: the session is over.
        private: only after the PIN, once in each session.
    """

    text: str
    choices: tuple[tuple[str, str], ...] = ()
    lists: str = ""
    reads: Reads | None = None
    back: str = MENU
    ends: bool = False
    private: bool = False

    @property
    def can_resume(self) -> bool:
        """Whether whoever dials again is asked to go on here."""
        return self.reads is not None


ASK = N_("Ask for money")
"""Last in the list of requests, and alone where there are none."""

SCREENS: dict[str, Sheet] = {
    # Without an account
    WELCOME: Sheet(text=N_("Welcome to %(scheme)s"), lists="start", back=""),
    "start": Sheet(
        text=N_("%(scheme)s: money on any phone."),
        choices=((N_("Open an account"), "name"), (N_("Help"), "help")),
        back=WELCOME,
    ),
    "name": Sheet(text=N_("Your name, as others will see it:"), reads=Reads.NAME, back="start"),
    "first_pin": Sheet(text=N_("%(name)s, choose a PIN of 4 to 8 digits that nobody guesses:"), reads=Reads.PIN, back="name"),
    "first_pin_again": Sheet(text=N_("The same PIN again:"), reads=Reads.PIN, back="first_pin"),
    "opened": Sheet(text=N_("Your account is open, %(name)s. Others pay you at %(number)s. Never tell anyone your PIN."), back=MENU),
    "no_account": Sheet(text=N_("This number belongs to somebody without an account."), ends=True),
    # The menu
    MENU: Sheet(
        text="%(scheme)s",
        choices=(
            (N_("Send money"), "to"),
            (N_("Pay a merchant"), "code"),
            (N_("Cash in or out"), "cash"),
            (N_("Requests"), "requests"),
            (N_("Balance"), "balance"),
            (N_("Last payments"), "latest"),
            (N_("My account"), "account"),
            (N_("Help"), "help"),
        ),
        back="",
    ),
    RESUME: Sheet(
        text=N_("Your last session broke off."), choices=((N_("Go on with it"), "(continue)"), (N_("Start anew"), MENU)), back=""
    ),
    UNLOCK: Sheet(text=N_("Your PIN:"), reads=Reads.PIN),
    # Paying
    "to": Sheet(text=N_("To whom? A phone number, or a name with @:"), reads=Reads.ADDRESS),
    "code": Sheet(text=N_("The merchant's code, 7 digits:"), reads=Reads.ADDRESS),
    "agent": Sheet(text=N_("The agent's code or phone number:"), reads=Reads.ADDRESS, back="cash"),
    "cash": Sheet(text=N_("Cash at an agent"), choices=((N_("Cash in"), "agent_in"), (N_("Cash out"), "agent"))),
    "agent_in": Sheet(text=N_("The agent's code or phone number:"), reads=Reads.ADDRESS, back="cash"),
    "amount_in": Sheet(text=N_("%(name)s: how much, in %(currency)s?"), reads=Reads.AMOUNT, back="agent_in"),
    "confirm_in": Sheet(
        text=N_("Cash to %(name)s: %(amount)s\nInto your account: %(received)s\nPIN to agree:"), reads=Reads.PIN, back="agent_in"
    ),
    "asked_in": Sheet(text=N_("Give %(name)s %(amount)s in cash, and wait for the SMS that says it is in your account."), ends=True),
    "amount": Sheet(text=N_("%(name)s: how much, in %(currency)s?"), reads=Reads.AMOUNT, back=CAME),
    "confirm_pay": Sheet(text=N_("To %(name)s: %(amount)s\nFee %(fee)s\nIn all %(total)s\nPIN to agree:"), reads=Reads.PIN, back=CAME),
    "confirm_cash": Sheet(
        text=N_("Cash from %(name)s: %(amount)s\nFee %(fee)s\nIn all %(total)s\nPIN to agree:"), reads=Reads.PIN, back=CAME
    ),
    "confirm_hold": Sheet(
        text=N_("Set aside for %(name)s: %(amount)s\nFee %(fee)s\nIn all %(total)s\nPIN to agree:"), reads=Reads.PIN, back=CAME
    ),
    "paid": Sheet(text=N_("Paid: %(amount)s to %(name)s. Fee %(fee)s. Your balance: %(balance)s."), ends=True),
    "cash_waits": Sheet(
        text=N_(
            "%(amount)s is set aside for %(name)s, who gives you the cash and takes it. Unless that is done it is yours again at %(time)s."
        ),
        ends=True,
    ),
    "set_aside": Sheet(text=N_("%(amount)s is set aside for %(name)s until %(time)s."), ends=True),
    "refused": Sheet(text="%(sentence)s", ends=True),
    "queued": Sheet(text=N_("Your payment is on its way. An SMS follows when it is done. Dial again to look."), ends=True),
    "unknown": Sheet(text=N_("We do not know yet whether it was paid. Dial again to look: it is paid only once."), ends=True),
    "on_its_way": Sheet(
        text=N_("Your payment of %(amount)s to %(name)s is on its way."),
        choices=((N_("Look again"), "(outcome)"), (N_("Menu"), MENU)),
        back="",
    ),
    # Requests
    "requests": Sheet(text=N_("Who asks you for money:"), lists="request", private=True),
    "no_requests": Sheet(text=N_("Nobody asks you for money."), choices=((ASK, "ask_whom"),), private=True),
    "request": Sheet(
        text=N_("%(name)s asks for %(amount)s. %(memo)s"),
        choices=((N_("Pay"), "(answer)"), (N_("Decline"), "(decline)")),
        back="requests",
        private=True,
    ),
    "request_open": Sheet(
        text=N_("%(name)s asks for money. %(memo)s"),
        choices=((N_("Pay"), "request_amount"), (N_("Decline"), "(decline)")),
        back="requests",
        private=True,
    ),
    "request_amount": Sheet(text=N_("%(name)s: how much, in %(currency)s?"), reads=Reads.AMOUNT, back="requests"),
    "parking": Sheet(
        text=N_("Parking at %(name)s: %(fee)s so far, %(held)s set aside. That is enough until %(time)s."),
        choices=((N_("Set more aside"), "(park)"),),
        back="requests",
        private=True,
    ),
    "parking_due": Sheet(
        text=N_("Parking at %(name)s: %(due)s to pay before you leave."),
        choices=((N_("Set more aside"), "(park)"),),
        back="requests",
        private=True,
    ),
    "ask_whom": Sheet(text=N_("Who is to pay you? A phone number, or a name with @:"), reads=Reads.ADDRESS, back="requests"),
    "ask_amount": Sheet(text=N_("%(name)s: how much, in %(currency)s?"), reads=Reads.AMOUNT, back="ask_whom"),
    "confirm_ask": Sheet(text=N_("Ask %(name)s for %(amount)s?"), choices=((N_("Ask"), "(ask)"),), back="ask_whom", private=True),
    "asked": Sheet(text=N_("%(name)s is asked for %(amount)s. We tell you when it is paid."), ends=True),
    # What there is
    "balance": Sheet(text=N_("Balance: %(balance)s"), private=True),
    "balance_held": Sheet(text=N_("Balance: %(balance)s\nSet aside: %(held)s\nTo spend: %(available)s"), private=True),
    "latest": Sheet(text="%(lines)s", private=True),
    "no_payments": Sheet(text=N_("No payments so far."), private=True),
    # The account
    "account": Sheet(
        text=N_("My account"),
        choices=(
            (N_("Change PIN"), "old_pin"),
            (N_("Language"), "language"),
            (N_("Lock the account"), "lock"),
            (N_("Watchers"), "watchers"),
            (N_("My cards"), "cards"),
        ),
    ),
    "account_locked": Sheet(
        text=N_("Your account is locked."),
        choices=(
            (N_("Change PIN"), "old_pin"),
            (N_("Language"), "language"),
            (N_("Unlock the account"), "unlock_account"),
            (N_("Watchers"), "watchers"),
            (N_("My cards"), "cards"),
        ),
    ),
    "old_pin": Sheet(text=N_("Your old PIN:"), reads=Reads.PIN, back="account"),
    "new_pin": Sheet(text=N_("Your new PIN, 4 to 8 digits that nobody guesses:"), reads=Reads.PIN, back="account", private=True),
    "new_pin_again": Sheet(text=N_("The same PIN again:"), reads=Reads.PIN, back="account", private=True),
    "pin_changed": Sheet(text=N_("Your PIN is changed. Never tell it to anyone.")),
    "language": Sheet(text=N_("Language"), lists="(speak)", back="account"),
    "lock": Sheet(
        text=N_("Locked, your account pays nobody until you unlock it here with your PIN.\nPIN to lock:"), reads=Reads.PIN, back="account"
    ),
    "locked": Sheet(text=N_("Your account is locked."), ends=True),
    "unlock_account": Sheet(text=N_("PIN to unlock your account:"), reads=Reads.PIN, back="account"),
    "unlocked": Sheet(text=N_("Your account is unlocked.")),
    # Cards
    "cards": Sheet(text=N_("Your cards. Lost one? Lock it:"), lists="(card)", back="account", private=True),
    "no_cards": Sheet(text=N_("You have no card."), back="account", private=True),
    "card_open": Sheet(
        text=N_("The card %(card)s pays with your PIN."), choices=((N_("Lock it"), "(lock_card)"),), back="cards", private=True
    ),
    "card_locked": Sheet(
        text=N_("The card %(card)s is locked, and pays nothing."),
        choices=((N_("Unlock it"), "(unlock_card)"),),
        back="cards",
        private=True,
    ),
    # Watchers
    "watchers": Sheet(
        text=N_("A watcher is told of all that happens to an account."),
        choices=((N_("Who watches over me"), "my_watchers"), (N_("Choose a watcher"), "watcher"), (N_("Over whom I watch"), "watched")),
        back="account",
    ),
    "my_watchers": Sheet(text=N_("Who watches over you:"), lists="(my_watcher)", back="watchers", private=True),
    "no_watchers": Sheet(text=N_("Nobody watches over your account."), back="watchers", private=True),
    "watcher_asked": Sheet(
        text=N_("%(name)s was asked, and has not answered."),
        choices=((N_("No longer ask"), "take_back"),),
        back="my_watchers",
        private=True,
    ),
    "watcher_active": Sheet(
        text=N_("%(name)s is told of all that happens to your account."),
        choices=((N_("Take them away"), "take_away"),),
        back="my_watchers",
        private=True,
    ),
    "watcher_ending": Sheet(
        text=N_("%(name)s is told until %(time)s, then no more."), choices=((N_("Keep"), "(keep)"),), back="my_watchers", private=True
    ),
    "take_back": Sheet(text=N_("PIN to no longer ask %(name)s:"), reads=Reads.PIN, back="my_watchers"),
    "take_away": Sheet(
        text=N_("%(name)s hears of it at once, and of all that happens for %(hours)s h more.\nPIN to take away:"),
        reads=Reads.PIN,
        back="my_watchers",
    ),
    "watcher": Sheet(text=N_("Who is to watch? A phone number, a name with @ or a code:"), reads=Reads.ADDRESS, back="watchers"),
    "confirm_watcher": Sheet(
        text=N_("%(name)s will be told when money moves in your account, and how much.\nPIN to ask:"), reads=Reads.PIN, back="watcher"
    ),
    "watched": Sheet(text=N_("Over whom you watch:"), lists="(watched)", back="watchers", private=True),
    "nobody_watched": Sheet(text=N_("You watch over nobody."), back="watchers", private=True),
    "watched_asked": Sheet(
        text=N_("%(name)s asks you to watch: you would be told when money moves in their account."),
        choices=((N_("Agree"), "(agree)"), (N_("Decline"), "(refuse)")),
        back="watched",
        private=True,
    ),
    "watched_active": Sheet(
        text=N_("You are told of all that happens to the account of %(name)s."),
        choices=((N_("Stop watching"), "stop_watching"),),
        back="watched",
        private=True,
    ),
    "watched_ending": Sheet(
        text=N_("%(name)s has taken you away. You are told until %(time)s."),
        choices=((N_("Stop watching"), "stop_watching"),),
        back="watched",
        private=True,
    ),
    "stop_watching": Sheet(
        text=N_("You are told nothing more, and %(name)s hears of it."),
        choices=((N_("Stop watching"), "(leave)"),),
        back="watched",
        private=True,
    ),
    "help": Sheet(
        text=N_(
            "0 goes back, 00 to the menu, 9 to the next page. Money moves only with your PIN: never tell it to anyone. "
            "Agents give and take cash. Phone lost? Have your account locked at %(scheme)s."
        )
    ),
}
"""In brackets: what is done, before the next screen is known (see `flows`)."""

MORE, BACK = N_("More"), N_("Back")

# Words before a screen, which is shown again
CHOOSE = N_("Choose one of these numbers.")
NOT_UNDERSTOOD = N_("That was not understood. Nothing was paid.")
OUT_OF_STEP = N_("The network lost its place. Nothing was paid.")
PIN_DIGITS = N_("A PIN is 4 to 8 digits.")
PIN_GUESSED = N_("This PIN is too easy to guess.")
PIN_DIFFERS = N_("The two PINs were not the same.")
NOT_A_NAME = N_("A name has letters, at most 100.")
NOT_A_CODE = N_("This is not a merchant's code.")
NOT_AN_AGENT = N_("This is not an agent.")
PAID = N_("Paid: %(amount)s to %(name)s.")
SET_ASIDE = N_("Set aside: %(amount)s for %(name)s.")
NOT_PAID_FINALLY = N_("Not paid. %(sentence)s")
NOT_PAID = N_("This was not paid so far.")
TOO_OLD = N_("That was too long ago. Nothing was paid.")
DECLINED = N_("Declined.")
ANSWERED = N_("This request has been answered, or its time is over.")
ASKED = N_("asked")
UNTIL = N_("until %(time)s")
TAKEN_BACK = N_("No longer asked.")
LEFT = N_("You no longer watch.")
ANSWERED_BY_NOW = N_("This has been answered, or has ended.")
ONLY_PEOPLE = N_("Watchers are for people's own accounts.")
NOT_YOURSELF = N_("Choose somebody else than yourself.")
NO_PIN = N_("Your account has no PIN yet. Ask %(scheme)s for one.")
LATER = N_("This does not work at the moment. Try again in a minute.")
OTHER_NUMBER = N_("This session is another number's. Dial again.")
NO_NUMBER = N_("Your number was not understood.")
PARKING = N_("Parking: %(name)s")
CAR_GONE = N_("This car has left.")
CARD_GONE = N_("This card is no longer yours.")
LOCKED = N_("%(card)s (locked)")
