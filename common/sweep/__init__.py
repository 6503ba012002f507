"""Many runs at once: a grid, what of it is there, what the rest costs, and engines that do it.

`common/` knows no competition by name: `competitions.studying` makes the grids and hands over how one run is trained.
"""
