"""What a proof that does not hold raises. `errors.Malformed` is for bytes in a wrong form; this is for a well-formed falsehood. Pure."""

from __future__ import annotations


class NotProven(Exception):
    """Well-formed, and not shown to be true: a wrong root, a missing signature, too few witnesses. The message says what, in words."""
