"""The bar of counted steps: its label and its position on standard error."""

import click
from click.testing import CliRunner

from aiida_qagenai.cli.bars import counting_bar


def test_the_bar_follows_the_steps(monkeypatch):
    positions, bar_class = [], type(click.progressbar(length=1))
    move = bar_class.update

    def watched(bar, steps):
        move(bar, steps)
        positions.append((bar.pos, bar.length))

    monkeypatch.setattr(bar_class, 'update', watched)

    @click.command()
    def count():
        with counting_bar('crystals') as show:
            for done in (2, 3, 10):
                show(done, 10)
        click.echo('done')

    result = CliRunner().invoke(count)
    assert result.exit_code == 0
    assert positions == [(2, 10), (3, 10), (10, 10)]
    assert result.stdout == 'done\n'
    assert 'crystals' in result.stderr
