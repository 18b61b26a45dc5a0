"""The results of one PySCF calculation: typed, with units, read here and nowhere else."""

from __future__ import annotations

import json
import typing as t

import pydantic

from aiida_qagenai.common.errors import CorruptFileError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.common.model import validation_text

if t.TYPE_CHECKING:
    from aiida.orm import ProcessNode

__all__ = (
    'FINISHED',
    'BandStructure',
    'Cost',
    'EnergyResults',
    'ForceResults',
    'Geometry',
    'PyscfResults',
    'results_of',
)

FINISHED = 'finished'
"""Status of a calculation that reached its end."""

Names = str | dict[str, str] | None
Number = float | None
Vectors = list[list[float]]
Ordering = t.Literal['nonmagnetic', 'ferromagnetic', 'antiferromagnetic', 'ferrimagnetic']


class _Written(pydantic.BaseModel):
    """Part of the results; what another version of the script wrote beside it is left out."""

    model_config = pydantic.ConfigDict(extra='ignore', frozen=True, allow_inf_nan=False)


class Cost(_Written):
    """What a calculation occupied."""

    core_hours: float = pydantic.Field(0.0, description='Wall time times threads, h.')
    wall_seconds: float = pydantic.Field(0.0, description='Wall time, s.')
    memory_mb: Number = pydantic.Field(None, description='Largest resident memory, MB.')


class Relaxation(_Written):
    """History of a relaxation, one entry per ionic step."""

    energies: list[float] = pydantic.Field(description='Total energies, eV per cell.')
    max_forces: list[float] = pydantic.Field(description='Largest forces on any atom, eV/Å.')


class Geometry(_Written):
    """Where the atoms were last."""

    cell: Vectors = pydantic.Field(description='Lattice vectors as rows, Å.')
    positions: Vectors = pydantic.Field(description='Cartesian positions (n, 3), Å.')
    ionic_steps: int = pydantic.Field(0, description='Ionic steps taken.')


class BandStructure(_Written):
    """PBE bands along a path."""

    kpoints: Vectors = pydantic.Field(description='Points (k, 3) in units of the reciprocal vectors.')
    labels: list[tuple[int, str]] = pydantic.Field(description='Index and name of the special points.')
    energies: Vectors | list[Vectors] = pydantic.Field(
        description='Bands (k, n), or of both spins (2, k, n), eV, not shifted.'
    )


class PyscfResults(Cost):
    """What any calculation records, however it ends; what a method does not compute stays at its default.

    Energies are per cell or molecule and in eV unless a name says otherwise.
    """

    status: str = pydantic.Field(description='How it ended, see `EXIT_LABELS` of the parser.')
    message: str = pydantic.Field('', description='Why it ended so.')
    stage: str = pydantic.Field('start', description='The last stage that began.')
    fidelity: Fidelity | None = None
    method: str | None = pydantic.Field(None, description='Part of CCSD(T) that was computed.')
    basis: Names = None
    pseudo: Names = pydantic.Field(None, description='Pseudopotential; none: all electrons.')
    auxiliary_basis: Names = None
    relativity: str | None = None
    versions: dict[str, str] = pydantic.Field({}, description='Versions of PySCF, NumPy and Python.')
    units: dict[str, str] = {}
    warnings: list[str] = pydantic.Field([], description='One text per warning.')
    warning_codes: list[int] = pydantic.Field([], description='Codes (7xx) of the warnings, in their order.')
    timings: dict[str, float] = pydantic.Field({}, description='Wall times of the stages, s.')
    earlier: Cost = pydantic.Field(Cost(), description='Cost of the calculations whose amplitudes were continued.')
    cpu_seconds: Number = None
    num_threads: int | None = None
    # Size
    num_kpoints: int | None = None
    num_irreducible_kpoints: int | None = pydantic.Field(None, description='Where CCSD made use of symmetry.')
    num_basis_functions: int | None = None
    num_electrons: int | None = pydantic.Field(None, description='Electrons beside the pseudopotentials.')
    num_correlated_electrons: int | None = None
    num_frozen_core: int | None = pydantic.Field(None, description='Core orbitals left uncorrelated.')
    num_ghosts: int | None = None
    spin: int | None = pydantic.Field(
        None, description='Electrons of spin up minus spin down: of a molecule, or per cell at the beginning.'
    )
    kmesh: list[int] | None = None
    kmesh_shift: list[float] | None = pydantic.Field(None, description='In steps of the mesh.')
    cc_kmesh: list[int] | None = pydantic.Field(None, description='Mesh of the correlation energy.')
    cc_kmesh_shift: list[float] | None = None
    grid_mesh: list[int] | None = None
    memory_estimate_mb: Number = None
    disk_estimate_mb: Number = None
    # Convergence
    scf_converged: bool | None = None
    scf_cycles: int | None = None
    scf_thresholds: dict[str, float] = {}
    cc_converged: bool | None = pydantic.Field(None, description='None where there is no coupled cluster.')
    cc_cycles: int | None = None
    cc_thresholds: dict[str, float] = {}
    local_thresholds: dict[str, float] = {}
    smearing_hartree: Number = None
    integration_error: Number = pydantic.Field(None, description='Electrons the grid integrates minus electrons.')
    smallest_overlap_eigenvalue: Number = None
    start_energies: list[float] = pydantic.Field(
        [], description='Energies (eV) of an atom of the d block from each start; the lowest is taken.'
    )
    spin_contamination: Number = pydantic.Field(None, description='<S²> minus S(S + 1), per molecule or cell.')
    triples_imaginary_hartree: Number = pydantic.Field(None, description='Imaginary part of the (T) energy, Ha.')
    orbitals_cached: bool | None = None
    # Diagnostics
    band_gap: Number = pydantic.Field(None, description='Gap, eV; none without an empty level.')
    band_gap_uncorrected: Number = pydantic.Field(None, description='Without the finite-size correction, eV.')
    valence_band_maximum: Number = pydantic.Field(None, description='eV.')
    num_occupied_per_k: list[int] | None = pydantic.Field(None, description='Of spin up where there are two.')
    num_occupied_per_k_down: list[int] | None = pydantic.Field(None, description='Likewise of spin down.')
    # Spin-polarised crystals
    spin_polarized: bool = False
    initial_moments: list[float] | None = pydantic.Field(None, description='Of the sites at the beginning, μB.')
    site_moments: list[float] | None = pydantic.Field(None, description='Of the sites (Löwdin), μB.')
    total_moment: Number = pydantic.Field(None, description='μB per cell.')
    absolute_moment: Number = pydantic.Field(None, description='Integral of the absolute spin density, μB per cell.')
    spin_squared: Number = pydantic.Field(
        None, description='⟨S²⟩ per cell: S(S + 1) of its moment, plus `spin_contamination`.'
    )
    magnetic_ordering: Ordering | None = pydantic.Field(None, description='Collinear ordering of `site_moments`.')
    band_gap_up: Number = pydantic.Field(None, description='Gap of spin up, eV.')
    band_gap_down: Number = pydantic.Field(None, description='Gap of spin down, eV.')
    t1_diagnostic: Number = None
    t1_diagnostic_up: Number = pydantic.Field(None, description='Of spin up, divided likewise by its own electrons.')
    t1_diagnostic_down: Number = pydantic.Field(None, description='Likewise of spin down.')
    d1_diagnostic: Number = None
    largest_t1: list[Number] = []
    largest_t2: list[Number] = []
    net_force: Number = pydantic.Field(None, description='Largest component of the sum of the forces, eV/Å.')
    mp2_correction: Number = pydantic.Field(None, description='MP2 minus local MP2, eV.')
    largest_fragment: list[int] = pydantic.Field([], description='Most occupied and most virtual orbitals.')
    fragments: list[dict[str, Number]] = pydantic.Field([], description='Local energies (eV) and sizes.')
    # Restarts
    restarted_from_checkpoint: bool = False
    restarted_from_amplitudes: bool = False
    restarted_from_fragments: int | None = pydantic.Field(None, description='Number of fragments that were reused.')
    amplitudes_saved: bool = pydantic.Field(False, description='Whether CCSD can be continued from this folder.')
    fragments_saved: bool = pydantic.Field(False, description='Whether fragments can be reused from this folder.')
    num_fragments: int | None = None
    num_new_fragments: int = 0
    cycles_before_walltime: int | None = pydantic.Field(None, description='Iterations or ionic steps made by then.')
    walltime_needed_seconds: float = pydantic.Field(0.0, description='Estimate where the walltime was too short, s.')
    # Outputs of their own, left out of the node `results`
    descriptors: dict[str, Number] | None = None
    band_structure: BandStructure | None = None
    geometry: Geometry | None = None
    relaxation: Relaxation | None = None

    @classmethod
    def parse(cls, values: t.Mapping[str, t.Any]) -> t.Self:
        """Return validated results.

        :raises CorruptFileError: naming every key that is missing or wrong.
        """
        try:
            return cls.model_validate_json(json.dumps(dict(values)), strict=True)
        except pydantic.ValidationError as exception:
            raise CorruptFileError(f'results of PySCF: {validation_text(exception)}') from exception


class EnergyResults(PyscfResults):
    """What a finished calculation has."""

    status: t.Literal['finished'] = 'finished'
    fidelity: Fidelity
    scf_converged: bool
    total_energy: float = pydantic.Field(description='eV per cell or molecule.')
    total_energy_hartree: Number = pydantic.Field(None, description='The same in Ha.')
    components: dict[str, float] = pydantic.Field(description='What the total consists of, eV.')

    @property
    def converged(self) -> bool:
        """Return whether mean field and, where there is one, coupled cluster converged."""
        return self.scf_converged and self.cc_converged is not False


class ForceResults(EnergyResults):
    """What a finished calculation with forces has, at its last geometry."""

    forces: Vectors = pydantic.Field(description='Forces (n, 3), eV/Å.')
    max_force: Number = pydantic.Field(None, description='Largest force on any atom, eV/Å.')
    stress: Vectors | None = pydantic.Field(None, description='(1/V) dE/dε (3, 3), eV/Å3; none before PySCF 2.14.')
    pressure: Number = pydantic.Field(None, description='GPa.')
    relaxation: Relaxation


def results_of(node: ProcessNode) -> PyscfResults | None:
    """Return the results of a calculation, or None where it left none."""
    return PyscfResults.parse(node.outputs.results.get_dict()) if 'results' in node.outputs else None
