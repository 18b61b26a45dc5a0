"""`aiida-qagenai generate`: crystals of a formula or a chemical system, from known ones, without a profile."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Sequence
from pathlib import Path

import click

from aiida_qagenai.cli.loaders import read_with_warnings
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FILE, FORMAT, option
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida_qagenai.motifs.propose import Limits, MotifModels, Proposal

__all__ = ('generate',)


@click.command()
@click.argument('wanted', nargs=-1, required=True, metavar='FORMULA|ELEMENT...')
@option('--count', type=click.IntRange(1, 10_000), default=20, help='Largest number of structures.')
@option('--formula-units', type=click.IntRange(min=1), help='Formula units in the primitive cell; any by default.')
@option('--min-atoms', type=click.IntRange(min=1), default=1, help='Smallest number of atoms in the primitive cell.')
@option('--max-atoms', type=click.IntRange(min=1), default=40, help='Largest number of atoms in the primitive cell.')
@option('--space-group', type=click.IntRange(1, 230), help='Number of the only space group that is wanted.')
@option('--stoichiometry', help='Only compositions of this anonymous formula, such as ABX3; for a chemical system.')
@option('--exclude-known', is_flag=True, help='Leave out crystals that the library contains.')
@option('--exclude', multiple=True, metavar='FORMULA', help='Use no known crystal of this formula. Repeatable.')
@option('--motifs', type=FILE, multiple=True, help='Crystals of your own as further motifs. Repeatable.')
@option('--only-motifs', is_flag=True, help='Use the crystals of --motifs alone.')
@option('--output', type=click.Path(file_okay=False, path_type=Path), help='Folder for CIF, extxyz and JSON files.')
@FORMAT
def generate(
    *,
    wanted: tuple[str, ...],
    count: int,
    stoichiometry: str | None,
    exclude_known: bool,
    exclude: tuple[str, ...],
    motifs: tuple[Path, ...],
    only_motifs: bool,
    output: Path | None,
    fmt: str,
    **bounds: t.Any,
) -> None:
    """Propose crystals of a formula or of a chemical system.

    One FORMULA such as SrTiO3 gives crystals of this formula, several ELEMENTs crystals with all of them. Each is a
    known crystal (a motif of the Materials Project, or of --motifs) whose elements are exchanged, at the volume that is
    expected of the new ones, with the symmetry of the motif. The most probable come first. `replay` marks a crystal
    that the library contains, `substitution` a known framework with other elements.
    """
    from aiida_qagenai.motifs.propose import propose, propose_in_system

    models = _models(motifs, only_motifs)
    limits = _limits(exclude, **bounds)
    formula = _formula(wanted)
    if formula is not None and stoichiometry is not None:
        raise click.UsageError('--stoichiometry belongs to a chemical system: leave it out, or give elements')
    most = count if not exclude_known else 3 * count
    if formula is not None:
        found = propose(models, formula, count=most, limits=limits)
    else:
        amounts = None if stoichiometry is None else _anonymous(stoichiometry, len(wanted))
        with click.progressbar(length=0, label='compositions', file=click.get_text_stream('stderr')) as bar:
            found = propose_in_system(
                models, wanted, count=most, limits=limits, amounts=amounts, report=_reporting(bar)
            )
    records = [record for record in _records(models, found) if not (exclude_known and record['known_as'])][:count]
    if not records:
        raise InvalidInputError(f'no known crystal can be changed into {" ".join(wanted)} within these limits')
    if output is not None:
        _write(records, output)
    _print(records, wanted, count, output, fmt)


def _models(files: Sequence[Path], only: bool) -> MotifModels:
    """Return what comes with the package, with the crystals of files in its library."""
    import dataclasses

    from aiida_qagenai.motifs.library import KnownCrystal, MotifLibrary
    from aiida_qagenai.motifs.propose import MotifModels

    models = MotifModels.default()
    if not files:
        if only:
            raise click.UsageError('--only-motifs needs a file of --motifs')
        return models
    crystals = [KnownCrystal(item.name, item.structure) for file in files for item in read_with_warnings(file)]
    disordered = [crystal.identifier for crystal in crystals if not crystal.structure.is_ordered]
    if disordered:
        raise InvalidInputError(f'`{disordered[0]}` has partial occupancies: a motif has one element on each site')
    own = MotifLibrary.from_crystals(crystals)
    return dataclasses.replace(models, library=own if only else models.library + own)


def _limits(exclude: Sequence[str], **bounds: t.Any) -> Limits:
    from aiida_qagenai.chemistry.formula import reduced_formula
    from aiida_qagenai.motifs.propose import Limits

    if bounds['min_atoms'] > bounds['max_atoms']:
        raise click.UsageError('--min-atoms is larger than --max-atoms')
    return Limits(**bounds, excluded=frozenset(reduced_formula(formula) for formula in exclude))


def _formula(wanted: Sequence[str]) -> dict[str, int] | None:
    """Return the amounts of a formula, or ``None`` for a chemical system.

    :raises InvalidInputError: on a formula with fractions, or an element that does not exist.
    """
    from aiida_qagenai.chemistry.elements import require_elements
    from aiida_qagenai.chemistry.formula import parse_formula

    if len(wanted) > 1:
        require_elements(wanted)
        if len(set(wanted)) < len(wanted):
            raise InvalidInputError(f'an element stands twice in {" ".join(wanted)}')
        return None
    amounts = parse_formula(wanted[0])
    if any(abs(amount - round(amount)) > 1e-6 for amount in amounts.values()):
        raise InvalidInputError(f'`{wanted[0]}` has fractional amounts: multiply the formula until all are whole')
    return {element: round(amount) for element, amount in amounts.items()}


def _anonymous(text: str, num_elements: int) -> tuple[int, ...]:
    """Return the amounts of an anonymous formula such as ABX3, ascending."""
    import re

    parts = re.findall(r'([A-Z])(\d*)', text)
    if ''.join(letter + number for letter, number in parts) != text or len({letter for letter, _ in parts}) != len(
        parts
    ):
        raise InvalidInputError(f'`{text}` is not an anonymous formula: use one capital letter per element, as in ABX3')
    if len(parts) != num_elements:
        raise InvalidInputError(f'`{text}` has {len(parts)} elements, but {num_elements} are given')
    return tuple(sorted(int(number or 1) for _, number in parts))


def _reporting(bar: t.Any) -> t.Callable[[int, int], None]:
    def report(done: int, total: int) -> None:
        bar.length = total
        bar.update(done - bar.pos)

    return report


def _records(models: MotifModels, proposals: Sequence[Proposal]) -> list[dict[str, t.Any]]:
    """Return a flat record of each proposal, with its structure under `structure`."""
    from aiida_qagenai.chemistry.constraints import screen
    from aiida_qagenai.motifs.propose import known_as

    records = []
    for rank, proposal in enumerate(proposals, start=1):
        structure = proposal.structure
        known = known_as(models.library, structure)
        screening = screen(structure)
        reason = next((v.reason or v.name for v in screening.verdicts if v.verdict == 'fail'), '')
        records.append(
            {
                'rank': rank,
                'formula': structure.composition.reduced_formula,
                'space_group': proposal.space_group,
                'num_atoms': len(structure),
                'volume_per_atom': structure.volume / len(structure),
                'probability': proposal.probability,
                'motif': proposal.motif,
                'motif_formula': proposal.motif_formula,
                'exchange': ', '.join(f'{old}→{new}' for old, new in proposal.exchange.items() if old != new),
                'novelty': 'replay' if known else 'substitution',
                'known_as': known,
                'passed': screening.passed,
                'reason': reason,
                'structure': structure,
            }
        )
    return records


def _write(records: Sequence[dict[str, t.Any]], folder: Path) -> None:
    """Write one CIF per structure, all of them as extxyz, and the table with structures as JSON."""
    from ase.io import write
    from pymatgen.io.ase import AseAtomsAdaptor
    from pymatgen.io.cif import CifWriter

    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for record in records:
        structure = record['structure']
        name = f'{record["rank"]:03d}_{record["formula"]}_{record["space_group"]}'
        CifWriter(structure, symprec=1e-3).write_file(folder / f'{name}.cif')
        atoms = AseAtomsAdaptor.get_atoms(structure)
        atoms.info = {key: value for key, value in record.items() if key != 'structure' and value is not None}
        images.append(atoms)
    write(folder / 'structures.extxyz', images, format='extxyz')
    table = [{**record, 'structure': record['structure'].as_dict()} for record in records]
    (folder / 'structures.json').write_text(json.dumps(table, indent=1), encoding='utf8')


def _print(
    records: Sequence[dict[str, t.Any]], wanted: Sequence[str], count: int, output: Path | None, fmt: str
) -> None:
    import pandas as pd

    flat = [{key: value for key, value in record.items() if key != 'structure'} for record in records]
    if fmt == 'json':
        with_structures = [{**record, 'structure': record['structure'].as_dict()} for record in records]
        click.echo(json.dumps(with_structures, indent=1))
        return
    shown = columns(
        'rank, formula, space_group: space group, num_atoms: atoms, probability, motif, motif_formula: of, novelty, '
        'known_as: known as, passed: passes, reason'
    )
    footer = f'{len(records)} structures of {" ".join(wanted)}'
    if len(records) < count:
        footer += f' ({count} were asked for: the library has no more)'
    if output is not None:
        footer += f'; files in {output}'
    print_frame(pd.DataFrame(flat), fmt, shown, footer=footer)
