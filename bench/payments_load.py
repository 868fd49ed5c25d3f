"""The load: signed orders made beforehand, sent over kept-alive connections by plain sockets.

python -m bench.payments_load PORT PEOPLE_FILE SEED COUNT CONNECTIONS RATE

RATE 0 is a closed loop (each connection asks again as soon as it is answered: for capacity), otherwise an open one
(Poisson arrivals at RATE a second, latency from the moment of arrival: for latency). Half of the payments go to one shop,
with its fee; 1 % are above the payer's balance, 1 % have expired, 1 % are repeats. Prints one line of JSON.

It stands for phones that have processors of their own, and here shares two with the server: so everything is made beforehand,
and nothing but epoll, `send` and `recv` is left while the clock runs.
"""

from __future__ import annotations

import base64
import gc
import json
import random
import select
import socket
import sys
import time
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


class Caller:
    """One connection: sends, gathers the whole answer.

    Attributes:
        request: the last one sent.
        answer: the body of its answer, once it is here whole.
    """

    __slots__ = ("answer", "began", "buffer", "request", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.buffer = b""
        self.began = 0.0
        self.request = self.answer = b""

    def send(self, request: bytes, began: float) -> None:
        self.began = began
        self.request = request
        assert self.socket.send(request) == len(request), "a request is smaller than any socket's buffer"

    def receive(self) -> bytes | None:
        """The status of the answer, once it is here whole."""
        data = self.socket.recv(65_536)
        assert data, "the server closed a connection"
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        at = self.buffer.find(b"content-length: ")
        size = int(self.buffer[at + 16 : self.buffer.find(b"\r\n", at)])
        if len(self.buffer) < end + 4 + size:
            return None
        status = self.buffer[9:12]
        self.answer, self.buffer = self.buffer[end + 4 :], b""
        return status


class Load:
    """Hands requests to connections and keeps the times.

    Attributes:
        newest: the status of the answer that came last.
    """

    def __init__(self, made: list[bytes], callers: list[Caller]) -> None:
        self.waiting = deque(made)
        self.count = len(made)
        self.latencies: list[float] = []
        self.statuses: Counter[bytes] = Counter()
        self.newest = b""
        self.callers = {caller.socket.fileno(): caller for caller in callers}
        self.poll = select.epoll()
        for number in self.callers:
            self.poll.register(number, select.EPOLLIN)

    def closed(self) -> None:
        """Each connection asks again as soon as it is answered."""
        for caller in self.callers.values():
            caller.send(self.waiting.popleft(), time.perf_counter())
        while len(self.latencies) < self.count:
            for caller in self._answered(1.0):
                if self.waiting:
                    caller.send(self.waiting.popleft(), time.perf_counter())

    def open(self, rate: float, seed: int) -> None:
        """Poisson arrivals. One for which no connection is free waits, and its time counts."""
        chance, at = random.Random(seed), time.perf_counter()
        idle = deque(self.callers.values())  # in turn: the server closes a connection that is silent for five seconds
        at += chance.expovariate(rate)
        while len(self.latencies) < self.count:
            while self.waiting and idle and at <= time.perf_counter():
                idle.popleft().send(self.waiting.popleft(), at)
                at += chance.expovariate(rate)
            until_next = at - time.perf_counter() if self.waiting and idle else 1.0
            idle.extend(self._answered(max(until_next, 0.0)))

    def _answered(self, timeout: float) -> Iterator[Caller]:
        """Connections whose answers have come, waiting at most `timeout` seconds for the first."""
        for number, _ in self.poll.poll(timeout):
            caller = self.callers[number]
            if (status := caller.receive()) is not None:
                self.latencies.append(time.perf_counter() - caller.began)
                self.statuses[status] += 1
                self.newest = status
                yield caller


def main(port: int, known: dict[str, Any], seed: int, count: int, connections: int, rate: float) -> None:
    load = Load(requests(known, count, seed), [Caller(port) for _ in range(connections)])
    gc.disable()
    began, began_cpu = time.perf_counter(), time.process_time()
    if rate:
        load.open(rate, seed)
    else:
        load.closed()
    elapsed, cpu = time.perf_counter() - began, time.process_time() - began_cpu
    latencies = sorted(load.latencies)
    print(
        json.dumps(
            {
                "rate": count / elapsed,
                "p50_ms": latencies[count // 2] * 1_000,
                "p99_ms": latencies[count * 99 // 100] * 1_000,
                "statuses": {status.decode(): number for status, number in load.statuses.items()},
                "load_cpu_us": cpu / count * 1e6,
            }
        )
    )


if __name__ == "__main__":
    _, port_, people_, seed_, count_, connections_, rate_ = sys.argv
    main(int(port_), json.loads(Path(people_).read_text("utf-8")), int(seed_), int(count_), int(connections_), float(rate_))
