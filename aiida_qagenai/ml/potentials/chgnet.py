"""CHGNet with the weights of its wheel (extra ``chgnet``), many crystals in one batch."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import typing as t
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from aiida_qagenai.common.units import EV_PER_A3_TO_GPA
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.graph import Pairs
from aiida_qagenai.ml.potentials.base import Evaluation, Potential
from aiida_qagenai.ml.potentials.weights import Weights, read_weights
from aiida_qagenai.thermodynamics.vibrations.settings import ChgnetPotential

__all__ = ('Chgnet',)

WEIGHTS = {
    '0.3.0': Weights(
        'chgnet',
        'pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar',
        'd14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1',
    ),
    'r2scan': Weights(
        'chgnet',
        'pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar',
        '8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad',
    ),
}
LARGEST_ELEMENT = 94
UNTRAINED = {'0.3.0': {84, 85, 86, 87, 88}, 'r2scan': {70, 84, 85, 86, 87, 88}}
"""Elements without data, Po to Ra and for r2SCAN also Yb: their embeddings are what training began with."""


MOST_EDGES = 15_000
"""Bonds and angles that are evaluated at once: crystals that a generator made too dense have a hundred times as many as
relaxed ones, and memory goes with them and not with the number of atoms."""


class Chgnet(Potential):
    """CHGNet; it computes in single precision, whatever the precision of the run."""

    def __init__(self, settings: ChgnetPotential, device: torch.device) -> None:
        weights = WEIGHTS[settings.model]
        state = read_weights(weights, 'chgnet')
        from chgnet.model.model import CHGNet

        # It says on standard output where it runs; that is in the versions already.
        with contextlib.redirect_stdout(io.StringIO()):
            model = CHGNet.from_dict(state['model'], mlp_out_bias=False, version=settings.model)
        self.model: t.Any = model.to(device).requires_grad_(False)
        super().__init__(
            tag=f'{settings.tag}:{importlib.metadata.version("chgnet")}',
            level=settings.level,
            sha256=weights.sha256,
            cutoff=float(model.graph_converter.atom_graph_cutoff),
            elements=frozenset(range(1, LARGEST_ELEMENT + 1)) - UNTRAINED[settings.model],
        )

    def _evaluate(self, structures: StructureBatch, pairs: Sequence[Pairs]) -> Evaluation:
        graphs = [self.model.graph_converter(structure) for structure in structures.structures()]
        found: list[dict[str, t.Any]] = []
        for group in _groups([len(graph.atom_graph) + len(graph.bond_graph) for graph in graphs]):
            several = self.model.predict_graph(graphs[group], task='efs', batch_size=len(graphs))
            found += [several] if isinstance(several, dict) else several
        # Its volumes are negative in left-handed cells, and with them its stresses.
        gpa = EV_PER_A3_TO_GPA * np.sign(np.linalg.det(structures.cells))[:, None, None]
        return Evaluation(
            energies=np.array([float(each['e']) for each in found]) * structures.num_atoms,
            forces=np.concatenate([each['f'] for each in found]).astype(np.float64),
            stresses=np.stack([each['s'] for each in found]).astype(np.float64) / gpa,
        )


def _groups(edges: Sequence[int]) -> Iterator[slice]:
    """Yield consecutive crystals with at most :data:`MOST_EDGES` together, but at least one."""
    start = total = 0
    for index, count in enumerate(edges):
        if index > start and total + count > MOST_EDGES:
            yield slice(start, index)
            start, total = index, 0
        total += count
    yield slice(start, len(edges))
