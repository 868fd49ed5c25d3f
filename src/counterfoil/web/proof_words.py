"""The words of the receipt check: what each step shows, what each finding means, and the names of the fields."""

from __future__ import annotations

from counterfoil.i18n import Language


def N_(text: str) -> str:  # noqa: N802 - gettext's own mark for texts that are translated later
    return text


STEPS = {
    "receipt": N_("The receipt can be read"),
    "policy": N_("It is clear whom you trust"),
    "log": N_("The log signed this state of its entries"),
    "witnesses": N_("Enough witnesses confirmed the same state"),
    "opening": N_("Your details lead to one sealed entry"),
    "inclusion": N_("That entry is in the log"),
    "content": N_("Its details are complete"),
    "chain": N_("It follows on the receipt before it"),
    "code": N_("The code of the text message is this entry's"),
}
STATES = {
    "proven": N_("proven"),
    "refuted": N_("false"),
    "unreadable": N_("cannot be checked"),
    "unsupported": N_("cannot be checked"),
    "skipped": N_("not reached"),
}
VERDICTS = {
    "proven": N_("Proven"),
    "refuted": N_("Not proven: step %(step)s is false"),
    "unreadable": N_("Cannot be checked: step %(step)s"),
    "unsupported": N_("This browser cannot check receipts"),
}
FINDINGS = {
    "receipt.proven": N_("It names entry %(index)s of a log with %(size)s entries."),
    "policy.proven": N_("Your list names the log and %(witnesses)s witnesses."),
    "log.proven": N_("The signature of %(origin)s under %(size)s entries is true."),
    "witnesses.proven": N_("%(count)s confirmed it, the last at %(newest)s UTC: %(names)s."),
    "opening.proven": N_("Its fingerprint was computed here from your details alone. Any other amount or name has another fingerprint."),
    "inclusion.proven": N_(
        "Entry %(index)s of %(size)s has this fingerprint. It cannot be taken out or changed without the witnesses noticing."
    ),
    "content.proven": N_("Every byte of it was read and is shown below."),
    "receipt.long": N_("This is too long for a receipt."),
    "receipt.header": N_("This is not a receipt. It begins with c2sp.org/tlog-proof@v1, or with CF1: in a QR code."),
    "receipt.no_opening": N_("The line with your details (extra) is missing."),
    "receipt.index": N_("The line with the number of the entry (index) is not in its form."),
    "receipt.hash": N_("A line of the way through the log is damaged. Take the file itself, not a copy typed by hand."),
    "receipt.opening": N_("The line with your details (extra) is damaged. Take the file itself, not a copy typed by hand."),
    "receipt.packed": N_("The QR code's text is damaged or not whole."),
    "receipt.checkpoint": N_("The log's state at the end of the receipt is not in its form."),
    "receipt.note": N_("The signatures at the end of the receipt are damaged or not whole."),
    "receipt.utf8": N_("This is not text."),
    "policy.form": N_("The list of whom you trust is not in its form."),
    "policy.line": N_("Line %(line)s of the list of whom you trust is not in its form."),
    "policy.no_quorum": N_("The list of whom you trust does not say how many witnesses are enough."),
    "log.unknown": N_("It is from the log %(origin)s, which you do not trust. Somebody may have made a log of their own."),
    "log.unsigned": N_("The log %(origin)s has not signed it with the key that you know. It may be invented."),
    "log.signature": N_("The signature of %(origin)s does not fit. The receipt was changed after it was signed, or never was signed."),
    "witnesses.signature": N_("The signature of %(name)s does not fit. The receipt was changed, or the confirmation is forged."),
    "witnesses.few": N_(
        "Only %(count)s of the witnesses that you trust confirmed it; %(needed)s are needed. You may be shown a log that others do not see."
    ),
    "inclusion.beyond": N_("The log has only %(size)s entries: there is no entry %(index)s. The receipt is not of this log."),
    "inclusion.root": N_("Entry %(index)s of this log is another one. The details were changed, or this payment is not in the log."),
    "content.form": N_("The entry is in the log, but its details are not in the form that everybody agreed on. Show it to an auditor."),
    "content.kind": N_("The entry is in the log, but this page does not know its kind (%(type)s, view %(role)s)."),
    "unsupported": N_("It needs WebCrypto and a secure address (https). Take a newer browser, or counterfoil-verify."),
    "skipped": "",
    "chain.proven": N_("It is number %(seq)s of your account, directly after the other, and %(before)s became %(balance)s as it says."),
    "chain.sequence": N_("It is number %(seq)s of your account, directly after the other."),
    "chain.fork": N_(
        "Another entry stands before number %(seq)s of your account. You were shown two histories: keep both receipts, they are evidence."
    ),
    "chain.balance": N_("After it the balance should be %(expected)s, and it says %(balance)s. Keep both receipts, they are evidence."),
    "chain.gap": N_("%(missing)s entries of your account lie between the two. Ask for those receipts."),
    "chain.order": N_("The other receipt is number %(before)s and this one number %(seq)s: it is not the one before."),
    "chain.other_account": N_("The two receipts are of two accounts."),
    "chain.other_log": N_("The two receipts are of two logs."),
    "chain.no_sequence": N_("Receipts of this kind do not follow on each other."),
    "chain.not_proven": N_("The receipt before it is not proven itself."),
    "code.proven": N_("It was computed here from the entry, and is the same."),
    "code.other": N_(
        "This entry has another code. You were shown the receipt of another payment: the text or this server does not tell the truth."
    ),
}
FIELDS = {
    "type": N_("Entry"),
    "event": N_("What happened"),
    "kind": N_("Order"),
    "authorisation": N_("Agreed by"),
    "account": N_("Account"),
    "direction": N_("Direction"),
    "counterparty": N_("Other account"),
    "payment": N_("Payment"),
    "order_hash": N_("Fingerprint of the order"),
    "amount": N_("Amount"),
    "fee": N_("Fee"),
    "balance": N_("Balance after it"),
    "held": N_("Set aside"),
    "time": N_("When (UTC)"),
    "seq": N_("Number in the account"),
    "prev": N_("Entry before it"),
    "what": N_("What happened"),
    "device": N_("Device"),
    "algorithm": N_("Kind of key"),
    "public_key": N_("Public key"),
    "by": N_("Older device that agreed"),
    "reason": N_("Reason"),
    "freeze": N_("Freeze"),
    "incoming": N_("Money coming in"),
    "expires_at": N_("Ends (UTC)"),
    "reason_hash": N_("Fingerprint of the reason"),
    "code": N_("Kind of account"),
    "ledger": N_("Ledger"),
    "flags": N_("Rules of the account"),
    "tier": N_("Tier"),
    "public": N_("Public text"),
    "audit": N_("For the auditor"),
    "index": N_("Entry in the log"),
    "leaf": N_("Fingerprint of the entry"),
}
CHOICES = {
    "type.1": N_("payment"),
    "type.2": N_("issue of money"),
    "type.3": N_("withdrawal of money"),
    "type.4": N_("key of a device"),
    "type.5": N_("rules"),
    "type.6": N_("freeze"),
    "type.10": N_("account"),
    "event.0": N_("done at once"),
    "event.1": N_("set aside"),
    "event.2": N_("taken from what was set aside"),
    "event.3": N_("given back"),
    "event.4": N_("given back, time was over"),
    "kind.0": N_("none (imported book)"),
    "kind.1": N_("payment"),
    "kind.2": N_("hold"),
    "kind.3": N_("capture"),
    "kind.4": N_("release"),
    "kind.5": N_("refund"),
    "kind.6": N_("reversal"),
    "kind.7": N_("issue"),
    "kind.8": N_("withdrawal"),
    "authorisation.0": N_("nobody (no order)"),
    "authorisation.1": N_("the holder's device"),
    "authorisation.2": N_("the holder's PIN"),
    "authorisation.3": N_("the holder's card"),
    "authorisation.4": N_("two members of staff"),
    "authorisation.5": N_("a mandate of the holder"),
    "authorisation.6": N_("the merchant's server"),
    "direction.0": N_("out"),
    "direction.1": N_("in"),
    "key.1": N_("key bound"),
    "key.2": N_("key revoked"),
    "key.3": N_("payments by PIN allowed or stopped"),
    "algorithm.1": "Ed25519",
    "algorithm.2": "P-256",
    "reason.1": N_("enrolment"),
    "reason.2": N_("further device"),
    "reason.3": N_("recovery"),
    "reason.4": N_("revoked"),
    "reason.5": N_("the holder's word"),
    "freeze.1": N_("account frozen"),
    "freeze.2": N_("account no longer frozen"),
    "incoming.0": N_("still allowed"),
    "incoming.1": N_("stopped, too"),
    "account.1": N_("account opened"),
    "account.2": N_("account closed"),
    "account.3": N_("tier changed"),
}
OTHER = {
    "says": N_("What the log says"),
    "none": N_("none"),
    "no_scan": N_("This browser cannot read QR codes. Paste the receipt, or open its file."),
    "no_camera": N_("The camera cannot be used. Paste the receipt, or open its file."),
    "no_code": N_("There is no QR code of a receipt in this picture."),
    "scanning": N_("Hold the QR code in front of the camera."),
    "not_text": N_("This file is not a receipt."),
}


def words(language: Language) -> dict[str, dict[str, str]]:
    """All of them in one language, as the page's script takes them."""
    tables = {
        "steps": STEPS, "states": STATES, "verdicts": VERDICTS, "findings": FINDINGS, "fields": FIELDS, "choices": CHOICES, "other": OTHER,
    }  # fmt: skip
    return {name: {key: language.text(text) if text else "" for key, text in table.items()} for name, table in tables.items()}
