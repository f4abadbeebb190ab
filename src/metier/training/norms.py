"""Batch norms that take their statistics from given rows."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from metier.errors import Pruned
from metier.sources.backbone import Backbone
from metier.training.net import NetModel, branch
from metier.training.start import feed_for
from metier.types import Run, Table

ROWS = 64
"""Rows of a batch at most, whose statistics are averaged: all batches are about as large, so that
every row counts alike."""


def batch_norms(backbone: Backbone) -> list[nn.modules.batchnorm._BatchNorm]:
    """Return the batch norms of a network that keep statistics."""
    kind = nn.modules.batchnorm._BatchNorm
    return [m for m in backbone.modules() if isinstance(m, kind) and m.track_running_stats]


def renormalised(model: NetModel, table: Table, run: Run) -> NetModel:
    """Return a copy of a net whose batch norms have the statistics of these rows (Li et al., 2016).

    Raises Pruned when the time is over.
    """
    copied = replace(model, net=branch(model.net, 0), untouched=0)
    feed = feed_for(copied, table, run)
    norms = batch_norms(copied.net.backbone)
    momenta = [norm.momentum for norm in norms]
    copied.net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    try:
        order = np.random.default_rng(run.seed).permutation(len(feed))
        for rows in np.array_split(order, -(-len(feed) // ROWS)):
            if run.deadline is not None and time.monotonic() > run.deadline:
                raise Pruned("out of time")
            with torch.no_grad():
                copied.net.backbone(feed.inputs(rows))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        copied.net.eval()
    return copied
