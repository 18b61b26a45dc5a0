"""`aiida-qagenai integrity`: whether the graph is whole."""

from __future__ import annotations

import click

from aiida_qagenai.cli.groups import ProfileCommand
from aiida_qagenai.cli.params import option

__all__ = ('integrity',)

SHOWN = 20


@click.command(cls=ProfileCommand)
@option('--hashes/--no-hashes', default=True, help='Compare hashes with contents, which takes longest.')
@option('--energies', is_flag=True, help='Derive every energy again from the results that it was made of.')
@click.pass_context
def integrity(context: click.Context, *, hashes: bool, energies: bool) -> None:
    """Check the provenance graph of the profile.

    Links, hashes, files and states of all nodes are checked, and nothing is changed. The exit status is 1 if something
    is wrong.
    """
    from aiida_qagenai.queries.integrity import check_integrity

    report = check_integrity(hashes=hashes, energies=energies)
    for name, count in report.checked.items():
        wrong = sum(fault.check == name for fault in report.faults)
        click.echo(f'{name}: {count} checked, {wrong or "none"} wrong')
    for fault in report.faults[:SHOWN]:
        click.echo(f'node {fault.pk} ({fault.check}): {fault.message}', err=True)
    if len(report.faults) > SHOWN:
        click.echo(f'… and {len(report.faults) - SHOWN} more', err=True)
    if report.faults:
        context.exit(1)
