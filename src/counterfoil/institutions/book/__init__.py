"""Import of an existing institution's book: every line replayed, every stated balance compared.

    FILE + mapping ── reader ──> Book: accounts and their lines, nothing interpreted twice
                       │
                    reconcile    each account alone: `order` finds the order of a day's lines that fits the stated
                       │         balances, differences within the tolerance become rounding entries; an account that
                       │         does not fit is left out whole, and `difference` says at which line
                       ▼
                     entries     pure: deterministic ids, accounts and transfers
                       ▼
                     service     asks the ledger what it has, books the rest, one linked chain per account

The whole file is read and reconciled before the first transfer is booked. Ids are a function of the book's name, the
account and the old transaction number, so a second run, or a run after a crash, books only what is missing.
"""
