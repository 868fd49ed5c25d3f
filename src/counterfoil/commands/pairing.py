"""A machine that is a till of a shop: its folder, its token, and how it asks the server. Desks and gates are such machines.

NAME.json   JSON, mode 0600: the server, and the till's token there
"""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from counterfoil.clock import SystemClock
from counterfoil.commands import private_file
from counterfoil.commands.client import ATTEMPTS, Client, ServerRefused
from counterfoil.commands.output import Answer, Failure, WrongUse, pairs, plain
from counterfoil.errors import Retry, Unavailable
from counterfoil.folder import only_process

Kept = TypeVar("Kept")
Answered = TypeVar("Answered")


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """Whose till this machine is. `token` is its right to ask; whoever has it and a clerk's PIN can sell as this till."""

    server: str
    token: str
    till: str
    till_name: str
    account: str
    merchant: str


class PairedFolder:
    """The folder, `path`, of a machine that is a `name`, such as "terminal": also the name of the command that pairs it."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._pairing = path / f"{name}.json"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Makes the folder if it is not there, and keeps other processes out of it. Unavailable while another one is in it."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        with only_process(self.path):
            yield

    def left_of(self) -> str | None:
        """Whose account something is that is still under way here; None when nothing is."""
        return None

    def pairing(self) -> Pairing | None:
        """Whose till it is; None before it was paired. WrongUse when others can read it, or it is no such file."""
        return self.load(self._pairing, Pairing)

    def paired(self) -> Pairing:
        """As `pairing`; WrongUse before it was paired."""
        found = self.pairing()
        if found is None:
            raise self.not_paired()
        return found

    def not_paired(self) -> WrongUse:
        detail = f"{self.path} is paired with no shop yet: make a code in the shop's wallet, and run `counterfoil {self.name} pair`"
        return WrongUse(detail)

    def keep_pairing(self, pairing: Pairing) -> None:
        """On the disk on return, in place of any before."""
        self.write(self._pairing, pairing)

    def load(self, path: Path, kind: type[Kept]) -> Kept | None:
        """What `write` has kept there; None where it has nothing. As `pairing`."""
        try:
            mode, data = path.stat().st_mode, path.read_bytes()
        except FileNotFoundError:
            return None
        if mode & 0o077:
            raise WrongUse(f"others can read {path}: chmod 600 {path}")
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.MsgspecError as error:
            raise WrongUse(f"{path} cannot be read ({error}): do not delete it unseen") from None

    def write(self, path: Path, kept: msgspec.Struct) -> None:
        """On the disk on return."""
        private_file.write(path, msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")

    def forget(self, path: Path) -> None:
        """It is gone also after a power cut. A repeat changes nothing."""
        path.unlink(missing_ok=True)
        private_file.sync_folder(self.path)


class Caller:
    """Asks the server as the till that has `token`; `session` is "" while no clerk is signed in.

    Each call is repeated as it is a few times; then Unavailable says that it is not known whether it was done. ServerRefused is a no.
    """

    def __init__(self, client: Client, token: str) -> None:
        self.client = client
        self.session = ""
        self._token = token

    def shop(self) -> Any:
        """Whose till it is, who works at it, its currency, and the server's clock. Needs no clerk."""
        return self.call("GET", "/v1/till")

    def until_answered(
        self, call: Callable[[], Answered], *, say: Callable[[str], None], pause: Callable[[], None], once: bool = False
    ) -> Answered:
        """What the server says to `call`, asked until it says something; it is said once that it does not.

        ServerRefused for a no; Failure when this is its till no more; with `once` Unavailable for no answer.
        """
        is_said = False
        while True:
            try:
                return call()
            except ServerRefused as no:
                if no.code == "wrong_token":
                    raise ended() from None
                raise
            except Unavailable as error:
                if once:
                    raise
                if not is_said:
                    say(f"The server does not answer ({plain(error.detail)}). Asking again.")
                is_said = True
                pause()

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        query: Mapping[str, object] | None = None,
        attempts: int = ATTEMPTS,
    ) -> Any:
        headers = {"Authorization": f"Bearer {self._token}"} | ({"Counterfoil-Clerk": self.session} if self.session else {})
        data = b"" if body is None else json.dumps(body).encode()
        return self.client.call(method, path, query=query, body=data, signed=False, headers=headers, attempts=attempts)


def pair(arguments: argparse.Namespace, folder: PairedFolder) -> Answer:
    """Makes this machine the till that a code stands for, and keeps its token. The code is used up, also when the answer gets lost."""
    server = _server(arguments.server)
    client = Client(server, None, SystemClock())
    with folder.alone():
        before = folder.pairing()
        if before is not None and not arguments.again:
            raise WrongUse(f"{folder.path} is paired with {plain(before.merchant)}: use another folder, or --again to pair it anew")
        try:
            paired = client.post("/v1/tills/pair", {"code": arguments.code, "label": arguments.label}, signed=False)
        except ServerRefused as no:
            if no.code == "wrong_code" and no.after_unknown:
                detail = "the answer to this code got lost, and it is used up: make another one in the shop's wallet"
                raise Failure(detail, code=no.code, retry=Retry.CHANGE) from None
            raise
        if folder.left_of() not in (None, paired["account"]):
            raise of_another_shop(folder)
        folder.keep_pairing(
            Pairing(
                server=server, token=paired["token"], till=paired["till"], till_name=paired["name"], account=paired["account"],
                merchant=paired["merchant_name"],
            )
        )  # fmt: skip
    facts = {"merchant": paired["merchant_name"], "till": paired["name"], "folder": str(folder.path)}
    return Answer(facts, pairs([("Shop", plain(paired["merchant_name"])), ("Till", plain(paired["name"])), ("Kept in", str(folder.path))]))


def of_another_shop(folder: PairedFolder) -> Failure:
    detail = f"something of another shop is under way in {folder.path}: pair it with that shop, or use another folder"
    return Failure(detail, code="conflict", retry=Retry.CHANGE)


def ended() -> Failure:
    """For a token that the server knows no more."""
    return Failure("this till was ended, or paired with another device: pair it again", code="wrong_token", retry=Retry.CHANGE)


def _server(text: str) -> str:
    """The server's address. WrongUse where PINs would go over a network for everybody to read."""
    text = text if "://" in text else f"https://{text}"
    address = urlsplit(text)
    if address.scheme == "http" and not is_here(address.hostname or ""):
        raise WrongUse(f"{text}: PINs are sent there, so it has to begin with https://")
    return text.rstrip("/")


def is_here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
