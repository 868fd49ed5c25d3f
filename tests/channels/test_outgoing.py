"""Requests to addresses that others chose reach the public internet, and nothing else."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from counterfoil.channels.outgoing import ANSWER_SIZE_MAX, REASON_SIZE_MAX, NoAnswer, Outgoing, is_public
from counterfoil.errors import Malformed
from tests.channels.receiver import Receiver, Request, receiving


@pytest.fixture
async def sandbox() -> AsyncIterator[Outgoing]:
    outgoing = Outgoing(sandbox=True, timeout_s=5)
    yield outgoing
    await outgoing.close()


def resolving_to(*addresses: str) -> Any:
    """Somebody's name server, which answers what it likes."""

    def lookup(host: str, port: int, family: int, kind: int) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
        ]

    return lookup


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.10", "0.0.0.0", "10.0.0.1", "172.16.5.4", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.8",
        "198.18.0.1", "203.0.113.5", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
        "::", "::1", "fe80::1", "fc00::1", "fd12::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1", "2002:7f00:1::", "2001:0:4136:e378::", "2001:db8::1", "fec0::1",
    ],
)  # fmt: skip
def test_no_way_leads_into_a_private_network(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "196.200.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_the_public_internet_is_allowed(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "", "shop.example/hook", "//shop.example/hook", "ftp://shop.example/", "file:///etc/passwd", "https://", "https:///hook",
        "http://shop.example/hook", "https://user@shop.example/", "https://user:word@shop.example/", "https://shop.example/#part",
        "https://shop.example:99999/", "https://shop.example:x/", "https://shop.example:0/", "https://[::1", "https://shop.example/a b",
        "https://shop.example/\n", "https://shöp.example/", "https://shop.example/" + "a" * 2_000, "javascript:alert(1)",
    ],
)  # fmt: skip
async def test_an_address_in_the_wrong_form_is_refused_before_anybody_is_asked(url: str) -> None:
    outgoing = Outgoing(sandbox=False, lookup=resolving_to("8.8.8.8"))
    with pytest.raises(Malformed, match="url"):
        await outgoing.check(url)
    with pytest.raises(NoAnswer):
        await outgoing.send("POST", url, headers={}, body=b"")
    await outgoing.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", "[::ffff:127.0.0.1]", "0"])
async def test_in_production_the_loopback_is_never_reached_however_it_is_written(host: str) -> None:
    with receiving() as receiver:
        outgoing = Outgoing(sandbox=False, timeout_s=2)
        url = f"https://{host}:{receiver.port}/hook"
        with pytest.raises(NoAnswer):
            await outgoing.send("POST", url, headers={}, body=b"{}")
        with pytest.raises(Malformed):
            await outgoing.check(url)
        await outgoing.close()
        assert receiver.connections == 0


async def test_a_name_that_turns_private_after_it_was_checked_is_not_followed() -> None:
    with receiving() as receiver:
        answers = [resolving_to("8.8.8.8"), resolving_to("127.0.0.1")]
        outgoing = Outgoing(sandbox=False, lookup=lambda *question: answers.pop(0)(*question))
        url = f"https://shop.example:{receiver.port}/"
        await outgoing.check(url)
        with pytest.raises(NoAnswer, match=r"127\.0\.0\.1 is not allowed"):
            await outgoing.send("POST", url, headers={}, body=b"")
        await outgoing.close()
        assert receiver.connections == 0


async def test_a_name_with_one_private_address_among_public_ones_is_refused() -> None:
    outgoing = Outgoing(sandbox=False, lookup=resolving_to("8.8.8.8", "fd00::1"))
    with pytest.raises(Malformed, match="private network"):
        await outgoing.check("https://shop.example/")
    await outgoing.close()


async def test_a_sandbox_reaches_the_loopback_and_by_plain_http_nothing_else(sandbox: Outgoing) -> None:
    with receiving() as receiver:
        receiver.body, receiver.answer = b"thanks", 200
        for host in ("127.0.0.1", "localhost"):
            await sandbox.check(receiver.url(host=host))
            answer = await sandbox.send("POST", receiver.url(host=host), headers={"x-test": "1"}, body=b"{}")
            assert (answer.status, answer.body) == (200, b"thanks")
        assert [request.body for request in receiver.requests] == [b"{}", b"{}"]
        outside = Outgoing(sandbox=True, lookup=resolving_to("8.8.8.8"))
        with pytest.raises(Malformed, match="https"):
            await outside.check("http://shop.example/")
        with pytest.raises(NoAnswer, match="not allowed"):
            await outside.send("POST", "http://shop.example/", headers={}, body=b"")
        await outside.check("https://shop.example/")
        await outside.close()
        private = Outgoing(sandbox=True, lookup=resolving_to("10.0.0.7"))
        with pytest.raises(Malformed):
            await private.check("https://shop.example/")
        await private.close()


async def test_a_redirect_is_an_answer_and_is_not_followed(sandbox: Outgoing) -> None:
    with receiving() as receiver, receiving() as other:
        receiver.answer, receiver.headers = 302, {"location": other.url("/metadata")}
        assert (await sandbox.send("POST", receiver.url(), headers={}, body=b"")).status == 302
        assert other.connections == 0


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver, receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url(""))
        outgoing = Outgoing(sandbox=True)
        assert (await outgoing.send("POST", receiver.url(), headers={}, body=b"")).status == 204
        await outgoing.close()
        assert proxy.connections == 0


async def test_who_hangs_is_given_up_in_time() -> None:
    with receiving() as receiver:
        receiver.answer = receiver.hang
        outgoing = Outgoing(sandbox=True, timeout_s=0.2)
        with pytest.raises(NoAnswer, match="no answer within"):
            await outgoing.send("POST", receiver.url(), headers={}, body=b"")
        await outgoing.close()


async def test_a_name_server_that_hangs_holds_up_nobody_else() -> None:
    let_go = threading.Event()

    def lookup(host: str, *question: int) -> list[Any]:
        if host == "slow.example":
            let_go.wait(10)
        return socket.getaddrinfo(host, *question)

    with receiving() as receiver:
        outgoing = Outgoing(sandbox=True, timeout_s=0.5, lookup=lookup)
        slow = [asyncio.create_task(outgoing.send("POST", "https://slow.example/", headers={}, body=b"")) for _ in range(8)]
        await asyncio.sleep(0.02)
        assert (await outgoing.send("POST", receiver.url(host="localhost"), headers={}, body=b"")).status == 204
        assert all(isinstance(result, NoAnswer) for result in await asyncio.gather(*slow, return_exceptions=True))
        let_go.set()
        await outgoing.close()


async def test_an_answer_without_end_is_cut(sandbox: Outgoing) -> None:
    with receiving() as receiver:
        receiver.answer, receiver.body = 200, b"x" * (40 * ANSWER_SIZE_MAX)
        answer = await sandbox.send("POST", receiver.url(), headers={}, body=b"")
        assert (answer.status, len(answer.body)) == (200, ANSWER_SIZE_MAX)
        receiver.body = b"ok"  # and the connection of before is not used for it
        assert (await sandbox.send("POST", receiver.url(), headers={}, body=b"")).body == b"ok"


async def test_a_packed_answer_is_not_unpacked(sandbox: Outgoing) -> None:
    with receiving() as receiver:
        receiver.answer, receiver.body, receiver.headers = 200, b"not gzip at all", {"content-encoding": "gzip"}
        assert (await sandbox.send("POST", receiver.url(), headers={}, body=b"")).body == b"not gzip at all"


async def test_a_broken_connection_and_nobody_there_are_told_apart_from_an_answer(sandbox: Outgoing) -> None:
    with receiving() as receiver:
        receiver.answer = 0
        with pytest.raises(NoAnswer):
            await sandbox.send("POST", receiver.url(), headers={}, body=b"")
    with pytest.raises(NoAnswer) as failure:
        await sandbox.send("POST", receiver.url(), headers={}, body=b"")  # it has closed by now
    assert 0 < len(str(failure.value)) <= REASON_SIZE_MAX


@pytest.mark.parametrize(
    ("text", "seconds"), [("120", 120), ("999999999", 86_400), ("-5", 0), ("Fri, 31 Dec 1999 23:59:59 GMT", 0), ("9" * 400, 0)]
)
async def test_the_wish_to_wait_is_understood(sandbox: Outgoing, text: str, seconds: int) -> None:
    with receiving() as receiver:
        receiver.answer, receiver.headers = 503, {"retry-after": text}
        assert (await sandbox.send("POST", receiver.url(), headers={}, body=b"")).retry_after_s == seconds


def certificate(folder: Path) -> Path:
    """A certificate for localhost that nobody has signed but itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "localhost.pem"
    path.write_bytes(private + made.public_bytes(pem))
    return path


async def test_https_needs_a_certificate_that_the_machine_trusts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    with receiving(tls) as receiver:
        stranger = Outgoing(sandbox=True, timeout_s=5)
        with pytest.raises(NoAnswer, match="certificate"):
            await stranger.send("POST", receiver.url(host="localhost"), headers={}, body=b"")
        await stranger.close()
        assert receiver.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(path))  # an operator's own authority
        trusted = Outgoing(sandbox=True, timeout_s=5)
        assert (await trusted.send("POST", receiver.url(host="localhost"), headers={}, body=b"")).status == 204
        with pytest.raises(NoAnswer):  # the certificate is for another name
            await trusted.send("POST", receiver.url(host="127.0.0.1"), headers={}, body=b"")
        await trusted.close()


def test_the_receiver_remembers_what_it_was_sent() -> None:
    """The tests above rely on `connections` being counted."""
    with receiving() as receiver:
        with socket.create_connection(("127.0.0.1", receiver.port)) as connection:
            connection.sendall(b"POST /x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}")
            assert connection.recv(100).startswith(b"HTTP/1.1 204")
        assert isinstance(receiver, Receiver)
        assert receiver.connections == 1
        assert receiver.requests == [Request("/x", {"host": "a", "content-length": "2"}, b"{}")]
