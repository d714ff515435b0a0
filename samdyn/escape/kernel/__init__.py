"""First exits of a pool of paths: the step with its exit test, and where and when each path left.

==============  =================================================================
file            what it computes or holds
==============  =================================================================
`crossing`      the probability that a bridge crosses a face, its time, its place
`exits`         a pool of paths until all have left
`exit_test`     four steps of a tile of paths with the exit test
`sweep_choice`  which of the loops below advances a pool
`sweep_native`  the loop in C++
`sweep_torch`   the loop in torch, on any device
`coefficients`  coefficients of one system, or of several side by side
`exit_replay`   exits drawn again: when in the step, through which face, where
`exit_draw`     face, time and place of an exit that is known to happen
`exit_place`    where on a face a bridge crosses at a known time
==============  =================================================================
"""
