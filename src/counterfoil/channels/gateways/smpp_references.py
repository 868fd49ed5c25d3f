"""Ids that an SMSC gives texts, and how it writes them in receipts: often the same number, but in the other of hex and decimal. Pure."""

from __future__ import annotations

import enum
import re
from collections import OrderedDict

REMEMBERED_MAX = 100_000
"""Ids of texts that were sent last: enough to learn how this SMSC writes them."""


class Form(enum.Enum):
    SAME = 1
    TO_HEX = 2
    """The receipt has it in decimal, the answer had it in hex."""
    TO_DECIMAL = 3


class References:
    """Learns from the first receipt that fits only one way, and reads later ones so, those of texts sent before a restart as well."""

    def __init__(self) -> None:
        self._sent: OrderedDict[str, int] = OrderedDict()
        self._form = Form.SAME

    def sent(self, id: str, text: int) -> str:
        """The reference that stands for an SMSC's id of a text from now on: without zeros in front, hex in capitals."""
        reference = canonical(id)
        self._sent[reference] = text
        self._sent.move_to_end(reference)
        if len(self._sent) > REMEMBERED_MAX:
            self._sent.popitem(last=False)
        return reference

    def text(self, reference: str) -> int | None:
        """The text's own id, while it is remembered: a receipt may be here before its reference is written down anywhere."""
        return self._sent.get(reference)

    def receipted(self, id: str) -> str:
        """The reference of the text that a receipt with this id is about."""
        forms = {Form.SAME: canonical(id)}
        if re.fullmatch(r"[0-9]{1,20}", id, re.ASCII):
            forms[Form.TO_HEX] = f"{int(id):X}"
        if re.fullmatch(r"[0-9A-Fa-f]{1,16}", id, re.ASCII):
            forms[Form.TO_DECIMAL] = str(int(id, 16))
        for form in sorted(forms, key=lambda each: (each is not self._form, each.value)):
            if forms[form] in self._sent:
                self._form = form
                return forms[form]
        return forms.get(self._form, forms[Form.SAME])


def canonical(id: str) -> str:
    """One form for all ways to write an id: zeros in front and small letters mean nothing where it is a number."""
    return id.lstrip("0").upper() or "0" if re.fullmatch(r"[0-9A-Fa-f]+", id, re.ASCII) else id
