// Greedy search, beam search and sampling, step by step: the same choices as encdec.decoding.

const IMPOSSIBLE = -1e9;

/** The places of the `number` highest scores, best first; of equals the first. */
export function top(scores, number) {
  const best = [];
  for (let i = 0; i < scores.length; i += 1) {
    if (best.length === number && !(scores[i] > scores[best[number - 1]])) continue;
    let place = best.length;
    while (place > 0 && scores[i] > scores[best[place - 1]]) place -= 1;
    best.splice(place, 0, i);
    if (best.length > number) best.pop();
  }
  return best;
}

/** Log-probabilities of one row of logits. */
export function logSoftmax(logits) {
  let highest = -Infinity;
  for (const value of logits) if (value > highest) highest = value;
  let sum = 0;
  for (const value of logits) sum += Math.exp(value - highest);
  const shift = highest + Math.log(sum);
  return Float32Array.from(logits, (value) => value - shift);
}

/** What may be written next: what the model never writes is ruled out, what is due is forced. */
function process(scores, description, written, limit) {
  const force = (tokens) => {
    scores.fill(-Infinity);
    for (const token of tokens) scores[token] = 0;
  };
  for (const token of description.suppress_tokens) scores[token] = -Infinity;
  if (written === 0 && description.forced_bos_token_id !== null) {
    force([description.forced_bos_token_id]);
  }
  if (written === limit - 1 && description.forced_eos_token_ids.length) {
    force(description.forced_eos_token_ids);
  }
  return scores;
}

/**
 * What is kept of a step, whichever token it then writes: `probability` of that token, the likeliest
 * `alternatives`, and in `looks` for each layer and head what was looked at.
 */
function reporter(scores, seen, number = 6) {
  const logProbs = logSoftmax(scores);
  const alternatives = top(logProbs, number)
    .map((token) => ({ token, probability: Math.exp(logProbs[token]) }))
    .filter(({ probability }) => probability > 0);
  return (token) => ({
    token,
    probability: Math.exp(logProbs[token]),
    alternatives,
    looks: seen,
  });
}

function rows(flat, count) {
  const width = flat.length / count;
  return Array.from({ length: count }, (_, i) => flat.subarray(i * width, (i + 1) * width));
}

/** Cross-attention of one row: for each layer and head the weights of the source tokens. */
function looks({ attention, shape }, row) {
  const [layers, count, heads, source] = shape;
  return Array.from({ length: layers }, (_, layer) =>
    Array.from({ length: heads }, (_, head) => {
      const start = ((layer * count + row) * heads + head) * source;
      return attention.slice(start, start + source);
    }),
  );
}

/**
 * Write one token after the other.
 *
 * @param {object} model with `description`, `encode(ids)`, `step(tokens, cache)`, `reorder(cache, index)`
 * @param {number[]} source token ids
 * @param {object} options method ("greedy", "beam" or "sample"), beams, temperature, random,
 *   limit (tokens at most), prefix (tokens that the output begins with)
 * @yields after each step the hypotheses, best first, and whether the search is done. A hypothesis has
 *   `tokens`, `score`, `done` and `steps`, see `reporter`.
 */
export async function* search(model, source, options = {}) {
  const recommended = model.description.generation;
  const settings = {
    method: "greedy",
    beams: recommended.num_beams ?? 4,
    penalty: recommended.length_penalty ?? 1,
    limit: recommended.max_new_tokens ?? 128,
    temperature: 1,
    random: Math.random,
    prefix: [],
    ...options,
  };
  const cache = await model.encode(source);
  if (settings.method === "beam") yield* beamSearch(model, cache, settings);
  else yield* oneRow(model, cache, settings);
}

async function* oneRow(model, cache, settings) {
  const { description } = model;
  const hypothesis = { tokens: [], steps: [], logProb: 0, score: 0, done: false };
  let token = description.decoder_start_token_id;
  while (!hypothesis.done) {
    const output = await model.step([token], cache);
    const written = hypothesis.tokens.length;
    const own = logSoftmax(output.logits); // the model's own opinion, whatever is ruled out
    const scores = process(output.logits.slice(), description, written, settings.limit);
    if (settings.method === "sample") {
      for (let i = 0; i < scores.length; i += 1) scores[i] /= settings.temperature;
    }
    if (written < settings.prefix.length) token = settings.prefix[written];
    else if (settings.method === "sample") token = draw(scores, settings.random);
    else [token] = top(scores, 1);
    hypothesis.logProb += own[token];
    hypothesis.tokens.push(token);
    hypothesis.steps.push(reporter(scores, looks(output, 0))(token));
    hypothesis.score = hypothesis.logProb / hypothesis.tokens.length ** settings.penalty;
    hypothesis.done =
      description.eos_token_ids.includes(token) || hypothesis.tokens.length === settings.limit;
    yield { hypotheses: [hypothesis], done: hypothesis.done };
  }
}

function draw(scores, random) {
  const logProbs = logSoftmax(scores);
  let left = random();
  let last = 0;
  for (let token = 0; token < logProbs.length; token += 1) {
    const probability = Math.exp(logProbs[token]);
    if (probability === 0) continue;
    last = token;
    left -= probability;
    if (left < 0) break;
  }
  return last;
}

async function* beamSearch(model, cache, settings) {
  const { description } = model;
  const { beams } = settings;
  const ends = description.eos_token_ids;
  // all beams hold the same beginning, so only one of them may be continued at first
  let running = [{ tokens: [], steps: [], logProb: 0 }];
  let finished = [];
  let length = 0;
  for (;;) {
    const last = running.map(({ tokens }) => tokens.at(-1) ?? description.decoder_start_token_id);
    const output = await model.step(last, cache);
    const written = length;
    const each = rows(output.logits, running.length).map((logits) =>
      process(logSoftmax(logits), description, written, settings.limit),
    );
    const vocab = each[0].length;
    const all = new Float32Array(each.length * vocab);
    each.forEach((scores, beam) => {
      const sofar = running[beam].logProb;
      for (let i = 0; i < vocab; i += 1) all[beam * vocab + i] = scores[i] + sofar;
    });
    const number = Math.max(2, 1 + ends.length) * beams;
    length += 1;
    const report = each.map((scores, beam) => reporter(scores, looks(output, beam)));
    const extend = (parent, token, logProb) => {
      const before = running[parent];
      return {
        tokens: [...before.tokens, token],
        steps: [...before.steps, report[parent](token)],
        logProb,
        parent,
        done: ends.includes(token) || length === settings.limit,
      };
    };
    const forced = settings.prefix[length - 1];
    const candidates =
      forced === undefined
        ? top(all, number).map((i) => extend(Math.floor(i / vocab), i % vocab, all[i]))
        : [extend(0, forced, all[forced])];
    const ended = candidates
      .slice(0, beams)
      .filter(({ done }) => done)
      .map((each) => ({ ...each, score: each.logProb / length ** settings.penalty }));
    finished = best([...finished, ...ended], beams);
    const kept = candidates.filter(({ done }) => !done).slice(0, beams);
    const goesOn =
      kept.length > 0 &&
      (finished.length < beams ||
        kept[0].logProb / length ** settings.penalty > finished.at(-1).score);
    running = kept.map((each) => ({
      ...each,
      score: each.logProb / length ** settings.penalty,
    }));
    const hypotheses = goesOn ? [...finished, ...running] : finished;
    yield { hypotheses, running, finished, done: !goesOn };
    if (!goesOn) return;
    await model.reorder(
      cache,
      running.map(({ parent }) => parent),
    );
  }
}

/** The hypotheses with the highest scores; of equals those that ended first. */
function best(hypotheses, number) {
  const scores = hypotheses.map(({ score }) => (score > IMPOSSIBLE ? score : IMPOSSIBLE));
  return top(scores, number).map((i) => hypotheses[i]);
}
