"""What the package proposes: known crystals with exchanged elements, the most probable first, refined."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

from pymatgen.core import Composition, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import GenerateConfig
from aiida_qagenai.ml.generator.generate import generate
from aiida_qagenai.ml.progress import Record
from aiida_qagenai.ml.runtime import setup
from arms import Arm, filled_up


def build(excluded: frozenset[str]) -> Arm:
    """Return the arm with the models of the package."""
    return Motifs(excluded)


@dataclasses.dataclass(frozen=True)
class Motifs:
    """The task `generate` for requests of mode `motifs`.

    :param refine: whether the diffusion model refines them.
    """

    excluded: frozenset[str]
    refine: bool = True

    def __call__(self, composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
        """Return the crystals for a primitive cell."""
        amounts = Composition(composition).get_reduced_composition_and_factor()[0].get_el_amt_dict()
        request = {
            'mode': 'motifs',
            'formula': ''.join(f'{symbol}{round(amount)}' for symbol, amount in amounts.items()),
            'formula_units': math.gcd(*composition.values()),
            'max_atoms': 60,
            'exclude': sorted(self.excluded),
            'count': count,
            'refine': self.refine,
        }
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / 'candidates.npz'
            values = {'requests': [request], 'relations': False, 'seed': seed, 'output': output}
            config = GenerateConfig.model_validate(values)
            try:
                # its lines of progress are not figures
                with contextlib.redirect_stdout(io.StringIO()):
                    generate(config, setup(config), Record())
            except InvalidInputError:
                return filled_up([], count)
            return filled_up(list(StructureBatch.load(output).structures()), count)
