"""The verbs of `melstack`: one module per group, one function per verb."""
