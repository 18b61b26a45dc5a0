"""The page is one file that holds what the graph says, and is replaced as a whole."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.report import page as module
from aiida_qagenai.report.page import campaign_page, watch_report, write_report


class Reader(HTMLParser):
    """Collects the elements of a page with their attributes, and checks that they nest."""

    VOID = frozenset({'meta', 'link', 'input', 'br'})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope='module')
def text(toy):
    return campaign_page('toy')


def test_nothing_comes_from_elsewhere(text):
    elements = Reader(text).elements
    links = [value for _, attrs in elements for name in ('src', 'href') if (value := attrs.get(name)) is not None]
    assert links and all(link.startswith(('#', 'data:')) for link in links)
    assert not re.search(r'@import|url\((?!#)', text) and len(text) < 1_000_000


def test_ids_are_unique_and_links_lead_to_them(text):
    elements = Reader(text).elements
    ids = [attrs['id'] for _, attrs in elements if 'id' in attrs]
    assert len(ids) == len(set(ids))
    targets = {attrs['href'][1:] for _, attrs in elements if attrs.get('href', '').startswith('#')}
    assert targets <= set(ids)


def test_numbers_lead_to_nodes(text, toy):
    from aiida.orm import load_node

    sources = [attrs['title'] for tag, attrs in Reader(text).elements if tag == 'button' and 'title' in attrs]
    uuids = {found for source in sources for found in re.findall(r'node ([0-9a-f-]{36})', source)}
    assert len(uuids) > 20 and all(load_node(uuid).is_stored for uuid in uuids)
    reads = [re.search(r"load_node\('(.+?)'\).*get\('(.+?)'\)", source) for source in sources]
    for uuid, attribute in {found.groups() for found in reads if found}:
        assert attribute in load_node(uuid).base.attributes.all, attribute


def test_a_running_campaign_is_loaded_again(toy):
    assert 'data-seconds="7"' in campaign_page('young', reload=7)
    assert 'data-seconds' not in campaign_page('toy', reload=7)
    assert campaign_page('young').count('Nothing to draw') == 8


def test_a_label_cannot_change_the_page(toy):
    from fake_campaign import FakeCampaign

    FakeCampaign('<script>alert(1)</script>').start()
    assert '&lt;script&gt;alert(1)' in campaign_page('<script>alert(1)</script>')


def test_a_page_that_cannot_be_made_leaves_the_earlier_one(toy, tmp_path, monkeypatch):
    path = tmp_path / 'a.html'
    path.write_text('before')
    monkeypatch.setattr(module, 'campaign_page', lambda *args, **kwargs: '\ud800')
    with pytest.raises(UnicodeEncodeError):
        write_report('young', path)
    assert path.read_text() == 'before' and list(tmp_path.iterdir()) == [path]
    with pytest.raises(InvalidInputError, match='no folder'):
        write_report('young', tmp_path / 'b' / 'a.html')


def test_watching_writes_until_the_end(toy, tmp_path, monkeypatch):
    states = ['running', 'running', 'finished']
    real = module.campaign_summary
    monkeypatch.setattr(module, 'write_report', lambda *args, **kwargs: None)
    monkeypatch.setattr(module.time, 'sleep', lambda seconds: None)
    monkeypatch.setattr(
        module, 'campaign_summary', lambda campaign: module.dataclasses.replace(real(campaign), state=states.pop(0))
    )
    told = []
    watch_report('young', tmp_path / 'a.html', tell=told.append)
    assert len(told) == 3 and not states
