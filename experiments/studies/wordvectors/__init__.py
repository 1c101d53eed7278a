"""The study of word vectors: do single coordinates mean something?"""
