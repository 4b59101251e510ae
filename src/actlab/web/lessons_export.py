"""Write the lessons as pages that need neither a server nor a network."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from markupsafe import Markup

from actlab.errors import BadInput
from actlab.lessons import draw
from actlab.lessons.lesson import Lesson, lessons, questions
from actlab.web.lessons_page import Medium, index_values, lesson_values
from actlab.web.shell import rendered, style_sheet

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
FRAME = "lessons_file.html.j2"
_START = "lessons.js"
_OTHER_MODULE = re.compile(r"""(["'])\./(\w+\.js)\1""")


def export(folder: Path) -> Path:
    """Write all lessons and the questions into a folder and return the page to open first.

    Raises:
        BadInput: the folder holds anything else than an earlier export, or cannot be written; it is then unchanged.
    """
    written = pages()
    _check(folder, set(written))
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        for name, text in written.items():
            (part / name).write_text(text, encoding="utf-8")
        if folder.exists():
            for name in written:
                os.replace(part / name, folder / name)
        else:
            part.rename(folder)
    except OSError as error:
        raise BadInput(f"cannot write '{folder}': {error.strerror}; choose another folder.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder / INDEX


def pages() -> dict[str, str]:
    """Return every page by its file name."""
    medium = Medium(
        frame=FRAME,
        address=_address,
        index=INDEX,
        program=lambda text, query: _data_address(text),
        playground=draw.recording,
        has_workbench=False,
    )
    around = {"inside": _inside(), "index": INDEX, "questions": [_address(each) for each in questions()]}
    found = {INDEX: rendered("lessons.html.j2", title="Lessons", **index_values(medium), **around)}
    for lesson in (*lessons(), *questions()):
        found[_address(lesson)] = rendered("lesson.html.j2", **around | lesson_values(lesson, medium))
    return found


def _check(folder: Path, names: set[str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"cannot write '{folder}': it is a file; choose a folder.")
    others = sorted(each.name for each in folder.iterdir() if each.name not in names) if folder.exists() else []
    if others:
        raise BadInput(
            f"'{folder}' must be new, empty or an earlier export of the lessons; it holds '{others[0]}'. Choose another"
            " folder."
        )


def _address(lesson: Lesson) -> str:
    return f"{lesson.slug}.html"


def _inside() -> dict[str, Any]:
    """Return what every page holds so that it loads nothing: style sheets, the plotting library, our modules."""
    vendor = STATIC / "vendor"
    style = (vendor / "uPlot.css").read_text(encoding="utf-8") + bytes(style_sheet().body).decode()
    return {
        "style": Markup(style),
        "plot": Markup((vendor / "uPlot.js").read_text(encoding="utf-8").replace("</script", "<\\/script")),
        "modules": Markup(json.dumps({"imports": modules(_START)})),
        "start": _bare(_START),
    }


def modules(start: str) -> dict[str, str]:
    """Return an import map for a module of the folder `static` and all that it imports.

    A page that was opened from a file may not import other files, but it may import addresses that hold the text of a
    module; those may not import relative paths, so each module gets a bare name.
    """
    found: dict[str, str] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if _bare(name) not in found:
            text = (STATIC / name).read_text(encoding="utf-8")
            waiting += [each[1] for each in _OTHER_MODULE.findall(text)]
            found[_bare(name)] = _data_address(_OTHER_MODULE.sub(lambda each: f'"{_bare(each[2])}"', text))
    return found


def _bare(name: str) -> str:
    return f"actlab/{name}"


def _data_address(text: str) -> str:
    return f"data:text/javascript;base64,{base64.b64encode(text.encode()).decode()}"
