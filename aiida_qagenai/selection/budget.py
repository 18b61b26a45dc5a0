"""The budget of high-fidelity calculations, in calls and in core-hours."""

from __future__ import annotations

import dataclasses
import math

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('Budget', 'allocation')


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


@dataclasses.dataclass(frozen=True)
class Budget:
    """What a campaign may spend and has spent. A failed calculation costs what it cost.

    :param calls: number of high-fidelity calculations.
    :param core_hours: optional second limit.
    :param spent_calls: calls so far, failed ones included.
    :param spent_core_hours: core-hours so far.
    """

    calls: int
    core_hours: float | None = None
    spent_calls: int = 0
    spent_core_hours: float = 0.0

    def __post_init__(self) -> None:
        numbers = {'calls': self.calls, 'spent_calls': self.spent_calls, 'spent_core_hours': self.spent_core_hours}
        if self.core_hours is not None:
            numbers['core_hours'] = self.core_hours
        for name, value in numbers.items():
            if not (math.isfinite(value) and value >= 0):
                message = f'`{name}` of a budget must be a number >= 0, not {value}'
                raise InvalidInputError(message)

    @property
    def remaining(self) -> int:
        """Return the calls left, 0 once the core-hours are spent."""
        if self.core_hours is not None and self.spent_core_hours >= self.core_hours:
            return 0
        return max(0, self.calls - self.spent_calls)

    def spend(self, calls: int, core_hours: float = 0.0) -> Budget:
        """Return the budget after ``calls`` that took ``core_hours``.

        :raises InvalidInputError: if more calls were made than remained, or a number is negative.
        """
        if calls < 0 or core_hours < 0 or calls > self.calls - self.spent_calls:
            message = f'cannot spend {calls} calls and {core_hours} core-hours of a budget with {self.remaining} left'
            raise InvalidInputError(message)
        return dataclasses.replace(
            self, spent_calls=self.spent_calls + calls, spent_core_hours=self.spent_core_hours + core_hours
        )
