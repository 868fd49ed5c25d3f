"""How many witnesses must cheat before two histories of one log can both be believed: exactly as many as trust.md says.

Of n witnesses c cheat: they cosign whatever the operator brings. The others are real, each with a memory, and the operator
chooses which of them hear which history first.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from counterfoil.assurance.witness import Witness, remember
from counterfoil.tlog.cosignature import cosign
from counterfoil.tlog.note import Note, Signature
from counterfoil.tlog.policy import Policy
from counterfoil.tlog.types import NotProven
from tests.assurance.network import NOW_S, HandClock, Publishing, key_name, policy_of
from tests.assurance.small_log import SmallLog, witness_signer

QUORUMS = [(2, 3), (3, 4), (4, 5), (5, 7), (7, 7), (1, 1), (2, 4)]
TRUE = SmallLog(6)
FALSE = TRUE.fork(at=3, story="false")


class Town:
    """n witnesses of which the first `cheating` cosign everything."""

    def __init__(self, folder: Path, count: int, cheating: int) -> None:
        self.cheats = [witness_signer(key_name(number)) for number in range(1, cheating + 1)]
        self.honest: list[Witness] = []
        for number in range(cheating + 1, count + 1):
            remember(folder / f"w{number}")
            self.honest.append(Witness.open(folder / f"w{number}", witness_signer(key_name(number)), [TRUE.signer.vkey], HandClock()))

    def ask(self, log: SmallLog, honest: Iterable[Witness]) -> Note:
        """The log's head with all cosignatures that the operator can get for it: of the cheats, and of those `honest` who agree."""
        head = log.head()
        found = [cosign(head.text, cheat, NOW_S) for cheat in self.cheats]
        for witness in honest:
            size = next((seen.size for seen in witness.seen()), 0)
            verdict = witness.add_checkpoint(log.request(size))
            if verdict.status == 200:
                found.append(Signature.parse(verdict.body.decode()[:-1]))
        return head.with_signatures(found)

    def close(self) -> None:
        for witness in self.honest:
            witness.close()


def believed(policy: Policy, note: Note) -> bool:
    try:
        policy.satisfied(note)
    except NotProven:
        return False
    return True


def both_believed(folder: Path, count: int, threshold: int, cheating: int, split: int) -> bool:
    """Whether both histories pass when the first `split` honest witnesses hear the true one first, the others the false one."""
    policy = policy_of(count, threshold)
    town = Town(folder, count, cheating)
    try:
        first, rest = town.honest[:split], town.honest[split:]
        town.ask(TRUE, first)
        town.ask(FALSE, rest)
        # Each head is then shown to all: whoever cosigned the other one refuses.
        return believed(policy, town.ask(TRUE, town.honest)) and believed(policy, town.ask(FALSE, town.honest))
    finally:
        town.close()


@pytest.mark.parametrize(("threshold", "count"), QUORUMS)
def test_one_cheat_fewer_than_2k_minus_n_is_not_enough(tmp_path: Path, threshold: int, count: int) -> None:
    cheating = 2 * threshold - count - 1
    if cheating < 0:
        assert 2 * threshold <= count, "such a quorum protects against no split at all"
        cheating = 0
        assert both_believed(tmp_path, count, threshold, 0, count // 2)
        return
    for split in range(count - cheating + 1):
        assert not both_believed(tmp_path / str(split), count, threshold, cheating, split), split


@pytest.mark.parametrize(("threshold", "count"), QUORUMS)
def test_2k_minus_n_cheats_are_enough(tmp_path: Path, threshold: int, count: int) -> None:
    """The limit is where it is said to be: this is what a larger quorum buys."""
    cheating = 2 * threshold - count
    splits = [split for split in range(count - cheating + 1) if both_believed(tmp_path / str(split), count, threshold, cheating, split)]
    assert splits == [threshold - cheating], "only by telling each half of the honest another history"


@pytest.mark.parametrize(("threshold", "count"), QUORUMS)
def test_k_minus_1_cheats_cannot_make_a_head_that_no_honest_witness_saw(tmp_path: Path, threshold: int, count: int) -> None:
    policy = policy_of(count, threshold)
    town = Town(tmp_path, count, threshold - 1)
    town.ask(TRUE, town.honest)
    assert not believed(policy, town.ask(FALSE, [])), "asking nobody else"
    assert not believed(policy, town.ask(FALSE, town.honest)), "nor asking those who know better"
    assert believed(policy, town.ask(TRUE, town.honest)) is True
    town.close()


@pytest.mark.parametrize(("threshold", "count"), QUORUMS)
def test_k_cheats_can(tmp_path: Path, threshold: int, count: int) -> None:
    policy = policy_of(count, threshold)
    town = Town(tmp_path, count, threshold)
    town.ask(TRUE, town.honest)
    assert believed(policy, town.ask(FALSE, []))
    town.close()


@pytest.mark.parametrize(("threshold", "count"), [(3, 4), (4, 5), (5, 7)])
def test_n_minus_k_may_be_down_and_no_more(tmp_path: Path, threshold: int, count: int) -> None:
    policy = policy_of(count, threshold)
    town = Town(tmp_path, count, 0)
    assert not believed(policy, town.ask(TRUE, town.honest[: threshold - 1]))
    assert believed(policy, town.ask(TRUE, town.honest[:threshold]))
    town.close()


class Way:
    """The operator's way to a town: what a cheat is sent, it cosigns."""

    def __init__(self, town: Town) -> None:
        self.clock = HandClock()
        self.town = town

    async def post(self, url: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        number = int(url.removeprefix("https://w")[0]) - 1
        if number < len(self.town.cheats):
            head = Note.parse(body.partition(b"\n\n")[2])
            return 200, cosign(head.text, self.town.cheats[number], NOW_S).line()
        verdict = self.town.honest[number - len(self.town.cheats)].add_checkpoint(body)
        return verdict.status, verdict.body


@pytest.mark.parametrize(("cheating", "published"), [(2, False), (3, True)])
async def test_the_log_itself_gets_a_fork_witnessed_only_by_enough_cheats(tmp_path: Path, cheating: int, published: bool) -> None:
    """4 of 5 through the log's own asking; one honest witness has not heard of the log yet."""
    town = Town(tmp_path, 5, cheating)
    town.ask(TRUE, town.honest[:-1])
    publishing = Publishing(Way(town), policy_of(5, 4), FALSE)
    assert (await publishing.asker.step() is not None) is published
    assert len(publishing.kept) == published
    town.close()
