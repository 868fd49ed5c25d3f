"""From what was measured to the page: goals beside numbers, a table for each workload, and plots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.measure import Measure, Note, Results, Section, Series, number
from bench.plot import Axis, Points, bars, lines

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "reference" / "measurements.md"
IMAGES = DOCS / "images"
ENGINES = ("sqlite", "postgres", "tigerbeetle")
LARGEST = 10_000_000
OURS = "peers.counterfoil-sqlite"
LEDGER_ALONE = "peers.ledger-"
"""Beside the peers, and several times as quick: not drawn among payments, which would be short beside it."""

Found = dict[str, Measure]


class Goal(NamedTuple):
    """What was promised. `floor`: what is called not done beyond it, or None; `at_least` says which way is better."""

    words: str
    goal: float
    floor: float | None
    unit: str
    value: Callable[[Found], float | None]
    at_least: bool = True

    def verdict(self, found: Found) -> str:
        value = self.value(found)
        if value is None:
            return "not measured"
        if self._reaches(value, self.goal):
            return "met"
        if self.floor is None:
            return "**not met**"
        return "**below the goal**" if self._reaches(value, self.floor) else "**not done**"

    def _reaches(self, value: float, bound: float) -> bool:
        return value >= bound if self.at_least else value <= bound


def median(name: str) -> Callable[[Found], float | None]:
    return lambda found: found[name].median if name in found else None


def ratio(name: str) -> Callable[[Found], float | None]:
    return lambda found: found[name].ratio if name in found else None


def times_the_best(prefix: str) -> Callable[[Found], float | None]:
    """How many times the quickest variant of a peer we are."""

    def value(found: Found) -> float | None:
        variants = [each.median for name, each in found.items() if name.startswith(prefix) and each.unit == "pay/s"]
        return found[OURS].median / max(variants) if variants and OURS in found else None

    return value


def loss_percent(engine: str) -> Callable[[Found], float | None]:
    def value(found: Found) -> float | None:
        kept = ratio(f"growth.{engine}.{LARGEST}.rate")(found)
        return None if kept is None else (1 - kept) * 100

    return value


GOALS = (
    Goal("postgres engine, batches", 20_000, None, "tr/s", median("engines.batch.postgres")),
    Goal("tigerbeetle engine, batches", 100_000, None, "tr/s", median("engines.batch.tigerbeetle")),
    Goal("tigerbeetle engine beside the raw client", 0.6, None, "times", ratio("engines.batch.tigerbeetle")),
    Goal("sqlite engine, batches", 100_000, None, "tr/s", median("ledger.batch.plain")),
    Goal("sqlite engine, 1,000 callers of one transfer", 40_000, None, "tr/s", median("ledger.callers.1000")),
    Goal("sqlite engine, 1,000,000 accounts beside 10,000", 0.8, None, "times", ratio("ledger.million.1M-accounts-uniform")),
    Goal("payments, one process, 256 connections", 4_000, 2_500, "pay/s", median("payments.closed-256")),
    Goal("the same, p99", 150, None, "ms", median("payments.closed-256.p99"), at_least=False),
    Goal("memory of that process at rest", 120, None, "MB", median("payments.memory-at-rest"), at_least=False),
    Goal("payments, one process, with the log, 100,000 accounts", 4_000, 2_500, "pay/s", median("workers.0.closed-256")),
    Goal("payments with the log beside those without", 0.9, None, "times", ratio("log.payments-with")),
    Goal("an auditor's replay", 10_000, None, "or/s", median("verifier.replay")),
    Goal("payments, 2 workers, 256 connections", 10_000, 5_000, "pay/s", median("workers.2.closed-256")),
    Goal("the same, p99", 50, None, "ms", median("workers.2.closed-256.p99"), at_least=False),
    Goal("open loop of 2,000/s, 2 workers, p99", 10, 40, "ms", median("workers.2.open-2000.p99"), at_least=False),
    Goal("batches beside one commit for each payment", 4, 3, "times", ratio("payments.closed-256")),
    Goal("payments beside a procedure in PL/pgSQL", 5, None, "times", times_the_best("peers.procedure")),
    Goal("payments beside plain django-hordak", 5, None, "times", times_the_best("peers.hordak-plain")),
    Goal("payments beside django-hordak with a check of the balance", 20, 10, "times", times_the_best("peers.hordak-checked")),
    Goal("memory of 2 workers and all else, 100,000 accounts", 200, 300, "MB", median("workers.2.memory"), at_least=False),
    Goal("USSD, 1,000 sessions at once, 7.5 s of thinking, p99 of a hop", 200, None, "ms", median("ussd.http-7.5s.p99"), at_least=False),
    Goal("the same, 5 s of thinking", 200, None, "ms", median("ussd.http-5s.p99"), at_least=False),
    Goal("a card's tap to paid at a desk, p95", 300, None, "ms", median("taps.p95"), at_least=False),
    Goal("the same, of a card that proves itself", 300, None, "ms", median("taps.proved.p95"), at_least=False),
    *(Goal(f"loss of rate at 10,000,000 accounts, {engine}", 20, None, "%", loss_percent(engine), at_least=False) for engine in ENGINES),
)

TITLES = {
    "engines.batch": "Engines, batches of 8,000",
    "engines.callers": "Engines, callers of one transfer each",
    "payments": "Payments over HTTP, one process",
    "log": "The log beside the payments",
    "workers": "Payments over HTTP, 0, 1, 2 and 4 workers",
    "ussd": "USSD, a thousand sessions at once",
    "taps": "A card at a shop's desk",
    "peers": "Beside what one would use instead",
    "growth": "Growth",
    "soak": "Soak",
    "verifier.receipt": "Verifier: a receipt",
    "verifier.replay": "Verifier: an auditor's replay",
    "verifier.log": "Verifier: a whole log",
    "ledger.batch": "The sqlite engine, kinds of transfers",
    "ledger.callers": "The sqlite engine, callers",
    "ledger.history": "The sqlite engine, balances of the past",
    "ledger.million": "The sqlite engine, a million accounts",
}
"""Of each workload, in the order of the page."""

WORDS = {
    "engines.batch": "`.raw` is the shortest code that has the same done with the same durability and knows no rules; `own-benchmark` is TigerBeetle's own load generator. How it is done: [bench/engines.py](../../bench/engines.py).",
    "engines.callers": "So many callers at a time, each with one transfer: the writer makes batches of what waits.",
    "payments": "Without the log. Closed loop for capacity, open loop (2,000/s, Poisson arrivals) for latency; 3 % refused or repeated, half of the payments to one shop. `one-commit-each` is the same server with batches of one. How it is done: [bench/payments.py](../../bench/payments.py).",
    "log": "With and without the publisher's process on the same cores, and how long the log is behind when the load ends.",
    "workers": "`counterfoil serve --workers N` with the log, 100,000 accounts in the ledger; 0 is one process for everything. `processor` is the processor time of all its processes for one payment, `memory` that of all of them together.",
    "ussd": "A hop, from what is typed to the next screen: dial, send, number, amount, PIN, with so many seconds of thinking between, on average; one hop of five checks a PIN by argon2id and pays, and `pin-p99` is of these alone. `alone` is one session after the other; `engine` is the service in its process, `http` the callback of Africa's Talking's kind, each with all sessions at once and the load on the same cores. `processor` is the server's processor time of a hop, its threads included. How it is done: [bench/ussd.py](../../bench/ussd.py).",
    "taps": 'From a card\'s tap to "paid", what people and radio need left out: the desk with its sale on the disk, HTTP, the server, argon2id for the PIN. `proved`: above what a card may pay without proving that it is there. The 95th percentile of 40 sales in each run. How it is done: [bench/taps.py](../../bench/taps.py).',
    "peers": "Not equal work: a payment of ours is an order over HTTP with its signature, limits, fee, store, log and receipt; the peers are called without HTTP and signature, by 8 clients and by as many as ours, and do one transfer. `hot`: half of the payments to one account, as ours always are. `ledger-` is our ledger alone, called in the process. What the peers are and how they are asked: [bench/peers.py](../../bench/peers.py).",
    "growth": "Two ledgers of each engine beside each other: one stays at 10,000 accounts (`beside`), the other grows. `rate` is of batches of 8,000 with any two accounts, `rate-skewed` where the account of rank r is drawn with a weight of about 1/r, p50 and p99 of single transfers that arrive at 2,000/s. `memory` is our process's, `server-memory` the server's. How it is done: [bench/growth.py](../../bench/growth.py).",
    "soak": "A whole server with two workers under an open loop; each run is a minute. How it is done: [bench/soak.py](../../bench/soak.py).",
}


def write(results: Results) -> None:
    """Writes the page and its plots."""
    pictures = dict(plots(results))
    IMAGES.mkdir(exist_ok=True)
    for old in IMAGES.glob("measured-*.svg"):
        if old.stem not in pictures:
            old.unlink()
    for name, (picture, _) in pictures.items():
        (IMAGES / f"{name}.svg").write_text(picture, "utf-8")
    PAGE.write_text(page(results), "utf-8")


def page(results: Results) -> str:
    """The whole page."""
    found = results.measures()
    parts = [_HEAD, "## Goals", "", *_goals(found), "", "## The machine", "", *_machine(results), ""]
    pictures = dict(plots(results))
    for name in [*TITLES, *(name for name in results.sections if name not in TITLES)]:
        section = results.sections.get(name)
        if section is None:
            continue
        parts += [f"## {TITLES.get(name, name)}", ""]
        if name in WORDS:
            parts += [WORDS[name], ""]
        for picture, (_, words) in pictures.items():
            if picture.startswith(f"measured-{name.replace('.', '-')}"):
                parts += [f"![{words}](../images/{picture}.svg)", ""]
        parts += [*_table(section), ""]
        parts += [f"* {note.text}" for note in section.found if isinstance(note, Note)]
        parts += [f"* {_circumstances(section)}", ""]
    missing = [title for name, title in TITLES.items() if name not in results.sections]
    if missing:
        parts += ["## Not measured yet", "", *(f"* {title}" for title in missing), ""]
    return "\n".join(parts)


_HEAD = """# Measurements

Speed, memory and disk, measured and not promised. Candidates run in turns, and every run counts: minimum, median and maximum. Rates
depend on the machine and its mood; the ratio to what ran beside it depends on them much less. Under each table stands when it was
measured, and what else the machine was busy with.

`make bench` prints what it finds and keeps it in `bench/results/latest.json`. What more it does, it is told by `BENCH="..."`:

| Option | |
|---|---|
| `--write-docs` | writes this page and its plots from what was found; with `--report`, without measuring anew |
| `--only NAME` | measures one part anew; what was found of the others before stays |
| `--full` | grows to 10,000,000 accounts: an hour, and some 40 GB of disk |
| `--soak MINUTES` | half an hour of load, or as long as you say |
| `--offline` | installs nothing; otherwise django-hordak gets an environment of its own, from a lock file with hashes |

PostgreSQL is Debian's, in a private cluster. TigerBeetle is measured where the variable `TIGERBEETLE_BIN` names its program. What
is missing is named below, and not measured.
"""


def _goals(found: Found) -> Iterator[str]:
    yield "On 2 quiet cores, everything durable. Beside a peer counts the quickest of its variants."
    yield ""
    yield "| Goal | | Measured | |"
    yield "|---|--:|--:|---|"
    for goal in GOALS:
        value = goal.value(found)
        bound = f"{'at least' if goal.at_least else 'at most'} {number(goal.goal)} {goal.unit}"
        measured = "" if value is None else f"{number(value)} {goal.unit}"
        yield f"| {goal.words} | {bound} | {measured} | {goal.verdict(found)} |"


def _machine(results: Results) -> Iterator[str]:
    machines = [section.machine for section in results.sections.values()]
    if not machines:
        yield "Nothing was measured yet."
        return
    yield "| | |"
    yield "|---|---|"
    names = dict.fromkeys(name for machine in machines for name in machine)
    for name in names:
        values = dict.fromkeys(machine.get(name, "") for machine in machines)
        yield f"| {name} | {' / '.join(values)} |"


def _table(section: Section) -> Iterator[str]:
    yield "| | Unit | Median | Minimum | Maximum | Runs | Times the baseline |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    baselines = {measure.baseline for measure in section.measures().values()}
    for measure in section.measures().values():
        times = "baseline" if measure.name in baselines else "" if measure.ratio is None else f"{measure.ratio:.2f}"
        numbers = " | ".join(number(value) for value in (measure.median, measure.min, measure.max))
        yield f"| `{measure.name}` | {measure.unit} | {numbers} | {measure.runs} | {times} |"


def _circumstances(section: Section) -> str:
    quick = " A quick run, which only tries whether it works: not a measurement." if section.options.quick else ""
    return (
        f"Measured {section.when[:10]} {section.when[11:16]} UTC, {section.took_s / 60:.0f} min; load {section.load:.1f} when it began; "
        f"of the processors' time the host took {section.stolen:.1%}, other processes {section.others:.1%}.{quick}"
    )


def plots(results: Results) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name, picture, and what it shows; only where there is something to draw."""
    found = results.measures()
    accounts = Axis("accounts", logarithmic=True)
    for key, title, y in (
        ("rate", "Rate by number of accounts", Axis("transfers a second, batches of 8,000")),
        ("p99", "Latency by number of accounts", Axis("p99 in ms, single transfers at 2,000/s", logarithmic=True)),
        ("memory", "Memory by number of accounts", Axis("MB of our process", logarithmic=True)),
        ("disk", "Disk by number of accounts", Axis("MB", logarithmic=True)),
    ):
        series = {engine: points for engine in ENGINES if (points := _by_size(found, engine, key))}
        if series:
            yield f"measured-growth-{key}", (lines(title, series, x=accounts, y=y), title)
    for name, title, prefix, unit in (
        ("peers", "Payments a second, ours and others'", "peers.", "pay/s"),
        ("workers", "Payments a second by number of workers", "workers.", "pay/s"),
        ("engines-batch", "Transfers a second in batches", "engines.batch.", "tr/s"),
    ):
        values = {
            key.removeprefix(prefix): (measure.min, measure.median, measure.max)
            for key, measure in found.items()
            if key.startswith(prefix) and measure.unit == unit and not key.startswith(LEDGER_ALONE)
        }
        if values:
            yield f"measured-{name}", (bars(title, values, words="median, and the range of all runs"), title)
    soak = results.sections.get("soak")
    if soak is not None:
        yield from _soak_plots({each.name: each.points for each in soak.found if isinstance(each, Series)})


def _soak_plots(series: dict[str, list[tuple[float, float]]]) -> Iterator[tuple[str, tuple[str, str]]]:
    minutes = Axis("minutes")
    latencies = {name.removeprefix("soak."): points for name, points in series.items() if name in ("soak.p50", "soak.p99", "soak.max")}
    if latencies:
        title = "Latency through the soak"
        yield "measured-soak-latency", (lines(title, latencies, x=minutes, y=Axis("ms", logarithmic=True)), title)
    memory = {name.removeprefix("soak.memory."): points for name, points in series.items() if name.startswith("soak.memory.")}
    if memory:
        title = "Memory of each process through the soak"
        yield "measured-soak-memory", (lines(title, memory, x=minutes, y=Axis("MB")), title)


def _by_size(found: Found, engine: str, key: str) -> Points:
    prefix = f"growth.{engine}."
    sizes = sorted(int(name[len(prefix) :].split(".")[0]) for name in found if name.startswith(prefix) and name.endswith(f".{key}"))
    return [(size, found[f"{prefix}{size}.{key}"].median) for size in sizes if f"{prefix}{size}.{key}" in found]
