"""All tables and figures of the paper that are made anew."""

from __future__ import annotations

from paper_parts import stored
from paper_parts.items import Item

DATA = '--data FOLDER'
CONTEST = f'python benchmarks/contest.py {DATA} --work contest --store'
LOOP = SCALE = ''

ITEMS = (
    Item('Figure 2', 'What is left after each step of the search', LOOP),
    Item(
        'Table 3', 'Known crystals that the constraints keep',
        'python benchmarks/screening.py --data mp20_bi_ternary.csv.gz', stored.known_kept,
    ),
    Item('Table 6', 'Validity, uniqueness, novelty', LOOP),
    Item('Table 7', 'Hit rates where the levels differ most', LOOP),
    Item('Figure 4', 'Generators side by side', LOOP),
    Item('Table 8', 'What each part contributes', LOOP),
    Item('Figure 5', 'Effects of the parts and of pairs of them', LOOP),
    Item('Table 9', 'Rungs of the ladder', CONTEST, stored.rungs),
    Item('Figure 6', 'Where the loop fails', LOOP),
    Item('Table 10', 'What a campaign costs', LOOP),
    Item(
        'Figure 7', 'Calculations until half of the hits are found',
        'python benchmarks/active_learning.py --pool rxnnet.csv.gz --seeds 30 --store FILE',
        stored.discovery, stored.draw_discovery,
    ),
    Item('Figure 9', 'Predicted divergence and the difference that is found', LOOP),
    Item('Figure 10', 'When to stop', LOOP),
    Item('Figure 11', 'Hulls and distances to them', LOOP),
    Item('Table 12', 'Time of hull operations', 'python benchmarks/hull.py --quick', stored.hull_times),
    Item('Figure 12', 'Time over the number of atoms', SCALE),
    Item('Table 14', 'Variation between runs', CONTEST, stored.sensitivity),
    Item('Table 15', 'Larger campaigns, extrapolated', SCALE),
    Item('Table 16', 'Other ways to learn from several levels', CONTEST, stored.alternatives),
    Item('Table 17', 'Damaged labels', f'python benchmarks/noise.py {DATA} --record FILE', stored.noise_table),
)  # fmt: skip
"""In the order of the page."""
