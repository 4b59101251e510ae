"""Passwords of addresses are shown nowhere."""

from __future__ import annotations

import pytest

from actlab.study.secrets import command_without_secrets, without_secrets, without_secrets_of
from actlab.verbs.comparing import provenance

ADDRESSES = (
    "postgresql://me:hush@host/db",
    "postgresql+psycopg://me:hush@host:5432/db",
    "postgresql://:hush@host/db",
    "postgresql://me:h%40hush%2F@host/db",
    "postgresql://me:a@hush/b@host/db",
    "postgresql://host/db?user=me&password=hush",
    "postgresql://me@host/db?sslmode=require&sslpassword=hush&x=1",
)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("form", ["--store {}", "--store={}", "--store '{}'"])
def test_a_command_shows_no_password(address: str, form: str) -> None:
    command = f"actlab advise net.py:task {form.format(address)} --note a@b"
    for text in (command_without_secrets(command), without_secrets(address), provenance(command)["Command"]):
        assert "hush" not in text
        assert "***" in text
    assert command_without_secrets(command).endswith("--note a@b")


def test_an_address_without_a_password_stays() -> None:
    for text in ("actlab-runs.db", "sqlite:///runs.db", "postgresql://me@host/db", "postgresql://host:5432/db?a=b"):
        assert without_secrets(text) == text
        assert command_without_secrets(f"actlab advise --store {text}") == f"actlab advise --store {text}"


def test_the_end_of_a_password_that_is_not_encoded_is_hidden_too() -> None:
    text = "failed to resolve host 'end@host'"
    assert without_secrets_of("postgresql://me:start@end@host/db", text) == "failed to resolve host '***@host'"
