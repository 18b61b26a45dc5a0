"""How the EnergyWorkChain runs pw.x: its inputs, what is refused before it runs, and why it failed."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.engine import ProcessBuilder, ProcessSpec
from aiida_pseudo.data.pseudo import UpfData

from aiida_qagenai.calculations.espresso.describe import DescribeParameters, PwDescribeCalculation
from aiida_qagenai.calculations.espresso.parameters import PwParameters, manifold_of
from aiida_qagenai.calculations.espresso.pseudos import (
    functional_problem,
    is_norm_conserving,
    missing_extra,
    orbitals_of,
)
from aiida_qagenai.calculations.espresso.results import error_text
from aiida_qagenai.calculations.functions.espresso import site_moments_of
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.chemistry.collinear import moments_are_lost
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.queries.costs import count_cores
from aiida_qagenai.workchains.protocols.energy import EnergyLevel
from aiida_qagenai.workchains.protocols.espresso import EspressoProtocol

__all__ = (
    'PLUGIN',
    'default_options',
    'define_espresso',
    'description',
    'espresso_problem',
    'failure_of',
    'fill_espresso',
    'submission',
)

PLUGIN = 'quantumespresso.pw'

EMPTY_LEVELS = 0.5
"""Empty levels of each occupied one where descriptors are asked for: the response sums over them."""

MOMENT_FACTORS = (1.0, 1.5, 2.0)
"""Factors of the initial moments that are tried in turn where the density loses all of them."""


def define_espresso(spec: ProcessSpec) -> None:
    """Define what pw.x needs, as a namespace that is left out where another engine computes."""
    spec.input_namespace('espresso', required=False, populate_defaults=False, help='Inputs of pw.x.')
    spec.input('espresso.code', valid_type=orm.AbstractCode, required=False, help='Code of pw.x.')
    spec.input(
        'espresso.parameters',
        valid_type=orm.Dict,
        required=False,
        validator=validator(PwParameters.parse),
        help='Complete parameters of the calculation, see `PwParameters`.',
    )
    spec.input_namespace(
        'espresso.pseudos', valid_type=UpfData, dynamic=True, required=False, help='Pseudopotentials by element.'
    )
    spec.input(
        'espresso.describe_code',
        valid_type=orm.AbstractCode,
        required=False,
        help='Python with PySCF where pw.x runs: it makes quantum descriptors of the orbitals.',
    )
    spec.input('espresso.options', valid_type=orm.Dict, required=False, help='Scheduler options of the calculation.')


def fill_espresso(
    builder: ProcessBuilder,
    protocol: EspressoProtocol,
    code: orm.AbstractCode,
    fidelity: Fidelity,
    *,
    options: dict[str, t.Any] | None,
    **spins: t.Any,
) -> None:
    """Set the inputs of pw.x and the label of the result.

    :param builder: with ``structure``.
    :param spins: of :meth:`~aiida_qagenai.workchains.protocols.espresso.EspressoSettings.parameters`.
    :raises InvalidInputError: for what pw.x cannot compute.
    """
    structure, describe_code = builder.structure, spins.pop('descriptors', None)
    for name in ('forces', 'ghosts', 'crystal'):
        if spins.pop(name, None):
            raise InvalidInputError(f'`{name}` is for the engine pyscf')
    if describe_code is not None and not isinstance(describe_code, bool):
        spins['empty_levels'] = EMPTY_LEVELS
    elif describe_code:
        raise InvalidInputError('`descriptors` of pw.x needs a code of qagenai.pyscf_cell, which reads its orbitals')
    level = protocol.settings.level(fidelity, isolated=not any(structure.pbc))
    inputs: dict[str, t.Any] = {
        'code': code,
        'parameters': orm.Dict(protocol.settings.parameters(fidelity, structure, **spins)),
        'pseudos': {kind.symbol: protocol.pseudos[kind.symbol] for kind in structure.kinds},
        **({'options': orm.Dict(options)} if options else {}),
        **({'describe_code': describe_code} if describe_code else {}),
    }
    if (problem := espresso_problem(structure, fidelity, level, inputs)) is not None:
        raise InvalidInputError(problem)
    builder.level = orm.Dict(level.model_dump(mode='json'))
    builder.espresso = inputs


def espresso_problem(
    structure: orm.StructureData, fidelity: Fidelity, level: EnergyLevel, inputs: t.Mapping[str, t.Any]
) -> str | None:
    """Return why pw.x cannot compute an energy, or None; nothing is run to find out.

    :param inputs: the namespace ``espresso``.
    """
    missing = sorted({'code', 'parameters', 'pseudos'} - {name for name in inputs if inputs[name]})
    if (problem := missing_extra()) is not None or missing:
        return problem or f'the engine espresso needs {", ".join(f"`espresso.{name}`" for name in missing)}'
    code, plugin = inputs['code'], inputs['code'].default_calc_job_plugin
    if plugin not in {None, PLUGIN}:
        return f'the engine espresso needs a code of {PLUGIN}, {code.label} is of {plugin}'
    parameters = PwParameters.parse(inputs['parameters'].get_dict())
    symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
    given = parameters.moments
    problems = (
        (parameters.fidelity is not fidelity, f'`fidelity` is {fidelity}, the parameters are of another'),
        (
            len(symbols) > level.max_atoms,
            f'{len(symbols)} atoms, protocol `{level.protocol}` allows {level.max_atoms} at {fidelity.value}',
        ),
        (structure.has_vacancies or structure.is_alloy, 'the structure has partially occupied sites'),
        (any(structure.pbc) == (parameters.box is not None), '`box` is for molecules, and they need it'),
        (
            bool(inputs.get('describe_code')) and not all(map(is_norm_conserving, inputs['pseudos'].values())),
            'descriptors need norm-conserving pseudopotentials (PseudoDojo, ONCV, GTH)',
        ),
        (
            bool(inputs.get('describe_code')) and (fidelity is not Fidelity.PBE or not all(structure.pbc)),
            'descriptors are those of crystals at PBE',
        ),
        (
            given is not None and len(given) != len(symbols),
            f'{len(given or ())} `moments` for {len(symbols)} sites',
        ),
    )
    refused = next((text for wrong, text in problems if wrong), None)
    return refused or _pseudo_problem(parameters, set(symbols), inputs['pseudos'])


def _pseudo_problem(
    parameters: PwParameters, symbols: t.Collection[str], pseudos: t.Mapping[str, UpfData]
) -> str | None:
    """Return which pseudopotential is missing, or is not one that the level can be computed with."""
    missing = sorted(set(symbols) - set(pseudos))
    if missing:
        return f'`espresso.pseudos` has no pseudopotential for {", ".join(missing)}'
    if (problem := functional_problem(pseudos)) is not None:
        return problem
    for symbol in sorted(symbols):
        pseudo = pseudos[symbol]
        if parameters.fidelity is not Fidelity.PBE and not is_norm_conserving(pseudo):
            return (
                f'{parameters.fidelity} by pw.x needs norm-conserving pseudopotentials (PseudoDojo, ONCV, GTH), '
                f'{pseudo.filename} of {symbol} is ultrasoft or PAW'
            )
        if symbol in parameters.hubbard and manifold_of(symbol) not in orbitals_of(pseudo):
            return f'{pseudo.filename} of {symbol} has no {manifold_of(symbol)} orbital, which U acts on'
    return None


def submission(inputs: t.Any, structure: orm.StructureData, attempt: int = 0) -> tuple[t.Any, dict[str, t.Any]]:
    """Return the process, and its inputs, that computes the energy.

    :param inputs: of the EnergyWorkChain.
    :param structure: with a kind per element and initial moment, see
        :func:`~aiida_qagenai.calculations.functions.espresso.prepare_structure`.
    :param attempt: place in ``MOMENT_FACTORS``.
    """
    from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

    given = inputs.espresso
    parameters, pseudos = PwParameters.parse(given.parameters.get_dict()), given.pseudos
    parameters = parameters.with_larger_moments(MOMENT_FACTORS[attempt])
    symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
    valence = {symbol: float(pseudos[symbol].z_valence) for symbol in set(symbols)}
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh(list(parameters.kmesh), offset=list(parameters.kmesh_shift))
    options = given.options.get_dict() if 'options' in given else {}
    pw: dict[str, t.Any] = {
        'code': given.code,
        'structure': structure,
        'parameters': orm.Dict(parameters.namelists(symbols, valence)),
        'pseudos': {kind.name: pseudos[kind.symbol] for kind in structure.kinds},
        'metadata': {'options': {**default_options(), **options}},
    }
    return PwBaseWorkChain, {'pw': pw, 'kpoints': kpoints}


def description(inputs: t.Any, child: orm.ProcessNode) -> tuple[t.Any, dict[str, t.Any]] | None:
    """Return the process, and its inputs, that describes the orbitals of a calculation that ended well, if asked for.

    :param inputs: of the EnergyWorkChain.
    """
    given = inputs.espresso
    if 'describe_code' not in given or not child.is_finished_ok:
        return None
    valence = {symbol: float(pseudo.z_valence) for symbol, pseudo in given.pseudos.items()}
    return PwDescribeCalculation, {
        'code': given.describe_code,
        'structure': inputs.structure,
        'parent_folder': child.outputs.remote_folder,
        'parameters': orm.Dict(DescribeParameters(valence=valence).dump()),
    }


def default_options() -> dict[str, t.Any]:
    """Return scheduler options: one process, and what the restarts of pw.x need to know, a walltime."""
    return {
        'resources': {'num_machines': 1, 'num_mpiprocs_per_machine': 1},
        'max_wallclock_seconds': 12 * 3600,
        'withmpi': False,
    }


def cost_of(children: t.Iterable[orm.ProcessNode]) -> dict[str, float]:
    """Return core hours and wall time of all attempts that restart work chains made."""
    hours, seconds = 0.0, 0.0
    for job in (job for child in children for job in child.called if isinstance(job, orm.CalcJobNode)):
        if 'output_parameters' in job.outputs:
            wall = float(job.outputs.output_parameters.get('wall_time_seconds', 0.0) or 0.0)
            seconds += wall
            hours += wall * count_cores(job.get_option('resources') or {}) / 3600
    return {'core_hours': hours, 'wall_seconds': seconds}


def lost_moments(inputs: t.Any, child: orm.ProcessNode) -> str | None:
    """Return that a calculation ended without any of the moments that it began with, or None."""
    moments = PwParameters.parse(inputs.espresso.parameters.get_dict()).moments
    if not child.is_finished_ok or moments is None or 'output_trajectory' not in child.outputs:
        return None
    found = site_moments_of(child.outputs.output_trajectory)
    if found is None or not moments_are_lost(moments, found):
        return None
    shown = ', '.join(f'{moment:.2f}' for moment in found)
    return f'the moments that the density began with are lost: the sites have {shown} Bohr magnetons'


def failure_of(child: orm.ProcessNode) -> str:
    """Return why a calculation failed: what pw.x said before it stopped, where it did."""
    jobs = [job for job in child.called if isinstance(job, orm.CalcJobNode)]
    for job in sorted(jobs, key=lambda node: node.pk, reverse=True)[:1]:
        names = job.outputs.retrieved.base.repository.list_object_names() if 'retrieved' in job.outputs else []
        name = job.get_option('output_filename')
        if name in names and (text := error_text(job.outputs.retrieved.base.repository.get_object_content(name))):
            return text
    return ending(child)
