"""Results: what all verbs return has one base, from which text, HTML, files, frames and pictures come.

================  ====================================================================
file              what it computes or holds
================  ====================================================================
`result`          the base `Result`, and when two results are equal
`table`           a table of texts, printed in columns and as escaped HTML
`files`           results in .npz files with a JSON header, a schema number and a hash
`encoding`        values as JSON and arrays, and back, without pickle
`rebuild`         losses and systems in files, as the call that makes them
`absent`          what stands for an object that a file could not hold
`export`          plain dicts, data frames of pandas, data sets of xarray
`likeness`        whether a system is the one that a file was written for
`earlier_basins`  files of basins in their earlier layout
`graphs`          graphs of networkx that are results
`consistency`     whether fields that were read from a file fit together
`sources`         the papers behind the methods, as text and as BibTeX
`bibliography`    what to cite for some results: `cite`
================  ====================================================================
"""

from samdyn.results.absent import Absent, AbsentError
from samdyn.results.bibliography import cite
from samdyn.results.encoding import storable
from samdyn.results.result import Result
from samdyn.results.table import Rows, Table

__all__ = ["Absent", "AbsentError", "Result", "Rows", "Table", "cite", "storable"]
