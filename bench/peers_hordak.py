"""A peer: django-hordak, double-entry bookkeeping for Django, as a program of the environment that `peers_environment` makes.

python bench/peers_hordak.py SOCKET_FOLDER DATABASE prepare PEOPLE
python bench/peers_hordak.py SOCKET_FOLDER DATABASE run PEOPLE COUNT PROCESSES THREADS CHECKED HOT SEED

*Plain* is `transfer_to`, which asks nobody whether the money is there. *Checked* (CHECKED is 1) locks the payer first and
adds up their balance, in one transaction with the transfer, as anybody has to who lets nobody spend what they do not have. Only
the payer is locked, and not against references to them: whoever is paid does not wait. HOT is 1 where half of the payments go
to one account. Each thread has a connection of its own, as Django has it. Prints one line of JSON.

It imports nothing of ours: it runs where only Django and hordak are.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import threading
import time
from typing import Any

import django  # type: ignore[import-not-found, unused-ignore]
from django.conf import settings  # type: ignore[import-not-found, unused-ignore]

CURRENCY = "USD"
FUNDS = 5_000
HOT_SHARE = 0.5
REFUSED_SHARE = 0.01
SHOP = "shop"
READY_S_MAX = 300


def configure(socket_folder: str, database: str) -> None:
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": database,
                "HOST": socket_folder,
                "USER": "postgres",
                "CONN_MAX_AGE": None,
            }
        },
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "mptt", "hordak"],
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        DEFAULT_CURRENCY=CURRENCY,
        HORDAK_CURRENCIES=[CURRENCY],
        HORDAK_INTERNAL_CURRENCY=CURRENCY,
        USE_TZ=True,
        SECRET_KEY="for the bench",
    )
    django.setup()


def prepare(people: int) -> dict[str, Any]:
    """Tables, so many people, a shop, and everybody's money from the bank's account."""
    from django.core.management import call_command  # type: ignore[import-not-found, unused-ignore]
    from hordak.models import Account  # type: ignore[import-not-found, unused-ignore]
    from moneyed import Money  # type: ignore[import-not-found, unused-ignore]

    call_command("migrate", verbosity=0, interactive=False)
    bank = Account.objects.create(name="bank", type="AS", currencies=[CURRENCY])
    wallets = Account.objects.create(name="wallets", type="AS", currencies=[CURRENCY])
    Account.objects.create(name=SHOP, parent=wallets, currencies=[CURRENCY])
    for number in range(people):
        person = Account.objects.create(name=f"person {number}", parent=wallets, currencies=[CURRENCY])
        bank.transfer_to(person, Money(FUNDS, CURRENCY))
    return {"people": people}


def pay(payer: int, payee: int, cents: int, *, checked: bool) -> bool:
    """One payment between accounts of these keys. Whether it was made."""
    from django.db import transaction  # type: ignore[import-not-found, unused-ignore]
    from hordak.models import Account
    from moneyed import Money

    amount = Money(cents, CURRENCY) / 100
    with transaction.atomic():
        if not checked:
            accounts = Account.objects.in_bulk([payer, payee])
            accounts[payer].transfer_to(accounts[payee], amount)
            return True
        locked = Account.objects.select_for_update(no_key=True).get(pk=payer)
        if locked.get_simple_balance()[CURRENCY] < amount:
            return False
        locked.transfer_to(Account.objects.get(pk=payee), amount)
        return True


def caller(people: list[int], shop: int, count: int, *, checked: bool, hot: bool, seed: int, found: list[tuple[float, bool]]) -> None:
    """`count` payments, one after the other; their times, and whether they were made."""
    from django.db import connection

    chance = random.Random(seed)
    for _ in range(count):
        payer, payee = chance.sample(people, 2)
        if hot and chance.random() < HOT_SHARE:
            payee = shop
        cents = 2 * FUNDS * 100 if chance.random() < REFUSED_SHARE else chance.randrange(100, 400)
        if not checked:
            cents = min(cents, 400)  # it would be paid, and nobody's balance is asked
        began = time.perf_counter()
        done = pay(payer, payee, cents, checked=checked)
        found.append((time.perf_counter() - began, done))
    connection.close()


def work(
    socket_folder: str, database: str, count: int, threads: int, checked: bool, hot: bool, seed: int, ready: Any, begin: Any, told: Any
) -> None:
    """A process of callers: connects, says so, waits for all, and tells what it found."""
    configure(socket_folder, database)
    from hordak.models import Account

    shop = Account.objects.get(name=SHOP).pk
    people = list(Account.objects.filter(name__startswith="person ").order_by("pk").values_list("pk", flat=True))
    found: list[tuple[float, bool]] = []
    callers = [
        threading.Thread(
            target=caller, args=(people, shop, count), kwargs=dict(checked=checked, hot=hot, seed=seed * 1000 + n, found=found)
        )
        for n in range(threads)
    ]
    ready.put(1)
    begin.wait(READY_S_MAX)
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    told.put((time.perf_counter(), found))


def run(socket_folder: str, database: str, count: int, processes: int, threads: int, checked: bool, hot: bool, seed: int) -> dict[str, Any]:
    """Payments a second by so many processes of so many threads."""
    context = multiprocessing.get_context("spawn")
    ready, begin, told = context.Queue(), context.Event(), context.Queue()
    each = -(-count // (processes * threads))
    workers = [
        context.Process(target=work, args=(socket_folder, database, each, threads, checked, hot, seed * 100 + n, ready, begin, told))
        for n in range(processes)
    ]
    for worker in workers:
        worker.start()
    for _ in workers:
        ready.get(timeout=READY_S_MAX)
    began = time.perf_counter()
    begin.set()
    ends = [told.get() for _ in workers]
    for worker in workers:
        worker.join()
    elapsed = max(end for end, _ in ends) - began  # one clock for all processes
    found = [each for _, part in ends for each in part]
    assert len(found) == each * processes * threads, (len(found), each, processes, threads)
    latencies = sorted(seconds for seconds, _ in found)
    return {
        "rate": len(found) / elapsed,
        "p50_ms": latencies[len(found) // 2] * 1_000,
        "p99_ms": latencies[len(found) * 99 // 100] * 1_000,
        "refused": sum(not done for _, done in found),
        "count": len(found),
    }


def main(arguments: list[str]) -> None:
    socket_folder, database, command, people, *numbers = arguments
    if command == "prepare":
        configure(socket_folder, database)
        answer = prepare(int(people))
    else:
        count, processes, threads, checked, hot, seed = map(int, numbers)
        answer = run(socket_folder, database, count, processes, threads, bool(checked), bool(hot), seed)
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1:])
