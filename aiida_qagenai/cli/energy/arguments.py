"""From what a user types to changes of a protocol and initial moments."""

from __future__ import annotations

import typing as t

from aiida_qagenai.cli.params import parse_settings
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from aiida.orm import StructureData

    from aiida_qagenai.workchains.energy.orderings import Moments

__all__ = ('energy_overrides', 'parse_moments')


def energy_overrides(
    settings: t.Sequence[str],
    hubbard: t.Sequence[str],
    *,
    magnetism: str | None,
    orderings: int | None,
    counterpoise: bool,
) -> dict[str, t.Any]:
    """Return the changes to a protocol that `--set` and other options ask for.

    :param magnetism: none or auto, as the protocol says by default.
    :param orderings: most magnetic orderings of a crystal.
    :param counterpoise: whether the correction of the protocol stays.
    :raises InvalidInputError: if a text cannot be read.
    """
    overrides = parse_settings(settings)
    if hubbard:
        overrides['hubbard'] = {**overrides.get('hubbard', {}), **parse_hubbard(hubbard)}
    if magnetism is not None:
        overrides['magnetism'] = magnetism
    if orderings is not None:
        overrides['orderings'] = {**overrides.get('orderings', {}), 'max_orderings': orderings}
    return overrides if counterpoise else {**overrides, 'counterpoise': None}


def parse_hubbard(terms: t.Sequence[str]) -> dict[str, dict[str, t.Any]]:
    """Return U by element from texts as ``Mn=3.9 Wang 2006``.

    :raises InvalidInputError: for a text of another form.
    """
    found = {}
    for term in terms:
        symbol, _, rest = term.partition('=')
        value, _, source = rest.strip().partition(' ')
        try:
            found[symbol.strip()] = {'U': float(value), 'source': source.strip() or 'given on the command line'}
        except ValueError as exception:
            message = (
                f'`--hubbard {term}`: expected an element and U in eV, as in Mn=3.9, with its source after a space'
            )
            raise InvalidInputError(message) from exception
    return found


def parse_moments(text: str, structures: t.Mapping[str, StructureData]) -> dict[str, Moments]:
    """Return the initial moments of structures: as typed, or else as their files have them.

    :param text: `Mn=5,Ni=2` by element, or one number per atom of a single structure, separated by commas; empty: none.
    :raises InvalidInputError: if the text is neither, or does not fit the structures.
    """
    from aiida_qagenai.cli.energy.plan import elements_of
    from aiida_qagenai.exchange.crystals import MOMENTS_EXTRA

    if not text:
        own = {label: node.base.extras.get(MOMENTS_EXTRA, None) for label, node in structures.items()}
        return {label: moments for label, moments in own.items() if moments}
    pairs = [part.partition('=') for part in text.split(',')]
    try:
        numbers = [float(value if mark else name) for name, mark, value in pairs]
    except ValueError as exception:
        raise InvalidInputError(f'--moments `{text}`: write Mn=5,Ni=2 or one number per atom, 5,-5,0,0') from exception
    if not any(mark for _, mark, _ in pairs):
        if len(structures) > 1:
            raise InvalidInputError(
                '--moments with one number per atom is for a single structure: give them by element'
            )
        return dict.fromkeys(structures, numbers)
    given = {name.strip(): number for (name, _, _), number in zip(pairs, numbers, strict=True)}
    found = {
        label: {symbol: given[symbol] for symbol in elements_of(node) if symbol in given}
        for label, node in structures.items()
    }
    missing = sorted(set(given).difference(*found.values()))
    if missing:
        raise InvalidInputError(f'--moments: no structure contains {", ".join(missing)}')
    return {label: moments for label, moments in found.items() if moments}
