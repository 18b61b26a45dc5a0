"""The three test sets of the paper's 4.4.1 as chemical systems: all are drawn before anything is generated."""

from __future__ import annotations

import csv
import gzip
import hashlib
from collections.abc import Collection
from pathlib import Path

from pymatgen.core import Composition

from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.evaluation.held_out import is_held_out
from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.thermodynamics.hull.convex_hull import abstention
from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.reference import SCALE, ReferenceHull

System = tuple[str, ...]
SIZES = {'high-divergence': 12, 'prospective': 4, 'standard': 4}
"""Chemical systems of each set."""

DIVERGENT = 0.08
"""Smallest difference of energies of formation at PBE and r2SCAN of what the paper calls a high divergence, eV/atom."""

COMPLETE = 0.5
"""Share of the stable phases of a system whose crystals are known."""

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


def draw_sets(library: MotifLibrary, seed: int = 0, sizes: dict[str, int] | None = None) -> dict[str, list[System]]:
    """Return the chemical systems of every set, of two or three elements, none of them in two sets.

    The hull must not abstain, and ``COMPLETE`` of the stable phases in a system have crystals in the library, so that
    they can be computed at every level: the others are missing from all hulls. High divergence: those of held-out
    formulas with a large difference between the levels. Prospective: of two metals, and nitrogen or boron. Standard:
    those of any other held-out formula.
    """
    hull = ReferenceHull.default()
    held_out = {tuple(sorted(parse_formula(f))) for f in set(library.formulas.tolist()) if is_held_out(f)}
    divergent = {tuple(sorted(parse_formula(formula))) for formula in divergent_formulas()}
    new = {system for system in held_out if len(system) == 3 and len(ANIONS & set(system)) == 1}
    new = {system for system in new if PROSPECTIVE & set(system)}
    pools = {'high-divergence': divergent - new, 'prospective': new, 'standard': held_out - divergent - new}
    crystals = frozenset(library.identifiers.tolist())
    found: dict[str, list[System]] = {}
    for name, pool in pools.items():
        chosen: list[System] = []
        for system in in_order(pool, seed):
            candidate = Phase(dict.fromkeys(system, 1), 0.0, level=SCALE)
            known = [str(phase.identifier) in crystals for phase in hull.phases(system)]
            if (
                sum(known) >= COMPLETE * len(known)
                and len(system) in (2, 3)
                and not abstention(candidate, hull.competing([system]))
            ):
                chosen.append(system)
            if len(chosen) == (sizes or SIZES)[name]:
                break
        found[name] = chosen
    return found


def hidden(library: MotifLibrary, sets: dict[str, list[System]]) -> frozenset[str]:
    """Return the formulas that no generator sees: compounds of the systems, and all of the prospective chemistries."""
    wanted = [frozenset(system) for systems in sets.values() for system in systems]
    elements = {formula: frozenset(parse_formula(formula)) for formula in set(library.formulas.tolist())}

    def is_hidden(own: frozenset[str]) -> bool:
        prospective = len(own) > 2 and len(own & ANIONS) == 1 and bool(own & PROSPECTIVE)
        return len(own) > 1 and (prospective or any(own <= system for system in wanted))

    return frozenset(formula for formula, own in elements.items() if is_hidden(own))
