"""Attacks with a budget of perturbation, which climb inside the threat set."""
