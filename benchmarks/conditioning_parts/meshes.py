"""How much the descriptors that the heads learn from change on a mesh of k-points twice as dense.

The crystals are held-out ones of `recipes/labels/descriptors.npz` with few atoms. R² of the labels, as if they
predicted those of the denser mesh, is what no head that learns from them can be expected to exceed.
"""

from __future__ import annotations

import numpy as np
from aiida import load_profile, orm
from descriptor_heads import columns, explained
from descriptors import OVERRIDES, compute, ended, hashed, means
from figures import figure

from aiida_qagenai.common.descriptors import FIELDS, HEAD_FIELDS, pack
from aiida_qagenai.exchange.dataset import LabelledBatch
from conditioning_parts.described import LABELS, held_out

COUNT, MOST_ATOMS = 24, 3
HOURS = 0.2
GROUP = 'qagenai-benchmark-meshes'

SPACING = OVERRIDES['meshes']['PBE']['spacing'] / 2
"""1/Å."""


def report(profile: str) -> None:
    """Compute what is missing on the denser mesh, and print R² of the labels in ``LABELS``."""
    load_profile(profile)
    group, _ = orm.Group.collection.get_or_create(GROUP)
    by, labels = means(), chosen()
    names, known = labels.structures.identifiers.tolist(), ended(group)
    for index, name in enumerate(names):
        if name not in known:
            changes = {'meshes': {'PBE': {'spacing': SPACING}}}
            said = compute(name, labels.structures.structure(index), by, group, HOURS, changes=changes)
            print(f'# {name} {labels.groups[index]}: {said}', flush=True)
    nodes = ended(group)
    rows = [row for row, name in enumerate(names) if name in nodes and 'descriptors' in nodes[name].outputs]
    dense = np.array([pack(nodes[names[row]].outputs.descriptors.get_dict()) for row in rows])
    print(f'# meshes: {len(rows)} of {len(names)} crystals', flush=True)
    truth = dense[:, [FIELDS.index(name) for name in HEAD_FIELDS]]
    for name, share in zip(HEAD_FIELDS, explained(columns(labels)[rows], truth), strict=True):
        figure(f'mesh-r2-{name.replace("_", "-")}', float(share), '', 'mean predictor', 0.0)


def chosen() -> LabelledBatch:
    """Return the crystals, in the order of a hash of their identifiers."""
    labels = held_out(LabelledBatch.load(LABELS))
    small = np.flatnonzero(labels.structures.num_atoms <= MOST_ATOMS)
    order = sorted(small.tolist(), key=lambda row: hashed(str(labels.structures.identifiers[row])))
    return labels.select(order[:COUNT])
