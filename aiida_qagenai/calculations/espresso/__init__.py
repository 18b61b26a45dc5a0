"""Single points by pw.x of Quantum ESPRESSO: typed parameters, pseudopotentials and results.

aiida-quantumespresso is an optional extra: no module here imports it.
"""
