"""`aiida-qagenai generate`: crystals of a formula or a chemical system, from known ones, without a profile."""

from __future__ import annotations

import json
import typing as t
from collections.abc import Sequence
from pathlib import Path

import click

from aiida_qagenai.api.generation import NO_TORCH, Requested, has_torch, propose_crystals
from aiida_qagenai.api.masking import read_mask
from aiida_qagenai.cli.bars import counting_bar
from aiida_qagenai.cli.constraining import CONSTRAINTS, geometry_of, shares_of
from aiida_qagenai.cli.loaders import read_with_warnings
from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FILE, FOLDER, FORMAT, option
from aiida_qagenai.cli.predicting import COLUMNS as DIVERGENCE_COLUMNS
from aiida_qagenai.cli.predicting import VALIDATOR, add_divergences
from aiida_qagenai.cli.relaxing import COLUMNS, RELAXATION, relax_and_rank
from aiida_qagenai.common.properties import DESCRIBED
from aiida_qagenai.selection.targets import PropertyTarget, Target, parse_target, parts_of

if t.TYPE_CHECKING:
    from aiida_qagenai.api.generation import Generated

__all__ = ('generate',)

TARGET = option(
    '--target',
    multiple=True,
    callback=lambda context, parameter, texts: parse_target(', '.join(texts)) if texts else None,
    help='Property at PBE, repeatable: band_gap=1.5 (eV), metallic, bulk_modulus=80..120, elf_high=0.1.',
)

NESTED = ('structure', 'constraints')
"""What of a record is not a plain value."""


@click.command()
@click.argument('wanted', nargs=-1, required=True, metavar='FORMULA|ELEMENT...')
@option('--count', type=click.IntRange(1, 10_000), default=20, help='Largest number of structures.')
@option('--novelty', type=click.FloatRange(0, 1), help='Noise on the motif: 0 keeps it (default), 1 forgets it.')
@option('--refine/--no-refine', default=True, help='Let the diffusion model mend atoms and cell of motifs.')
@option('--symmetry', type=click.Choice(['keep', 'free']), help='Keep (default) or drop its space group.')
@CONSTRAINTS
@TARGET
@option('--seed', type=click.IntRange(0, 2**31 - 1), default=0, help='Of the random numbers, for --novelty above 0.')
@option('--generator', type=FOLDER, help='Checkpoint of a diffusion model in place of the shipped one.')
@option('--formula-units', type=click.IntRange(min=1), help='Formula units in the primitive cell; any by default.')
@option('--min-atoms', type=click.IntRange(min=1), default=1, help='Smallest number of atoms in the primitive cell.')
@option('--max-atoms', type=click.IntRange(min=1), default=40, help='Largest number of atoms in the primitive cell.')
@option('--space-group', type=click.IntRange(1, 230), help='Number of the only space group that is wanted.')
@option('--pool', is_flag=True, help='The elements are a pool: crystals have two to four of them.')
@option('--stoichiometry', help='Only compositions of this anonymous formula, such as ABX3; for a chemical system.')
@option('--exclude-known', is_flag=True, help='Leave out crystals that the library contains.')
@option('--exclude', multiple=True, metavar='FORMULA', help='Use no known crystal of this formula. Repeatable.')
@option('--exclude-system', is_flag=True, help='Use no known compound of these elements, to see which are found again.')
@option('--motifs', type=FILE, multiple=True, help='Crystals of your own as further motifs. Repeatable.')
@option('--only-motifs', is_flag=True, help='Use the crystals of --motifs alone.')
@RELAXATION
@VALIDATOR
@option('--output', type=click.Path(file_okay=False, path_type=Path), help='Folder for CIF, extxyz and JSON files.')
@FORMAT
def generate(
    *,
    wanted: tuple[str, ...],
    count: int,
    exclude_known: bool,
    only_motifs: bool,
    seed: int,
    generator: Path | None,
    motifs: tuple[Path, ...],
    relax: str | None,
    relax_steps: int,
    min_references: int,
    validator: Path | None,
    output: Path | None,
    fmt: str,
    constrain: tuple[str, ...],
    mask: str | None,
    guide: bool,
    recurrence: int,
    best_of: int,
    target: Target | None,
    **limits: t.Any,
) -> None:
    """Propose crystals of a formula or of a chemical system.

    One FORMULA such as SrTiO3 gives crystals of this formula, several ELEMENTs crystals with all of them (or, with
    --pool, some). Each begins as a known crystal (a motif of the Materials Project, or of --motifs) whose elements are
    exchanged, at the volume that is expected of the new ones, and a diffusion model moves atoms and cell to where they
    should be. With --novelty above 0 it adds noise first: from 0.5 on other structures come out, at 1 only cell content
    and symmetry are left. The most probable motifs come first. `replay` marks a crystal that the library contains,
    `substitution` a known framework with other elements, `novel framework` what is neither. With --relax the
    crystals are relaxed on a potential, and ranked by their distance to the hull of the stable phases of the Materials
    Project and of each other. With --validator the table has the divergence of the levels of theory that the trained
    model predicts.

    With --constrain crystals are ordered: the diffusion model is pulled towards coordination numbers, distances, volume
    or lattice (from noise without symmetry, unless --novelty and --symmetry say otherwise), and those that satisfy all
    come first. With --mask all have the same atoms in one place, such as `kagome(Ni)` or the crystal of a file, and
    others are sampled around them. With --target samples start from motifs whose predicted property is near what is
    asked for, and the nearest are kept of five samples per crystal, or as many as --best-of says.
    """
    if only_motifs and not motifs:
        raise click.UsageError('--only-motifs needs a file of --motifs')
    geometry = geometry_of(constrain, target=target, guided=guide, recurrence=recurrence, best_of=best_of)
    held = None if mask is None else read_mask(mask)
    samples = any((limits['novelty'], geometry, held, target)) or (limits['refine'] and has_torch())
    if limits['refine'] and not samples:
        click.echo(NO_TORCH, err=True)
    own = [item for file in motifs for item in read_with_warnings(file)]
    asked = Requested(wanted, count, own, only_motifs, exclude_known, generator, seed, geometry, target, best_of, held)
    records, shares = _proposed(asked, limits, samples=samples)
    number = _number_of(records, asked, samples=samples)
    records, about = relax_and_rank(
        records, relax=relax, relax_steps=relax_steps, min_references=min_references, output=output, validator=validator
    )
    footer = [number, shares, about, add_divergences(records, validator)]
    if output is not None:
        _write(records, output)
        footer[0] += f'; files in {output}'
    _print(records, '\n'.join(filter(None, footer)), fmt, target)


def _proposed(asked: Requested, limits: dict[str, t.Any], *, samples: bool) -> tuple[list[dict[str, t.Any]], str]:
    """Return records of the crystals, and what shares of all samples satisfy the constraints.

    :param samples: whether the diffusion model runs, which shows its own progress.
    """
    lines: list[str] = []
    if not samples and len(asked.wanted) > 1:
        with counting_bar('compositions') as show:
            found = propose_crystals(asked, limits, show=show, say=lines.append)
        return _records(found), '\n'.join(lines)

    def run(*arguments: t.Any) -> dict[str, t.Any]:
        results = run_ml_task(*arguments)
        lines.extend(shares_of(results.get('geometry')))
        return results

    found = propose_crystals(asked, limits, run, say=lines.append)
    return _records(found), '\n'.join(lines)


def _number_of(records: Sequence[dict[str, t.Any]], asked: Requested, *, samples: bool) -> str:
    """Return how many crystals there are, and why not more."""
    text = f'{len(records)} structures of {" ".join(asked.wanted)}'
    text += '' if asked.mask is None else f', each with the held {asked.mask.text}'
    if len(records) == asked.count:
        return text
    return f'{text} ({asked.count} were asked for: {"no others came out" if samples else "the library has no more"})'


def _records(found: Sequence[Generated]) -> list[dict[str, t.Any]]:
    """Return a flat record of each crystal, with its structure under `structure`."""
    from aiida_qagenai.chemistry.constraints import screen
    from aiida_qagenai.chemistry.symmetry import space_group

    records = []
    for rank, each in enumerate(found, start=1):
        structure = each.structure
        screening = screen(structure)
        reason = next((v.reason or v.name for v in screening.verdicts if v.verdict == 'fail'), '')
        records.append(
            {
                'rank': rank,
                'formula': structure.composition.reduced_formula,
                'space_group': each.space_group or space_group(structure).number,
                'num_atoms': len(structure),
                'volume_per_atom': structure.volume / len(structure),
                'probability': each.probability,
                'motif': each.motif,
                'motif_formula': each.motif_formula,
                'noise': each.noise,
                'novelty': each.relation,
                'known_as': each.known_as,
                'passed': screening.passed,
                'reason': reason,
                **(each.predicted.record() if each.predicted else {}),
                **({'satisfied': each.satisfied} if each.ordered else {}),
                **({'constraints': [one._asdict() for one in each.ordered]} if each.ordered else {}),
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
        atoms.info = {key: value for key, value in record.items() if key not in NESTED and value is not None}
        images.append(atoms)
    write(folder / 'structures.extxyz', images, format='extxyz')
    table = [{**record, 'structure': record['structure'].as_dict()} for record in records]
    (folder / 'structures.json').write_text(json.dumps(table, indent=1), encoding='utf8')


def _print(records: Sequence[dict[str, t.Any]], footer: str, fmt: str, target: Target | None) -> None:
    import pandas as pd

    flat = [{key: value for key, value in record.items() if key not in NESTED} for record in records]
    if fmt == 'json':
        with_structures = [{**record, 'structure': record['structure'].as_dict()} for record in records]
        click.echo(json.dumps(with_structures, indent=1))
        return
    energies = COLUMNS if 'e_above_hull' in records[0] else ''
    energies += DIVERGENCE_COLUMNS if 'divergence' in records[0] else ''
    energies += 'band_gap: gap eV, band_gap_sigma: σ(gap), ' if 'band_gap' in records[0] else ''
    energies += 'bulk_modulus: K GPa, bulk_modulus_sigma: σ(K), ' if 'bulk_modulus' in records[0] else ''
    asked = [part.name for part in parts_of(target) if isinstance(part, PropertyTarget) and part.name in DESCRIBED]
    energies += ''.join(f'{name}: {name}, {name}_sigma: σ({name}), ' for name in asked)
    energies += 'satisfied: satisfies, ' if 'satisfied' in records[0] else ''
    shown = columns(
        f'rank, formula, {energies}space_group: space group, num_atoms: atoms, probability, motif, motif_formula: of, '
        'novelty, known_as: known as, passed: passes, reason'
    )
    print_frame(pd.DataFrame(flat), fmt, shown, footer=footer)
