"""Pack the results of `examples/ladder/ladder.py` into the data of the ladder that come with the package.

    python recipes/ladder_data.py --results FILE [--output aiida_qagenai/thermodynamics/ladder]

What the file has joins what the data have, as long as those were computed with the settings of
`examples/ladder/settings.yaml`: one machine can go on where another has stopped. What neither has on all levels is
listed as missing. Then `python benchmarks/ladder_tables.py` makes the tables of the page anew.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import typing as t
from pathlib import Path

import yaml
from pymatgen.core import Structure

from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.common.plotting import write_text
from aiida_qagenai.thermodynamics.ladder.records import DATA, Ladder

EXAMPLE = Path(__file__).resolve().parents[1] / 'examples' / 'ladder'

DROPPED = ('source', 'structure_uuid', 'ordering_uuid')
"""Attributes of energies that belong to the profile where they were computed."""

ABOUT = 'Crystals of H to Ar at PBE, SCAN, HSE06 and composite CCSD(T), their atoms corrected for counterpoise'
EXPERIMENT = (
    'Cohesive energies without zero-point energy as Harl, Schimka and Kresse, Phys. Rev. B 81, 115126 (2010) collect '
    'them (recalled, not looked up); atomisation energies of the elements: thermodynamics/references/atomization.json'
)


def wanted(crystals: dict[str, dict[str, t.Any]]) -> dict[str, tuple[dict[str, t.Any], float]]:
    """Return entry and relative volume of everything on the list that is not refused, by name."""
    crystals = {name: content for name, content in crystals.items() if 'refused' not in content}
    found = {name: (content, 1.0) for name, content in crystals.items()}
    for name, content in crystals.items():
        found |= {f'{name}-{volume}': (content, volume) for volume in content.get('volumes', ())}
    return found


def record(content: dict[str, t.Any], volume: float, result: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return what the package keeps of a crystal."""
    structure = Structure.from_dict(result['structure'])
    energies = {
        level: {name: value for name, value in values.items() if name not in DROPPED and value not in (None, [], {})}
        for level, values in result['energies'].items()
    }
    return {
        'elements': content['elements'],
        'kind': content['kind'],
        'compound_class': content['class'],
        'lattice': content['lattice'],
        'of': content.get('of'),
        'volume': volume,
        'cohesive': content.get('cohesive'),
        'cell': structure.lattice.matrix.round(10).tolist(),
        'symbols': [site.specie.symbol for site in structure],
        'positions': structure.cart_coords.round(10).tolist(),
        'energies': energies,
        'failures': result.get('failures', []),
        'calculations': result.get('calculations', []),
    }


def packed_before(path: Path, settings: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the crystals that a file of the ladder has, none where it was computed with other settings."""
    content = json.loads(path.read_text(encoding='utf-8')) if path.exists() else {}
    return content['crystals'] if content.get('settings') == settings else {}


def pack(
    results: dict[str, dict[str, t.Any]],
    crystals: dict[str, t.Any],
    settings: dict[str, t.Any],
    before: dict[str, t.Any],
) -> dict[str, t.Any]:
    """Return the content of the file: crystals that have an energy, settings, and those not complete or refused."""
    names = wanted(crystals)
    found = {name: one for name, one in before.items() if name in names} | {
        name: record(content, volume, results[f'ladder-{name}'])
        for name, (content, volume) in names.items()
        if f'ladder-{name}' in results
    }
    complete = {name for name, one in found.items() if set(one['energies']) == {level.value for level in LADDER}}
    return {
        'settings': settings,
        'missing': [name for name in names if name not in complete],
        'refused': {name: content['refused'] for name, content in crystals.items() if 'refused' in content},
        'crystals': found,
    }


def make_card(content: dict[str, t.Any], text: str) -> dict[str, t.Any]:
    """Return where the data are from, and how much there is of them."""
    ladder = Ladder.from_dict(content)
    versions = {
        f'{name} {version}'
        for crystal in ladder.crystals.values()
        for one in crystal.calculations
        for name, version in (one.versions or {}).items()
        if name != 'python'
    }
    scripts = ('ladder.py', 'crystals.yaml', 'settings.yaml')
    return {
        'about': ABOUT,
        'source': 'Computed for this package by examples/ladder/ladder.py',
        'experiment': EXPERIMENT,
        'license': 'CC BY 4.0',
        'recipe': 'python recipes/ladder_data.py --results FILE',
        'energies': 'eV; errors are standard errors, of the composite with what is not extrapolated',
        'num_crystals': len(ladder.crystals),
        'num_complete': sum(crystal.is_complete for crystal in ladder.crystals.values()),
        'num_missing': len(ladder.missing),
        'cpu_hours': round(sum(crystal.cpu_hours for crystal in ladder.crystals.values()), 2),
        'versions': sorted(versions),
        'files': {name: hashlib.sha256((EXAMPLE / name).read_bytes()).hexdigest() for name in scripts},
        'sha256': {DATA.name: hashlib.sha256(text.encode()).hexdigest()},
    }


def main() -> None:
    """Read the results and write data and card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--results', type=Path, required=True, help='file that ladder.py --results wrote')
    parser.add_argument('--output', type=Path, default=DATA.parent, help='folder of data and card')
    arguments = parser.parse_args()
    if not arguments.results.exists():
        parser.error(
            f'{arguments.results} does not exist: `verdi run examples/ladder/ladder.py --results FILE` makes it'
        )
    crystals, settings = (
        yaml.safe_load((EXAMPLE / f'{name}.yaml').read_text(encoding='utf-8')) for name in ('crystals', 'settings')
    )
    results = json.loads(arguments.results.read_text(encoding='utf-8'))
    content = pack(results, crystals, settings, packed_before(arguments.output / DATA.name, settings))
    text = json.dumps(content, separators=(',', ':'), sort_keys=True) + '\n'
    arguments.output.mkdir(parents=True, exist_ok=True)
    write_text(text, arguments.output / DATA.name)
    card = make_card(content, text)
    write_text(json.dumps(card, indent=2, ensure_ascii=False) + '\n', arguments.output / 'card.json')
    print(f'{card["num_complete"]} crystals complete, {card["num_missing"]} missing, {len(text) / 1e6:.2f} MB')


if __name__ == '__main__':
    main()
