"""PySCF and Quantum ESPRESSO behind one interface: what relaxes a crystal at PBE and what gives the forces on it.

aiida-quantumespresso is an optional extra: it is imported only where pw.x is asked for.
"""

from __future__ import annotations

import typing as t
from collections import Counter

from aiida import orm
from aiida_pseudo.data.pseudo import UpfData
from ase.units import Bohr, Rydberg

from aiida_qagenai.calculations.espresso.pseudos import find_pseudos, functional_problem, missing_extra
from aiida_qagenai.calculations.pyscf.bases import bases_problem
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.chemistry.moments import initial_moments
from aiida_qagenai.chemistry.open_shells import is_magnetic
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.basis import BasisData
from aiida_qagenai.workchains.energy.base import PyscfCellBaseWorkChain
from aiida_qagenai.workchains.energy.espresso import default_options
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.energy import EnergyLevel, find_refusal
from aiida_qagenai.workchains.protocols.relaxation import PyscfRelaxSettings, RelaxationSettings

__all__ = ('ENGINES', 'EspressoEngine', 'PyscfEngine', 'find_code_problem', 'parallel_moments')


class PyscfEngine:
    """PySCF: forces at PBE from any supported version, the stress from 2.14."""

    PLUGIN = 'qagenai.pyscf_cell'

    @staticmethod
    def find_problem(inputs: t.Mapping[str, t.Any]) -> str | None:
        """Return what the engine cannot do of the inputs of the work chain."""
        structure = inputs['structure']
        if inputs.get('pseudos'):
            return '`pseudos` are for the engine espresso'
        try:
            parameters = PyscfCellParameters.parse(inputs['numerics'].get_dict())
        except InvalidInputError as exception:
            return f'`numerics`: {exception}'
        if not parameters.has_forces:
            return '`numerics` must ask for `forces`'
        if inputs.get('bases'):
            return bases_problem(parameters, inputs['bases'], {kind.symbol for kind in structure.kinds})
        return None

    @staticmethod
    def protocol(settings: RelaxationSettings, symbols: t.Collection[str]) -> EnergyProtocol:
        """Return the energies at PBE that are relaxed on, with the installed bases."""
        assert settings.pyscf is not None
        return EnergyProtocol.of_settings(settings.pyscf.energy, symbols)

    @classmethod
    def complete(
        cls, settings: RelaxationSettings, symbols: t.Collection[str]
    ) -> tuple[RelaxationSettings, dict[str, t.Any]]:
        """Return settings that name installed bases, and the inputs ``families`` that hold these.

        :raises InvalidInputError: saying what is missing.
        """
        cls.cover(settings, symbols)
        protocol = cls.protocol(settings, symbols)
        numerics = PyscfRelaxSettings(energy=protocol.settings)
        return settings.model_copy(update={'pyscf': numerics}), {'families': protocol.families}

    @classmethod
    def cover(cls, settings: RelaxationSettings, symbols: t.Collection[str]) -> None:
        """Check that crystals of all elements can be relaxed.

        :raises InvalidInputError: saying what is missing.
        """
        # PBE alone: what CCSD(T) and isolated atoms need does not matter here.
        protocol = cls.protocol(settings, symbols)
        settings_of_pbe = protocol.settings.model_copy(update={'coupled_cluster_basis': None})
        EnergyProtocol(settings_of_pbe, protocol.families).cover(symbols, isolated=False)

    @classmethod
    def prepare(
        cls,
        settings: RelaxationSettings,
        structure: orm.StructureData,
        families: t.Mapping[str, t.Mapping[str, BasisData]] | None = None,
    ) -> dict[str, t.Any]:
        """Return the inputs ``numerics`` and, from a family, ``bases``.

        :param families: bases by family and element that complete settings name; the installed ones by default.
        :raises InvalidInputError: for a structure or an element that the protocol of energies does not admit.
        """
        assert settings.pyscf is not None
        symbols = {kind.symbol for kind in structure.kinds}
        given = None if families is None else EnergyProtocol(settings.pyscf.energy, families)
        protocol = given or cls.protocol(settings, symbols)
        resolved = protocol.basis(protocol.settings.basis, symbols)
        if (
            refusal := find_refusal(structure, Fidelity.PBE, EnergyLevel.create(resolved.settings, Fidelity.PBE))
        ) is not None:
            raise InvalidInputError(refusal)
        values = resolved.settings.parameters(Fidelity.PBE, structure, forces=True)
        inputs: dict[str, t.Any] = {'numerics': orm.Dict(values)}
        return {**inputs, **({'bases': resolved.bases} if resolved.bases else {})}

    @staticmethod
    def submission(
        inputs: t.Any, settings: RelaxationSettings, structure: orm.StructureData, *, relax: bool
    ) -> tuple[t.Any, dict[str, t.Any]]:
        """Return the process, and its inputs, that relaxes ``structure`` or computes the forces on it."""
        parameters = inputs.numerics.get_dict()
        if relax:
            names = ('max_force', 'max_pressure', 'max_steps')
            freedom = 'cell' if settings.moves_cell else 'atoms'
            parameters['relax'] = {'freedom': freedom, **{name: getattr(settings, name) for name in names}}
        pyscf: dict[str, t.Any] = {'code': inputs.code, 'structure': structure, 'parameters': orm.Dict(parameters)}
        if inputs.get('bases'):
            pyscf['bases'] = dict(inputs.bases)
        if 'options' in inputs:
            pyscf['metadata'] = {'options': inputs.options.get_dict()}
        return PyscfCellBaseWorkChain, {'pyscf': pyscf}

    @staticmethod
    def outcome(child: orm.ProcessNode, settings: RelaxationSettings) -> dict[str, t.Any]:
        """Return the nodes that say how the relaxation ended, and of which level its forces are.

        Energies with the counterpoise correction have other forces, which nothing computes: then no level is named.
        """
        assert settings.pyscf is not None
        nodes = {'relaxed': child.outputs.relaxed, 'results': child.outputs.results}
        energy = settings.pyscf.energy
        return nodes if energy.counterpoise else {**nodes, 'level_tag': orm.Str(energy.tag(Fidelity.PBE))}

    @staticmethod
    def forces(child: orm.ProcessNode) -> orm.Data:
        """Return the node that holds the forces."""
        return child.outputs.results


class EspressoEngine:
    """pw.x through aiida-quantumespresso: atoms and cell, with the restarts of its work chains."""

    PLUGIN = 'quantumespresso.pw'

    @classmethod
    def find_problem(cls, inputs: t.Mapping[str, t.Any]) -> str | None:
        """Return what the engine cannot do of the inputs of the work chain."""
        if (problem := missing_extra()) is not None:
            return problem
        if inputs.get('bases'):
            return '`bases` are for the engine pyscf'
        if set(inputs['numerics'].get_dict()) != {'SYSTEM', 'ELECTRONS', 'kpoints_distance'}:
            return '`numerics` must have `SYSTEM`, `ELECTRONS` and `kpoints_distance`, and nothing else'
        missing = sorted({kind.name for kind in inputs['structure'].kinds} - set(inputs.get('pseudos') or {}))
        if missing:
            return f'`pseudos` has no pseudopotential for {", ".join(missing)}'
        return functional_problem(inputs['pseudos'])

    @classmethod
    def cover(cls, settings: RelaxationSettings, symbols: t.Collection[str]) -> None:
        """Check that crystals of all elements can be relaxed.

        :raises InvalidInputError: saying what is missing.
        """
        cls.complete(settings, symbols)

    @classmethod
    def complete(
        cls, settings: RelaxationSettings, symbols: t.Collection[str]
    ) -> tuple[RelaxationSettings, dict[str, t.Any]]:
        """Return settings with the cutoffs for all of ``symbols``, and the input ``pseudos`` by element.

        :raises InvalidInputError: see :func:`~aiida_qagenai.calculations.espresso.pseudos.find_pseudos`.
        """
        assert settings.espresso is not None
        options = settings.espresso
        cutoffs = (options.ecutwfc, options.ecutrho)
        _, pseudos, (ecutwfc, ecutrho) = find_pseudos(options.pseudo_family, symbols, *cutoffs)
        numerics = options.model_copy(update={'ecutwfc': ecutwfc, 'ecutrho': ecutrho})
        return settings.model_copy(update={'espresso': numerics}), {'pseudos': pseudos}

    @classmethod
    def prepare(
        cls,
        settings: RelaxationSettings,
        structure: orm.StructureData,
        pseudos: t.Mapping[str, UpfData] | None = None,
    ) -> dict[str, t.Any]:
        """Return the inputs ``numerics`` and ``pseudos``.

        :param pseudos: by element, with the cutoffs in the settings; by default those of the installed family.
        :raises InvalidInputError: see :func:`~aiida_qagenai.calculations.espresso.pseudos.find_pseudos`.
        """
        symbols = {kind.symbol for kind in structure.kinds}
        if pseudos is None:
            settings, found = cls.complete(settings, symbols)
            pseudos = t.cast('dict[str, UpfData]', found['pseudos'])
        options, number = settings.espresso, len(structure.sites)
        assert options is not None
        numerics: dict[str, t.Any] = {
            'SYSTEM': {
                'ecutwfc': options.ecutwfc,
                'ecutrho': options.ecutrho,
                'occupations': 'smearing',
                'smearing': 'cold',
                'degauss': options.degauss,
            },
            'ELECTRONS': {'conv_thr': options.conv_thr_per_atom * number, 'electron_maxstep': 80, 'mixing_beta': 0.4},
            'kpoints_distance': options.kpoints_distance,
        }
        by_kind = {kind.name: pseudos[kind.symbol] for kind in structure.kinds}
        if start := parallel_moments(structure, {name: float(node.z_valence) for name, node in by_kind.items()}):
            numerics['SYSTEM'].update(nspin=2, starting_magnetization=start)
        return {'numerics': orm.Dict(numerics), 'pseudos': by_kind}

    @staticmethod
    def submission(
        inputs: t.Any, settings: RelaxationSettings, structure: orm.StructureData, *, relax: bool
    ) -> tuple[t.Any, dict[str, t.Any]]:
        """Return the process, and its inputs, that relaxes ``structure`` or computes the forces on it."""
        from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain
        from aiida_quantumespresso.workflows.pw.relax import PwRelaxWorkChain

        numerics = inputs.numerics.get_dict()
        distance = orm.Float(numerics.pop('kpoints_distance'))
        kind = ('vc-relax' if settings.moves_cell else 'relax') if relax else 'scf'
        control = {
            'calculation': kind,
            'tprnfor': True,
            'tstress': True,
            'nstep': settings.max_steps,
            'forc_conv_thr': settings.max_force * Bohr / Rydberg,
            # Steps end by forces and stress; pw.x asks for an energy threshold as well.
            'etot_conv_thr': 1e-4 * len(structure.sites),
        }
        numerics['CONTROL'] = control
        if kind == 'vc-relax':
            numerics['CELL'] = {'press_conv_thr': 10 * settings.max_pressure}
        pw: dict[str, t.Any] = {
            'code': inputs.code,
            'parameters': orm.Dict(numerics),
            'pseudos': dict(inputs.pseudos),
            'metadata': {
                'options': {**default_options(), **(inputs.options.get_dict() if 'options' in inputs else {})}
            },
        }
        if not relax:
            return PwBaseWorkChain, {'pw': {**pw, 'structure': structure}, 'kpoints_distance': distance}
        return PwRelaxWorkChain, {'base_relax': {'pw': pw, 'kpoints_distance': distance}, 'structure': structure}

    @staticmethod
    def outcome(child: orm.ProcessNode, _: RelaxationSettings) -> dict[str, t.Any]:
        """Return the nodes that say how the relaxation ended."""
        return {
            'relaxed': child.outputs.output_structure,
            'results': child.outputs.output_parameters,
            'trajectory': child.outputs.output_trajectory,
        }

    @staticmethod
    def forces(child: orm.ProcessNode) -> orm.Data:
        """Return the node that holds the forces."""
        return child.outputs.output_trajectory


def parallel_moments(structure: orm.StructureData, valence: t.Mapping[str, float]) -> dict[str, float]:
    """Return the moments of kinds that a relaxation by pw.x begins with, in units of their valence electrons.

    All are parallel: which are antiparallel changes a geometry less than whether there are moments at all. There are
    none in a crystal without local moments.

    :param valence: electrons beside the pseudopotential, by the name of the kind.
    """
    symbols = {kind.name: kind.symbol for kind in structure.kinds}
    if not is_magnetic(Counter(symbols[site.kind_name] for site in structure.sites)):
        return {}
    found: dict[str, float] = {}
    for site, moment in zip(structure.sites, initial_moments(structure.get_pymatgen()).values, strict=True):
        fraction = min(1.0, moment / valence[site.kind_name])
        if fraction:
            found[site.kind_name] = max(fraction, found.get(site.kind_name, 0.0))
    return found


ENGINES: dict[str, type[PyscfEngine] | type[EspressoEngine]] = {'pyscf': PyscfEngine, 'espresso': EspressoEngine}


def find_code_problem(engine: str, code: orm.AbstractCode | None) -> str | None:
    """Return why a code cannot run an engine.

    :param code: None stands for the code of energies, which is of PySCF.
    """
    plugin = ENGINES[engine].PLUGIN
    if code is None:
        return None if engine == 'pyscf' else f'the engine {engine} needs `relax_code`, a code of {plugin}'
    known = code.default_calc_job_plugin
    if known is not None and known != plugin:
        return f'the engine {engine} needs a code of {plugin}, {code.label} is of {known}'
    return None
