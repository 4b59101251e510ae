"""A page that looks at a training loop from within it, and never disturbs it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import actlab
from actlab.errors import BadInput


def loop(*, steps: int, live: bool | int, during: Any = None) -> tuple[list[float], dict[str, torch.Tensor]]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer, loss, losses = torch.optim.Adam(model.parameters()), nn.CrossEntropyLoss(), []
    with actlab.watch(model, loss=loss, every=3, live=live):
        for step in range(steps):
            optimizer.zero_grad()
            value = loss(model(torch.randn(16, 4)), torch.randint(3, (16,)))
            value.backward()
            optimizer.step()
            losses.append(value.item())
            if during is not None:
                during(step)
    return losses, model.state_dict()


def address(capsys: Any) -> tuple[str, str]:
    found = re.search(r"actlab\.watch: (http://127\.0\.0\.1:\d+)/\?token=(\S+)", capsys.readouterr().err)
    assert found
    return found[1], found[2]


def asked(origin: str, token: str, path: str) -> Any:
    mark = "&" if "?" in path else "?"
    with urllib.request.urlopen(f"{origin}{path}{mark}token={token}", timeout=10) as answer:
        return json.load(answer)


def test_the_page_answers_while_the_training_stays_bit_for_bit_the_same(capsys):
    plain_losses, plain_weights = loop(steps=13, live=False)
    answers: list[Any] = []
    where: list[tuple[str, str]] = []

    def look(step: int) -> None:
        if step == 0:
            where.append(address(capsys))
        answers.append(asked(*where[0], "/api/network"))
        answers.append(asked(*where[0], "/api/network/look?site=1"))

    losses, weights = loop(steps=13, live=0, during=look)
    assert losses == plain_losses
    assert all(torch.equal(weights[name], value) for name, value in plain_weights.items())
    network, seen = answers[-2:]
    assert [site["activation"] for site in network["sites"]] == ["relu", "tanh"]
    assert [site["group"] for site in network["sites"]] == ["hidden", "hidden"]
    # the optimizer's step ends a step when the next pass begins, so that the last one measured is step 9 of 0 ... 12
    assert seen["steps"] == [0, 3, 6, 9]
    assert seen["losses"] == pytest.approx([losses[step] for step in (0, 3, 6, 9)])
    assert sum(seen["site"]["z"]["counts"]) == 16 * 8


def servers(of: int) -> list[int]:
    """The processes that a process has started."""
    return [int(each) for each in Path(f"/proc/{of}/task/{of}/children").read_text().split()]


def is_there(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and ") Z" not in stat.read_text()


def test_nothing_is_left_behind(capsys):
    before, started = set(threading.enumerate()), list[int]()
    old = set(servers(os.getpid()))
    loop(steps=2, live=True, during=lambda step: started.extend(set(servers(os.getpid())) - old))
    origin, token = address(capsys)
    assert set(threading.enumerate()) <= before
    assert len(set(started)) == 1
    assert not is_there(started[0])
    with pytest.raises(OSError, match="refused"):
        asked(origin, token, "/api/network")


def test_nothing_is_left_behind_by_a_loop_that_raises(capsys):
    before = set(threading.enumerate())

    def stop(step: int) -> None:
        raise KeyError("the loop's own error")

    with pytest.raises(KeyError):
        loop(steps=2, live=0, during=stop)
    assert set(threading.enumerate()) <= before


def test_a_browser_that_goes_away_does_not_disturb_the_loop(capsys):
    plain_losses, _ = loop(steps=9, live=False)

    def listen(step: int) -> None:
        if step == 0:
            origin, token = address(capsys)
            stream = urllib.request.urlopen(f"{origin}/api/events?feed=network&token={token}", timeout=10)
            while b"event: change" not in stream.readline():
                pass
            stream.close()

    assert loop(steps=9, live=0, during=listen)[0] == plain_losses


def test_a_page_that_listens_gets_the_findings(capsys):
    where: list[Any] = []

    def listen(step: int) -> None:
        if step == 0:
            origin, token = address(capsys)
            stream = urllib.request.urlopen(f"{origin}/api/events?feed=network&token={token}", timeout=10)
            while b"event: change" not in stream.readline():
                pass
            where.extend([origin, token, stream])
        if step == 8:
            assert "notes" in asked(*where[:2], "/api/network")
            assert asked(*where[:2], "/api/network")["status"]["phase"] == "live"
            where[2].close()

    loop(steps=9, live=0, during=listen)
    assert len(where) == 3
    assert "Traceback" not in capsys.readouterr().err


def test_the_end_of_the_block_ends_a_page_that_still_listens(capsys):
    before, streams = set(threading.enumerate()), []

    def listen(step: int) -> None:
        if step == 0:
            origin, token = address(capsys)
            streams.append(urllib.request.urlopen(f"{origin}/api/events?feed=network&token={token}", timeout=10))

    start = time.monotonic()
    loop(steps=3, live=0, during=listen)
    assert time.monotonic() - start < 8
    assert set(threading.enumerate()) <= before
    streams[0].close()
    assert capsys.readouterr().err == ""


def test_a_process_that_stops_or_ends_does_not_disturb_the_loop(capsys):
    plain_losses, _ = loop(steps=100, live=False)
    old, started, start = set(servers(os.getpid())), list[int](), time.monotonic()

    def disturb(step: int) -> None:
        if step == 0:
            started.extend(set(servers(os.getpid())) - old)
            os.kill(started[0], signal.SIGSTOP)  # it takes no more messages
        if step == 90:
            os.kill(started[0], signal.SIGKILL)
            time.sleep(0.3)

    assert loop(steps=100, live=0, during=disturb)[0] == plain_losses
    assert time.monotonic() - start < 8
    assert capsys.readouterr().err.count("ended; the training goes on") == 1


KILLED = """
import os, signal, time
import torch
from torch import nn
import actlab
print("the program runs", flush=True)
model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
with actlab.watch(model, every=1, live=0) as watched:
    if not os.fork():  # as a worker of a data loader, which holds all files of its parent
        time.sleep(20)
        os._exit(0)
    model(torch.ones(2, 4)).sum().backward()
    watched.step()
    time.sleep(20)
"""


def test_the_page_ends_with_a_training_that_is_killed(tmp_path):
    (tmp_path / "loop.py").write_text(KILLED)  # without a guard: a process that imported it would train again
    with subprocess.Popen([sys.executable, "loop.py"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as training:  # fmt: skip
        assert training.stderr is not None
        assert training.stdout is not None
        origin, _, token = training.stderr.readline().removeprefix("actlab.watch: ").strip().partition("/?token=")
        while not asked(origin, token, "/api/network")["sites"] and training.poll() is None:
            time.sleep(0.1)
        started = servers(training.pid)
        assert len(started) == 2
        training.kill()
        training.wait()
        end = time.monotonic() + 5
        while sum(map(is_there, started)) > 1 and time.monotonic() < end:
            time.sleep(0.05)
        (worker,) = filter(is_there, started)
        os.kill(worker, signal.SIGKILL)
        assert training.stdout.read() == "the program runs\n"


@pytest.mark.parametrize("live", ["yes", -1, 70000, 1.5])
def test_live_must_be_a_port(live):
    with pytest.raises(BadInput, match="live must be True, False or a port"):
        actlab.watch(nn.ReLU(), live=live)


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadInput, match=r"live=\d+ cannot be used"):
            loop(steps=1, live=taken.getsockname()[1])


WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "starlette":
            raise ModuleNotFoundError("no starlette", name="starlette")
sys.meta_path.insert(0, Absent())
import actlab
from torch import nn
from actlab.errors import MissingExtra
actlab.watch(nn.ReLU())
try:
    actlab.watch(nn.ReLU(), live=True)
except MissingExtra as error:
    assert "pip install 'actlab[web]'" in str(error), error
else:
    raise SystemExit("an absent package was found")
"""


def test_without_the_extra_watching_works_and_live_names_it():
    subprocess.run([sys.executable, "-c", WITHOUT], check=True, timeout=60)
