"""`aiida-qagenai model contest`: which way to the energies of a level is the best with the labels that there are."""

from __future__ import annotations

import contextlib
import tempfile
import typing as t
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.cli.output import columns, print_frame
from aiida_qagenai.cli.params import FORMAT, NODE, PICTURE, option
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.arms import ABOUT, CHEAP

__all__ = ('contest',)

SHOWN = columns('labels, arm, error: error eV/atom, rmse, interval: behind the best, covered, seconds, taken')


@click.command()
@click.argument('dataset', metavar=f'FILE|{NODE}')
@option('--level', metavar='TAG', help='Level of theory that is learned; by default the highest with energies.')
@option(
    '--arm',
    'arms',
    multiple=True,
    type=click.Choice(list(ABOUT)),
    metavar='NAME',
    help='What takes part, such as `linear`; by default all that train no network. Repeatable.',
)
@option('--networks', is_flag=True, help='Also all arms that train networks, which takes minutes to hours.')
@option(
    '--number',
    'numbers',
    multiple=True,
    type=click.IntRange(min=1),
    default=(10, 25, 50, 100, 250, 500),
    help='Energies of the level that are shown; all of them always are. Repeatable.',
)
@option('--given', is_flag=True, help='The levels below are known where the level is asked for, as in a ladder.')
@option('--compositions', is_flag=True, help='Without the shipped validator: from compositions alone.')
@option('--folds', type=click.IntRange(2, 20), default=5, help='Parts into which the formulas are drawn.')
@option('--repeats', type=click.IntRange(1, 100), default=5, help='How often they are drawn.')
@option('--steps', type=click.IntRange(min=4), default=500, help='Training steps of each network.')
@option('--seed', type=click.IntRange(min=0), default=0, help='Seed of all draws.')
@option(
    '--journal',
    type=click.Path(dir_okay=False, path_type=Path),
    help='File of what has been measured: with it, a run that was cut goes on.',
)
@option('--picture', type=PICTURE, help='Draw the error over the number of energies: PNG, SVG or PDF.')
@FORMAT
@click.pass_context
def contest(
    ctx: click.Context,
    /,
    *,
    dataset: str,
    level: str | None,
    arms: tuple[str, ...],
    networks: bool,
    numbers: tuple[int, ...],
    given: bool,
    compositions: bool,
    journal: Path | None,
    picture: Path | None,
    fmt: str,
    **settings: int,
) -> None:
    """Compare ways to the energies of a level of theory.

    The data set is a packed file or a node with energies on two levels or more. Its formulas are drawn into folds, each
    of which judges what the others trained: a linear correction of the level below, Gaussian processes, the shipped
    validator, and with `--networks` the multi-fidelity network and other ways to train one. For each number of energies
    the table has the mean absolute error, how far it is behind the best with its interval of 95 %, the share of the
    errors within the 90 % that σ claims, and processor seconds a fold. What is taken is the simplest whose error is
    within one standard error of the best.
    """
    import pandas as pd

    with _file_of(ctx, dataset) as file, tempfile.TemporaryDirectory() as name:
        config = {
            'dataset': str(file.resolve()),
            'target': level,
            'arms': arms or (tuple(ABOUT) if networks else CHEAP),
            'numbers': numbers,
            'given': given,
            'features': 'composition' if compositions else 'foundation',
            'journal': str(journal.resolve()) if journal else 'contest.jsonl',
            **settings,
        }
        found = run_ml_task('contest', config, Path(name), 'contest')
    records = [_record(each) for each in found['standings']]
    if picture is not None:
        from aiida_qagenai.evaluation.contests import Standing, plot_contest

        plot_contest([Standing(**each) for each in found['standings']], picture)
    print_frame(pd.DataFrame(records), fmt, SHOWN, footer=_footer(records, found['levels']))


@contextlib.contextmanager
def _file_of(ctx: click.Context, dataset: str) -> Iterator[Path]:
    """Yield the packed file of a data set, given as a file or as a node of the profile."""
    if Path(dataset).is_file():
        yield Path(dataset)
        return
    from aiida_qagenai.cli.loaders import load_node
    from aiida_qagenai.data.dataset import DatasetData
    from aiida_qagenai.engine.profile import open_profile

    open_profile(ctx.find_root().params.get('profile'))
    node = load_node(dataset, DatasetData, 'data set', advice='give a packed file, or a node')
    if not node.labelled:
        raise InvalidInputError(f'the data set {node.pk} has no energies')
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / 'dataset.npz'
        path.write_bytes(node.content)
        yield path


def _record(standing: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return a row of the table."""
    interval = '' if standing['best'] else f'{standing["low"]:.3f} to {standing["high"]:.3f}'
    return {
        **standing,
        'labels': round(standing['labels']),
        'about': ABOUT[standing['arm']],
        'interval': interval,
        'taken': 'taken' if standing['taken'] else '',
    }


def _footer(records: Sequence[dict[str, t.Any]], levels: Sequence[str]) -> str:
    """Return in words what is taken at each number of energies."""
    lines = [f'energies on `{levels[-1]}`, with those on {", ".join(f"`{tag}`" for tag in levels[:-1])} below it']
    for record in records:
        if record['taken']:
            lines.append(f'with {record["labels"]}: take `{record["arm"]}`, {record["about"]}')
    return '\n'.join(lines)
