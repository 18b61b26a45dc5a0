"""A bar on standard error for work whose steps are counted while it runs."""

from __future__ import annotations

import contextlib
import typing as t

import click

__all__ = ('counting_bar',)


@contextlib.contextmanager
def counting_bar(label: str) -> t.Iterator[t.Callable[[int, int], None]]:
    """Show a bar, and yield what moves it: a function of how many steps are done and how many there are.

    :param label: what the bar says.
    """
    with click.progressbar(length=0, label=label, file=click.get_text_stream('stderr')) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show
