"""Long jobs: what they cost, in which pieces they run, how they survive the death of a process.

==============  =========================================================================
file            what it computes or holds
==============  =========================================================================
`cost`          what a verb will cost, said before it starts
`progress`      bars over parts, and over path-steps whose number is not known beforehand
`memory`        out of memory: half as many at a time
`job`           the contract of sampled work (describe, cut, run a piece), and the run of a job
`job_sequence`  several jobs as one
`kept`          what a process builds once for a job
`travel`        whether a job can be sent to other processes
`processes`     how local worker processes start
`workers`       pieces of a job on several processes or machines, put together by number
`lasting_pool`  worker processes for a job of several rounds
`checkpoint`    the state of a job in a file that survives its process
`whole_files`   files that are complete or as they were before
==============  =========================================================================
"""
