"""What a scheduler would get for a job, without the job.

Upstream: `metadata.dry_run` writes the script into a folder `submit_test` of the working directory, together with all
inputs, and returns no text.
"""

from __future__ import annotations

import typing as t
from pathlib import Path

from aiida.common.folders import SandboxFolder
from aiida.engine import CalcJob
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

__all__ = ('submit_script',)


def submit_script(
    process_class: type[CalcJob], inputs: dict[str, t.Any], options: dict[str, t.Any] | None = None
) -> str:
    """Return the script that AiiDA would hand to the scheduler of the code; nothing is stored or copied anywhere.

    Blank lines are left out, and ``PK`` stands for the number of the job.

    :param options: scheduler options, as ``metadata.options``.
    :raises ValueError: if the inputs are refused, as on submission.
    """
    metadata = {'dry_run': True, 'store_provenance': False, 'options': options or {}}
    runner = get_manager().create_runner(communicator=None)
    process = instantiate_process(runner, process_class, **inputs, metadata=metadata)
    with SandboxFolder() as folder:
        process.presubmit(folder)
        path = Path(folder.get_abs_path(process.options.submit_script_filename))
        lines = [line for line in path.read_text(encoding='utf8').splitlines() if line.strip()]
    return '\n'.join(lines).replace('aiida-None', 'aiida-PK') + '\n'
