// What the live page shows of a search. Everything that a reader or a model has written is set as
// text (textContent), never as markup.

/** An element with attributes, listeners (onclick) and children; strings become text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Control characters as pictures, so that what is there can be seen. */
export function visible(text) {
  return text.replace(/[\u0000-\u001f\u007f]/g, (character) =>
    character === "\u007f" ? "\u2421" : String.fromCodePoint(0x2400 + character.codePointAt(0)),
  );
}

export function percent(share) {
  if (share >= 0.9995) return "100%";
  return share >= 0.0995 ? `${(100 * share).toFixed(0)}%` : `${(100 * share).toFixed(1)}%`;
}

/** A token as it stands in the vocabulary, kept apart from the direction of its neighbours. */
function piece(text) {
  return el("bdi", { class: "piece" }, visible(text));
}

/** Weights of one step, averaged over all heads, or those of one head. */
export function weights(step, head) {
  const chosen = head ? [step.looks[head[0]][head[1]]] : step.looks.flat();
  const length = chosen[0].length;
  return Array.from({ length }, (_, i) => {
    let sum = 0;
    for (const row of chosen) sum += row[i];
    return sum / chosen.length;
  });
}

/** The source as tokens; `shares` shades them by what the chosen step looked at. */
export function sourceTokens(list, pieces, shares) {
  list.replaceChildren(
    ...pieces.map(({ token, id }, i) => {
      const share = shares ? shares[i] : 0;
      return el(
        "li",
        { class: "token", style: `--share: ${share.toFixed(3)}`, title: `id ${id}` },
        piece(token),
        shares ? el("span", { class: "share" }, percent(share)) : null,
      );
    }),
  );
}

/** The target as tokens, each a button that chooses its step. */
export function targetTokens(list, pieces, steps, selected, choose) {
  const items = steps.map((step, i) => {
    return el(
      "li",
      {},
      el(
        "button",
        {
          type: "button",
          class: "token",
          "aria-pressed": String(i === selected),
          onclick: () => choose(i),
        },
        piece(pieces[i]),
        el("span", { class: "share" }, percent(step.probability)),
      ),
    );
  });
  const focused = [...list.children].findIndex((item) => item.contains(document.activeElement));
  list.replaceChildren(...items);
  if (focused >= 0) list.children[focused]?.firstElementChild.focus();
}

/** What else could have been written at a step. */
export function alternativesTable(body, step, name, take) {
  body.replaceChildren(
    ...step.alternatives.map(({ token, probability }) => {
      const chosen = token === step.token;
      return el(
        "tr",
        { class: chosen ? "chosen" : null },
        el("th", { scope: "row" }, piece(name(token))),
        el(
          "td",
          { class: "bar", style: `--share: ${probability.toFixed(4)}` },
          el("span", {}, percent(probability)),
        ),
        el(
          "td",
          {},
          chosen
            ? "written"
            : take
              ? el(
                  "button",
                  {
                    type: "button",
                    class: "quiet",
                    "aria-label": `Write ${name(token)} here and go on`,
                    onclick: () => take(token),
                  },
                  "write this",
                )
              : "",
        ),
      );
    }),
  );
}

/** The hypotheses of a beam search, best first, token by token: two may be cut from one text. */
export function beamList(list, hypotheses, name) {
  list.replaceChildren(
    ...hypotheses.map((hypothesis) =>
      el(
        "li",
        { class: hypothesis.done ? "finished" : "running" },
        piece(hypothesis.tokens.map(name).join(" ")),
        el("span", { class: "score" }, `${hypothesis.score.toFixed(3)}`),
        el("span", { class: "state" }, hypothesis.done ? "finished" : "goes on"),
      ),
    ),
  );
}

/** The same weights as a table, for those who do not see the picture. */
export function attentionTable(table, source, target, rows) {
  table.replaceChildren(
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, "written"),
        ...source.map((token) => el("th", { scope: "col" }, piece(token))),
      ),
    ),
    el(
      "tbody",
      {},
      ...rows.map((row, i) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, piece(target[i])),
          ...row.map((share) => el("td", {}, share.toFixed(2))),
        ),
      ),
    ),
  );
}

/** What the picture shows, in words. */
export function attentionSummary(source, target, rows) {
  const most = rows.slice(0, 40).map((row, i) => {
    const best = row.indexOf(Math.max(...row));
    return `${target[i]} at ${source[best]} (${percent(row[best])})`;
  });
  return `Cross-attention. Each written token and the source token it looked at most: ${most.join("; ")}.`;
}

/** Draw cross-attention: a row for each written token, a column for each token of the source. */
export function drawMap(canvas, source, target, rows, selected) {
  const style = getComputedStyle(canvas);
  const colour = (name) => style.getPropertyValue(name).trim();
  const font = `13px ${style.fontFamily}`;
  const context = canvas.getContext("2d");
  context.font = font;
  const clip = (text) => (text.length > 14 ? `${text.slice(0, 13)}…` : text);
  const widest = (texts) => Math.max(24, ...texts.map((t) => context.measureText(t).width));
  const columns = source.map(clip);
  const labels = target.map(clip);
  const cell = 26;
  const left = Math.ceil(widest(labels)) + 12;
  const slant = Math.SQRT1_2;
  const above = Math.ceil(widest(columns) * slant) + 18;
  const width = left + cell * columns.length + Math.ceil(widest(columns) * slant) + 8;
  const height = above + cell * labels.length + 4;
  const ratio = Math.min(window.devicePixelRatio || 1, 16000 / Math.max(width, height));
  canvas.width = Math.ceil(width * ratio);
  canvas.height = Math.ceil(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = font;
  context.textBaseline = "middle";
  context.fillStyle = colour("--pst-color-text-base");
  columns.forEach((text, i) => {
    context.save();
    context.translate(left + cell * (i + 0.5), above - 8);
    context.rotate(-Math.PI / 4);
    context.fillText(text, 0, 0);
    context.restore();
  });
  context.textAlign = "right";
  labels.forEach((text, i) => context.fillText(text, left - 8, above + cell * (i + 0.5)));
  context.textAlign = "left";
  const [ground, ink, mark] = ["surface", "primary", "secondary"].map((c) => colour(`--pst-color-${c}`));
  rows.forEach((row, i) => {
    row.forEach((share, k) => {
      const [x, y] = [left + cell * k, above + cell * i];
      context.globalAlpha = 1;
      context.fillStyle = ground;
      context.fillRect(x + 1, y + 1, cell - 2, cell - 2);
      context.globalAlpha = Math.min(1, share ** 0.8);
      context.fillStyle = ink;
      context.fillRect(x + 1, y + 1, cell - 2, cell - 2);
    });
    if (i === selected) {
      context.globalAlpha = 1;
      context.lineWidth = 2;
      context.strokeStyle = mark;
      context.strokeRect(left, above + cell * i, cell * row.length, cell);
    }
  });
  context.globalAlpha = 1;
  return (y) => Math.floor((y - above) / cell);
}
