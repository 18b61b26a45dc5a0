"""What every benchmark prints: one figure a line, as JSON."""

from __future__ import annotations

import json
import math


def figure(
    name: str,
    value: float | None,
    unit: str,
    reference: str | None = None,
    reference_value: float | None = None,
    *,
    ratio: float | None = None,
) -> None:
    """Print one figure as a line of JSON.

    :param reference: what the figure is compared with.
    :param ratio: by default the value over that of the reference, if both are known and the latter is not zero.
    """
    value, reference_value, ratio = (known(number) for number in (value, reference_value, ratio))
    if ratio is None and value is not None and reference_value:
        ratio = value / reference_value
    record = {'name': name, 'value': value, 'unit': unit, 'reference': reference, 'reference_value': reference_value}
    print(json.dumps({**record, 'ratio': ratio}), flush=True)


def known(number: float | None) -> float | None:
    """Return a number that JSON has, or None: too few data have no mean."""
    return None if number is None or math.isnan(number) else number
