"""How many textbook crystals are among the first five proposals for their formula.

    python benchmarks/textbook.py [--quick]

Crystals with any of the forty formulas are taken out of the library. Only the formula is given: the number of formula
units, the space group and the volume are found. A crystal is found if pymatgen's ``StructureMatcher`` (its default
tolerances) maps a proposal onto it. Lattice constants are rounded experimental ones; the matcher scales volumes.
"""

from __future__ import annotations

import argparse
import typing as t
import warnings
from collections.abc import Callable

from figures import figure
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure

from aiida_qagenai.motifs.propose import Limits, MotifModels, propose

FIRST = 5

CORNER, CENTRE, EDGE, QUARTER = [0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.25, 0.25, 0.25]
THIRD = [1 / 3, 2 / 3, 0.25]


class Prototype(t.NamedTuple):
    """Crystals of one structure type.

    :param sites: coordinates of each element, from the free ones.
    :param compounds: formula → elements in the order of the sites, then lattice constants a (and c), Å, then the free
        coordinates.
    """

    group: str
    system: str
    sites: Callable[..., list[list[float]]]
    compounds: dict[str, tuple[t.Any, ...]]


PROTOTYPES = (
    Prototype('Fm-3m', 'cubic', lambda: [CORNER, CENTRE], {
        'LiH': ('Li H', 4.08), 'NaCl': ('Na Cl', 5.64), 'MgO': ('Mg O', 4.21), 'TiN': ('Ti N', 4.24),
        'PbS': ('Pb S', 5.94),
    }),
    Prototype('Pm-3m', 'cubic', lambda: [CORNER, CENTRE], {
        'CsCl': ('Cs Cl', 4.12), 'NiAl': ('Ni Al', 2.89), 'CuZn': ('Cu Zn', 2.95),
    }),
    Prototype('F-43m', 'cubic', lambda: [CORNER, QUARTER], {
        'ZnS': ('Zn S', 5.41), 'GaAs': ('Ga As', 5.65), 'BP': ('B P', 4.54), 'CuCl': ('Cu Cl', 5.41),
    }),
    Prototype('P6_3mc', 'hexagonal', lambda u: [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, u]], {
        'ZnO': ('Zn O', 3.25, 5.21, 0.382), 'AlN': ('Al N', 3.11, 4.98, 0.382), 'GaN': ('Ga N', 3.19, 5.19, 0.377),
    }),
    Prototype('P6_3/mmc', 'hexagonal', lambda: [CORNER, THIRD], {
        'NiAs': ('Ni As', 3.60, 5.01), 'CrTe': ('Cr Te', 3.98, 6.21),
    }),
    Prototype('Fm-3m', 'cubic', lambda: [CORNER, QUARTER], {
        'CaF2': ('Ca F', 5.46), 'CeO2': ('Ce O', 5.41), 'Li2O': ('O Li', 4.62), 'Mg2Si': ('Si Mg', 6.35),
    }),
    Prototype('P4_2/mnm', 'tetragonal', lambda u: [CORNER, [u, u, 0]], {
        'TiO2': ('Ti O', 4.59, 2.96, 0.305), 'SnO2': ('Sn O', 4.74, 3.19, 0.307), 'MgF2': ('Mg F', 4.62, 3.05, 0.303),
    }),
    Prototype('Pm-3m', 'cubic', lambda: [CORNER, CENTRE, EDGE], {
        'SrTiO3': ('Sr Ti O', 3.90), 'KMgF3': ('K Mg F', 3.99), 'BaZrO3': ('Ba Zr O', 4.19),
    }),
    Prototype('R-3c', 'hexagonal', lambda z, x: [[0, 0, z], [x, 0, 0.25]], {
        'Al2O3': ('Al O', 4.76, 12.99, 0.352, 0.306), 'Cr2O3': ('Cr O', 4.96, 13.59, 0.348, 0.306),
    }),
    Prototype('Fd-3m:2', 'cubic', lambda u: [[0.125] * 3, CENTRE, [u, u, u]], {
        'MgAl2O4': ('Mg Al O', 8.08, 0.262), 'ZnCr2O4': ('Zn Cr O', 8.33, 0.262),
    }),
    Prototype('Fm-3m', 'cubic', lambda: [CORNER, CENTRE, QUARTER], {
        'MnAlCu2': ('Al Mn Cu', 5.95), 'MnGaNi2': ('Ga Mn Ni', 5.82),
    }),
    Prototype('F-43m', 'cubic', lambda: [CORNER, CENTRE, QUARTER], {
        'ZrNiSn': ('Sn Zr Ni', 6.11), 'TiCoSb': ('Sb Ti Co', 5.88),
    }),
    Prototype('P6_3/mmc', 'hexagonal', lambda z: [THIRD, [1 / 3, 2 / 3, z]], {
        'MoS2': ('Mo S', 3.16, 12.30, 0.621), 'WSe2': ('W Se', 3.28, 12.96, 0.621),
    }),
    Prototype('P-3m1', 'hexagonal', lambda z: [CORNER, [1 / 3, 2 / 3, z]], {
        'MgBr2': ('Mg Br', 3.81, 6.26, 0.25), 'TiS2': ('Ti S', 3.41, 5.70, 0.25),
    }),
    Prototype('R-3m', 'hexagonal', lambda z: [[0, 0, 0.5], CORNER, [0, 0, z]], {
        'LiCoO2': ('Li Co O', 2.82, 14.05, 0.24),
    }),
)  # fmt: skip


def crystals() -> dict[str, Structure]:
    """Return formula → crystal."""
    found = {}
    for prototype in PROTOTYPES:
        for formula, (names, *numbers) in prototype.compounds.items():
            count = 1 if prototype.system == 'cubic' else 2
            lattice = getattr(Lattice, prototype.system)(*numbers[:count])
            sites = prototype.sites(*numbers[count:])
            found[formula] = Structure.from_spacegroup(prototype.group, lattice, names.split(), sites)
            assert found[formula].composition.reduced_composition == Composition(formula), formula
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='every fourth crystal')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    references = crystals()
    models, matcher = MotifModels.default(), StructureMatcher()
    excluded = frozenset(reference.composition.reduced_formula for reference in references.values())
    asked = list(references)[:: 4 if arguments.quick else 1]
    missed = []
    for formula in asked:
        amounts = {str(symbol): round(n) for symbol, n in Composition(formula).items()}
        proposals = propose(models, amounts, count=FIRST, limits=Limits(excluded=excluded))
        if not any(matcher.fit(each.structure, references[formula]) for each in proposals):
            missed.append(formula)
    print(f'not among the first {FIRST}: {", ".join(missed) or "none"}')
    found = len(asked) - len(missed)
    figure('textbook-found', found, f'of {len(asked)} crystals', 'wanted', 36)


if __name__ == '__main__':
    main()
