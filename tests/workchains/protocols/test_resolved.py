"""Protocols are resolved in the builder: what changes in the files or the families afterwards changes no process."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import Process
from aiida.plugins import WorkflowFactory
from aiida.plugins.entry_point import get_entry_point_names

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.basis import install_families
from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain
from aiida_qagenai.workchains.campaign.validation import complete_settings
from aiida_qagenai.workchains.energy.composite import builder_of_level
from aiida_qagenai.workchains.energy.ladder import LadderWorkChain
from aiida_qagenai.workchains.energy.ports import given_protocol
from aiida_qagenai.workchains.energy.references import isolated_atom
from aiida_qagenai.workchains.protocols import bases, energy, loader
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.campaign import campaign_settings, merge_settings

WORK_CHAINS = [name for name in get_entry_point_names('aiida.workflows') if name.startswith('qagenai.')]


@pytest.fixture
def nothing_is_read(monkeypatch):
    """Return a function after which reading a protocol or looking for a family fails."""

    def fail(*arguments, **_):
        pytest.fail(f'read again: {arguments}')

    def start():
        for module, name in ((loader, '_read'), (bases, 'find_family'), (energy, 'protocol_values')):
            monkeypatch.setattr(module, name, fail)

    return start


def ports(namespace, prefix=''):
    """Yield all names of input ports of a process."""
    for name, port in namespace.items():
        yield prefix + name
        if hasattr(port, 'items'):
            yield from ports(port, f'{prefix}{name}.')


@pytest.mark.parametrize('name', WORK_CHAINS)
def test_no_input_is_the_name_of_a_protocol(name):
    process: type[Process] = WorkflowFactory(name)
    assert not [port for port in ports(process.spec().inputs) if port.rsplit('.')[-1] in {'protocol', 'overrides'}]


def test_builders_from_a_resolved_protocol_read_nothing(
    aiida_profile_clean, pyscf_code, lithium_hydride, toy_basis, nothing_is_read
):
    """Neither the file nor the family is asked for, and the bases are those that were resolved."""
    install_families(*toy_basis())
    protocol = EnergyProtocol.resolve('pipeline', {'basis': 'toy/dz'}, ['Li', 'H'])
    assert protocol.settings.basis == 'toy/1/dz' and set(protocol.families['toy_1_dz']) == {'Li', 'H'}
    nothing_is_read()
    for structure in (lithium_hydride, isolated_atom('H')):
        builder = builder_of_level(pyscf_code, structure, Fidelity.PBE, protocol)
        nodes = {symbol: node.uuid for symbol, node in builder.pyscf.bases.items()}
        assert nodes.items() <= {symbol: node.uuid for symbol, node in protocol.families['toy_1_dz'].items()}.items()


def test_a_ladder_holds_settings_and_bases(
    aiida_profile_clean, pyscf_code, lithium_hydride, toy_basis, nothing_is_read
):
    """Its steps get the protocol from its inputs alone."""
    install_families(*toy_basis())
    builder = LadderWorkChain.get_builder_from_protocol(
        pyscf_code, {'a': lithium_hydride}, {'a': ['PBE']}, 'pipeline', overrides={'basis': 'toy/dz'}
    )
    nothing_is_read()
    given = given_protocol({'settings': builder.settings, 'bases': builder.bases})
    assert given.settings.basis == 'toy/1/dz' and set(given.families['toy_1_dz']) == {'Li', 'H'}
    assert given.basis(given.settings.basis, ['Li']).settings.basis == 'toy-1-dz'


def test_settings_of_a_campaign_are_complete(aiida_profile_clean, pyscf_code, ml_code, nothing_is_read):
    """`energy.…` reaches every setting of the energies, and a continuation changes those that it names."""
    builder = CampaignWorkChain.get_builder_from_protocol(
        pyscf_code=pyscf_code,
        ml_code=ml_code,
        elements=['Li', 'H'],
        protocol='machinery',
        overrides={'energy': {'scf': {'max_cycle': 77}}},
    )
    stored = builder.parameters.get_dict()
    assert stored['energy']['scf'] == {'conv_tol': 1e-6, 'max_cycle': 77} and stored['energy']['protocol'] == 'pipeline'
    nothing_is_read()
    changed = merge_settings(stored, {'energy': {'scf': {'conv_tol': 1e-8}}})
    assert changed.energy.scf.max_cycle == 77 and changed.energy.scf.conv_tol == 1e-8


def test_a_continuation_may_take_another_level(aiida_profile_clean):
    """A section that names a protocol begins anew from that protocol."""
    stored = campaign_settings('machinery').dump()
    changed = merge_settings(stored, {'energy': {'protocol': 'fast'}})
    assert changed.energy.protocol == 'fast' and changed.energy.basis == 'ccgto/cc-pvdz'
    complete, nodes = complete_settings(changed, ['Li', 'H'])
    assert complete.energy.basis == 'gth-cc-dzvp' and complete.energy.fallback.replaces == 'ccgto/cc-pvdz'
    assert nodes == {}
    with pytest.raises(InvalidInputError, match='cannot describe the isolated atom of Li'):
        EnergyProtocol(complete.energy, {}).cover(['Li'])


def test_a_resolved_protocol_takes_no_overrides(aiida_profile_clean):
    with pytest.raises(InvalidInputError, match='resolved already'):
        EnergyProtocol.resolve(EnergyProtocol.resolve('pipeline'), {'precision': 1e-7})


def test_settings_that_are_incomplete_are_refused(aiida_profile_clean, pyscf_code, lithium_hydride):
    builder = LadderWorkChain.get_builder_from_protocol(pyscf_code, {'a': lithium_hydride}, {'a': ['PBE']}, 'pipeline')
    values = {name: value for name, value in builder.settings.get_dict().items() if name != 'precision'}
    with pytest.raises(ValueError, match='`precision`: Field required'):
        builder.settings = orm.Dict(values)
