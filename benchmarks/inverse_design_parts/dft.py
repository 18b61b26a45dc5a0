"""Elastic tensors of silicon and silicon carbide at PBE by pw.x, beside published and measured ones.

The work chain behind ``aiida-qagenai elastic dft`` runs in the default profile, with the code ``pw@localhost`` and a
family ``local`` of two files of Debian's package, Si.pbe-rrkj.UPF and C.pbe-rrkjus.UPF: the protocol ``fast``, a mesh
of 0.25 1/Å and cutoffs of 24 and 40 Ry, strains of 1 %. ``dft-elastic-CRYSTAL-K`` and ``-G`` (GPa) stand beside the
Materials Project, the components beside measured ones, which are recalled and not looked up.
"""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from ase.build import bulk
from figures import figure

RECORD = Path(__file__).with_name('dft.json')
CRYSTALS = {
    'Si': (('diamond', 5.43), (24, 96), (83.01, 61.16), (166, 64, 80)),
    'SiC': (('zincblende', 4.36), (40, 320), (212.68, 187.25), (390, 142, 256)),
}
"""Formula → prototype and lattice constant (Å), cutoffs (Ry), published K and G, measured C11, C12 and C44 (GPa)."""

PLACES = ((0, 0), (0, 1), (3, 3))


def measure(formula: str) -> dict[str, t.Any]:
    """Return the record of one crystal."""
    from aiida import load_profile
    from aiida.engine import run_get_node
    from aiida.orm import load_code

    from aiida_qagenai.engine.resumable import nested_outputs
    from aiida_qagenai.queries.costs import core_hours
    from aiida_qagenai.workchains.pbe_elastic import PbeElasticWorkChain

    load_profile()
    (prototype, edge), (ecutwfc, ecutrho), *_ = CRYSTALS[formula]
    numerics = {'pseudo_family': 'local', 'ecutwfc': ecutwfc, 'ecutrho': ecutrho, 'kpoints_distance': 0.25}
    builder = PbeElasticWorkChain.get_builder_from_protocol(
        load_code('pw@localhost'),
        bulk(formula, prototype, edge),
        'fast',
        overrides={'espresso': numerics, 'max_force': 0.005},
    )
    node = run_get_node(builder)[1]
    found = nested_outputs(node)['elastic']['crystal'].base.attributes.all
    return {
        'formula': formula,
        'moduli': [round(found[f'{kind}_modulus_vrh'], 2) for kind in ('bulk', 'shear')],
        'constants': [round(found['tensor_ieee'][row][column], 2) for row, column in PLACES],
        'volume_per_atom': round(found['volume_per_atom'], 3),
        'asymmetry': found['asymmetry'],
        'strains': found['num_strains'],
        'program': found['potential'],
        'core_minutes': round(60 * core_hours(node.pk)['espresso'], 2),
    }


def show(records: list[dict[str, t.Any]]) -> None:
    """Print what the records say."""
    for record in records:
        _, _, published, measured = CRYSTALS[record['formula']]
        for kind, value, reference in zip('KG', record['moduli'], published, strict=True):
            figure(f'dft-elastic-{record["formula"]}-{kind}', value, 'GPa', 'Materials Project', reference)
        print(f'  C11, C12, C44: {record["constants"]}, measured {list(measured)}')
        print(f'  {record["strains"]} strained cells, {record["core_minutes"]} core minutes')


def run(folder: Path | None, work: Path, *, quick: bool, store: bool) -> None:
    """Measure, or show what is stored where no data are given; neither ``folder`` nor ``work`` is needed."""
    records = json.loads(RECORD.read_text()) if folder is None else []
    for formula in [] if folder is None else list(CRYSTALS)[: 1 if quick else None]:
        records.append(measure(formula))
        if store:
            RECORD.write_text('[\n' + ',\n'.join(json.dumps(each) for each in records) + '\n]\n')
    show(records)
