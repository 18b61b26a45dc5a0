"""Tables of the documentation are shown as tables: a blank line within one leaves the rest as text."""

from __future__ import annotations

import re

import pytest
from documentation import FENCE, PAGES, ROOT


@pytest.mark.parametrize('page', PAGES)
def test_every_table_has_a_heading(page):
    lines = FENCE.sub('', (ROOT / page).read_text(encoding='utf8')).splitlines()
    for before, line, after in zip(['', *lines], lines, [*lines[1:], ''], strict=False):
        if line.startswith('|') and not before.startswith('|'):
            assert re.fullmatch(r'\|[\s:|-]+\|', after.strip()), f'{page}: {line}'
