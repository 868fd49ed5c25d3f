"""The log's files over HTTP: these and no others, kept as long as they stay the same."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from counterfoil.tlog.check import verify_folder
from counterfoil.tlog.keys import VerifierKey
from counterfoil.web.tiles import shape_of
from tests.payments.publish.logbook import KEY, ORIGIN
from tests.web.logged import LoggedSite, logged, policy
from tests.web.site import problem

asynchronous = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LoggedSite]:
    async with logged(tmp_path_factory.mktemp("scheme")) as served:
        await served.scheme.customer(funds=100_000)
        served.settle()
        yield served


@asynchronous
async def test_every_published_file_is_served_as_it_is_and_makes_a_whole_log(
    site: LoggedSite, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, copy = site.book.folder / "log/public", tmp_path_factory.mktemp("copy")
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    assert {name.split("/")[0] for name in names} == {"checkpoint", "witnessed", "policy", "heads", "tile", "public"}
    for name in names:
        answer = await site.client.get(f"/log/{name}")
        assert (answer.status_code, answer.content) == (200, (folder / name).read_bytes()), name
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes(answer.content)
    key = VerifierKey.of(ORIGIN, bytes(KEY.verify_key))
    assert not verify_folder(copy, key=key, policy=policy()).faults


@asynchronous
async def test_each_kind_of_file_says_how_long_it_can_be_kept(site: LoggedSite) -> None:
    partial = next((site.book.folder / "log/public/tile/0").rglob("*.p/*")).relative_to(site.book.folder / "log/public").as_posix()
    day = next((site.book.folder / "log/public/heads").iterdir()).name
    for name, media_type, kept in [
        ("checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("witnessed", "text/plain; charset=utf-8", "no-cache"),
        ("policy", "text/plain; charset=utf-8", "no-cache"),
        (f"heads/{day}", "text/plain; charset=utf-8", "no-cache"),
        ("public/0", "application/octet-stream", "public, max-age=31536000, immutable"),
        (partial, "application/octet-stream", "public, max-age=86400"),
    ]:
        answer = await site.client.get(f"/log/{name}")
        assert (answer.headers["content-type"], answer.headers["cache-control"]) == (media_type, kept), name
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["access-control-allow-origin"] == "*"


@asynchronous
async def test_an_unchanged_file_is_not_sent_again_and_a_changed_one_is(site: LoggedSite) -> None:
    first = await site.client.get("/log/checkpoint")
    tag = first.headers["etag"]
    for sent in (tag, f'"other", W/{tag}'):
        again = await site.client.get("/log/checkpoint", headers={"If-None-Match": sent})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    await site.scheme.customer()
    site.settle()
    changed = await site.client.get("/log/checkpoint", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.content != first.content


@asynchronous
async def test_the_rest_of_a_days_file_can_be_asked_for(site: LoggedSite) -> None:
    path = next((site.book.folder / "log/public/heads").iterdir())
    data = path.read_bytes()
    rest = await site.client.get(f"/log/heads/{path.name}", headers={"Range": "bytes=10-"})
    assert (rest.status_code, rest.content) == (206, data[10:])
    assert rest.headers["content-range"] == f"bytes 10-{len(data) - 1}/{len(data)}"
    part = await site.client.get(f"/log/heads/{path.name}", headers={"Range": "bytes=0-3"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, data[:4], f"bytes 0-3/{len(data)}")
    beyond = await site.client.get(f"/log/heads/{path.name}", headers={"Range": f"bytes={len(data)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
    for odd in ("bytes=-5", "lines=1-2", "bytes=0-1,3-4"):
        assert (await site.client.get(f"/log/heads/{path.name}", headers={"Range": odd})).content == data


@asynchronous
async def test_head_tells_the_size_and_nothing_else_may_be_done(site: LoggedSite) -> None:
    answer = await site.client.head("/log/checkpoint")
    size = len((site.book.folder / "log/public/checkpoint").read_bytes())
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(size), b"")
    refused = await site.client.post("/log/checkpoint", content=b"x")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


@asynchronous
@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing",
        "checkpoint/",
        "Checkpoint",
        "../state/head",
        "%2e%2e/openings.sqlite",
        "..%2fopenings.sqlite",
        "tile/0/..%2f..%2fcheckpoint",
        ".lock",
        "public",
        "public/00",
        "public/-1",
        "public/999999",
        "tile/0/000.p/256",
        "tile/0/999",
        "heads/2000-01-01",
        "checkpoint%00",
    ],
)
async def test_any_other_address_is_not_found(site: LoggedSite, path: str) -> None:
    (site.book.folder / "log/public/nothing").write_text("x")
    assert (site.book.folder / "log/openings.sqlite").exists()
    answer = await site.client.get(f"http://127.0.0.1:{site.port}/log/{path}")
    assert problem(answer)["code"] == "not_found"


@pytest.mark.parametrize(
    "path",
    [
        "checkpoint",
        "heads/2026-11-21",
        "tile/0/000",
        "tile/63/x001/x234/067",
        "tile/entries/x001/x000/067.p/255",
        "tile/0/000.p/1",
        "public/0",
        "public/18446744073709551615",
    ],
)
def test_paths_of_a_log(path: str) -> None:
    assert shape_of(path) is not None


@pytest.mark.parametrize(
    "path",
    [
        "checkpoint\n",
        "heads/2026-1-21",
        "heads/",
        "tile/64/000",
        "tile/00/000",
        "tile/0/x000/001",
        "tile/0/1",
        "tile/0/0000",
        "tile/0/001/002",
        "tile/0/x001",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/data/000",
        "tile/0/" + "x001/" * 7 + "001",
        "public/1/2",
        "public/\u0661",
    ],
)
def test_paths_of_no_log(path: str) -> None:
    assert shape_of(path) is None
