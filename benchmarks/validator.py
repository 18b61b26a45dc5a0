"""The shipped validator: time of an evaluation, errors and error bars on unseen formulas, relaxations in one job.

    python benchmarks/validator.py [--quick] [--only PART] [--data /path/to/shared/data] [--validator FOLDER]
        [--potential {validator,alloys,chgnet,sevennet}] [--count N]

The parts `speed`, `accuracy`, `teacher`, `uncertainty` and `relaxation` are the modules of `validator_parts`, which
say what they measure. `accuracy`, `teacher` and `uncertainty` need `--data` and are left out without it. `--potential`
is what relaxes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from validator_parts import accuracy, relaxation, speed, teacher, uncertainty

PARTS = {
    'speed': speed,
    'accuracy': accuracy,
    'teacher': teacher,
    'uncertainty': uncertainty,
    'relaxation': relaxation,
}
ON_DATA = (accuracy, teacher, uncertainty)
POTENTIALS = ('validator', 'alloys', 'chgnet', 'sevennet')


def main() -> None:
    """Print the figures of all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--quick', action='store_true', help='fewer crystals and repetitions')
    parser.add_argument('--only', choices=PARTS, help='one part')
    parser.add_argument('--data', type=Path, help='folder with mp/ and mpts/, for all parts that need it')
    parser.add_argument('--validator', type=Path, help='checkpoint in place of the shipped one')
    parser.add_argument('--potential', choices=POTENTIALS, default='validator', help='what relaxes')
    parser.add_argument('--count', type=int, help='crystals that are relaxed together')
    parser.add_argument('--sample', type=int, help='random ones of these that ASE relaxes one by one')
    arguments = parser.parse_args()
    missing = [name for name in accuracy.FILES if arguments.data is None or not (arguments.data / name).exists()]
    for name, part in PARTS.items():
        if arguments.only not in (None, name):
            continue
        if part in ON_DATA and missing:
            print(f'the part `{name}` needs --data, a folder with {" and ".join(accuracy.FILES)}', file=sys.stderr)
            if arguments.only:
                sys.exit(2)
            continue
        part.run(arguments)


if __name__ == '__main__':
    main()
