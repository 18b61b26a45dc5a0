"""The numerical environment of a run: device, precision, threads, seeds, versions and memory."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib.metadata
import os
import platform
import resource

import torch

import aiida_qagenai
from aiida_qagenai.common.errors import InvalidInputError, QagenaiError
from aiida_qagenai.exchange.tasks import RuntimeConfig

__all__ = ('NonFiniteError', 'Runtime', 'package_versions', 'peak_memory_mb', 'setup')

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_DTYPES = {'float32': torch.float32, 'float64': torch.float64}


class NonFiniteError(QagenaiError, ArithmeticError):
    """A loss, weight or prediction became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Where and how precisely to compute; ``seed`` is the root of all random streams."""

    device: torch.device
    dtype: torch.dtype
    seed: int

    def generator(self, stream: int) -> torch.Generator:
        """Return a seeded CPU generator; every ``stream`` is independent.

        Random numbers are always drawn on the CPU, so that CPU and GPU runs see the same ones.
        """
        return torch.Generator().manual_seed((self.seed * 1_000_003 + stream) % 2**63)


def setup(config: RuntimeConfig) -> Runtime:
    """Fix threads, deterministic kernels and precision of this process, and return the runtime.

    :raises InvalidInputError: if the requested device does not exist.
    """
    if config.device == 'cuda' and not torch.cuda.is_available():
        message = 'device `cuda` was requested, but torch finds no CUDA device: use `cpu`'
        raise InvalidInputError(message)
    _keep_freed_memory()
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.set_num_threads(config.num_threads)
    torch.use_deterministic_algorithms(True, warn_only=config.device == 'cuda')
    # Filling fresh memory guards against reading it uninitialised; we never do, and it costs time.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(config.seed)
    return Runtime(torch.device(config.device), _DTYPES[config.dtype], config.seed)


def _keep_freed_memory() -> None:
    """Let glibc reuse freed arrays: by default every array above 128 kB is mapped and page-faulted in anew."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL('libc.so.6')
        for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD):
            libc.mallopt(parameter, 2**30)


def package_versions() -> dict[str, str]:
    """Return the versions that decide the numbers, without importing anything more."""
    versions = {'python': platform.python_version(), 'aiida_qagenai': aiida_qagenai.__version__}
    for name in ('torch', 'e3nn', 'numpy'):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = 'not installed'
    return versions


def device_name(device: torch.device) -> str:
    """Return the name of the hardware behind ``device``."""
    if device.type == 'cuda':
        return str(torch.cuda.get_device_name(device))
    return f'cpu ({platform.machine()})'


def peak_memory_mb(device: torch.device | None = None) -> float:
    """Return the largest resident memory so far (on a GPU, of its allocator), MB."""
    if device is not None and device.type == 'cuda':
        return float(torch.cuda.max_memory_allocated(device)) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
