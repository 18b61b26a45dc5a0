"""Energies of an oracle: labels of a potential, or rows of a table, as records of computed energies."""

from __future__ import annotations

import gzip
import hashlib
import io
import typing as t

import numpy as np
import pandas as pd
from aiida.engine import calcfunction
from aiida.orm import ArrayData, Dict, SinglefileData, StructureData
from pymatgen.core import Structure

from aiida_qagenai.calculations.functions.dataset import energy_label
from aiida_qagenai.calculations.functions.energy import count_atoms
from aiida_qagenai.chemistry.formula import reduced_formula
from aiida_qagenai.common.errors import InvalidInputError, reported_as
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.engine.batch import bulk_inputs
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.thermodynamics.references.reference_states import (
    reference_state,
    self_consistent_formation_energy,
)

__all__ = ('assemble_labels', 'look_up_energies', 'pack_structures', 'table_problem')

ELEMENT = 'element '
"""Prefix of the symbol in the name of an element in its reference state, packed with the structures."""


@bulk_inputs('structures')
@calcfunction
def pack_structures(parameters: Dict, **kwargs: t.Any) -> DatasetData:
    """Return structures packed under their labels, and the elements in their reference states after them.

    Molecules of elements, and atoms of noble gases, are in a periodic box of 20 Å.

    :param parameters: ``labels`` of the structures to pack, and ``elements``.
    :param kwargs: the namespace ``structures`` by label.
    :raises InvalidInputError: if the reference state of an element is not known here.
    """
    labels, symbols = parameters['labels'], parameters['elements']
    crystals = [kwargs['structures'][label].get_pymatgen() for label in labels]
    crystals += [element_crystal(symbol) for symbol in symbols]
    return DatasetData(StructureBatch.from_structures(crystals, [*labels, *(f'{ELEMENT}{each}' for each in symbols)]))


def element_crystal(symbol: str) -> Structure:
    """Return an element in its reference state, periodic.

    :raises InvalidInputError: if it is not known here.
    """
    state = reference_state(symbol)
    if state is None:
        message = f'the reference state of {symbol} is not known here: a potential gives no formation energies with it'
        raise InvalidInputError(message)
    return Structure(state.cell, [symbol] * state.num_atoms, state.positions, coords_are_cartesian=True)


@bulk_inputs('structures')
@calcfunction
def assemble_labels(
    packed: DatasetData, labels: ArrayData, results: Dict, parameters: Dict, **kwargs: t.Any
) -> dict[str, t.Any]:
    """Return the energies of structures that a potential labelled, with their forces and stresses.

    Formation energies refer to the elements by the same potential. A structure without a label, or with an element
    without one, has no energy. The cost of the job is divided among them.

    :param packed: what was labelled, see :func:`pack_structures`.
    :param labels: see :class:`~aiida_qagenai.calculations.atomistic.label.LabelCalculation`.
    :param results: of that job.
    :param parameters: ``fidelity`` and ``level_tag``.
    :param kwargs: the namespace ``structures`` by label.
    :returns: the namespace ``energies``, by :func:`~aiida_qagenai.calculations.functions.dataset.energy_label`.
    """
    batch, totals = packed.structures(), labels.get_array('energies')
    names, offsets = batch.identifiers.tolist(), batch.offsets
    per_atom = dict(zip(names, totals / batch.num_atoms, strict=True))
    elements = {name.removeprefix(ELEMENT): float(per_atom[name]) for name in names if name.startswith(ELEMENT)}
    fidelity, number = Fidelity.parse(parameters['fidelity']), len(names) - len(elements)
    seconds = float(results.get_dict().get('timings', {}).get('cpu_seconds') or 0.0) / max(1, number)
    energies = {}
    for row, name in enumerate(names[:number]):
        structure = kwargs['structures'][name]
        composition = count_atoms(structure)
        formation = self_consistent_formation_energy(float(totals[row]), composition, elements)
        if not np.isfinite(formation):
            continue
        energies[energy_label(name, fidelity)] = EnergyData(
            **common_fields(structure, fidelity, parameters['level_tag']),
            total_energy=float(totals[row]),
            formation_energy_per_atom=formation,
            self_consistent=formation,
            formation_scheme='self_consistent',
            forces=labels.get_array('forces')[offsets[row] : offsets[row + 1]].tolist(),
            stress=labels.get_array('stresses')[row].tolist(),
            core_hours=seconds / 3600,
            wall_seconds=seconds,
            warnings=[f'by a potential: {labels.base.attributes.get("level")}'],
        )
    return {'energies': energies}


# Clones would name the structures of another run, see ``EnergyData.structure_uuid``.
assemble_labels.is_valid_cache = lambda node: False


@bulk_inputs('structures')
@calcfunction
def look_up_energies(table: SinglefileData, parameters: Dict, **kwargs: t.Any) -> dict[str, t.Any]:
    """Return the energies of structures that a table has.

    :param table: CSV, compressed by gzip if its name ends in ``.gz``; empty cells are unknown energies.
    :param parameters: ``levels`` (fidelity → column with formation energies, eV/atom), ``key`` (``formula`` or
        ``fingerprint``) and ``plan`` (fidelities by label).
    :param kwargs: the namespace ``structures`` by label.
    :returns: the namespace ``energies``, by :func:`~aiida_qagenai.calculations.functions.dataset.energy_label`; empty
        if the table has none of them.
    :raises InvalidInputError: if the file is not such a table.
    """
    options, content = parameters.get_dict(), table.get_content(mode='rb')
    frame = read_table(content, options, compressed=table.filename.endswith('.gz'))
    digest, energies = hashlib.sha256(content).hexdigest()[:8], {}
    for label, names in options['plan'].items():
        structure = kwargs['structures'][label]
        key = table_key(structure, options['key'])
        for fidelity in map(Fidelity.parse, names):
            column = options['levels'].get(fidelity.value)
            value = frame[column].get(key) if column else None
            if value is not None and np.isfinite(value):
                energies[energy_label(label, fidelity)] = EnergyData(
                    **common_fields(structure, fidelity, f'table:{digest}:{column}'),
                    total_energy=None,
                    formation_energy_per_atom=float(value),
                    formation_scheme='table',
                )
    return {'energies': energies}


look_up_energies.is_valid_cache = lambda node: False


def read_table(content: bytes, options: t.Mapping[str, t.Any], *, compressed: bool) -> pd.DataFrame:
    """Return the lowest energies of a table by its key, reduced if that is a formula.

    :param options: ``levels`` and ``key``, see :func:`look_up_energies`.
    :raises InvalidInputError: if the file cannot be read, or lacks a column.
    """
    with reported_as('the table of energies cannot be read:', OSError, EOFError, UnicodeDecodeError, ValueError):
        frame = pd.read_csv(io.BytesIO(gzip.decompress(content) if compressed else content))
    needed = [options['key'], *options['levels'].values()]
    if missing := [name for name in needed if name not in frame.columns]:
        raise InvalidInputError(
            f'the table of energies has no column `{missing[0]}`: it has {", ".join(frame.columns)}'
        )
    keys = frame[options['key']].astype(str)
    frame = frame.assign(key=keys.map(reduced_formula) if options['key'] == 'formula' else keys)
    with reported_as('the table of energies has a cell that is not a number:', ValueError, TypeError):
        numbers = {name: pd.to_numeric(frame[name]) for name in options['levels'].values()}
    return frame.assign(**numbers).groupby('key')[list(numbers)].min()


def table_problem(table: SinglefileData, options: t.Mapping[str, t.Any]) -> str | None:
    """Return what is wrong with a table of energies, or None."""
    try:
        read_table(table.get_content(mode='rb'), options, compressed=table.filename.endswith('.gz'))
    except InvalidInputError as exception:
        return str(exception)
    return None


def table_key(structure: StructureData, key: str) -> str | None:
    """Return what tells a structure from others in a table."""
    if key == 'fingerprint':
        found: str | None = structure.base.attributes.get('fingerprint', None)
        return found
    return reduced_formula(count_atoms(structure))


def common_fields(structure: StructureData, fidelity: Fidelity, level_tag: str) -> dict[str, t.Any]:
    """Return the fields of an energy that do not depend on its value."""
    composition = count_atoms(structure)
    return {
        'fidelity': fidelity,
        'num_atoms': len(structure.sites),
        'formula': reduced_formula(composition),
        'chemical_system': '-'.join(sorted(composition)),
        'converged': True,
        'protocol': level_tag.split(':', maxsplit=1)[0],
        'level_tag': level_tag,
        'scientific': level_tag != 'potential:emt',
        'structure_uuid': structure.uuid,
    }
