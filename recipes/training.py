"""What the recipes that train a generator share: their arguments, the loop with its schedule, and what they write."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import math
import time
import typing as t
from collections.abc import Callable
from pathlib import Path

import torch
from crystals import FILES, Cells, by_size, read_crystals
from torch import nn

from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.checkpoints import save_checkpoint
from aiida_qagenai.ml.runtime import Runtime, package_versions, setup
from aiida_qagenai.ml.training.optimisation import Averaged

LEARNING_RATE = 1e-3
WARM_UP = 300
CLIP = 0.5
EMA_DECAY = 0.9995
SAVE_EVERY = 600.0
"""Seconds between checkpoints."""


@dataclasses.dataclass
class Training:
    """The state of a training that can be interrupted.

    :param seconds: trained so far, over all runs.
    """

    model: nn.Module
    optimiser: torch.optim.AdamW
    averaged: Averaged
    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)

    @classmethod
    def begin(cls, model: nn.Module, weight_decay: float = 0.0) -> Training:
        """Return a new training of a model, which is on its device."""
        optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=weight_decay, fused=True)
        return cls(model, optimiser, Averaged(list(model.parameters()), EMA_DECAY))

    def state(self) -> dict[str, t.Any]:
        """Return everything as tensors and plain values."""
        return {
            'model': self.model.state_dict(),
            'optimiser': self.optimiser.state_dict(),
            'averaged': self.averaged.state(),
            'step': self.step,
            'seconds': self.seconds,
            'history': self.history,
        }

    def restore(self, state: dict[str, t.Any]) -> None:
        """Take up a stored state."""
        self.model.load_state_dict(state['model'])
        self.optimiser.load_state_dict(state['optimiser'])
        self.averaged.restore(state['averaged'])
        self.step, self.seconds, self.history = state['step'], state['seconds'], state['history']

    def runtime(self, runtime: Runtime) -> Runtime:
        """Return the runtime with other random numbers than those that this training has seen."""
        return dataclasses.replace(runtime, seed=runtime.seed + self.step)

    def descend(self, loss: torch.Tensor, progress: float) -> None:
        """Take one step, with the learning rate of this ``progress`` (0 to 1)."""
        factor = min(1.0, (self.step + 1) / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimiser.param_groups:
            group['lr'] = LEARNING_RATE * factor
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimiser.step()
        self.averaged.update()
        self.step += 1


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the arguments that all recipes take."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    found.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    found.add_argument('--output', type=Path, required=True, help='folder of the checkpoint, its card and the state')
    found.add_argument('--hours', type=float, required=True, help='time to train, over all runs')
    found.add_argument('--exclude', type=Path, help='file with further reduced formulas that are not trained on')
    found.add_argument('--resume', action='store_true', help='continue the training in --output')
    found.add_argument('--seed', type=int, default=0)
    found.add_argument('--log-every', type=int, default=100, help='steps between lines of progress')
    return found


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the arguments, with the formulas of the file ``--exclude`` as ``excluded``, and make the output folder."""
    arguments = parser.parse_args()
    missing = [name for name in FILES if not (arguments.data / name).exists()]
    if missing:
        parser.error(f'{arguments.data} has no {", ".join(missing)}')
    stored = arguments.output / 'state.pt'
    if arguments.resume != stored.exists():
        parser.error(f'{stored} exists: give --resume' if stored.exists() else f'there is no {stored} to resume from')
    arguments.output.mkdir(parents=True, exist_ok=True)
    arguments.options = ''
    arguments.excluded = set(arguments.exclude.read_text().split()) if arguments.exclude else set()
    return arguments


def prepared(
    description: str | None, max_atomic_number: int
) -> tuple[argparse.Namespace, Runtime, dict[str, list[Cells]]]:
    """Return the arguments, the runtime, and the crystals of the lighter elements by split and number of atoms.

    :param description: of the recipe.
    """
    arguments = parse(parser(description))
    runtime = setup(RuntimeConfig(seed=arguments.seed))
    splits, arguments.card = read_crystals(arguments.data, arguments.excluded, arguments.output / 'crystals.npz')
    cells = {part: by_size(labels, max_atomic_number) for part, labels in splits.items()}
    counts = {part: sum(len(each) for each in found) for part, found in cells.items()}
    print(f'{counts["train"]} structures to train on, {counts["validation"]} to validate', flush=True)
    return arguments, runtime, cells


def resume(training: Training, arguments: argparse.Namespace, runtime: Runtime) -> None:
    """Take up the stored state where ``--resume`` asks for it."""
    if arguments.resume:
        state = torch.load(arguments.output / 'state.pt', map_location=runtime.device, weights_only=True)
        training.restore(state)


def train(
    training: Training,
    losses: Callable[[], tuple[torch.Tensor, dict[str, torch.Tensor]]],
    save: Callable[[], None],
    *,
    arguments: argparse.Namespace,
    batch_size: int,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Train until the hours are over, saving on the way.

    :param losses: returns what is minimised for the next batch, and the losses that are shown.
    :param save: writes the state and a checkpoint.
    :param batch_size: structures in a batch.
    :param clock: returns the seconds of which ``--hours`` are counted.
    """
    total, started, begun = arguments.hours * 3600, training.seconds, clock()
    saved, shown = started, training.step
    sums: dict[str, torch.Tensor] = {}
    while training.seconds < total:
        loss, parts = losses()
        training.descend(loss, training.seconds / total)
        sums = {name: sums.get(name, torch.zeros_like(value)) + value.detach() for name, value in parts.items()}
        training.seconds = started + clock() - begun
        if training.step - shown == arguments.log_every:
            figures = ' '.join(f'{name} {value.item() / arguments.log_every:.4f}' for name, value in sums.items())
            rate = batch_size * training.step / training.seconds
            left = (total - training.seconds) / 60
            print(f'step {training.step} {figures} {rate:.0f} structures/s, {left:.0f} min left', flush=True)
            sums, shown = {}, training.step
        if training.seconds - saved > SAVE_EVERY:
            save()
            saved = training.seconds
    save()


@torch.no_grad()
def mean_losses(groups: list[Cells], draws: int, losses: Callable[..., dict[str, torch.Tensor]]) -> dict[str, float]:
    """Return the mean losses of all crystals.

    :param draws: how often each is judged.
    :param losses: returns the losses of atomic numbers, fractional coordinates and lattices.
    """
    sums: dict[str, float] = {}
    for cells in groups:
        for _ in range(draws):
            for name, value in losses(*cells.rows(torch.arange(len(cells)))).items():
                sums[name] = sums.get(name, 0.0) + len(cells) * float(value)
    total = draws * sum(len(cells) for cells in groups)
    return {name: value / total for name, value in sums.items()}


def half(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the weights in half precision, which suffices for sampling, and everything else as it is."""
    weights = {name for name, _ in model.named_parameters()}
    return {name: value.half() if name in weights else value for name, value in model.state_dict().items()}


def write(
    training: Training,
    held_out: Callable[[], dict[str, float]],
    *,
    arguments: argparse.Namespace,
    name: str,
    card: Path,
    **fields: t.Any,
) -> None:
    """Write the state, and a checkpoint of the averaged weights with their losses on held-out formulas.

    :param held_out: returns these losses of the present weights.
    :param name: of the recipe and of the folder of the checkpoint.
    :param card: file about the data and the training.
    :param fields: architecture, configuration and elements of the checkpoint.
    """
    with training.averaged.applied():
        losses = held_out()
        training.history.append({'step': training.step, 'seconds': training.seconds, **losses})
        print('held out: ' + ' '.join(f'{key} {value:.4f}' for key, value in losses.items()), flush=True)
        info = save_checkpoint(
            arguments.output / name,
            half(training.model),
            role='generator',
            num_parameters=sum(parameter.numel() for parameter in training.model.parameters()),
            metrics={f'validation_loss_{key}': value for key, value in losses.items()},
            dataset_sha256=hashlib.sha256((arguments.output / 'crystals.npz').read_bytes()).hexdigest(),
            parent_sha256=arguments.card.get('start_sha256'),
            seed=arguments.seed,
            **fields,
        )
    exclude = ' --exclude FILE_OF_EXCLUDED_FORMULAS' if arguments.excluded else ''
    content = {
        **arguments.card,
        'recipe': f'python recipes/{name}.py --hours {arguments.hours:g}{arguments.options}{exclude}',
        'seed': arguments.seed,
        'step': training.step,
        'hours': training.seconds / 3600,
        'checkpoint_sha256': info.sha256,
        'versions': package_versions(),
        'history': training.history,
    }
    card.write_text(json.dumps(content, indent=2) + '\n')
    partial = arguments.output / 'state.partial'
    torch.save(training.state(), partial)
    partial.replace(arguments.output / 'state.pt')
