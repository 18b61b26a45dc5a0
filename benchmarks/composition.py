"""How large the space of compositions is, counted, and how fast it is sampled (paper sections 3.1.1, 3.1.3 and Eq 15).

    python benchmarks/composition.py [--quick]

The reference of the sampling rate is SMACT's own filter: random compositions, kept if ``smact_validity`` accepts them.
"""

from __future__ import annotations

import argparse
import time
import warnings

import numpy as np
from figures import figure
from smact.screening import smact_validity

from aiida_qagenai.chemistry.composition_space import ALLOWED_ELEMENTS, CompositionSpace, unconstrained_count
from aiida_qagenai.chemistry.formula import reduced_formula
from aiida_qagenai.common.errors import InvalidInputError

MAX_ATOMS = 20
PAPER_COMPOSITIONS = 1e10
PAPER_REDUCTION = 1e5
"""Section 3.1.3: charge neutrality 10³ and oxidation states 10²."""


def cardinalities(max_elements: int, samples: int) -> None:
    """Count compositions with and without chemistry."""
    for k in range(2, max_elements + 1):
        everything = unconstrained_count(len(ALLOWED_ELEMENTS), MAX_ATOMS, k)
        ratios = unconstrained_count(len(ALLOWED_ELEMENTS), MAX_ATOMS, k, primitive=True)
        figure(f'compositions-all-{k}', everything, 'cells', 'paper 3.1.3', PAPER_COMPOSITIONS)
        figure(f'compositions-ratios-{k}', ratios, 'formulas', 'paper 3.1.3', PAPER_COMPOSITIONS)
        for source in ('icsd24', 'smact14', 'pymatgen_icsd'):
            space = CompositionSpace(max_atoms=MAX_ATOMS, max_elements=k, source=source)
            figure(f'species-neutral-{source}-{k}', space.count(), 'cells', f'all with up to {k} elements', everything)
            neutral = space.estimate_compositions(samples)
            print(f'#   {neutral.value:.4g} ± {neutral.standard_error:.2g} different neutral compositions')
            reduction = everything / neutral.value
            figure(f'reduction-neutral-{source}-{k}', reduction, 'factor', 'paper 3.1.3', PAPER_REDUCTION)
        try:
            mixed = CompositionSpace(max_atoms=MAX_ATOMS, max_elements=k, mixed_valence=True).count()
        except InvalidInputError as exception:
            print(f'#   mixed valence: {exception}')
            continue
        figure(f'species-neutral-mixed-valence-{k}', mixed, 'cells', f'all with up to {k} elements', everything)


def smact_rate(max_elements: int, attempts: int, rng: np.random.Generator) -> float:
    """Return accepted compositions per second by SMACT's filter on uniformly random compositions."""
    formulas = []
    for _ in range(attempts):
        k = int(rng.integers(2, max_elements + 1))
        chosen = rng.choice(ALLOWED_ELEMENTS, size=k, replace=False)
        cuts = np.sort(rng.choice(np.arange(1, MAX_ATOMS + 1), size=k, replace=False))
        amounts = np.diff(np.concatenate([[0], cuts]))
        formulas.append(reduced_formula({str(e): int(n) for e, n in zip(chosen, amounts, strict=True)}))
    start = time.process_time()
    accepted = sum(smact_validity(f, include_alloys=False, oxidation_states_set='icsd24') for f in formulas)
    return max(accepted, 1) / (time.process_time() - start)


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='up to three elements')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    cardinalities(3 if arguments.quick else 5, 500 if arguments.quick else 4000)
    max_elements = 3 if arguments.quick else 4
    space = CompositionSpace(max_atoms=MAX_ATOMS, max_elements=max_elements)
    number = 2000 if arguments.quick else 4000
    attempts = 500 if arguments.quick else 1500
    reference = smact_rate(max_elements, attempts, np.random.default_rng(arguments.seed))
    for name, draw in (('species', space.sample_species), ('composition', space.sample)):
        start = time.process_time()
        draw(number, seed=arguments.seed)
        rate = number / (time.process_time() - start)
        figure(f'{name}-sampling', rate, 'compositions/s', 'accepted by smact_validity', reference)


if __name__ == '__main__':
    main()
