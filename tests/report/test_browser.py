"""The page in a real browser: no error, nothing too wide for a telephone, and everything has a name."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from aiida_qagenai.report.figures import FIGURES
from aiida_qagenai.report.page import campaign_page

CHROMIUM = shutil.which('chromium')
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason='no Chromium: run .ci/chromium')

# The page lies in a frame of the width of a telephone, which a window of Chromium cannot have.
WRAPPER = """<!DOCTYPE html><meta charset="utf-8"><body style="margin:0">
<iframe id="frame" width="%d" height="900" style="border:0" srcdoc="%s"></iframe><pre id="result">none</pre>
<script>
const frame = document.getElementById('frame');
frame.addEventListener('load', () => setTimeout(() => {
  const page = frame.contentDocument, view = frame.contentWindow, found = {};
  const shown = element => { const box = element.getBoundingClientRect(); return box.width > 0 && box.height > 0; };
  const name = element => {
    const by = element.getAttribute('aria-labelledby');
    const label = element.getAttribute('aria-label') || (by && page.getElementById(by).textContent);
    return (label || element.textContent).trim();
  };
  found.width = page.documentElement.scrollWidth;
  found.figures = [...page.querySelectorAll('figure svg')].filter(shown).map(svg => svg.closest('section').id);
  found.outside = [...page.querySelectorAll('figure svg')].flatMap(svg => {
    const frame = svg.getBoundingClientRect();
    return [...svg.querySelectorAll('text')].filter(text => {
      const box = text.getBoundingClientRect();
      return box.left < frame.left - 1 || box.right > frame.right + 1
        || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
    }).map(text => `${svg.closest('section').id}: ${text.textContent}`);
  });
  const named = 'figure, canvas, button, a, section, article, nav, summary, input, dialog, [role=region]';
  found.nameless = [...page.querySelectorAll(named)]
    .filter(each => !name(each.closest('label') || each)).map(each => each.outerHTML.slice(0, 80));
  found.unreachable = [...page.querySelectorAll('canvas, .scroll')].filter(each => each.tabIndex !== 0).length;
  found.headings = [...page.querySelectorAll('th')].every(each => each.scope);
  const canvas = page.querySelector('canvas');
  if (canvas) {
    const before = canvas.toDataURL();
    canvas.focus();
    canvas.dispatchEvent(new view.KeyboardEvent('keydown', { key: 'ArrowLeft', bubbles: true }));
    found.turned = before !== canvas.toDataURL() && page.activeElement === canvas;
  }
  const button = page.querySelector('dl.facts button.n'), dialog = page.getElementById('source');
  button.click();
  found.dialog = [dialog.open, dialog.querySelector('pre').textContent];
  document.getElementById('result').textContent = JSON.stringify(found);
}, 300));
</script>"""


def visit(text: str, folder, width: int) -> tuple[dict, str]:
    """Return what was found on a page in a window of a width in pixels, and what the browser wrote on its console."""
    file = folder / 'wrapper.html'
    file.write_text(WRAPPER % (width, html.escape(text)))
    options = ['--headless=new', '--no-sandbox', '--disable-gpu', f'--user-data-dir={folder / "profile"}']
    logging = ['--enable-logging=stderr', '--virtual-time-budget=5000', '--dump-dom']
    done = subprocess.run(
        [CHROMIUM, *options, *logging, file.as_uri()], capture_output=True, text=True, timeout=300, check=True
    )
    console = '\n'.join(line for line in done.stderr.splitlines() if 'CONSOLE' in line)
    return json.loads(html.unescape(re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)[1])), console


@pytest.fixture(scope='module')
def text(toy):
    return campaign_page('toy')


@pytest.mark.parametrize('width', [360, 1200])
def test_a_page_in_a_browser(text, tmp_path, width):
    found, console = visit(text, tmp_path, width)
    assert not console
    assert found['width'] <= width
    assert found['figures'] == list(FIGURES) and not found['outside']
    assert not found['nameless'] and not found['unreachable'] and found['headings']
    assert found['turned'] and found['dialog'][0] and 'campaign_summary' in found['dialog'][1]


def test_an_error_would_be_seen(text, tmp_path):
    """The console is read: a page with an error, and one that is too wide, are found out."""
    broken = text.replace("'use strict';", "throw new Error('deliberate');", 1)
    broken = broken.replace('<main', '<div style="width:999px">wide</div><main', 1)
    found, console = visit(broken, tmp_path, 360)
    assert 'deliberate' in console and found['width'] > 360
