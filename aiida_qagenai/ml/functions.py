"""Properties of relaxed crystals by functions of other packages: anything that ASE computes on a potential."""

from __future__ import annotations

import importlib
import math
import typing as t
from collections.abc import Callable, Sequence

from ase import Atoms

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.ml.potentials import Potential, PotentialCalculator

__all__ = ('evaluate_functions', 'load_functions')

Function = Callable[[Atoms], float]


def load_functions(names: Sequence[str]) -> dict[str, Function]:
    """Return functions by their names, ``module:function``.

    :raises InvalidInputError: if a module cannot be imported here, or has no such function.
    """
    found: dict[str, Function] = {}
    for name in names:
        module, _, function = name.partition(':')
        try:
            found[name] = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as exception:
            raise InvalidInputError(f'the function `{name}` cannot be imported: {exception}') from exception
        if not callable(found[name]):
            raise InvalidInputError(f'`{name}` is not a function')
    return found


def evaluate_functions(
    functions: t.Mapping[str, Function], crystal: Atoms, potential: Potential
) -> tuple[dict[str, float | None], list[str]]:
    """Return what functions say of a crystal, and why those that have no number have none.

    Each gets atoms of its own with the potential as their calculator. One that fails costs the others nothing.
    """
    values: dict[str, float | None] = {}
    problems = []
    for name, function in functions.items():
        atoms = crystal.copy()
        atoms.calc = PotentialCalculator(potential)
        values[name] = None
        try:
            value = float(function(atoms))
        except Exception as exception:  # of others: whatever it raises is about this crystal
            problems.append(f'{name}: {type(exception).__name__}: {exception}')
            continue
        if math.isfinite(value):
            values[name] = value
        else:
            problems.append(f'{name}: {value} is not a finite number')
    return values, problems
