"""What the commands' arguments have in common. Imports nothing heavy."""

from __future__ import annotations

import argparse

Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def add(commands: Commands[argparse.ArgumentParser], name: str, help: str, *examples: str) -> argparse.ArgumentParser:
    """One command with what all have: --json, --progress, examples."""
    command = commands.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog="Examples:\n" + "\n".join(f"  counterfoil {example}" for example in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print one JSON object; amounts in minor units")
    command.add_argument("--progress", action="store_true", default=None, help="show progress also when stderr is no terminal")
    return command


def group(commands: Commands[argparse.ArgumentParser], name: str, help: str, dest: str) -> Commands[argparse.ArgumentParser]:
    group = commands.add_parser(
        name, help=help, description=help[0].upper() + help[1:] + ".", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return group.add_subparsers(dest=dest, required=True, metavar=dest.upper())


def data(command: argparse.ArgumentParser) -> argparse.ArgumentParser:
    command.add_argument("--data", default=None, metavar="DIR", help="the data folder (default: COUNTERFOIL_DATA, else ./data)")
    return command


def reader(command: argparse.ArgumentParser) -> None:
    command.add_argument("--reader", default=None, metavar="NAME", help="how the reader's name begins (default: the only one)")
