"""Ways of explaining, as they are called and told to a person."""

from __future__ import annotations

METHODS = {
    "shap": "Shapley values",
    "lime": "LIME",
    "occlusion": "occlusion",
    "gradients": "integrated gradients",
    "trees": "Shapley values of the trees",
    "terms": "the model's own terms",
}
HOW = {
    "shap": "Each part's share is what it adds to the answer, averaged over orders in which the "
    "parts may come; the shares sum to how far the answer moves.",
    "lime": "Parts are taken away at random, and a linear model of the answers near the row gives "
    "each part its weight.",
    "occlusion": "Each part's share is what the answer loses when that part alone is taken away.",
    "gradients": "The answer is followed from nothing to the row in small steps, and each part "
    "gets what its own change moves; the shares sum to how far the answer moves.",
    "trees": "Each column's share is read off the trees: what it adds, averaged over all orders; "
    "the shares sum to how far the answer moves.",
    "terms": "The model is a sum of one curve a column (and of a few pairs), so each column's "
    "share is exactly what its curve says at this value; a pair is halved between its two.",
}
AWAY = {
    "text": "Words are taken away by leaving them out.",
    "image": "Regions are taken away by putting them out of focus.",
    "tabular": "Columns are taken away by filling in what other rows of the data hold.",
}


def title_of(method: str) -> str:
    """Return what a method is called in a sentence."""
    return METHODS.get(method, method)


def is_plural(method: str) -> bool:
    """Whether its name takes a verb in the plural."""
    return method in ("shap", "gradients", "trees", "terms")
