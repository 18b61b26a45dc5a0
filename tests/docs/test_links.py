"""No link within the documentation is dead: pages, files and headings exist."""

from __future__ import annotations

import re

import pytest
from documentation import FENCE, PAGES, ROOT

GENERATED = re.compile(r'(?:docs/reference/)?(?:api|processes)/')
"""Pages that the build makes."""


def prose(page: str) -> str:
    """Return a page without its code."""
    return FENCE.sub('', (ROOT / page).read_text(encoding='utf8'))


def anchors(page: str) -> set[str]:
    """Return the names that GitHub and MyST give to the headings of a page."""
    found = set()
    for heading in re.findall(r'^#+ (.*)$', prose(page), re.M):
        plain = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading).replace('`', '').replace('*', '')
        found.add(re.sub(r'[^\w\- ]', '', plain.strip().lower()).replace(' ', '-'))
    return found | set(re.findall(r'^\(([\w-]+)\)=', prose(page), re.M))


@pytest.mark.parametrize('page', PAGES)
def test_links_lead_somewhere(page):
    """Each link leads to a file of the repository, and its anchor to a heading there."""
    for target in re.findall(r'\]\(([^)\s]+)\)', prose(page)):
        path, _, anchor = target.partition('#')
        if re.match(r'\w+:', target) or GENERATED.match(path):
            continue
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f'{page}: {target} does not exist'
        if anchor and file.suffix == '.md':
            name = str(file.resolve().relative_to(ROOT))
            assert anchor in anchors(name), f'{page}: {target} is no heading'


def test_every_page_is_in_the_index():
    """Whoever reads the index finds each page."""
    index = (ROOT / 'docs/index.md').read_text(encoding='utf8')
    listed = set(re.findall(r'^(?:.*<)?((?:tutorials|howto|explanation|reference)/\w+)>?$', index, re.M))
    pages = {page.removeprefix('docs/').removesuffix('.md') for page in PAGES if page.count('/') == 2}
    assert listed == pages
