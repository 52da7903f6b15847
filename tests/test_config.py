"""Settings: where they come from, which one wins, and what is said when one is wrong."""

import os
import re
import stat
import tomllib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.pretty import pretty_repr

from textgate.config import (
    SECRETS,
    Kept,
    SettingError,
    Settings,
    defaults_text,
    kept_file,
    kept_secret,
    load,
)
from textgate.reading import READERS, duration, duration_text

TLS = Path(__file__).parent / "tls"
DOCS = Path(__file__).parents[1] / "docs"
KEPT: tuple[Kept, ...] = get_args(Kept)
CERT, KEY = TLS / "localhost.pem", TLS / "localhost.key"
DEFAULTS = tomllib.loads(defaults_text())
EXAMPLES = tomllib.loads("\n".join(re.findall(r"^# (\w+ = .+)$", defaults_text(), re.MULTILINE)))


def settings(**variables: str) -> Settings:
    environ = {f"TEXTGATE_{name.upper()}": value for name, value in variables.items()}
    return load(file=None, environ=environ, flags={})


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# --- the documentation is the default ---


def test_without_any_source_the_settings_are_those_of_the_shipped_file() -> None:
    assert load(file=None, environ={}, flags={}) == Settings()


def test_the_shipped_file_documents_every_setting_and_no_other() -> None:
    assert not DEFAULTS.keys() & EXAMPLES.keys()
    assert DEFAULTS.keys() | EXAMPLES.keys() == set(Settings.__struct_fields__) == READERS.keys()


def test_each_example_in_the_shipped_file_is_a_value_that_works() -> None:
    of_files = {"tls_cert", "tls_key", "ca_file", "deno"}
    for name in EXAMPLES.keys() - of_files:
        load(file=None, environ={}, flags={name: EXAMPLES[name]})


def test_each_setting_in_the_shipped_file_has_a_comment_above_it() -> None:
    lines = defaults_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"(# )?\w+ = ", line) and not line.startswith("# tls_key"):
            assert lines[number - 1].startswith("# "), line


def test_the_page_lists_every_setting_with_its_variable_and_default() -> None:
    page = (DOCS / "settings.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `(\w+)` \| (`TEXTGATE_\w+` \| [^|]+) \| [\w`]", page))
    assert rows.keys() == READERS.keys()
    for name, row in rows.items():
        variable, default = row.split(" | ")
        assert variable == f"`TEXTGATE_{name.upper()}`"
        if name in DEFAULTS:
            assert tomllib.loads(f"x = {default.strip('`')}")["x"] == DEFAULTS[name]
        else:
            assert "`" not in default or name == "database_url"


# --- which source wins ---


def test_a_flag_beats_the_environment_that_beats_the_file_that_beats_the_default() -> None:
    Path("mine.toml").write_text('port = 1001\nhost = "127.0.0.2"\nretention = "1d"\n')
    environ = {"TEXTGATE_PORT": "1002", "TEXTGATE_HOST": "127.0.0.3"}
    found = load(file=Path("mine.toml"), environ=environ, flags={"port": 1003, "host": None})
    assert (found.port, found.host, found.retention) == (1003, "127.0.0.3", timedelta(days=1))
    assert found.mode == "private"


def test_the_file_is_the_flags_else_the_variables_else_the_one_in_the_working_folder() -> None:
    for number, name in enumerate(("textgate.toml", "named.toml", "flag.toml"), start=1):
        Path(name).write_text(f"port = {number}")
    named = {"TEXTGATE_CONFIG": "named.toml"}
    assert load(file=None, environ={}, flags={}).port == 1
    assert load(file=None, environ=named, flags={}).port == 2
    assert load(file=Path("flag.toml"), environ=named, flags={}).port == 3


def test_a_file_that_was_asked_for_must_exist() -> None:
    with pytest.raises(SettingError, match=r"--config = 'gone\.toml': must be a file that exists"):
        load(file=Path("gone.toml"), environ={}, flags={})
    with pytest.raises(SettingError, match="TEXTGATE_CONFIG = 'gone'"):
        load(file=None, environ={"TEXTGATE_CONFIG": "gone"}, flags={})


def test_a_list_in_the_environment_is_written_with_commas() -> None:
    assert settings(trusted_proxies="127.0.0.1, 10.1.2.3/8").trusted_proxies == (
        "127.0.0.1",
        "10.0.0.0/8",
    )
    assert settings(channel_retry_waits="1s,2m").channel_retry_waits == (
        timedelta(seconds=1),
        timedelta(minutes=2),
    )


def test_an_empty_variable_counts_as_not_set() -> None:
    assert settings(public_url="", port="") == Settings()


def test_variables_of_the_command_line_are_not_taken_for_settings() -> None:
    assert settings(server="http://127.0.0.1:8080", login="A", password="b") == Settings()


def test_the_database_is_in_the_data_folder_unless_it_is_set() -> None:
    assert settings(data="/srv/sms").database_url == "sqlite:////srv/sms/textgate.db"
    assert settings(data="/srv/sms").database == Path("/srv/sms/textgate.db")
    assert settings(data="here").database == Path("here/textgate.db")
    assert settings(database_url="sqlite:///other.db").database == Path("other.db")


@pytest.mark.parametrize(
    ("host", "alone"),
    [(host, True) for host in ("127.0.0.1", "::1", "localhost", "127.9.9.9")]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.1.2", "sms.example.com")],
)
def test_settings_know_whether_only_this_machine_can_reach_the_server(
    host: str, alone: bool
) -> None:
    assert settings(host=host).listens_on_loopback_only is alone


# --- what is said when one is wrong ---

WRONG = [
    ("port", "80800", "must be a whole number from 0 to 65535"),
    ("port", "http", "must be a whole number from 0 to 65535"),
    ("port", "-1", "must be a whole number from 0 to 65535"),
    ("host", "127.0.0.1:80", "must be an IP address or a host name, without scheme or port"),
    ("host", "http://x", "must be an IP address or a host name, without scheme or port"),
    ("host", "1.2.3", "must be an IP address or a host name, without scheme or port"),
    ("mode", "open", "must be one of: private, public"),
    ("log_level", "loud", "must be one of: debug, info, warning, error"),
    ("retention", "a while", "must be a time such as 10s, 15m, 1h30m or 30d"),
    ("retention", "5m", "must be from 1h to 3650d"),
    ("retention", "99999999999999999999999d", "must be at most ten years"),
    ("stop_timeout", "0", "must be from 1s to 10m"),
    ("channel_retry_waits", "5s,soon", "must be a time such as"),
    ("channel_rate", "-1", "must be a number of messages a second"),
    ("webhook_jitter", "0.7", "must be from 0 (none) to 0.5"),
    ("body_limit", "4MiB", "must be a number of bytes from 1024 to 67108864"),
    ("default_region", "Germany", "two letters as in ISO 3166-1"),
    ("default_region", "XX", "two letters as in ISO 3166-1"),
    ("trusted_proxies", "10.0.0.0/40", "addresses or CIDRs"),
    ("public_url", "sms.example.com", "must be an http:// or https:// address"),
    ("public_url", "ftp://sms.example.com", "must be an http:// or https:// address"),
    ("public_url", "https://sms.example.com/?a=b", "must be an http:// or https:// address"),
    ("public_url", "https://sms.example.com:99999", "must be an http:// or https:// address"),
    ("database_url", "postgresql://localhost/x", "this version keeps its data in SQLite only"),
    ("database_url", "mysql://localhost/x", "must be sqlite:/// and the path of a file"),
    ("database_url", "sqlite:///:memory:", "must be sqlite:/// and the path of a file"),
    ("jwt_issuer", "a\nb", "without control characters"),
    ("tls_cert", "gone.pem", "must be a readable file"),
    ("ca_file", "gone.pem", "must be a readable file"),
    ("deno", "gone", "must be a readable file"),
    ("deno", __file__, "must be a file that may be executed"),
    ("script_workers", "0", "must be a whole number from 1 to 1000"),
    ("script_memory", "32", "must be a number of MiB from 64 to 4096"),
    ("script_hosts", "https://esm.sh", "must be an IP address or a host name"),
    ("template_language", "deutsch-!", "must be a language tag as in BCP 47"),
]


@pytest.mark.parametrize(("name", "value", "rule"), WRONG, ids=lambda part: part[:40])
def test_a_wrong_setting_is_told_with_its_name_its_value_and_the_rule(
    name: str, value: str, rule: str
) -> None:
    with pytest.raises(SettingError) as wrong:
        settings(**{name: value})
    assert wrong.value.message.startswith(f"wrong setting: TEXTGATE_{name.upper()} = {value!r}: ")
    assert rule in wrong.value.message
    assert "\n" not in wrong.value.message


@pytest.mark.parametrize("value", ["k" * 31, "short " + "k" * 32, " , "])
def test_each_master_key_is_long_enough_and_none_is_shown(value: str) -> None:
    with pytest.raises(SettingError) as wrong:
        settings(master_key=value)
    said = "wrong setting: TEXTGATE_MASTER_KEY = •••: must have at least 32 bytes in each key"
    assert wrong.value.message == said


def test_several_master_keys_stand_between_blanks_or_commas() -> None:
    one, two = "1" * 32, "2" * 32
    assert settings(master_key=f" {one}, {two} ").master_key == f"{one} {two}"


def test_the_name_is_spelt_as_in_its_source() -> None:
    Path("mine.toml").write_text("port = 70000")
    with pytest.raises(SettingError, match=r"port in mine\.toml = 70000: must be"):
        load(file=Path("mine.toml"), environ={}, flags={})
    with pytest.raises(SettingError, match=r"--log-level = 'x': must be"):
        load(file=None, environ={}, flags={"log_level": "x"})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("prot = 1", "prot in f.toml: there is no such setting; did you mean port?"),
        ("[server]\nport = 1", "server in f.toml: there is no such setting"),
        ("port 1", "f.toml: is not valid TOML: Expected '=' after a key"),
        ("port = true", "port in f.toml = True: must be a whole number"),
        ("port = 1.5", "port in f.toml = 1.5: must be a whole number"),
        ("mode = ['private']", "mode in f.toml = ['private']: must be one of"),
        ("jwt_issuer = 7", "jwt_issuer in f.toml = 7: must be text (in a file: in quotes)"),
        ("retention = false", "retention in f.toml = False: must be a time"),
        ("trusted_proxies = 1", "trusted_proxies in f.toml = 1: must be a list"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(content: str, said: str) -> None:
    Path("f.toml").write_text(content)
    with pytest.raises(SettingError) as wrong:
        load(file=Path("f.toml"), environ={}, flags={})
    assert said in wrong.value.message


def test_a_file_that_is_not_text_is_told() -> None:
    Path("f.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingError, match="must be UTF-8"):
        load(file=Path("f.toml"), environ={}, flags={})


def test_an_unknown_variable_is_refused_with_the_likely_name() -> None:
    with pytest.raises(
        SettingError, match=r"TEXTGATE_PUBLICURL: .*; did you mean TEXTGATE_PUBLIC_URL\?"
    ):
        settings(publicurl="https://sms.example.com")
    with pytest.raises(SettingError, match=r"TEXTGATE_QQQQQ: there is no such setting$"):
        settings(qqqqq="1")


def test_a_private_address_list_is_checked_by_the_guard_itself() -> None:
    assert settings(allow_addresses="10.1.2.3,192.168.0.0/16,receiver.internal").allow_addresses
    with pytest.raises(SettingError, match=r"TEXTGATE_ALLOW_ADDRESSES = '10\.0\.0\.0/99': must"):
        settings(allow_addresses="10.0.0.0/99")


# --- rules over more than one setting, and files ---


def test_https_takes_a_certificate_and_its_key_together() -> None:
    cert, key = str(CERT), str(KEY)
    assert settings(tls_cert=cert, tls_key=key).tls_cert == CERT
    with pytest.raises(SettingError, match=r"TEXTGATE_TLS_CERT = .*: needs tls_key too"):
        settings(tls_cert=cert)
    with pytest.raises(SettingError, match=r"TEXTGATE_TLS_KEY = .*: needs tls_cert too"):
        settings(tls_key=key)
    with pytest.raises(SettingError, match="must be a PEM certificate that belongs to tls_key"):
        settings(tls_cert=key, tls_key=cert)


def test_further_authorities_are_certificates() -> None:
    assert settings(ca_file=str(CERT)).ca_file == CERT
    with pytest.raises(SettingError, match="must be a PEM file that holds certificates"):
        settings(ca_file=str(KEY))


def test_a_refresh_token_outlives_an_access_token() -> None:
    with pytest.raises(SettingError, match="must be longer than access_token_ttl"):
        settings(refresh_token_ttl="10m")


def test_one_webhook_cannot_have_more_calls_than_all_together() -> None:
    with pytest.raises(SettingError, match="must not exceed webhook_concurrency_total"):
        settings(webhook_concurrency="20", webhook_concurrency_total="10")


def test_a_relay_for_others_needs_one_to_hand_on_to() -> None:
    with pytest.raises(SettingError, match="needs push_relay_url"):
        settings(push_relay_open="true")
    relay = "https://relay.example.com/upstream/v1/push"
    assert settings(push_relay_open="true", push_relay_url=relay).push_relay_open


def test_the_data_folder_is_not_a_file() -> None:
    Path("taken").touch()
    with pytest.raises(SettingError, match="must be a folder, and this is a file"):
        settings(data="taken")


# --- secrets ---


def test_no_secret_is_in_a_message_or_a_repr() -> None:
    long, short = "s3cret-" * 6, "s3cret"
    found = settings(jwt_secret=long, private_token=long)
    assert (found.jwt_secret, found.private_token) == (long, long)
    assert "s3cret" not in repr(found) + str(found) + pretty_repr(found)
    for name in SECRETS:
        with pytest.raises(SettingError, match="= •••: must have at least") as wrong:
            settings(**{name: short})
        assert "s3cret" not in wrong.value.message
    for name in ("database_url", "public_url"):
        with pytest.raises(SettingError) as wrong:
            settings(**{name: "postgresql://me:s3cret@localhost/sms"})
        assert "s3cret" not in wrong.value.message


@pytest.mark.parametrize("name", KEPT)
def test_a_secret_is_made_once_and_kept_for_nobody_else(name: Kept) -> None:
    mine = settings(data="kept")
    with ThreadPoolExecutor(8) as together:
        [made] = set(together.map(lambda _: kept_secret(mine, name), range(8)))
    assert kept_secret(mine, name) == made
    assert len(made) >= 32
    [kept] = mine.data.iterdir()
    assert kept == kept_file(mine, name)
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(mine.data.stat().st_mode) == 0o700
    assert kept_secret(settings(data="kept", **{name: "x" * 32}), name) == "x" * 32


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_secret_may_be_written_by_hand_and_keeps_the_rule(name: Kept) -> None:
    file = kept_file(settings(), name)
    file.parent.mkdir()
    file.write_text(f"{'s3cret-' * 6}\n")
    assert kept_secret(settings(), name) == "s3cret-" * 6
    file.write_text("s3cret\n")
    with pytest.raises(SettingError, match="must have at least 32 bytes") as wrong:
        kept_secret(settings(), name)
    assert str(file) in wrong.value.message
    assert "s3cret" not in wrong.value.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_kept_secret_that_may_not_be_read_is_told() -> None:
    file = kept_file(settings(), "master_key")
    file.parent.mkdir()
    file.touch(mode=0o000)
    with pytest.raises(SettingError, match="cannot be read"):
        kept_secret(settings(), "master_key")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_is_told() -> None:
    Path("f.toml").touch(mode=0o000)
    with pytest.raises(SettingError, match="cannot be read"):
        load(file=Path("f.toml"), environ={}, flags={})


# --- times ---


@given(st.timedeltas(timedelta(0), timedelta(days=3650)))
def test_a_time_is_read_as_it_is_written(found: timedelta) -> None:
    whole = timedelta(seconds=int(found.total_seconds()))
    assert duration(duration_text(whole)) == whole
    assert duration(int(whole.total_seconds())) == whole


@pytest.mark.parametrize("text", ["", "s", "1x", "h1", "1m1h", "-5s", "1.5h", "1 h"])
def test_a_time_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time such as"):
        duration(text)
