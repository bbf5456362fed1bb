// The book's tokenizers in the browser: a tokenizer.json of the kind that encdec.tokenizer trains,
// encoded and decoded as the tokenizers library does. Other kinds are refused by name.

/** A regular expression as Oniguruma reads it, for JavaScript. */
export function pattern(source, flags = "gu") {
  const word = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
  const translated = source
    .replaceAll("[^\\W_]", `(?!_)[${word}]`)
    .replace(/\[(\^?)([^\]]*)\]/g, (all, not, inside) =>
      inside.includes(word) ? all : `[${not}${inside.replaceAll("\\w", word)}]`,
    )
    .replaceAll("\\w", `[${word}]`)
    .replaceAll("\\s", "\\p{White_Space}")
    .replaceAll("\\d", "\\p{Nd}");
  return new RegExp(translated, flags);
}

function refuse(what, kind) {
  throw new Error(`This page knows no ${what} of the type ${kind}.`);
}

function sequence(step, key) {
  if (!step) return [];
  return step.type === "Sequence" ? step[key] : [step];
}

function normalizer(step) {
  switch (step.type) {
    case "NFC":
      return (text) => text.normalize("NFC");
    case "Strip":
      return (text) =>
        text.replace(/^\p{White_Space}+/u, "").replace(/\p{White_Space}+$/u, "");
    case "Replace": {
      const { String: plain, Regex: regex } = step.pattern;
      if (plain !== undefined) return (text) => text.replaceAll(plain, () => step.content);
      const expression = pattern(regex);
      return (text) => text.replace(expression, () => step.content);
    }
    default:
      return refuse("normalizer", step.type);
  }
}

function preTokenizer(step) {
  if (step.type === "Metaspace" && step.prepend_scheme === "always" && !step.split) {
    return (pieces) =>
      pieces.map((piece) => {
        const marked = piece.replaceAll(" ", step.replacement);
        return marked.startsWith(step.replacement) ? marked : step.replacement + marked;
      });
  }
  if (step.type === "Split" && step.behavior === "Isolated" && step.pattern.Regex) {
    const expression = pattern(step.pattern.Regex);
    return (pieces) => pieces.flatMap((piece) => isolate(piece, expression));
  }
  return refuse("pre-tokenizer", `${step.type} with these settings`);
}

/** Cut a text into what matches and what stands between. */
function isolate(text, expression) {
  const found = [];
  let last = 0;
  for (const match of text.matchAll(expression)) {
    if (match.index > last) found.push(text.slice(last, match.index));
    if (match[0]) found.push(match[0]);
    last = match.index + match[0].length;
  }
  if (last < text.length) found.push(text.slice(last));
  return found;
}

function decoder(step) {
  switch (step.type) {
    case "Metaspace":
      return (tokens) =>
        tokens.map((token, number) =>
          token.replaceAll(step.replacement, number === 0 ? "" : " "),
        );
    case "Fuse":
      return (tokens) => [tokens.join("")];
    case "Replace":
      return (tokens) =>
        tokens.map((token) => token.replaceAll(step.pattern.String, () => step.content));
    default:
      return refuse("decoder", step.type);
  }
}

export class Tokenizer {
  /** @param {object} file the content of tokenizer.json */
  constructor(file) {
    const { model } = file;
    if (model.type !== "BPE" || model.byte_fallback || model.fuse_unk || model.ignore_merges) {
      refuse("tokenizer model", `${model.type} with these settings`);
    }
    this.normalizers = sequence(file.normalizer, "normalizers").map(normalizer);
    this.preTokenizers = sequence(file.pre_tokenizer, "pretokenizers").map(preTokenizer);
    this.decoders = sequence(file.decoder, "decoders").map(decoder);
    this.ids = new Map(Object.entries(model.vocab));
    this.unknown = this.ids.get(model.unk_token);
    this.special = new Map();
    for (const token of file.added_tokens) {
      if (token.lstrip || token.rstrip || token.single_word || token.normalized) {
        refuse("added token", "that is stripped or normalized");
      }
      this.special.set(token.content, token.id);
      this.ids.set(token.content, token.id);
    }
    this.tokens = [];
    for (const [token, id] of this.ids) this.tokens[id] = token;
    this.ranks = new Map(
      model.merges.map((pair, rank) => [
        typeof pair === "string" ? pair : `${pair[0]} ${pair[1]}`,
        rank,
      ]),
    );
    this.template = file.post_processor ? file.post_processor.single : [{ Sequence: {} }];
    // the longest of those that begin at the same place
    const escaped = [...this.special.keys()]
      .sort((a, b) => b.length - a.length)
      .map((token) => token.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"));
    this.specials = new RegExp(escaped.join("|") || "(?!)", "gu");
  }

  /** Token ids of a text, with what the template puts around it. */
  encode(text) {
    const ids = this.template.flatMap((part) => {
      if (part.SpecialToken) return [this.special.get(part.SpecialToken.id)];
      return isolate(well(text), this.specials).flatMap((piece) =>
        this.special.has(piece) ? [this.special.get(piece)] : this.#plain(piece),
      );
    });
    return ids;
  }

  /** The text of token ids; special tokens are left out. */
  decode(ids) {
    const special = new Set(this.special.values());
    let tokens = ids.filter((id) => !special.has(id)).map((id) => this.tokens[id] ?? "");
    for (const step of this.decoders) tokens = step(tokens);
    return tokens.join("");
  }

  #plain(text) {
    for (const step of this.normalizers) text = step(text);
    if (!text) return [];
    let pieces = [text];
    for (const step of this.preTokenizers) pieces = step(pieces);
    return pieces.flatMap((piece) => this.#merge(piece));
  }

  /** Byte-pair encoding of one piece: the merge learned first comes first. */
  #merge(piece) {
    const symbols = [...piece];
    const pairs = symbols.slice(1).map((right, i) => this.#rank(symbols[i], right));
    for (;;) {
      let best = Infinity;
      let place = -1;
      for (let i = 0; i < pairs.length; i += 1) {
        if (pairs[i] < best) [best, place] = [pairs[i], i];
      }
      if (place < 0) break;
      symbols.splice(place, 2, symbols[place] + symbols[place + 1]);
      pairs.splice(place, 1);
      if (place > 0) pairs[place - 1] = this.#rank(symbols[place - 1], symbols[place]);
      if (place < pairs.length) pairs[place] = this.#rank(symbols[place], symbols[place + 1]);
    }
    return symbols.map((symbol) => this.ids.get(symbol) ?? this.unknown);
  }

  #rank(left, right) {
    return this.ranks.get(`${left} ${right}`) ?? Infinity;
  }
}

/** Lone halves of surrogate pairs are no text; everything else stays. */
function well(text) {
  return text.replace(/\p{Cs}/gu, "\ufffd");
}
