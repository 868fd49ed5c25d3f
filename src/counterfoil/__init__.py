"""Counterfoil: mobile money that people can check for themselves.

The house is drawn in `docs/explanation/architecture.md`; a payment's whole way is in `payments/service.py`.
"""

__version__ = "26.1.0"
