"""This CPU, and whether kernels can be compiled for it."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from functools import cache
from typing import final

from actlab.errors import NoKernels


@final
@dataclass(frozen=True)
class Machine:
    """The CPU that machine code is compiled for.

    Attributes:
        processor: LLVM's name for it.
        features: its instruction sets, as LLVM writes them.
        llvm: LLVM's version.
        scalef: whether it scales by a power of two in one instruction (AVX-512).
    """

    processor: str
    features: str
    llvm: str
    scalef: bool

    @property
    def key(self) -> str:
        """A short name that differs whenever machine code may differ."""
        content = "\n".join([platform.system(), platform.machine(), self.processor, self.features, self.llvm])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@cache
def machine() -> Machine:
    """Return this CPU.

    Raises:
        NoKernels: llvmlite is missing or broken, or the CPU has no fused multiply-add.
    """
    try:
        from llvmlite import binding
    except (ImportError, OSError, AttributeError) as error:
        raise NoKernels(f"llvmlite cannot be loaded ({error})") from error
    try:
        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        features = binding.get_host_cpu_features()
    except (RuntimeError, OSError) as error:
        raise NoKernels(f"llvmlite does not support this CPU ({error})") from error
    arm = platform.machine() in {"arm64", "aarch64"}  # every one of which has a fused multiply-add
    if not (features.get("fma", False) or arm):
        raise NoKernels(f"this CPU ({binding.get_host_cpu_name()}) has no fused multiply-add")
    scalef = bool(features.get("avx512f", False) and features.get("avx512dq", False))
    version = ".".join(str(part) for part in binding.llvm_version_info)
    return Machine(binding.get_host_cpu_name(), features.flatten(), version, scalef)
