"""From what the ledger and the parties have committed to the entries of the log."""
