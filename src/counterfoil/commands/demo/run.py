"""Starts the town: fills it once, serves it, tells how to get in, and keeps it trading."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec
import uvloop

from counterfoil import app
from counterfoil.clock import Clock, SystemClock
from counterfoil.commands import keyfile
from counterfoil.commands.demo import telephones
from counterfoil.commands.demo.cast import Actor, Cast
from counterfoil.commands.demo.counter import Counter
from counterfoil.commands.demo.dice import Dice
from counterfoil.commands.demo.fill import PIN, Filling
from counterfoil.commands.demo.shops import Shops
from counterfoil.commands.demo.talk import Talking
from counterfoil.commands.demo.town import NAME, REGION, SEED, Member, Person, town
from counterfoil.commands.demo.trade import Trading
from counterfoil.commands.demo.witnesses import five_witnesses
from counterfoil.commands.keyfile import KeyFile
from counterfoil.commands.output import Answer, Output, WrongUse, plain
from counterfoil.commands.scheme import config_of, unwrapped
from counterfoil.commands.signing import Terms
from counterfoil.config import FILE_NAME, Config
from counterfoil.errors import Unavailable
from counterfoil.folder import only_process, operator_key, policy_path
from counterfoil.ids import id_text
from counterfoil.tlog.keys import Signer
from counterfoil.web import simulator
from counterfoil.web.api.sign_in import sign_in_path
from counterfoil.web.app import create_app
from counterfoil.web.incoming import Application
from counterfoil.web.server import listening, told_to_stop
from counterfoil.web.services import Services
from counterfoil.web.values import base64_text

FOLDER = "./demo-data"
MARK = "town.json"
TILL_OF = "fontaine_pain"
"""The shop whose till a visitor may take over."""
PORT = 8480
SETTINGS = f"""\
# A demo's settings: nothing here is real, and everybody's keys follow from the seed.
sandbox = true
scheme_name = "{NAME} Pay"
origin = "{NAME.lower()}.localhost/log"
region = "{REGION}"
check_interval_s = 30
witness_interval_s = 3
"""
_OURS = ("ledger.sqlite", "store.sqlite", "wallets", "keys", "log", "witnesses", "policy")


class Mark(msgspec.Struct, frozen=True):
    """What stands in the data folder's `town.json`: which town it is, and whether it was filled to the end."""

    seed: str
    filled: bool


def demo(arguments: argparse.Namespace, output: Output) -> Answer:
    """Runs the town until it is told to stop."""
    folder = Path(arguments.data or os.environ.get("COUNTERFOIL_DATA") or FOLDER)
    mark = prepare(folder, arguments.seed)
    config = config_of(arguments, data=str(folder))
    if not config.sandbox:
        raise WrongUse(f"{folder / FILE_NAME} or the environment says sandbox = false, and a demo is never anything else")

    async def run() -> Answer:
        return await _run(config, mark, arguments, output)

    return unwrapped(lambda: uvloop.run(run()))


def prepare(folder: Path, seed: str | None) -> Mark:
    """The folder's town, or a new one. WrongUse for a folder that is somebody else's; a half-filled town is cleared away."""
    path = folder / MARK
    if path.is_file():
        mark = msgspec.json.decode(path.read_bytes(), type=Mark)
        if seed is not None and seed != mark.seed:
            raise WrongUse(f"the town in {folder} grew from the seed {mark.seed}: choose another folder for {seed}")
        if not mark.filled:
            with only_process(folder):
                _clear(folder)
        return mark
    if folder.is_dir() and any(folder.iterdir()):
        raise WrongUse(f"{folder} holds something that is no demo: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    mark = Mark(seed or SEED, filled=False)
    path.write_bytes(msgspec.json.encode(mark))
    (folder / FILE_NAME).write_text(SETTINGS, "utf-8")
    return mark


def _clear(folder: Path) -> None:
    """Takes away what a start that did not get to the end has left: only files that such a start makes."""
    for name in _OURS:
        for path in folder.glob(f"{name}*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


async def _run(config: Config, mark: Mark, arguments: argparse.Namespace, output: Output) -> Answer:
    clock = SystemClock()
    config = telephones.with_gateway(config, clock)
    if arguments.fill_only:
        async with app.running(config, clock) as services:
            cast = await settled(services, mark, clock, output)
            application = create_app(services, await telephones.settle(services, cast, mark.seed, clock, pin=PIN))
            async with _listening(application, config, arguments) as server:
                till = await (await _shops(services, cast, mark, clock)).pairing(TILL_OF, server)
                return describe(config, services, cast, server, application.sessions.invite(_staff(cast, "treasurer").party), till)
    async with (
        _witnessed(config, clock, output),
        app.running(config, clock, publishing=True) as services,
    ):
        cast = await settled(services, mark, clock, output)
        application = create_app(services, await telephones.settle(services, cast, mark.seed, clock, pin=PIN))
        async with _listening(application, config, arguments) as server:
            shops = await _shops(services, cast, mark, clock)
            till = await shops.pairing(TILL_OF, server)
            told = describe(config, services, cast, server, application.sessions.invite(_staff(cast, "treasurer").party), till)
            output.line("\n".join(told.lines))
            trading = asyncio.create_task(_trade(services, cast, shops, clock, arguments.pace))
            stop = asyncio.create_task(told_to_stop())
            await asyncio.wait((trading, stop), return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if trading.done():
                trading.result()
            trading.cancel()
    return Answer(told.data | {"stopped": True}, ["", "Stopped. The same command goes on with the same town."])


@asynccontextmanager
async def _witnessed(config: Config, clock: Clock, output: Output) -> AsyncIterator[None]:
    """Five witnesses beside the town, and the policy that names them."""
    with only_process(config.folder):
        pass  # a town that runs already is left alone, its policy and witnesses too
    vkey = Signer(config.origin, operator_key(config.folder, clock)).vkey
    async with five_witnesses(config.folder / "witnesses", str(vkey), on_note=output.note, clock=clock) as witnesses:
        shutil.copyfile(witnesses.policy, policy_path(config))
        yield


@asynccontextmanager
async def _listening(application: Application, config: Config, arguments: argparse.Namespace) -> AsyncIterator[str]:
    """On the port that was asked for; without one, on 8480 or, where that is taken, on any that is free."""
    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(listening(application, host=config.host, port=config.port))
        except Unavailable:
            if arguments.port is not None or config.port != PORT:
                raise
            address = await stack.enter_async_context(listening(application, host=config.host, port=0))
        yield address


async def settled(services: Services, mark: Mark, clock: Clock, output: Output) -> Cast:
    """The town with its accounts: filled if it has not been yet."""
    if not mark.filled:
        cast = await Filling(services, mark.seed, clock, output.progress).fill()
        path = services.config.folder / MARK
        draft = path.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(Mark(mark.seed, filled=True)))
        draft.rename(path)
        return cast
    return await Cast.of(town(mark.seed), mark.seed).with_accounts(services.parties, terms_of(services))


def terms_of(services: Services) -> Terms:
    rules = services.payments.rules
    return Terms(rules.origin, rules.currency.code, rules.hash)


async def _shops(services: Services, cast: Cast, mark: Mark, clock: Clock) -> Shops:
    """Shops with tills, set up if they are not yet."""
    dice = Dice(f"{base64_text(cast.people[0].key.encode())[:8]}/shops/{services.ledger.last_timestamp}")
    shops = Shops(services, cast, terms_of(services), mark.seed, dice, clock)
    await shops.settle()
    return shops


async def _trade(services: Services, cast: Cast, shops: Shops, clock: Clock, pace: float) -> None:
    """Trade and talk go on from where the ledger is, with draws that were never made before; agents serve whoever asks."""
    dice = Dice(f"{base64_text(cast.people[0].key.encode())[:8]}/trade/{services.ledger.last_timestamp}")
    talk, counter = (
        Dice(f"{base64_text(cast.people[0].key.encode())[:8]}/{each}/{services.ledger.last_timestamp}") for each in ("talk", "counter")
    )
    async with asyncio.TaskGroup() as group:
        group.create_task(Trading(services, cast, terms_of(services), dice, clock).run(pace))
        group.create_task(Talking(services, cast, talk, clock).run(pace))
        group.create_task(Counter(services, cast, counter, clock).run())
        group.create_task(shops.run(pace))


# Getting in

_LENT = ("customer, English", "customer, Korean", "market stall", "agent")
"""Whose wallets are offered for the browser; links for the others stand in the JSON."""


def describe(config: Config, services: Services, cast: Cast, server: str, token: str, till: str) -> Answer:
    """Key files for some of the people, and how to use them."""
    folder = config.folder / "wallets"
    shown = [
        ("customer, English", _speaker(cast, "en")),
        ("customer, Korean", _speaker(cast, "ko")),
        ("customer, French", _speaker(cast, "fr")),
        ("customer, Arabic", _speaker(cast, "ar")),
        ("market stall", cast.find("neema_fruit")),
        ("fuel station", cast.find("lighthouse_fuel")),
        ("agent", cast.agents[0]),
        ("bank", cast.banks[0]),
        *((member.who.role, member) for member in cast.staff if isinstance(member.who, Member)),
    ]
    people = []
    for role, actor in shown:
        path = folder / f"{actor.label.lstrip('+')}.key"
        write_key(path, services, actor, server)
        people.append({"role": role, "name": actor.who.name, "address": _address(actor), "key": str(path), "link": borrow(actor, server)})
    customer, agent, treasurer = people[0]["key"], people[6]["key"], people[8]["key"]
    link = f"{server}{sign_in_path(token)}"
    program, verifier = callable_as("counterfoil"), callable_as("counterfoil-verify")
    lines = [
        f"{NAME} is open: {len(cast.people)} people, {len(cast.merchants)} merchants, {len(cast.agents)} agents, {len(cast.banks)} banks.",
        "",
        f"  Front page    {server}/",
        f"  Your wallet   {for_browsers(server)}/wallet/",
        f"                (an account in a minute; then Cash, at @{cast.agents[0].label}, who gives what you ask for)",
        f"  Old phones    {for_browsers(server)}/basic/",
        f"  Any phone     {for_browsers(server)}{simulator.PATH}",
        f"                (a simple telephone: dial {simulator.CODE}, PIN {PIN})",
        f"  Till          {till}",
        f"                (of {cast.find(TILL_OF).who.name}; clerks Margaux and Émile, PIN {PIN})",
        f"  Proof page    {server}/proof",
        f"  Staff pages   {link}",
        f"                (works once, within 5 minutes; then: {program} staff login --key {treasurer})",
        f"  API           {server}/openapi.json",
        "",
        "Wallets of others (each link lends that person's key to the browser that opens it; no server is sent it):",
        *(f"  {each['role']:<18} {plain(each['name'])}  {each['link']}" for each in people if each["role"] in _LENT),
        "",
        "Keys (whoever has a file is that person; PIN of the first people: " + PIN + "):",
        *(f"  {each['role']:<18} {each['key']}  {plain(each['name'])}  {each['address']}" for each in people),
        "",
        "Try it in another terminal:",
        f"  {program} wallet balance --key {customer}",
        f"  {program} wallet pay @neema_fruit 2.50 --memo mangoes --key {customer}",
        f"  {program} wallet history --limit 5 --key {customer}",
        f"  {program} wallet cash-in 20 --agent @{cast.agents[0].label} --key {customer}",
        f"  {program} wallet requests --key {agent}",
        f"  {program} staff proposals --key {treasurer}",
        f"  {program} wallet create --number +13405550199 --name 'Your Name' --pin 2580 --key my.key"
        + ("" if server.endswith(f":{PORT}") else f" --server {server}"),
        "",
        "Prove a payment without trusting this program:",
        f"  {program} wallet pay @neema_fruit 2.50 --memo mangoes --key {customer}",
        f"  {program} wallet proof --out mangoes.tlog-proof --key {customer}",
        f"  {verifier} receipt mangoes.tlog-proof --policy {policy_path(config)}",
        "",
        "Ctrl-C ends it.",
    ]
    data = {
        "server": server,
        "staff": link,
        "proof": f"{server}/proof",
        "simulator": f"{for_browsers(server)}{simulator.PATH}",
        "till": till,
        "openapi": f"{server}/openapi.json",
        "wallets": people,
        "town": NAME,
    }
    return Answer(data, lines)


def borrow(actor: Actor, server: str) -> str:
    """A link that lends the actor's key to the wallet in a browser; "" for staff, who have no wallet.

    What stands behind # stays in the browser: no server is ever sent it. Wallets take such a link in a sandbox only.
    """
    if not actor.signer:
        return ""
    return f"{for_browsers(server)}/wallet/#/borrow?device={id_text(actor.device)}&seed={base64_text(actor.key.encode())}"


def callable_as(program: str) -> str:
    """How somebody in this folder calls a program of ours: by its name where a shell finds it, else by its place."""
    beside = Path(sys.executable).with_name(program)
    found = shutil.which(program)
    is_ours = not beside.exists() or (found is not None and Path(found).samefile(beside))
    return program if is_ours else os.path.relpath(beside)


def for_browsers(server: str) -> str:
    """The address that a wallet is opened at: one origin for one wallet, and a name, which passkeys and certificates want."""
    return server.replace("//127.0.0.1:", "//localhost:")


def write_key(path: Path, services: Services, actor: Actor, server: str) -> None:
    """The actor's key file, written anew: the server's address may have changed since the last start."""
    rules = services.payments.rules
    key = KeyFile(
        server=server,
        origin=rules.origin,
        currency=rules.currency.code,
        digits=rules.currency.digits,
        operator_key=base64_text(services.payments.acknowledger.public_key),
        party=id_text(actor.party),
        account=id_text(actor.account) if actor.signer else "",
        device=id_text(actor.device),
        seed=base64_text(actor.key.encode()),
        name=actor.who.name,
        number=actor.number,
    )
    path.unlink(missing_ok=True)
    keyfile.save(path, key)


def _speaker(cast: Cast, language: str) -> Actor:
    return next(actor for actor in cast.people if isinstance(actor.who, Person) and actor.who.language == language)


def _staff(cast: Cast, role: str) -> Actor:
    return next(actor for actor in cast.staff if isinstance(actor.who, Member) and actor.who.role == role)


def _address(actor: Actor) -> str:
    return f"@{actor.who.handle}" if actor.who.handle else actor.number
