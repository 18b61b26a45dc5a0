"""What computes the energies of a campaign: PySCF, a foundation potential, or a table."""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessSpec
from aiida.orm import Dict, Int, SinglefileData, StructureData

from aiida_qagenai.calculations.functions.oracle import table_problem
from aiida_qagenai.workchains.energy.ladder import LadderWorkChain
from aiida_qagenai.workchains.energy.oracle import OracleWorkChain
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings
from aiida_qagenai.workchains.protocols.oracle import TableOracle

__all__ = ('ORACLE_PORTS', 'define_oracle_inputs', 'energy_submission', 'oracle_problem')

ORACLE_PORTS = ('oracle_table',)
"""Names of the inputs of an oracle."""


def define_oracle_inputs(spec: ProcessSpec) -> None:
    """Add the file of a table of energies."""
    spec.input(
        'oracle_table',
        valid_type=SinglefileData,
        required=False,
        help='CSV file with the formation energies of the oracle that the settings `oracle` describe.',
    )


def oracle_problem(settings: CampaignSettings, inputs: t.Mapping[str, t.Any]) -> str | None:
    """Return what is missing or wrong with what gives the energies."""
    oracle, table = settings.oracle, inputs.get('oracle_table')
    if oracle is None and inputs.get('pyscf_code') is None:
        return 'the energies need `pyscf_code`, the code that runs PySCF, or an `oracle` in the settings'
    if not isinstance(oracle, TableOracle):
        return '`oracle_table` is given, but the settings name no table: it would not be used' if table else None
    if table is None:
        return '`oracle.kind: table` needs `oracle_table`, the file with the energies'
    return table_problem(table, oracle.model_dump(mode='json'))


def energy_submission(
    inputs: t.Mapping[str, t.Any],
    settings: CampaignSettings,
    structures: t.Mapping[str, StructureData],
    plan: Dict,
    **ladder: t.Any,
) -> tuple[t.Any, dict[str, t.Any]]:
    """Return the process that computes energies, whose outputs do not depend on which it is, and its inputs.

    :param inputs: those of the work chain of the campaign.
    :param plan: names of the levels by label.
    :param ladder: inputs of quantum chemistry alone: references, relaxations.
    """
    common = {'structures': dict(structures), 'plan': plan}
    if settings.oracle is None:
        options = {'options': inputs['pyscf_options']} if 'pyscf_options' in inputs else {}
        quantum = {
            'code': inputs['pyscf_code'],
            'settings': Dict(settings.energy.dump()),
            'bases': inputs.get('bases', {}),
            'max_concurrent': Int(settings.run.max_concurrent),
        }
        return LadderWorkChain, {**common, **quantum, **options, **ladder}
    options = {'options': inputs['ml_options']} if 'ml_options' in inputs else {}
    run = settings.run.model_dump(mode='json', include={'device', 'dtype', 'num_threads'})
    given = {'code': inputs['ml_code'], 'settings': Dict(settings.oracle.dump()), 'runtime': Dict(run)}
    if 'oracle_table' in inputs:
        given['table'] = inputs['oracle_table']
    return OracleWorkChain, {**common, **given, **options}
