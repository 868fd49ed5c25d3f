"""What lies where in the data folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from counterfoil.clock import SystemClock
from counterfoil.config import Config
from counterfoil.errors import Unavailable
from counterfoil.folder import Cosigned, log_folder, only_process, operator_key, push_secret


def test_the_operators_key_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    first, again = operator_key(tmp_path, SystemClock()), operator_key(tmp_path, SystemClock())
    assert bytes(first) == bytes(again)
    assert (tmp_path / "keys" / "operator.ed25519").stat().st_mode & 0o077 == 0
    assert bytes(operator_key(tmp_path / "other", SystemClock())) != bytes(first)


def test_a_folder_has_one_process(tmp_path: Path) -> None:
    with only_process(tmp_path), pytest.raises(Unavailable, match="another process"), only_process(tmp_path):
        pass
    with only_process(tmp_path):
        pass


def test_a_cosigned_head_is_taken_once_and_the_last_one_counts(tmp_path: Path) -> None:
    config = Config(data=str(tmp_path))
    log_folder(config).mkdir()
    server, publisher = Cosigned(config), Cosigned(config)
    assert publisher.take() is None
    server.put(b"one")
    server.put(b"two")
    assert publisher.take() == b"two"
    assert publisher.take() is None
    server.put(b"three")
    assert Cosigned(config).take() == b"three"


def test_a_head_before_there_is_a_log_is_unavailable_and_no_bug(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be written"):
        Cosigned(Config(data=str(tmp_path))).put(b"one")


def test_the_secret_for_push_is_made_once_and_is_not_the_operators_key(tmp_path: Path) -> None:
    operator = operator_key(tmp_path, SystemClock())
    assert not (tmp_path / "keys" / "push.p256").exists()
    first, again = push_secret(tmp_path, SystemClock()), push_secret(tmp_path, SystemClock())
    assert first == again != bytes(operator)
    assert len(first) == 32
    assert (tmp_path / "keys" / "push.p256").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == ["operator.ed25519", "push.p256"]
