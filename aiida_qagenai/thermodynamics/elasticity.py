"""Elastic tensors from the stresses of strained crystals, and what follows from them.

A crystal is strained by each of the six components of a symmetric strain ε, r' = r (1 + ε), and the tensor is the slope
of the stress: C = dσ/dε at relaxed atoms. Strains that the space group maps onto each other are computed once. Moduli
are those of Voigt, Reuss and Hill (R. Hill, Proc. Phys. Soc. A 65, 349 (1952)), by pymatgen. A crystal is mechanically
stable if C is positive definite (F. Mouhat and F.-X. Coudert, Phys. Rev. B 90, 224104 (2014)).
"""

from __future__ import annotations

import dataclasses
import itertools
import typing as t
import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.units import EV_PER_A3_TO_GPA
from aiida_qagenai.thermodynamics.vibrations.descent import Symmetry

if t.TYPE_CHECKING:
    from pymatgen.analysis.elasticity import ElasticTensor
    from pymatgen.core import Structure

__all__ = ('Elasticity', 'StrainedCells', 'elasticity')

Array = NDArray[np.float64]
COMPONENTS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Components of a symmetric tensor in the order of Voigt."""

SAME = 0.02
"""Difference between strains that are mapped onto each other, as a share of the amplitude."""


@dataclasses.dataclass(frozen=True)
class Elasticity:
    """What the elastic tensor of a crystal says.

    Moduli in GPa; those that need the compliance are None for an unstable crystal.

    :param tensor: in the Cartesian frame of the crystal, Voigt notation, shape (6, 6), GPa.
    :param tensor_ieee: in the standard orientation (IEEE 176-1987), None where there is none.
    :param smallest_eigenvalue: of the tensor in Voigt notation, GPa.
    :param asymmetry: largest ``abs(C_ij − C_ji)`` before symmetrising, as a share of the largest component: the error.
    """

    tensor: Array
    tensor_ieee: Array | None
    bulk_modulus_voigt: float
    bulk_modulus_reuss: float | None
    bulk_modulus_vrh: float | None
    shear_modulus_voigt: float
    shear_modulus_reuss: float | None
    shear_modulus_vrh: float | None
    young_modulus: float | None
    poisson_ratio: float | None
    universal_anisotropy: float | None
    smallest_eigenvalue: float
    mechanically_stable: bool
    asymmetry: float


class StrainedCells:
    """Strains of a crystal of which none is the image of another, and what they say about all.

    :param amplitudes: each component of the strain takes ± each of these.
    :ivar strains: to compute, shape (m, 3, 3).
    """

    def __init__(self, cell: Array, species: NDArray[np.int64], fractional: Array, amplitudes: Sequence[float]) -> None:
        self._rotations = Symmetry(cell, species, fractional).rotations
        self.all = [
            _strain(component, sign * amplitude)
            for component, amplitude, sign in itertools.product(COMPONENTS, amplitudes, (-1, 1))
        ]
        found: list[Array] = []
        self._images: list[tuple[int, Array]] = []
        for strain in self.all:
            image = self._image_of(strain, found)
            if image is None:
                image = (len(found), np.eye(3))
                found.append(strain)
            self._images.append(image)
        self.strains: Array = np.array(found)
        self.cells: Array = cell @ (np.eye(3) + self.strains)

    def _image_of(self, strain: Array, found: Sequence[Array]) -> tuple[int, Array] | None:
        """Return which strain the space group maps onto this one, and the rotation, or None."""
        for index, other in enumerate(found):
            apart = np.abs(turned(other, self._rotations) - strain).max(axis=(1, 2))
            if apart.min() < SAME * np.abs(strain).max():
                return index, self._rotations[apart.argmin()]
        return None

    def tensor(self, stresses: Array, relaxed: Array) -> tuple[ElasticTensor, float]:
        """Return the elastic tensor, GPa, and its asymmetry.

        :param stresses: of the strained cells with relaxed atoms, shape (m, 3, 3), eV/Å3.
        :param relaxed: stress without strain, shape (3, 3), eV/Å3.
        """
        from pymatgen.analysis.elasticity import ElasticTensor, Strain, Stress

        pairs = [turned(stresses[index], rotation[None])[0] for index, rotation in self._images]
        fitted = ElasticTensor.from_independent_strains(
            [Strain(strain) for strain in self.all],
            [Stress(stress * EV_PER_A3_TO_GPA) for stress in pairs],
            eq_stress=Stress(relaxed * EV_PER_A3_TO_GPA),
        )
        voigt = np.asarray(fitted.voigt)
        asymmetry = float(np.abs(voigt - voigt.T).max() / np.abs(voigt).max())
        full = np.asarray(ElasticTensor.from_voigt((voigt + voigt.T) / 2))
        # Components of the same tensor in all equivalent frames: what the symmetry forbids becomes 0.
        q = self._rotations
        mean = np.einsum('gai,gbj,gck,gdl,abcd->ijkl', q, q, q, q, full, optimize=True) / len(q)
        return ElasticTensor(mean), asymmetry


def turned(tensor: Array, rotations: Array) -> Array:
    """Return a symmetric tensor as it is in a crystal whose positions became r Q, shape (g, 3, 3)."""
    found: Array = rotations.transpose(0, 2, 1) @ tensor @ rotations
    return found


def elasticity(tensor: ElasticTensor, structure: Structure, asymmetry: float = 0.0) -> Elasticity:
    """Return the moduli and the verdict on the stability of a crystal.

    :param tensor: GPa, in the frame of ``structure``.
    :param asymmetry: see :class:`Elasticity`.
    """
    voigt = np.asarray(tensor.voigt)
    smallest = float(np.linalg.eigvalsh(voigt).min())
    stable = smallest > 0
    return Elasticity(
        tensor=voigt,
        tensor_ieee=_standard(tensor, structure),
        bulk_modulus_voigt=float(tensor.k_voigt),
        bulk_modulus_reuss=float(tensor.k_reuss) if stable else None,
        bulk_modulus_vrh=float(tensor.k_vrh) if stable else None,
        shear_modulus_voigt=float(tensor.g_voigt),
        shear_modulus_reuss=float(tensor.g_reuss) if stable else None,
        shear_modulus_vrh=float(tensor.g_vrh) if stable else None,
        young_modulus=float(tensor.y_mod) / 1e9 if stable else None,
        poisson_ratio=float(tensor.homogeneous_poisson) if stable else None,
        universal_anisotropy=float(tensor.universal_anisotropy) if stable else None,
        smallest_eigenvalue=smallest,
        mechanically_stable=stable,
        asymmetry=asymmetry,
    )


def _strain(component: tuple[int, int], amount: float) -> Array:
    strain = np.zeros((3, 3))
    strain[component] = strain[component[::-1]] = amount
    return strain


def _standard(tensor: ElasticTensor, structure: Structure) -> Array | None:
    """Return the tensor in the standard orientation, None where pymatgen finds none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of a rotated tensor whose zeros are rounded
            return np.asarray(tensor.convert_to_ieee(structure, initial_fit=False).voigt)
    except ValueError:
        return None
