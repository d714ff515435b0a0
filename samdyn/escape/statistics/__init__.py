"""What a sample of exit times says, with intervals.

==================  ===================================================
file                what it computes or holds
==================  ===================================================
`result`            the result of `exit_times`
`censored_mean`     the mean of censored times, its error and intervals
`survival`          the survival curve (Kaplan and Meier) and quantiles
`tail`              the rate of decay at late times
`location`          shares of faces, and places on them
`comparison`        ratios of means and the log-rank test
`exact_logrank`     the log-rank test with few exits
`exact_comparison`  a sampled mean beside the exact one
`extrapolation`     means extrapolated to the step 0
`observations`      which paths are independent observations
==================  ===================================================
"""
