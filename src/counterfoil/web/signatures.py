"""Signed requests: HTTP message signatures in one fixed, strict profile. Pure.

    Content-Digest: sha-256=:<base64 of SHA-256 of the body>:            only with a body (RFC 9530)
    Signature-Input: sig1=("@method" "@path" "@query" "content-digest");created=<unix seconds>;keyid="<device id>";alg="ed25519"
    Signature: sig1=:<base64 of 64 bytes>:

    signed bytes (RFC 9421 §2.5), lines ended by \\n but the last:
        "@method": POST
        "@path": /v1/devices
        "@query": ?
        "content-digest": sha-256=:...:                                  only with a body
        "@signature-params": ("@method" ...);created=...;keyid="...";alg="ed25519"

`alg` is "ed25519" or "ecdsa-p256-sha256" (raw r || s). Parameters stand in this order; a `nonce` of 1 to 64 letters,
digits, - and _ may follow. A signature is good for 300 seconds before and after `created`. Repeating a signed request
within that time is harmless: what changes something carries its own id, and happens once.

Source: RFC 9421 §2, §3.3.6, §3.3.4; RFC 9530 §2.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable

import msgspec

from counterfoil.errors import NotAuthenticated, RequestTooOld, WrongSignature
from counterfoil.ids import id_text, parse_id
from counterfoil.parties.types import KeyAlgorithm

AGE_MAX_S = 300
"""Seconds between `created` and now, in either direction: phones' clocks are off."""

ALGORITHMS = {"ed25519": KeyAlgorithm.ED25519, "ecdsa-p256-sha256": KeyAlgorithm.ES256}
_NAMES = {algorithm: name for name, algorithm in ALGORITHMS.items()}
_INPUT = re.compile(
    r"(?P<label>[a-z][a-z0-9_-]{0,15})="
    r'(?P<parameters>\("@method" "@path" "@query"(?P<digest> "content-digest")?\)'
    r';created=(?P<created>[0-9]{1,12});keyid="(?P<device>[0-9a-f-]{36})";alg="(?P<algorithm>[a-z0-9-]+)"'
    r'(?:;nonce="[A-Za-z0-9_-]{1,64}")?)',
    re.ASCII,
)
_SIGNATURE = re.compile(r"(?P<label>[a-z][a-z0-9_-]{0,15})=:(?P<signature>[A-Za-z0-9+/]{86}==):", re.ASCII)


class SignedRequest(msgspec.Struct, frozen=True):
    """What a request claims about its signature: whose (`device`), by which algorithm, and the bytes to verify it over."""

    device: int
    algorithm: KeyAlgorithm
    message: bytes
    signature: bytes


def read(
    *, method: str, path: str, query: str, body: bytes, digest: str | None, signature_input: str, signature: str, now_ns: int
) -> SignedRequest:
    """The claim in a request's headers, complete and fresh, but not yet verified.

    `path` and `query` (without "?") as they came over the wire. Raises NotAuthenticated for another form, RequestTooOld,
    WrongSignature when the digest is not the body's.
    """
    claim, value = _INPUT.fullmatch(signature_input), _SIGNATURE.fullmatch(signature)
    if claim is None or value is None or claim["label"] != value["label"]:
        raise NotAuthenticated("Signature-Input and Signature must be in the form that the documentation gives")
    algorithm = ALGORITHMS.get(claim["algorithm"])
    if algorithm is None:
        raise NotAuthenticated(f"alg must be one of {', '.join(ALGORITHMS)}")
    if abs(now_ns // 1_000_000_000 - int(claim["created"])) > AGE_MAX_S:
        raise RequestTooOld(server_time_s=now_ns // 1_000_000_000, age_max_s=AGE_MAX_S)
    if bool(claim["digest"]) != bool(body):
        raise NotAuthenticated("content-digest must be signed when there is a body, and only then")
    if body and digest != content_digest(body):
        raise WrongSignature("Content-Digest is not the SHA-256 of the body")
    signature_bytes = base64.b64decode(value["signature"])
    if base64.b64encode(signature_bytes).decode() != value["signature"]:  # loose last bits: two texts for one signature
        raise NotAuthenticated("the signature must be base64")
    return SignedRequest(
        device=parse_id(claim["device"], "keyid"),
        algorithm=algorithm,
        message=_base(method, path, query, digest if body else None, claim["parameters"]),
        signature=signature_bytes,
    )


def headers(
    *,
    method: str,
    path: str,
    query: str = "",
    body: bytes = b"",
    device: int,
    algorithm: KeyAlgorithm,
    sign: Callable[[bytes], bytes],
    now_ns: int,
    nonce: str = "",
) -> dict[str, str]:
    """The headers that sign a request, for clients. `sign` makes the 64 bytes of signature."""
    digest = content_digest(body) if body else None
    components = '"@method" "@path" "@query"' + (' "content-digest"' if digest else "")
    parameters = f'({components});created={now_ns // 1_000_000_000};keyid="{id_text(device)}";alg="{_NAMES[algorithm]}"'
    if nonce:
        parameters += f';nonce="{nonce}"'
    signature = sign(_base(method, path, query, digest, parameters))
    result = {
        "Signature-Input": f"sig1={parameters}",
        "Signature": f"sig1=:{base64.b64encode(signature).decode()}:",
    }
    return result | {"Content-Digest": digest} if digest else result


def content_digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def _base(method: str, path: str, query: str, digest: str | None, parameters: str) -> bytes:
    lines = [f'"@method": {method}', f'"@path": {path}', f'"@query": ?{query}']
    if digest is not None:
        lines.append(f'"content-digest": {digest}')
    lines.append(f'"@signature-params": {parameters}')
    return "\n".join(lines).encode("latin-1")
