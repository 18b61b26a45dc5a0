"""Inverse design of a bulk modulus: elastic tensors, the property model, and a campaign, beside published figures.

    python benchmarks/inverse_design.py [--data /path/to/shared/data] [--only PART] [--quick] [--store] [--work DIR]

Each part is a module of ``inverse_design_parts``, which says what it measures. Without `--data` a part prints the
figures of its stored records; with it the part is measured anew, and `--store` replaces the records. What is computed
is kept in `--work`, so that a measurement that was cut goes on.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from inverse_design_parts import campaign, dft, elastic, heads, phonons

PARTS = {'elastic': elastic, 'heads': heads, 'campaign': campaign, 'phonons': phonons, 'dft': dft}


def main() -> None:
    """Read the arguments and run the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--only', choices=list(PARTS), action='append', help='parts to run; all by default')
    parser.add_argument('--quick', action='store_true', help='fewer crystals')
    parser.add_argument('--store', action='store_true', help='replace the stored records')
    parser.add_argument('--work', type=Path, help='folder for what is computed; a temporary one by default')
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        for name in arguments.only or PARTS:
            place = work.resolve() / name
            place.mkdir(parents=True, exist_ok=True)
            PARTS[name].run(arguments.data, place, quick=arguments.quick, store=arguments.store)


if __name__ == '__main__':
    main()
