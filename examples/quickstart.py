#!/usr/bin/env verdi run
"""A whole campaign in the Li–H system in about ten minutes: ``verdi run examples/quickstart.py``.

Two cycles of Algorithm 1 with real diffusion, real PySCF at PBE, SCAN, HSE06 and CCSD(T), and everything in the
provenance graph. The energies use the protocol `pipeline`: they are NOT scientific results.

Running it again takes up an interrupted campaign where it stopped, and shows a finished one without repeating it.
``--again`` runs it anew; what was computed before comes from the cache.
"""

from __future__ import annotations

import argparse
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

LABEL = 'quickstart'
RESULTS = Path('campaign_results')


def main() -> int:
    """Run or continue the campaign, follow it, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--again', action='store_true', help='run a new campaign even if one has finished')
    arguments = parser.parse_args()
    console = Console()
    node = obtain(arguments.again, console)
    if not node.is_terminated:
        follow(node, None, 'verdi run examples/quickstart.py', console=console)
    if not node.is_terminated:
        return 1
    report(node, RESULTS, console)
    found = found_phases(node.pk)
    lines = [*summary(found, NEAR_HULL), answer(misranked_pairs(node.pk))]
    print_frame(found, 'table', PHASES, title='Phases', footer='\n'.join(lines))
    if not stop_daemon():
        console.print('the daemon goes on (other processes need it, or it is slow to stop): verdi daemon stop')
    return 0 if node.is_finished_ok or node.exit_status >= 700 else 1


def obtain(again: bool, console: Console):
    """Return the campaign to follow: an interrupted or finished one, or a new one."""
    from aiida.orm import load_code

    known = find_campaigns(LABEL)
    if known and not known[0].is_terminated:
        console.print(f'campaign {known[0].pk} was interrupted: taking it up where it stopped')
        return continue_campaign(known[0])[0]
    if known and known[0].is_finished_ok and not again:
        console.print(f'campaign {known[0].pk} has finished; for a new one: verdi run examples/quickstart.py --again')
        return known[0]
    builder = CampaignWorkChain.get_builder_from_protocol(
        pyscf_code=load_code(f'{PYSCF_CODE}@localhost'),
        ml_code=load_code(f'{ML_CODE}@localhost'),
        elements=['Li', 'H'],
        protocol='machinery',
    )
    node = launch_campaign(builder, LABEL)
    console.print(f'campaign {node.pk} started (2 cycles in Li–H; the energies are not scientific)')
    return node


if __name__ == '__main__':
    raise SystemExit(main())
