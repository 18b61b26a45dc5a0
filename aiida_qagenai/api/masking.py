"""Masks of held atoms, read from texts and files, and what is sampled around them."""

from __future__ import annotations

import typing as t
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.exchange.masks import SiteMask
    from aiida_qagenai.exchange.requests import MotifsRequest

__all__ = ('AnyMask', 'masked_requests', 'read_mask')

AnyMask: t.TypeAlias = 'str | Path | Structure | SiteMask'
"""A mask: a text such as ``kagome(Ni)``, a file with one crystal, or a crystal, all atoms of which are held."""

USUAL = 20
"""Atoms up to which cells of a formula are sampled, unless the mask needs more."""


def read_mask(value: AnyMask) -> SiteMask:
    """Return a mask.

    :param value: see :data:`AnyMask`; after the name of a file ``; lattice=fixed`` may say what is kept of its cell.
    :raises InvalidInputError: quoting what is neither, or cannot be a mask.
    """
    from aiida_qagenai.exchange.masks import SiteMask
    from aiida_qagenai.exchange.readers.structure_files import read_named_structures

    if isinstance(value, SiteMask):
        return value
    if not isinstance(value, str | Path):
        return SiteMask.of_structure(value)
    name, _, rest = str(value).partition(';')
    if not Path(name.strip()).is_file():
        return SiteMask.of_text(str(value))
    found = read_named_structures(Path(name.strip()))
    if len(found) != 1:
        raise InvalidInputError(f'{name.strip()} has {len(found)} crystals: a mask is one')
    key, _, lattice = (part.strip() for part in (rest or 'lattice=shape').partition('='))
    if key != 'lattice':
        raise InvalidInputError(f'mask `{value}`: `{key}` is not an option: write `; lattice=fixed`')
    return SiteMask.of_structure(found[0].structure, lattice)


def masked_requests(mask: SiteMask, request: MotifsRequest, seed: int) -> list[dict[str, t.Any]]:
    """Return requests of samples from noise that can have the held atoms.

    :param request: what is wanted, with novelty 1 and without symmetry.
    :param seed: of the contents of cells of a chemical system.
    :raises InvalidInputError: if it needs known crystals, or nothing that it allows has the held atoms.
    """
    _check(request)
    wanted = request.formula or ' '.join(request.elements or ())
    mask.check_elements(request.symbols, wanted)
    if request.composition is None:
        contents = _drawn(mask, request, seed)
    else:
        contents = _contents(mask, request, request.composition)
    if not contents:
        units = f' and {request.formula_units} formula units' if request.formula_units else ''
        limits = f'{request.min_atoms} to {request.max_atoms} atoms{units}'
        raise InvalidInputError(f'the mask holds {mask.text}: no cell of {wanted} with {limits} has room for them')
    share, rest = divmod(request.count, len(contents))
    counts = [share + (place < rest) for place in range(len(contents))]
    return [
        {'mode': 'composition', 'composition': content, 'count': count}
        for content, count in zip(contents, counts, strict=True)
        if count
    ]


def _drawn(mask: SiteMask, request: MotifsRequest, seed: int) -> list[dict[str, int]]:
    """Return contents of cells of a chemical system, one for each sample, with the held atoms and all elements."""
    import numpy as np

    rng, symbols = np.random.default_rng(seed), request.symbols
    base = {symbol: max(mask.amounts[symbol], 1) for symbol in symbols}
    least = max(request.min_atoms, sum(base.values()))
    most = min(request.max_atoms, max(least, USUAL))
    contents = []
    for size in rng.integers(least, most + 1, request.count).tolist() if least <= most else ():
        more = rng.multinomial(size - sum(base.values()), np.full(len(symbols), 1 / len(symbols)))
        contents.append({symbol: base[symbol] + int(number) for symbol, number in zip(symbols, more, strict=True)})
    return contents


def _contents(mask: SiteMask, request: MotifsRequest, composition: dict[str, int]) -> list[dict[str, int]]:
    """Return the contents of cells that can have the held atoms, large ones only if no others do."""
    size = sum(composition.values())
    units = [request.formula_units] if request.formula_units else range(1, request.max_atoms // size + 1)
    contents = [{symbol: number * amount for symbol, amount in composition.items()} for number in units]
    fitting = [
        content
        for content in contents
        if request.min_atoms <= sum(content.values()) <= request.max_atoms
        and all(content[symbol] >= amount for symbol, amount in mask.amounts.items())
    ]
    return [content for content in fitting if sum(content.values()) <= USUAL] or fitting[:1]


def _check(request: MotifsRequest) -> None:
    """Check that a request needs no known crystals."""
    unusable = {
        'novelty': request.novelty < 1,
        'symmetry': request.symmetry == 'keep',
        'space_group': request.space_group is not None,
        'motifs': request.library is not None,
        'exclude': bool(request.exclude),
        'exclude_system': request.exclude_system,
        'stoichiometry': request.stoichiometry is not None,
        'pool': request.pool,
    }
    given = [name for name, is_given in unusable.items() if is_given]
    if given:
        raise InvalidInputError(
            f'with a mask, sampling starts from noise, not from known crystals: leave out {given[0]}'
        )
