// The exported graphs, run by onnxruntime-web. See encdec.export for what goes in and comes out.

/** Whether this browser can run the model at all. */
export function supported() {
  try {
    // the smallest module that uses SIMD, which the runtime is built with
    const simd = [
      0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253,
      15, 253, 98, 11,
    ];
    return typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(simd));
  } catch {
    return false;
  }
}

async function fetchBytes(url, onBytes) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname.split("/").at(-1)}: ${response.status}`);
  if (!response.body) return new Uint8Array(await response.arrayBuffer());
  const chunks = [];
  let length = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    length += value.length;
    onBytes(value.length);
  }
  const bytes = new Uint8Array(length);
  let place = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, place);
    place += chunk.length;
  }
  return bytes;
}

/**
 * Fetch and start a model.
 *
 * @param {URL} base folder with runtime/ and models/
 * @param {object} manifest which files there are, with their sizes in bytes
 * @param {string} name of the model
 * @param {(share: number) => void} onProgress how much has arrived, 0 to 1
 */
export async function load(base, manifest, name, onProgress = () => {}) {
  const files = manifest.models[name].files;
  const wanted = [...Object.values(files), manifest.runtime.files["ort-wasm-simd-threaded.wasm"]];
  const total = wanted.reduce((sum, { bytes }) => sum + bytes, 0);
  let arrived = 0;
  const onBytes = (count) => {
    arrived += count;
    onProgress(Math.min(1, arrived / total));
  };
  const runtime = new URL("runtime/", base);
  const folder = new URL(`models/${name}/`, base);
  const [ort, wasmBinary, ...contents] = await Promise.all([
    import(new URL("ort.wasm.min.mjs", runtime).href),
    fetchBytes(new URL("ort-wasm-simd-threaded.wasm", runtime), onBytes),
    ...Object.keys(files).map((file) => fetchBytes(new URL(file, folder), onBytes)),
  ]);
  ort.env.wasm.wasmBinary = wasmBinary;
  ort.env.wasm.wasmPaths = runtime.href;
  ort.env.wasm.numThreads = 1;
  const content = Object.fromEntries(Object.keys(files).map((file, i) => [file, contents[i]]));
  const json = (file) => JSON.parse(new TextDecoder().decode(content[file]));
  const start = (file) =>
    ort.InferenceSession.create(content[file], {
      executionProviders: ["wasm"],
      externalData: [{ path: "weights.bin", data: content["weights.bin"] }],
    });
  const encoder = await start("encoder.onnx");
  const decoder = await start("decoder.onnx");
  return {
    model: new Model(ort, encoder, decoder, json("model.json")),
    tokenizer: json("tokenizer.json"),
  };
}

export class Model {
  constructor(ort, encoder, decoder, description) {
    Object.assign(this, { ort, encoder, decoder, description });
  }

  /** Read the source, once: the keys and values of cross-attention, and an empty cache. */
  async encode(ids) {
    const { layers, heads, d_kv: width } = this.description;
    const input = new this.ort.Tensor("int32", Int32Array.from(ids), [ids.length]);
    const { cross_keys, cross_values } = await this.encoder.run({ input_ids: input });
    const nothing = () =>
      new this.ort.Tensor("float32", new Float32Array(0), [layers, 1, heads, 0, width]);
    return { keys: nothing(), values: nothing(), cross_keys, cross_values };
  }

  /** One step: the newest token of each row in, logits and cross-attention out; the cache grows. */
  async step(tokens, cache) {
    const output = await this.decoder.run({
      tokens: new this.ort.Tensor("int32", Int32Array.from(tokens), [tokens.length]),
      past_keys: cache.keys,
      past_values: cache.values,
      cross_keys: cache.cross_keys,
      cross_values: cache.cross_values,
    });
    cache.keys = output.keys;
    cache.values = output.values;
    const { data, dims } = output.cross_attentions;
    return { logits: output.logits.data, attention: data, shape: dims };
  }

  /** Let row i continue what row index[i] has written. */
  reorder(cache, index) {
    for (const part of ["keys", "values"]) {
      const { data, dims } = cache[part];
      const [layers, rows, heads, written, width] = dims;
      const size = heads * written * width;
      const moved = new Float32Array(layers * index.length * size);
      for (let layer = 0; layer < layers; layer += 1) {
        index.forEach((from, to) => {
          const start = (layer * rows + from) * size;
          moved.set(data.subarray(start, start + size), (layer * index.length + to) * size);
        });
      }
      cache[part] = new this.ort.Tensor("float32", moved, [
        layers,
        index.length,
        heads,
        written,
        width,
      ]);
    }
  }
}
