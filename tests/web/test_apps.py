"""Wallet and till as they are given out: small, of one version, under a policy that lets nothing in from elsewhere."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import brotli
import httpx2
import pytest

from counterfoil.web.apps import APPS, STATIC, without_comments
from tests.browser.tools import MODULES
from tests.web.site import Site

FIRST_LOAD_MAX = 25_000
"""Bytes of the first load, compressed: shell, style, modules, Korean words."""
FIRST_LOAD_CAP = 50_000
BROWSER_HEADERS = {"Accept-Encoding": "gzip, deflate, br, zstd", "Accept-Language": "ko-KR,ko;q=0.9"}
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Shell(HTMLParser):
    """What a shell loads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def links(self, rel: str) -> list[str]:
        return [str(attributes["href"]) for tag, attributes in self.tags if tag == "link" and attributes.get("rel") == rel]


async def fetched(site: Site, address: str, **headers: str) -> tuple[httpx2.Response, bytes]:
    """An answer and its body as it went over the wire, still compressed."""
    async with site.client.stream("GET", address, headers=BROWSER_HEADERS | headers) as answer:
        return answer, b"".join([part async for part in answer.aiter_raw()])


async def shell_of(site: Site, app: str) -> Shell:
    answer, body = await fetched(site, f"/{app}/")
    assert answer.status_code == 200
    return Shell(brotli.decompress(body).decode())


# Size


@pytest.mark.parametrize("app", APPS)
async def test_the_first_load_is_small(site: Site, app: str) -> None:
    shell = await shell_of(site, app)
    addresses = [f"/{app}/", *shell.links("stylesheet"), *shell.links("modulepreload"), *shell.links("preload")]
    sizes = {}
    for address in addresses:
        answer, body = await fetched(site, address)
        assert answer.headers["content-encoding"] == "br", address
        sizes[address] = len(body)
    assert any("/words/ko.json" in address for address in addresses)
    assert sum(sizes.values()) <= FIRST_LOAD_MAX, (sum(sizes.values()), sizes)


@pytest.mark.parametrize("app", APPS)
async def test_every_first_load_module_is_told_ahead_and_nothing_else_is_needed(site: Site, app: str) -> None:
    modules = (await shell_of(site, app)).links("modulepreload")
    assert modules[0] == f"/static/{app}/main.js"
    assert len(modules) == len(set(modules))
    for module in modules:
        code = (STATIC / module.removeprefix("/static/")).read_text("utf-8")
        for target in re.findall(r"""^(?:import|export)[^;"']*?from\s*["']([^"']+)["']""", code, re.MULTILINE):
            path = Path("/", target) if target.startswith("/") else (Path(module).parent / target)
            assert str(Path(_plain(path))) in modules, (module, target)


def _plain(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return str(Path(*parts))


# Policy


@pytest.mark.parametrize("app", APPS)
async def test_a_shell_has_nothing_inline_and_nothing_from_elsewhere(site: Site, app: str) -> None:
    answer, body = await fetched(site, f"/{app}/")
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    html = brotli.decompress(body).decode()
    shell = Shell(html)
    scripts = [attributes for tag, attributes in shell.tags if tag == "script"]
    assert [set(attributes) for attributes in scripts] == [{"type", "src"}]
    assert "<style" not in html
    for _, attributes in shell.tags:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        for name in ("src", "href"):
            assert str(attributes.get(name, "/")).startswith("/")
    assert "<noscript>" in html
    assert 'href="/basic/"' in html


@pytest.mark.parametrize(
    ("accept", "language", "words"), [("ko", "ko", True), ("fr-CA", "fr", True), ("en", "en", False), ("", "en", False)]
)
async def test_the_shell_names_the_words_of_the_callers_language(site: Site, accept: str, language: str, words: bool) -> None:
    answer = await site.client.get("/wallet/", headers={"Accept-Language": accept})
    shell = Shell(answer.text)
    assert dict(shell.tags)["html"]["lang"] == language
    assert [address.startswith(f"/wallet/words/{language}.json?v=") for address in shell.links("preload")] == [True] * words
    assert "accept-language" in answer.headers["vary"].lower()


# Addresses that stay


async def test_what_is_named_by_its_version_is_kept_for_good_and_everything_else_is_asked_for_again(site: Site) -> None:
    shell = await shell_of(site, "wallet")
    words, style = shell.links("preload")[0], shell.links("stylesheet")[0]
    for address in (words, style):
        assert "immutable" in (await site.client.get(address)).headers["cache-control"]
        renamed = re.sub(r"v=.*", "v=AAAAAAAAAAAAAAAA", address)
        assert (await site.client.get(renamed)).headers["cache-control"] == "no-cache"
    for address in ("/wallet/", "/wallet/sw.js", "/static/wallet/main.js"):
        first = await site.client.get(address)
        assert first.headers["cache-control"] == "no-cache"
        again = await site.client.get(address, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        other = await site.client.get(address, headers={"If-None-Match": '"something else"'})
        assert other.status_code == 200


@pytest.mark.parametrize(
    ("accept", "coding"),
    [("br, gzip", "br"), ("gzip", "gzip"), ("", None), ("identity", None), ("br;q=0, gzip", "gzip"), ("gzip;q=0", None)],
)
async def test_a_file_is_compressed_as_the_caller_can_read_it(site: Site, accept: str, coding: str | None) -> None:
    answer, body = await fetched(site, "/static/wallet/main.js", **{"Accept-Encoding": accept})
    assert answer.headers.get("content-encoding") == coding
    assert "accept-encoding" in answer.headers["vary"].lower()
    unpacked = {"br": brotli.decompress, "gzip": gzip.decompress}.get(coding or "", bytes)(body)
    assert unpacked.decode() == without_comments((STATIC / "wallet/main.js").read_text("utf-8"))


async def test_other_methods_and_addresses_are_refused(site: Site) -> None:
    assert (await site.client.post("/wallet/")).status_code == 405
    assert (await site.client.get("/wallet/nothing.js")).status_code == 404
    assert (await site.client.get("/static/../apps.py")).status_code == 404
    assert (await site.client.get("/static/vendor/LICENSES")).status_code == 404
    moved = await site.client.get("/wallet")
    assert (moved.status_code, moved.headers["location"]) == (308, "/wallet/")
    head = await site.client.head("/wallet/")
    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 500


# Installable


@pytest.mark.parametrize("app", APPS)
async def test_the_manifest_is_complete_and_its_icons_are_there(site: Site, app: str) -> None:
    answer = await site.client.get((await shell_of(site, app)).links("manifest")[0])
    assert answer.headers["content-type"] == "application/manifest+json"
    manifest = answer.json()
    assert manifest["lang"] == "ko"
    assert manifest["start_url"] == manifest["scope"] == manifest["id"] == f"/{app}/"
    assert manifest["display"] == "standalone"
    assert {"name", "short_name", "background_color", "theme_color"} <= manifest.keys()
    sizes = set()
    for icon in manifest["icons"]:
        picture = await site.client.get(icon["src"])
        assert picture.headers["content-type"] == icon["type"]
        if icon["type"] == "image/png":
            width, height = (int.from_bytes(picture.content[at : at + 4]) for at in (16, 20))
            assert f"{width}x{height}" == icon["sizes"]
            sizes.add((width, icon.get("purpose", "any")))
    assert {(192, "any"), (512, "any"), (512, "maskable")} <= sizes


async def told(site: Site, app: str) -> dict[str, Any]:
    """What a service worker is told of its app."""
    answer = await site.client.get(f"/{app}/sw.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    found = re.match(r"self\.counterfoil = (\{.*\});\n", answer.text)
    assert found is not None
    result: dict[str, Any] = json.loads(found[1])
    return result


@pytest.mark.parametrize("app", APPS)
async def test_the_worker_knows_every_file_of_the_app_by_its_hash(site: Site, app: str) -> None:
    about = await told(site, app)
    files: dict[str, str] = about["files"]
    assert about["shell"] in files
    assert set((await shell_of(site, app)).links("modulepreload")) <= set(files)
    own = {f"/static/{path.relative_to(STATIC).as_posix()}" for folder in (app, "phone") for path in (STATIC / folder).rglob("*.js")}
    assert own - {"/static/phone/sw.js"} <= set(files)
    assert {f"/{app}/words/{code}.json" for code in ("ko", "fr")} <= set(files)
    fetched_later = {"/static/vendor/uqr.mjs"} | ({"/static/proof/verify.js", "/static/vendor/qr/decode.js"} if app == "wallet" else set())
    assert fetched_later <= set(files), "what is imported when it is needed is needed without a network, too"
    assert not any(address.startswith(("/v1", "/log")) for address in files)
    for address, version in files.items():
        answer = await site.client.get(address)
        assert answer.status_code == 200, address
        assert base64.urlsafe_b64encode(hashlib.sha256(answer.content).digest()[:12]).decode() == version, address


# Comments


async def test_a_module_without_its_comments_is_the_same_program(tmp_path: Path) -> None:
    compiler = MODULES / ".bin/tsc"
    if not compiler.is_file():
        pytest.skip("needs what npm installs for the browser tests")
    paths = [path for path in sorted(STATIC.rglob("*.js")) if "vendor" not in path.parts]
    assert len(paths) > 30
    for path in paths:
        code = path.read_text("utf-8")
        for folder, text in (("with", code), ("without", without_comments(code))):
            target = tmp_path / folder / path.relative_to(STATIC)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
    options = ["--allowJs", "--noCheck", "--removeComments", "--noResolve", "--target", "ES2022", "--module", "ES2022", "--types", ""]
    for folder in ("with", "without"):
        sources = [str(path) for path in sorted((tmp_path / folder).rglob("*.js"))]
        places = ["--outDir", str(tmp_path / f"{folder}-out"), "--rootDir", str(tmp_path / folder)]
        run = subprocess.run([compiler, *options, *places, *sources], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout
    for path in paths:
        a, b = (_lines(tmp_path / f"{folder}-out" / path.relative_to(STATIC)) for folder in ("with", "without"))
        assert len(a) > 2
        assert a == b, path


def _lines(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text("utf-8").splitlines() if line.strip()]
