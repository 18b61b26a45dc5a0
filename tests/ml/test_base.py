"""A validator on top of a potential of others."""

import dataclasses

import numpy as np
import pytest
from emt_crystals import emt_dataset

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.checkpoint import read_checkpoint
from aiida_qagenai.exchange.structures import load_arrays
from aiida_qagenai.exchange.tasks import RuntimeConfig, ValidatorOptions, parse
from aiida_qagenai.ml.potentials import make_potential
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.ml.validator.base import base_of, without_base

SHIFT = {13: 1.0, 28: -2.0, 29: 0.5}
"""What a level of theory puts on each atom of a kind beyond effective-medium theory, eV."""


def shifted(count, seed):
    """Return alloys whose labels are those of effective-medium theory and a shift by element."""
    labels = emt_dataset(count, seed)
    shift = np.array([SHIFT[number] for number in labels.structures.species.tolist()]).reshape(count, 4).mean(axis=1)
    return dataclasses.replace(labels, energies=labels.energies + shift[:, None])


@pytest.fixture(scope='module')
def trained(tmp_path_factory, command):
    """Return a folder with a short training on the base and one without."""
    folder = tmp_path_factory.mktemp('base')
    shifted(40, 0).save(folder / 'dataset.npz')
    shifted(12, 1).save(folder / 'others.npz')
    config = {'role': 'validator', 'dataset': 'dataset.npz', 'steps': 8, 'dtype': 'float64'}
    for name in ('emt', 'own'):
        options = {'num_members': 2, 'base': name}
        status, results = command(folder, 'train', {**config, 'output': name, 'options': options})
        assert status == 0, results['error']
    return folder


def test_what_the_base_knows_need_not_be_learned(trained, command):
    truth, errors = shifted(12, 1).energies[:, 0], {}
    for name in ('emt', 'own'):
        assert command(trained, 'predict', {'validator': name, 'structures': 'others.npz', 'dtype': 'float64'})[0] == 0
        errors[name] = np.abs(load_arrays(trained / 'predictions.npz')['energies'][:, 0] - truth).mean()
    assert errors['emt'] < 0.02
    assert errors['own'] > 0.05


def test_energies_forces_and_stresses_are_those_of_the_sum(trained):
    labels = shifted(3, 1)
    config = parse('label', {'potential': {'name': 'validator'}, 'checkpoint': str(trained / 'emt'), 'structures': 'x'})
    potential = make_potential(config, setup(RuntimeConfig(dtype='float64')))
    found = potential.evaluate(labels.structures)
    np.testing.assert_allclose(found.energies / 4, labels.energies[:, 0], atol=0.02)
    np.testing.assert_allclose(found.forces, labels.forces[:, 0], atol=0.15)
    np.testing.assert_allclose(found.stresses, labels.stresses[:, 0], atol=0.01)
    assert (found.sigmas > 0).all()


def test_the_checkpoint_names_its_base(trained):
    assert read_checkpoint(trained / 'emt')[1].configuration['base'] == {'name': 'emt'}
    assert 'base' not in read_checkpoint(trained / 'own')[1].configuration


def test_other_weights_are_refused(trained):
    info = read_checkpoint(trained / 'emt')[1]
    other = info.model_copy(update={'configuration': {**info.configuration, 'base_sha256': 'other'}})
    with pytest.raises(InvalidInputError, match='other weights'):
        base_of(other, setup(RuntimeConfig()))


def test_a_fine_tuning_keeps_the_base(trained, command):
    config = {'role': 'validator', 'dataset': 'others.npz', 'steps': 4, 'dtype': 'float64', 'output': 'tuned'}
    config['initial_checkpoint'] = 'emt'
    status, results = command(trained, 'train', {**config, 'options': {'num_members': 2}})
    assert status != 0 and 'another `base`' in results['error']['message']
    status, results = command(trained, 'train', {**config, 'options': {'num_members': 2, 'base': 'emt'}})
    assert status == 0, results['error']
    assert read_checkpoint(trained / 'tuned')[1].configuration['base'] == {'name': 'emt'}


def test_structures_that_the_base_cannot_describe_lose_their_labels():
    labels = emt_dataset(3)
    species = labels.structures.species.copy()
    species[4] = 3
    labels = dataclasses.replace(labels, structures=dataclasses.replace(labels.structures, species=species))
    config = parse('label', {'potential': {'name': 'emt'}, 'structures': 'x'})
    found, reasons = without_base(labels, make_potential(config, setup(RuntimeConfig())))
    assert np.isnan(found.energies[:, 0]).tolist() == [False, True, False]
    assert [bool(reason) for reason in reasons] == [False, True, False]
    assert np.abs(found.energies[[0, 2], 0]).max() < 1e-9


@pytest.mark.parametrize(
    ('given', 'name'), [('own', None), (None, None), ('chgnet', 'chgnet'), ('sevennet', 'sevennet')]
)
def test_a_base_may_be_given_by_name(given, name):
    base = ValidatorOptions(base=given).base
    assert (base.name if base else None) == name
