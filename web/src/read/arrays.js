// What a graph takes: typed numbers with a shape.

import { Tensor } from "onnxruntime-web/wasm";

export const floats = (values, shape) => new Tensor("float32", Float32Array.from(values), shape);
export const integers = (values, shape) => new Tensor("int64", BigInt64Array.from(values, BigInt), shape);
