"""What to cite: the papers behind the methods, each once, as text and as BibTeX.

Each entry is the kind of BibTeX, the authors, the title, where it appeared, the year and what else there is
to find it by. Only sources that a method here really follows are listed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

SOFTWARE = "samdyn"


class Source(NamedTuple):
    """A paper, a book or the package itself.

    Attributes
    ----------
    kind : str
        Of BibTeX: "article", "book", "inproceedings", "misc" or "software".
    authors, title, place : str
        The place is the journal with volume and pages, the conference, the publisher, or an arXiv number.
    year : int
    """

    kind: str
    authors: str
    title: str
    place: str
    year: int

    @property
    def text(self) -> str:
        """One line of a list of references."""
        names = [name.strip("{}").partition(",")[0] for name in self.authors.split(" and ")]
        who = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " & " + names[-1]
        where = f", {self.place}" if self.place else ""
        return f"{who} ({self.year}), {self.title}{where}"

    def bibtex(self, key: str) -> str:
        """The entry of a BibTeX file."""
        field = {"article": "journal", "book": "publisher", "inproceedings": "booktitle"}.get(
            self.kind, "howpublished"
        )
        entries = {"author": self.authors, "title": f"{{{self.title}}}", field: self.place, "year": self.year}
        lines = [f"  {name} = {{{value}}}" for name, value in entries.items() if value]
        return f"@{'misc' if self.kind == 'software' else self.kind}{{{key},\n" + ",\n".join(lines) + "\n}"


def citation_of(keys: Iterable[str]) -> str:
    """What to cite as text, one line a source; the package comes first.

    Examples
    --------
    >>> print(citation_of(["gobet2000"]))
    the samdyn developers (2026), samdyn: the dynamics of Sharpness-Aware Minimization
    Gobet (2000), Weak approximation of killed diffusion using Euler schemes, Stochastic Processes ...
    """
    return "\n".join(SOURCES[key].text for key in (SOFTWARE, *keys))


def bibtex_of(keys: Iterable[str]) -> str:
    """What to cite as entries of BibTeX; the package comes first."""
    return "\n\n".join(SOURCES[key].bibtex(key) for key in (SOFTWARE, *keys))


SOURCES: dict[str, Source] = {
    SOFTWARE: Source(
        "software",
        "{the samdyn developers}",
        "samdyn: the dynamics of Sharpness-Aware Minimization",
        "",
        2026,
    ),
    "allgower2003": Source(
        "book",
        "Allgower, E. L. and Georg, K.",
        "Introduction to Numerical Continuation Methods",
        "SIAM",
        2003,
    ),
    "arai2009": Source(
        "article",
        "Arai, Z. and Kalies, W. and Kokubu, H. and Mischaikow, K. and Oka, H. and Pilarczyk, P.",
        "A database schema for the analysis of global dynamics of multiparameter systems",
        "SIAM Journal on Applied Dynamical Systems 8, 757-789",
        2009,
    ),
    "bartlett2023": Source(
        "article",
        "Bartlett, P. L. and Long, P. M. and Bousquet, O.",
        "The dynamics of Sharpness-Aware Minimization: "
        "bouncing across ravines and drifting towards wide minima",
        "Journal of Machine Learning Research 24, arXiv 2210.01513",
        2023,
    ),
    "benettin1980": Source(
        "article",
        "Benettin, G. and Galgani, L. and Giorgilli, A. and Strelcyn, J.-M.",
        "Lyapunov characteristic exponents for smooth dynamical systems and for Hamiltonian systems",
        "Meccanica 15, 9-30",
        1980,
    ),
    "brehier2016": Source(
        "article",
        "Brehier, C.-E. and Gazeau, M. and Goudenege, L. and Lelievre, T. and Rousset, M.",
        "Unbiasedness of some generalized adaptive multilevel splitting algorithms",
        "Annals of Applied Probability 26, 3559-3601",
        2016,
    ),
    "brookmeyer1982": Source(
        "article",
        "Brookmeyer, R. and Crowley, J.",
        "A confidence interval for the median survival time",
        "Biometrics 38, 29-41",
        1982,
    ),
    "cerou2007": Source(
        "article",
        "Cerou, F. and Guyader, A.",
        "Adaptive multilevel splitting for rare event analysis",
        "Stochastic Analysis and Applications 25, 417-443",
        2007,
    ),
    "cerou2011": Source(
        "article",
        "Cerou, F. and Guyader, A. and Lelievre, T. and Pommier, D.",
        "A multiple replica approach to simulate reactive trajectories",
        "Journal of Chemical Physics 134, 054108",
        2011,
    ),
    "chao1984": Source(
        "article",
        "Chao, A.",
        "Nonparametric estimation of the number of classes in a population",
        "Scandinavian Journal of Statistics 11, 265-270",
        1984,
    ),
    "compagnoni2023": Source(
        "inproceedings",
        "Monzio Compagnoni, E. and Biggio, L. and Orvieto, A. and Proske, F. N. and Kersting, H. "
        "and Lucchi, A.",
        "An SDE for modeling SAM: theory and insights",
        "ICML, arXiv 2301.08203",
        2023,
    ),
    "datseris2022": Source(
        "article",
        "Datseris, G. and Wagemakers, A.",
        "Effortless estimation of basins of attraction",
        "Chaos 32, 023104",
        2022,
    ),
    "daza2016": Source(
        "article",
        "Daza, A. and Wagemakers, A. and Georgeot, B. and Guery-Odelin, D. and Sanjuan, M. A. F.",
        "Basin entropy: a new tool to analyze uncertainty in dynamical systems",
        "Scientific Reports 6, 31416",
        2016,
    ),
    "daza2018": Source(
        "article",
        "Daza, A. and Wagemakers, A. and Sanjuan, M. A. F.",
        "Ascertaining when a basin is Wada: the merging method",
        "Scientific Reports 8, 9954",
        2018,
    ),
    "farrell2015": Source(
        "article",
        "Farrell, P. E. and Birkisson, A. and Funke, S. W.",
        "Deflation techniques for finding distinct solutions of nonlinear partial differential equations",
        "SIAM Journal on Scientific Computing 37, A2026-A2045",
        2015,
    ),
    "filippov1988": Source(
        "book", "Filippov, A. F.", "Differential Equations with Discontinuous Righthand Sides", "Kluwer", 1988
    ),
    "gobet2000": Source(
        "article",
        "Gobet, E.",
        "Weak approximation of killed diffusion using Euler schemes",
        "Stochastic Processes and their Applications 87, 167-197",
        2000,
    ),
    "gobet2010": Source(
        "article",
        "Gobet, E. and Menozzi, S.",
        "Stopped diffusion processes: boundary corrections and overshoot",
        "Stochastic Processes and their Applications 120, 130-162",
        2010,
    ),
    "grebogi1983": Source(
        "article",
        "Grebogi, C. and McDonald, S. W. and Ott, E. and Yorke, J. A.",
        "Final state sensitivity: an obstruction to predictability",
        "Physics Letters A 99, 415-418",
        1983,
    ),
    "halekotte2020": Source(
        "article",
        "Halekotte, L. and Feudel, U.",
        "Minimal fatal shocks in multistable complex networks",
        "Scientific Reports 10, 11783",
        2020,
    ),
    "hobson1993": Source(
        "article",
        "Hobson, D.",
        "An efficient method for computing invariant manifolds of planar maps",
        "Journal of Computational Physics 104, 14-22",
        1993,
    ),
    "kaplan1958": Source(
        "article",
        "Kaplan, E. L. and Meier, P.",
        "Nonparametric estimation from incomplete observations",
        "Journal of the American Statistical Association 53, 457-481",
        1958,
    ),
    "kim2023": Source(
        "misc",
        "Kim, H. and Park, J. and Choi, Y. and Lee, J.",
        "Stability analysis of Sharpness-Aware Minimization",
        "arXiv 2301.06308",
        2023,
    ),
    "krauskopf1998": Source(
        "article",
        "Krauskopf, B. and Osinga, H.",
        "Growing 1D and quasi-2D unstable manifolds of maps",
        "Journal of Computational Physics 146, 404-419",
        1998,
    ),
    "krawczyk1969": Source(
        "article",
        "Krawczyk, R.",
        "Newton-Algorithmen zur Bestimmung von Nullstellen mit Fehlerschranken",
        "Computing 4, 187-201",
        1969,
    ),
    "kushner2001": Source(
        "book",
        "Kushner, H. J. and Dupuis, P.",
        "Numerical Methods for Stochastic Control Problems in Continuous Time",
        "Springer",
        2001,
    ),
    "kuznetsov2004": Source(
        "book", "Kuznetsov, Y. A.", "Elements of Applied Bifurcation Theory", "Springer", 2004
    ),
    "long2024": Source(
        "article",
        "Long, P. M. and Bartlett, P. L.",
        "Sharpness-Aware Minimization and the edge of stability",
        "Journal of Machine Learning Research 25",
        2024,
    ),
    "mantel1966": Source(
        "article",
        "Mantel, N.",
        "Evaluation of survival data and two new rank order statistics arising in its consideration",
        "Cancer Chemotherapy Reports 50, 163-170",
        1966,
    ),
    "menck2013": Source(
        "article",
        "Menck, P. J. and Heitzig, J. and Marwan, N. and Kurths, J.",
        "How basin stability complements the linear-stability paradigm",
        "Nature Physics 9, 89-92",
        2013,
    ),
    "oikonomou2025": Source(
        "inproceedings",
        "Oikonomou, D. and Loizou, N.",
        "Sharpness-Aware Minimization: general analysis and improved rates",
        "ICLR, arXiv 2503.02225",
        2025,
    ),
    "park2025": Source(
        "misc",
        "Park, C. and Jang, U. and Ryu, E. K. and Yang, I.",
        "Sharpness-Aware Minimization can hallucinate minimizers",
        "arXiv 2509.21818",
        2025,
    ),
    "siyun2023": Source(
        "inproceedings",
        "Si, D. and Yun, C.",
        "Practical Sharpness-Aware Minimization cannot converge all the way to optima",
        "NeurIPS, arXiv 2306.09850",
        2023,
    ),
    "skufca2006": Source(
        "article",
        "Skufca, J. D. and Yorke, J. A. and Eckhardt, B.",
        "Edge of chaos in a parallel shear flow",
        "Physical Review Letters 96, 174101",
        2006,
    ),
    "trefethen2005": Source(
        "book",
        "Trefethen, L. N. and Embree, M.",
        "Spectra and Pseudospectra",
        "Princeton University Press",
        2005,
    ),
    "wilson1927": Source(
        "article",
        "Wilson, E. B.",
        "Probable inference, the law of succession, and statistical inference",
        "Journal of the American Statistical Association 22, 209-212",
        1927,
    ),
}
