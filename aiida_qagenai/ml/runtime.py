"""The numerical environment of a run: device, precision, threads, seeds, versions and memory."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import importlib.metadata
import os
import platform
import sys

import numpy as np
import torch
from numpy.typing import NDArray

import aiida_qagenai
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.tasks import RuntimeConfig

__all__ = ('Runtime', 'installed_versions', 'package_versions', 'peak_memory_mb', 'setup')

# malloc.h
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_DTYPES = {'float32': torch.float32, 'float64': torch.float64}


@dataclasses.dataclass(frozen=True)
class Runtime:
    """Where and how precisely to compute; ``seed`` is the root of all random streams."""

    device: torch.device
    dtype: torch.dtype
    seed: int

    def tensor(self, values: NDArray[np.float64]) -> torch.Tensor:
        """Return ``values`` on the device and in the precision of the run."""
        return torch.as_tensor(values, dtype=self.dtype, device=self.device)

    def generator(self, stream: int, *, on_device: bool = False) -> torch.Generator:
        """Return a seeded generator; every ``stream`` is independent.

        :param on_device: draw on the device, which spares training a transfer; on the CPU otherwise, so that sampling
            sees the same numbers on any device.
        """
        device = self.device if on_device else torch.device('cpu')
        return torch.Generator(device).manual_seed((self.seed * 1_000_003 + stream) % 2**63)


def setup(config: RuntimeConfig) -> Runtime:
    """Fix threads, deterministic kernels and precision of this process, and return the runtime.

    :raises InvalidInputError: if the requested device does not exist.
    """
    if config.device == 'cuda' and not torch.cuda.is_available():
        raise InvalidInputError('device `cuda` was requested, but torch finds no CUDA device: use `cpu`')
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


def package_versions(device: torch.device | None = None) -> dict[str, str]:
    """Return the versions that decide the numbers, without importing anything more, and the hardware of ``device``."""
    versions = {'python': platform.python_version(), 'aiida_qagenai': aiida_qagenai.__version__}
    versions |= installed_versions('torch', 'numpy')
    if device is not None:
        cuda = device.type == 'cuda'
        versions['device'] = torch.cuda.get_device_name(device) if cuda else f'cpu ({platform.machine()})'
    return versions


def installed_versions(*names: str) -> dict[str, str]:
    """Return the version of each named package, or that it is not installed."""
    versions = dict.fromkeys(names, 'not installed')
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def peak_memory_mb(device: torch.device | None = None) -> float:
    """Return the largest resident memory so far (on a GPU, of its allocator), MB."""
    if device is not None and device.type == 'cuda':
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == 'win32':
        import psutil

        return psutil.Process().memory_info().peak_wset / 1e6
    import resource

    # The unit of `ru_maxrss`: bytes on macOS, KiB on Linux.
    unit = 1 if sys.platform == 'darwin' else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
