"""Typed settings of a campaign and the protocols that fill them."""

from __future__ import annotations

import itertools
import typing as t
from pathlib import Path

import pydantic

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.thermodynamics.hull.convex_hull import MINIMUM_REFERENCES
from aiida_qagenai.thermodynamics.multireference import FLAGS, METHOD_FLAGS
from aiida_qagenai.thermodynamics.vibrations.settings import Potential, RelaxSettings
from aiida_qagenai.workchains.protocols.atomistic import parse_potential
from aiida_qagenai.workchains.protocols.energy import EnergySettings, energy_settings
from aiida_qagenai.workchains.protocols.generation import GenerateSettings
from aiida_qagenai.workchains.protocols.loader import (
    DEFAULT_PROTOCOL,
    describe_protocols,
    merge_overrides,
    protocol_values,
    take_protocol,
)
from aiida_qagenai.workchains.protocols.oracle import Oracle, TableOracle, parse_oracle
from aiida_qagenai.workchains.protocols.relaxation import RelaxationSettings, relax_section
from aiida_qagenai.workchains.protocols.selection import SelectSettings, StopSettings

__all__ = ('CampaignSettings', 'available_protocols', 'campaign_settings', 'merge_settings', 'parse_settings')

PROTOCOLS_FILE = Path(__file__).with_name('campaign.yaml')


class SeedSettings(StrictModel):
    """The initial training set: known or likely crystals of the system, ideal, strained and perturbed."""

    source: t.Literal['library', 'prototypes'] = pydantic.Field(
        'prototypes',
        description='Where the ideal structures come from: the motif library (the system and its subsystems, elements '
        'included, with prototypes where it has nothing), or decorated prototypes of the system alone',
    )
    num_structures: int = pydantic.Field(ge=4, description='Structures, all computed at PBE')
    max_atoms: int = pydantic.Field(ge=1, le=20, description='Atoms per cell')
    strain: float = pydantic.Field(gt=0, le=0.3, description='Largest component of the strain')
    displacement: float = pydantic.Field(ge=0, le=0.5, description='Standard deviation of displacements, Å')
    labels: dict[Fidelity, int] = pydantic.Field(
        description='Structures computed above PBE, by fidelity; a level without any is left out'
    )

    @pydantic.field_validator('labels')
    @classmethod
    def _fewer_above(cls, value: dict[Fidelity, int]) -> dict[Fidelity, int]:
        """Check that the ladder gets no wider towards the top and that PBE is left out."""
        if Fidelity.PBE in value:
            raise ValueError('PBE is computed for every structure (num_structures): leave it out')
        counts = [value[level] for level in LADDER[1:] if value.get(level)]
        if any(high > low for low, high in itertools.pairwise(counts)) or min(counts, default=0) < 0:
            raise ValueError(f'labels must not grow towards the top of the ladder, got {counts}')
        return value


class CandidateRelaxation(StrictModel):
    """How all candidates of a cycle that pass the cheap constraints are relaxed, with the known phases."""

    potential: Potential = pydantic.Field(
        description='`validator` (that of the campaign, as it is in each cycle), `chgnet` or `sevennet`, by its name '
        'or with its other keys'
    )
    relaxation: RelaxSettings = pydantic.Field(
        RelaxSettings(max_force=0.05, max_stress=0.003, max_steps=200), description='When a crystal counts as relaxed'
    )
    batch_atoms: int = pydantic.Field(256, ge=1, description='Most atoms evaluated at once')

    @pydantic.field_validator('potential', mode='before')
    @classmethod
    def _by_name(cls, value: t.Any) -> t.Any:
        """Take a name for the potential, with its options behind colons: `sevennet:mf-0:PBE`."""
        return parse_potential(value) if isinstance(value, str) else value


class ScreenSettings(StrictModel):
    """The stability filter of Algorithm 1, and what is relaxed before it."""

    max_e_above_hull: float = pydantic.Field(ge=0, description='Predicted, eV/atom')
    hull_fidelity: Fidelity = pydantic.Field(Fidelity.CCSD_T, description='Level of theory of the predicted hull')
    min_references: int = pydantic.Field(
        MINIMUM_REFERENCES, ge=0, description='Fewest known phases of three or more elements for a distance to the hull'
    )
    out_of_distribution: t.Literal['accept', 'reject'] = pydantic.Field(
        'accept', description='What happens to candidates unlike all that the validator was trained on'
    )
    stage: t.Literal['generation', 'validation', 'final'] = pydantic.Field(
        'validation', description='Whose constraints apply; final adds the bond-valence sums'
    )
    relax: CandidateRelaxation | None = pydantic.Field(
        None,
        description='Relax the candidates on a potential before they are assessed; the name of one is enough. By '
        'default they stay as generated',
    )

    @pydantic.field_validator('relax', mode='before')
    @classmethod
    def _by_name(cls, value: t.Any) -> t.Any:
        """Take the name of a potential for relaxations with it."""
        return {'potential': value} if isinstance(value, str) else value


class TrainSettings(StrictModel):
    """Steps of one model, for the first training and for fine-tuning."""

    size: t.Literal['tiny', 'base'] = 'tiny'
    initial_steps: int = pydantic.Field(ge=1)
    tune_steps: int = pydantic.Field(ge=1)
    batch_size: int = pydantic.Field(16, ge=1)
    learning_rate: float = pydantic.Field(gt=0, lt=1)
    options: dict[str, t.Any] = pydantic.Field(default_factory=dict, description='Further options of the role')

    def parameters(self, role: str, steps: int) -> dict[str, t.Any]:
        """Return what a training of ``role`` takes from these settings."""
        names = ('size', 'batch_size', 'learning_rate', 'options')
        return {'role': role, 'steps': steps, **{name: getattr(self, name) for name in names}}


class GeneratorSettings(TrainSettings):
    """Steps of the generator, and where it starts."""

    start: t.Literal['foundation', 'nothing'] = pydantic.Field(
        'nothing',
        description='The generator of any chemistry that comes with the package (or a checkpoint that is given): used '
        'as it is, then fine-tuned; or a new one, trained on the initial set in `initial_steps`',
    )
    num_layers: int | None = pydantic.Field(
        None, ge=1, le=32, description='Layers of a new generator; those of its size by default'
    )

    @pydantic.model_validator(mode='after')
    def _new(self) -> GeneratorSettings:
        """Check that the layers are those of a new network."""
        if self.start == 'foundation' and self.num_layers is not None:
            raise ValueError('`num_layers` is for a new generator (`start: nothing`): a checkpoint keeps its layers')
        return self

    def parameters(self, role: str, steps: int) -> dict[str, t.Any]:
        """Return what a training of the generator takes from these settings."""
        return {**super().parameters(role, steps), 'num_layers': self.num_layers}


class ValidatorSettings(TrainSettings):
    """Steps of the validator, and where it starts."""

    start: t.Literal['foundation', 'nothing'] = pydantic.Field(
        'nothing',
        description='The validator of any chemistry that comes with the package (or a checkpoint that is given), '
        'fine-tuned on the initial set in `initial_steps`; or a new one, trained on it',
    )


class LearnSettings(StrictModel):
    """The models."""

    descriptor: TrainSettings
    generator: GeneratorSettings
    validator: ValidatorSettings
    generator_every: int = pydantic.Field(5, ge=1, description='Cycles between updates of the generator')
    doubtful: tuple[str, ...] = pydantic.Field(
        METHOD_FLAGS,
        description='Flags of multireference character that make a label doubtful: it is then treated as one that did '
        'not converge',
    )

    @pydantic.model_validator(mode='after')
    def _trainable(self) -> LearnSettings:
        """Check the options of every role now, not when the first energies have been paid for."""
        for role in ('descriptor', 'generator', 'validator'):
            training: TrainSettings = getattr(self, role)
            for steps in (training.initial_steps, training.tune_steps):
                parse('train', {**training.parameters(role, steps), 'dataset': 'dataset.npz'})
        if unknown := sorted(set(self.doubtful) - FLAGS.keys()):
            raise ValueError(f'unknown flag `{unknown[0]}` in `doubtful`: choose from {", ".join(FLAGS)}')
        if 'top' in self.validator.options:
            raise ValueError('`validator.options.top` is the top rung of the campaign: set `energy.top` instead')
        return self


class RunSettings(StrictModel):
    """Where and how wide the jobs run."""

    device: t.Literal['cpu', 'cuda'] = 'cpu'
    dtype: t.Literal['float32', 'float64'] = 'float32'
    num_threads: int = pydantic.Field(1, ge=1, description='Threads of a training or sampling job')
    max_concurrent: int = pydantic.Field(8, ge=1, description='Calculations submitted at a time')


class CampaignSettings(StrictModel):
    """Everything that decides what a campaign does, beside the elements and the codes."""

    description: str = ''
    energy: EnergySettings = pydantic.Field(description='Complete settings of the energies')
    oracle: Oracle | None = pydantic.Field(
        None,
        description='What gives the energies in place of PySCF: foundation potentials (`sevennet`, `chgnet`, or a '
        'potential for each rung), or a table. Of `energy` only `top` counts then',
    )
    self_consistent: bool = pydantic.Field(
        False, description='Compute the elements as well: formation energies against them beside the anchored ones'
    )
    relax: RelaxationSettings | None = pydantic.Field(
        None, description='Relax candidates at PBE before their energies; by default they stay as generated'
    )
    budget: int = pydantic.Field(ge=1, description='Candidates that may be computed, failed ones included')
    budget_core_hours: pydantic.PositiveFloat | None = pydantic.Field(
        None,
        description='Core hours (cores times wall time) that the energies of the cycles may cost, besides `budget`: '
        'small cells first, and none is started that is not expected to fit. Any number by default',
    )
    seed: int = pydantic.Field(0, ge=0, lt=2**31)
    seed_set: SeedSettings
    generate: GenerateSettings
    screen: ScreenSettings
    select: SelectSettings
    learn: LearnSettings
    stop: StopSettings
    run: RunSettings

    @pydantic.field_validator('oracle', mode='before')
    @classmethod
    def _by_name(cls, value: t.Any) -> t.Any:
        """Take the name of an oracle."""
        return parse_oracle(value)

    @pydantic.model_validator(mode='after')
    def _one_geometry(self) -> CampaignSettings:
        """Check that an oracle is not asked for what only quantum chemistry does."""
        if self.oracle is not None and self.relax is not None:
            raise ValueError('`relax` is for energies by PySCF: with an `oracle`, use `screen.relax`')
        return self

    def level_tags(self) -> list[str]:
        """Return the level tags of the energies, lowest rung first; those of a table belong to its content."""
        if self.oracle is None:
            return [self.energy.tag(rung) for rung in LADDER]
        oracle = self.oracle
        return [] if isinstance(oracle, TableOracle) else [oracle.tag(rung) for rung in oracle.fidelities]

    def with_top(self, top: Fidelity) -> CampaignSettings:
        """Return the settings of a campaign with a top rung: no hull and no label is above it, or unknown to it."""
        known = LADDER if self.oracle is None else self.oracle.fidelities
        labels = {
            level: count for level, count in self.seed_set.labels.items() if level.rank <= top.rank and level in known
        }
        hull = min(self.screen.hull_fidelity, top, key=lambda level: level.rank)
        update = {
            'energy': self.energy.model_copy(update={'top': top}),
            'seed_set': self.seed_set.model_copy(update={'labels': labels}),
            'screen': self.screen.model_copy(update={'hull_fidelity': hull}),
        }
        return self.model_copy(update=update)

    def cycle_seed(self, cycle: int, stage: int) -> int:
        """Return a seed for one stage of one cycle: no two are equal within a campaign of under 10,000 cycles."""
        return (self.seed * 1_000_003 + cycle * 101 + stage) % 2**31


def available_protocols() -> dict[str, str]:
    """Return the description of each protocol by its name."""
    return describe_protocols(PROTOCOLS_FILE)


def campaign_settings(
    protocol: str = DEFAULT_PROTOCOL, overrides: t.Mapping[str, t.Any] | None = None
) -> CampaignSettings:
    """Return the settings of ``protocol`` with nested ``overrides`` applied.

    The section ``energy`` names a protocol of energies as ``protocol`` and changes it by its other keys; so does
    ``relax`` with the protocols of relaxations.

    :raises InvalidInputError: for an unknown protocol, an unknown key or a value out of range.
    """
    values = merge_overrides(protocol_values(PROTOCOLS_FILE, protocol, 'campaigns'), overrides or {})
    name, changes = take_protocol(values.pop('energy', {}))
    relax = relax_section(values.pop('relax', None))
    resolved = {
        'energy': energy_settings(name, changes, 'energy').dump(),
        'relax': None if relax is None else relax.dump(),
    }
    return parse_settings({**values, **resolved})


def merge_settings(values: t.Mapping[str, t.Any], overrides: t.Mapping[str, t.Any]) -> CampaignSettings:
    """Return the complete settings of a campaign with nested ``overrides`` laid over them.

    A section ``energy`` or ``relax`` that names a protocol begins anew from that protocol.

    :raises InvalidInputError: for an unknown key or a value out of range.
    """
    base, changes = dict(values), dict(overrides)
    if 'protocol' in (changes.get('energy') or {}):
        name, others = take_protocol(changes.pop('energy'))
        base['energy'] = energy_settings(name, others, 'energy').dump()
    if 'relax' in changes and (not base.get('relax') or {'protocol', 'engine'} & (changes['relax'] or {}).keys()):
        relax = relax_section(changes.pop('relax'))
        base['relax'] = None if relax is None else relax.dump()
    return parse_settings(merge_overrides(base, changes))


def parse_settings(values: t.Mapping[str, t.Any]) -> CampaignSettings:
    """Return typed settings from complete ones.

    :raises InvalidInputError: naming every key that is unknown, missing or out of range.
    """
    return CampaignSettings.parse(values, 'invalid campaign settings')
