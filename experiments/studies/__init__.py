"""Studies: properties of neural nets, word vectors."""
