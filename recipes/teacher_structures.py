"""Make the structures that foundation potentials label for the validator that the package ships.

    python recipes/teacher_structures.py --data /path/to/shared/data --output DIR

and in `DIR`, for MODE PBE and R2SCAN, and for the structures PBE or R2SCAN and elements:

    echo '{"potential": {"name": "sevennet", "model": "mf-0", "modality": "PBE"}, "structures": "structures_PBE.npz",
          "dtype": "float32", "output": "labels_PBE.npz"}' > config.json
    python -m aiida_qagenai.ml label --config config.json

The crystals are those of `mp/`, `mpts/` and `mp_extra/` (Materials Project, CC BY 4.0) with at most 20 atoms. Each
comes as it is and once strained and rattled: a strain with a standard deviation of 3 % per component, a volume with one
of 5 %, and displacements of 0.02 to 0.25 Å. Three in ten also come with one element exchanged for another of about the
same radius and electronegativity, strained and rattled. `structures_PBE.npz` holds all of them, `structures_R2SCAN.npz`
the crystals as they are and half of the others. The order is that of a hash, so that the first part of a labelling is a
fair sample. `structures_elements.npz` holds the lowest structures of each element, those of `element_references/` too.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import typing as t
import warnings
from pathlib import Path

import numpy as np
from crystals import FILES, read_all
from numpy.typing import NDArray
from pymatgen.core import Element

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.exchange.structures import StructureBatch

SEED = 14
MAX_ATOMIC_NUMBER = 94
STRAIN = 0.03
VOLUME = 0.05
RATTLE = (-1.7, -0.6)
"""Decimal logarithm of the standard deviation of the displacements, Å."""

SUBSTITUTED = 0.3
MAX_RADIUS_DIFFERENCE = 0.25
MAX_NEGATIVITY_DIFFERENCE = 0.5
EXCHANGED = range(1, 84)
NOBLE_GASES = (2, 10, 18, 36, 54)
REFERENCES = 'element_references/MP-PBE-Element-Refs.json.gz'
LOWEST, MAX_REFERENCE_ATOMS = 3, 60
AT_R2SCAN = 0.5
"""Share of the structures off equilibrium that the teacher of r2SCAN labels."""

Crystal = tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]
"""Cell, atomic numbers and fractional coordinates."""


def distorted(crystal: Crystal, rng: np.random.Generator, rattle: tuple[float, float]) -> Crystal:
    """Return a crystal strained and rattled."""
    cell, numbers, fractional = crystal
    amplitude = 10 ** rng.uniform(*rattle)
    strain = rng.normal(0, STRAIN, (3, 3))
    volume = np.exp(rng.normal(0, VOLUME))
    new = cell @ (np.eye(3) + (strain + strain.T) / 2) * volume ** (1 / 3)
    return new, numbers, fractional + rng.normal(0, amplitude, fractional.shape) @ np.linalg.inv(new)


def substituted(crystal: Crystal, rng: np.random.Generator) -> tuple[Crystal, int] | None:
    """Return a crystal with one element exchanged, at the volume that covalent radii ask for, and the new element."""
    cell, numbers, fractional = crystal
    present = np.unique(numbers)
    old = int(rng.choice(present))
    similar = [number for number in EXCHANGED if number not in present and _similar(number, old)]
    if not similar:
        return None
    new = int(rng.choice(similar))
    exchanged = np.where(numbers == old, new, numbers)
    ratio = _volume(exchanged) / _volume(numbers)
    return distorted((cell * ratio ** (1 / 3), exchanged, fractional), rng, (-1.7, -0.8)), new


def _similar(number: int, other: int) -> bool:
    if number in NOBLE_GASES:
        return False
    radii, negativities = ([values[each] for each in (number, other)] for values in (COVALENT_RADII, NEGATIVITIES))
    return abs(radii[0] - radii[1]) < MAX_RADIUS_DIFFERENCE and abs(negativities[0] - negativities[1]) < (
        MAX_NEGATIVITY_DIFFERENCE
    )


def _volume(numbers: NDArray[np.int64]) -> float:
    return sum(COVALENT_RADII[int(number)] ** 3 for number in numbers)


def _negativities() -> dict[int, float]:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of noble gases, which have none
        return {number: Element(SYMBOLS[number - 1]).X or 1.5 for number in range(1, MAX_ATOMIC_NUMBER + 1)}


NEGATIVITIES = _negativities()


def make(crystals: StructureBatch) -> tuple[dict[str, Crystal], list[str]]:
    """Return all structures by name, and the names of those that the teacher of r2SCAN labels as well."""
    rng = np.random.default_rng(SEED)
    found: dict[str, Crystal] = {}
    at_r2scan: list[str] = []

    def add(name: str, crystal: Crystal, share: float) -> None:
        found[name] = crystal
        if share >= 1 or rng.random() < share:
            at_r2scan.append(name)

    items = list(crystals)
    order = np.argsort([hashlib.sha256(str(name).encode()).hexdigest() for name in crystals.identifiers])
    for index in order:
        name, crystal = str(crystals.identifiers[index]), items[index]
        if crystal[1].max() > MAX_ATOMIC_NUMBER:
            continue
        add(name, crystal, 1.0)
        add(f'{name}/distorted', distorted(crystal, rng, RATTLE), AT_R2SCAN)
        if rng.random() < SUBSTITUTED and (exchange := substituted(crystal, rng)):
            add(f'{name}/substituted-{SYMBOLS[exchange[1] - 1]}', exchange[0], AT_R2SCAN)
    return found, at_r2scan


def elemental(folder: Path, crystals: StructureBatch) -> dict[str, Crystal]:
    """Return crystals of one element by atomic number and name: the known ones, and the lowest published references."""
    found = {
        f'{crystal[1][0]}/{name}': crystal
        for name, crystal in zip(crystals.identifiers, crystals, strict=True)
        if len(set(crystal[1].tolist())) == 1 and crystal[1][0] <= MAX_ATOMIC_NUMBER
    }
    content = json.loads(gzip.decompress((folder / REFERENCES).read_bytes()))
    for number, symbol in enumerate(SYMBOLS[:MAX_ATOMIC_NUMBER], start=1):
        entry = content.get(symbol, {'energy_per_atom': [], 'structure': []})
        for place in np.argsort(entry['energy_per_atom'])[:LOWEST].tolist():
            structure = entry['structure'][place]
            fractional = np.array([site['abc'] for site in structure['sites']])
            if len(fractional) <= MAX_REFERENCE_ATOMS:
                cell = np.array(structure['lattice']['matrix'])
                found[f'{number}/reference-{place}'] = (cell, np.full(len(fractional), number), fractional)
    return found


def pack(structures: t.Mapping[str, Crystal]) -> StructureBatch:
    """Return the structures in one batch."""
    cells, numbers, fractional = zip(*structures.values(), strict=True)
    return StructureBatch(
        num_atoms=np.array([len(each) for each in numbers]),
        cells=np.stack(cells),
        species=np.concatenate(numbers),
        fractional=np.concatenate(fractional),
        identifiers=np.array(list(structures)),
    )


def main() -> None:
    """Read the arguments and write the structures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--output', type=Path, required=True, help='folder of the structures')
    arguments = parser.parse_args()
    missing = [name for name in (*FILES, REFERENCES) if not (arguments.data / name).exists()]
    if missing:
        parser.error(f'{arguments.data} has no {", ".join(missing)}')
    arguments.output.mkdir(parents=True, exist_ok=True)
    labels = read_all(arguments.data, arguments.output / 'crystals.npz')
    structures, at_r2scan = make(labels.structures)
    pack(structures).save(arguments.output / 'structures_PBE.npz')
    pack({name: structures[name] for name in at_r2scan}).save(arguments.output / 'structures_R2SCAN.npz')
    pack(elemental(arguments.data, labels.structures)).save(arguments.output / 'structures_elements.npz')
    print(f'{len(structures)} structures, {len(at_r2scan)} of them for r2SCAN as well')


if __name__ == '__main__':
    main()
