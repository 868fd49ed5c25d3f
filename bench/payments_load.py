"""The load: signed orders made beforehand, sent over kept-alive connections by plain sockets.

python -m bench.payments_load PORT PEOPLE_FILE SEED COUNT CONNECTIONS RATE

RATE 0 is a closed loop (each connection asks again as soon as it is answered: for capacity), otherwise an open one
(Poisson arrivals at RATE a second, latency from the moment of arrival: for latency). Half of the payments go to one shop,
with its fee; 1 % are above the payer's balance, 1 % have expired, 1 % are repeats. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import sys
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import uvloop
from nacl.signing import SigningKey

from counterfoil.payments.orders import Order, encode

HOT_SHARE = 0.5
REFUSED_SHARE = 0.01
EXPIRED_SHARE = 0.01
REPEATED_SHARE = 0.01


def requests(known: dict[str, Any], count: int, seed: int) -> list[bytes]:
    """`count` HTTP requests, ready to be sent."""
    chance = random.Random(seed)
    keys = [SigningKey(bytes.fromhex(person["seed"])) for person in known["people"]]
    devices = [_uuid(person["device"]) for person in known["people"]]
    rules_hash, now_ms = bytes.fromhex(known["rules_hash"]), time.time_ns() // 1_000_000
    made: list[bytes] = []
    for index in range(count):
        if chance.random() < REPEATED_SHARE and len(made) > 2_000:
            made.append(made[-2_000])
            continue
        who = chance.randrange(len(keys))
        whom = known["shop"] if chance.random() < HOT_SHARE else known["people"][who - 1]
        kind = chance.random()
        order = Order(
            origin=known["origin"],
            asset=known["asset"],
            payer=known["people"][who]["account"],
            payee=whom["account"],
            amount=900_000 if kind < REFUSED_SHARE else chance.randrange(100, 400),
            max_fee=0,
            id=(now_ms + index // 4) << 80 | 0x7 << 76 | chance.getrandbits(76),
            expiry_ms=now_ms - 1 if kind > 1 - EXPIRED_SHARE else now_ms + 3_600_000,
            rules_hash=rules_hash,
        )
        data = encode(order)
        body = b'{"order":"%s","device":"%s","signature":"%s"}' % (_base64(data), devices[who], _base64(keys[who].sign(data).signature))
        made.append(
            b"POST /v1/payments HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )
    return made


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _uuid(value: int) -> bytes:
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])).encode()


class Caller(asyncio.Protocol):
    """One connection: sends, waits for the whole answer, tells `load`."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.buffer = b""
        self.began = 0.0
        self.transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def send(self, request: bytes, began: float) -> None:
        self.began = began
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.buffer.find(b"content-length: ")
        size = int(self.buffer[at + 16 : self.buffer.find(b"\r\n", at)])
        if len(self.buffer) >= end + 4 + size:
            status = self.buffer[9:12]
            self.buffer = b""
            self.load.answered(self, status)

    def connection_lost(self, error: Exception | None) -> None:
        self.load.lost += not self.load.done.is_set()


class Load:
    """Hands requests to connections and keeps the times."""

    def __init__(self, made: list[bytes]) -> None:
        self.waiting = deque(made)
        self.count = len(made)
        self.latencies: list[float] = []
        self.statuses: Counter[bytes] = Counter()
        self.idle: deque[Caller] = deque()  # in turn: the server closes a connection that is silent for five seconds
        self.late: deque[float] = deque()
        self.closed_loop = True
        self.done = asyncio.Event()
        self.lost = 0

    def answered(self, caller: Caller, status: bytes) -> None:
        now = time.perf_counter()
        self.latencies.append(now - caller.began)
        self.statuses[status] += 1
        if len(self.latencies) == self.count:
            self.done.set()
        elif not self.waiting:
            pass
        elif self.closed_loop:
            caller.send(self.waiting.popleft(), now)
        elif self.late:
            caller.send(self.waiting.popleft(), self.late.popleft())
        else:
            self.idle.append(caller)

    async def arrive(self, rate: float, seed: int) -> None:
        """Poisson arrivals. One for which no connection is free waits, and its time counts."""
        chance, at = random.Random(seed), time.perf_counter()
        for _ in range(self.count):
            at += chance.expovariate(rate)
            if (pause := at - time.perf_counter()) > 0:
                await asyncio.sleep(pause)
            if self.idle:
                self.idle.popleft().send(self.waiting.popleft(), at)
            else:
                self.late.append(at)


async def main(port: int, known: dict[str, Any], seed: int, count: int, connections: int, rate: float) -> None:
    load = Load(requests(known, count, seed))
    loop = asyncio.get_running_loop()
    callers = [(await loop.create_connection(lambda: Caller(load), "127.0.0.1", port))[1] for _ in range(connections)]
    began = time.perf_counter()
    if rate:
        load.closed_loop = False
        load.idle.extend(callers)
        await load.arrive(rate, seed)
    else:
        for caller in callers:
            caller.send(load.waiting.popleft(), time.perf_counter())
    await asyncio.wait_for(load.done.wait(), 120)
    elapsed = time.perf_counter() - began
    for caller in callers:
        caller.transport.close()
    assert not load.lost, f"{load.lost} connections were lost"
    latencies = sorted(load.latencies)
    print(
        json.dumps(
            {
                "rate": count / elapsed,
                "p50_ms": latencies[count // 2] * 1_000,
                "p99_ms": latencies[count * 99 // 100] * 1_000,
                "statuses": {status.decode(): number for status, number in load.statuses.items()},
            }
        )
    )


if __name__ == "__main__":
    _, port_, people_, seed_, count_, connections_, rate_ = sys.argv
    uvloop.run(main(int(port_), json.loads(Path(people_).read_text("utf-8")), int(seed_), int(count_), int(connections_), float(rate_)))
