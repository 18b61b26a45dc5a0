"""How far formation energies of potentials are off on crystals with known DFT energies."""

from __future__ import annotations

import functools
import json
import typing as t
from pathlib import Path

__all__ = ('PotentialError', 'potential_error')


class PotentialError(t.NamedTuple):
    """Measured error of the formation energies of a potential.

    :param mae: mean absolute error, eV/atom.
    :param rmse: root mean square error, eV/atom.
    :param crystals: number of crystals that it was measured on.
    :param held_out: whether the potential was trained on none of their formulas.
    """

    mae: float
    rmse: float
    crystals: int
    held_out: bool

    @property
    def text(self) -> str:
        """Return the error in words."""
        seen = 'of formulas that it was not trained on' if self.held_out else 'on many of which it was trained'
        return (
            f'± {self.mae:.3f} eV/atom, its mean absolute error against DFT of {self.crystals} known crystals, {seen}'
        )


@functools.cache
def _content() -> dict[str, t.Any]:
    path = Path(__file__).with_name('potential_errors.json')
    return t.cast(dict[str, t.Any], json.loads(path.read_text(encoding='utf8')))


def potential_error(name: str) -> PotentialError | None:
    """Return the error of a potential whose energies have a place on the hull of the package, None if not measured.

    :param name: ``chgnet`` or ``validator``, the shipped one.
    """
    found = _content().get(name)
    return PotentialError(crystals=_content()['crystals'], **found) if isinstance(found, dict) else None
