"""Where online rows go: addresses, passwords, and a Redis that is not there."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from feature_repo.__main__ import app
from feature_repo.online import PASSWORD, Redis, Sqlite, be_patient, online_of
from feature_repo.push import opened
from feature_repo.store import materialise
from higr.config import load_config
from higr.data.prepare import prepare
from higr.data.prepared import PreparedData
from higr.errors import InputError
from tests.redis_server import RedisServer

CONFIG = load_config("nano", {"data.simulator.users": 20}).data
SECRET = "s3cret$x"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("data")
    made = prepare(CONFIG, 0)
    made.save(folder)
    return folder, made


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", Redis("cache", 6379, 0, None, False)),
        ("redis://cache:1234/5", Redis("cache", 1234, 5, None, False)),
        ("rediss://reader@10.0.0.1:6380/1", Redis("10.0.0.1", 6380, 1, "reader", True)),
    ],
)
def test_addresses(url: str, address: Redis) -> None:
    assert online_of(url) == address
    assert online_of(None) == Sqlite()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("cache:6379", "no address of Redis"),
        ("redis://", "no address of Redis"),
        ("http://cache", "no address of Redis"),
        ("redis://cache,db=3", "no address of Redis"),
        ("redis://cache/-1", "no address of Redis"),
        ("redis://cache/0?timeout=9", "no address of Redis"),
        ("redis://cache:99999", "Port out of range"),
        ("redis://cache/main", "invalid literal"),
        ("redis://user:s3cret@cache", "no password in the address"),
    ],
)
def test_what_is_no_address(url: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as raised:
        online_of(url)
    assert "s3cret" not in str(raised.value)


def test_every_wait_is_bounded_and_options_are_what_feast_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore

    monkeypatch.delenv(PASSWORD, raising=False)
    text = Redis("cache", 1234, 5, "reader", True).settings(0.05)["connection_string"]
    nodes, options = RedisOnlineStore._parse_connection_string(text)
    assert nodes == [{"host": "cache", "port": "1234"}]
    bounds = {"socket_timeout": 0.05, "socket_connect_timeout": 0.05, "retry": None}
    assert options == {"db": 5, "ssl": True, "username": "reader", **bounds}


def test_who_is_in_no_hurry_waits_longer() -> None:
    from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
    from feast.infra.online_stores.sqlite import SqliteOnlineStoreConfig

    settings = RedisOnlineStoreConfig(**Redis("cache", 1234, 5, None, False).settings(0.05))
    be_patient(settings)
    _, options = RedisOnlineStore._parse_connection_string(settings.connection_string)
    assert (options["socket_timeout"], options["socket_connect_timeout"], options["db"]) == (30, 30, 5)
    be_patient(SqliteOnlineStoreConfig())


@pytest.mark.parametrize("password", ["a,b", 'a"b', "a\\b", "a b", "a\n"])
def test_a_password_that_feast_would_misread_is_refused(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv(PASSWORD, password)
    with pytest.raises(InputError, match=PASSWORD) as raised:
        Redis("cache", 1234, 5, None, False).settings(1)
    assert password not in str(raised.value)


def online(store: Path, user: str) -> Any:
    return (
        opened(store)
        .get_online_features(
            features=["user_context:context_item_ids", "user_context:context_times"],
            entity_rows=[{"user_id": user}],
        )
        .to_dict()
    )


def test_redis_holds_what_sqlite_holds(
    data: tuple[Path, PreparedData], tmp_path: Path, redis: RedisServer
) -> None:
    materialise(data[0], tmp_path / "sqlite", CONFIG)
    materialise(data[0], tmp_path / "redis-store", CONFIG, redis.url)
    for user in data[1].users["user_id"].to_pylist():
        assert online(tmp_path / "redis-store", user) == online(tmp_path / "sqlite", user)
    assert not (tmp_path / "redis-store" / "online.db").exists()


def test_the_password_is_nowhere_on_disk(
    data: tuple[Path, PreparedData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)
    user = data[1].users["user_id"][0].as_py()
    with RedisServer(tmp_path / "redis", password=SECRET) as redis:
        materialise(data[0], tmp_path / "store", CONFIG, redis.url)
        assert online(tmp_path / "store", user)["context_item_ids"][0]
        for path in (tmp_path / "store").iterdir():
            assert SECRET.encode() not in path.read_bytes(), path
        settings = yaml.safe_load((tmp_path / "store" / "feature_store.yaml").read_text())
        assert f"${{{PASSWORD}}}" in settings["online_store"]["connection_string"]
        monkeypatch.setenv(PASSWORD, "wrong")
        with pytest.raises(InputError, match="AuthenticationError"):
            materialise(data[0], tmp_path / "store", CONFIG, redis.url)


def test_without_redis_the_store_stays_as_it_was(
    data: tuple[Path, PreparedData], tmp_path: Path, redis: RedisServer
) -> None:
    arguments = ["materialise", "--data", str(data[0]), "--store", str(tmp_path / "store")]
    arguments += ["--config", "nano", "--online", redis.url]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    before = (tmp_path / "store" / "registry.db").stat().st_ino
    redis.kill()
    ended = CliRunner().invoke(app, arguments)
    assert (ended.exit_code, ended.stderr.count("\n")) == (2, 1)
    assert ended.stderr.startswith("error: Redis: ConnectionError")
    assert (tmp_path / "store" / "registry.db").stat().st_ino == before
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")], "nothing is left aside"
