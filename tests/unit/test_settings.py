import json
import stat
from pathlib import Path

import pytest

from cwz_web.settings import ENVIRONMENT, SECRETS, Settings, SettingsError
from tests.conftest import ENCRYPTION_KEY

STRONG = {ENVIRONMENT[name]: f"{name} 0123456789 abcdefghijklmnop" for name in SECRETS} | {
    "CWZ_ENCRYPTION_KEYS": ENCRYPTION_KEY
}
INI = {"cwz.url": "https://images.example.org", "cwz.var": "/tmp/cwz", "cwz.node_modules": "/tmp/modules"}  # noqa: S108
OUTSIDE = {"DATABASE_URL": "postgresql://app@db/cwz", **STRONG}


def test_production_takes_its_secrets_from_the_environment() -> None:
    settings = Settings.load(INI, OUTSIDE)
    assert not settings.development
    assert settings.render_secret.get_secret_value() == STRONG["CWZ_RENDER_SECRET"]
    assert "0123456789" not in repr(settings)


def test_every_missing_secret_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.load(INI, {})
    for variable in ("DATABASE_URL", *STRONG):
        assert f"{variable} is missing" in str(refusal.value)


@pytest.mark.parametrize("weak", ["short", "a" * 64, "changeme" * 8])
def test_a_weak_secret_is_refused_by_name(weak: str) -> None:
    with pytest.raises(SettingsError, match="CWZ_RENDER_SECRET is too weak"):
        Settings.load(INI, OUTSIDE | {"CWZ_RENDER_SECRET": weak})


def test_two_secrets_may_not_be_the_same() -> None:
    with pytest.raises(SettingsError, match="a value of its own"):
        Settings.load(INI, OUTSIDE | {"CWZ_RENDER_SECRET": STRONG["CWZ_CSRF_SECRET"]})


def test_a_secret_in_the_ini_file_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError) as refusal:
        Settings.load(INI | {"cwz.render_secret": "hidden-value-of-the-secret-in-a-file"}, OUTSIDE)
    assert "CWZ_RENDER_SECRET" in str(refusal.value)
    assert "hidden-value" not in str(refusal.value)


def test_a_misspelt_setting_is_named() -> None:
    with pytest.raises(SettingsError, match=r"cwz\.urll is not a setting"):
        Settings.load(INI | {"cwz.urll": "x"}, OUTSIDE)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cwz.plan.pro.images": "many"}, r"cwz\.plan\.pro\.images Input should be a valid integer"),
        ({"cwz.plan.huge.images": "5"}, r"cwz\.plan\.huge\.label is missing"),
        ({"cwz.plan.pro.picturs": "5"}, r"cwz\.plan\.pro\.picturs is not a setting"),
    ],
)
def test_what_is_wrong_with_a_plan_is_named(given: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Settings.load(INI | given, OUTSIDE)


def test_a_plan_is_changed_in_one_thing() -> None:
    plans = Settings.load(INI | {"cwz.plan.pro.images": "5"}, OUTSIDE).plan
    assert (plans["pro"].images, plans["pro"].members, plans["free"].images) == (5, 10, 100)


def test_production_wants_https() -> None:
    with pytest.raises(SettingsError, match="https://"):
        Settings.load(INI | {"cwz.url": "http://images.example.org"}, OUTSIDE)


def test_a_plugins_settings_are_kept_by_provider() -> None:
    settings = Settings.load(INI | {"cwz.storage.local.root": "/srv/images"}, OUTSIDE)
    assert settings.storage == {"local": {"root": "/srv/images"}}


def test_development_makes_its_secrets_once_for_its_owner_only(tmp_path: Path) -> None:
    file = tmp_path / "new" / "secrets.json"
    ini = INI | {"cwz.environment": "development", "cwz.secrets_file": str(file)}
    environment = {"DATABASE_URL": "postgresql://app@db/cwz"}
    first = Settings.load(ini, environment)
    assert Settings.load(ini, environment) == first
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) == {*SECRETS, "encryption_keys"}


def test_a_secret_that_a_release_brings_is_added_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    ini = INI | {"cwz.environment": "development", "cwz.secrets_file": str(file)}
    environment = {"DATABASE_URL": "postgresql://app@db/cwz"}
    first = Settings.load(ini, environment)
    known = json.loads(file.read_text())
    file.write_text(json.dumps({name: value for name, value in known.items() if name != "encryption_keys"}))
    again = Settings.load(ini, environment)
    assert again.session_secret == first.session_secret
    assert again.encryption_keys != first.encryption_keys
    assert Settings.load(ini, environment) == again


def test_production_never_makes_secrets(tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    with pytest.raises(SettingsError):
        Settings.load(INI | {"cwz.secrets_file": str(file)}, {"DATABASE_URL": "postgresql://app@db/cwz"})
    assert not file.exists()
