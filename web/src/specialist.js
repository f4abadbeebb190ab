// A specialist in the browser: loads the engine, the graph and the readers; answers rows.

import { InferenceSession, env } from "onnxruntime-web/wasm";
import { answer, probabilities } from "./decide.js";
import { reader } from "./read/index.js";

const ENGINE = "engine.bin";

async function fetched(url, progress = () => {}) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${response.statusText}`);
  const total = Number(response.headers.get("content-length")) || 0;
  const parts = [];
  let done = 0;
  for (const stream = response.body.getReader(); ; ) {
    const { value, done: ended } = await stream.read();
    if (ended) break;
    parts.push(value);
    progress((done += value.length), total);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** The engine is packed with gzip; a server may have unpacked it on the way. */
async function unpacked(bytes) {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.buffer;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

/**
 * Load the specialist of this folder.
 * @param {(share: number) => void} progress told the share of the bytes that have come.
 * @returns {{about: object, predict: (row: object) => Promise<object>, read: (row: object) => Promise<object>}}
 */
export async function load(progress = () => {}) {
  const fetchJson = async (name) => JSON.parse(new TextDecoder().decode(await fetched(name)));
  const about = await fetchJson("specialist.json");
  const come = [0, 0];
  const told = (place) => (bytes) => {
    come[place] = bytes;
    progress(Math.min(1, (come[0] + come[1]) / (about.bytes.engine + about.bytes.graph)));
  };
  const [engine, graph, read] = await Promise.all([
    fetched(ENGINE, told(0)),
    fetched("model.onnx", told(1)),
    reader(about.preprocess, fetchJson),
  ]);
  env.wasm.numThreads = 1;
  env.wasm.wasmBinary = await unpacked(engine);
  const session = await InferenceSession.create(graph, { executionProviders: ["wasm"], logSeverityLevel: 3 });

  /** Answer one row: cells by column name; a picture is a Blob. Throws where it cannot be read. */
  async function predict(row) {
    const start = performance.now();
    const feeds = await read(row);
    const run = performance.now();
    const { scores } = await session.run(feeds, ["scores"]);
    const end = performance.now();
    if (!scores.data.every(Number.isFinite)) throw new Error("the model gave no finite score");
    const found = probabilities(scores.data, about.decision);
    return {
      answer: answer(found, about.decision),
      probabilities: about.decision.kind === "regression" ? null : found,
      labels: about.decision.labels,
      milliseconds: { reading: run - start, running: end - run, all: end - start },
    };
  }
  return { about, predict, read, odd: read.odd ?? [] };
}
