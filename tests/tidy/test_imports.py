"""Who may import what, where an import-linter contract cannot say it: rules for modules that come and go."""

from __future__ import annotations

import functools

import grimp
import pytest

from tests.tidy.repository import none

KNOWN_ONLY_IN = {
    "starlette": ("web",),
    "uvicorn": ("web", "app", "__main__"),
    "jinja2": ("web",),
    "prometheus_client": ("web", "app"),
    "alembic": ("store",),
    "argon2": ("parties",),
    "reportlab": ("web",),
    "segno": ("web",),
}
"""Libraries that only one room knows, so that they can be exchanged there."""

KNOWN_NOWHERE_IN = {"ledger": ("sqlalchemy",), "tlog": ("sqlalchemy",)}

ENGINES = ("memory", "sqlite", "postgres", "tigerbeetle")


@functools.cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("counterfoil", include_external_packages=True, cache_dir=None)


def package_of(module: str) -> str:
    """The package within the product that a module belongs to: "payments" of "counterfoil.payments.fees"."""
    return module.split(".")[1] if "." in module else ""


def inside(module: str, *names: str) -> bool:
    return any(module == f"counterfoil.{name}" or module.startswith(f"counterfoil.{name}.") for name in names)


@pytest.mark.parametrize("library", KNOWN_ONLY_IN)
def test_library_is_known_only_in_its_room(library: str) -> None:
    if library in graph().modules:
        importers = graph().find_modules_that_directly_import(library)
        none(sorted(importer for importer in importers if not inside(importer, *KNOWN_ONLY_IN[library])))


@pytest.mark.parametrize("package", KNOWN_NOWHERE_IN)
def test_library_is_not_known_in(package: str) -> None:
    for library in KNOWN_NOWHERE_IN[package]:
        if library in graph().modules:
            none(sorted(m for m in graph().find_modules_that_directly_import(library) if inside(m, package)))


def test_no_package_reads_the_tables_of_another() -> None:
    tables = [module for module in graph().modules if module.endswith((".tables", "_tables"))]
    pairs = [(importer, table) for table in tables for importer in graph().find_modules_that_directly_import(table)]
    # app hands the tables of all to the migrations.
    none(sorted((a, b) for a, b in pairs if package_of(a) not in (package_of(b), "app")))


def engine_of(module: str) -> str:
    """The ledger engine that a module is part of: "sqlite" of "counterfoil.ledger.sqlite_schema"; empty for any other."""
    name = module.removeprefix("counterfoil.ledger.").partition(".")[0].partition("_")[0]
    return name if module.startswith("counterfoil.ledger.") and name in ENGINES else ""


COMPOSITION_ROOTS = ("engines", "publishing")
"""The server's, and the publisher's."""

OWN_FILES = ("counterfoil.payments.openings", "counterfoil.assurance.witness")
"""Memories of one process, in a file of its own that nobody else writes: the publisher's and a witness's."""
COPIES = "counterfoil.commands.backup"
"""Knows of SQLite's files that they can be copied, and nothing of what is in them."""


def test_engines_do_not_know_each_other_and_only_a_composition_root_knows_them() -> None:
    engines = [module for module in graph().modules if engine_of(module)]
    pairs = [(importer, module) for module in engines for importer in graph().find_modules_that_directly_import(module)]
    none(sorted((a, b) for a, b in pairs if engine_of(a) != engine_of(b) and package_of(a) not in COMPOSITION_ROOTS))


def test_sqlite_itself_is_known_only_to_its_engine() -> None:
    importers = graph().find_modules_that_directly_import("sqlite3") if "sqlite3" in graph().modules else set()
    none(sorted(importer for importer in importers if engine_of(importer) != "sqlite" and importer not in (*OWN_FILES, COPIES)))


def test_the_graph_is_there() -> None:
    """The rules above pass when there is nothing to look at: there is something."""
    assert graph().direct_import_exists(importer="counterfoil.config", imported="counterfoil.money")
    assert "msgspec" in graph().modules
