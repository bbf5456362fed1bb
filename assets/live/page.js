// The live page: a translator of the book that runs in the reader's browser. See live.md.

import { load, supported } from "./runtime.js";
import { search } from "./search.js";
import { Tokenizer } from "./tokenizer.js";
import * as view from "./view.js";

const { el } = view;
const BASE = new URL("./", import.meta.url);
const LONGEST_TEXT = 2000; // characters
const LONGEST_MAP = 48; // tokens on each side of the picture
const PAUSE = 900; // milliseconds between steps in slow motion

const MODELS = {
  "marian-en-fr": {
    title: "marian-en-fr: English to French",
    label: "English text",
    button: "Translate",
    examples: [
      "Where is the train station?",
      "She does not like coffee.",
      "I have never seen such a big dog.",
      "The bank is near the river.",
    ],
    target: "fr",
  },
  "bart-instruct": {
    title: "bart-instruct: short instructions",
    label: "Instruction",
    button: "Answer",
    examples: [
      "What is the capital of France?",
      "What is the plural of child?",
      "Sort these words: pear, apple, fig",
    ],
    target: "",
  },
  t5: {
    title: "t5: translation, summaries, instructions",
    label: "Instruction",
    button: "Answer",
    examples: [
      "translate English to French: Where is the train station?",
      "translate English to German: She does not like coffee.",
      "What is the plural of child?",
      "What is the capital of France?",
    ],
    target: "",
  },
};

/** Small random numbers from a seed, so that a link to a sample shows the same sample. */
export function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What a link asks for; anything odd is left out. */
export function readLink(hash) {
  const asked = new URLSearchParams(hash.replace(/^#/, ""));
  const number = (name, low, high) => {
    const value = Number(asked.get(name) ?? NaN);
    return value >= low && value <= high ? value : undefined;
  };
  const method = asked.get("method");
  return {
    text: asked.get("text")?.slice(0, 2 * LONGEST_TEXT),
    model: Object.hasOwn(MODELS, asked.get("model") ?? "") ? asked.get("model") : undefined,
    method: ["greedy", "beam", "sample"].includes(method) ? method : undefined,
    beams: number("beams", 2, 8),
    temperature: number("temperature", 0.1, 2),
    seed: number("seed", 0, 2 ** 32 - 1),
  };
}

export function writeLink(settings) {
  const { text, model, method, beams, temperature, seed } = settings;
  const asked = new URLSearchParams({ model, method, text });
  if (method === "beam") asked.set("beams", beams);
  if (method === "sample") {
    asked.set("temperature", temperature);
    asked.set("seed", seed);
  }
  return `#${asked}`;
}

class Page {
  constructor(root) {
    this.root = root;
    this.link = readLink(location.hash);
    this.model = null;
    this.run = 0; // counts searches, so that an old one notices that it is over
    this.selected = -1;
    this.follow = true; // whether the choice goes with the newest token
    this.build();
  }

  build() {
    const field = (type, attributes) => el("input", { type, ...attributes });
    this.status = el("p", { class: "status", role: "status" });
    this.notice = el("p", { class: "notice", role: "alert", hidden: true });
    this.progress = el("progress", { max: "1", value: "0", hidden: true, "aria-label": "Loading" });
    this.loadButton = el("button", { type: "button", class: "main", hidden: true }, "Load the model");
    this.loadButton.addEventListener("click", () => this.load());
    this.choice = el("select", { id: "live-model" });
    this.choice.addEventListener("change", () => this.describe());
    this.choiceRow = el(
      "p",
      { hidden: true },
      el("label", { for: "live-model" }, "Model "),
      this.choice,
    );
    this.start = el("div", { class: "start" }, this.loadButton, this.progress, this.choiceRow);

    this.label = el("label", { for: "live-text" }, "English text");
    this.text = el("textarea", { id: "live-text", rows: "2", dir: "auto", spellcheck: "true" });
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.translate();
      }
    });
    this.samples = el("p", { class: "samples" });
    const radio = (value, text) =>
      el(
        "label",
        {},
        field("radio", {
          name: "method",
          value,
          checked: value === "greedy",
          onchange: () => this.adapt(),
        }),
        ` ${text}`,
      );
    this.beams = field("number", { id: "live-beams", min: "2", max: "8", value: "5" });
    this.temperature = field("range", {
      id: "live-temperature",
      min: "0.1",
      max: "2",
      step: "0.1",
      value: "1",
      oninput: () => this.adapt(),
    });
    this.warmth = el("span", { class: "number", "aria-hidden": "true" }, "1.0");
    this.beamRow = el("label", { for: "live-beams" }, "Beams ", this.beams);
    this.heatRow = el(
      "label",
      { for: "live-temperature" },
      "Temperature ",
      this.temperature,
      " ",
      this.warmth,
    );
    this.pace = el(
      "select",
      { id: "live-pace", onchange: () => this.adapt() },
      el("option", { value: "fast" }, "as fast as it goes"),
      el("option", { value: "slow" }, "slow motion"),
      el("option", { value: "press" }, "one step at a press"),
    );
    this.go = el("button", { type: "submit", class: "main" }, "Translate");
    this.next = el(
      "button",
      { type: "button", hidden: true, onclick: () => this.advance?.() },
      "Next step",
    );
    this.stop = el("button", { type: "button", hidden: true, onclick: () => this.halt() }, "Stop");
    this.copy = el("button", { type: "button", onclick: () => this.share() }, "Copy link");
    this.form = el(
      "form",
      {
        onsubmit: (event) => {
          event.preventDefault();
          this.translate();
        },
      },
      this.label,
      this.text,
      this.samples,
      el(
        "fieldset",
        { class: "method" },
        el("legend", {}, "Choose tokens by"),
        radio("greedy", "greedy search"),
        radio("beam", "beam search"),
        radio("sample", "sampling"),
        this.beamRow,
        this.heatRow,
        el("label", { for: "live-pace" }, "Pace ", this.pace),
      ),
      el("p", { class: "buttons" }, this.go, this.next, this.stop, this.copy),
    );
    this.form.hidden = true;

    this.caption = el("p", { class: "caption" });
    this.source = el("ol", { class: "tokens", "aria-label": "Source tokens" });
    this.answer = el("p", { class: "answer", dir: "auto" });
    this.target = el("ol", { class: "tokens", "aria-label": "Written tokens" });
    this.beamTitle = el("h2", {}, "Beams");
    this.beamNote = el(
      "p",
      { class: "hint" },
      "Each hypothesis with its log-probability, divided by its length. The same words, cut in other " +
        "places, are another hypothesis.",
    );
    this.beamView = el("ol", { class: "beams", "aria-label": "Hypotheses, best first" });
    this.beamPart = el(
      "section",
      { class: "part", hidden: true },
      this.beamTitle,
      this.beamNote,
      this.beamView,
    );
    this.stepTitle = el("h2", {}, "Alternatives");
    this.alternatives = el("tbody");
    this.head = el("select", { id: "live-head", onchange: () => this.show() });
    this.canvas = el("canvas", { role: "img" });
    this.canvas.addEventListener("click", (event) => {
      const row = this.rowAt?.(event.offsetY) ?? -1;
      if (row >= 0 && row < (this.hypothesis?.steps.length ?? 0)) this.choose(row);
    });
    this.table = el("table", { class: "weights" });
    this.details = el(
      "details",
      { ontoggle: () => this.draw() },
      el("summary", {}, "The same as a table"),
      scrolling("Table of cross-attention", this.table),
    );
    this.cutMap = el("p", { class: "hint", hidden: true });
    this.result = el(
      "div",
      { class: "result", hidden: true }, // until there is something in it
      this.caption,
      el(
        "section",
        { class: "part" },
        el("h2", {}, "Read"),
        this.source,
        el("p", { class: "hint" }, "In percent: where the chosen step looked, in the heads chosen below."),
      ),
      el("section", { class: "part" }, el("h2", {}, "Written"), this.answer, this.target),
      this.beamPart,
      el(
        "section",
        { class: "part" },
        this.stepTitle,
        el(
          "table",
          { class: "alternatives" },
          el(
            "thead",
            {},
            el(
              "tr",
              {},
              el("th", { scope: "col" }, "token"),
              el("th", { scope: "col" }, "probability"),
              el("td"),
            ),
          ),
          this.alternatives,
        ),
      ),
      el(
        "section",
        { class: "part" },
        el("h2", {}, "Cross-attention"),
        el("p", {}, el("label", { for: "live-head" }, "Show "), this.head),
        scrolling("Picture of cross-attention", this.canvas),
        this.cutMap,
        this.details,
      ),
    );
    this.root.replaceChildren(this.start, this.form, this.notice, this.status, this.result);
    this.adapt();
    window.addEventListener("hashchange", () => {
      this.link = readLink(location.hash);
      if (!this.model || !this.link.text) return;
      this.take();
      this.translate();
    });
    new MutationObserver(() => this.draw()).observe(document.documentElement, {
      attributes: true,
      attributeFilter: ["data-theme"],
    });
  }

  /** Show the recorded example, and offer the model if it can be had. */
  async open() {
    const example = await fetchJson("example.json");
    this.manifest = await fetchJson("manifest.json").catch(() => null);
    this.recorded(example);
    if (!supported()) {
      this.say(
        "This browser has no WebAssembly (with SIMD), which the model needs. Below is a recorded " +
          "example; any recent browser runs the model itself.",
      );
    } else if (!this.manifest) {
      this.say(
        "This copy of the book was built without the model, for want of a network. Below is a " +
          "recorded example.",
      );
    } else {
      const names = Object.keys(this.manifest.models);
      const options = names.map((name) => el("option", { value: name }, MODELS[name].title));
      this.choice.replaceChildren(...options);
      if (names.includes(this.link.model)) this.choice.value = this.link.model;
      this.choiceRow.hidden = names.length < 2;
      this.loadButton.hidden = false;
      this.describe();
    }
    this.result.hidden = false;
    this.root.dataset.state = "open";
  }

  say(text) {
    this.status.textContent = text;
  }

  warn(text) {
    this.notice.textContent = text;
    this.notice.hidden = !text;
  }

  describe() {
    const name = this.choice.value;
    const parts = [this.manifest.runtime.files, this.manifest.models[name].files];
    const entries = parts.flatMap((files) => Object.values(files));
    const bytes = entries.reduce((sum, { gzip }) => sum + gzip, 0);
    this.loadButton.textContent = `Load the model (${(bytes / 1e6).toFixed(1)} MB)`;
    this.loadButton.hidden = this.name === name;
  }

  async load() {
    const name = this.choice.value;
    const begun = performance.now();
    this.halt();
    this.warn("");
    this.loadButton.disabled = true;
    this.progress.hidden = false;
    this.say("Loading.");
    try {
      const loaded = await load(BASE, this.manifest, name, (share) => {
        this.progress.value = share;
      });
      this.model = loaded.model;
      this.tokenizer = new Tokenizer(loaded.tokenizer);
    } catch (error) {
      this.warn(`The model could not be loaded: ${error.message}`);
      this.say("");
      return;
    } finally {
      this.loadButton.disabled = false;
      this.progress.hidden = true;
    }
    this.name = name;
    const { title, label, button, examples, target } = MODELS[name];
    this.label.textContent = label;
    this.go.textContent = button;
    this.answer.lang = target;
    this.samples.replaceChildren(
      "Or try: ",
      ...examples.flatMap((text) => [
        el(
          "button",
          {
            type: "button",
            class: "quiet",
            onclick: () => {
              this.text.value = text;
              this.translate();
            },
          },
          text,
        ),
        " ",
      ]),
    );
    this.beams.value = this.model.description.generation.num_beams ?? 5;
    this.text.value = examples[0];
    const { text } = this.link;
    this.take();
    this.form.hidden = false;
    this.loadButton.hidden = true;
    this.adapt();
    this.ready = (performance.now() - begun) / 1000;
    this.say(`${title}. Ready in ${this.ready.toFixed(1)} s.`);
    this.root.dataset.state = "ready";
    this.text.focus();
    if (text) await this.translate();
  }

  /** Set what a link asks for. */
  take() {
    const { beams, temperature, method, text, seed } = this.link;
    if (beams) this.beams.value = beams;
    if (temperature) this.temperature.value = temperature;
    if (method) this.form.elements.method.value = method;
    if (text) this.text.value = text;
    this.seed = seed;
    this.link = {};
    this.adapt();
  }

  /** Show the controls that the method has. */
  adapt() {
    const method = this.form.elements.method?.value;
    this.beamRow.hidden = method !== "beam";
    this.heatRow.hidden = method !== "sample";
    this.warmth.textContent = Number(this.temperature.value).toFixed(1);
    if (this.pace.value !== "press") this.advance?.();
  }

  settings() {
    const whole = Math.round(Number(this.beams.value)) || 5;
    this.beams.value = Math.min(8, Math.max(2, whole));
    return {
      model: this.name,
      text: this.text.value.slice(0, LONGEST_TEXT),
      method: this.form.elements.method.value,
      beams: Number(this.beams.value),
      temperature: Number(this.temperature.value),
    };
  }

  halt() {
    this.run += 1;
    if (this.root.dataset.state === "writing") this.root.dataset.state = "stopped";
    this.advance?.();
    this.advance = null;
    this.next.hidden = true;
    this.stop.hidden = true;
  }

  /** Write, from the beginning or after tokens that are given. */
  async translate(prefix = []) {
    if (!this.model) return;
    this.halt();
    const run = this.run;
    const settings = this.settings();
    const notices = [];
    if (this.text.value.length > LONGEST_TEXT) {
      const most = LONGEST_TEXT.toLocaleString("en");
      notices.push(`The text is long: only its first ${most} characters are read.`);
    }
    const { max_source: room, eos_token_ids: ends } = this.model.description;
    let ids = this.tokenizer.encode(settings.text);
    if (ids.length > room) {
      notices.push(`The text has ${ids.length} tokens: only the first ${room} are read.`);
      ids = [...ids.slice(0, room - 1), ends[0]];
    }
    if (ids.every((id) => this.model.description.special_tokens.includes(id))) {
      this.warn("There is no text yet: write at least one word.");
      this.say("");
      return;
    }
    const strange = this.strange(settings.text, ids);
    if (strange) notices.push(`The model has never seen ${strange}: it reads <unk> instead.`);
    this.warn(notices.join(" "));

    if (settings.method === "sample") {
      if (!prefix.length) this.seed = this.seed ?? Math.floor(Math.random() * 2 ** 32);
      settings.seed = this.lastSeed = prefix.length ? this.lastSeed : this.seed;
      this.seed = undefined; // the next sample is another one
      settings.random = generator(settings.seed);
    }
    if (!prefix.length) history.replaceState(null, "", writeLink(settings));
    this.begin(ids, this.tokenizer.tokens);
    this.caption.textContent = prefix.length
      ? "Written from the token that you chose on. Press a token to see its alternatives."
      : "Press a written token to see its alternatives and what it looked at.";
    this.stop.hidden = false;
    this.root.dataset.state = "writing";
    const times = [];
    let count = 0;
    const steps = search(this.model, ids, { ...settings, prefix });
    for (;;) {
      const begun = performance.now();
      const { value, done } = await steps.next();
      if (run !== this.run) return;
      if (done) break;
      times.push(performance.now() - begun);
      count += 1;
      this.update(value, settings.method === "beam");
      if (value.done) break;
      await this.wait(count);
      if (run !== this.run) return;
    }
    times.sort((a, b) => a - b);
    this.median = times[Math.floor(times.length / 2)];
    this.halt();
    const written = this.textOf(this.hypothesis.tokens);
    this.answer.textContent = view.visible(written);
    this.say(`${written} (${count} steps, ${this.median.toFixed(0)} ms a step)`);
    this.root.dataset.state = "done";
  }

  /** Characters that became <unk>, named; or nothing. */
  strange(text, ids) {
    if (!ids.includes(this.tokenizer.unknown)) return "";
    const characters = new Set([...text.slice(0, LONGEST_TEXT)].filter((c) => c.trim()));
    const { unknown } = this.tokenizer;
    const found = [...characters].filter((c) => this.tokenizer.encode(`a${c}`).includes(unknown));
    const names = found.slice(0, 3).map((character) => {
      const code = character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
      return `\u2068${view.visible(character)}\u2069 (U+${code})`;
    });
    return `${names.join(", ")}${found.length > 3 ? " and others" : ""}`;
  }

  /** Wait as the pace says. */
  async wait(count) {
    const pace = this.pace.value;
    if (pace === "fast") {
      if (count % 4 === 0) await new Promise((resolve) => setTimeout(resolve));
      return;
    }
    const last = this.hypothesis.steps.at(-1);
    const looked = view.weights(last, this.headChosen());
    const most = looked.indexOf(Math.max(...looked));
    const [wrote, read] = [this.nameOf(last.token), this.pieces[most].token];
    this.say(
      `Step ${count}: the decoder wrote ${wrote} and looked most at ${read} (${view.percent(looked[most])}).`,
    );
    await new Promise((resolve) => {
      this.advance = resolve;
      if (pace === "press") this.next.hidden = false;
      else setTimeout(resolve, PAUSE);
    });
    this.advance = null;
    this.next.hidden = this.pace.value !== "press";
  }

  nameOf(token) {
    return this.names[token] ?? "";
  }

  textOf(tokens) {
    return this.tokenizer ? this.tokenizer.decode(tokens) : "";
  }

  begin(ids, names) {
    this.names = names;
    this.pieces = ids.map((id) => ({ id, token: names[id] ?? "" }));
    this.hypothesis = null;
    this.hypotheses = [];
    this.selected = -1;
    this.follow = true;
    this.answer.textContent = "";
    this.beamPart.hidden = true;
    this.target.replaceChildren();
    this.show();
  }

  update({ hypotheses, running }, beams) {
    const leading = hypotheses.find(({ done }) => done) ?? running?.[0] ?? hypotheses[0];
    this.hypothesis = leading;
    this.hypotheses = hypotheses;
    this.beamPart.hidden = !beams;
    if (beams) view.beamList(this.beamView, hypotheses, (token) => this.nameOf(token));
    this.answer.textContent = view.visible(this.textOf(leading.tokens));
    const last = leading.steps.length - 1;
    if (this.follow || this.selected > last) this.selected = last;
    this.heads(leading.steps[0]);
    this.show();
  }

  /** Offer each head by name, once its number is known. */
  heads(step) {
    const wanted = step.looks.flatMap((layer, i) => layer.map((_, k) => `${i}.${k}`));
    if (this.head.options.length === wanted.length + 1) return;
    this.head.replaceChildren(
      el("option", { value: "" }, "the average of all heads"),
      ...wanted.map((value) => {
        const [layer, head] = value.split(".").map(Number);
        return el("option", { value }, `layer ${layer + 1}, head ${head + 1}`);
      }),
    );
  }

  headChosen() {
    return this.head.value ? this.head.value.split(".").map(Number) : null;
  }

  choose(step) {
    this.selected = step;
    this.follow = false;
    this.show();
  }

  show() {
    const steps = this.hypothesis?.steps ?? [];
    const step = steps[this.selected];
    const head = this.headChosen();
    view.sourceTokens(this.source, this.pieces, step && view.weights(step, head));
    const written = steps.map(({ token }) => this.nameOf(token));
    view.targetTokens(this.target, written, steps, this.selected, (i) => this.choose(i));
    if (step) {
      this.stepTitle.textContent = `Alternatives at step ${this.selected + 1}`;
      const live = this.model && this.root.dataset.state !== "open";
      const before = this.hypothesis.tokens.slice(0, this.selected);
      view.alternativesTable(
        this.alternatives,
        step,
        (token) => this.nameOf(token),
        live ? (token) => this.translate([...before, token]) : null,
      );
    } else {
      this.stepTitle.textContent = "Alternatives";
      this.alternatives.replaceChildren();
    }
    this.draw();
  }

  draw() {
    if (!this.pieces) return;
    const steps = this.hypothesis?.steps ?? [];
    const source = this.pieces.slice(0, LONGEST_MAP).map(({ token }) => view.visible(token));
    const shown = steps.slice(0, LONGEST_MAP);
    const target = shown.map(({ token }) => view.visible(this.nameOf(token)));
    const head = this.headChosen();
    const rows = shown.map((step) => view.weights(step, head).slice(0, LONGEST_MAP));
    this.rowAt = view.drawMap(this.canvas, source, target, rows, this.selected);
    this.canvas.setAttribute("aria-label", view.attentionSummary(source, target, rows));
    if (this.details.open) view.attentionTable(this.table, source, target, rows);
    const cut = this.pieces.length > LONGEST_MAP || steps.length > LONGEST_MAP;
    this.cutMap.hidden = !cut;
    this.cutMap.textContent = `The picture shows the first ${LONGEST_MAP} tokens of each side.`;
  }

  recorded(example) {
    this.caption.textContent =
      `Recorded: “${example.text}”, read by ${example.model}. ` +
      "Press a written token to see its alternatives and what it looked at.";
    this.answer.lang = MODELS[example.model].target;
    this.begin(example.source, example.pieces);
    this.hypothesis = example.hypothesis;
    this.selected = 0;
    this.heads(example.hypothesis.steps[0]);
    this.show();
    this.answer.textContent = example.answer;
  }

  async share() {
    if (this.model) {
      const settings = { ...this.settings(), seed: this.lastSeed ?? 0 };
      history.replaceState(null, "", writeLink(settings));
    }
    const { href } = location;
    try {
      await navigator.clipboard.writeText(href);
      this.say("The link is copied: it carries the text and the settings.");
    } catch {
      this.say(`The address of this page is the link: ${href}`);
    }
  }
}

/** A part that scrolls sideways where it is too wide, by keyboard too. */
function scrolling(label, child) {
  return el("div", { class: "map", tabindex: "0", role: "group", "aria-label": label }, child);
}

async function fetchJson(name) {
  const response = await fetch(new URL(name, BASE));
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response.json();
}

const root = document.getElementById("live");
if (root) {
  const page = new Page(root);
  root.page = page; // for tests and the curious
  page.open().catch((error) => page.warn(`The page could not be started: ${error.message}`));
}
