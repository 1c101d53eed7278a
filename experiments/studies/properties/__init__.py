"""Studies of nets' properties; run by `python -m experiments.studies.properties`.

References: Zeiler & Fergus, ECCV 2014, for `evolution` in `deconvolution`. Differs from
    it in: after shares of the steps of training, not after epochs; the first 2,000
    training images.
"""
