"""Proofs about fixed points: that one exists, that one is alone, that a list is complete.

=================  ======================================================================
file               what it computes or holds
=================  ======================================================================
`krawczyk`         existence and uniqueness by the Krawczyk operator; boxes without zeros
`certified_point`  the certificate of one fixed point
`interval_fields`  bounds of a field and its Jacobian over boxes, through jumps
`enclosure`        bounds of systems over boxes
`unit_vectors`     the range of g/|g| over boxes of g
`degree`           winding numbers of planar fields (Brouwer's degree)
`index_check`      whether the indices of the zeros found add up in the plane
`boundary_index`   the same in three to six dimensions, from the boundary of the box
=================  ======================================================================
"""
