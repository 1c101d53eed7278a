"""All studies by name, in the order in which `--study=all` runs them.

ERRORS are about adversarial examples, MEANING about what units and spaces hold.
"""

from experiments.studies.properties.activation_maximisation import (
    activation_maximisation,
)
from experiments.studies.properties.adversarial_pool import adversarial_pool
from experiments.studies.properties.align import align
from experiments.studies.properties.aligned_subspaces import aligned_subspaces
from experiments.studies.properties.attribution import attribution
from experiments.studies.properties.cka import cka
from experiments.studies.properties.confidence import confidence
from experiments.studies.properties.correspondence import correspondence
from experiments.studies.properties.cross_training import cross_training
from experiments.studies.properties.curves import curves
from experiments.studies.properties.deconvolution import deconvolution
from experiments.studies.properties.dissect import dissect
from experiments.studies.properties.factors import factors
from experiments.studies.properties.invariant import invariant
from experiments.studies.properties.minimal import minimal
from experiments.studies.properties.occlude import occlude
from experiments.studies.properties.proposals import proposals
from experiments.studies.properties.setting import Study
from experiments.studies.properties.sparse_autoencoder import sparse_autoencoder
from experiments.studies.properties.spectral import spectral
from experiments.studies.properties.stability import stability
from experiments.studies.properties.tcav import tcav
from experiments.studies.properties.transfer import transfer
from experiments.studies.properties.units import units
from experiments.studies.wordvectors.study import planted

ERRORS: dict[str, Study] = {
    "units": units,
    "dissect": dissect,
    "factors": factors,
    "minimal": minimal,
    "transfer": transfer,
    "cross_training": cross_training,
    "stability": stability,
    "confidence": confidence,
    "spectral": spectral,
    "align": align,
    "cka": cka,
    "aligned_subspaces": aligned_subspaces,
    "adversarial_pool": adversarial_pool,
}
MEANING: dict[str, Study] = {
    "proposals": proposals,
    "invariance": invariant,
    "deconvolution": deconvolution,
    "occlude": occlude,
    "correspondence": correspondence,
    "curves": curves,
    "activation_maximisation": activation_maximisation,
    "attribution": attribution,
    "tcav": tcav,
    "sparse_autoencoder": sparse_autoencoder,
    "wordvectors": planted,
}
STUDIES = ERRORS | MEANING
