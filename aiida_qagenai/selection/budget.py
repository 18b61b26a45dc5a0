"""The share of the budget of high-fidelity calculations that one cycle spends."""

from __future__ import annotations

import math

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('allocation',)


def allocation(remaining: int, *, fraction: float = 0.1, cap: int = 20) -> int:
    """Return the calls to spend in one cycle: min(cap, ⌊fraction · remaining⌋), at least 1 if any is left.

    Paper Algorithm 1, line 6.

    :param remaining: calls left.
    :raises InvalidInputError: if a number is out of range.
    """
    if remaining < 0 or not 0 < fraction <= 1 or cap < 1:
        message = f'need remaining >= 0, 0 < fraction <= 1 and cap >= 1, not {remaining}, {fraction} and {cap}'
        raise InvalidInputError(message)
    # the decimal fraction 0.1 is a little more than a tenth in binary and other fractions a little less
    share = math.floor(fraction * remaining + 1e-9)
    return min(remaining, max(1, min(cap, share)))
