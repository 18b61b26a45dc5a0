"""The initial set of structures and what is computed for it."""

from __future__ import annotations

import pytest
from aiida import orm

from aiida_qagenai.calculations.functions.seed import build_seed_set, plan_labels
from aiida_qagenai.chemistry.prototypes import seed_structures
from aiida_qagenai.common.fidelity import LADDER, Fidelity


class TestSeed:
    """The initial set."""

    def test_plan_is_nested(self):
        """A structure computed at a level is computed at all levels below."""
        seeds = seed_structures(['Li', 'H'], max_atoms=4, num_structures=24, seed=1)
        plan = plan_labels(seeds, {Fidelity.SCAN: 8, Fidelity.HSE06: 6, Fidelity.CCSD_T: 4})
        for levels in plan:
            assert levels == list(LADDER[: len(levels)])
        assert [sum(level in levels for levels in plan) for level in LADDER] == [24, 8, 6, 4]

    def test_only_neutral_structures_climb(self):
        """CCSD(T) does not apply to metals, so charge-neutral compositions come first."""
        seeds = seed_structures(['Li', 'H'], max_atoms=4, num_structures=24, seed=1)
        plan = plan_labels(seeds, {Fidelity.SCAN: 8})
        assert all(seed.neutral for seed, levels in zip(seeds, plan, strict=True) if len(levels) > 1)

    def test_a_level_without_labels_is_left_out(self):
        """The ladder may go from PBE to HSE06 without SCAN."""
        seeds = seed_structures(['Li', 'H'], max_atoms=4, num_structures=24, seed=1)
        plan = plan_labels(seeds, {Fidelity.SCAN: 0, Fidelity.HSE06: 6})
        assert [sum(level in levels for levels in plan) for level in LADDER] == [24, 0, 6, 0]

    @pytest.mark.parametrize('source', ['library', 'prototypes'])
    def test_nodes_and_packed_set_agree(self, aiida_profile_clean, source):
        """The set packs the candidates in the order of their labels."""
        parameters = {
            'source': source,
            'num_structures': 6,
            'max_atoms': 2,
            'strain': 0.05,
            'displacement': 0.05,
            'seed': 2,
            'labels': {},
        }
        outputs = build_seed_set(orm.List(['Li', 'H']), orm.Dict(parameters))
        nodes = [outputs['candidates'][label] for label in sorted(outputs['candidates'])]
        batch = outputs['candidate_set'].structures()
        assert batch.identifiers.tolist() == [node.name for node in nodes]
        for node, structure in zip(nodes, batch.structures(), strict=True):
            assert node.formula == structure.composition.reduced_formula
        systems = {node.base.attributes.get('chemical_system') for node in nodes}
        assert systems == ({'H-Li', 'Li'} if source == 'library' else {'H-Li'})
