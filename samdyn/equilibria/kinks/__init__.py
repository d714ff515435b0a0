"""Points at rest where the gradient of a loss jumps.

==================  ==============================================================
file                what it computes or holds
==================  ==============================================================
`points`            points at rest on kinks, where Newton's method does not arrive
`relaxed_kinks`     the gradient with the sides of its kinks as further variables
`index`             the index sum of a field that jumps on kinks, in the plane
`jump_entries`      how such points enter a list of fixed points
`following_orbits`  their stability, from orbits that start around them
==================  ==============================================================
"""
