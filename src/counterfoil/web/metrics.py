"""Numbers for operators, in Prometheus' text format. No personal data: outcomes, durations, depths, never who.

Counting on the hot path is a dictionary and a list; the rest is done when somebody asks.
"""

from __future__ import annotations

import resource
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from pathlib import Path

import msgspec
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from counterfoil.channels.sms.service import SmsReading

CONTENT_TYPE = CONTENT_TYPE_LATEST
BUCKETS_MS = (1, 2, 5, 10, 20, 50, 100, 150, 250, 500, 1_000, 2_500, 5_000)
"""Upper bounds of the latency histogram, milliseconds."""
_BOUNDS_NS = tuple(bound * 1_000_000 for bound in BUCKETS_MS)


class Reading(msgspec.Struct, frozen=True):
    """What the running parts tell of themselves.

    Attributes:
        ledger_queue, store_queue: pieces of work that wait.
        ledger_last_timestamp: ledger time of the last movement, ns.
        ledger_batches, ledger_batched: batches written so far, and transfers in them.
        subscribers: event streams that are open.
        check_passed: outcome of the last conservation check; None before the first.
        check_at: when it ended, ns.
        log_size, log_witnessed_size: entries under the log's newest head, and under the newest that witnesses cosigned.
        sms: text messages that wait, that ended unsent, and what each gateway was given.
        wrong_pins: wrong PINs since the start, by channel; pins_held_back: those not looked at because somebody guesses from there.
        pin_brakes: places and channels from which PINs are being guessed now.
    """

    ledger_queue: int
    store_queue: int
    ledger_last_timestamp: int
    ledger_batches: int
    ledger_batched: int
    subscribers: int
    check_passed: bool | None
    check_at: int
    log_size: int
    log_witnessed_size: int
    sms: SmsReading
    wrong_pins: Mapping[str, int] = {}
    pins_held_back: int = 0
    pin_brakes: int = 0


class _Latencies:
    """A histogram of durations, as it is kept while it grows."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_MS) + 1)
        self.sum_ns = 0

    def add(self, nanoseconds: int) -> None:
        self.counts[bisect_left(_BOUNDS_NS, nanoseconds)] += 1
        self.sum_ns += nanoseconds

    def family(self, name: str, documentation: str) -> Metric:
        bounds = [*(str(bound / 1_000) for bound in BUCKETS_MS), "+Inf"]
        latency = HistogramMetricFamily(name, documentation)
        latency.add_metric([], buckets=list(zip(bounds, accumulate(self.counts), strict=True)), sum_value=self.sum_ns / 1e9)
        return latency


class Metrics:
    """Counts payments and requests; `read` is asked for everything else."""

    def __init__(self, read: Callable[[], Reading]) -> None:
        self._read = read
        self._payments: dict[str, int] = {}
        self._latencies = _Latencies()
        self._worker_latencies = _Latencies()
        self._requests: dict[tuple[str, str, int], int] = {}
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(self))

    def payment(self, outcome: str, nanoseconds: int) -> None:
        """One answer of the hot route: "completed" or the code of the refusal, and how long it took."""
        self._payments[outcome] = self._payments.get(outcome, 0) + 1
        self._latencies.add(nanoseconds)

    def answered_by_worker(self, nanoseconds: int) -> None:
        """How long a worker waited for one of those answers: the way to the house and back included."""
        self._worker_latencies.add(nanoseconds)

    def request(self, method: str, route: str, status: int) -> None:
        """One answer of another route, by its template: never by its path, which has ids in it."""
        key = (method, route, status)
        self._requests[key] = self._requests.get(key, 0) + 1

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        payments = CounterMetricFamily("counterfoil_payments", "Payments answered, by outcome", labels=["outcome"])
        for outcome, count in self._payments.items():
            payments.add_metric([outcome], count)
        yield payments
        yield self._latencies.family("counterfoil_payment_seconds", "Time from request to answer of a payment, within this process")
        yield self._worker_latencies.family("counterfoil_worker_payment_seconds", "The same as the workers see it")
        requests = CounterMetricFamily("counterfoil_http_requests", "Other requests answered", labels=["method", "route", "status"])
        for (method, route, status), count in self._requests.items():
            requests.add_metric([method, route, str(status)], count)
        yield requests
        yield from self._parts()
        yield GaugeMetricFamily("counterfoil_process_resident_bytes", "Memory of the process", value=resident_bytes())

    def _parts(self) -> Iterator[Metric]:
        now = self._read()
        yield GaugeMetricFamily("counterfoil_ledger_queue", "Transfers that wait for the ledger", value=now.ledger_queue)
        yield GaugeMetricFamily("counterfoil_store_queue", "Pieces of work that wait for the store", value=now.store_queue)
        yield GaugeMetricFamily(
            "counterfoil_ledger_last_timestamp_seconds", "Ledger time of the last movement", value=now.ledger_last_timestamp / 1e9
        )
        yield CounterMetricFamily("counterfoil_ledger_batches", "Batches that the ledger has written", value=now.ledger_batches)
        yield CounterMetricFamily("counterfoil_ledger_batched", "Transfers in those batches", value=now.ledger_batched)
        yield GaugeMetricFamily("counterfoil_event_subscribers", "Event streams that are open", value=now.subscribers)
        yield GaugeMetricFamily("counterfoil_log_entries", "Entries that the log has signed", value=now.log_size)
        yield GaugeMetricFamily("counterfoil_log_witnessed_entries", "Entries that witnesses have cosigned", value=now.log_witnessed_size)
        yield from _sms(now.sms)
        yield from _pins(now)
        if now.check_passed is not None:
            yield GaugeMetricFamily("counterfoil_check_passed", "1 when the last conservation check passed", value=int(now.check_passed))
            yield GaugeMetricFamily("counterfoil_check_timestamp_seconds", "When the last check ended", value=now.check_at / 1e9)


def _pins(now: Reading) -> Iterator[Metric]:
    """By channel, never by person or place."""
    wrong = CounterMetricFamily("counterfoil_wrong_pins", "Wrong PINs, by channel", labels=["channel"])
    for channel, count in now.wrong_pins.items():
        wrong.add_metric([channel], count)
    yield wrong
    yield CounterMetricFamily("counterfoil_pins_held_back", "PINs that were not looked at, for somebody guesses", value=now.pins_held_back)
    yield GaugeMetricFamily("counterfoil_pin_brakes", "Places from which PINs are being guessed", value=now.pin_brakes)


def _sms(now: SmsReading) -> Iterator[Metric]:
    """By gateway and state, never by number. Nothing of a gateway where none is set."""
    yield GaugeMetricFamily("counterfoil_sms_waiting", "Text messages that wait for a gateway", value=now.waiting)
    unsent = CounterMetricFamily("counterfoil_sms_unsent", "Text messages that ended without reaching a phone, by state", labels=["state"])
    for state, count in now.unsent.items():
        unsent.add_metric([state], count)
    yield unsent
    counters = {
        "texts": CounterMetricFamily("counterfoil_sms_texts", "Text messages that a gateway took", labels=["gateway"]),
        "parts": CounterMetricFamily("counterfoil_sms_parts", "Parts of those text messages", labels=["gateway"]),
        "cost": CounterMetricFamily("counterfoil_sms_cost_minor_units", "What those parts cost, minor units", labels=["gateway"]),
        "failures": CounterMetricFamily("counterfoil_sms_gateway_failures", "Times that a gateway did not work", labels=["gateway"]),
    }
    resting = GaugeMetricFamily("counterfoil_sms_gateway_resting", "1 while a gateway rests after a failure", labels=["gateway"])
    for gateway in now.gateways:
        for name, family in counters.items():
            family.add_metric([gateway.name], getattr(gateway, name))
        resting.add_metric([gateway.name], int(gateway.is_resting))
    yield from (*counters.values(), resting)


class _Collector(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        return self._metrics.collect()


def resident_bytes() -> int:
    """Memory of this process that is in RAM; on systems without /proc its highest value so far."""
    try:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
