"""`aiida-qagenai process cost`: what a process cost, job by job or in sums."""

from __future__ import annotations

from aiida_qagenai.cli.groups import Noun
from aiida_qagenai.cli.loaders import load_process
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FORMAT, PROCESS, option

__all__ = ('process',)

process = Noun('process', help='Inspect processes.')
COLUMNS = columns('core_hours: core h, wall_seconds: wall s, memory_mb: largest MB')
SUMS = columns('process, what, jobs, failed') | COLUMNS
JOBS = columns('pk, path, what, exit_status: exit status, cached') | COLUMNS


@process.command()
@PROCESS
@option('--jobs', is_flag=True, help='One row per job instead of sums.')
@FORMAT
def cost(process: str, jobs: bool, fmt: str) -> None:
    """Show the cost of a process and its jobs.

    Core hours, wall time and memory include the jobs that failed.
    """
    from aiida_qagenai.queries.costs import costs, sum_costs

    table = costs(load_process(process).pk)
    frame = table if jobs else sum_costs(table)
    total = f'{len(table)} jobs, {table["core_hours"].sum():.3f} core hours'
    print_frame(frame, fmt, JOBS if jobs else SUMS, footer=total)
