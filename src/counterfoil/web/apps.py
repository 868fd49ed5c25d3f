"""The wallet and the till as the server gives them out: shells, modules, words, and what makes them installable.

    /wallet/                       the shell: a page without words of its own, which starts wallet/main.js; so /till/
    /wallet/sw.js                  the service worker, with the list of the app's files and their hashes
    /wallet/manifest.webmanifest   name, icons and colours for the home screen, `?lang=`
    /wallet/words/ko.json          the words of one language that the first screens use; ko-rest.json has all others
    /static/...                    modules, styles, icons

Everything is read at the start and kept in memory, and compressed once, when it is first asked for. Modules and styles are
given out without comments and indentation, which are a third of them. An address with `?v=` names one version and never changes; all others
are asked for again, by ETag. Sources: RFC 9110 §8.8.3, §12.5.3; RFC 8246; W3C Web Application Manifest.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import gzip
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import brotli
import jinja2
import msgspec

from counterfoil.config import Config
from counterfoil.i18n import SOURCE, Language, catalogue_path, catalogue_words, languages, negotiate
from counterfoil.web.incoming import Receive, Scope, Send
from counterfoil.web.values import base64_text

HERE = Path(__file__).parent
STATIC = HERE / "static"
APPS = ("wallet", "till")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; manifest-src 'self'; "
    "worker-src 'self'; media-src 'self' blob:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
)
"""Of the shells and of the worker: everything from this server, nothing inline."""
STATIC_POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
FOREVER, AGAIN = "public, max-age=31536000, immutable", "no-cache"
PAPER, PAPER_DARK = "#fbfaf6", "#161714"
"""Colours of the system's bars around an installed app; --paper of look.css."""
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_COMPRESSED = ("text/", "application/", "image/svg")
_IMPORT = re.compile(
    r"""^(?:import|export)\b[^;"'()]*?\bfrom\s*["'](?P<named>[^"']+)["']|^import\s*["'](?P<bare>[^"']+)["']"""
    r"""|\bimport\(\s*["'](?P<later>[^"']+)["']\s*\)""",
    re.MULTILINE,
)
_STYLE_IMPORT = re.compile(r"""^@import "(?P<file>[^"]+)";$""", re.MULTILINE)
_TEXT = re.compile(r"""(?<![\w.$])(?:t(?:\.short)?|n)\(\s*(?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")""")
_BLOCK = re.compile(r"^[ \t]*/\*.*?\*/[ \t]*(?:\n|(?=\S))", re.MULTILINE | re.DOTALL)
_LINE = re.compile(r"^[ \t]*//.*\n", re.MULTILINE)
_CAST = re.compile(r"/\*\* @(?:type|param) [^\n]*?\*/ ?")
_NOTE = re.compile(r"/\*.*?\*/", re.DOTALL)
_INDENT = re.compile(r"^[ \t]+|^\n", re.MULTILINE)


class Resource(msgspec.Struct, frozen=True):
    """One file as it is given out. `policy`: its Content-Security-Policy."""

    body: bytes
    media_type: str
    policy: str = STATIC_POLICY

    @property
    def version(self) -> str:
        """Names exactly these bytes: the first 12 of their SHA-256 in base64url."""
        return base64_text(hashlib.sha256(self.body).digest()[:12])

    @property
    def is_compressed(self) -> bool:
        return self.media_type.startswith(_COMPRESSED)


class Apps:
    """Wallet and till of one server, as an ASGI application."""

    def __init__(self, config: Config) -> None:
        self._offered = languages(config.languages)
        self._resources: dict[str, Resource] = dict(_static_files())
        self._shells: dict[str, dict[str, Resource]] = {}
        self._manifests: dict[str, dict[str, Resource]] = {}
        for app in APPS:
            self._add(app, config)

    def has(self, path: str) -> bool:
        """Whether an address is one of ours."""
        return path in self._resources or path.strip("/") in APPS

    def first_load(self, app: str) -> list[str]:
        """The modules that start the app: main.js and all that it imports, directly or not, in the order of a browser's need."""
        return _imported(self._resources, f"/static/{app}/main.js", later=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        method: str = scope["method"]
        headers: dict[bytes, bytes] = dict(scope["headers"])
        if method not in ("GET", "HEAD"):
            return await _answer(send, 405, [(b"allow", b"GET, HEAD")])
        if path.strip("/") in APPS and not path.endswith("/"):
            return await _answer(send, 308, [(b"location", f"{path}/".encode())])
        query = parse_qs(scope["query_string"].decode("latin-1"))
        resource, vary = self._chosen(path, query, headers.get(b"accept-language", b"").decode("latin-1"))
        forever = query.get("v", [""])[0] == resource.version
        await _send(send, resource, headers, vary=vary, cache=FOREVER if forever else AGAIN, body=method == "GET")
        return None

    def _chosen(self, path: str, query: dict[str, list[str]], accept_language: str) -> tuple[Resource, str]:
        app = path.split("/")[1]
        if app not in APPS or path not in (f"/{app}/", f"/{app}/manifest.webmanifest"):
            return self._resources[path], "Accept-Encoding"
        wanted = query.get("lang", [""])[0]
        code = wanted if wanted in self._offered else negotiate(accept_language, self._offered).code
        by_language = self._shells if path == f"/{app}/" else self._manifests
        return by_language[app][code], "Accept-Encoding, Accept-Language"

    # Making them

    def _add(self, app: str, config: Config) -> None:
        main = f"/static/{app}/main.js"
        if main not in self._resources:
            return
        words = {code: self._words(app, code) for code in self._spoken(app)}
        for code, (first, rest) in words.items():
            self._resources |= {f"/{app}/words/{code}.json": first, f"/{app}/words/{code}-rest.json": rest}
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )  # fmt: skip
        self._manifests[app] = {code: _manifest(app, config, language) for code, language in self._offered.items()}
        styles = [path for path in ("/static/look/look.css", f"/static/{app}/{app}.css") if path in self._resources]
        self._shells[app] = {}
        for code, language in self._offered.items():
            environment.globals.update(_=language.text)
            html = environment.get_template("app.html").render(
                app=app,
                language=code if code in words else SOURCE,
                title=_name(app, config, language),
                known=_known(config) if app == "wallet" else {},
                theme=(PAPER, PAPER_DARK),
                words=" ".join(f"{each}:{first.version}:{rest.version}" for each, (first, rest) in words.items()),
                words_address=f"/{app}/words/{code}.json?v={words[code][0].version}" if code in words and code != SOURCE else "",
                styles=[f"{path}?v={self._resources[path].version}" for path in styles],
                modules=self.first_load(app),
            )
            self._shells[app][code] = Resource(html.encode(), "text/html; charset=utf-8", POLICY)
        self._resources[f"/{app}/"] = self._shells[app].get(SOURCE) or next(iter(self._shells[app].values()))
        self._resources[f"/{app}/manifest.webmanifest"] = next(iter(self._manifests[app].values()))
        self._resources[f"/{app}/sw.js"] = self._worker(app, words, config)

    def _spoken(self, app: str) -> list[str]:
        """The languages that the app has words for, in the order of the settings."""
        return [code for code in self._offered if code == SOURCE or catalogue_path(app, code).is_file()]

    def _words(self, app: str, code: str) -> tuple[Resource, Resource]:
        """The words of the first screens, and all others."""
        words = catalogue_words(app, code)
        needed = set[str]()
        for module in self.first_load(app):
            needed |= _texts(self._resources[module].body)
        texts: dict[str, Any] = words["texts"]
        first = {message: text for message, text in texts.items() if message in needed}
        rest = {message: text for message, text in texts.items() if message not in needed}
        one, other = (Resource(msgspec.json.encode(words | {"texts": part}), _TYPES[".json"]) for part in (first, rest))
        return one, other

    def _worker(self, app: str, words: Iterable[str], config: Config) -> Resource:
        """The service worker with its list: every file of the app, first-load or later, and the hash of each."""
        paths = set(_imported(self._resources, f"/static/{app}/main.js", later=True))
        folders = (f"/static/{app}/", "/static/phone/", "/static/look/", "/static/icons/")
        paths |= {path for path in self._resources if path.startswith(folders) or path == "/static/mark.svg"}
        paths |= {f"/{app}/words/{code}{part}.json" for code in words if code != SOURCE for part in ("", "-rest")}
        files = {path: self._resources[path].version for path in sorted(paths - {"/static/phone/sw.js"})}
        shell = f"/{app}/?lang={SOURCE if SOURCE in self._offered else next(iter(self._offered))}"
        files[shell] = self._resources[f"/{app}/"].version
        version = base64_text(hashlib.sha256(msgspec.json.encode(files)).digest()[:12])
        about: dict[str, object] = {"app": app, "version": version, "shell": shell, "files": files}
        if app == "wallet":
            speakers = {code: self._offered[code] for code in words}
            about["news"] = {code: each.text("You have news in %(scheme)s", scheme=config.scheme_name) for code, each in speakers.items()}
        told = msgspec.json.encode(about).decode()
        code = self._resources["/static/phone/sw.js"].body.decode()
        return Resource(f"self.counterfoil = {told};\n{code}".encode(), _TYPES[".js"], POLICY)


def _name(app: str, config: Config, language: Language) -> str:
    return config.scheme_name if app == "wallet" else f"{config.scheme_name} {language.text('Till')}"


def _known(config: Config) -> dict[str, str]:
    """What the first screen of somebody new shows before the server was asked: nothing moves under their finger when it answers."""
    return {"name": config.scheme_name} | ({"sandbox": "1"} if config.sandbox else {})


def _manifest(app: str, config: Config, language: Language) -> Resource:
    document = {
        "id": f"/{app}/",
        "name": _name(app, config, language),
        "short_name": config.scheme_name if app == "wallet" else language.text("Till"),
        "lang": language.code,
        "start_url": f"/{app}/",
        "scope": f"/{app}/",
        "display": "standalone",
        "background_color": PAPER,
        "theme_color": PAPER,
        "icons": [
            {"src": "/static/mark.svg", "sizes": "any", "type": "image/svg+xml"},
            {"src": "/static/icons/mark-192.png", "sizes": "192x192", "type": "image/png"},
            {"src": "/static/icons/mark-512.png", "sizes": "512x512", "type": "image/png"},
            {"src": "/static/icons/mark-maskable-512.png", "sizes": "512x512", "type": "image/png", "purpose": "maskable"},
        ],
    }
    return Resource(msgspec.json.encode(document), "application/manifest+json")


@functools.cache
def _static_files() -> dict[str, Resource]:
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if path.suffix in _TYPES and path.is_file():
            address = f"/static/{path.relative_to(STATIC).as_posix()}"
            body = path.read_bytes()
            if path.suffix == ".js" and "vendor" not in path.parts:
                body = without_comments(body.decode()).encode()
            elif path.suffix == ".css":
                body = _INDENT.sub("", _NOTE.sub("", _with_imports(path))).encode()
            found[address] = Resource(body, _TYPES[path.suffix])
    del found["/static/look/ground.css"]  # a part of others
    return found


def _with_imports(path: Path) -> str:
    """A style sheet with those that it imports in their place: a page asks once."""
    return _STYLE_IMPORT.sub(lambda match: _with_imports(path.parent / match["file"]), path.read_text("utf-8"))


def without_comments(code: str) -> str:
    """A module without the comments that begin a line, without casts and without indentation; what runs stays as it is.

    Relies on our style: no text and no template has a line that begins like a comment, nor one whose indentation matters. A
    test compares what a compiler makes of both.
    """
    return _INDENT.sub("", _LINE.sub("", _CAST.sub("", _BLOCK.sub("", code))))


def _imported(resources: dict[str, Resource], main: str, *, later: bool) -> list[str]:
    """`main` and the modules that it imports, each once; `later`: also those that are loaded when they are needed."""
    order, waiting = [], [main]
    while waiting:
        address = waiting.pop(0)
        if address in order or address not in resources:
            continue
        order.append(address)
        at_once, others = _targets(resources[address].body)
        waiting += [_resolved(target, address) for target in (*at_once, *(others if later else ()))]
    return order


@functools.lru_cache(maxsize=512)
def _targets(body: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a module imports: at once, and when it is needed."""
    found = list(_IMPORT.finditer(body.decode()))
    at_once = tuple(match["named"] or match["bare"] for match in found if not match["later"])
    return at_once, tuple(match["later"] for match in found if match["later"])


@functools.lru_cache(maxsize=512)
def _texts(body: bytes) -> frozenset[str]:
    """The texts that a module says."""
    return frozenset(ast.literal_eval(match["text"]) for match in _TEXT.finditer(body.decode()))


def _resolved(target: str, address: str) -> str:
    if target.startswith("/"):
        return target
    parts = address.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


# Answering


async def _send(send: Send, resource: Resource, headers: dict[bytes, bytes], *, vary: str, cache: str, body: bool) -> None:
    coding = _coding(headers.get(b"accept-encoding", b"").decode("latin-1")) if resource.is_compressed else ""
    etag = f'"{resource.version}{f"-{coding}" if coding else ""}"'
    common = [
        (b"etag", etag.encode()),
        (b"cache-control", cache.encode()),
        (b"vary", vary.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"content-security-policy", resource.policy.encode()),
        (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    ]
    if etag.encode() in [each.strip().removeprefix(b"W/") for each in headers.get(b"if-none-match", b"").split(b",")]:
        return await _answer(send, 304, common)
    data = resource.body if not coding else await asyncio.to_thread(_compressed, resource.body, coding)
    common += [(b"content-type", resource.media_type.encode()), (b"content-length", str(len(data)).encode())]
    if coding:
        common.append((b"content-encoding", coding.encode()))
    return await _answer(send, 200, common, data if body else b"")


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _coding(accept_encoding: str) -> str:
    """br, gzip or neither, as the caller accepts it. Source: RFC 9110 §12.5.3."""
    accepted = {}
    for part in accept_encoding[:500].lower().split(","):
        name, _, quality = part.strip().partition(";")
        accepted[name.strip()] = quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return next((coding for coding in ("br", "gzip") if accepted.get(coding)), "")


@functools.lru_cache(maxsize=512)
def _compressed(body: bytes, coding: str) -> bytes:
    return bytes(brotli.compress(body, quality=11)) if coding == "br" else gzip.compress(body, 9, mtime=0)
