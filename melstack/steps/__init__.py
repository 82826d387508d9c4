"""The steps that several verbs share: freeze and audit the cases, train the networks, make a stack."""
