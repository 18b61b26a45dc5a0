#!/usr/bin/env verdi run
"""A whole small campaign: ``verdi run examples/quickstart.py [--question NAME]``.

Without a name it asks which polymorphs of beryllium oxide PBE mis-ranks: candidates of Be–O, generated without any
known compound of it, are relaxed and placed on the hull of known phases, and a few are computed at PBE, SCAN and HSE06.
It ends with the known phases that were rediscovered, new ones near the hull, and the answer. ``--question machinery``
runs every stage for real up to CCSD(T) in Li–H; its energies are NOT scientific. ``--question list`` shows all.

Running it again takes up an interrupted campaign where it stopped, and shows a finished one without repeating it.
``--again`` runs it anew; what was computed before comes from the cache.
"""

from __future__ import annotations

import argparse
import typing as t
from pathlib import Path

from rich.console import Console

from aiida_qagenai.cli.campaign.phases import PHASES, answer, summary
from aiida_qagenai.cli.campaign.report import report
from aiida_qagenai.cli.output import print_frame
from aiida_qagenai.cli.progress import follow
from aiida_qagenai.cli.setup import ML_CODE, PYSCF_CODE
from aiida_qagenai.engine.daemon import stop_daemon
from aiida_qagenai.queries.phases import NEAR_HULL, found_phases, misranked_pairs
from aiida_qagenai.workchains.campaign.campaign import CampaignWorkChain
from aiida_qagenai.workchains.campaign.launch import continue_campaign, find_campaigns, launch_campaign

RESULTS = Path('campaign_results')


class Question(t.NamedTuple):
    """A question that a small campaign answers.

    :param label: of the campaign.
    """

    text: str
    label: str
    elements: tuple[str, ...]
    protocol: str


QUESTIONS = {
    'oxide': Question(
        'Which polymorphs of beryllium oxide does PBE mis-rank against HSE06?',
        'quickstart',
        ('Be', 'O'),
        'quickstart',
    ),
    'machinery': Question(
        'How does a cycle work? Two of them in Li–H up to CCSD(T); the energies are not scientific',
        'machinery',
        ('Li', 'H'),
        'machinery',
    ),
}
"""Name → question; the first is that of ``make campaign``."""


def main() -> int:
    """Run or continue the campaign of a question, follow it, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--question', choices=[*QUESTIONS, 'list'], default=next(iter(QUESTIONS)), help='what to ask')
    parser.add_argument('--again', action='store_true', help='run a new campaign even if one has finished')
    arguments = parser.parse_args()
    console = Console()
    if arguments.question == 'list':
        for name, each in QUESTIONS.items():
            console.print(f'{name}: {each.text}', soft_wrap=True)
        return 0
    question = QUESTIONS[arguments.question]
    node = obtain(question, arguments.again, console)
    if not node.is_terminated:
        follow(node, None, f'verdi run examples/quickstart.py --question {arguments.question}', console=console)
    if not node.is_terminated:
        return 1
    report(node, RESULTS, console)
    tell(node, question)
    if not stop_daemon():
        console.print('the daemon goes on (other processes need it, or it is slow to stop): verdi daemon stop')
    return 0 if node.is_finished_ok or node.exit_status >= 700 else 1


def tell(node: t.Any, question: Question) -> None:
    """Print the phases that a campaign found and the answer to its question."""
    found = found_phases(node.pk)
    lines = ['', question.text, answer(misranked_pairs(node.pk)), f'again: aiida-qagenai campaign phases {node.pk}']
    print_frame(found, 'table', PHASES, title='Phases', footer='\n'.join([*summary(found, NEAR_HULL), *lines]))


def obtain(question: Question, again: bool, console: Console) -> t.Any:
    """Return the campaign to follow: an interrupted or finished one, or a new one."""
    from aiida.orm import load_code

    known = find_campaigns(question.label)
    if known and not known[0].is_terminated:
        console.print(f'campaign {known[0].pk} was interrupted: taking it up where it stopped')
        return continue_campaign(known[0])[0]
    if known and known[0].is_finished_ok and not again:
        console.print(f'campaign {known[0].pk} has finished; for a new one: verdi run examples/quickstart.py --again')
        return known[0]
    builder = CampaignWorkChain.get_builder_from_protocol(
        pyscf_code=load_code(f'{PYSCF_CODE}@localhost'),
        ml_code=load_code(f'{ML_CODE}@localhost'),
        elements=list(question.elements),
        protocol=question.protocol,
    )
    node = launch_campaign(builder, question.label)
    console.print(f'campaign {node.pk} started: {question.text}', soft_wrap=True)
    return node


if __name__ == '__main__':
    raise SystemExit(main())
