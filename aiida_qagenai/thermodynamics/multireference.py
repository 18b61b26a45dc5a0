"""Signs that one determinant does not describe the electrons: flags from the diagnostics of a computed energy.

A flag says that the method is in doubt for this structure, not that the energy is wrong.
"""

from __future__ import annotations

import typing as t

__all__ = ('FLAGS', 'LARGEST_D1', 'LARGEST_T1', 'METHOD_FLAGS', 'multireference_flags')

LARGEST_T1 = 0.05
"""T1 diagnostic of CCSD above which a single reference is no good one: W. Jiang, N. J. DeYonker, A. K. Wilson, J. Chem.
Theory Comput. 8, 460 (2012), for 3d metals; light molecules have 0.02 (T. J. Lee, P. R. Taylor, 1989)."""

LARGEST_D1 = 0.15
"""D1 diagnostic likewise, of the same work."""

LARGEST_CONTAMINATION = 0.1
"""⟨S²⟩ per unpaired electron beyond that of a determinant with moments on sites, above which the spin is impure."""

SMALLEST_MOMENT = 0.1
"""Unpaired electrons per cell below which there is no moment whose purity could be judged."""

NEAR_DEGENERATE_CODE = 712
"""Warning of an energy whose lowest magnetic ordering has others within 10 meV/atom."""

FLAGS = {
    't1': f'T1 diagnostic above {LARGEST_T1}',
    'd1': f'D1 diagnostic above {LARGEST_D1}',
    'spin_contamination': '⟨S²⟩ beyond that of moments on sites, by more than a tenth of the unpaired electrons',
    'near_degenerate': 'several magnetic orderings within 10 meV/atom',
}
"""Name of a flag → what it means."""

METHOD_FLAGS = ('t1', 'd1')
"""Flags that say of a coupled-cluster energy that the method does not apply: such a label is doubtful."""


def multireference_flags(attributes: t.Mapping[str, t.Any]) -> tuple[str, ...]:
    """Return the flags of an energy, names of ``FLAGS``, from its attributes; what was not computed raises none.

    The spin is judged against the determinant in which each moment sits on its site: for N↑ and N↓ unpaired electrons
    with a moment M = N↑ − N↓ it has ``⟨S²⟩ = |M|/2 (|M|/2 + 1) + min(N↑, N↓)``. An antiferromagnetic determinant is not
    contaminated by that measure, although it is no pure singlet either.

    :param attributes: ``t1_diagnostic``, ``d1_diagnostic``, ``spin_squared``, ``total_moment``, ``absolute_moment`` (μB
        per cell) and ``warning_codes``, all of them optional.
    """
    found = {
        't1': _above(attributes.get('t1_diagnostic'), LARGEST_T1),
        'd1': _above(attributes.get('d1_diagnostic'), LARGEST_D1),
        'spin_contamination': _is_contaminated(attributes),
        'near_degenerate': NEAR_DEGENERATE_CODE in (attributes.get('warning_codes') or ()),
    }
    return tuple(name for name in FLAGS if found[name])


def _above(value: float | None, limit: float) -> bool:
    return value is not None and value > limit


def _is_contaminated(attributes: t.Mapping[str, t.Any]) -> bool:
    squared, total, unpaired = (attributes.get(name) for name in ('spin_squared', 'total_moment', 'absolute_moment'))
    if squared is None or total is None or unpaired is None or unpaired < SMALLEST_MOMENT:
        return False
    spin = abs(total) / 2
    expected = spin * (spin + 1) + max(0.0, unpaired - abs(total)) / 2
    return bool(squared - expected > LARGEST_CONTAMINATION * unpaired)
