"""`aiida-qagenai cost`: what a process cost, job by job or in sums."""

from __future__ import annotations

import click

from aiida_qagenai.cli.output import FORMAT, print_frame

__all__ = ('cost',)

COLUMNS = {'core_hours': 'core h', 'wall_seconds': 'wall s', 'memory_mb': 'largest MB'}
SUMS = {'process': 'process', 'what': 'what', 'jobs': 'jobs', 'failed': 'failed', **COLUMNS}
JOBS = {'pk': 'pk', 'path': 'path', 'what': 'what', 'exit_status': 'exit status', 'cached': 'cached', **COLUMNS}


@click.command()
@click.argument('process')
@click.option('--jobs', is_flag=True, help='A row for each job instead of sums.')
@FORMAT
def cost(process: str, jobs: bool, fmt: str) -> None:
    """Sum core hours, wall time and memory of all jobs under the process with a pk or uuid, failed ones included."""
    from aiida_qagenai.queries.costs import costs, sum_costs

    table = costs(int(process) if process.isdigit() else process)
    frame = table if jobs else sum_costs(table)
    total = f'{len(table)} jobs, {table["core_hours"].sum():.3f} core hours'
    print_frame(frame, fmt, JOBS if jobs else SUMS, footer=total)
