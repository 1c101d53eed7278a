"""What the studies of adversarial examples have to find; see `gates`."""

from experiments.properties.gate import DIGITS, MNIST, Gate

GATES = (
    Gate("units", "directions less units", -0.05),
    Gate("units", "gain by training", 0.0, datasets=DIGITS),
    Gate("units", "gain by training", 0.1, datasets=MNIST),
    Gate("units", "AUC of logits", 0.5, datasets=DIGITS),
    Gate("units", "AUC of logits", 0.7, datasets=MNIST),
    Gate("units", "least AUC untrained", 0.35, datasets=MNIST),
    Gate("units", "AUC untrained", high=0.65, datasets=MNIST),
    Gate("dissect", "detectors kept, trained", high=0.8, datasets=MNIST, paper="0.20"),
    Gate("dissect", "detectors kept, untrained", 0.75, 1.25, MNIST),
    Gate("minimal", "share of images moved", 1.0, paper="1"),
    Gate("minimal", "distortion, FC10(1e-4) / FC100", 1.0, paper="1.07"),
    Gate("minimal", "distortion, FC10(1e-2) / FC10(1e-4)", 1.0, paper="1.61"),
    Gate("minimal", "distortion, FC10(1) / FC10(1e-2)", 1.0, paper="1.40"),
    Gate("minimal", "distortion of FC100 / paper's", 0.6, 1.4, MNIST, "1"),
    Gate("minimal", "distortion of FC10(1e-4) / paper's", 0.6, 1.4, MNIST, "1"),
    Gate("minimal", "distortion of FC10(1e-2) / paper's", 0.6, 1.4, MNIST, "1"),
    Gate("minimal", "distortion of FC10(1) / paper's", 0.6, 1.4, MNIST, "1"),
    Gate("minimal", "distortion of FC10 / exact", 0.999, 1.15, MNIST),
    Gate("transfer", "transfer less equal noise", 0.0, datasets=DIGITS),
    Gate("transfer", "transfer less 3 x equal noise", 0.0, datasets=MNIST),
    Gate(
        "transfer",
        "raw error of FC100 on FC10(1)'s",
        0.35,
        datasets=MNIST,
        paper="0.481",
    ),
    Gate("crosstrain", "same data less other data", 0.0, datasets=MNIST, paper="0.203"),
    Gate("crosstrain", "amplified, same data", 0.8, datasets=MNIST, paper="0.98"),
    Gate("crosstrain", "amplified, other data", 0.2, datasets=MNIST, paper="0.43"),
    Gate(
        "crosstrain", "Gaussian of that size", high=0.05, datasets=MNIST, paper="0.028"
    ),
    Gate("confidence", "median wrong confidence, plain net", 0.9),
    Gate("spectral", "product / largest Jacobian", 1.0),
    Gate("spectral", "largest Jacobian / slope", 1.0),
    Gate("align", "cosine, robust / plain", 1.0, datasets=DIGITS),
    Gate("align", "cosine, robust / plain", 1.4, datasets=MNIST),
    Gate("align", "robust error, robust / plain", high=0.7),
    Gate("cka", "rotation's change", high=1e-6),
    Gate("cka", "same layer less best other", 0.0, datasets=DIGITS),
    Gate("cka", "same layer less best other", 0.05, datasets=MNIST),
    Gate("cka", "other seed less untrained", 0.0, datasets=DIGITS),
    Gate("cka", "trained with untrained", high=0.7, datasets=MNIST),
    Gate("gaas", "share adversarial, k=1", 0.8, datasets=MNIST),
    Gate("gaas", "share adversarial, k=4", 0.25, datasets=MNIST),
    Gate("gaas", "share transferring, k=4", 0.08, datasets=MNIST),
    Gate("gaas", "random directions", high=0.03, datasets=MNIST),
    Gate(
        "advpool", "points gained by the best pool", 0.15, datasets=MNIST, paper="0.4"
    ),
    Gate("advpool", "robust error, image pool / plain", high=0.7, datasets=MNIST),
)
