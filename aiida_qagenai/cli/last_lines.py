"""How far a job is, from the last line of its output on this machine."""

from __future__ import annotations

import re
import typing as t
from pathlib import Path

if t.TYPE_CHECKING:
    from aiida.orm import CalcJobNode

__all__ = ('last_line',)

TAIL = 20_000
"""Bytes at the end of an output that are read."""


def last_line(job: CalcJobNode) -> str:
    """Return the last line that says how far a job on this machine is; nothing for one elsewhere."""
    folder = job.get_remote_workdir()
    if folder is None or job.computer.transport_type != 'core.local':
        return ''
    path = Path(folder) / (job.get_option('output_filename') or job.process_class.FILENAME_STDOUT)
    try:
        with path.open('rb') as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().decode('utf8', errors='replace').splitlines()
    except OSError:
        return ''
    return next((text for line in reversed(lines) if (text := _in_words(line))), '')


def _in_words(line: str) -> str:
    """Return what a line of output says about how far the job is, empty if it says nothing."""
    if ': step ' in line or re.match(r'(fragment|ionic step) \d', line):
        return line.split(' elapsed', maxsplit=1)[0].strip()
    if found := re.match(r'cycle *= *(\d+) +E(_corr)?\(?(\w*)\)? *= *(\S+)', line):
        number, correlation, method, energy = found.groups()
        what = f'{method} cycle {number}, correlation energy' if correlation else f'SCF cycle {number}, energy'
        return f'{what} {float(energy):.6f} Ha'
    return ''
