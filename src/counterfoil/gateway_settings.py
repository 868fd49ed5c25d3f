"""Gateways to the phones of people, as the settings name them: tables `[[ussd]]` and `[[sms]]` of counterfoil.toml."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

import msgspec

from counterfoil.errors import Malformed

USSD_KINDS = ("africastalking", "crossgate", "hollatags", "infobip", "sendexa")
"""Kinds of USSD gateways that call us over HTTP: the modules of `channels.gateways` that read them."""


class UssdGateway(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A USSD gateway that calls us at /ussd/NAME/SECRET: one table `[[ussd]]` of the file.

    Attributes:
        name: its name here, in addresses and logs; sessions of two gateways never meet.
        kind: whose form it speaks, one of USSD_KINDS.
        secret: 16 characters or more that only the gateway is told: it has no other way to show who it is.
        addresses: networks that it calls from, such as "203.0.113.0/24"; empty for any.
    """

    name: str
    kind: str
    secret: str
    addresses: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_name("ussd.name", self.name)
        if self.kind not in USSD_KINDS:
            raise Malformed("ussd.kind", f"must be one of {', '.join(USSD_KINDS)}")
        _check_secret("ussd.secret", self.secret)
        _check_networks("ussd.addresses", self.addresses)

    def __repr__(self) -> str:
        """For logs and traces: without the secret."""
        return f"UssdGateway(name={self.name!r}, kind={self.kind!r}, secret='***', addresses={self.addresses!r})"


SMS_KINDS = {"kannel": ("http", "https"), "http": ("http", "https"), "smpp": ("smpp", "smpps"), "sandbox": ()}
"""Kinds of SMS gateways, and how the addresses of each begin."""


class SmsGateway(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A gateway that carries text messages: one table `[[sms]]` of the file. The first that works is used, in the order of the file.

    Attributes:
        name: its name here, in addresses, metrics and logs.
        kind: whose form it speaks, one of SMS_KINDS. "sandbox" sends nothing, and is for sandboxes only.
        url: where it takes texts, such as "http://127.0.0.1:13013/cgi-bin/sendsms", or "smpp://192.0.2.7:2775".
        user: who we are there; not for the kind "http".
        password: that user's; of the kind "http" the bearer token.
        sender: what phones show as the sender: a number or at most 11 letters and digits; empty for the gateway's own.
        callback: our own address as the gateway reaches it, such as "http://127.0.0.1:8480"; empty for no delivery reports.
        secret: 16 characters or more in the addresses that the gateway calls, /sms/NAME/SECRET/report and .../in; empty if it calls none.
        addresses: networks that it calls from, such as "203.0.113.0/24"; empty for any.
        rate_per_s: texts that it is given in a second at most.
        part_cost: minor units that each part of a text costs.
    """

    name: str
    kind: str
    url: str = ""
    user: str = ""
    password: str = ""
    sender: str = ""
    callback: str = ""
    secret: str = ""
    addresses: tuple[str, ...] = ()
    rate_per_s: int = 10
    part_cost: int = 0

    def __post_init__(self) -> None:
        _check_name("sms.name", self.name)
        if self.kind not in SMS_KINDS:
            raise Malformed("sms.kind", f"must be one of {', '.join(SMS_KINDS)}")
        beginnings = [f"{scheme}://" for scheme in SMS_KINDS[self.kind]]
        if bool(self.url) != bool(beginnings) or not self.url.startswith(tuple(beginnings) or ""):
            raise Malformed("sms.url", f"must begin with {' or '.join(beginnings)}" if beginnings else "must be empty for this kind")
        if re.search(r"[@?#\s]", self.url):
            raise Malformed("sms.url", "must be without user, query and spaces: these have settings of their own")
        if not re.fullmatch(r"(\+?[0-9]{1,15}|[A-Za-z0-9 ]{1,11})?", self.sender, re.ASCII):
            raise Malformed("sms.sender", "must be a number, or at most 11 letters and digits")
        if not re.fullmatch(r"(https?://[^@?#\s/]+)?", self.callback, re.ASCII):
            raise Malformed("sms.callback", "must be like http://127.0.0.1:8480, without a path")
        if self.secret:
            _check_secret("sms.secret", self.secret)
        if self.callback and not self.secret:
            raise Malformed("sms.secret", "must be set where there is a callback")
        _check_networks("sms.addresses", self.addresses)
        if not 1 <= self.rate_per_s <= 1_000:
            raise Malformed("sms.rate_per_s", "must be 1 to 1000")
        if not 0 <= self.part_cost <= 1_000_000_000:
            raise Malformed("sms.part_cost", "must be 0 to 1000000000 minor units")

    def __repr__(self) -> str:
        """For logs and traces: without password and secret."""
        return f"SmsGateway(name={self.name!r}, kind={self.kind!r}, url={self.url!r}, password='***', secret='***')"


def _check_name(field: str, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", name, re.ASCII):
        raise Malformed(field, "must be 1 to 32 small letters, digits, - or _, and begin with a letter")


def _check_secret(field: str, secret: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{16,128}", secret, re.ASCII):
        raise Malformed(field, "must be 16 to 128 letters, digits, - or _")


def _check_networks(field: str, networks: Iterable[str]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise Malformed(field, "must be networks like 203.0.113.0/24 or single addresses") from None
