"""Figures 2, 4–7, 9–12 and Tables 3, 6–10, 12, 14–17 of the paper from stored records, its numbers beside ours.

    python benchmarks/paper.py [--page FILE] [--check] [--quick]

What stands between marks on the page `docs/explanation/paper.md` is made anew, and the pictures beside it. Nothing is
measured: the records are those that benchmarks stored in the repository, and what has none is said to be not measured,
with the command that measures it. `--check` writes nothing and fails if a table of the page is not what the records
say. Each item is one line of JSON: `value` is 1 if it was measured, and 0 if not.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from figures import figure
from paper_parts.items import Item, NotMeasuredError
from paper_parts.page import draw_all, renewed
from paper_parts.registry import ITEMS

from aiida_qagenai.common.plotting import write_text

PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'explanation' / 'paper.md'


def is_measured(item: Item) -> bool:
    """Return whether there are records of an item."""
    try:
        for make in (item.table, item.draw):
            if make is not None:
                make()
    except NotMeasuredError:
        return False
    return bool(item.table or item.draw)


def main() -> None:
    """Write the page and its pictures, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--page', type=Path, default=PAGE, help='page with the marks')
    parser.add_argument('--check', action='store_true', help='write nothing, fail if a table is not up to date')
    parser.add_argument('--quick', action='store_true', help='the same as --check')
    arguments = parser.parse_args()
    pictures = arguments.page.parent / arguments.page.stem
    before = arguments.page.read_text(encoding='utf-8')
    after = renewed(before, ITEMS, pictures.name)
    for item in ITEMS:
        figure(item.slug, int(is_measured(item)), '1 if measured')
    if arguments.check or arguments.quick:
        sys.exit('the page is not what the records say: run `make figures`' if after != before else 0)
    draw_all(ITEMS, pictures)
    write_text(after, arguments.page)


if __name__ == '__main__':
    main()
