"""What segno draws, another program reads: payment codes, slips' addresses and receipts, from the picture."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import segno
import zxingcpp

from counterfoil.tlog.proof import QR_SIZE_MAX, qr_text

CODES: list[dict[str, Any]] = json.loads(Path(__file__).with_name("codes.json").read_text("utf-8"))["codes"]


def seen(code: segno.QRCode, *, border: int = 4) -> list[str]:
    """What the reader finds in a picture of `code`, four pixels a module."""
    rows = [bytes(0 if dark else 255 for dark in row for _ in range(4)) for row in code.matrix_iter(border=border)]
    width = len(rows[0])
    pixels = memoryview(b"".join(row * 4 for row in rows)).cast("B", shape=(4 * len(rows), width))
    return [found.text for found in zxingcpp.read_barcodes(pixels)]


@pytest.mark.parametrize("entry", CODES, ids=lambda entry: entry["id"])
def test_a_payment_code_is_read_from_its_picture(entry: dict[str, Any]) -> None:
    assert seen(segno.make_qr(entry["text"], error="m", boost_error=False)) == [entry["text"]]


@pytest.mark.parametrize("size", [1, 400, 1_200, 2_000])
def test_a_receipts_code_is_read_from_its_picture(size: int) -> None:
    text = qr_text(bytes(range(256)) * (size // 256) + bytes(range(size % 256)))
    assert len(text) <= QR_SIZE_MAX
    assert seen(segno.make_qr(text, error="l", mode="alphanumeric", boost_error=False)) == [text]


def test_a_code_without_its_quiet_corner_is_not_read() -> None:
    code = segno.make_qr(CODES[0]["text"], error="m", boost_error=False)
    matrix = [bytearray(row) for row in code.matrix]
    for row in matrix[:9]:
        row[:9] = bytes(9)  # one of the three finders is gone
    image = io.BytesIO(b"".join(bytes(0 if dark else 255 for dark in row for _ in range(4)) * 4 for row in matrix))
    side = 4 * len(matrix)
    assert not zxingcpp.read_barcodes(memoryview(image.getvalue()).cast("B", shape=(side, side)))
