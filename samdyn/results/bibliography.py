"""What to cite for some results, as entries of BibTeX."""

from __future__ import annotations

from samdyn.results.result import Result
from samdyn.results.sources import bibtex_of


def cite(*results: Result) -> str:
    """What to cite where results are used, as entries of BibTeX.

    Parameters
    ----------
    *results : Result
        Any results; none for samdyn alone.

    Returns
    -------
    str
        The entry of samdyn, and each paper whose method is in one of the results, once.

    Raises
    ------
    TypeError
        One of them is no result.

    Notes
    -----
    ``result.citation`` is the same as text.

    Examples
    --------
    >>> import samdyn as sd
    >>> text = sd.cite(sd.two_cycle([3.0, 1.0], lr=0.1, rho=0.05))
    >>> [line for line in text.splitlines() if line.startswith("@")]
    ['@misc{samdyn,', '@article{bartlett2023,']
    """
    keys: dict[str, None] = {}
    for result in results:
        if not isinstance(result, Result):
            raise TypeError(f"results must be results of samdyn, got {result!r:.200}")
        keys |= dict.fromkeys(result.cited)
    return bibtex_of(keys)
