"""The three test sets of the paper's 4.4.1 as chemical systems: all are drawn before anything is generated."""

from __future__ import annotations

import csv
import gzip
import hashlib
import itertools
from collections.abc import Collection
from pathlib import Path

import numpy as np
from pymatgen.core import Composition

from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.evaluation.held_out import is_held_out
from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.thermodynamics.hull.convex_hull import abstention
from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull

System = tuple[str, ...]
SIZES = {'high-divergence': 16, 'prospective': 4, 'standard': 4}
"""Chemical systems that are drawn for each set."""

DIVERGENT = 0.08
"""Smallest difference of energies of formation at PBE and r2SCAN of what the paper calls a high divergence, eV/atom."""

SEED = 2
SEEN = frozenset({
    'Cd-In-Sm', 'Eu-N', 'O-Sc', 'Ir-Si-Tm', 'Cd-Dy-S', 'Ru-S', 'Br-W', 'Bi-Na-O', 'S-Ti', 'C-Ga-Ti', 'Br-K', 'Ca-O-Te',
    'O-Pt', 'Co-O-Pt', 'Br-Zr', 'Lu-O', 'Ba-N', 'Co-Fe-O', 'Dy-Sb', 'N-Sc', 'La-O-U', 'Al-O-V', 'Ho-Se', 'Ac-O-Ti',
    'B-Co-Ta', 'B-Pr-Rh', 'N-Sr-Zn', 'B-Os-Y', 'Cs-Ga-Se', 'Al-Ru', 'Hg-K-O', 'Fe-Sb-Ti',
})  # fmt: skip
"""Systems of two earlier runs, whose hulls were not complete and whose results were seen: they take no part."""

COMPLETE = 0.6
"""Smallest share of the stable compounds of a system whose crystals are known: by these the others are moved."""

REFERENCE = 0.02
"""Largest distance of the lowest crystal of an element to its most stable one, eV/atom."""

DROPPED = ('Cs', 'N', 'Ta')
"""Drawn and hidden as the others, and left out before any result: the oracle has no energy of caesium."""

PROSPECTIVE = frozenset({'N', 'B'})
"""Anions of the chemistries that are held out as a whole, as in the paper: ternary nitrides and borides."""

ANIONS = frozenset({'H', 'B', 'C', 'N', 'O', 'F', 'Si', 'P', 'S', 'Cl', 'Se', 'Br', 'Te', 'I'})
TEACHER = Path(__file__).parents[1] / 'active_learning_parts' / 'teacher.csv.gz'
"""Known crystals with energies of formation at PBE and r2SCAN by the teacher, which evaluates nothing here."""


def divergent_formulas(path: Path = TEACHER) -> set[str]:
    """Return the held-out formulas with a crystal whose energies of formation differ by ``DIVERGENT`` or more."""
    rows = csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines())
    far = {row['formula'] for row in rows if abs(float(row['hf_gga_gga_u']) - float(row['hf_r2scan'])) >= DIVERGENT}
    return {formula for formula in far if is_held_out(Composition(formula).reduced_formula)}


def in_order(systems: Collection[System], seed: int) -> list[System]:
    """Return systems in the order of their hashes, so that the choice depends on no list."""
    return sorted(systems, key=lambda system: hashlib.sha256(f'{seed} {system}'.encode()).hexdigest())


def with_references(library: MotifLibrary) -> frozenset[str]:
    """Return the elements of which the library has the most stable crystal, or one that is as good."""
    hull = ReferenceHull.default()
    stable = {str(phase.identifier) for phase in hull.phases(hull.elements) if len(phase.elements) == 1}
    rows = zip(library.formulas.tolist(), library.identifiers.tolist(), library.e_above_hull.tolist(), strict=True)
    near = {formula for formula, name, distance in rows if name in stable or distance <= REFERENCE}
    return frozenset(next(iter(amounts)) for amounts in map(parse_formula, near) if len(amounts) == 1)


def is_usable(system: System, library: MotifLibrary, *, explored: bool) -> bool:
    """Return whether the hull of a system can be complete at every level, see :func:`draw_sets`.

    :param explored: whether the hull of the package must not abstain as well.
    """
    hull = ReferenceHull.default()
    compounds = [str(phase.identifier) for phase in hull.phases(system) if len(phase.elements) > 1]
    known = np.isin(compounds, library.identifiers)
    if not known.any() or known.mean() < COMPLETE:
        return False
    candidate = Phase(dict.fromkeys(system, 1), 0.0, level=SCALE)
    return not explored or not abstention(candidate, hull.competing([system]))


def draw_sets(library: MotifLibrary, seed: int = SEED, sizes: dict[str, int] | None = None) -> dict[str, list[System]]:
    """Return the chemical systems of every set, of two or three elements, none of them in two sets.

    All elements have their reference in the library, and ``COMPLETE`` of the stable compounds of a system have crystals
    there; `hulls.py` adds the others. High divergence: the systems of held-out formulas with a large difference between
    the levels. Prospective: of two metals, and nitrogen or boron; there alone the hull of the package may abstain, as
    it knows too few of them. Standard: those of any other held-out formula.
    """
    held_out = {tuple(sorted(parse_formula(f))) for f in set(library.formulas.tolist()) if is_held_out(f)}
    divergent = {tuple(sorted(parse_formula(formula))) for formula in divergent_formulas()}
    new = {system for system in held_out if len(system) == 3 and len(ANIONS & set(system)) == 1}
    new = {system for system in new if PROSPECTIVE & set(system)}
    pools = {'high-divergence': divergent - new, 'prospective': new, 'standard': held_out - divergent - new}
    elements = with_references(library)
    found: dict[str, list[System]] = {}
    for name, pool in pools.items():
        open_to = [
            system
            for system in in_order(pool, seed)
            if len(system) in (2, 3) and elements >= set(system) and '-'.join(system) not in SEEN
        ]
        usable = (each for each in open_to if is_usable(each, library, explored=name != 'prospective'))
        chosen = itertools.islice(usable, (sizes or SIZES)[name])
        found[name] = [system for system in chosen if system != DROPPED]
    return found


def hidden(library: MotifLibrary, sets: dict[str, list[System]]) -> frozenset[str]:
    """Return the formulas that no generator sees: compounds of the systems, and all of the prospective chemistries."""
    wanted = [frozenset(system) for systems in (*sets.values(), [DROPPED]) for system in systems]
    elements = {formula: frozenset(parse_formula(formula)) for formula in set(library.formulas.tolist())}

    def is_hidden(own: frozenset[str]) -> bool:
        prospective = len(own) > 2 and len(own & ANIONS) == 1 and bool(own & PROSPECTIVE)
        return len(own) > 1 and (prospective or any(own <= system for system in wanted))

    return frozenset(formula for formula, own in elements.items() if is_hidden(own))
