"""How states move in a basin computation, and when a path has arrived.

==================  ========================================================
file                what it computes or holds
==================  ========================================================
`contract`          what moves states
`motion`            steps of a map, strides of a flow
`motion_on_device`  steps on a torch device
`course`            where paths start, how they move, when they are given up
`arrival`           states within a tested distance of an attractor
`native_arrival`    steps and looks as one compiled loop
`pieces`            batches of paths until each has arrived
`legs_of_paths`     paths in rounds that are cut into legs
==================  ========================================================
"""
