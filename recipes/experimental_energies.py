"""Experimental energies that formation energies refer to: atomisation of the elements beyond argon, and compounds.

    python recipes/experimental_energies.py --data /path/to/shared/data --output aiida_qagenai/thermodynamics/references

Writes `atomization_heavy.json` and `reference_compounds.json`. Numbers come from packages, which have to be installed
(`pip install chemicals mendeleev`), and from `--data`, which holds crystals of the Materials Project; what is written
below comes from the tables that are named beside it.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import importlib.util
import json
import math
import re
import sqlite3
import sys
import typing as t
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from pymatgen.core import Composition, Element, Lattice, Structure

EV = 1 / 96.48533212
"""eV of a kJ/mol."""

GAS_CONSTANT, TEMPERATURE = 8.314462618e-3, 298.15
BOLTZMANN = 8.617333262e-5
FLOOR = 2.0
"""Least uncertainty (kJ/mol) of an enthalpy whose uncertainty is the disagreement of compilations."""

CODATA = {
    **{'K': 0.8, 'Ca': 0.8, 'Ti': 3.0, 'Cu': 1.2, 'Zn': 0.4, 'Ge': 3.0, 'Br': 0.12, 'Rb': 0.8, 'Ag': 0.8, 'Cd': 0.2},
    **{'Sn': 1.5, 'I': 0.04, 'Cs': 1.0, 'Hg': 0.04, 'Pb': 0.8},
}
"""Uncertainties, kJ/mol, of Cox, Wagman, Medvedev, CODATA Key Values for Thermodynamics (1989)."""

KITTEL = {
    **{'K': 90.1, 'Ca': 178, 'Sc': 376, 'Ti': 468, 'V': 512, 'Cr': 395, 'Mn': 282, 'Fe': 413, 'Co': 424, 'Ni': 428},
    **{'Cu': 336, 'Zn': 130, 'Ga': 271, 'Ge': 372, 'As': 285.3, 'Se': 237, 'Rb': 82.2, 'Sr': 166, 'Y': 422, 'Zr': 603},
    **{'Nb': 730, 'Mo': 658, 'Tc': 661, 'Ru': 650, 'Rh': 554, 'Pd': 376, 'Ag': 284, 'Cd': 112, 'In': 243, 'Sn': 303},
    **{'Sb': 265, 'Te': 211, 'Cs': 77.6, 'Ba': 183, 'Hf': 621, 'Ta': 782, 'W': 859, 'Re': 775, 'Os': 788, 'Ir': 670},
    **{'Pt': 564, 'Au': 368, 'Hg': 65, 'Tl': 182, 'Pb': 196, 'Bi': 210},
}
"""Cohesive energies at 0 K, kJ/mol: Kittel, Introduction to Solid State Physics (8th ed.), chapter 3, after Brewer."""

DEBYE = {
    **{'K': 91, 'Ca': 230, 'Sc': 360, 'Ti': 420, 'V': 380, 'Cr': 630, 'Mn': 410, 'Fe': 470, 'Co': 445, 'Ni': 450},
    **{'Cu': 343, 'Zn': 327, 'Ga': 320, 'Ge': 374, 'As': 282, 'Se': 90, 'Rb': 56, 'Sr': 147, 'Y': 280, 'Zr': 291},
    **{'Nb': 275, 'Mo': 450, 'Ru': 600, 'Rh': 480, 'Pd': 274, 'Ag': 225, 'Cd': 209, 'In': 108, 'Sn': 200, 'Sb': 211},
    **{'Te': 153, 'Cs': 38, 'Ba': 110, 'Hf': 252, 'Ta': 240, 'W': 400, 'Re': 430, 'Os': 500, 'Ir': 420, 'Pt': 240},
    **{'Au': 165, 'Hg': 71.9, 'Tl': 78.5, 'Pb': 105, 'Bi': 119},
}
"""Debye temperatures, K: Kittel, chapter 5."""

ANIONS = ('F', 'O', 'Cl', 'N', 'Br', 'I', 'S', 'Se', 'Te', 'P', 'As', 'Sb')
EXCLUDED = {
    **dict.fromkeys(('Li2O2', 'Na2O2', 'NaO2', 'K2O2', 'KO2', 'CsO2', 'SrO2', 'BaO2'), 'peroxide or superoxide'),
    **dict.fromkeys(('HgF', 'HgCl', 'HgBr', 'HgI'), 'mercury bonded to mercury'),
    **dict.fromkeys(('FeS2', 'NiS2', 'CoS2', 'RuS2', 'OsS2', 'MnS2', 'PdS2', 'MnTe2', 'NaS'), 'bonded anions'),
    **dict.fromkeys(('Ag2O3', 'AgO', 'Au2O3', 'ICl', 'CrO3'), 'an unusual oxidation state'),
}
MAX_ATOMS = 10
"""Of a primitive cell; the level of theory may admit fewer."""

PROTOTYPES: dict[str, tuple[int, list[list[float]]]] = {
    'rock salt': (225, [[0, 0, 0], [0.5, 0.5, 0.5]]),
    'zinc blende': (216, [[0, 0, 0], [0.25, 0.25, 0.25]]),
    'caesium chloride': (221, [[0, 0, 0], [0.5, 0.5, 0.5]]),
    'fluorite': (225, [[0, 0, 0], [0.25, 0.25, 0.25]]),
    'antifluorite': (225, [[0.25, 0.25, 0.25], [0, 0, 0]]),
    'cuprite': (224, [[0.25, 0.25, 0.25], [0, 0, 0]]),
    'NbO': (221, [[0, 0.5, 0.5], [0.5, 0, 0]]),
}
RUTILE = {'TiO2': (4.5937, 2.9581, 0.3053)}
WYCKOFF = {
    'rock salt': {
        **{'MgO': 4.2112, 'CaO': 4.8105, 'SrO': 5.1602, 'BaO': 5.523, 'MnO': 4.4448, 'CoO': 4.2667, 'NiO': 4.1684},
        **{'CdO': 4.6953, 'LiF': 4.0173, 'NaF': 4.62, 'KF': 5.347, 'RbF': 5.64, 'CsF': 6.008, 'AgF': 4.92},
        **{'LiCl': 5.1295, 'NaCl': 5.6406, 'KCl': 6.2929, 'RbCl': 6.581, 'AgCl': 5.547, 'LiBr': 5.5013},
        **{'NaBr': 5.9732, 'KBr': 6.6, 'RbBr': 6.854, 'AgBr': 5.7745, 'NaI': 6.4728, 'KI': 7.0656, 'RbI': 7.342},
        **{'MgS': 5.2033, 'CaS': 5.6903, 'SrS': 6.0198, 'BaS': 6.3875, 'MnS': 5.2236, 'PbS': 5.9362, 'PbSe': 6.1243},
        **{'CaSe': 5.91, 'SnTe': 6.313, 'FeO': 4.332},
    },
    'zinc blende': {
        **{'ZnS': 5.4093, 'ZnSe': 5.6676, 'CdTe': 6.48, 'CuCl': 5.4057, 'CuBr': 5.6905, 'CuI': 6.0427},
    },
    'caesium chloride': {'CsCl': 4.123, 'CsBr': 4.286, 'CsI': 4.5667, 'TlCl': 3.834, 'TlBr': 3.97},
    'fluorite': {'CaF2': 5.463, 'SrF2': 5.7996, 'BaF2': 6.2001, 'CdF2': 5.388, 'SrCl2': 6.9767},
    'antifluorite': {
        **{'Li2O': 4.619, 'Na2O': 5.55, 'K2O': 6.436, 'Rb2O': 6.74, 'Li2S': 5.71, 'Na2S': 6.526, 'K2S': 7.391},
    },
    'cuprite': {'Cu2O': 4.2696, 'Ag2O': 4.72},
    'NbO': {'NbO': 4.2108},
}
"""Lattice constants, Å: Wyckoff, Crystal Structures (2nd ed., 1963); of FeO extrapolated to its full composition."""

MOLECULES: dict[str, tuple[str, float, float | None, float, float, str]] = {
    'O': ('H2O', 0.9572, 104.52, 4638.3, 1.0, 'geometry Benedict (1956), zero-point energy Császár (2005)'),
    'F': ('HF', 0.9168, None, 2050.8, 2.0, 'Huber and Herzberg (1979)'),
    'Cl': ('HCl', 1.2746, None, 1482.3, 2.0, 'Huber and Herzberg (1979)'),
    'Br': ('HBr', 1.4144, None, 1313.2, 2.0, 'Huber and Herzberg (1979)'),
    'I': ('HI', 1.6092, None, 1144.6, 2.0, 'Huber and Herzberg (1979)'),
    'S': ('H2S', 1.3356, 92.12, 3212.0, 80.0, 'geometry Cook (1975), half the sum of the fundamental frequencies'),
    'N': ('NH3', 1.012, 106.67, 7214.0, 200.0, 'geometry Herzberg (1966), half the sum of the fundamental frequencies'),
}
"""Hydride of an element: bond (Å), angle between the bonds (degrees), zero-point energy with its uncertainty (1/cm)."""

SULPHIDE = {'Hfg_0K': '-17680', 'uncertainty': '500'}
"""Of H2S, J/mol, which the file of ATcT lacks: CODATA Key Values, -20.6(5) kJ/mol at 298 K, with H(298 K) - H(0 K)."""

CM = 1.239841984e-4
"""eV of a 1/cm."""


def folder_of(package: str) -> Path:
    """Return the folder of an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f'the package {package} is not installed: pip install {package}')
    return Path(spec.submodule_search_locations[0])


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table with tabs."""
    with path.open(encoding='utf8') as file:
        return list(csv.DictReader(file, delimiter='\t'))


def compilations() -> dict[str, dict[str, float]]:
    """Return the enthalpies of the gaseous atoms at 298 K, kJ/mol, by compilation and element."""
    connection = sqlite3.connect(folder_of('mendeleev') / 'elements.db')
    rows = connection.execute('select symbol, name, heat_of_formation from elements').fetchall()
    chemicals = folder_of('chemicals')
    janaf = {r['formula']: r['Hfg'] for r in table(chemicals / 'Reactions' / 'JANAF_1998.tsv') if r['Hfg']}
    path = chemicals / 'Heat Capacity' / 'CRC Standard Thermodynamic Properties of Chemical Substances.tsv'
    crc = {r['Chemical']: r['Hfg'] for r in table(path) if r['Hfg']}
    found: dict[str, dict[str, float]] = {'mendeleev': {s: value for s, _, value in rows if value}}
    found['JANAF'] = {s: float(janaf[s]) / 1000 for s, _, _ in rows if s in janaf}
    found['CRC'] = {s: float(crc[name]) / 1000 for s, name, _ in rows if s not in {'Br', 'I'} and name in crc}
    return found


def debye_energy(temperature: float) -> float:
    """Return the vibrational energy at 298 K without zero-point energy by a Debye temperature, kJ/mol."""
    x = np.linspace(1e-6, temperature / TEMPERATURE, 2001)
    integral = np.trapezoid(x**3 / np.expm1(x), x)
    return float(9 * GAS_CONSTANT * TEMPERATURE * (TEMPERATURE / temperature) ** 3 * integral)


def atomization() -> dict[str, t.Any]:
    """Return the atomisation enthalpies at 0 K and zero-point energies of the elements beyond argon."""
    found, elements, left_out = compilations(), {}, {}
    diatomic = {r['Formula']: r for r in table(folder_of('chemicals') / 'Reactions' / 'ATcT 1.112 (g).tsv')}
    for number in range(19, 84):
        symbol = Element.from_Z(number).symbol
        if 57 <= number <= 71:
            continue
        if symbol in {'Kr', 'Xe'}:
            elements[symbol] = entry('atom', (0.0, 0.0), (0.0, 0.0), 'by definition')
        elif symbol in {'Br', 'I'}:
            row = diatomic[f'{symbol} (g)']
            zero_point = {'Br': 325.3, 'I': 214.5}[symbol] / 4 * CM
            enthalpy = float(row['Hfg_0K']) / 1000, float(row['uncertainty']) / 1000
            source = 'ATcT; zero-point energy of the molecule, Huber'
            elements[symbol] = entry(f'{symbol}2, crystal', enthalpy, (zero_point, 0.01), source)
        elif symbol not in DEBYE:
            left_out[symbol] = 'no Debye temperature in the table, needed for the correction to 0 K'
        else:
            thermal = debye_energy(DEBYE[symbol]) - 2.5 * GAS_CONSTANT * TEMPERATURE
            values = {name: table_[symbol] + thermal for name, table_ in found.items() if symbol in table_}
            spread = [*values.values(), KITTEL[symbol]]
            stated = CODATA.get(symbol)
            uncertainty = stated if stated is not None else max(FLOOR, (max(spread) - min(spread)) / 2)
            level = Element(symbol).data['Ground level']
            # Levels of the ground term that are populated at 298 K are not subtracted.
            uncertainty = math.hypot(uncertainty, 0.0 if re.match(r'\dS', level) else 1.0)
            source = 'CODATA' if stated is not None else ', '.join([*values, 'Kittel'])
            enthalpy, zero_point = (values['mendeleev'], uncertainty), 9 / 8 * BOLTZMANN * DEBYE[symbol]
            elements[symbol] = entry('crystal', enthalpy, (zero_point, 0.1 * zero_point), f'{source}; Debye')
    return {'elements': elements, 'left_out': {**left_out, **dict.fromkeys(('Po', 'At'), 'no enthalpy')}}


def entry(kind: str, enthalpy: tuple[float, float], zero_point: tuple[float, float], source: str) -> dict[str, t.Any]:
    """Return one element as the table of the light elements has it; each number has its standard error beside it."""
    return {
        'reference': kind,
        'enthalpy_kj_per_mol': round(enthalpy[0], 3),
        'enthalpy_uncertainty_kj_per_mol': round(enthalpy[1], 3),
        'zero_point_ev': round(zero_point[0], 4),
        'zero_point_uncertainty_ev': round(zero_point[1], 4),
        'source': source,
    }


def prototype(formula: str) -> tuple[Structure, str] | None:
    """Return a simple structure at its experimental lattice constant, primitive, and its name."""
    for kind, lattices in WYCKOFF.items():
        if formula in lattices:
            group, places = PROTOTYPES[kind]
            symbols = sorted(Composition(formula).as_dict(), key=lambda symbol: Element(symbol).X)
            cell = Lattice.cubic(lattices[formula])
            full = Structure.from_spacegroup(group, cell, symbols, places)
            return full.get_primitive_structure(), f'{kind}, Wyckoff'
    if formula in RUTILE:
        a, c, u = RUTILE[formula]
        symbols = [formula.removesuffix('O2'), 'O']
        return Structure.from_spacegroup(
            136, Lattice.tetragonal(a, c), symbols, [[0, 0, 0], [u, u, 0]]
        ), 'rutile, Wyckoff'
    return None


def read_crystals(data: Path, wanted: t.Collection[str]) -> dict[str, str]:
    """Return the CIF texts of crystals of the Materials Project by their identifiers."""
    found = {}
    csv.field_size_limit(10**9)
    for name in ('mp/mp20_bi_ternary.csv.gz', 'mpts/mpts52.csv.gz', 'mp_extra/structures.csv.gz'):
        with gzip.open(data / name, 'rt', encoding='utf8') as file:
            found.update({r['material_id']: r['cif'] for r in csv.DictReader(file) if r['material_id'] in wanted})
    return found


def experiment() -> list[dict[str, t.Any]]:
    """Return the compounds of pymatgen with their experimental formation enthalpies, eV per formula."""
    path = folder_of('pymatgen') / 'analysis' / 'compatibility' / 'exp_compounds.json.gz'
    return t.cast('list[dict[str, t.Any]]', json.loads(gzip.decompress(path.read_bytes())))


def pair_of(formula: str) -> tuple[str, str] | None:
    """Return the element and the anion of a binary compound, or None for another."""
    symbols = sorted(Composition(formula).as_dict(), key=lambda symbol: Element(symbol).X)
    return (symbols[0], symbols[1]) if len(symbols) == 2 and symbols[1] in ANIONS else None


def compounds(data: Path) -> dict[str, t.Any]:
    """Return for each element and anion the compound with the fewest atoms, and what stands for the anions."""
    rows = [row for row in experiment() if row['formula'] not in EXCLUDED and pair_of(row['formula'])]
    known = [row['uncertainty'] for row in rows if math.isfinite(row['uncertainty'])]
    unstated = float(np.quantile(known, 0.9))
    crystals = read_crystals(data, {row['mpid'] for row in rows})
    candidates = defaultdict(list)
    for row in rows:
        structure, source = prototype(row['formula']) or (None, '')
        if structure is None:
            if row['mpid'] not in crystals:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                structure = Structure.from_str(crystals[row['mpid']], fmt='cif').get_primitive_structure()
            source = f'{row["mpid"]} of the Materials Project, relaxed at PBE or PBE+U'
        elif row['mpid'] in crystals:
            compare(row['formula'], structure, crystals[row['mpid']])
        stated = math.isfinite(row['uncertainty'])
        if len(structure) <= MAX_ATOMS and Element(structure[0].specie.symbol).Z <= 83:
            order = (len(structure), not stated, row['uncertainty'] if stated else 0.0, row['formula'])
            candidates[pair_of(row['formula'])].append((order, row, structure, source))
    chosen: dict[str, dict[str, t.Any]] = {}
    for (element, anion), found in sorted(candidates.items()):
        _, row, structure, source = min(found, key=lambda item: item[0])
        if not 57 <= Element(element).Z <= 71 and Element(element).Z <= 83:
            chosen.setdefault(element, {})[anion] = crystal_entry(row, structure, source, unstated)
    return {'unstated_uncertainty': round(unstated, 4), 'hydrides': hydrides(), 'compounds': chosen}


def compare(formula: str, structure: Structure, cif: str) -> None:
    """Say where a lattice constant written here is far from that of the Materials Project, for people to judge."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        other = Structure.from_str(cif, fmt='cif')
    ratio = (structure.volume / len(structure)) / (other.volume / len(other))
    if not 0.9 < ratio < 1.06:
        print(f'{formula}: volume per atom is {ratio:.3f} of that of the Materials Project', file=sys.stderr)


def crystal_entry(row: dict[str, t.Any], structure: Structure, source: str, unstated: float) -> dict[str, t.Any]:
    """Return one compound; energies in eV per formula unit, lengths in Å."""
    stated = math.isfinite(row['uncertainty'])
    return {
        'formula': row['formula'],
        'enthalpy': round(row['exp energy'], 5),
        'uncertainty': round(row['uncertainty'] if stated else unstated, 5),
        'uncertainty_stated': stated,
        'structure': source,
        'cell': np.round(structure.lattice.matrix, 5).tolist(),
        'sites': [[site.specie.symbol, *np.round(site.coords, 5).tolist()] for site in structure],
    }


def hydrides() -> dict[str, t.Any]:
    """Return the hydrides that stand for anions, with the static energy of their formation, eV per molecule."""
    light = json.loads(Path('aiida_qagenai/thermodynamics/references/atomization.json').read_text(encoding='utf8'))
    heavy = atomization()['elements']
    zero_points = {s: e['zero_point_ev'] for s, e in {**light['elements'], **heavy}.items()}
    rows = {r['Formula']: r for r in table(folder_of('chemicals') / 'Reactions' / 'ATcT 1.112 (g).tsv')}
    found = {}
    for symbol, (formula, bond, angle, wave_number, error, source) in MOLECULES.items():
        row, count = rows.get(f'{formula} (g)', SULPHIDE), Composition(formula)
        elements = sum(amount * zero_points[element.symbol] for element, amount in count.items())
        energy = float(row['Hfg_0K']) / 1000 * EV - wave_number * CM + elements
        found[symbol] = {
            'formula': formula,
            'enthalpy': round(energy, 4),
            'uncertainty': round(math.hypot(float(row['uncertainty']) / 1000 * EV, error * CM), 4),
            'structure': source,
            'sites': molecule(symbol, formula, bond, angle),
        }
    return found


def molecule(symbol: str, formula: str, bond: float, angle: float | None) -> list[list[t.Any]]:
    """Return the sites of a hydride, Å: H on a cone around z with the given angle between the bonds."""
    number = int(Composition(formula)['H'])
    if number == 1:
        return [[symbol, 0.0, 0.0, 0.0], ['H', 0.0, 0.0, bond]]
    assert angle is not None
    turn = 2 * math.pi / number
    # cos(angle) = cos² + sin² cos(turn) of the cone.
    sine = math.sqrt((1 - math.cos(math.radians(angle))) / (1 - math.cos(turn)))
    places = [(sine * math.cos(i * turn), sine * math.sin(i * turn), math.sqrt(1 - sine**2)) for i in range(number)]
    return [[symbol, 0.0, 0.0, 0.0], *(['H', *(round(bond * x, 5) for x in place)] for place in places)]


def write(path: Path, content: dict[str, t.Any], key: str) -> None:
    """Write a table with one entry a line."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    text = re.sub(r'\[\s+([^\[\]{}]*?)\s+\]', lambda match: '[' + re.sub(r'\s+', ' ', match[1]) + ']', text)
    path.write_text(text + '\n', encoding='utf8')
    print(f'{path}: {len(content[key])} {key}')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--output', type=Path, default=Path('aiida_qagenai/thermodynamics/references'))
    arguments = parser.parse_args()
    recipe = ' '.join(['python', *sys.argv]).replace(str(arguments.data), '/path/to/shared/data')
    atoms = {
        'quantity': 'As atomization.json, of the elements beyond argon: enthalpy of atomisation at 0 K (kJ/mol) and '
        'zero-point energy (eV/atom), each with its standard error',
        'sources': {
            'enthalpies': 'at 298 K of mendeleev (CRC Handbook); beside it JANAF 1998 and the CRC Handbook as '
            'collected in chemicals, and Kittel at 0 K. To 0 K by 5/2 RT of the atom and the Debye energy of the '
            'crystal',
            'uncertainties': 'CODATA Key Values (1989) where they have the element, else half the range of the '
            'compilations, at least 2 kJ/mol; 1 kJ/mol added in squares for levels of the atom populated at 298 K',
            'ATcT': 'Active Thermochemical Tables 1.112, as collected in chemicals',
        },
        'license': 'numbers of the compilations that are named; mendeleev and chemicals are MIT',
        'recipe': recipe,
        **atomization(),
    }
    write(arguments.output / 'atomization_heavy.json', atoms, 'elements')
    references = {
        'quantity': 'Compounds whose computed and experimental energies stand for their elements: formation enthalpy '
        'at 298 K and its standard error (eV per formula unit), primitive cell and sites (Å). Of the hydrides the '
        'energy of formation without vibrations, eV per molecule',
        'sources': {
            'enthalpies': 'pymatgen, analysis/compatibility/exp_compounds.json.gz (MIT): Wang et al., Sci. Rep. 11, '
            '15496 (2021), after Kubaschewski, the NIST-JANAF tables and others',
            'uncertainties': 'of the same; where none is stated (`uncertainty_stated`) the 90th percentile of all',
            'hydrides': 'Active Thermochemical Tables 1.112 at 0 K, as collected in chemicals, less zero-point energy',
            'Wyckoff': 'Wyckoff, Crystal Structures (2nd ed., 1963)',
            'Materials Project': 'A. Jain et al., APL Mater. 1, 011002 (2013), CC BY 4.0',
        },
        'license': 'CC BY 4.0',
        'recipe': recipe,
        **compounds(arguments.data),
    }
    write(arguments.output / 'reference_compounds.json', references, 'compounds')


if __name__ == '__main__':
    main()
