import json
import stat
from pathlib import Path

import pytest

from cwz_web.settings import ENVIRONMENT, SECRETS, RenderWorkerSettings, Settings, SettingsError
from tests.conftest import ENCRYPTION_KEY

STRONG = {ENVIRONMENT[f"secrets.{name}"]: f"{name} 0123456789 abcdefghijklmnop" for name in SECRETS} | {
    "CWZ_ENCRYPTION_KEYS": ENCRYPTION_KEY
}
INI = {"cwz.url": "https://images.example.org", "cwz.var": "/tmp/cwz", "cwz.node_modules": "/tmp/modules"}  # noqa: S108
OUTSIDE = {"DATABASE_URL": "postgresql://app@db/cwz", **STRONG}


def test_production_reads_secrets_from_the_environment() -> None:
    settings = Settings.load(INI, OUTSIDE)
    assert not settings.development
    assert settings.secrets.render.get_secret_value() == STRONG["CWZ_RENDER_SECRET"]
    assert "0123456789" not in repr(settings)


def test_all_missing_secrets_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.load(INI, {})
    for variable in ("DATABASE_URL", *STRONG):
        assert f"{variable} is missing" in str(raised.value)


@pytest.mark.parametrize("weak", ["short", "a" * 64, "changeme" * 8])
def test_weak_secret_is_rejected(weak: str) -> None:
    with pytest.raises(SettingsError, match="CWZ_RENDER_SECRET is too weak"):
        Settings.load(INI, OUTSIDE | {"CWZ_RENDER_SECRET": weak})


def test_equal_secrets_are_rejected() -> None:
    with pytest.raises(SettingsError, match="a value of its own"):
        Settings.load(INI, OUTSIDE | {"CWZ_RENDER_SECRET": STRONG["CWZ_CSRF_SECRET"]})


def test_secret_in_the_ini_file_is_rejected_without_its_value() -> None:
    with pytest.raises(SettingsError) as raised:
        Settings.load(INI | {"cwz.secrets.render": "hidden-value-of-the-secret-in-a-file"}, OUTSIDE)
    assert "CWZ_RENDER_SECRET" in str(raised.value)
    assert "hidden-value" not in str(raised.value)


def test_misspelled_setting_is_reported() -> None:
    with pytest.raises(SettingsError, match=r"cwz\.urll is not a setting"):
        Settings.load(INI | {"cwz.urll": "x"}, OUTSIDE)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cwz.plan.pro.images": "many"}, r"cwz\.plan\.pro\.images Input should be a valid integer"),
        ({"cwz.plan.huge.images": "5"}, r"cwz\.plan\.huge\.label is missing"),
        ({"cwz.plan.pro.imags": "5"}, r"cwz\.plan\.pro\.imags is not a setting"),
    ],
)
def test_invalid_plan_setting_is_reported(given: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Settings.load(INI | given, OUTSIDE)


def test_one_limit_of_a_plan_can_be_changed() -> None:
    plans = Settings.load(INI | {"cwz.plan.pro.images": "5"}, OUTSIDE).plan
    assert (plans["pro"].images, plans["pro"].members, plans["free"].images) == (5, 10, 100)


def test_name_server_is_an_ip_address() -> None:
    servers = "192.0.2.53 [2001:db8::53]:5353"
    assert len(Settings.load(INI | {"cwz.network.dns": servers}, OUTSIDE).network.dns) == 2
    with pytest.raises(SettingsError, match=r"cwz\.network\.dns .*'127\.0\.0\.1:abc' is no IP address"):
        Settings.load(INI | {"cwz.network.dns": "127.0.0.1:abc"}, OUTSIDE)


def test_production_requires_https() -> None:
    with pytest.raises(SettingsError, match="https://"):
        Settings.load(INI | {"cwz.url": "http://images.example.org"}, OUTSIDE)


def test_storage_settings_are_grouped_by_provider() -> None:
    settings = Settings.load(INI | {"cwz.storage.local.root": "/srv/images"}, OUTSIDE)
    assert settings.storage == {"local": {"root": "/srv/images"}}


def test_development_secrets_are_generated_once_and_readable_by_the_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secrets.json"
    ini = INI | {"cwz.environment": "development", "cwz.secrets.file": str(file)}
    environment = {"DATABASE_URL": "postgresql://app@db/cwz"}
    first = Settings.load(ini, environment)
    assert Settings.load(ini, environment) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) == {*SECRETS, "encryption_keys"}


def test_secret_added_by_a_release_leaves_the_others_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    ini = INI | {"cwz.environment": "development", "cwz.secrets.file": str(file)}
    environment = {"DATABASE_URL": "postgresql://app@db/cwz"}
    first = Settings.load(ini, environment)
    known = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in known.items() if name != "encryption_keys"}))
    again = Settings.load(ini, environment)
    assert again.secrets.session == first.secrets.session
    assert again.secrets.encryption_keys != first.secrets.encryption_keys
    assert Settings.load(ini, environment) == again


def test_production_never_generates_secrets(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    with pytest.raises(SettingsError):
        Settings.load(INI | {"cwz.secrets.file": str(file)}, {"DATABASE_URL": "postgresql://app@db/cwz"})
    assert not file.exists()


def test_group_of_settings_without_a_name_is_reported() -> None:
    with pytest.raises(SettingsError, match=r"cwz\.mail is a group of settings"):
        Settings.load(INI | {"cwz.mail": "smtp", "cwz.mail.sender": "A <a@example.org>"}, OUTSIDE)


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"cwz.mail.transport": "resend"}, "CWZ_RESEND_API_KEY"),
        ({"cwz.slack.client_id": "x"}, "CWZ_SLACK_CLIENT_SECRET"),
        ({"cwz.google.client_id": "x"}, "CWZ_GOOGLE_CLIENT_SECRET"),
    ],
)
def test_setting_that_requires_a_secret_is_reported(given: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError, match=f"requires {variable}"):
        Settings.load(INI | given, OUTSIDE)


def test_backup_options_go_to_the_provider() -> None:
    backup = Settings.load(INI | {"cwz.backup.provider": "s3", "cwz.backup.bucket": "ours"}, OUTSIDE).backup
    assert (backup.provider, backup.options) == ("s3", {"bucket": "ours"})


def test_render_worker_needs_the_render_secret_only() -> None:
    environment = {"DATABASE_QUEUE_URL": "postgresql://render@db/cwz", "CWZ_RENDER_SECRET": STRONG["CWZ_RENDER_SECRET"]}
    settings = RenderWorkerSettings.load(INI | {"cwz.mail.transport": "smtp"}, environment)
    assert set(type(settings.secrets).model_fields) == {"render"}
    with pytest.raises(SettingsError, match="CWZ_RENDER_SECRET is missing"):
        RenderWorkerSettings.load(INI, {"DATABASE_QUEUE_URL": "postgresql://render@db/cwz"})
