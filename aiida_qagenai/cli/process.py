"""`aiida-qagenai process`: what a process cost, job by job or in sums, and whether a calculation can be repeated."""

from __future__ import annotations

import click

from aiida_qagenai.cli.groups import Noun
from aiida_qagenai.cli.loaders import load_code, load_node, load_process
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FORMAT, NODE, PROCESS, option

__all__ = ('process',)

process = Noun('process', help='Inspect and repeat processes.')
COLUMNS = columns('core_hours: core h, wall_seconds: wall s, memory_mb: largest MB')
SUMS = columns('process, what, jobs, failed') | COLUMNS
JOBS = columns('pk, path, what, exit_status: exit status, cached') | COLUMNS

SAME_ENERGY = 1e-6
"""Ha."""


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


@process.command()
@click.argument('calculation', metavar=NODE)
@option('--code', metavar=NODE, help='Code that runs it; by default the one of before.')
@click.pass_context
def repeat(context: click.Context, calculation: str, code: str | None) -> None:
    """Run a calculation of PySCF again and compare the energies.

    The calculation may also be named by an energy that was made of it. Nothing is taken from the cache, and the command
    waits for the end. The exit status is 1 if the energies differ by more than 1e-6 Ha.
    """
    from aiida_qagenai.api.repetition import calculation_of, repeat_calculation

    job = calculation_of(load_node(calculation))
    seconds = job.outputs.results.get('cpu_seconds', None)
    before = f', which took {seconds:.0f} s of a core' if seconds else ''
    click.echo(f'running {job.process_label} {job.pk} again{before}', err=True)
    found = repeat_calculation(job, load_code(code) if code else None)
    click.echo(f'before: {found.before:.9f} Ha (pk {job.pk})\nagain:  {found.again:.9f} Ha (pk {found.node.pk})')
    click.echo(f'change: {found.change:+.1e} Ha')
    if abs(found.change) > SAME_ENERGY:
        context.exit(1)
