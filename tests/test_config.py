"""Settings: the nearest source wins, and what is misspelt or out of range is never silently without effect."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from counterfoil.config import FILE_NAME, NOT_SETTINGS, Config, cluster_of, load
from counterfoil.errors import Malformed
from counterfoil.gateway_settings import UssdGateway


def folder_with(folder: Path, settings: str) -> dict[str, str]:
    """An environment that leads to `folder`, whose file has `settings`."""
    (folder / FILE_NAME).write_text(settings, "utf-8")
    return {"COUNTERFOIL_DATA": str(folder)}


def test_without_anything_the_defaults_hold(tmp_path: Path) -> None:
    assert load({"COUNTERFOIL_DATA": str(tmp_path)}) == Config(data=str(tmp_path))
    assert Config().host == "127.0.0.1"


def test_the_environment_beats_the_file_and_the_command_line_beats_both(tmp_path: Path) -> None:
    environment = folder_with(tmp_path, 'port = 1\nscheme_name = "File"\nregion = "UG"\n')
    assert load(environment).port == 1
    environment |= {"COUNTERFOIL_PORT": "2", "COUNTERFOIL_SCHEME_NAME": "Environment"}
    assert load(environment).port == 2
    config = load(environment, port=3, region=None)
    assert (config.port, config.scheme_name, config.region) == (3, "Environment", "UG")


def test_the_command_line_says_whose_file_is_read(tmp_path: Path) -> None:
    folder_with(tmp_path, "port = 1\n")
    assert load({"COUNTERFOIL_DATA": "/nowhere"}, data=str(tmp_path)).port == 1


def test_every_setting_can_be_given_in_the_environment() -> None:
    texts = {
        "DATA": "elsewhere",
        "HOST": "::1",
        "PORT": "0",
        "ORIGIN": "money.example.org/log",
        "SCHEME_NAME": "모바일 머니",
        "CURRENCY_CODE": "KRW",
        "CURRENCY_DIGITS": "0",
        "CURRENCY_LEDGER": "410",
        "REGION": "KR",
        "LANGUAGES": "ko, en",
        "SANDBOX": "true",
        "QUEUE_SIZE_MAX": "1",
        "BODY_SIZE_MAX": "1",
        "CHECK_INTERVAL_S": "0",
        "RECOVERY_DELAY_S": "0",
    }
    config = load({f"COUNTERFOIL_{name}": text for name, text in texts.items()})
    defaults = msgspec.structs.asdict(Config())
    unchanged = {name for name, value in msgspec.structs.asdict(config).items() if defaults[name] == value and name.upper() in texts}
    assert unchanged == set()
    assert {name.lower() for name in texts} <= set(defaults)
    assert config.languages == ("ko", "en")
    assert config.currency.code == "KRW"
    assert config.folder == Path("elsewhere")


def test_an_unknown_name_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="COUNTERFOIL_PROT: there is no such setting"):
        load({"COUNTERFOIL_PROT": "1"})
    with pytest.raises(Malformed, match="COUNTERFOIL_Port: there is no such setting"):
        load({"COUNTERFOIL_Port": "1"})
    with pytest.raises(Malformed, match="unknown field `prot`"):
        load({}, prot=1)
    with pytest.raises(Malformed, match=f"{FILE_NAME}: .*unknown field `prot`"):
        load(folder_with(tmp_path, "prot = 1\n"))


def test_names_that_are_not_ours_are_left_alone() -> None:
    assert load({"PATH": "/bin", "PORT": "99"} | dict.fromkeys(NOT_SETTINGS, "x")) == load({})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", ""),
        ("PORT", "eighty"),
        ("PORT", "80.0"),
        ("PORT", "1e3"),
        ("PORT", " 80"),
        ("PORT", "8_0"),
        ("PORT", "\uff18\uff10"),
        ("PORT", "true"),
        ("PORT", "9" * 5_000),
        ("SANDBOX", "yes"),
        ("SANDBOX", ""),
        ("SANDBOX", "True"),
    ],
)
def test_the_environment_is_read_by_the_type_of_the_setting(name: str, text: str) -> None:
    with pytest.raises(Malformed, match=f"COUNTERFOIL_{name}: must be"):
        load({f"COUNTERFOIL_{name}": text})


@pytest.mark.parametrize(
    "line",
    ['port = "80"', "port = true", "port = 80.5", "host = 5", 'sandbox = "true"', "sandbox = 1", 'languages = "en"', "languages = [1]"],
)
def test_the_file_is_read_strictly(tmp_path: Path, line: str) -> None:
    with pytest.raises(Malformed, match=rf"{FILE_NAME}: Expected .* at `\$\.{line.split()[0]}"):
        load(folder_with(tmp_path, line))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data", ""),
        ("port", -1),
        ("port", 65_536),
        ("quiet_from", 24),
        ("quiet_until", -1),
        ("texts_per_week", 101),
        ("origin", ""),
        ("origin", "a b"),
        ("origin", "a+b"),
        ("origin", "a\nb"),
        ("origin", "x" * 256),
        ("currency_code", "usd"),
        ("currency_digits", 5),
        ("currency_ledger", 0),
        ("region", "ke"),
        ("region", "KEN"),
        ("languages", ()),
        ("languages", ("",)),
        ("languages", ("en", "Korean")),
        ("queue_size_max", 0),
        ("body_size_max", 0),
        ("check_interval_s", -1),
        ("recovery_delay_s", -1),
    ],
)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_setting(setting: str, value: object) -> None:
    with pytest.raises(Malformed) as refusal:
        load({}, **{setting: value})
    assert refusal.value.facts["field"] == setting


def test_a_mistake_in_the_file_is_told_even_where_it_is_overridden(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=FILE_NAME):
        load(folder_with(tmp_path, 'port = "80"\n'), port=1)


@pytest.mark.parametrize("content", [b"port = ", b"\xff\xfe", b"port = 1\nport = 2\n", b"\x00"])
def test_a_file_that_is_not_toml_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(Malformed, match=f"{FILE_NAME}: not a TOML file"):
        load({"COUNTERFOIL_DATA": str(tmp_path)})


def test_the_file_cannot_move_the_folder_that_it_is_in(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="data: cannot be set in the file"):
        load(folder_with(tmp_path, 'data = "elsewhere"\n'))


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        Config().port = 1  # type: ignore[misc]


def test_a_config_shows_no_password() -> None:
    config = Config(store="postgresql://teller:geheim@db/x", ledger="postgresql://teller@db/x?password=geheim&port=1")
    assert "geheim" not in repr(config)
    assert "postgresql://teller:***@db/x" in repr(config)
    assert "password=***&port=1" in repr(config)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("store", "mysql://db/x"),
        ("store", "postgres://db/x"),
        ("store", "tigerbeetle://127.0.0.1:3000?cluster=0"),
        ("store", "sqlite:///x"),
        ("ledger", "sqlite:///x"),
        ("ledger", "postgresql://teller:ge%him@db/x"),
        ("ledger", "postgresql://teller:ge/him@db/x"),
        ("ledger", "postgresql://teller:ge@him@db/x"),
        ("ledger", "tigerbeetle://127.0.0.1:3000"),
        ("ledger", "tigerbeetle://127.0.0.1:3000?cluster=one"),
        ("ledger", "tigerbeetle://?cluster=1"),
    ],
)
def test_a_server_of_another_kind_is_refused_without_repeating_the_url(name: str, url: str) -> None:
    with pytest.raises(Malformed) as refusal:
        load({}, **{name: url})
    assert refusal.value.facts["field"] == name
    assert url not in refusal.value.detail


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://",
        "postgresql:///books",
        "postgresql://teller@/books?host=%2Frun%2Fpostgresql",
        "postgresql://teller:ge%2Fheim@db.internal:5433/books?sslmode=verify-full&sslrootcert=/etc/ca.pem",
        "postgresql://teller@10.0.0.1:5432,10.0.0.2:5432,[fd00::1]:5432/books?target_session_attrs=read-write",
    ],
)
def test_a_server_is_named_as_its_own_library_takes_it(url: str) -> None:
    assert load({"COUNTERFOIL_STORE": url, "COUNTERFOIL_LEDGER": url}).store == url


def test_a_cluster_is_named_by_its_addresses_and_its_number() -> None:
    config = load({"COUNTERFOIL_LEDGER": "tigerbeetle://10.0.0.1:3000,[::1]:3001?cluster=7"})
    assert cluster_of(config.ledger) == ("10.0.0.1:3000,[::1]:3001", 7)


SECRET = "a-secret-of-a-gateway"
USSD = f'[[ussd]]\nname = "main"\nkind = "africastalking"\nsecret = "{SECRET}"\n'


def test_ussd_gateways_are_tables_of_the_file(tmp_path: Path) -> None:
    config = load(folder_with(tmp_path, f'port = 1\n{USSD}addresses = ["203.0.113.0/24", "2001:db8::1"]\n{USSD.replace("main", "spare")}'))
    assert [gateway.name for gateway in config.ussd] == ["main", "spare"]
    assert config.ussd[0] == UssdGateway(
        name="main", kind="africastalking", secret=SECRET, addresses=("203.0.113.0/24", "2001:db8::1")
    )  # fmt: skip
    assert SECRET not in repr(config)
    assert "main" in repr(config)


def test_the_environment_cannot_set_gateways_and_says_so() -> None:
    with pytest.raises(Malformed, match=f"COUNTERFOIL_USSD: can only be set in {FILE_NAME}"):
        load({"COUNTERFOIL_USSD": "[]"})


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ('name = "Main"', "ussd.name"),
        ('name = ""', "ussd.name"),
        (f'name = "{"x" * 33}"', "ussd.name"),
        ('kind = "smoke_signals"', "ussd.kind"),
        ('secret = "short-secret-15"', "ussd.secret"),
        ('secret = "with a space in it or two"', "ussd.secret"),
        ('secret = "with/a/slash/in/it/or/two"', "ussd.secret"),
        ('addresses = ["203.0.113.1/24"]', "ussd.addresses"),
        ('addresses = ["gateway.example"]', "ussd.addresses"),
    ],
)
def test_a_gateway_that_cannot_be_is_refused_without_its_secret(tmp_path: Path, line: str, field: str) -> None:
    name = line.split()[0]
    settings = "\n".join([each for each in USSD.splitlines() if not each.startswith(name)] + [line])
    with pytest.raises(Malformed) as refusal:
        load(folder_with(tmp_path, settings))
    assert refusal.value.facts["field"] == field
    assert SECRET not in refusal.value.detail


def test_a_gateway_needs_every_field_but_its_addresses_and_takes_no_other(tmp_path: Path) -> None:
    for name in ("name", "kind", "secret"):
        settings = "\n".join(each for each in USSD.splitlines() if not each.startswith(name))
        with pytest.raises(Malformed, match=f"missing required field `{name}`"):
            load(folder_with(tmp_path, settings))
    with pytest.raises(Malformed, match="unknown field `adresses`"):
        load(folder_with(tmp_path, f"{USSD}adresses = []\n"))


def test_two_gateways_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=r"ussd\.name: must not be given twice"):
        load(folder_with(tmp_path, USSD + USSD))
