"""Compute quantum descriptors of small known crystals by our own DFT, the training set of the other heads of Φ_Q.

    python recipes/descriptors.py --data /path/to/shared/data --profile NAME --count 1500 --output FILE

Each crystal of the Materials Project in `mp/`, `mpts/` and `mp_extra/` (CC BY 4.0) with at most four atoms, in the
order of a hash of its identifier, so that the first ones are spread over the periodic table, is an `EnergyWorkChain`
of pw.x at PBE with descriptors (density of states, gap, ELF, ∇²ρ, χ0) in the profile, which needs the codes
`pw@localhost` and `pyscf@localhost`; no daemon is needed. A tenth of the crystals is strained and rattled.
Pseudopotentials are those of Goedecker, Teter and Hutter, which lanthanoids do not have here. The command can be
interrupted at any time and goes on where it was, also on another machine with an empty profile: what FILE has, and what
has ended, well or not, is not computed again. At the end, and with `--count 0` at once, what there is joins the packed
data set FILE with a card beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
import typing as t
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from aiida import engine, load_profile, orm
from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily
from crystals import FILES
from pymatgen.core import Composition, Element, Structure
from pymatgen.core.units import bohr_to_ang
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from validator_data import rows_of, split_of

from aiida_qagenai.calculations.espresso.gth import install_gth_family
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS, pack
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain

MAX_ATOMS = 4
OFF_EQUILIBRIUM = 0.1
"""Share of the crystals that are strained and rattled."""

STRAIN, RATTLE = 0.04, 0.08
"""Standard deviations of a component of the strain and of a displacement, Å."""

SYMPREC = 0.01
"""Å, of the symmetry of the crystals."""

SMALL_BASIS, LARGEST_BASIS = 4000, 8000
"""Plane waves of the crystals that come first, and most of those that are taken."""

PROTOCOL = 'fast'
OVERRIDES: dict[str, t.Any] = {
    'meshes': {'PBE': {'spacing': 1.0}},
    'scf': {'conv_thr_per_atom': 1e-5, 'mixing_beta': 0.7},
    'magnetism': 'none',
}
"""Coarser than the protocol: the descriptors are averages over the cell and the occupied states."""

CUTOFF_SHARE, LEAST_CUTOFF, LARGEST_CUTOFF = 0.3, 40.0, 90.0
"""Of the recommended cutoffs of energies, and the limits of what is taken, Ry."""

FAMILY = 'qagenai-gth-pbe'
FORMULA = re.compile(r"_chemical_formula_sum\s+'([^']+)'")

ELEMENTS = [element.symbol for element in Element if element.Z <= 83 and not element.is_lanthanoid]

CODES = ('pw@localhost', 'pyscf@localhost')
GROUP = 'qagenai-recipe-descriptors'


def hashed(text: str) -> float:
    """Return a number from 0 to 1 that a text stands for."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12


def in_order(folder: Path, known: dict[str, float]) -> list[tuple[str, Structure]]:
    """Return identifiers and crystals that can be computed, small ones first."""
    found = []
    for name, structure in crystals(folder):
        size = LARGEST_BASIS + 1
        if {element.symbol for element in structure.elements} <= set(known):
            size = num_plane_waves(structure, cutoff_of(structure, known))
        if size <= LARGEST_BASIS:
            found.append((size > SMALL_BASIS, name, structure))
    return [(name, structure) for _, name, structure in sorted(found, key=lambda each: each[0])]


def cutoff_of(structure: Structure, known: dict[str, float]) -> float:
    """Return the cutoff of a crystal, Ry, from the recommended ones of the elements."""
    wanted = CUTOFF_SHARE * max(known[element.symbol] for element in structure.elements)
    return min(max(wanted, LEAST_CUTOFF), LARGEST_CUTOFF)


def num_plane_waves(structure: Structure, cutoff: float) -> int:
    """Return about how many plane waves a cell has below a cutoff, Ry: V k³ / 6π²."""
    return round(structure.volume / bohr_to_ang**3 * cutoff**1.5 / (6 * np.pi**2))


def crystals(folder: Path) -> Iterator[tuple[str, Structure]]:
    """Yield identifiers and crystals, a tenth of them off equilibrium."""
    rows = (row for name in FILES for row in rows_of(folder / name))
    texts = {row['material_id']: row['cif'] for row in rows if num_atoms(row['cif']) <= MAX_ATOMS}
    for name in sorted(texts, key=hashed):
        structure = Structure.from_str(texts[name], fmt='cif')
        if len(structure) <= MAX_ATOMS:
            # The rounded numbers of the file have lost symmetry, and pw.x would take twice the k-points.
            structure = SpacegroupAnalyzer(structure, SYMPREC).get_primitive_standard_structure()
            # A skewed cell has many more points on its meshes (CoPt3).
            structure = structure.get_reduced_structure('LLL')
            is_moved = hashed(f'moved{name}') < OFF_EQUILIBRIUM
            yield (f'{name}-moved', moved(structure, name)) if is_moved else (name, structure)


def num_atoms(cif: str) -> int:
    """Return the number of atoms by the formula of the cell in a CIF; 0 where there is none."""
    match = FORMULA.search(cif)
    return 0 if match is None else sum(int(count) for count in re.findall(r'[a-z](\d+)', match[1], re.IGNORECASE))


def moved(structure: Structure, name: str) -> Structure:
    """Return a strained and rattled copy, always the same."""
    rng = np.random.default_rng(int(1e9 * hashed(name)))
    strain = STRAIN * rng.standard_normal((3, 3))
    cell = structure.lattice.matrix @ (np.eye(3) + (strain + strain.T) / 2)
    copy = Structure(cell, structure.species, structure.frac_coords)
    shifts = RATTLE * rng.standard_normal((len(copy), 3))
    return Structure(cell, copy.species, copy.cart_coords + shifts, coords_are_cartesian=True)


def ended(group: orm.Group) -> dict[str, orm.ProcessNode]:
    """Return the finished processes of the group by identifier."""
    query = orm.QueryBuilder().append(orm.Group, filters={'id': group.pk}, tag='group')
    query.append(orm.WorkChainNode, with_group='group')
    return {node.label: node for node in query.all(flat=True) if node.is_terminated}


def cutoffs() -> dict[str, float]:
    """Return the recommended cutoffs by element, Ry, of the family of pseudopotentials, which is made where missing."""
    if not CutoffsPseudoPotentialFamily.collection.count(filters={'label': FAMILY}):
        return install_gth_family(FAMILY, ELEMENTS)
    family = CutoffsPseudoPotentialFamily.collection.get(label=FAMILY)
    return {symbol: family.get_recommended_cutoffs(elements=symbol, unit='Ry')[0] for symbol in ELEMENTS}


class Means(t.NamedTuple):
    """What computes, what describes the orbitals, and the recommended cutoffs by element, Ry."""

    pw: orm.AbstractCode
    pyscf: orm.AbstractCode
    cutoffs: dict[str, float]


def means() -> Means:
    """Return what the loaded profile computes with."""
    return Means(*map(orm.load_code, CODES), cutoffs())


def compute(
    name: str,
    structure: Structure,
    by: Means,
    group: orm.Group,
    hours: float,
    *,
    described: bool = True,
    changes: dict[str, t.Any] | None = None,
) -> str:
    """Compute one crystal, with its descriptors if it is to be ``described``, and return how it ended.

    :param changes: to ``OVERRIDES``.
    """
    missing = {element.symbol for element in structure.elements} - set(by.cutoffs)
    if missing:
        return f'left out: no pseudopotential of {", ".join(sorted(missing))}'
    cutoff = cutoff_of(structure, by.cutoffs)
    options = {'max_wallclock_seconds': int(3600 * hours), 'resources': {'num_machines': 1}}
    builder = EnergyWorkChain.get_builder_from_protocol(
        by.pw,
        structure,
        'PBE',
        PROTOCOL,
        engine='espresso',
        pseudos=FAMILY,
        overrides={**OVERRIDES, **(changes or {}), 'ecutwfc': cutoff, 'ecutrho': 4 * cutoff},
        options=options,
        descriptors=by.pyscf if described else None,
    )
    builder.metadata.label = name
    start = time.perf_counter()
    _, node = engine.run_get_node(builder)
    group.add_nodes([node])
    if described and node.is_finished_ok and 'descriptors' not in node.outputs:
        return f'no descriptors after {time.perf_counter() - start:.0f} s'
    return f'{node.exit_message or "ok"} after {time.perf_counter() - start:.0f} s'


class Packed(t.NamedTuple):
    """What a file of descriptors and its card hold."""

    labels: LabelledBatch
    card: dict[str, t.Any]

    @classmethod
    def load(cls, path: Path) -> Packed:
        """Read a file and its card; nothing where there is none."""
        if not path.exists():
            nothing = np.zeros((0, 4)), np.zeros((0, NUM_DESCRIPTORS)), np.zeros(0, dtype='U1'), np.zeros(0, np.int8)
            return cls(LabelledBatch(StructureBatch.empty(), *nothing), {})
        return cls(LabelledBatch.load(path), json.loads(path.with_suffix('.card.json').read_text(encoding='utf8')))

    @property
    def names(self) -> set[str]:
        """Return the identifiers of all crystals that have been computed, well or not."""
        return {*self.labels.structures.identifiers.tolist(), *self.card.get('failed', [])}


def labels_of(nodes: dict[str, orm.ProcessNode]) -> LabelledBatch:
    """Return the descriptors of finished processes by name."""
    structures = [node.inputs.structure.get_pymatgen() for node in nodes.values()]
    formulas = [structure.composition.reduced_formula for structure in structures]
    return LabelledBatch(
        structures=StructureBatch.from_structures(structures, list(nodes)),
        energies=np.full((len(nodes), 4), np.nan),
        descriptors=np.array([pack(node.outputs.descriptors.get_dict()) for node in nodes.values()]),
        groups=np.array(formulas),
        split=np.array([split_of(formula) for formula in formulas], dtype=np.int8),
    )


def pack_all(group: orm.Group, path: Path) -> dict[str, t.Any]:
    """Add the descriptors of all that ended well, and that the file does not have, to it, and return its card."""
    before, nodes = Packed.load(path), ended(group)
    good = {name: node for name, node in nodes.items() if node.is_finished_ok and 'descriptors' in node.outputs}
    new = {name: node for name, node in good.items() if name not in before.labels.structures.identifiers}
    labels = LabelledBatch.concatenate([before.labels, labels_of(new)]) if new else before.labels
    labels.save(path)
    energies = [node.outputs.energy.base.attributes for node in new.values()]
    failed = {*before.card.get('failed', []), *nodes} - set(labels.structures.identifiers.tolist())
    hours = sum(each.get('core_hours') or 0.0 for each in energies)
    card = {
        'source': 'structures of the Materials Project, descriptors by pw.x at PBE',
        'license': 'CC BY 4.0',
        'recipe': 'python recipes/descriptors.py',
        'protocol': PROTOCOL,
        'overrides': OVERRIDES,
        'levels': sorted({*before.card.get('levels', []), *(each.get('level_tag') for each in energies)}),
        'num_structures': len(labels),
        'num_off_equilibrium': sum(name.endswith('-moved') for name in labels.structures.identifiers.tolist()),
        'failed': sorted(failed),
        'elements': sorted({symbol for formula in labels.groups.tolist() for symbol in Composition(formula).as_dict()}),
        'core_hours': before.card.get('core_hours', 0.0) + hours,
        'sha256': hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    path.with_suffix('.card.json').write_text(json.dumps(card, indent=2) + '\n', encoding='utf8')
    return card


def main() -> None:
    """Compute what is missing, and pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/')
    parser.add_argument('--profile', required=True, help=f'profile of AiiDA with the codes {" and ".join(CODES)}')
    parser.add_argument('--count', type=int, required=True, help='crystals in all, those of earlier runs included')
    parser.add_argument('--hours', type=float, default=0.1, help='most hours of one crystal')
    parser.add_argument('--output', type=Path, required=True, help='packed data set')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')  # of pymatgen, on rounded coordinates
    load_profile(arguments.profile)
    group, _ = orm.Group.collection.get_or_create(GROUP)
    by, known = means(), {*ended(group), *Packed.load(arguments.output).names}
    left = arguments.count - len(known)
    waiting = [pair for pair in in_order(arguments.data, by.cutoffs) if pair[0] not in known] if left > 0 else []
    for name, structure in waiting[: max(0, left)]:
        said = compute(name, structure, by, group, arguments.hours)
        print(f'{name} {structure.composition.reduced_formula}, {len(structure)} atoms: {said}', flush=True)
    print(json.dumps(pack_all(group, arguments.output)))


if __name__ == '__main__':
    main()
