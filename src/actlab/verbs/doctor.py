"""Say what is installed and what runs."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from typing import Any

from actlab.display.answer import Displayed
from actlab.display.table import Table
from actlab.jsonable import plain

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Package:
    """An optional package.

    Attributes:
        extra: the extra that provides it.
        name: the package.
        wanted: the versions that work, such as `>=2.2`.
        version: the installed version; empty if it is not installed.
        ok: whether the installed version works.
    """

    extra: str
    name: str
    wanted: str
    version: str
    ok: bool


@dataclass(frozen=True)
class Kernels:
    """Whether kernels run on a device.

    Attributes:
        device: the processor, or the GPU.
        ok: whether a kernel ran and agreed with PyTorch.
        detail: what ran, or why not.
    """

    device: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class Doctor(Displayed):
    """What is installed and what runs.

    Attributes:
        versions: of actlab, Python and the core packages.
        packages: the optional packages, by extra.
        kernels: the CPU's, and the GPU's if there is one.
    """

    versions: dict[str, str]
    packages: tuple[Package, ...]
    kernels: tuple[Kernels, ...]

    @property
    def is_well(self) -> bool:
        """Whether the kernels of the CPU run."""
        return self.kernels[0].ok

    @property
    def advice(self) -> tuple[str, ...]:
        """The commands that install what is missing or too old."""
        lacking = dict.fromkeys(package.extra for package in self.packages if not package.ok)
        return tuple(f"pip install --upgrade 'actlab[{extra}]'" for extra in lacking)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        found: dict[str, Any] = plain(self)
        return {**found, "install": list(self.advice)}

    def table(self) -> Table:
        """Return a row for each optional package."""
        rows = tuple((each.extra, each.name, each.version or None, each.wanted, each.ok) for each in self.packages)
        title = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        notes = tuple(f"{each.device}: {each.detail}" for each in self.kernels)
        return Table(title, ("extra", "package", "version", "wanted", "works"), rows, notes)

    def picture(self) -> None:
        """Return nothing: there is nothing to draw."""
        return

    def lines(self) -> list[str]:
        """Return versions, kernels, extras, and what to install."""
        wide = max(len(each.extra) for each in self.packages)
        extras = [
            f"  {each.extra:<{wide}}  {each.name} {each.version or 'not installed'}"
            + ("" if each.ok or not each.version else f", wanted {each.wanted}")
            for each in self.packages
        ]
        lacking = ["", "To install what is missing or too old:", *(f"  {line}" for line in self.advice)]
        return [
            ", ".join(f"{name} {number}" for name, number in self.versions.items()),
            "",
            *(f"{'✓' if each.ok else '✗'} {each.device}: {each.detail}" for each in self.kernels),
            "",
            "Extras:",
            *extras,
            *(lacking if self.advice else []),
        ]


def doctor() -> Doctor:
    """Say which versions and extras are installed, and whether the kernels of the CPU and the GPU run.

    Example:
        >>> doctor().kernels[0].ok
        True
    """
    core = ("actlab", "torch", "numpy", "llvmlite")
    versions = {"Python": platform.python_version(), **{name: version(name) for name in core}}
    return Doctor(versions, tuple(_packages()), (_cpu(), _gpu()))


def _packages() -> Iterator[Package]:
    """Yield the optional packages of all extras but `dev`, as the installed distribution lists them."""
    extras = [name for name in metadata("actlab").get_all("Provides-Extra") or () if name != "dev"]
    for line in requires("actlab") or ():
        need, _, condition = line.partition(";")
        for extra in extras:
            if re.search(rf"extra == ['\"]{extra}['\"]", condition):
                name, wanted = re.findall(r"^([\w.-]+)(?:\[.*?\])?(.*)$", need.strip())[0]
                yield _package(extra, name, wanted.strip())


def _package(extra: str, name: str, wanted: str) -> Package:
    try:
        installed = version(name)
    except PackageNotFoundError:
        return Package(extra, name, wanted, "", ok=False)
    least = wanted.removeprefix(">=")
    return Package(extra, name, wanted, installed, ok=not wanted or _numbers(installed) >= _numbers(least))


def _numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version.

    Example:
        >>> _numbers("2.13.0+cpu") >= _numbers("2.6"), _numbers("0.9rc1")
        (True, (0, 9))
    """
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(map(int, found.group().split("."))) if found else ()


def _cpu() -> Kernels:
    import torch

    name = platform.processor() or platform.machine()
    agrees, why = _agrees("cpu")
    threads = torch.get_num_threads()
    return Kernels(f"CPU ({name})", agrees, f"kernels run, {threads} threads" if agrees else f"kernels fail: {why}")


def _gpu() -> Kernels:
    import torch

    if not torch.cuda.is_available():
        return Kernels("GPU", ok=False, detail="PyTorch finds none; its plain operators and the CPU's kernels are used")
    name = torch.cuda.get_device_name()
    try:
        triton = version("triton")
    except PackageNotFoundError:
        return Kernels(f"GPU ({name})", ok=False, detail="triton is not installed: pip install 'actlab[gpu]'")
    agrees, why = _agrees("cuda")
    detail = f"kernels run, triton {triton}" if agrees else f"kernels fail: {why}"
    return Kernels(f"GPU ({name})", agrees, detail)


def _agrees(device: str) -> tuple[bool, str]:
    """Return whether a kernel's mish and its gradient agree with PyTorch's in float64, and why not."""
    import torch

    from actlab.nn.functions import functional

    x = torch.linspace(-8, 8, 65_537, device=device, requires_grad=True)
    try:
        (found,) = torch.autograd.grad((y := functional("mish")(x)).sum(), x)
    except (RuntimeError, OSError) as error:
        return False, str(error).partition("\n")[0]
    exact = x.detach().double().requires_grad_()
    (slope,) = torch.autograd.grad((wanted := torch.nn.functional.mish(exact)).sum(), exact)
    apart = max(float((y - wanted).detach().abs().max()), float((found - slope).abs().max()))
    return apart < 8 * _TOLERANCE, f"mish differs from PyTorch's by {apart:.2g}"
