"""The front page: the choice between the pages, and a search over the catalog."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from actlab.catalog.index import CATALOG
from actlab.web.shell import html
from actlab.web.workbench import Page, Workbench

# What each page is for, in a sentence.
SENTENCES = (
    ("/function", "Function", "Look at any activation, or a formula that you type: curve, derivatives, facts, code."),
    ("/network", "My network", "See what each activation of a network receives, gives and gets back as it trains."),
    ("/depth", "Depth", "See what a deep network does to its signal, where it may start, and where yours stands."),
    (
        "/fix",
        "Fix",
        "Repair what is wrong with a training: changes tried on a copy, kept if proved, handed over as a diff.",
    ),
    ("/playground", "Playground", "Train a small network on points in the plane and watch each unit."),
    ("/compare", "Compare", "Compare activations on a task, fairly and with intervals, and read the verdict."),
    ("/lessons", "Lessons", "Twelve lessons of ten minutes, from what a neuron computes to choosing honestly."),
    ("/questions", "Questions", "Short answers to what people ask most, each with a figure to move."),
)


def page(bench: Workbench) -> Page:
    """Return the front page."""

    def front(request: Request) -> Response:
        entries = [
            {"name": name, "summary": act.summary, "words": " ".join((name, *act.aliases, act.summary, act.family))}
            for name, act in sorted(CATALOG.items())
        ]
        return html("front.html.j2", title="actlab", sentences=SENTENCES, entries=entries)

    return Page([Route("/", front)])
