"""A witness's small file: every name in it is known, and its key and memory are made together."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from counterfoil.assurance import witness_settings
from counterfoil.assurance.witness import FILE_NAME, Witness
from counterfoil.assurance.witness_settings import WitnessSettings, create, load, render, signer_of
from counterfoil.clock import SystemClock
from counterfoil.errors import Malformed, Unavailable
from counterfoil.tlog.note import COSIGNATURE
from tests.assurance.small_log import log_signer, witness_signer

LOG = str(log_signer().vkey)
OTHER = str(log_signer("other.example/log").vkey)


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    settings = WitnessSettings(name="witness.example/ü", host="::1", port=0, data='da"ta\\', key="k\x7fé", logs=(LOG, OTHER))
    path = tmp_path / "w.toml"
    path.write_text(render(settings), "utf-8")
    assert msgspec.convert(tomllib.loads(path.read_text("utf-8")), WitnessSettings) == settings
    read = load(path)
    assert (read.data, read.key) == (str(tmp_path / 'da"ta\\'), str(tmp_path / "k\x7fé"))
    assert [str(key) for key in read.log_keys] == [LOG, OTHER]


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    path = tmp_path / "w.toml"
    path.write_text('name = "w"\ndata = "/var/lib/witness"\nkey = "/etc/witness.key"\n')
    assert (load(path).data, load(path).key) == ("/var/lib/witness", "/etc/witness.key")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "name"),
        ('name = "w"\nprot = 1\n', "prot"),
        ('name = "w"\nport = "1"\n', "port"),
        ('name = "w"\nport = 65536\n', "port: must be 0 to 65535"),
        ('name = "w"\nport = -1\n', "port: must be 0 to 65535"),
        ('name = "w"\nport = true\n', "port"),
        ('name = ""\n', "name: must be 1 to 255 bytes without spaces or plus signs"),
        ('name = "a b"\n', "name: must be"),
        ('name = "a+b"\n', "name: must be"),
        ('name = "a\\u00a0b"\n', "name: must be"),
        ('name = "a\\u0001b"\n', "name: must be"),
        (f'name = "{"w" * 256}"\n', "name: must be"),
        ('name = "w"\nhost = ""\n', "host: must be an address"),
        ('name = "w"\ndata = ""\n', "data: must name a folder"),
        ('name = "w"\nkey = ""\n', "key: must name a file"),
        ('name = "w"\nlogs = ["money.example/log"]\n', "logs[0]: must be"),
        (f'name = "w"\nlogs = ["{LOG}", "{OTHER}x"]\n', "logs[1]: "),
        (f'name = "w"\nlogs = ["{witness_signer().vkey}"]\n', "logs[0]: must be the Ed25519 key of a log (type 1)"),
        (f'name = "w"\nlogs = ["{LOG}", "{LOG}"]\n', "logs: names a key twice"),
        ('name = "w"\nlogs = "x"\n', "logs"),
        ("name = ", "not a TOML file"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "w.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(Malformed) as error:
        load(path)
    assert str(path) in str(error.value)
    assert said in str(error.value)


def test_a_file_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(Malformed, match="not a TOML file"):
        load(tmp_path / "w.toml")
    with pytest.raises(Malformed, match="cannot be read"):
        load(tmp_path / "none.toml")


def test_a_new_witness_has_file_key_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "w.toml"
    signer = create(path, WitnessSettings(name="witness.example/w", logs=(LOG,)), SystemClock())
    settings = load(path)
    key = Path(settings.key)
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_bytes()) == 32
    assert key.parent.stat().st_mode & 0o077 == 0
    assert [file.name for file in sorted(key.parent.iterdir())] == [FILE_NAME, "witness.ed25519"], "no draft is left"
    assert signer.vkey.algorithm == COSIGNATURE
    assert str(signer_of(settings, SystemClock()).vkey) == str(signer.vkey), "the same key at each start"
    Witness.open(Path(settings.data), signer, settings.log_keys, SystemClock()).close()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    path, settings = tmp_path / "w.toml", WitnessSettings(name="witness.example/w")
    create(path, settings, SystemClock())
    before = path.read_bytes(), (tmp_path / settings.key).read_bytes()
    with pytest.raises(Malformed, match="already there"):
        create(path, settings, SystemClock())
    with pytest.raises(Malformed, match="already there"):
        create(tmp_path / "other.toml", settings, SystemClock())
    assert (path.read_bytes(), (tmp_path / settings.key).read_bytes()) == before
    assert not (tmp_path / "other.toml").exists()


def test_a_key_is_made_at_the_first_start(tmp_path: Path) -> None:
    """For a file that was written by hand."""
    (tmp_path / "w.toml").write_text('name = "w"\n')
    settings = load(tmp_path / "w.toml")
    first = signer_of(settings, SystemClock())
    assert str(signer_of(settings, SystemClock()).vkey) == str(first.vkey)
    Witness.open(Path(settings.data), first, (), SystemClock()).close()


def test_there_is_never_a_key_without_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "w.toml").write_text('name = "w"\n')
    settings = load(tmp_path / "w.toml")

    def broken(folder: Path) -> None:
        raise Unavailable("no room")

    monkeypatch.setattr(witness_settings, "remember", broken)
    with pytest.raises(Unavailable):
        signer_of(settings, SystemClock())
    assert not Path(settings.key).exists()


def test_a_failed_beginning_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    path = tmp_path / "w.toml"
    with pytest.raises(Unavailable):
        create(path, WitnessSettings(name="w", data="taken", key="keys/k"), SystemClock())
    assert not path.exists()
    assert not (tmp_path / "keys" / "k").exists()


@pytest.mark.parametrize("content", [b"", b"x" * 31, b"x" * 33])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.toml").write_text('name = "w"\nkey = "k"\n')
    (tmp_path / "k").write_bytes(content)
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(Malformed, match="is not a key: 32 bytes"):
        signer_of(load(tmp_path / "w.toml"), SystemClock())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    (tmp_path / "w.toml").write_text('name = "w"\nkey = "k"\n')
    (tmp_path / "k").write_bytes(b"x" * 32)
    (tmp_path / "k").chmod(mode)
    with pytest.raises(Malformed, match="chmod 600"):
        signer_of(load(tmp_path / "w.toml"), SystemClock())
