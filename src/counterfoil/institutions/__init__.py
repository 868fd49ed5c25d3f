"""Agents and float, bank links, clearing, settlement and reconciliation; and the import of an institution's existing books."""
