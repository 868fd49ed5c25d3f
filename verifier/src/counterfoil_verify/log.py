"""A whole log: every file hashed again, against every head ever seen. Streams: memory does not grow with the log."""

from __future__ import annotations

import heapq
import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from operator import itemgetter
from pathlib import Path

from counterfoil_verify.merkle import EMPTY_ROOT, Frontier, node_hash
from counterfoil_verify.payloads import FREEZE, ISSUE, REDEEM, RULES, TYPES, Opening, canonical
from counterfoil_verify.policy import Head, Policy, odd_clocks
from counterfoil_verify.report import Refuted, Report, Unchecked, when
from counterfoil_verify.rules import Rules

WIDTH, ENTRY_SIZE, FILE_SIZE_MAX, GAP_S, DAYS_WITHOUT_MAX = 256, 34, 2**28, 600, 31
PUBLIC = (ISSUE, REDEEM, RULES, FREEZE)
Mark = tuple[int, bytes, str, Head | None]  # size, root, who signed it, and the head itself where its times count
END: Mark = (2**64, b"", "", None)


class Files:
    """A log's files in a folder, or below an http(s) address."""

    def __init__(self, place: str) -> None:
        self.url = place.rstrip("/") if re.match(r"https?://", place) else None
        self.folder = Path(place)
        if not self.url and not self.folder.is_dir():
            raise Unchecked(f"there is no folder {place}")

    def read(self, path: str) -> bytes | None:
        """The whole file, or None where there is none."""
        try:
            if not self.url:
                return (self.folder / path).read_bytes()
            with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:  # noqa: S310 (http or https, see above)
                data: bytes = answer.read(FILE_SIZE_MAX)
                return data
        except (FileNotFoundError, NotADirectoryError):
            return None
        except urllib.error.HTTPError as error:
            if error.code in (404, 410):
                return None
            raise Unchecked(f"{path} could not be read: {error}") from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unchecked(f"{path} could not be read: {error}") from None

    def need(self, path: str) -> bytes:
        data = self.read(path)
        if data is None:
            raise Unchecked(f"the file {path} is missing")
        return data

    def names(self, path: str) -> list[str]:
        """What a folder lists; nothing over http."""
        folder = self.folder / path
        return sorted(each.name for each in folder.iterdir()) if not self.url and folder.is_dir() else []


def tile(files: Files, level: str, number: int, width: int) -> tuple[str, bytes, bool]:
    """(path, bytes, whether more may follow) of a tile or bundle; a full one serves where a partial one was removed."""
    digits = f"{number:03}".zfill(-(-len(f"{number:03}") // 3) * 3)
    path = f"tile/{level}/" + "/".join(["x" + digits[at : at + 3] for at in range(0, len(digits) - 3, 3)] + [digits[-3:]])
    partial = None if width == WIDTH else files.read(f"{path}.p/{width}")
    return (path, partial, False) if partial is not None else (path, files.need(path), width < WIDTH)


def bundles(files: Files, size: int) -> Iterator[tuple[str, list[bytes]]]:
    """The path and the entries of every bundle up to `size` entries."""
    for first in range(0, size, WIDTH):
        width = min(WIDTH, size - first)
        path, data, longer = tile(files, "entries", first // WIDTH, width)
        found: list[bytes] = []
        at = 0
        while len(found) < width:
            end = at + 2 + int.from_bytes(data[at : at + 2])
            if end > len(data) or end == at + 2:
                raise Refuted(f"{path} is cut short: it holds {len(found)} of {width} entries")
            found.append(data[at + 2 : end])
            at = end
        if at != len(data) and not longer:
            raise Refuted(f"{path} has bytes after its last entry")
        yield path, found


@dataclass
class State:
    """What this verifier saw on earlier runs: one JSON object a line, only ever appended to."""

    path: Path | None

    def heads(self, origin: str) -> list[tuple[int, bytes, int]]:
        if not self.path or not self.path.exists():
            return []
        try:
            rows = [json.loads(line) for line in self.path.read_text().splitlines()]
            return [(row["size"], bytes.fromhex(row["root"]), row["time"]) for row in rows if row["origin"] == origin]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise Unchecked(f"the state file {self.path} cannot be read: {error}") from None

    def add(self, head: Head) -> None:
        seen = max(head.times.values(), default=0)
        if self.path and (head.size, head.root, seen) not in self.heads(head.origin):
            row = {"origin": head.origin, "size": head.size, "root": head.root.hex(), "time": seen, "note": head.note.decode()}
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")


class LogCheck:
    """One pass over a log. `run` reports; afterwards `witnessed` and `rules` are what was proven."""

    def __init__(self, files: Files, policy: Policy, report: Report, state: Path | None = None) -> None:
        self.files, self.policy, self.report, self.state = files, policy, report, State(state)
        self.witnessed = policy.head(files.need("witnessed"))
        self.newest = policy.head(files.need("checkpoint"), quorum=False)
        self.rules: list[Rules] = []
        self.heads, self.last_published, self.last_size, self.last_time = 0, 0, 0, 0
        self.gaps: list[tuple[int, int]] = []
        self.seen: list[tuple[int, bytes, int]] = []
        self.types, self.moved = Counter[int](), Counter[tuple[str, str]]()
        self.columns: list[list[bytes]] = [[]]  # the hashes of the tile at the right edge of each level
        self.done = [0]  # how many tiles of each level are complete
        self.strangers: set[str] = set(self.witnessed.strangers + self.newest.strangers)

    def run(self) -> None:
        report, witnessed, newest = self.report, self.witnessed, self.newest
        seen = self.seen = self.state.heads(witnessed.origin)
        self.state.add(witnessed)
        latest = max(seen, default=(0, b"", 0))
        if latest[0] > witnessed.size or newest.size < witnessed.size:
            size, at, now = max(latest[0], witnessed.size), latest[2], max(witnessed.times.values(), default=0)
            older = f"; by the witnesses' clocks it is {max(at - now, 0)} s older" if at else ""
            report.refuted.append(
                f"an old checkpoint is served as new, or the log has shrunk: it shows {min(witnessed.size, newest.size)} entries, and"
                f" {size} were signed before{older}"
            )
        marks: list[Mark] = [(witnessed.size, witnessed.root, "witnessed", witnessed), (newest.size, newest.root, "checkpoint", None)]
        marks += [(size, root, f"a head seen on an earlier run (witnessed {when(at)})", None) for size, root, at in seen]
        self._stream(heapq.merge(sorted(marks, key=itemgetter(0)), self._heads(), key=itemgetter(0)))
        self._facts()

    def _stream(self, marks: Iterator[Mark]) -> None:
        frontier, mark = Frontier(), next(marks)
        for path, entries in bundles(self.files, self.newest.size):
            for entry in entries:
                if len(entry) != ENTRY_SIZE or entry[0] != 1 or entry[1] not in TYPES:
                    self.report.refuted.append(f"entry {frontier.size} is not of a known version and type")
                leaf = sha256(b"\0" + entry).digest()
                self.columns[0].append(leaf)
                frontier.append(leaf)
                self.types[entry[1]] += 1
                if frontier.size == 1 and entry[1] != RULES:
                    self.report.refuted.append("the first entry is not the scheme's rules")
                if entry[1] in PUBLIC:
                    self._public(frontier.size - 1, entry)
                while mark[0] <= frontier.size:
                    self._mark(mark, frontier)
                    mark = next(marks, END)
            self._stale(path, b"".join(len(entry).to_bytes(2) + entry for entry in entries), 2 + ENTRY_SIZE)
            self._tiles(last=frontier.size == self.newest.size)
        while mark is not END:
            self._mark(mark, frontier)
            mark = next(marks, END)

    def _mark(self, mark: Mark, frontier: Frontier) -> None:
        """The log as it stands now, beside what was signed for this size."""
        size, root, name, head = mark
        if size > frontier.size:
            self.report.refuted.append(f"{name} is for {size} entries, and the log shows {frontier.size}: it has shrunk")
        elif (frontier.root() if size else EMPTY_ROOT) != root:
            self.report.refuted.append(f"{name} was signed for {size} entries with another root: the log was rewritten, or forked")
        elif head:
            for rules in self.rules:
                rules.seen(head, before=self.last_size)
            self.last_size = size

    def _heads(self) -> Iterator[Mark]:
        """Every head in heads/, checked and in order. Over http, back from the newest day until a month has none."""
        day = datetime.fromtimestamp(max(self.witnessed.times.values(), default=0), UTC)
        days, missing = self.files.names("heads"), 0
        while self.files.url and missing < DAYS_WITHOUT_MAX:
            name = day.strftime("%Y-%m-%d")
            found = self.files.read(f"heads/{name}")
            days, missing, day = ([name, *days], 0, day - timedelta(1)) if found else (days, missing + 1, day - timedelta(1))
        for name in days:
            for head in self._heads_of(f"heads/{name}"):
                at = max(head.times.values(), default=0)
                if head.size < self.last_published or name != datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d"):
                    self.report.refuted.append(f"heads/{name}: the head of size {head.size} stands in the wrong place or day")
                    continue
                self.report.noticed += [sentence for sentence in [odd_clocks(head)] if sentence]
                if self.heads and at - self.last_time > GAP_S:
                    self.gaps.append((at - self.last_time, self.last_time))
                self.strangers.update(head.strangers)
                self.heads, self.last_published, self.last_time = self.heads + 1, head.size, max(at, self.last_time)
                yield head.size, head.root, f"the head in heads/{name} cosigned {when(at)} by {', '.join(head.times)}", head

    def _heads_of(self, path: str) -> Iterator[Head]:
        data, at = self.files.need(path), 0
        while at < len(data) or not data:
            line, _, _ = data[at : at + 8].partition(b"\n")
            start = at + len(line) + 1
            at = start + int(line) if re.fullmatch(rb"[1-9][0-9]{0,6}", line) else len(data) + 1
            if at > len(data):
                self.report.refuted.append(f"{path} is cut short or has a wrong length after {start} bytes")
                return
            try:
                yield self.policy.head(data[start:at])
            except Refuted as problem:
                self.report.refuted.append(f"{path}: {problem}")

    def _tiles(self, *, last: bool) -> None:
        """Compares every tile that is complete (and, at the end, every partial one) with the hashes of the entries."""
        for level, column in enumerate(self.columns):
            full = len(column) == WIDTH
            if not column or not (full or last):
                continue
            data, number = b"".join(column), self.done[level]
            path, found, longer = tile(self.files, str(level), number, len(column))
            if found[: len(data)] != data or (len(found) != len(data) and not longer):
                what = "has bytes after its end" if found.startswith(data) else "has other hashes"
                what = "is cut short" if data.startswith(found) else what
                self.report.refuted.append(f"{path} {what} than the entries below it")
            self._stale(path, data, 32)
            if full:
                hashes = column
                while len(hashes) > 1:
                    hashes = [node_hash(*hashes[at : at + 2]) for at in range(0, len(hashes), 2)]
                self.columns[level], self.done[level] = [], number + 1
                if level + 1 == len(self.columns):
                    self.columns.append([])
                    self.done.append(0)
                self.columns[level + 1].append(hashes[0])

    def _stale(self, path: str, data: bytes, unit: int) -> None:
        """Partial files that an earlier, smaller log left beside `path`: each must be the beginning of it."""
        for name in self.files.names(f"{path}.p"):
            width = int(name) if name.isdigit() else 0
            if (unit * width <= len(data) and self.files.read(f"{path}.p/{name}") != data[: unit * width]) or not width:
                self.report.refuted.append(f"{path}.p/{name} is not the beginning of what the entries give")

    def _public(self, index: int, entry: bytes) -> None:
        data = self.files.read(f"public/{index}")
        if data is None:
            self.report.unchecked.append(f"entry {index} ({TYPES[entry[1]]}) must have a public part, and public/{index} is missing")
            return
        try:
            problem = self._opened(index, entry, Opening.decode(data))
        except (Refuted, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            problem = str(error)
        if problem:
            self.report.refuted.append(f"public/{index} {problem}")

    def _opened(self, index: int, entry: bytes, opening: Opening) -> str | None:
        if opening.role != 4 or opening.entry() != entry:
            return "does not open its entry"
        if entry[1] == RULES:
            self.rules.append(Rules.parse(opening.payload, index, self.witnessed.origin, self.rules))
            return None
        content = json.loads(opening.payload)
        if entry[1] != FREEZE:
            if type(content["amount"]) is not int or content["amount"] <= 0:
                return "has no amount"
            self.moved[TYPES[entry[1]], content["asset"]] += content["amount"]
        return None if canonical(content) == opening.payload else "is not canonical JSON"

    def _facts(self) -> None:
        report, head = self.report, self.witnessed
        last = max(head.times.values(), default=0)
        report.noticed += [f"ignored: a signature by {name}, whom the policy does not know" for name in sorted(self.strangers)]
        report.noticed += [sentence for sentence in [odd_clocks(head)] if sentence]
        if self.gaps:
            longest, at = max(self.gaps)
            report.noticed.append(f"witnesses were silent {len(self.gaps)} times for over {GAP_S} s, longest {longest} s from {when(at)}")
        if (published := self.files.read("policy")) is not None and published != self.policy.source:
            report.noticed.append("the log publishes another policy file than the one you use")
        report.noticed.append(f"the newest witness time is {when(last)}: {max(int(time.time()) - last, 0)} s ago")
        if not self.heads:
            report.unchecked.append("the log publishes no heads: when rules were announced was not checked")
        elif self.last_published != head.size:
            report.noticed.append(f"the newest witnessed head is not among those published, which end at {self.last_published} entries")
        if not report.refuted:
            size = self.newest.size
            report.proved.append(f"{size} entries give every tile and the root signed by the log; {head.size} of them are witnessed")
            report.proved.append(f"they are consistent with all {self.heads} published heads and {len(self.seen)} seen on earlier runs")
        assets = sorted({asset for _, asset in self.moved})
        totals = {asset: {what: self.moved[what, asset] for what in ("issue", "withdrawal")} for asset in assets}
        report.fields = {"origin": head.origin, "size": head.size, "root": head.root.hex(), "log_size": self.newest.size}
        report.fields |= {"entries": {TYPES.get(each, str(each)): count for each, count in sorted(self.types.items())}, "totals": totals}
        report.fields |= {"heads": self.heads, "witnesses": {name: when(at) for name, at in head.times.items()}}
        report.fields["rules"] = [rules.told() for rules in self.rules]
