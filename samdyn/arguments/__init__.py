"""Checks of arguments, before any work starts: one check for each kind of argument.

===========  =================================================================================
file         what it computes or holds
===========  =================================================================================
`checks`     numbers, arrays, points, boxes, choices: what is refused, and how a refusal reads
`signature`  the checks of a whole signature, by its annotations (`checked`)
===========  =================================================================================
"""
