"""Sites as short text, the same wherever they are shown."""

from __future__ import annotations

from pathlib import Path

from actlab.sites.site import Site, Spot, Unseen

COLUMNS = ("place", "activation", "spelling", "file:line", "input", "dtype", "calls")


_ACTLAB = Path(__file__).parents[1]


def name_text(name: str, limit: int = 40) -> str:
    """Return a name on one line, without unprintable characters, cut to `limit` characters.

    Example:
        >>> name_text("my\\nunit\\x00", limit=40), name_text("x*sigmoid(1.702*x)", limit=10)
        ('my unit\ufffd', 'x*sigmoid…')
    """
    line = " ".join(name.split())
    shown = "".join(character if character.isprintable() else "\ufffd" for character in line)
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"


def end_text(text: str, limit: int) -> str:
    """Return a text on one line, cut in front to `limit` characters.

    Example:
        >>> end_text("encoder.layers.11.mlp.act[0]", 12)
        '….mlp.act[0]'
    """
    line = name_text(text, max(len(text), limit))
    return line if len(line) <= limit else "…" + line[1 - limit :]


def shown_path(file: str, *, root: Path) -> str:
    """Return a file's path relative to the folder `root` or to the installed packages; elsewhere the whole path.

    Example:
        >>> [shown_path(file, root=Path("/data")) for file in ("/data/net/model.py", "<stdin>", "/else/net.py")]
        ['net/model.py', '<stdin>', '/else/net.py']
        >>> shown_path("/usr/lib/site-packages/timm/layers/mlp.py", root=Path("/data"))
        'timm/layers/mlp.py'
    """
    path = Path(file)
    if path.is_absolute() and path.is_relative_to(root):
        return path.relative_to(root).as_posix()
    if path.is_relative_to(_ACTLAB):
        return path.relative_to(_ACTLAB.parent).as_posix()
    installed = path.as_posix().rpartition("/site-packages/")[2]
    return installed if installed != path.as_posix() else file


def line_phrase(line: int) -> str:
    """Return a line of code in brackets behind a call; nothing if the line is unknown.

    Example:
        >>> line_phrase(4), line_phrase(0)
        (' (line 4)', '')
    """
    return f" (line {line})" if line else ""


def line_text(file: str, line: int, *, root: Path) -> str:
    """Return a line of code as `net.py:4`; the file alone if the line is unknown.

    Example:
        >>> line_text("net.py", 4, root=Path("/")), line_text("net.py", 0, root=Path("/"))
        ('net.py:4', 'net.py')
    """
    path = shown_path(file, root=root)
    return f"{path}:{line}" if line >= 1 else path


def place_name(site: Site | Spot) -> str:
    """Return the place of a site in the model, which `swap` takes as a key: `encoder.act`, `encoder.act[1]`."""
    return site.path if site.path and site.index == 0 else site.name


def place_phrase(place: str, spelling: str) -> str:
    """Return a place and a spelling for a sentence.

    Example:
        >>> place_phrase("3", "nn.Softmax"), place_phrase("model[1]", "torch.softmax")
        ('module 3 (nn.Softmax)', 'in model[1] (torch.softmax)')
    """
    kind = "in" if not spelling.startswith("nn.") else "modules" if ", " in place else "module"
    return f"{kind} {place} ({name_text(spelling)})"


def activation_text(site: Site) -> str:
    """Return the activation with its parameters, such as `leaky_relu(negative_slope=0.2)`."""
    shown = (
        f"{name}={value:g}" if isinstance(value, int | float) else f"{name}=…"
        for name, value in site.parameters.items()
    )
    values = ", ".join(shown)
    return f"{site.activation}({values})" if values else site.activation


def site_cells(site: Site, *, root: Path) -> tuple[str, ...]:
    """Return a site's row of a table with the headings `COLUMNS`."""
    line = line_text(site.file, site.line, root=root)
    shape = "x".join(map(str, site.shape))
    return place_name(site), activation_text(site), site.spelling, line, shape, site.dtype, str(site.calls)


def unseen_text(unseen: Unseen, *, place: str = "") -> str:
    """Return what could not be inspected and why, at its path or at another description of the place."""
    return f"{place or unseen.path or 'model'} ({name_text(unseen.what, 60)}): {unseen.why}"
