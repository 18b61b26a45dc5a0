"""The GPU side: models, training, sampling and prediction in pure PyTorch (never imports AiiDA).

Run as ``python -m aiida_qagenai.ml TASK --config config.json`` in the folder that holds the files named by the
configuration; every run ends with a ``results.json`` there (see ``cli``).
"""
