"""Rules: how the weights are perturbed, and the schedules of their coefficients.

===============  ==========================================================================
file             what it computes or holds
===============  ==========================================================================
`rule`           what a rule is: e(x) from the gradient, memory, and a decaying radius
`oracle`         what a rule may ask of a loss: gradients, values, products, samples, outputs
`blocks`         parts of the weights, by name or number
`schedules`      coefficients that depend on the step
`family`         GD, USAM e = rho g, SAM e = rho g/|g|, and the family between the last two
`extragradient`  extragradient and past extragradient: e = -rho g
`dnsam`          DNSAM: the direction of the batch over the norm of the full gradient
`metrics`        e = rho T^2 g/|T g|: ASAM, preconditioned SAM; Monge SAM, LE-SAM
`mixtures`       of the two gradients: GSAM, WSAM, stable SAM, SAM with Polyak steps
`masks`          part of the weights or of the gradient: SAM-ON, GCSAM, ZSharp
`averages`       of gradients: VaSSO, F-SAM, MSAM, infoSAM
`gates`          SAM at some steps only: LookSAM, AE-SAM
`inner_points`   points beside x and x + e: Lookbehind, SAMPa
`bases`          adaptive base steps: Adam, AMSGrad (AdaSAM), RMSProp, AdaGrad (LightSAM)
`curvature`      products with the Hessian: Eigen-SAM, X-SAM, Sassha
`random_starts`  ascents from a random point: R-SAM, bSAM
`random_probes`  several random points: the class of (phi, psi, mu), Frob-SAM
`samples`        samples and outputs: ESAM, RW-SAM, Functional-SAM
===============  ==========================================================================
"""

from samdyn.rules import schedules
from samdyn.rules.averages import MSAM, FriendlySAM, InfoSAM, VaSSO
from samdyn.rules.bases import AdamWSAM, AdaSAM, LightAdamSAM, LightSAM, RMSPropSAM
from samdyn.rules.curvature import XSAM, EigenSAM, Sassha
from samdyn.rules.dnsam import DNSAM
from samdyn.rules.extragradient import Extragradient, PastExtragradient, multipliers
from samdyn.rules.family import GD, SAM, USAM, UnifiedSAM
from samdyn.rules.gates import AESAM, LookSAM
from samdyn.rules.inner_points import LookbehindSAM, SAMPa
from samdyn.rules.masks import GCSAM, SAMON, ZSharp
from samdyn.rules.metrics import ASAM, LESAM, MongeSAM, PreconditionedSAM
from samdyn.rules.mixtures import GSAM, WSAM, PolyakSAM, StableSAM
from samdyn.rules.random_probes import DetSAM, FrobSAM, TraceSAM, UniversalSAM
from samdyn.rules.random_starts import BSAM, RSAM
from samdyn.rules.rule import Rule, WarmStart
from samdyn.rules.samples import ESAM, RWSAM, FunctionalSAM, PreconditionedFunctionalSAM

__all__ = [
    "AESAM",
    "ASAM",
    "BSAM",
    "DNSAM",
    "ESAM",
    "GCSAM",
    "GD",
    "GSAM",
    "LESAM",
    "MSAM",
    "RSAM",
    "RWSAM",
    "SAM",
    "SAMON",
    "USAM",
    "WSAM",
    "XSAM",
    "AdaSAM",
    "AdamWSAM",
    "DetSAM",
    "EigenSAM",
    "Extragradient",
    "FriendlySAM",
    "FrobSAM",
    "FunctionalSAM",
    "InfoSAM",
    "LightAdamSAM",
    "LightSAM",
    "LookSAM",
    "LookbehindSAM",
    "MongeSAM",
    "PastExtragradient",
    "PolyakSAM",
    "PreconditionedFunctionalSAM",
    "PreconditionedSAM",
    "RMSPropSAM",
    "Rule",
    "SAMPa",
    "Sassha",
    "StableSAM",
    "TraceSAM",
    "UnifiedSAM",
    "UniversalSAM",
    "VaSSO",
    "WarmStart",
    "ZSharp",
    "multipliers",
    "schedules",
]
