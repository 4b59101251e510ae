"""The sessions of playgrounds: orders, pauses, ends, and what a request may hold."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from actlab.errors import BadInput
from actlab.train.playground.state import Layer, State, query_of
from actlab.train.playground.training import Training
from actlab.web import playground_sessions
from actlab.web.application import application
from actlab.web.feeds import Feeds
from actlab.web.playground_sessions import MOST_SESSIONS, Session, Sessions, feed_of
from actlab.web.workbench import Workbench

PAUSED = State(paused=True, layers=(Layer(4),), pace=0)


@pytest.fixture
def sessions() -> Iterator[Sessions]:
    found = Sessions(Feeds())
    yield found
    found.close()


def eventually(condition: Callable[[], bool], *, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def frame(session: Session) -> dict[str, Any]:
    value: dict[str, Any] = session.feed.value
    return value


def at_rest(session: Session, step: int) -> dict[str, Any]:
    eventually(lambda: frame(session)["step"] == step and not frame(session)["playing"])
    return frame(session)


def test_steps_are_those_of_the_training(sessions):
    session = sessions.get(sessions.start(PAUSED))
    assert frame(session)["step"] == 0
    session.step(250)
    session.step()
    found = at_rest(session, 251)
    training = Training(PAUSED)
    training.advance(251)
    assert found["train"] == training.losses().train


def test_two_sessions_of_one_state_are_equal_to_the_bit(sessions):
    both = [sessions.get(sessions.start(PAUSED)) for _ in range(2)]
    for session in both:
        session.step(100)
    one, other = (at_rest(session, 100) for session in both)
    assert one == other


def test_it_plays_until_paused_and_returns_to_the_start(sessions):
    session = sessions.get(sessions.start(PAUSED))
    first = frame(session)
    session.play()
    eventually(lambda: frame(session)["step"] > 50)
    session.pause()
    eventually(lambda: not frame(session)["playing"])
    step = frame(session)["step"]
    time.sleep(0.2)
    assert frame(session)["step"] == step
    session.reset()
    assert at_rest(session, 0) == first


def test_the_pace_is_kept(sessions):
    session = sessions.get(sessions.start(State(pace=50)))
    time.sleep(1.0)
    session.pause()
    eventually(lambda: not frame(session)["playing"])
    assert 10 <= frame(session)["step"] <= 75


def test_a_lap_ends_by_itself(sessions, monkeypatch):
    monkeypatch.setattr(playground_sessions, "LAP", 30)
    session = sessions.get(sessions.start(PAUSED))
    session.play()
    at_rest(session, 30)
    session.play()
    at_rest(session, 60)


def test_a_training_that_diverges_pauses_and_can_be_reset(sessions):
    session = sessions.get(
        sessions.start(State(data="function", f="x^3", rate=10.0, pace=0, layers=(Layer(8, "relu"),)))
    )
    eventually(lambda: frame(session)["diverged"] and not frame(session)["playing"])
    session.reset()
    assert not at_rest(session, 0)["diverged"]


def test_a_session_without_listeners_pauses_and_then_ends(sessions, monkeypatch):
    monkeypatch.setattr(playground_sessions, "PAUSED_AFTER", 0.2)
    name = sessions.start(State(pace=10))
    session = sessions.get(name)
    eventually(lambda: not frame(session)["playing"])
    monkeypatch.setattr(playground_sessions, "CLOSED_AFTER", 0.3)
    eventually(lambda: not session.is_open)
    with pytest.raises(BadInput, match="this training has ended"):
        sessions.get(name)


def test_the_session_unheard_for_longest_makes_place(sessions):
    names = [sessions.start(PAUSED) for _ in range(MOST_SESSIONS)]
    for name in names[1:]:
        sessions.get(name).feed.listeners = 1
    latest = sessions.start(PAUSED)
    assert list(sessions.open) == [*names[1:], latest]
    sessions.get(latest).feed.listeners = 1
    with pytest.raises(BadInput, match="24 trainings are open in other tabs"):
        sessions.start(PAUSED)


def test_closing_ends_every_thread():
    feeds = Feeds()
    sessions = Sessions(feeds)
    names = [sessions.start(State(pace=0)) for _ in range(3)]
    sessions.close()
    assert all(feeds.get(feed_of(name)) is None for name in names)
    eventually(lambda: not any(thread.name == "playground" for thread in threading.enumerate()))


def test_a_state_that_cannot_be_trained_leaves_nothing(sessions):
    with pytest.raises(BadInput, match="it must be finite"):
        sessions.start(State(data="function", f="log(x)"))
    assert not sessions.open


@pytest.fixture
def client() -> Iterator[TestClient]:
    bench = Workbench()
    with TestClient(application(bench), base_url="http://127.0.0.1:8421", client=("127.0.0.1", 1)) as found:
        found.cookies.set("actlab-8421", bench.token)
        found.get(f"/?token={bench.token}")
        yield found


def post(client: TestClient, path: str, value: Any = None) -> Any:
    return client.post(f"/api/playground{path}", json={} if value is None else value)


def test_requests_start_order_and_close(client):
    found = post(client, "", {"state": query_of(PAUSED)}).json()
    assert found["feed"] == f"playground/{found['id']}"
    assert found["state"] == query_of(PAUSED)
    assert len(found["points"]["train"]) == 200
    for verb, value in (
        ("play", None),
        ("pause", None),
        ("step", {"steps": 5}),
        ("pace", {"pace": 9}),
        ("reset", None),
    ):
        assert post(client, f"/{found['id']}/{verb}", value).status_code == 200
    assert post(client, f"/{found['id']}/close").status_code == 200
    assert post(client, f"/{found['id']}/play").json()["error"].startswith("this training has ended")


@pytest.mark.parametrize(
    ("path", "value", "decisive"),
    [
        ("", {"state": "rate=x"}, "rate must be a number"),
        ("", {"state": 7}, "state must be a query string"),
        ("", ["state"], "must hold a JSON object"),
        ("", {"state": "layer=8:none:default:relu.py:f"}, "layer 1"),
        ("/nobody/play", {}, "this training has ended"),
    ],
)
def test_wrong_requests_are_refused_in_a_sentence(client, path, value, decisive):
    answer = post(client, path, value)
    assert answer.status_code == 400
    assert decisive in answer.json()["error"]


def test_wrong_orders_are_refused(client):
    name = post(client, "", {"state": query_of(PAUSED)}).json()["id"]
    assert "from 1 to 1,000; got 5000" in post(client, f"/{name}/step", {"steps": 5000}).json()["error"]
    assert "takes play, pause" in post(client, f"/{name}/fly").json()["error"]


def test_a_formula_is_checked_and_a_program_handed_out(client):
    assert client.get("/api/playground/activation", params={"f": "swish"}).json() == {"label": "swish(beta=1)"}
    assert "tanh" in client.get("/api/playground/activation", params={"f": "tahn"}).json()["error"]
    text = client.get("/api/playground/program", params={"state": query_of(State()), "steps": "50"}).text
    compile(text, "playground.py", "exec")
    assert "range(1, 50 + 1)" in text
    assert "steps must be" in client.get("/api/playground/program", params={"steps": "0"}).json()["error"]


def test_an_uploaded_table_is_trained_on(client):
    rows = b"a,b,c\n" + b"".join(f"{at},{at % 5},{at % 2}\n".encode() for at in range(40))
    table = client.post("/api/playground/table?name=t.csv", content=rows).json()
    assert (table["rows"], table["numeric"]) == (40, ["a", "b", "c"])
    state = State(data="table", table=table["digest"], x1="a", x2="b", y="c", paused=True)
    assert post(client, "", {"state": query_of(state)}).json()["points"]["names"] == ["a", "b", "c"]
    assert client.get("/api/playground/choices", params={"table": table["digest"]}).json()["table"] == table
    refused = client.post("/api/playground/table?name=t.csv", content=b"a,b\nx,y\n")
    assert "two columns of numbers" in refused.json()["error"]
    gone = query_of(State(data="table", table="0" * 16, x1="a", x2="b", y="c"))
    assert "upload its file again" in post(client, "", {"state": gone}).json()["error"]


def test_the_table_of_the_command_line_is_offered(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_bytes(b"a,b,c\n" + b"".join(f"{at},{at % 5},{at % 2}\n".encode() for at in range(40)))
    bench = Workbench(data=file)
    with TestClient(application(bench), base_url="http://127.0.0.1:8421") as client:
        client.get(f"/?token={bench.token}")
        assert client.get("/api/playground/choices").json()["table"]["name"] == "mine.csv"


def test_ten_tabs_at_once_all_train(sessions):
    found = [sessions.get(sessions.start(State(pace=0))) for _ in range(10)]
    for session in found:
        eventually(lambda session=session: frame(session)["step"] >= 50)
