"""Files of tokens, and what a header has to be."""

import hashlib
import logging
import os
from pathlib import Path

import pytest

from higr.errors import InputError
from serving.tokens import OwnToken, Tokens, read_token

FIRST, SECOND = "a" * 32, "b-second+token/of=32~characters."


def line(name: str, token: str) -> str:
    return f"{name}:{hashlib.sha256(token.encode()).hexdigest()}\n"


def replaced(path: Path, text: str) -> None:
    """As Kubernetes and careful people do it: another file in its place."""
    aside = path.with_name("aside")
    aside.write_text(text)
    aside.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "tokens"
    made.write_text("# shops\n\n" + line("shop", FIRST) + line("app-2", SECOND))
    return made


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ([f"Bearer {FIRST}"], True),
        ([f"bearer  {SECOND} "], True),
        ([], False),
        ([""], False),
        (["Bearer"], False),
        (["Bearer "], False),
        ([f"Basic {FIRST}"], False),
        ([FIRST], False),
        ([f"Bearer {FIRST[:-1]}"], False),
        ([f"Bearer {FIRST}x"], False),
        ([f"Bearer {FIRST} {SECOND}"], False),
        ([f"Bearer {FIRST}", f"Bearer {FIRST}"], False),
        ([f"Bearer {hashlib.sha256(FIRST.encode()).hexdigest()}"], False),
        (["Bearer " + "x" * 100_000], False),
        (["Bearer \xff\x00"], False),
    ],
)
def test_a_header_is_one_known_token(path: Path, headers: list[str], allowed: bool) -> None:
    assert Tokens(path).allow([header.encode("latin-1") for header in headers]) is allowed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no token in it"),
        ("# nobody\n", "no token in it"),
        (line("shop", FIRST) + "shop:s3cret\n", "line 2 is not NAME:SHA256"),
        ("s3cret-token-as-it-is-s3cret-token-as-it-is\n", "line 1 is not"),
        (line("shop", FIRST)[:-2], "line 1 is not"),
        (line("shop", FIRST).upper(), "line 1 is not"),
        (line("s hop", FIRST), "line 1 is not"),
        (line("shop", ""), "hash of an empty token"),
        ("\x00" * 100, "line 1 is not"),
        (line("shop", FIRST) * 1000, "more than 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_taken(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        Tokens(path)
    assert "s3cret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        Tokens(tmp_path / "tokens")


def test_a_changed_file_is_taken_and_a_bad_one_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[int] = []
    tokens = Tokens(path, lambda: errors.append(1))
    first, second = f"Bearer {FIRST}".encode(), f"Bearer {SECOND}".encode()
    logging.getLogger("higr.serving").propagate = True
    with caplog.at_level(logging.INFO, "higr.serving"):
        replaced(path, line("shop", SECOND))
        assert (tokens.allow([first]), tokens.allow([second])) == (False, True)
        for bad in ("", f"shop:{FIRST}", line("shop", FIRST)[:20]):
            replaced(path, bad)
            assert (tokens.allow([first]), tokens.allow([second])) == (False, True)
        path.unlink()
        assert tokens.allow([second])
        assert len(errors) == 4
        path.write_text(line("shop", FIRST))
        assert (tokens.allow([first]), tokens.allow([second])) == (True, False)
    assert len(errors) == 4
    for secret in (FIRST, SECOND, line("shop", FIRST)[5:25], line("shop", SECOND)[5:25]):
        assert secret not in caplog.text


def test_a_secret_as_kubernetes_mounts_it(tmp_path: Path) -> None:
    """A link to a link to a folder that is replaced as a whole."""
    for version, token in (("1", FIRST), ("2", SECOND)):
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "tokens").write_text(line("shop", token))
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "tokens").symlink_to("..data/tokens")
    tokens = Tokens(tmp_path / "tokens")
    assert tokens.allow([f"Bearer {FIRST}".encode()])
    (tmp_path / "..new").symlink_to("..2")
    os.replace(tmp_path / "..new", tmp_path / "..data")  # noqa: PTH105
    assert tokens.allow([f"Bearer {SECOND}".encode()])
    assert not tokens.allow([f"Bearer {FIRST}".encode()])


def test_the_token_that_is_shown(tmp_path: Path) -> None:
    path, errors = tmp_path / "token", []
    path.write_text(FIRST + "\n")
    own = OwnToken(path, lambda: errors.append(1))
    assert own.header == f"Bearer {FIRST}"
    replaced(path, SECOND)
    assert own.header == f"Bearer {SECOND}"
    replaced(path, "short")
    assert own.header == f"Bearer {SECOND}"
    assert errors == [1]


@pytest.mark.parametrize(
    "text", ["", "s3cret", "s3cret " * 10, "s3cret" * 4 + "\n" + "s3cret" * 4, "s3crét" * 9]
)
def test_what_is_no_token_to_show(tmp_path: Path, text: str) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(InputError, match="16 to 1024 printable") as raised:
        read_token(tmp_path / "token")
    assert "s3cr" not in str(raised.value)
