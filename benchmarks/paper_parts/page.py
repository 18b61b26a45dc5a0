"""The page of the documentation: what stands between two marks is made anew, all else is left as it is."""

from __future__ import annotations

import re
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.plotting import save_figure, styled
from paper_parts.items import Item, NotMeasuredError

BEGIN, END = '<!-- {name}: made by make figures -->', '<!-- end -->'


def block(item: Item, pictures: str) -> str:
    """Return an item in Markdown, without its marks.

    :param pictures: folder of the pictures as the page refers to it.
    """
    parts = [f'**{item.name}. {item.title}**']
    missing = f'Not measured. `{item.command}` measures it.' if item.command else 'Not measured yet.'
    if not item.draw and not item.table:
        return f'{parts[0]}\n\n{missing}'
    try:
        if item.draw:
            item.draw()
            parts.append(f'![{item.title}]({pictures}/{item.slug}.svg)')
        if item.table:
            parts.append(item.table().text())
    except NotMeasuredError:
        return f'{parts[0]}\n\n{missing}'
    return '\n\n'.join([*parts, f'Measured by `{item.command}`.'])


def renewed(text: str, items: Sequence[Item], pictures: str) -> str:
    """Return the text of a page with the blocks of all items made anew.

    :raises InvalidInputError: if the page has no place for an item, or more than one.
    """
    for item in items:
        begin = BEGIN.format(name=item.name)
        pattern = re.compile(rf'{re.escape(begin)}\n.*?{re.escape(END)}', re.DOTALL)
        if len(pattern.findall(text)) != 1:
            raise InvalidInputError(f'the page needs one place `{begin}` … `{END}`')
        content = f'{begin}\n{block(item, pictures)}\n{END}'
        text = pattern.sub(lambda _, content=content: t.cast(str, content), text)
    return text


@styled
def draw_all(items: Sequence[Item], folder: Path) -> list[Path]:
    """Draw the pictures of all items that were measured, the same bytes each time."""
    import matplotlib as mpl

    folder.mkdir(parents=True, exist_ok=True)
    found = []
    for item in items:
        if item.draw is None:
            continue
        try:
            figure = item.draw()
        except NotMeasuredError:
            continue
        with mpl.rc_context({'svg.fonttype': 'none', 'svg.hashsalt': item.slug}):
            found.append(save_figure(figure, folder / f'{item.slug}.svg', metadata={'Date': None, 'Creator': None}))
    return found
