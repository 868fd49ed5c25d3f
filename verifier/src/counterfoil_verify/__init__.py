"""Checks receipts, logs and books of a Counterfoil scheme without trusting the scheme. Shares no code with the server.

Read in this order: report, merkle, note, policy (who signed what), payloads (the formats), receipt, log, rules, audit, complaint.
The formats are specified in docs/reference/log.md and docs/reference/order.md of the project.
"""

__version__ = "26.1.0"
