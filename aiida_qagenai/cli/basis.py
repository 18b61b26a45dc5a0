"""`aiida-qagenai basis`: families of Gaussian bases."""

from __future__ import annotations

from pathlib import Path

import click

from aiida_qagenai.cli.groups import Noun
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FOLDER, FORMAT, option

__all__ = ('basis',)

basis = Noun('basis', help='Install and show families of Gaussian basis sets.')
COLUMNS = columns('label: family, elements, pseudo: for, licence, citation: cite')
ELEMENTS = columns('element, num_functions: functions, valence, has_auxiliary: fitting set, file, sha256, pk')


@basis.command()
@click.argument('name', metavar='NAME|FILE', default='ccgto')
@option('--from', 'folder', type=FOLDER, help='Local copy of the repository, in place of what comes with the package.')
def install(name: str, folder: Path | None) -> None:
    """Install a family of basis sets.

    The default is the family of Ye and Berkelbach (GTH-cc-pVXZ, H to Ar). A YAML FILE with the fields of BasisSource
    describes another, whose files are downloaded and checked against their SHA-256. Running it again changes nothing.
    """
    from aiida_qagenai.data.basis import install_families
    from aiida_qagenai.exchange.basis import find_source

    source = find_source(name)
    for label, is_new in install_families(source, folder).items():
        click.echo(f'{label}: {"installed" if is_new else "is installed"}')
    click.echo(f'licence {source.licence}; please cite {source.citation}')


@basis.command('list')
@FORMAT
def list_(fmt: str) -> None:
    """List the installed families."""
    import pandas as pd

    from aiida_qagenai.data.basis import INCOMPLETE, BasisFamily

    rows = []
    for family in sorted(BasisFamily.collection.all(), key=lambda family: str(family.label)):
        if family.label.startswith(INCOMPLETE):
            continue
        bases = family.bases
        content = next(iter(bases.values())).base.attributes.all
        rows.append({'label': family.label, 'elements': ' '.join(bases), **{k: content[k] for k in list(COLUMNS)[2:]}})
    footer = f'{len(rows)} families' if rows else 'no family: `aiida-qagenai basis install` installs one'
    print_frame(pd.DataFrame(rows, columns=list(COLUMNS)), fmt, COLUMNS, footer=footer)


@basis.command()
@click.argument('label', metavar='FAMILY')
@option('--element', help='Print the basis set of this element.')
@FORMAT
def show(label: str, element: str | None, fmt: str) -> None:
    """Show a family such as ccgto/cc-pvdz.

    With `--element` the basis set of this element is printed.
    """
    import pandas as pd

    from aiida_qagenai.data.basis import find_bases, find_family

    bases = find_bases(label, [element] if element else [])
    if element:
        node = bases[element]
        click.echo(node.text + (f'# fitting set\n{node.auxiliary}' if node.auxiliary else ''), nl=False)
        return
    family = find_family(label)
    assert family is not None
    rows = [{**node.base.attributes.all, 'pk': node.pk} for node in family.bases.values()]
    print_frame(pd.DataFrame(rows), fmt, ELEMENTS, title=family.label, footer=family.description)


@basis.command()
@click.argument('label', metavar='LABEL')
@click.argument('elements', nargs=-1, required=True, metavar='ELEMENT...')
@option('--pseudo', default='gth-pbe', help='Pseudopotential of PySCF.')
def upf(label: str, elements: tuple[str, ...], *, pseudo: str) -> None:
    """Convert pseudopotentials of PySCF to a family of UPF files.

    For example: `aiida-qagenai basis upf gth/pbe Si C`. With such a family pw.x computes with the same pseudopotentials
    as PySCF. It recommends the cutoffs at which total energies are converged; differences between like structures need
    about half.
    """
    from aiida_qagenai.calculations.espresso.gth import MEASURED_CUTOFFS, install_gth_family

    for symbol, cutoff in install_gth_family(label, elements, pseudo).items():
        source = 'measured' if symbol in MEASURED_CUTOFFS else 'estimated'
        click.echo(f'{symbol}: {cutoff:.0f} Ry, {source}')
    click.echo(f'{label}: installed; see it with `aiida-pseudo family show {label}`')
