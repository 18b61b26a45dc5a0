"""Layout of the quantum descriptor vector q that conditions the generator (paper Eq 7, Φ_Q).

One flat vector per structure, computed from its PBE density and bands (``calculations``) and predicted by the
descriptor model (``ml``). The blocks are dropped as a whole when the generator is trained for guidance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = (
    'BLOCKS',
    'EXTRA_FIELDS',
    'FIELDS',
    'GAP_LEVELS',
    'HEAD_FIELDS',
    'HIGH_ELF',
    'LOGARITHMIC',
    'NUM_DESCRIPTORS',
    'block_slices',
    'pack',
    'unpack',
)

ELF_BINS = 10

BLOCKS: dict[str, tuple[str, ...]] = {
    # eV; moments of the occupied density of states relative to the valence band maximum
    'dos': ('band_gap', 'dos_mean', 'dos_std', 'dos_skewness', 'dos_s_fraction', 'dos_p_fraction'),
    # fraction of the cell volume with ELF in [i/10, (i+1)/10): dimensionless, sums to 1
    'elf': tuple(f'elf_{index}' for index in range(ELF_BINS)),
    # e/Å^5: mean absolute value and standard deviation of the Laplacian of the density over the cell
    'laplacian': ('laplacian_abs_mean', 'laplacian_std'),
    # 1/(eV Å^3): −χ0 at the smallest wave vector of the mesh and at the zone boundary
    'response': ('chi0_q_min', 'chi0_q_max'),
}
"""Block name → the names of its fields, in the order of the packed vector."""

EXTRA_FIELDS: tuple[str, ...] = (
    'dos_d_fraction',
    *(f'dos_{name}_{moment}' for name in 'spd' for moment in ('mean', 'std')),
)
"""Stored with the others, eV, where there are functions of that kind, but no part of the packed vector."""

FIELDS: tuple[str, ...] = tuple(name for block in BLOCKS.values() for name in block)
"""All field names in the order of the packed vector."""

NUM_DESCRIPTORS = len(FIELDS)

HEAD_FIELDS: tuple[str, ...] = tuple(name for name in FIELDS if name != 'band_gap')
"""Fields that the shipped descriptor heads predict; of gaps there is a model of its own, with far more labels."""

LOGARITHMIC: tuple[str, ...] = ('dos_std', *BLOCKS['laplacian'], *BLOCKS['response'])
"""Fields that are positive and span orders of magnitude."""

HIGH_ELF: tuple[str, ...] = BLOCKS['elf'][7:]
"""Fields whose sum is ``elf_high``, the fraction of the volume with ELF ≥ 0.7: bonds, lone pairs and shells."""

GAP_LEVELS: dict[str, str] = {'pbe': 'PBE', 'hse06': 'HSE06', 'gllb_sc': 'GLLB-SC', 'scan': 'SCAN'}
"""Last part of the name of a column → level of theory of the band gaps that the shipped model predicts."""


def block_slices() -> dict[str, slice]:
    """Return for each block its slice of the packed vector."""
    slices, start = {}, 0
    for name, fields in BLOCKS.items():
        slices[name] = slice(start, start + len(fields))
        start += len(fields)
    return slices


def pack(values: Mapping[str, float]) -> list[float]:
    """Return the vector of length ``NUM_DESCRIPTORS`` for named ``values``; what is missing becomes NaN."""
    return [float(values.get(name, float('nan'))) for name in FIELDS]


def unpack(vector: Sequence[float]) -> dict[str, float]:
    """Return the named values of a packed ``vector``.

    :raises ValueError: if its length is not ``NUM_DESCRIPTORS``.
    """
    return {name: float(value) for name, value in zip(FIELDS, vector, strict=True)}
