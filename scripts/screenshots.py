"""Picture every page of a demo town, in both sizes, in three languages, light and dark: `python -m scripts.screenshots`.

Fills a town, serves it, and walks through it in Debian's Chromium as people of the town would: wallet, till, the pages without
JavaScript, the pages of everybody and those of staff. The pictures go to screenshots/, which is not in the repository:

    screenshots/wallet-pay-consent.360x640.ko.dark.png

--only wallet           those whose name begins so
--size, --language, --theme    one of them only
--go-on                 leaves out the walks that were whole the last time
--audit                 asks axe-core, and looks for what is cut off or too small to touch, on every page
--as-shown              not to the end of a page, but what is seen of it without scrolling

A page that could not be reached, or what the audit finds, is told at the end, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from playwright.async_api import Browser

from scripts.pictures.album import FOLDER, PATIENCE_MS, Album
from scripts.pictures.town import Town, town
from scripts.pictures.walks import WALKS
from tests.browser.device import SIZES, Camera, Theme, camera_browser, device

LANGUAGES = ("en", "ko", "fr")
THEMES: tuple[Theme, ...] = ("light", "dark")
LOOKS: list[tuple[str, str, Theme]] = [(size, language, theme) for size in SIZES for language in LANGUAGES for theme in THEMES]
"""Size, language and theme of each album."""
AT_ONCE = 2
"""Languages that are walked beside each other: one for each core of a small machine. The people of one language share a wallet."""
WHOLE = ".whole"
"""Folder of the empty files that say which walks were whole."""


async def walk(town: Town, browser: Browser, camera: Camera, name: str, look: tuple[str, str, Theme], wanted: argparse.Namespace) -> Album:
    """One walk in one size, language and theme, on a device of its own."""
    size, language, theme = look
    async with device(browser, size=SIZES[size], language=language, theme=theme, camera=True, reduced_motion="reduce") as context:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        album = Album(
            town, page, camera, language=language, suffix=".".join(look), only=wanted.only, audited=wanted.audit, whole=not wanted.as_shown
        )
        async with album.part(name):
            await WALKS[name](album)
        return album


async def run(wanted: argparse.Namespace) -> list[Album]:
    """All walks that are wanted; a few beside each other."""
    marks = FOLDER / WHOLE
    marks.mkdir(parents=True, exist_ok=True)
    (FOLDER / ".gitignore").write_text("*\n", "utf-8")
    for path in [] if wanted.go_on else [*FOLDER.glob(f"{wanted.only}*.png"), *marks.iterdir()]:
        if all(part in path.name for part in (wanted.size, wanted.language and f".{wanted.language}.", wanted.theme)):
            path.unlink()
    names = [name for name in WALKS if name.startswith(wanted.only) or wanted.only.startswith(name)]
    looks = [
        look
        for look in LOOKS
        if all(given in ("", part) for given, part in zip((wanted.size, wanted.language, wanted.theme), look, strict=True))
    ]
    albums: list[Album] = []
    taking_turns = asyncio.Semaphore(AT_ONCE)
    with tempfile.TemporaryDirectory(prefix="counterfoil-camera-") as folder:
        async with town() as found, camera_browser(Path(folder)) as (browser, camera):

            async def one(language: str) -> None:
                for look in (look for look in looks if look[1] == language):
                    for name in names:
                        mark = marks / f"{name}.{'.'.join(look)}"
                        async with taking_turns:
                            if wanted.go_on and mark.exists():
                                continue
                            album = await walk(found, browser, camera, name, look, wanted)
                        albums.append(album)
                        print(f"{mark.name}: {album.taken} pictures", *album.missed, *album.faults, sep="\n  ", flush=True)
                        if not album.missed and not wanted.only:
                            mark.touch()

            await asyncio.gather(*[one(language) for language in dict.fromkeys(look[1] for look in looks)])
    return albums


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.screenshots", description="Pictures every page of a demo town.")
    parser.add_argument("--only", metavar="NAME", default="", help="those whose name begins so, such as wallet or till-sell")
    parser.add_argument("--size", choices=sorted(SIZES), default="")
    parser.add_argument("--language", choices=sorted({look[1] for look in LOOKS}), default="")
    parser.add_argument("--theme", choices=THEMES, default="")
    parser.add_argument("--go-on", action="store_true", help="leave out the walks that were whole the last time")
    parser.add_argument("--audit", action="store_true", help="ask axe-core and the rules for small screens on every page")
    parser.add_argument("--as-shown", action="store_true", help="what is seen without scrolling")
    began = time.monotonic()
    albums = asyncio.run(run(parser.parse_args(arguments)))
    print(f"{sum(album.taken for album in albums)} pictures in {FOLDER.name}/, in {time.monotonic() - began:.0f} s")
    wrong = [f"not taken: {line}" for album in albums for line in album.missed] + [line for album in albums for line in album.faults]
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
