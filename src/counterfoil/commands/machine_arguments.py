"""Arguments of the programs that run at a merchant's: a till of its shop each, paired with a code. Imports nothing heavy."""

from __future__ import annotations

import argparse

from counterfoil.commands.argument_parts import Commands, add, reader


def terminal(commands: Commands[argparse.ArgumentParser]) -> None:
    folder = "the terminal's own folder (default: ./terminal)"
    command = commands.add_parser(
        "terminal",
        help="take payments by card at a shop's desk, with a PC/SC reader",
        description="Take payments by card at a shop's desk, with a PC/SC reader. Pair it with the shop first.",
        epilog="Examples:\n  counterfoil terminal\n  counterfoil terminal --data /var/lib/terminal --reader 'ACS ACR1252'",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(json=False, progress=None, action=None)
    command.add_argument("--data", default="terminal", metavar="DIR", help=folder)
    reader(command)
    _pair(command, "terminal", folder)


def gate(commands: Commands[argparse.ArgumentParser]) -> None:
    folder = "the gate's own folder (default: ./gate)"
    command = commands.add_parser(
        "gate",
        help="let cars into a car park, or out of it: a line for each plate or ticket",
        description="Let cars into a car park, or out of it: a line for each plate or ticket. Pair it with the merchant first.",
        epilog=(
            "Examples:\n  counterfoil gate --way in --car-park 'Market square' --hold --barrier http://127.0.0.1:8090/open"
            "\n  counterfoil gate --way out --barrier http://127.0.0.1:8091/open --barrier-secret barrier.secret"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(json=False, progress=None, action=None)
    command.add_argument("--data", default="gate", metavar="DIR", help=folder)
    command.add_argument("--way", choices=("in", "out"), default="in", help="which way cars pass here (default: in)")
    command.add_argument("--car-park", metavar="NAME", help="with --way in: the car park's name")
    command.add_argument("--hold", action="store_true", help="with --way in: ask for money to be set aside")
    command.add_argument("--barrier", metavar="URL", help="told when the barrier may open (default: whoever reads the lines opens it)")
    command.add_argument("--barrier-secret", metavar="FILE", help="with --barrier: the secret that signs this, as whsec_...")
    _pair(command, "gate", folder)


def pump(commands: Commands[argparse.ArgumentParser]) -> None:
    folder = "the controller's own folder (default: ./pump)"
    command = commands.add_parser(
        "pump",
        help="let a pump of a fuel station run for what was set aside, and take exactly what ran",
        description="Let a pump of a fuel station run for what was set aside, and take exactly what ran. Pair it with the merchant first.",
        epilog="Examples:\n  counterfoil pump --number 3 --at 127.0.0.1:9100",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(json=False, progress=None, action=None)
    command.add_argument("--data", default="pump", metavar="DIR", help=folder)
    command.add_argument("--number", type=int, default=1, metavar="N", help="the pump's number at the station (default: 1)")
    command.add_argument("--at", default="127.0.0.1:9100", metavar="HOST:PORT", help="where the pump listens (default: 127.0.0.1:9100)")
    actions = _pair(command, "pump", folder)
    simulate = add(actions, "simulate", "a pump to try, whose driver you are", "pump simulate --port 9100")
    simulate.add_argument("--port", type=int, default=9100, help="where it listens on this machine; 0 for a free one (default: 9100)")
    simulate.add_argument(
        "--data", default="simulated-pump", metavar="DIR", help="where it keeps its totaliser (default: ./simulated-pump)"
    )


def _pair(program: argparse.ArgumentParser, name: str, folder: str) -> Commands[argparse.ArgumentParser]:
    actions = program.add_subparsers(dest="action", metavar="ACTION")
    pair = add(
        actions,
        "pair",
        "make this machine a till of a shop, with a code from the shop's wallet",
        f"{name} pair --server https://money.example.org --code 7K3M9QXR --label 'Desk 1'",
    )
    pair.add_argument("--data", default=argparse.SUPPRESS, metavar="DIR", help=folder)
    pair.add_argument("--server", required=True, metavar="URL", help="the scheme's server; https:// except on this machine")
    pair.add_argument("--code", required=True, help="works once, and for ten minutes")
    pair.add_argument("--label", required=True, help="what the shop's wallet calls this machine")
    pair.add_argument("--again", action="store_true", help="in place of the shop or till that it was paired with before")
    return actions
