"""Rules as optimisers of torch: what was analysed can be trained.

================  =====================================================================
file              what it computes or holds
================  =====================================================================
`rule_optimizer`  any rule around any optimiser of torch, in one call or two
`weights`         the parameters of an optimiser as one vector with blocks
================  =====================================================================
"""

from samdyn.optim.rule_optimizer import RuleOptimizer, as_optimizer

__all__ = ["RuleOptimizer", "as_optimizer"]
