"""What the command line does, as functions on structures of pymatgen, ASE or AiiDA, or on files of them.

No profile is needed, and torch is loaded by the processes that need it only. Where a structure is taken, any kind of
them is: see :func:`~aiida_qagenai.exchange.crystals.as_structure`. Structures come back as objects of pymatgen;
:func:`~aiida_qagenai.exchange.crystals.as_atoms` makes ``Atoms`` of ASE of them, moments included. A potential as a
calculator of ASE is :func:`aiida_qagenai.ml.potentials.calculator`.
"""

from __future__ import annotations

import importlib
import typing as t

if t.TYPE_CHECKING:
    from aiida_qagenai.api.elasticity import Elastic, elastic
    from aiida_qagenai.api.evaluation import evaluate
    from aiida_qagenai.api.generation import Generated, generate
    from aiida_qagenai.api.hulls import OnHull, draw_hull, place_on_hull
    from aiida_qagenai.api.inverse_design import Designed, DesignPlan, design
    from aiida_qagenai.api.prediction import predict, predict_gaps
    from aiida_qagenai.api.relaxation import Relaxed, relax
    from aiida_qagenai.api.screening import screen
    from aiida_qagenai.api.validation import Validated, draw_front, validate
    from aiida_qagenai.exchange.crystals import as_atoms, as_structure, as_structures

__all__ = (
    'DesignPlan',
    'Designed',
    'Elastic',
    'Generated',
    'OnHull',
    'Relaxed',
    'Validated',
    'as_atoms',
    'as_structure',
    'as_structures',
    'design',
    'draw_front',
    'draw_hull',
    'elastic',
    'evaluate',
    'generate',
    'place_on_hull',
    'predict',
    'predict_gaps',
    'relax',
    'screen',
    'validate',
)

_HOMES = {
    'DesignPlan': 'api.inverse_design',
    'Designed': 'api.inverse_design',
    'Elastic': 'api.elasticity',
    'Generated': 'api.generation',
    'OnHull': 'api.hulls',
    'Relaxed': 'api.relaxation',
    'Validated': 'api.validation',
    'as_atoms': 'exchange.crystals',
    'as_structure': 'exchange.crystals',
    'as_structures': 'exchange.crystals',
    'design': 'api.inverse_design',
    'draw_front': 'api.validation',
    'draw_hull': 'api.hulls',
    'elastic': 'api.elasticity',
    'evaluate': 'api.evaluation',
    'generate': 'api.generation',
    'place_on_hull': 'api.hulls',
    'predict': 'api.prediction',
    'predict_gaps': 'api.prediction',
    'relax': 'api.relaxation',
    'screen': 'api.screening',
    'validate': 'api.validation',
}
"""Where each name is from. They are imported when they are asked for: the help of the command line must not wait."""


def __getattr__(name: str) -> t.Any:
    if name not in _HOMES:
        raise AttributeError(f'module `{__name__}` has no attribute `{name}`')
    return getattr(importlib.import_module(f'aiida_qagenai.{_HOMES[name]}'), name)
