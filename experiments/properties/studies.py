"""All studies by name, in the order in which `--study=all` runs them.

ERRORS are about adversarial examples, MEANING about what units and spaces hold.
"""

from experiments.properties.advpool import advpool
from experiments.properties.align import align
from experiments.properties.amax import amax
from experiments.properties.attribution import attribution
from experiments.properties.cka import cka
from experiments.properties.confidence import confidence
from experiments.properties.correspond import correspond
from experiments.properties.crosstrain import crosstrain
from experiments.properties.curves import curves
from experiments.properties.deconv import deconv
from experiments.properties.dissect import dissect
from experiments.properties.factors import factors
from experiments.properties.gaas import gaas
from experiments.properties.invariant import invariant
from experiments.properties.minimal import minimal
from experiments.properties.occlude import occlude
from experiments.properties.proposals import proposals
from experiments.properties.sae import sae
from experiments.properties.setting import Study
from experiments.properties.spectral import spectral
from experiments.properties.stability import stability
from experiments.properties.tcav import tcav
from experiments.properties.transfer import transfer
from experiments.properties.units import units
from experiments.wordvectors.study import planted

ERRORS: dict[str, Study] = {
    "units": units,
    "dissect": dissect,
    "factors": factors,
    "minimal": minimal,
    "transfer": transfer,
    "crosstrain": crosstrain,
    "stability": stability,
    "confidence": confidence,
    "spectral": spectral,
    "align": align,
    "cka": cka,
    "gaas": gaas,
    "advpool": advpool,
}
MEANING: dict[str, Study] = {
    "proposals": proposals,
    "invariance": invariant,
    "deconv": deconv,
    "occlude": occlude,
    "correspond": correspond,
    "curves": curves,
    "amax": amax,
    "attribution": attribution,
    "tcav": tcav,
    "sae": sae,
    "wordvectors": planted,
}
STUDIES = ERRORS | MEANING
