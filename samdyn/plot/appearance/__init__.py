"""What pictures share.

===========  ============================================
file         what it computes or holds
===========  ============================================
`style`      colours, markers, axes, legends
`settings`   what is taken from matplotlib's own settings
`placement`  where texts and legends go
`titles`     titles and labels
===========  ============================================
"""
