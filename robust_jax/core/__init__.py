"""Layer 0: the contract of an attack, and what turns one example into many."""
