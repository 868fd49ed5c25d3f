"""Eleven ways in which an operator cheats, each carried out with all that it has, and who notices. See `stage` for the scheme."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec
from nacl.signing import SigningKey

from counterfoil.clock import NANOSECONDS
from counterfoil.ids import new_id
from counterfoil.ledger.chart import AccountCode
from counterfoil.parties import statements
from counterfoil.parties.types import KeyAlgorithm
from counterfoil.payments.orders import OrderKind, encode
from counterfoil.payments.types import AuthorisationClass, Receipt
from counterfoil.payments.views import AuditView, KeyChange, KeyReason, KeyView, public_circulation
from counterfoil.tlog.entry import EntryType, Role
from tests.flow.forgery import Draft, History, movement
from tests.flow.means import (
    ANYBODY,
    AUDITOR,
    HOLDER,
    LOG_SEEN_BEFORE,
    OWN_RECEIPT,
    PAYEES_RECEIPT,
    RECEIPT,
    WALLET,
    before_third,
    complaint,
    digest,
    forged_payment,
    multiply,
    payment_at,
    pin,
    published,
    refused,
    repeated,
    rewritten,
    signed_by_ana,
    time_of,
    two_histories,
    wallet_proof,
    write_complaint,
)
from tests.flow.stage import AUDIT, LOG, VERIFY, Books, Look
from tests.payments.publish.logbook import ORIGIN

COUNTERSIGNED = KeyChange.COUNTERSIGNED
TAKEN = 4_000
"""Minor units that leave Ana's account without her will."""


class Way(NamedTuple):
    """One way of doing it, and what came of it."""

    how: str
    looks: list[Look]


class Cheat(NamedTuple):
    """`answer`: what follows for those concerned."""

    title: str
    ways: list[Way]
    answer: str


# 1


def hide_a_debit(books: Books) -> Cheat:
    """4,000 leave Ana's account for Mallory's between her second and third payment."""

    def taking(**changes: Any) -> History:
        history, at = before_third(books)
        history.drafts.insert(at, Draft(EntryType.TRANSFER, time_of(history, at) - 1, forged_payment(books, TAKEN), **changes))
        return history

    ways = []
    with published(books, "hidden-unlogged", taking(logged=False), after=2) as forged:
        looks = [
            books.look(forged, HOLDER, *RECEIPT, code=1, says="the balance does not add up", honest="the balance adds up"),
            books.look(forged, AUDITOR, *AUDIT, code=1, says="and the entry says"),
            books.look(forged, ANYBODY, *LOG, code=0, says="PROVEN"),
        ]
        ways.append(Way("The ledger moves the money and no entry says so; the balance in Ana's next entry is the ledger's.", looks))
    with published(books, "hidden-unsigned", taking(), after=2) as forged:
        looks = [
            books.look(forged, HOLDER, *RECEIPT, code=0, says="entries between them were not shown"),
            books.look(forged, AUDITOR, *AUDIT, code=1, says="the signature by the holder's device is missing or false"),
        ]
        ways.append(Way("The debit is logged with an order that nobody signed, and Ana is not told.", looks))
    with published(books, "hidden-pin", pin(taking()), after=2) as forged:
        looks = [
            books.look(forged, HOLDER, *RECEIPT, code=0, says="entries between them were not shown"),
            books.look(forged, AUDITOR, *AUDIT, code=1, says="the payer has a key of their own"),
        ]
        ways.append(Way("The debit is logged as one that Ana confirmed with a PIN, which leaves no signature, and Ana is not told.", looks))
    hidden = frozenset({books.person("ana")})
    with published(books, "hidden-forked", pin(taking(hidden_from=hidden)), after=2) as forged:
        looks = [
            books.look(forged, HOLDER, *RECEIPT, code=0, says="nothing was hidden between them", honest="nothing was hidden between them"),
            books.look(forged, AUDITOR, *AUDIT, code=1, says="the payer has a key of their own"),
        ]
        how = "As before, and Ana's chain goes on as if the debit were not there: two entries of her account have the same number."
        ways.append(Way(how, looks))
    answer = (
        "Ana's numbers rise by one with each entry. A number that her phone has not been shown is a debit, a credit or a key that she"
        " can ask for, and whoever asks and gets nothing knows enough. Who has a key pays with it, and with nothing else. Of somebody with"
        " a simple phone and no key, no program can tell a forged payment by PIN from a true one: it is counted, and found in their own"
        " chain. Who forks a chain is found by the first auditor."
    )
    return Cheat("Hide a debit", ways, answer)


# 2


def swap_a_key(books: Books) -> Cheat:
    """A key of the operator's is bound to Ana's account, and signs a payment of 4,000 to Mallory."""
    ana, key, device = books.people["ana"], SigningKey(bytes(range(1, 33))), new_id(books.clock)
    named: dict[str, Any] = {"origin": ORIGIN, "device": device, "algorithm": KeyAlgorithm.ED25519, "public_key": bytes(key.verify_key)}

    def swapped(reason: KeyReason, statement: bytes, *, revoking: bool = False, **changes: Any) -> History:
        history, at = before_third(books)
        bound = next(draft for draft in history.drafts if isinstance(draft.view, KeyView) and draft.view.account == ana.account)
        assert isinstance(bound.view, KeyView)
        time = time_of(history, at)
        view = msgspec.structs.replace(
            bound.view, time=time - 2, device=device, public_key=bytes(key.verify_key), reason=reason, statement=statement,
            possession=key.sign(statement).signature, **changes,
        )  # fmt: skip
        paid = forged_payment(books, TAKEN)
        paid = msgspec.structs.replace(paid, time=time - 1, device=device, signature=key.sign(paid.order).signature)
        history.drafts[at:at] = [Draft(EntryType.KEY, time - 2, view), Draft(EntryType.TRANSFER, time - 1, paid)]
        if revoking:
            gone = msgspec.structs.replace(
                bound.view, what=KeyChange.REVOKED, time=time - 2, reason=reason, statement=b"", possession=b"", consent=b""
            )
            history.drafts.insert(at, Draft(EntryType.KEY, time - 2, gone))
        return history

    ways = []
    with published(books, "key-first", swapped(KeyReason.ENROLMENT, statements.enrol(number=ana.address, **named)), after=2) as forged:
        looks = [
            books.look(forged, AUDITOR, *AUDIT, code=1, says="the key was swapped"),
            books.look(forged, HOLDER, *RECEIPT, code=0, says="entries between them were not shown"),
        ]
        ways.append(Way("The key is bound as if it were Ana's first.", looks))
    further = swapped(
        KeyReason.FURTHER_DEVICE, statements.add_device(party=ana.party, **named), by=ana.device, consent=key.sign(b"yes").signature
    )
    with published(books, "key-further", further, after=2) as forged:
        looks = [books.look(forged, AUDITOR, *AUDIT, code=1, says="the signature by the older key is missing or false")]
        ways.append(Way("The key is bound as that of a further device, with a consent that Ana's device never gave.", looks))
    recovered = statements.recover(number=ana.address, **named)
    with published(books, "key-beside", swapped(KeyReason.RECOVERY, recovered), after=2) as forged:
        looks = [
            books.look(forged, AUDITOR, *AUDIT, code=1, says="a recovery leaves an older key in force"),
            books.look(forged, HOLDER, *RECEIPT, code=0, says="entries between them were not shown"),
        ]
        ways.append(Way("The key is bound by a recovery, and Ana's own key stays in force, so that she notices nothing.", looks))
    with published(books, "key-recovery", swapped(KeyReason.RECOVERY, recovered, revoking=True), after=2) as forged:
        looks = [
            books.look(forged, AUDITOR, *AUDIT, code=0, says="recoveries             1", honest="recoveries"),
            books.look(forged, HOLDER, *RECEIPT, code=0, says="entries between them were not shown"),
            books.look(forged, ANYBODY, *LOG, code=0, says="PROVEN"),
        ]
        ways.append(Way("The key is bound as if Ana had lost her device and recovered her account: her own is revoked.", looks))
    answer = (
        "A recovery is what somebody does who has lost every key, so no key of Ana's can speak against it: it is counted, and only she"
        " knows that it was not hers. Whether it waited as long as it must is not in the log. Her device can pay no more, and her own"
        " chain shows it, as a number that she was not shown; she can ask for that entry and prove it to others."
    )
    return Cheat("Swap a key", ways, answer)


# 3


def rewrite_an_amount(books: Books) -> Cheat:
    """Ana's third payment becomes ten times as large."""
    ways = []
    history, at = before_third(books)
    multiply(history, at, 10)
    with published(books, "amount-at-once", history, after=2) as forged:
        write_complaint(books, forged)
        looks = [
            books.look(forged, AUDITOR, *AUDIT, code=1, says="and the entry moves 50000"),
            books.look(forged, HOLDER, *RECEIPT, code=0, says="amount                 50000", honest="amount                 5000"),
            books.look(forged, "payee", *PAYEES_RECEIPT, code=0, says="amount                 50000", honest="amount                 5000"),
            complaint(books, forged, "it is about another payment, account, balance or time"),
        ]  # fmt: skip
        ways.append(Way("Before it is logged: the entry says 50,000, and Ana's order says 5,000.", looks))
    with books.forging("amount-later", town=books.town) as forged:
        rewritten(books, forged, history)
        looks = [
            refused(books, forged, status=422, says="the log has two histories"),
            books.look(forged, ANYBODY, *LOG, code=1, says="the log was rewritten, or forked"),
            books.look(forged, WALLET, *wallet_proof(books, 3), code=1, says="this receipt proves nothing", honest="Receipt"),
            books.look(forged, HOLDER, *RECEIPT, code=1, says="no quorum", honest="the balance adds up"),
        ]
        how = (
            "After witnesses have signed it: the entry and all that follows are made anew, with new tiles, a new root and the log's own"
            " signature; the witnessed heads stay the old ones, because no witness signs the new one."
        )
        ways.append(Way(how, looks))
    answer = (
        "The receipt shows what was logged, and Ana sees that it is not what she ordered. Her acknowledgement names the balance that she"
        " should have: with it her complaint stands against a receipt of another amount. Once witnesses have signed, nothing is rewritten unseen."
    )
    return Cheat("Rewrite an amount", ways, answer)


# 4


def drop_an_entry(books: Books) -> Cheat:
    """An entry that was logged and witnessed is taken out."""
    ways = []
    history = books.history.copy()
    del history.drafts[history.of_payment(books.paid[1].payment.id)]
    with books.forging("dropped-middle", town=books.town) as forged:
        rewritten(books, forged, history)
        looks = [
            refused(books, forged, status=400, says="must not be above the checkpoint's size"),
            books.look(forged, ANYBODY, *LOG, code=1, says="it has shrunk"),
            books.look(forged, WALLET, *wallet_proof(books, 3), code=1, says="this receipt proves nothing", honest="Receipt"),
            books.look(forged, HOLDER, *OWN_RECEIPT, code=0, says="this opening is entry 31", honest="this opening is entry 31"),
        ]
        ways.append(Way("Ana's second payment is left out, and all that follows is made anew.", looks))
    folder = books.root / "dropped-last"
    folder.mkdir()
    shutil.copytree(books.root / "day-before", folder / "log" / "public")
    for name in ("policy", "openings"):
        shutil.copy(books.folder / name, folder)
    seen = books.look(books.folder, ANYBODY, *LOG_SEEN_BEFORE, code=0, says="PROVEN")
    assert seen.noticed == "no"
    shutil.copy(books.folder / "seen", folder)
    looks = [
        books.look(folder, f"{ANYBODY} who looked before", *LOG_SEEN_BEFORE, code=1, says="an old checkpoint is served as new"),
        books.look(folder, f"{ANYBODY} who never looked", *LOG, code=0, says="the newest witness time", honest="the newest witness time"),
    ]
    ways.append(Way("The newest entry disappears: files and heads of the day before are served as the newest ones.", looks))
    folder = books.root / "dropped-file"
    shutil.copytree(books.folder / "log", folder / "log")
    shutil.copy(books.folder / "policy", folder)
    for path in (folder / "log/public/tile/entries/000.p").iterdir():
        path.unlink()
    looks = [books.look(folder, ANYBODY, *LOG, code=2, says="is missing")]
    ways.append(Way("The file with the entries is taken away.", looks))
    answer = (
        "A receipt that Ana has stays proven for ever, without the log. Whoever kept a head (every wallet, every verifier with `--state`,"
        " every witness) sees that the log shrank; somebody who comes for the first time can only see how old the newest witness time is."
    )
    return Cheat("Drop an entry", ways, answer)


# 5


def fork(books: Books) -> Cheat:
    """In one history Ana's third payment goes to Ben, in the other to Mallory; each group is shown one of them."""
    ways = []
    with two_histories(books, colluding=2) as (_, second):
        looks = [
            books.witness_look(second.verdicts[0], status=422, says="the log has two histories"),
            books.look(second, HOLDER, *RECEIPT, code=1, says="no quorum", honest="the balance adds up"),
            books.look(second, "payee", *PAYEES_RECEIPT, code=1, says="no quorum"),
        ]
        ways.append(Way("2 of 5 witnesses help, and cosign both. The other three have seen the first history.", looks))
    with two_histories(books, colluding=3) as (first, second):
        together = (VERIFY, "receipt", "3.tlog-proof", "--previous", "3-bens.tlog-proof", "--policy", "policy")
        books.look(first, ANYBODY, *LOG_SEEN_BEFORE, code=0, says="PROVEN")
        shutil.copy(first.folder / "seen", second.folder)
        looks = [
            books.look(second, "who was shown one history", *LOG, code=0, says="PROVEN"),
            books.look(second, "who has seen both", *LOG_SEEN_BEFORE, code=1, says="the log was rewritten, or forked"),
            books.look(
                second, "two holders who compare", *together, code=1, says="the log was forked", honest_code=2,
                honest="the earlier receipt is of another account",
            ),
        ]  # fmt: skip
        how = "3 of 5 witnesses help, and cosign both. The fourth is shown one history only, the fifth the other one."
        ways.append(Way(how, looks))
    answer = (
        "With 4 of 5, two histories need three witnesses who cheat. Then each group is shown a log that proves, until two people"
        " compare a head: both heads, signed by the operator and by the cheating witnesses, are evidence against all of them."
    )
    return Cheat("Fork the log", ways, answer)


# 6


def acknowledge_and_not_log(books: Books) -> Cheat:
    """Ana has the operator's signed word for her third payment; the log goes on without it."""
    history, at = before_third(books)
    del history.drafts[at]
    with published(books, "never-logged", history, after=2) as forged:
        shutil.copy(forged.folder / "2.tlog-proof", forged.folder / "3.tlog-proof")  # the best that there is for an answer
        write_complaint(books, forged)
        looks = [
            books.look(forged, WALLET, *wallet_proof(books, 3), "--wait", "0", code=3, says="No receipt so far", honest="Receipt"),
            complaint(books, forged, "the operator acknowledged this payment"),
            books.look(forged, AUDITOR, *AUDIT, code=0, says="PROVEN"),
        ]  # fmt: skip
        how = "The order was carried out and acknowledged, and is left out of the log, and so is its effect on every balance."
    answer = (
        "After 60 s by the witnesses' clocks the acknowledgement is a complaint that anybody can decide on. `PROVEN` means here that the"
        " complaint stands. An auditor sees nothing: what was never logged is not in the openings either. Who threw the acknowledgement away has nothing."
    )
    return Cheat("Acknowledge and not log", [Way(how, looks)], answer)


# 7


def credit_from_nothing(books: Books) -> Cheat:
    """Mallory gets 1,000,000 that nobody paid in."""
    mallory, amount = books.person("mallory"), 1_000_000
    sample = next(draft for draft in books.history.drafts if draft.type is EntryType.ISSUE)
    assert isinstance(sample.view, AuditView)
    issuance = sample.view.legs[0].debit
    assert issuance & 0xFFFF == AccountCode.ISSUANCE

    def issued(type: EntryType = EntryType.ISSUE, told_amount: int = amount, **changes: Any) -> History:
        history, at = before_third(books)
        time, payment = time_of(history, at) - 1, new_id(books.clock)
        assert isinstance(sample.view, AuditView)
        view = movement(sample.view, payer=issuance, payee=mallory, amount=amount, id=payment, time=time)
        view = msgspec.structs.replace(view, **changes)
        shown = movement(sample.view, payer=issuance, payee=mallory, amount=told_amount, id=payment, time=time)
        public = public_circulation(shown, "USD") if type is EntryType.ISSUE else b""
        history.drafts.insert(at, Draft(type, time, view, public))
        return history

    ways = []
    with published(books, "issue-secret", issued(), after=2) as forged:
        (forged.public / "public" / str(books.sizes[1])).unlink()
        looks = [books.look(forged, ANYBODY, *LOG, code=2, says=f"public/{books.sizes[1]} is missing")]
        ways.append(Way("Money is issued, and the public part of the entry is not published.", looks))
    with published(books, "issue-smaller", issued(told_amount=1_000), after=2) as forged:
        looks = [
            books.look(forged, ANYBODY, *LOG, code=0, says="'issue': 134000", honest="'issue': 133000"),
            books.look(forged, AUDITOR, *AUDIT, code=1, says="is not what happened"),
        ]
        ways.append(Way("The public part says 1,000, and 1,000,000 are issued.", looks))
    like_a_payment = issued(EntryType.TRANSFER, kind=OrderKind.PAY, authorisation=AuthorisationClass.PIN, service=1)
    with published(books, "issue-as-transfer", like_a_payment, after=2) as forged:
        looks = [books.look(forged, AUDITOR, *AUDIT, code=1, says="money comes from nothing")]
        ways.append(Way("The issue is logged as if it were a transfer, which has no public part.", looks))
    history = issued()
    at = history.of_payment(books.paid[2].payment.id) - 1
    history.drafts[at] = msgspec.structs.replace(history.drafts[at], logged=False)
    with published(books, "balance-alone", history, after=2) as forged:
        looks = [
            books.look(forged, AUDITOR, *AUDIT, code=1, says="and the entry says 1009900"),
            books.look(forged, ANYBODY, *LOG, code=0, says="PROVEN"),
        ]
        ways.append(Way("No entry at all: Mallory's balance in the ledger is raised, and the next entry of the account says so.", looks))
    with published(books, "issue-unbacked", issued(), after=2) as forged:
        looks = [
            books.look(forged, ANYBODY, *LOG, code=0, says="'issue': 1133000", honest="'issue': 133000"),
            books.look(forged, AUDITOR, *AUDIT, code=0, says="PROVEN"),
        ]
        ways.append(Way("The issue is logged and published as it should be, and nobody paid the money into the trust account.", looks))
    answer = (
        "Every unit that is issued is public, so that a bank, or whoever knows the trust account, can hold the total against it. No program"
        " sees whether the money lies in the bank: that needs the bank's own signed statement, which is not part of the log yet."
    )
    return Cheat("Credit from nothing", ways, answer)


# 8


def back_date(books: Books) -> Cheat:
    """A payment, or a rule, is said to be older than it is."""
    ways = []
    history, at = before_third(books)
    early = books.paid[1].completed_at - 1
    view = payment_at(history, at)
    history.drafts[at] = msgspec.structs.replace(history.drafts[at], time=early, view=msgspec.structs.replace(view, time=early))
    with published(books, "dated-back", history, after=2) as forged:
        looks = [
            books.look(forged, HOLDER, *RECEIPT, code=1, says="or the time goes backwards", honest="the balance adds up"),
            books.look(forged, AUDITOR, *AUDIT, code=1, says="it is dated before the payment that stands before it"),
        ]
        ways.append(Way("Ana's third payment is dated before her second one.", looks))
    history, at = before_third(books)
    tariff = msgspec.json.decode(books.rules.document)
    tariff["tariff"]["lines"][0]["flat"] = 5_000
    document = msgspec.json.encode(tariff, order="sorted")
    ana, view = books.people["ana"], payment_at(history, at)
    order = ana.order(view.legs[0].credit, 5_000, rules_hash=digest(document), id=view.payment)
    history.drafts[at].view = signed_by_ana(books, view, encode(order))
    history.drafts.insert(at, Draft(EntryType.RULES, time_of(history, at) - 30 * 86_400 * 10**9, None, document))
    with published(books, "rule-dated-back", history, after=2) as forged:
        looks = [books.look(forged, AUDITOR, *AUDIT, code=1, says="the order is under rules whose notice is not over")]
        how = "A dearer tariff is used at once; the operator's books say that it was announced a month ago. Ana signs what her server tells her."
        ways.append(Way(how, looks))
    history, at = before_third(books)
    stolen = next(draft.view for draft in history.drafts if isinstance(draft.view, KeyView) and draft.view.account == ana.account)
    before = time_of(history, at) - 3_600 * 10**9
    revoked = msgspec.structs.replace(
        stolen, what=KeyChange.REVOKED, reason=KeyReason.REVOKED, time=before, statement=b"", possession=b"", consent=b""
    )
    history.drafts.insert(at, Draft(EntryType.KEY, before, revoked))
    with published(books, "revoked", history, after=2) as forged:
        looks = [books.look(forged, AUDITOR, *AUDIT, code=1, says="was revoked before")]
        ways.append(Way("Ana has revoked a stolen device, and the thief's payment is carried out an hour later all the same.", looks))
    history.drafts[at].view = msgspec.structs.replace(revoked, time=before + 2 * 3_600 * 10**9)
    with published(books, "revoked-ahead", history, after=2) as forged:
        looks = [
            books.look(forged, AUDITOR, *AUDIT, code=1, says="stands after a revocation that is dated after it"),
            books.look(forged, HOLDER, *RECEIPT, code=0, says="entries between them were not shown"),
        ]
        ways.append(Way("As before, and the revocation is dated two hours later than it was.", looks))
    answer = (
        "The times of payments only rise, and no entry's time decides when a rule was announced: the clocks of the witnesses do, and the"
        " operator has none of their keys. The time of a revocation is the operator's word, but its place in the log is not: what stands"
        " behind it is judged by it."
    )
    return Cheat("Back-date", ways, answer)


# 9


def replay_an_order(books: Books) -> Cheat:
    """Ana's second order, with her true signature, is carried out once more."""
    ways = []
    for name, days, sentence in (("replayed", 0, "carried out a second time"), ("replayed-late", 9, "the order had expired")):
        history, at = before_third(books)
        again = payment_at(history, at - 1)
        time = time_of(history, at) - 1 if not days else time_of(history, len(history.drafts) - 1) + days * 86_400 * 10**9
        legs = tuple([msgspec.structs.replace(leg, transfer=new_id(books.clock)) for leg in again.legs])
        draft = Draft(EntryType.TRANSFER, time, msgspec.structs.replace(again, time=time, legs=legs))
        history.drafts.insert(len(history.drafts) if days else at, draft)
        with published(books, name, history, after=2) as forged:
            looks = [books.look(forged, AUDITOR, *AUDIT, code=1, says=sentence)]
            if not days:
                looks.append(books.look(forged, HOLDER, *RECEIPT, code=0, says="entries between them were not shown"))
        how = (
            "The order is carried out again at once, as a new transfer." if not days else "The order is carried out again nine days later."
        )
        ways.append(Way(how, looks))
    answer = (
        "An order has an id and expires after seven days at most: the auditor's program remembers ids for as long as an order can live."
    )
    return Cheat("Replay an order", ways, answer)


# 10


def delay(books: Books) -> Cheat:
    """The log is slow, for one payment or for everybody."""
    ways = []
    history, at = before_third(books)
    late, third = history.drafts.pop(at), payment_at(books.history, at)
    history.drafts.append(msgspec.structs.replace(late, time=third.time))
    sealed = history.seal()
    with books.forging("logged-late") as forged:
        books.publish(forged, sealed[:-1], after=2)
        write_complaint(books, forged)
        head = books.publish(forged, sealed, after=0)
        forged.receipt(len(sealed) - 1, Role.PAYER, head, forged.folder / "3.tlog-proof")
        looks = [
            complaint(books, forged, "it stands after the size that the complaint names"),
            books.look(forged, AUDITOR, *AUDIT, code=1, says="it is dated before the payment that stands before it"),
        ]  # fmt: skip
        ways.append(Way("Ana's third payment is logged more than 60 s after it was acknowledged, behind a later one.", looks))
    with books.forging("silent") as forged:
        books.publish(forged, books.sealed[: books.sizes[2]], after=2)
        books.clock.offset_s += 7_200
        books.publish(forged, books.sealed, after=0)
        books.clock.offset_s -= 7_200
        looks = [books.look(forged, ANYBODY, *LOG, code=0, says="witnesses were silent 1 times", honest="the newest witness time")]
        ways.append(Way("For two hours nothing is published and no witness is asked.", looks))
    answer = (
        "Being late is provable where there is an acknowledgement. A log that stands still shows by the times of its witnesses, which"
        " everybody has to read for themselves. An order that is refused, or never answered, leaves nothing behind that a program could check."
    )
    return Cheat("Delay", ways, answer)


# 11


def use_a_pin(books: Books) -> Cheat:
    """Kofi has no key, and the operator has heard his PIN: an hour after he was there it uses it again."""
    bought, hold, taken = books.by_pin
    kofi, agent = books.people["kofi"], books.people["agent"]

    def with_more(*views: AuditView | KeyView) -> History:
        history = books.history.copy()
        at = history.of_payment(taken.payment.id) + 1
        types = {AuditView: EntryType.TRANSFER, KeyView: EntryType.KEY}
        history.drafts[at:at] = [Draft(types[type(view)], view.time, view) for view in views]
        return history

    def again(receipt: Receipt, minutes: int, pending: Mapping[int, int] = {}) -> AuditView:
        view = payment_at(books.history, books.history.of_payment(receipt.payment.id))
        return repeated(view, time=taken.completed_at + minutes * 60 * NANOSECONDS, id=new_id(books.clock), pending=pending)

    def cash(**changes: Any) -> History:
        held = again(hold, 60)
        before = payment_at(books.history, books.history.of_payment(hold.payment.id))
        capture = again(taken, 61, {old.transfer: new.transfer for old, new in zip(before.legs, held.legs, strict=True)})
        order = encode(
            agent.order(agent, 2_000, id=capture.payment, kind=OrderKind.CAPTURE, payer=kofi.account, reference=held.payment,
                        expiry_ms=capture.time // 1_000_000 + 60_000)
        )  # fmt: skip
        capture = msgspec.structs.replace(capture, order=order, order_hash=digest(order), **changes)
        return with_more(held, capture)

    ways = []
    sent = again(bought, 60)
    to_mallory = movement(sent, payer=kofi.account, payee=books.person("mallory"), amount=2_000, id=sent.payment, time=sent.time)
    with published(books, "pin-mallory", with_more(msgspec.structs.replace(to_mallory, service=1, signature=b"")), after=0) as forged:
        looks = [books.look(forged, AUDITOR, *AUDIT, code=0, says="authorisations", honest="authorisations")]
        ways.append(Way("2,000 go to Mallory, and the entry says that Kofi confirmed it with his PIN.", looks))
    with published(books, "pin-shop", with_more(again(bought, 60)), after=0) as forged:
        looks = [books.look(forged, AUDITOR, *AUDIT, code=0, says="whose own key has not countersigned them")]
        ways.append(Way("The same to the shop, which is not told of it.", looks))
    word = next(draft.view for draft in books.history.drafts if isinstance(draft.view, KeyView) and draft.view.what == COUNTERSIGNED)
    sale, key = again(bought, 60), SigningKey(bytes(32))
    said = statements.Reached(books.person("shop"), sale.payment, sale.order_hash, 2_000, sale.time)
    statement = statements.countersign(said, origin=ORIGIN)
    false = msgspec.structs.replace(word, time=sale.time, statement=statement, possession=key.sign(statement).signature)
    with published(books, "pin-word", with_more(sale, false), after=0) as forged:
        looks = [books.look(forged, AUDITOR, *AUDIT, code=1, says="the signature by the payee's device is missing or false")]
        ways.append(Way("As before, and the operator countersigns it in the shop's name.", looks))
    with published(books, "pin-cash", cash(signature=bytes(64)), after=0) as forged:
        looks = [books.look(forged, AUDITOR, *AUDIT, code=1, says="the signature by the holder's device is missing or false")]
        ways.append(Way("Kofi takes out cash once more, says the log. The agent has signed nothing.", looks))
    with published(books, "pin-token", cash(authorisation=AuthorisationClass.TOKEN, device=0, signature=b""), after=0) as forged:
        looks = [books.look(forged, AUDITOR, *AUDIT, code=1, says="the agent's own key has not signed")]
        ways.append(Way("As before, and the log says that it was the agent's server, whose token is no key.", looks))
    answer = (
        "For cash the operator needs an agent who joins in. A purchase that the shop has not countersigned is named in the auditor's report after"
        " a day; a shop's wallet countersigns what truly reaches it, so a forged purchase from a real customer shows as money for which nobody"
        " came. From person to person a forged payment by PIN looks like a true one: it is counted, limited, told to the payer's watchers and"
        " found in the payer's own chain. Whoever has a key cannot be robbed like this."
    )
    return Cheat("Use somebody's PIN", ways, answer)


CHEATS: tuple[Callable[[Books], Cheat], ...] = (
    hide_a_debit, swap_a_key, rewrite_an_amount, drop_an_entry, fork, acknowledge_and_not_log, credit_from_nothing, back_date,
    replay_an_order, delay, use_a_pin,
)  # fmt: skip
