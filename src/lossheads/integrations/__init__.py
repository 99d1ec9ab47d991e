"""One line in other libraries' loops: metrics with baselines each epoch, `check` once at the start.

Each module needs its library, an extra of this project: `keras`, `lightning`, `transformers`;
`sklearn` needs nothing more.
"""
