"""Requests to peers that the operator named: any host, one answer, no redirects, nothing without bound."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from counterfoil.channels.peers import ANSWER_SIZE_MAX, REASON_SIZE_MAX, Peers
from counterfoil.errors import Unavailable
from tests.channels.receiver import receiving
from tests.channels.test_outgoing import certificate


@pytest.fixture
async def peers() -> AsyncIterator[Peers]:
    one = Peers()
    yield one
    await one.close()


async def test_a_peer_on_the_loopback_is_asked_by_plain_http(peers: Peers) -> None:
    with receiving() as receiver:
        receiver.answer, receiver.body = 409, b"17\n"
        assert await peers.post(receiver.url("/add-checkpoint"), b"old 0\n", 5) == (409, b"17\n")
        (request,) = receiver.requests
        assert (request.path, request.body) == ("/add-checkpoint", b"old 0\n")
        assert request.headers["content-type"] == "text/plain; charset=utf-8"
        assert request.headers["user-agent"] == "Counterfoil"


async def test_one_connection_serves_many_requests(peers: Peers) -> None:
    with receiving() as receiver:
        receiver.answer, receiver.body = 200, b"x"
        for _ in range(5):
            await peers.post(receiver.url(), b"", 5)
        assert receiver.connections == 1


async def test_a_redirect_is_an_answer(peers: Peers) -> None:
    with receiving() as elsewhere, receiving() as receiver:
        receiver.answer, receiver.headers = 307, {"Location": elsewhere.url()}
        status, _ = await peers.post(receiver.url(), b"secret", 5)
        assert status == 307
        assert elsewhere.requests == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_peer_is_asked_once_although_it_hangs_up_without_an_answer(peers: Peers, method: str) -> None:
    """Asked again by whoever is below us, a gateway would send a text twice."""
    with receiving() as receiver:
        receiver.body = b"x"
        for answer in (200, 0):  # over a new connection, and over one that has been used
            receiver.answer = answer
            if answer:
                await peers.ask(method, receiver.url(), 5)
                continue
            with pytest.raises(Unavailable) as error:
                await peers.ask(method, receiver.url(), 5)
            assert error.value.facts == {"perhaps_taken": True}
        assert len(receiver.requests) == 2


async def test_whoever_was_not_reached_has_taken_nothing_and_whoever_hangs_perhaps(peers: Peers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/"
    for url in (address, "http://["):
        with pytest.raises(Unavailable) as error:
            await peers.ask("GET", url, 5)
        assert error.value.facts == {"perhaps_taken": False}, url
    with receiving() as receiver:
        receiver.answer = receiver.hang
        with pytest.raises(Unavailable) as error:
            await peers.ask("POST", receiver.url(), 0.2)
        assert error.value.facts == {"perhaps_taken": True}


async def test_a_slow_peer_is_given_up(peers: Peers) -> None:
    with receiving() as receiver:
        receiver.answer = receiver.hang
        begun = time.monotonic()
        with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
            await peers.post(receiver.url(), b"", 0.2)
        assert time.monotonic() - begun < 60


async def test_an_answer_of_the_largest_size_is_whole_and_a_larger_one_refused(peers: Peers) -> None:
    with receiving() as receiver:
        receiver.answer, receiver.body = 200, b"x" * ANSWER_SIZE_MAX
        assert await peers.post(receiver.url(), b"", 5) == (200, receiver.body)
        receiver.body += b"x"
        with pytest.raises(Unavailable, match="larger than 65536 bytes"):
            await peers.post(receiver.url(), b"", 5)


async def test_a_packed_answer_is_not_unpacked(peers: Peers) -> None:
    with receiving() as receiver:
        receiver.answer, receiver.headers, receiver.body = 200, {"Content-Encoding": "gzip"}, b"\x1f\x8bnot unpacked"
        assert await peers.post(receiver.url(), b"", 5) == (200, receiver.body)


async def test_nobody_there_is_said_in_words(peers: Peers) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: nobody else can be given the port meanwhile
        with pytest.raises(Unavailable, match="Cannot connect") as error:
            await peers.post(f"http://127.0.0.1:{bound.getsockname()[1]}/", b"", 5)
        assert len(error.value.detail) <= REASON_SIZE_MAX


async def test_a_connection_that_breaks_off_is_no_answer(peers: Peers) -> None:
    with receiving() as receiver:
        receiver.answer = 0
        with pytest.raises(Unavailable):
            await peers.post(receiver.url(), b"", 5)


async def test_an_answer_that_is_cut_short_is_no_answer(peers: Peers) -> None:
    with receiving() as receiver:
        receiver.answer, receiver.body = 200, b"half"
        receiver.headers = {"Content-Length": "8", "Connection": "close"}
        with pytest.raises(Unavailable):
            await peers.post(receiver.url(), b"", 0.5)


@pytest.mark.parametrize("url", ["", "no address", "ftp://127.0.0.1/", "http://", "http://[::1", "http://127.0.0.1:99999/"])
async def test_what_is_no_address_is_said_in_words(peers: Peers, url: str) -> None:
    with pytest.raises(Unavailable) as error:
        await peers.post(url, b"", 5)
    assert error.value.detail


async def test_https_needs_a_certificate_that_the_machine_trusts(peers: Peers, tmp_path: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate(tmp_path))
    with receiving(tls) as receiver:
        with pytest.raises(Unavailable, match="certificate"):
            await peers.post(receiver.url(host="localhost"), b"secret", 5)
        assert receiver.requests == []


async def test_no_proxy_is_taken_from_the_environment(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as proxy, receiving() as receiver:
        proxy.answer = 500
        monkeypatch.setenv("http_proxy", proxy.url("/"))
        monkeypatch.delenv("no_proxy", raising=False)
        receiver.answer = 200
        assert (await peers.post(receiver.url(), b"", 5))[0] == 200
        assert proxy.requests == []


async def test_closing_twice_and_using_again(peers: Peers) -> None:
    await peers.close()
    await peers.close()
    with receiving() as receiver:
        receiver.answer = 200
        assert (await peers.post(receiver.url(), b"", 5))[0] == 200
