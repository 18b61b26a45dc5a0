"""Potentials that relax crystals: what they need, and what their energies are."""

from __future__ import annotations

import importlib.util
import typing as t
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('about_energies', 'hull_problem', 'level_of', 'potential_config', 'require_installed')


def require_installed(name: str, asked: str) -> None:
    """Check that a potential can run here.

    :param asked: how it was asked for, for the message: an option.
    :raises InvalidInputError: saying what to install.
    """
    from aiida_qagenai.thermodynamics.vibrations.settings import PACKAGES

    needed = ['torch', 'vesin', *([PACKAGES[name]] if name in PACKAGES else [])]
    missing = [module for module in needed if importlib.util.find_spec(module) is None]
    if missing:
        extras = f'ml,{name}' if name in PACKAGES else 'ml'
        names = ', '.join(missing)
        message = f'{asked} {name} needs {names}, not installed here: pip install "aiida-qagenai[{extras}]"'
        raise InvalidInputError(message)


def potential_config(text: str, validator: Path | None = None) -> dict[str, t.Any]:
    """Return the keys of a task that name the potential.

    :param text: name of the potential, with its options behind colons.
    :param validator: folder of a checkpoint in place of the shipped one.
    :raises InvalidInputError: if there is no such potential, or the validator was not trained on the level.
    """
    from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, read_checkpoint
    from aiida_qagenai.exchange.tasks import parse
    from aiida_qagenai.workchains.protocols.atomistic import parse_potential

    config: dict[str, t.Any] = {'potential': parse_potential(text)}
    name = config['potential']['name']
    if name == 'validator':
        folder = validator or VALIDATOR_FOUNDATION
        known, level = read_checkpoint(folder, 'validator')[1].fidelities, config['potential'].get('fidelity', 'PBE')
        if level not in known:
            message = f'the validator in {folder} was not trained on {level}, only on {", ".join(known)}'
            raise InvalidInputError(message)
        config['checkpoint'] = str(folder.resolve())
    elif validator is not None:
        raise InvalidInputError(f'a checkpoint of a validator (--validator) does not go with the potential {text}')
    parse('relax_many', {**config, 'structures': 'structures.npz'})
    return config


def level_of(config: dict[str, t.Any]) -> str:
    """Return the level of theory of the energies of a potential."""
    from aiida_qagenai.exchange.checkpoint import read_checkpoint
    from aiida_qagenai.exchange.tasks import parse

    potential = parse('relax_many', {**config, 'structures': 'structures.npz'}).potential
    if potential.name != 'validator':
        return str(potential.level)
    info = read_checkpoint(Path(config['checkpoint']), 'validator')[1]
    levels = {entry['rung']: entry['tag'] for entry in info.configuration.get('levels', ())}
    return str(levels.get(potential.fidelity.value, potential.fidelity.value))


def about_energies(config: dict[str, t.Any]) -> str:
    """Return what the energies of a potential are."""
    if config['potential']['name'] != 'validator':
        return f'total energies in eV/atom by {level_of(config)}'
    return f'energies of formation in eV/atom by the validator, level of theory {level_of(config)}'


def hull_problem(config: dict[str, t.Any]) -> str | None:
    """Return why the energies of a potential have no place on the hull of the package, or None if they do."""
    from aiida_qagenai.thermodynamics.hull.reference import ABOUT
    from aiida_qagenai.thermodynamics.references.mp_elements import FORMATION_LEVELS
    from aiida_qagenai.thermodynamics.references.mp_elements import LEVELS as TOTAL_LEVELS

    name, level = config['potential']['name'], level_of(config)
    if level in (FORMATION_LEVELS if name == 'validator' else TOTAL_LEVELS):
        return None
    return (
        f'the energies of {name} are of the level {level}, and the hull of the package has {ABOUT}: levels never meet '
        'in one hull. Rank with chgnet, or with a validator whose level at PBE is MP2020 PBE, such as that of the '
        f'package; `aiida-qagenai relax files --potential {name}` relaxes without a hull'
    )
