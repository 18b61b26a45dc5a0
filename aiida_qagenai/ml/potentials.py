"""From the name of a potential to an ASE calculator."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import io
import typing as t
import warnings
from pathlib import Path

import numpy as np
import torch

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.tasks import AtomisticConfig
from aiida_qagenai.ml.checkpoints import load_checkpoint
from aiida_qagenai.ml.graph import neighbour_list
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.thermodynamics.vibrations.settings import ChgnetPotential

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('make_calculator', 'require_neighbours')

CHGNET_WEIGHTS = {
    '0.3.0': 'pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar',
    'r2scan': 'pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar',
}
"""Where the weights are within the package."""


def make_calculator(config: AtomisticConfig, runtime: Runtime) -> tuple[t.Any, str]:
    """Return the calculator that a configuration asks for, and the tag of its energies.

    It raises an ``InvalidInputError`` for a crystal with an atom that has no neighbour within its cutoff.

    :raises InvalidInputError: if the package of the potential is not installed here.
    """
    calculator, tag = _make_calculator(config, runtime)
    return _refusing_isolated_atoms(calculator, tag), tag


def _refusing_isolated_atoms(calculator: t.Any, tag: str) -> t.Any:
    """Let a calculator check the surroundings of every atom before it computes anything."""
    calculate = calculator.calculate

    def checked(atoms: Atoms | None = None, *arguments: t.Any, **options: t.Any) -> None:
        crystal = calculator.atoms if atoms is None else atoms
        require_neighbours(crystal, _cutoff(calculator, crystal), tag)
        calculate(atoms, *arguments, **options)

    calculator.calculate = checked
    return calculator


def require_neighbours(atoms: Atoms, cutoff: float, potential: str) -> None:
    """Check that every atom has a neighbour, which may be an image of itself, within the cutoff of a potential.

    :param cutoff: Å.
    :raises InvalidInputError: naming the first atom that has none.
    """
    receivers, _, _ = neighbour_list(atoms.cell.array, atoms.positions, cutoff)
    isolated = np.setdiff1d(np.arange(len(atoms)), receivers)
    if not len(isolated):
        return
    first = int(isolated[0])
    others = f' ({len(isolated)} atoms of {len(atoms)} have none)' if len(isolated) > 1 else ''
    message = (
        f'atom {first} ({atoms.symbols[first]}) of {atoms.get_chemical_formula()} has no neighbour within {cutoff:.3g} '
        f'Å, the cutoff of the potential {potential}{others}: the potential cannot describe it; use a denser structure'
    )
    raise InvalidInputError(message)


def _cutoff(calculator: t.Any, atoms: Atoms) -> float:
    """Return the distance beyond which a potential sees nothing, Å."""
    if calculator.name == 'emt':
        calculator.initialize(atoms)
        return float(calculator.rc_list)
    if hasattr(calculator, 'ensemble'):
        return float(calculator.ensemble.cutoff)
    return float(calculator.model.graph_converter.atom_graph_cutoff)


def _make_calculator(config: AtomisticConfig, runtime: Runtime) -> tuple[t.Any, str]:
    potential = config.potential
    if potential.name == 'emt':
        from ase.calculators.emt import EMT

        return EMT(), potential.tag
    if potential.name == 'chgnet':
        return _chgnet(potential, runtime), f'{potential.tag}:{importlib.metadata.version("chgnet")}'
    from aiida_qagenai.ml.validator.calculator import ValidatorCalculator
    from aiida_qagenai.ml.validator.ensemble import Ensemble

    assert config.checkpoint is not None
    tensors, info = load_checkpoint(config.checkpoint, 'validator')
    if potential.fidelity.value not in info.fidelities:
        seen = ', '.join(info.fidelities)
        message = f'the validator saw no {potential.fidelity} labels, only {seen}: choose one of these as `fidelity`'
        raise InvalidInputError(message)
    ensemble = Ensemble.from_checkpoint(tensors, info, runtime.dtype)
    calculator = ValidatorCalculator(ensemble, potential.fidelity, runtime.device, runtime.dtype)
    return calculator, f'{potential.tag}:{info.sha256[:12]}'


def _chgnet(potential: ChgnetPotential, runtime: Runtime) -> t.Any:
    """Return CHGNet with the weights of its wheel, read as tensors only: its own loader would unpickle anything.

    :raises InvalidInputError: if chgnet is not installed here.
    """
    found = importlib.util.find_spec('chgnet')
    if found is None or found.origin is None:
        message = 'the potential `chgnet` needs the package chgnet here: pip install "aiida-qagenai[chgnet]"'
        raise InvalidInputError(message)
    from chgnet.model.dynamics import CHGNetCalculator
    from chgnet.model.model import CHGNet

    path = Path(found.origin).parent / CHGNET_WEIGHTS[potential.model]
    state = torch.load(path, map_location='cpu', weights_only=True)
    model = CHGNet.from_dict(state['model'], mlp_out_bias=False, version=potential.model)
    # It reads structures through pymatgen, which knows no symmetry constraint; ASE applies that one.
    warnings.filterwarnings('ignore', message='Only FixAtoms')
    # It says on standard output where it runs; that is in the versions already.
    with contextlib.redirect_stdout(io.StringIO()):
        return CHGNetCalculator(model=model.to(runtime.device), use_device=runtime.device.type)
