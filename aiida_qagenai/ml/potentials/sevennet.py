"""SevenNet with the weights of its wheel (extra ``sevennet``), many crystals in one batch."""

from __future__ import annotations

import importlib.metadata
import typing as t
import warnings
from collections.abc import Sequence

import numpy as np
import torch

from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.graph import Pairs, join_pairs
from aiida_qagenai.ml.potentials.base import Evaluation, Potential
from aiida_qagenai.ml.potentials.weights import Weights, read_weights
from aiida_qagenai.thermodynamics.vibrations.settings import SevennetPotential

__all__ = ('SevenNet',)

FOLDER = 'pretrained_potentials'
WEIGHTS = {
    '0': Weights(
        'sevenn',
        f'{FOLDER}/SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth',
        '7052cb42b7b3be42b40b97fa0d21077a48c54b5548948fc4dcf346629f813c36',
    ),
    'l3i5': Weights(
        'sevenn',
        f'{FOLDER}/SevenNet_l3i5/checkpoint_l3i5.pth',
        'a7ff190d41efe5b8317a03d20a468e4036a1a3e64e0b14fdbab64ac3f4bfc09d',
    ),
    'mf-0': Weights(
        'sevenn',
        f'{FOLDER}/SevenNet_MF_0/checkpoint_sevennet_mf_0.pth',
        '81791329b37d445f46b531578c182c41792d98c7814222c9e5dde276402225fd',
    ),
}
VOIGT = [[0, 3, 5], [3, 1, 4], [5, 4, 2]]
"""Where SevenNet keeps each component of the stress: xx, yy, zz, xy, yz, zx."""


class SevenNet(Potential):
    """SevenNet; it computes in single precision, whatever the precision of the run.

    Its features have no parity: the energies of a crystal without inversion and of its mirror image differ a little.
    """

    def __init__(self, settings: SevennetPotential, device: torch.device) -> None:
        weights = WEIGHTS[settings.model]
        self.model, config = _build(weights)
        self.model.to(device)
        self.device = device
        self.modality: int | None = None
        if settings.modality is not None:
            self.modality = config['_modal_map'][settings.modality]
        super().__init__(
            tag=f'{settings.tag}:{importlib.metadata.version("sevenn")}',
            level=settings.level,
            sha256=weights.sha256,
            cutoff=float(config['cutoff']),
            elements=frozenset(config['_type_map']),
        )

    def _evaluate(self, structures: StructureBatch, pairs: Sequence[Pairs]) -> Evaluation:
        graph = join_pairs(structures, structures.species, pairs, torch.float32).to(self.device)
        # Vectors lead from the sender to the receiver, which is the sign that SevenNet's forces take.
        data = {
            'x': graph.species,
            'atomic_numbers': graph.species,
            'edge_index': torch.stack([graph.receivers, graph.senders]),
            'edge_vec': graph.edge_vectors(),
            'cell_volume': torch.linalg.det(graph.cells).abs(),
            'num_atoms': graph.num_atoms,
            'batch': graph.owner,
        }
        if self.modality is not None:
            data['modal_type'] = torch.full_like(graph.num_atoms, self.modality)
        found = self.model(data)
        arrays = {
            name: found[name].detach().double().cpu().numpy()
            for name in ('inferred_total_energy', 'inferred_force', 'inferred_stress')
        }
        return Evaluation(
            energies=arrays['inferred_total_energy'],
            forces=arrays['inferred_force'],
            stresses=-arrays['inferred_stress'][:, np.array(VOIGT)],
        )


def _build(weights: Weights) -> tuple[t.Any, dict[str, t.Any]]:
    """Return the network of a checkpoint, ready to evaluate, and its configuration.

    SevenNet's own loader would unpickle anything; the steps are the same.

    :raises InvalidInputError: if sevenn is not installed here.
    """
    content = read_weights(weights, 'sevennet', arrays=True)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of the many packages that it imports
        from sevenn._const import model_defaults
        from sevenn.model_build import build_E3_equivariant_model
        from sevenn.scripts.backward_compatibility import patch_old_config, patch_state_dict_if_old

        config = {**model_defaults(content['config']), **patch_old_config(content['config'])}
        model = build_E3_equivariant_model(config)
        model.load_state_dict(patch_state_dict_if_old(content['model_state_dict'], config, model))
    model.set_is_batch_data(True)
    # Modalities are given by their number.
    model.eval_modal_map = False
    return model.eval().requires_grad_(False), config
