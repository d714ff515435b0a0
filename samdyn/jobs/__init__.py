"""Long jobs: what they cost, in which pieces they run, how they survive the death of a process.

==============  =========================================================================
file            what it computes or holds
==============  =========================================================================
`cost`          what a verb will cost, said before it starts
`progress`      bars over parts, and over path-steps whose number is not known beforehand
`memory`        out of memory: half as many at a time
`workers`       pieces of a job on several processes or machines, put together by number
`lasting_pool`  worker processes for a job of several rounds
`checkpoint`    the state of a job in a file that survives its process
`whole_files`   files that are complete or as they were before
==============  =========================================================================
"""
