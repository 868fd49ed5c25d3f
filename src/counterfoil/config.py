"""One frozen struct of settings, from a TOML file and from COUNTERFOIL_* in the environment.

The environment wins over the file (`counterfoil.toml` in the data folder). An unknown name is an error: a misspelt
limit must never be silently without effect. `docs/reference/settings.md` is generated from this struct.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from counterfoil.errors import Malformed
from counterfoil.gateway_settings import SmsGateway, UssdGateway
from counterfoil.money import Currency

PREFIX = "COUNTERFOIL_"
FILE_NAME = "counterfoil.toml"
NOT_SETTINGS = frozenset({"COUNTERFOIL_VECTORS", "COUNTERFOIL_REQUIRE_ALL", "COUNTERFOIL_KEY", "COUNTERFOIL_SERVER"})
"""Names in the environment that belong to the tests and to the command-line wallet."""
SERVERS = {"store": ("postgresql",), "ledger": ("postgresql", "tigerbeetle")}
"""Settings that may name a server, and by which kinds of URL."""
_HOST = r"(?:\[[0-9a-fA-F:.]+\]|(?:[^]:@/?#%,\s[]|%[0-9a-fA-F]{2})*)(?::[0-9]*)?"
_PART = r"(?:[^:@/?#%\s]|%[0-9a-fA-F]{2})*"
_POSTGRES = re.compile(rf"postgresql://(?:{_PART}(?::{_PART})?@)?{_HOST}(?:,{_HOST})*(?:/{_PART})?(?:\?(?:[^#%\s]|%[0-9a-fA-F]{{2}})*)?")
"""Stricter than libpq: what it made of a password that is not spelled right, it would tell everybody."""


ONLY_IN_THE_FILE = frozenset({"ussd", "sms"})
"""Settings that are tables, which the environment has no words for; and secrets stand in them."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of a scheme.

    Attributes:
        data: folder of everything that the scheme keeps: ledger, store, keys, log.
        store: database of people and orders: empty for a file in the folder, or a server's, such as
            "postgresql://counterfoil@db.internal/counterfoil"; a password is better kept in ~/.pgpass than here.
        ledger: engine that keeps balances and transfers: empty for a file in the folder, or "postgresql://..." as for `store` (it may
            be the same database), or "tigerbeetle://10.0.0.1:3000,10.0.0.2:3000,10.0.0.3:3000?cluster=1".
        host: address to listen on; loopback unless a reverse proxy stands in front.
        port: TCP port; 0 takes a free one and prints it.
        origin: the scheme's name in every signed order and in the log, such as "money.example.org/log".
        scheme_name: what people call the scheme.
        currency_code: ISO 4217 code of the scheme's currency.
        currency_digits: decimal places of the currency.
        currency_ledger: ledger number of the currency.
        region: ISO 3166 country in which a number without country code is read, such as "KE".
        languages: languages offered, the first is the default.
        sandbox: true lets the server tell enrolment codes to the caller and call webhooks on loopback. Never with real money.
        queue_size_max: payments that may wait for the ledger; beyond it callers hear Unavailable at once.
        body_size_max: bytes of a request body.
        check_interval_s: seconds between two runs of the conservation check inside the server; 0 is never.
        recovery_delay_s: seconds between asking for recovery of an account and its new key taking effect.
        recovery_spend_max: minor units a day that may leave an account while a recovery of it waits, and by PIN after a change of SIM.
        watcher_notice_s: seconds for which a watcher whom an account's holder takes away is still told everything.
        pin_per_payment: minor units that one payment by PIN may take; devices sign for more.
        pin_per_day: minor units a day that payments by PIN may take from an account, fees included.
        card_unproved_max: minor units above which a card that is tapped has to prove on a reader that it is there, besides the PIN.
        witness_interval_s: seconds between two rounds in which the policy's witnesses are asked to cosign the log.
        time_zone: whose days and months the limits count, such as "Africa/Nairobi".
        quiet_from: hour, 0 to 23 in that time zone, from which texts wait that are neither about a payment nor about security.
        quiet_until: hour in which they go; the same as quiet_from: they never wait.
        texts_per_week: such texts to one person from Monday to Sunday: what the scheme writes to many, and messages to whoever has no app.
        ussd: USSD gateways that may call: tables `[[ussd]]` with name, kind, secret and addresses.
        sms: SMS gateways, the first that works is used: tables `[[sms]]` with name, kind, url and so on.
    """

    data: str = "./data"
    store: str = ""
    ledger: str = ""
    host: str = "127.0.0.1"
    port: int = 8480
    origin: str = "counterfoil.localhost/log"
    scheme_name: str = "Counterfoil"
    currency_code: str = "USD"
    currency_digits: int = 2
    currency_ledger: int = 840
    region: str = "KE"
    languages: tuple[str, ...] = ("en", "ko", "fr")
    sandbox: bool = False
    queue_size_max: int = 20_000
    body_size_max: int = 1_048_576
    check_interval_s: int = 600
    recovery_delay_s: int = 72 * 3600
    recovery_spend_max: int = 2_000
    watcher_notice_s: int = 72 * 3600
    pin_per_payment: int = 5_000
    pin_per_day: int = 10_000
    card_unproved_max: int = 2_000
    witness_interval_s: int = 10
    time_zone: str = "UTC"
    quiet_from: int = 21
    quiet_until: int = 7
    texts_per_week: int = 3
    ussd: tuple[UssdGateway, ...] = ()
    sms: tuple[SmsGateway, ...] = ()

    def __post_init__(self) -> None:
        try:
            _ = self.currency
        except Malformed as error:
            raise Malformed(error.facts["field"].replace(".", "_"), error.facts["rule"]) from None
        if not self.data:
            raise Malformed("data", "must name a folder")
        for name in SERVERS:
            _check_server(name, getattr(self, name))
        if not re.fullmatch(r"[A-Z]{2}", self.region):
            raise Malformed("region", "must be two capital letters")
        if not self.languages or not all(re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", language) for language in self.languages):
            raise Malformed("languages", "must be language tags, like en, ko, fr")
        if not 0 <= self.port <= 65_535:
            raise Malformed("port", "must be 0 to 65535")
        if not 0 < len(self.origin.encode()) <= 255 or any(c.isspace() or c == "+" for c in self.origin):
            raise Malformed("origin", "must be 1 to 255 bytes without spaces or plus signs")
        for name in ("queue_size_max", "body_size_max", "witness_interval_s"):
            if getattr(self, name) < 1:
                raise Malformed(name, "must be at least 1")
        for name in (
            "check_interval_s",
            "recovery_delay_s",
            "recovery_spend_max",
            "watcher_notice_s",
            "pin_per_payment",
            "pin_per_day",
            "card_unproved_max",
        ):
            if getattr(self, name) < 0:
                raise Malformed(name, "must not be negative")
        self._check_gateways()

    def _check_gateways(self) -> None:
        for name in ("quiet_from", "quiet_until"):
            if not 0 <= getattr(self, name) <= 23:
                raise Malformed(name, "must be 0 to 23")
        if not 0 <= self.texts_per_week <= 100:
            raise Malformed("texts_per_week", "must be 0 to 100")
        if len({gateway.name for gateway in self.ussd}) != len(self.ussd):
            raise Malformed("ussd.name", "must not be given twice")
        if len({gateway.name for gateway in self.sms}) != len(self.sms):
            raise Malformed("sms.name", "must not be given twice")
        if not self.sandbox and any(gateway.kind == "sandbox" for gateway in self.sms):
            raise Malformed("sms.kind", "sandbox is for sandboxes only: it sends nothing")

    def __repr__(self) -> str:
        """For logs and traces: without passwords."""
        shown = {field: getattr(self, field) for field in self.__struct_fields__}
        shown |= {name: without_password(shown[name]) for name in SERVERS}
        return f"Config({', '.join(f'{field}={value!r}' for field, value in shown.items())})"

    @property
    def currency(self) -> Currency:
        return Currency(code=self.currency_code, digits=self.currency_digits, ledger=self.currency_ledger)

    @property
    def text_part_cost(self) -> int | None:
        """Minor units of each part of a text by the gateway that is used first; None where that is not known."""
        return (self.sms[0].part_cost or None) if self.sms else None

    @property
    def folder(self) -> Path:
        return Path(self.data)


def without_password(url: str) -> str:
    """A server's URL as it may be shown and logged."""
    return re.sub(r"(?<=password=)[^&\s]*", "***", re.sub(r"^([a-z]+://[^:@/]*):.*(?=@)", r"\1:***", url))


def _check_server(name: str, url: str) -> None:
    """Refuses (Malformed) without repeating anything of the URL."""
    schemes = [f"{scheme}://" for scheme in SERVERS[name]]
    if url and not url.startswith(tuple(schemes)):
        raise Malformed(name, f"must be empty, or begin with {' or '.join(schemes)}")
    if url.startswith("postgresql://") and not _POSTGRES.fullmatch(url):
        raise Malformed(name, "must be like postgresql://user@host:5432/database, with special characters as %-codes")
    if url.startswith("tigerbeetle://"):
        cluster_of(url)


def cluster_of(ledger: str) -> tuple[str, int]:
    """Addresses and number of the cluster in a setting like "tigerbeetle://10.0.0.1:3000,10.0.0.2:3000?cluster=1"."""
    match = re.fullmatch(r"tigerbeetle://([0-9a-zA-Z.:,\[\]-]+)\?cluster=([0-9]{1,39})", ledger)
    if match is None:
        raise Malformed("ledger", "must be like tigerbeetle://10.0.0.1:3000,10.0.0.2:3000,10.0.0.3:3000?cluster=1")
    return match[1], int(match[2])


def load(environment: Mapping[str, str], **overrides: Any) -> Config:
    """The settings from `overrides` (command line), then the environment, then DATA/counterfoil.toml, then the defaults.

    An override that is None was not given. Raises Malformed naming the setting: unknown name, wrong type, out of range.
    """
    given: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): _from_text(name, text)
        for name, text in environment.items()
        if name.startswith(PREFIX) and name not in NOT_SETTINGS
    }
    given |= {name: value for name, value in overrides.items() if value is not None}
    path = Path(str(given.get("data", Config().data))) / FILE_NAME
    kept = _read(path) if path.is_file() else {}
    if "data" in kept:
        raise Malformed(str(path), "data: cannot be set in the file that it leads to")
    _convert(kept, str(path))  # also what is overridden: a wrong file is found when it is written, not when it is needed
    return _convert(kept | given, "settings")


def _from_text(name: str, text: str) -> str | int | bool | tuple[str, ...]:
    """The value of the environment variable `name`, by the type of its setting."""
    kind = get_type_hints(Config).get(name.removeprefix(PREFIX).lower())
    if kind is None or name != name.upper():
        raise Malformed(name, "there is no such setting")
    if name.removeprefix(PREFIX).lower() in ONLY_IN_THE_FILE:
        raise Malformed(name, f"can only be set in {FILE_NAME}")
    if kind is int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text):
            raise Malformed(name, "must be a whole number")
        return int(text)
    if kind is bool:
        if text not in ("true", "false"):
            raise Malformed(name, "must be true or false")
        return text == "true"
    if kind is str:
        return text
    return tuple(part.strip() for part in text.split(","))


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Malformed(str(path), f"not a TOML file in UTF-8: {error}") from error


def _convert(values: dict[str, Any], source: str) -> Config:
    try:
        return msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise Malformed(source, str(error)) from error
