"""Several HTTP workers before one house: the process that owns store and ledger, and answers everything but a payment's HTTP."""
