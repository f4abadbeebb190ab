"""A server as one writes it in an afternoon: FastAPI around a `transformers` pipeline.

`python -m bench.peers.plainserver DIRECTORY PORT THREADS`. One request at a time: a pipeline is not
made for several threads, and torch uses all cores for one.
"""

from __future__ import annotations

import sys
import threading
from typing import Any


def main() -> None:
    """Serve until killed."""
    import torch
    import uvicorn
    from fastapi import FastAPI
    from pydantic import BaseModel
    from transformers import pipeline

    directory, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    classify = pipeline("text-classification", model=directory, device="cpu", top_k=None)
    turn = threading.Lock()
    app = FastAPI()

    class Row(BaseModel):
        text: str

    class Asked(BaseModel):
        rows: list[Row]

    def predict(asked: Asked) -> dict[str, Any]:
        texts = [row.text for row in asked.rows]
        with turn:
            return {"predictions": classify(texts, batch_size=len(texts), truncation=True)}

    # FastAPI reads annotations by name, and these names are local.
    predict.__annotations__ = {"asked": Asked, "return": dict[str, Any]}
    app.post("/predict")(predict)
    app.get("/health")(lambda: {"status": "ok"})
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
