"""Who may ask the server, and what it answers to the others."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from actlab.errors import BadInput
from actlab.web.gate import MOST_BYTES
from actlab.web.loopback import bound
from actlab.web.workbench import Workbench
from web_server import serving


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(Workbench(token="key")) as found:
        yield found


def asked(address: str, path: str, *, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    where = urlsplit(address)
    line = http.client.HTTPConnection("127.0.0.1", where.port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    line.request(method, path, headers={"host": where.netloc, "cookie": f"actlab-{where.port}=key", **named})
    answer = line.getresponse()
    answer.text = answer.read().decode()  # type: ignore[attr-defined]  # kept for the asserts
    line.close()
    return answer


def test_the_first_address_becomes_a_strict_cookie_and_loses_its_token(address):
    answer = asked(address, "/?token=key", cookie="")
    assert answer.status == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_the_rest_of_an_address_survives_the_redirect(address):
    answer = asked(address, "/function?f=x%2B1&f=gelu&token=key", cookie="")
    assert answer.headers["location"] == "/function?f=x%2B1&f=gelu"


def test_a_browser_with_the_cookie_is_let_in(address):
    assert asked(address, "/").status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"cookie": ""},
        {"cookie": "actlab-1=key"},
        {"host": "evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/", "/api/function?f=gelu", "/static/page.js", "/nowhere"])
def test_strangers_are_refused(address, path, headers):
    answer = asked(address, path, **headers)
    assert answer.status == 403
    assert "error" in answer.text


def test_a_wrong_token_is_refused(address):
    assert asked(address, "/?token=kez", cookie="").status == 403


def test_a_program_may_send_the_token_with_each_question(address):
    answer = asked(address, "/api/function?f=gelu&token=key", cookie="")
    assert answer.status == 200
    assert '"name":"gelu"' in answer.text


def test_a_request_that_is_too_large_is_refused(address):
    assert asked(address, "/", method="POST", content_length=str(MOST_BYTES + 1)).status == 413


def test_every_answer_forbids_what_is_foreign(address):
    for path in ("/", "/static/page.js", "/nowhere", "/api/function?f=gelu"):
        policy = asked(address, path).headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/static/../answers.py", "/static/%2e%2e/answers.py", "/static/..%2fanswers.py"])
def test_only_static_files_are_served(address, path):
    assert asked(address, path).status == 404


@pytest.mark.parametrize(
    ("formula", "part"),
    [("", "no formula"), ("gel+", "cannot read the formula"), ("own.py:name", "runs no file"), ("swsh", "swish")],
)
def test_a_wrong_formula_is_answered_with_a_sentence(address, formula, part):
    from urllib.parse import quote

    answer = asked(address, f"/api/function?f={quote(formula)}")
    assert answer.status == 400
    assert part in answer.text


def test_what_fails_is_a_sentence_on_the_page_and_one_line_in_the_log(address, monkeypatch, capfd):
    def fail(formula):
        raise RuntimeError("a bug\nof ours")

    monkeypatch.setattr("actlab.verbs.show", fail)
    answer = asked(address, "/api/function?f=gelu")
    assert answer.status == 500
    assert "a bug" in answer.text
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("GET /api/function: RuntimeError: a bug")


def test_a_port_in_use_is_named():
    with bound(0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"--port {port} cannot be used: Address already in use"):
            bound(port)
    with pytest.raises(BadInput, match="--port must be from 0"):
        bound(70000)


def test_a_person_without_the_cookie_reads_a_sentence(address):
    answer = asked(address, "/lessons", cookie="", accept="text/html,*/*")
    assert answer.status == 403
    assert answer.text.startswith("Open the address that `actlab serve` printed")


@pytest.mark.parametrize("named", ["nofile.py:make_task", "nofile.csv"])
def test_a_file_that_is_not_there_is_named_before_serving(tmp_path, named):
    command = [sys.executable, "-m", "actlab", "serve", named, "--no-browser", "--port", "0"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert f"there is no file '{named.partition(':')[0]}'" in ended.stderr


def test_the_command_prints_one_line_and_ends_with_ctrl_c(tmp_path):
    command = [sys.executable, "-m", "actlab", "serve", "--no-browser", "--port", "0"]
    started = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert started.stdout is not None
    line = started.stdout.readline().strip()
    assert line.startswith("http://127.0.0.1:")
    for _ in range(200):
        try:
            answer = asked(line, "/?" + line.partition("?")[2], cookie="")
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            break
    assert answer.status == 303
    started.send_signal(signal.SIGINT)
    out, error = started.communicate(timeout=20)
    assert (out, error) == ("", "")
    assert started.returncode == 0
    assert os.listdir(tmp_path) == []
