"""A witness over HTTP: statuses, bodies, bounds, and the log's own client against five of them."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import AsyncIterator, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from counterfoil.assurance import witness as core
from counterfoil.assurance.witness import REQUEST_SIZE_MAX, Verdict, Witness, origin_hash, remember
from counterfoil.assurance.witnesses import Witnesses
from counterfoil.channels.peers import Peers
from counterfoil.clock import SystemClock
from counterfoil.errors import Unavailable
from counterfoil.tlog import cosignature
from counterfoil.tlog.note import Note, Signature
from counterfoil.tlog.policy import Policy
from counterfoil.web import incoming
from counterfoil.web import witness as web
from counterfoil.web.server import listening
from counterfoil.web.witness import WitnessApplication, describe
from tests.assurance.small_log import ORIGIN, SmallLog, body, witness_signer

LOG = SmallLog(9)


class Served:
    def __init__(self, witness: Witness, address: str, client: httpx2.AsyncClient) -> None:
        self.witness = witness
        self.address = address
        self.client = client

    async def add(self, content: bytes) -> httpx2.Response:
        return await self.client.post(f"{self.address}/add-checkpoint", content=content)


@asynccontextmanager
async def serving(folder: Path, name: str = "witness.example/w1") -> AsyncIterator[Served]:
    remember(folder)
    witness = Witness.open(folder, witness_signer(name), [LOG.signer.vkey], SystemClock())
    async with listening(WitnessApplication(witness), host="127.0.0.1", port=0) as address, httpx2.AsyncClient() as client:
        yield Served(witness, address, client)
    witness.close()


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serving(tmp_path) as one:
        yield one


async def test_a_checkpoint_is_cosigned(served: Served) -> None:
    answer = await served.add(LOG.request(0))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    own = Signature.parse(answer.text[:-1])
    time_s = cosignature.verify(witness_signer().vkey, LOG.head().text, own)
    assert abs(time_s - SystemClock().now_ns() // 10**9) < 60
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("content", "status", "media_type", "said"),
    [
        (b"", 400, "text/plain; charset=utf-8", "request: must have an empty line before the checkpoint\n"),
        (SmallLog(9, origin="other.example/log").request(5), 404, "text/plain; charset=utf-8", "this log is not one that we witness\n"),
        (
            LOG.request(5, signer=SmallLog(origin="other.example/log").signer),
            403,
            "text/plain; charset=utf-8",
            "no signature by a key of this log\n",
        ),
        (body(10, [], LOG.head().encode()), 400, "text/plain; charset=utf-8", "old: must not be above the checkpoint's size\n"),
        (LOG.request(4), 409, "text/x.tlog.size", "5\n"),
        (body(5, [], LOG.head().encode()), 422, "text/plain; charset=utf-8", "the consistency proof is empty\n"),
        (b"x" * (REQUEST_SIZE_MAX + 1), 413, "text/plain; charset=utf-8", f"a request must be at most {REQUEST_SIZE_MAX} bytes\n"),
        (b"x" * REQUEST_SIZE_MAX, 400, "text/plain; charset=utf-8", "request: must have an empty line before the checkpoint\n"),
    ],
    ids=["form", "origin", "signature", "old above size", "conflict", "proof", "too large", "of the largest size"],
)
async def test_table(served: Served, content: bytes, status: int, media_type: str, said: str) -> None:
    assert (await served.add(LOG.request(0, 5))).status_code == 200
    answer = await served.add(content)
    assert (answer.status_code, answer.headers["content-type"], answer.text) == (status, media_type, said)
    assert (await served.add(LOG.request(5))).status_code == 200


async def test_a_body_of_unknown_length_is_bounded(served: Served) -> None:
    """No more of it is read than shows that it is too large."""
    read, sent = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        return {"type": "http.request", "body": b"x" * 65_536, "more_body": True}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/add-checkpoint", "headers": [], "query_string": b""}
    await WitnessApplication(served.witness)(scope, receive, send)
    assert sent[0]["status"] == 413
    assert read == REQUEST_SIZE_MAX // 65_536 + 1


async def test_a_body_that_does_not_come_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "BODY_TIMEOUT_S", 0.1)
    host, _, port = served.address.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold 5\n")
    assert b"400" in await asyncio.wait_for(reader.readline(), 60)
    writer.close()


async def test_who_hangs_up_leaves_nothing(served: Served) -> None:
    host, _, port = served.address.removeprefix("http://").partition(":")
    for _ in range(web.WAITING_MAX + 5):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: 100\r\n\r\nold 5\n")
        await writer.drain()
        writer.close()
    await asyncio.sleep(0.2)
    assert (await served.add(LOG.request(0))).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/add-checkpoint", 405, "POST"),
        ("PUT", "/add-checkpoint", 405, "POST"),
        ("POST", "/", 405, "GET"),
        ("DELETE", f"/{origin_hash(ORIGIN)}/checkpoint", 405, "GET"),
        ("POST", "/add-checkpoint/", 404, None),
        ("GET", "/nothing", 404, None),
        ("GET", f"/{origin_hash(ORIGIN)}/checkpoint", 404, None),
        ("GET", f"/{origin_hash(ORIGIN).upper()}/checkpoint", 404, None),
        ("GET", f"/{origin_hash(ORIGIN)[1:]}/checkpoint", 404, None),
    ],
)
async def test_other_addresses_and_methods(served: Served, method: str, path: str, status: int, allow: str | None) -> None:
    answer = await served.client.request(method, f"{served.address}{path}")
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert answer.text.endswith("\n")


async def test_the_first_page_says_who_it_is_and_what_it_has_seen(served: Served) -> None:
    answer = await served.client.get(served.address)
    assert answer.status_code == 200
    assert f"Its key: {served.witness.vkey}\n" in answer.text
    assert "It has not seen any log yet.\n" in answer.text
    await served.add(LOG.request(0, 5))
    await served.add(LOG.request(5))
    answer = await served.client.get(served.address)
    assert f"  {ORIGIN}: 9 entries, cosigned last at 20" in answer.text
    assert f"    root {base64.b64encode(LOG.root(9)).decode()}\n" in answer.text
    assert describe("v", [core.Seen("o", 1, bytes(32), 1_800_000_000)]).splitlines()[-2] == (
        "  o: 1 entry, cosigned last at 2027-01-15T08:00:00Z"
    )


async def test_the_newest_checkpoint_is_offered(served: Served) -> None:
    await served.add(LOG.request(0))
    answer = await served.client.get(f"{served.address}/{origin_hash(ORIGIN)}/checkpoint")
    assert answer.status_code == 200
    assert len(Note.parse(answer.content).verified_by([LOG.signer.vkey, witness_signer().vkey])) == 2


async def test_a_memory_that_cannot_be_used_is_503(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(body: bytes) -> Verdict:
        raise Unavailable("the disk is full")

    monkeypatch.setattr(served.witness, "add_checkpoint", broken)
    answer = await served.add(LOG.request(0))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "disk" not in answer.text, "callers need not know"


async def test_more_requests_than_there_is_room_for_hear_so_at_once(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WAITING_MAX", 2)
    let_go, real = threading.Event(), served.witness.add_checkpoint

    def slow(body: bytes) -> Verdict:
        let_go.wait(30)
        return real(body)

    monkeypatch.setattr(served.witness, "add_checkpoint", slow)
    waiting = [asyncio.create_task(served.add(LOG.request(0))) for _ in range(2)]
    await asyncio.sleep(0.3)
    answer = await served.add(LOG.request(0))
    assert answer.status_code == 503
    assert (await served.client.get(served.address)).status_code == 200, "the page is there all the same"
    let_go.set()
    assert sorted([(await each).status_code for each in waiting]) == [200, 409]
    assert (await served.add(LOG.request(9))).status_code == 200


async def test_many_at_one_time_advance_in_one_line(served: Served) -> None:
    """Requests for all sizes at once, again and again: whatever is cosigned follows from what was cosigned before."""
    size, cosigned = 0, []
    while size < 9:
        answers = await asyncio.gather(*(served.add(LOG.request(size, to)) for to in range(size + 1, 10)))
        good = [to for to, answer in zip(range(size + 1, 10), answers, strict=True) if answer.status_code == 200]
        assert len(good) == 1
        assert {answer.status_code for answer in answers} <= {200, 409}
        size = good[0]
        cosigned.append(size)
    assert cosigned == sorted(set(cosigned))


async def test_the_log_asks_five_real_witnesses(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        names = [f"body{number}.example/witness" for number in range(1, 6)]
        five = [await stack.enter_async_context(serving(tmp_path / str(number), name)) for number, name in enumerate(names)]
        lines = [f"log {LOG.signer.vkey}"]
        lines += [f"witness w{number} {each.witness.vkey} {each.address}/" for number, each in enumerate(five)]
        policy = Policy.parse("\n".join([*lines, "group all-five 4 w0 w1 w2 w3 w4", "quorum all-five"]) + "\n")
        log, kept, peers = SmallLog(4), [], Peers()

        async def keep(note: Note) -> None:
            kept.append(note)

        asker = Witnesses(
            policy=policy, newest=log.head, consistency=log.consistency, keep=keep, post=peers.post, clock=SystemClock(), grace_s=2
        )
        for size in (4, 9, 9, 30):
            log.grow(size)
            note = await asker.step()
            assert note is not None, asker.problem
            quorum = policy.satisfied(note)
            assert (quorum.checkpoint.size, len(quorum.times)) == (size, 5)
        assert len(kept) == 4
        five[0].witness.close()  # its memory is gone: 503
        log.grow(31)
        note = await asker.step()
        assert note is not None
        assert policy.satisfied(note).names == ("w1", "w2", "w3", "w4")
        assert asker.status()[0].problem == "it answered 503: the witness cannot answer at the moment: ask again"
        assert asker.status()[0].size == 30
        await peers.close()
