"""The script that PySCF runs: plain text from plain values, complete in itself."""

from __future__ import annotations

import functools
import json
import typing as t

import numpy as np
from jinja2 import Environment, PackageLoader, PrefixLoader, StrictUndefined

from aiida_qagenai.calculations.atomistic.band_path import band_path
from aiida_qagenai.calculations.pyscf.parameters import FUNCTIONALS, LocalOptions, PyscfCellParameters

__all__ = ('MAIN_TEMPLATE', 'as_literal', 'script_environment', 'script_variables', 'write_script')

MAIN_TEMPLATE = 'qagenai/script.py.j2'

FILES: dict[str, str | None] = {
    'script': 'script.py',
    'results': 'results.json',
    'checkpoint': 'checkpoint.chk',
    'amplitudes': 'amplitudes.h5',
    'fragments': 'fragments.h5',
    'restart_checkpoint': None,
    'restart_amplitudes': None,
}
"""Names of the files in the working folder; the last two exist for a restart only."""


def write_script(
    parameters: PyscfCellParameters,
    cell: t.Sequence[t.Sequence[float]],
    sites: t.Sequence[tuple[str, t.Sequence[float]]],
    **options: t.Any,
) -> str:
    """Return the script for one structure, see :func:`script_variables`."""
    variables = script_variables(parameters, cell, sites, **options)
    return script_environment().get_template(MAIN_TEMPLATE).render(**variables)


@functools.cache
def script_environment() -> Environment:
    """Return the environment of our own templates; an undefined variable is an error."""
    return Environment(
        loader=PrefixLoader({'qagenai': PackageLoader('aiida_qagenai.calculations.pyscf')}),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        # The output is Python, and every value goes in as one JSON literal.
        autoescape=False,
    )


def script_variables(
    parameters: PyscfCellParameters,
    cell: t.Sequence[t.Sequence[float]],
    sites: t.Sequence[tuple[str, t.Sequence[float]]],
    *,
    ghosts: t.Sequence[tuple[str, t.Sequence[float]]] = (),
    num_threads: int = 1,
    walltime_seconds: float | None = None,
    files: t.Mapping[str, str | None] | None = None,
) -> dict[str, t.Any]:
    """Return the variables of the main template.

    :param cell: lattice vectors as rows, Å; a molecule does not use them.
    :param sites: symbol and Cartesian position (Å) of each atom.
    :param ghosts: likewise, of basis functions without a nucleus; of a molecule only.
    :param walltime_seconds: after which the script stops by itself, leaving something to continue from.
    :param files: names of files other than the default ones.
    """
    values = parameters.dump()
    if parameters.cc.kmesh is None:
        values['cc'].update(kmesh=values['kmesh'], kmesh_shift=values['kmesh_shift'])
    if parameters.is_local and parameters.local is None:
        values['local'] = LocalOptions().model_dump()
    values.update(
        functional=FUNCTIONALS.get(parameters.fidelity),
        spin_polarized=parameters.spin_polarized,
        method=parameters.resolved_method,
        band_path=_path(parameters, cell, sites),
        cell=[list(vector) for vector in cell],
        sites=_site_values(sites),
        num_threads=num_threads,
        walltime_seconds=walltime_seconds,
        files={**FILES, **(files or {})},
    )
    if not parameters.is_crystal:
        values['ghosts'] = _site_values(ghosts)
    return {
        'title': f'{parameters.resolved_method or parameters.fidelity} of a {parameters.system} by PySCF.',
        'inputs_literal': as_literal(values),
        'filename_script': values['files']['script'],
        'filename_results': values['files']['results'],
        'has_descriptors': parameters.descriptors,
        'has_exchange_on_grid': parameters.has_exchange_on_grid,
        'parts': _template_parts(parameters),
    }


def _site_values(sites: t.Sequence[tuple[str, t.Sequence[float]]]) -> list[dict[str, t.Any]]:
    return [{'symbol': symbol, 'position': list(position)} for symbol, position in sites]


def as_literal(values: t.Any) -> str:
    """Return JSON that may stand between triple quotes in Python source, whatever strings it holds."""
    text = json.dumps(values, indent=1, allow_nan=False)
    return text.replace('\\', '\\\\').replace("'", "\\'")


def _path(
    parameters: PyscfCellParameters, cell: t.Sequence[t.Sequence[float]], sites: t.Sequence[tuple[str, t.Any]]
) -> dict[str, t.Any] | None:
    """Return the points of the band path and their labels, or None where no path is asked for."""
    if parameters.band_path_spacing is None:
        return None
    path = band_path(cell, sites, parameters.band_path_spacing)
    # Equal to the last bits on every machine, so that the script is.
    return {'kpoints': np.round(path.kpoints, 12).tolist(), 'labels': [list(label) for label in path.labels]}


def _template_parts(parameters: PyscfCellParameters) -> list[str]:
    """Return the names of the templates that make up the script."""
    if not parameters.is_crystal:
        return ['molecule']
    crystal = ['crystal', 'spin'] if parameters.spin_polarized else ['crystal']
    if parameters.is_coupled_cluster:
        methods = ['local_coupled_cluster'] if parameters.is_local else ['symmetry', 'triples', 'coupled_cluster']
        return [*crystal, 'kpoints', 'fitting', 'correlation', *methods]
    crystal = [*crystal, 'kpoints']
    if parameters.has_forces:
        return [*crystal, 'geometry']
    optional = {'exchange': parameters.has_exchange_on_grid, 'descriptors': parameters.descriptors}
    return [*crystal, *(name for name, wanted in optional.items() if wanted), 'density_functional']
