"""All tables and figures of the paper that are made anew."""

from __future__ import annotations

from paper_parts import campaigns, cost, elsewhere, lithium, loop, search, stored
from paper_parts.items import Item

DATA = '--data FOLDER'
CONTEST = f'python benchmarks/contest.py {DATA} --work contest --store'
LOOP = 'python benchmarks/closed_loop.py --work FOLDER --store'
SCALE = 'python benchmarks/scaling.py --store'

ITEMS = (
    Item('Figure 2', 'What is left after each step of the search', LOOP, loop.funnel, loop.draw_funnel),
    Item(
        'Table 3', 'Known crystals that the constraints keep',
        'python benchmarks/screening.py --data mp20_bi_ternary.csv.gz', stored.known_kept,
    ),
    Item('Table 6', 'Validity, uniqueness, novelty', LOOP, loop.standard),
    Item('Table 7', 'Hit rates where the levels differ most', LOOP, loop.hit_rates),
    Item('Table 7 other sets', 'Hit rates in the other test sets', LOOP, elsewhere.other_sets),
    Item('Table 7 rules', 'Hit rates by the rule that chooses what is computed', LOOP, elsewhere.acquisitions),
    Item('Figure 4', 'Generators side by side', LOOP, loop.generators, loop.draw_generators),
    Item('Table 8', 'What each part contributes', LOOP, loop.ablations),
    Item('Figure 5', 'Effects of the parts and of pairs of them', LOOP, loop.effects, loop.draw_effects),
    Item('Table 9', 'Rungs of the ladder', CONTEST, stored.rungs),
    Item('Figure 6', 'Where the loop fails', LOOP, loop.failures),
    Item('Table 10', 'What a campaign costs', LOOP, cost.ledger),
    Item(
        'Figure 7', 'Calculations until half of the hits are found',
        'python benchmarks/active_learning.py --pool rxnnet.csv.gz --seeds 30 --store FILE',
        stored.discovery, stored.draw_discovery,
    ),
    Item(
        'Figure 7 surrogates', 'Calculations by what the search knows of the crystals',
        'python benchmarks/active_learning.py --crystals --surrogates latent delta-head --seeds 30 --store FILE',
        search.surrogates,
    ),
    Item(
        'Figure 7 starts', 'Calculations by what campaigns begin with',
        'python benchmarks/pool_size.py --only starts --store', search.starts,
    ),
    Item('Figure 9', 'Expected divergence and the one that is found', LOOP, loop.correlation, loop.draw_correlation),
    Item('Figure 10', 'When to stop', LOOP, campaigns.stopping, campaigns.draw_stopping),
    Item('Figure 11', 'Distances to the hull', LOOP, loop.distances, loop.draw_distances),
    *lithium.HULLS,
    Item('Table 12', 'Time of hull operations', 'python benchmarks/hull.py --quick', stored.hull_times),
    Item('Figure 12', 'How time grows', SCALE, cost.exponents, cost.draw_exponents),
    Item('Table 14', 'Variation between runs', LOOP, campaigns.sensitivity),
    Item('Table 15', 'Larger campaigns, extrapolated', LOOP, cost.projection),
    Item(
        'Table 15 pools', 'Share of a pool that is computed',
        'python benchmarks/pool_size.py --only sizes --store', search.pools,
    ),
    Item('Table 16', 'Other ways to learn from several levels', CONTEST, stored.alternatives),
    Item('Table 17', 'Damaged labels', f'python benchmarks/noise.py {DATA} --record FILE', stored.noise_table),
)  # fmt: skip
"""In the order of the page."""
