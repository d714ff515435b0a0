"""Phase portraits.

=================  ===========================================================================
file               what it computes or holds
=================  ===========================================================================
`phase_portraits`  the field, nullclines, fixed points and paths over a loss: `phase_portrait`
`stages`           arguments checked and points found, then drawn
`field`            what is drawn, as numbers
`line`             drawing in one dimension
`plane`            drawing in the plane
`animation`        one frame for each value of a parameter
`sliders`          a slider for each parameter
=================  ===========================================================================
"""
