"""Every activation of the labelled programs, replaced in the text: the program applies the new one, and only there."""

from __future__ import annotations

import importlib
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actlab.nn.user_lines import noting_lines
from actlab.remedy.edit import ReplaceActivation
from actlab.remedy.patch import patched
from actlab.sites.find import Sites, sites
from actlab.sites.site import Site
from corpus.everything import programs
from corpus.program import Program

CORPUS = Path(__file__).parents[2] / "corpus"
AXIS = {"softmax": "log_softmax", "log_softmax": "softmax"}
NEW = "elu"
ALPHA = 0.7
Key = tuple[str, int, str]

# Random in what it applies; distributions whose scale must be positive, which the new activation is not.
LEFT_OUT = {"stochastic_depth", "softplus_log_variance", "softplus_log_variance_right"}
PROGRAMS = {program.name: program for program in programs() if program.name not in LEFT_OUT}


def found_in(program: Program) -> Sites:
    with noting_lines(), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # PyTorch's: its fused path knows only relu and gelu
        case = program.build()
    inputs, _ = case.data(0)
    return sites(case.model, *(inputs if isinstance(inputs, tuple) else (inputs,)))


def key_of(site: Site) -> Key:
    return Path(site.file).name, site.line, site.spelling


def new_of(site: Site) -> str:
    return AXIS.get(site.activation, NEW)


def edits_of(found: Sites) -> dict[Key, ReplaceActivation]:
    """One edit for each text that applies an activation, whichever of its values that has."""
    edits = {}
    for site in found:
        if Path(site.file).parent == CORPUS:
            arguments = {} if site.activation in AXIS else {"alpha": ALPHA}
            edits.setdefault(
                key_of(site),
                ReplaceActivation(site.file, site.line, site.spelling, new_of(site), arguments, everywhere=True),
            )
    return edits


@contextmanager
def another_corpus(folder: Path) -> Iterator[None]:
    """Import the corpus of another folder within the block."""
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.partition(".")[0] == "corpus"}
    sys.path.insert(0, str(folder.parent))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder.parent))
        for name in [name for name in sys.modules if name.partition(".")[0] == "corpus"]:
            del sys.modules[name]
        sys.modules.update(kept)


def rebuilt(program: Program, file: str, data: bytes, folder: Path) -> Sites:
    """The sites of the same program with one file of the corpus patched."""
    changed = folder / Path(file).name
    old = changed.read_bytes()
    changed.write_bytes(data)
    try:
        with another_corpus(folder):
            module = importlib.import_module(f"corpus.{Path(program.file).stem}")
            held = importlib.import_module("corpus.everything").made_in(module)
            every = importlib.import_module("corpus.everything").each
            found = next(one for each in held for one in every(each) if one.name == program.name)
            return found_in(found)
    finally:
        changed.write_bytes(old)


def outcome(program: Program, folder: Path) -> Iterator[tuple[Key, str]]:
    """Each text that applies an activation, with what is wrong with its patch, or why there is none."""
    before = found_in(program)
    for key, edit in edits_of(before).items():
        patch = patched([edit])
        if patch.refused:
            yield key, f"refused: {patch.refused[0][1]}"
            continue
        data = patch.data[edit.file]
        shift = data.count(b"\n") - Path(edit.file).read_bytes().count(b"\n")
        after = rebuilt(program, edit.file, data, folder)
        yield key, difference(before, after, key, edit, shift)


def difference(before: Sites, after: Sites, key: Key, edit: ReplaceActivation, shift: int) -> str:
    """What is wrong with the sites of the patched program; empty if nothing is."""
    if len(before) != len(after):
        return f"{len(before)} sites became {len(after)}"
    for old, new in zip(before, after, strict=True):
        name, line, _ = key_of(old)
        line += shift if name == key[0] else 0
        is_of_both = "nn.Transformer(" in line_of(old)  # whose one argument is for encoder and decoder
        is_meant = key_of(old) == key or (is_of_both and key_of(old)[:2] == key[:2])
        wanted = edit.activation if is_meant else old.activation
        if (new.activation, Path(new.file).name, new.line) != (wanted, name, line):
            return f"{old.activation} at {name}:{old.line} became {new.activation} at line {new.line}, not {line}"
    return ""


def line_of(site: Site) -> str:
    return Path(site.file).read_text(encoding="utf-8").splitlines()[site.line - 1] if site.file else ""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the corpus."""
    return Path(shutil.copytree(CORPUS, tmp_path_factory.mktemp("patched") / "corpus"))


def report(names: list[str], folder: Path) -> tuple[list[str], list[str], int]:
    wrong, refused, count = [], [], 0
    for name in names:
        for key, text in outcome(PROGRAMS[name], folder):
            count += 1
            if text.startswith("refused"):
                refused.append(f"{name}: {key}: {text}")
            elif text:
                wrong.append(f"{name}: {key}: {text}")
    return wrong, refused, count


def test_a_few_programs(folder):
    names = [*sorted(PROGRAMS)[::120], "transformer_translation"]
    wrong, refused, count = report(names, folder)
    assert not wrong, "\n".join(wrong)
    assert len(refused) < 0.4 * count


@pytest.mark.slow
def test_all_programs(folder):
    wrong, refused, count = report(sorted(PROGRAMS), folder)
    assert not wrong, "\n".join(wrong)
    assert len(refused) < 0.2 * count
