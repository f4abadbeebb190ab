"use strict";
(() => {
  const MOST_BARS = 8;
  const LOOK_MS = 15000;
  const LEVELS = {
    waiting: "Too few rows to say",
    steady: "Yes: the last rows look like those of training",
    watch: "Not quite: worth a look",
    alarm: "No: what is asked has changed",
  };
  const $ = (id) => document.getElementById(id);
  const state = { about: null, image: null, asked: 0 };

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
  const number = (value) => new Intl.NumberFormat("en", { maximumSignificantDigits: 6 }).format(value);

  function call(path, options = {}) {
    const token = sessionStorage.getItem("token");
    const headers = { ...options.headers };
    if (token) headers.authorization = `Bearer ${token}`;
    return fetch(path, { ...options, headers });
  }

  async function enter() {
    let response;
    try {
      response = await call("/metadata");
    } catch {
      $("title").textContent = "The server does not answer";
      return;
    }
    const barred = response.status === 401;
    $("door").hidden = !barred;
    if (barred) {
      $("room").hidden = true;
      $("title").textContent = "A specialist behind a door";
      $("denied").textContent = sessionStorage.getItem("token") ? "That is not the token." : "";
      $("token").focus();
      return;
    }
    state.about = await response.json();
    introduce();
    buildFields();
    offerDoubt();
    showCurl();
    showFacts();
    $("room").hidden = false;
    look();
    setInterval(() => document.hidden || look(), LOOK_MS);
  }

  function introduce() {
    const { task, target, labels, proof } = state.about;
    const what = target.length === 1 ? `“${target[0]}”` : "the labels";
    const shapes = {
      binary: `Tells ${what}: ${labels.join(" or ")}`,
      multiclass: `Tells ${what}: one of ${labels.length}`,
      multilabel: `Tells which of ${labels.length} labels fit`,
      regression: `Estimates ${what}`,
    };
    $("title").textContent = shapes[task];
    document.title = `${target[0] || "metier"}: playground`;
    $("proof").textContent = proof && proof.verdict ? `Measured before it was handed over: ${proof.verdict}.` : "";
  }

  function buildFields() {
    const columns = state.about.columns;
    const box = $("fields");
    box.replaceChildren();
    box.className = columns.length > 2 ? "many" : "";
    columns.forEach((column, place) => box.append(field(column, `cell-${place}`)));
    const texts = columns.some((column) => column.kind === "text");
    $("hint").textContent = texts ? "or Ctrl + Enter" : "";
  }

  function offerDoubt() {
    const { coverage, task } = state.about;
    const offers = {
      multilabel: "Show all labels that may fit",
      regression: "Show the range that holds the truth",
    };
    $("doubt").hidden = !coverage;
    $("wanted").checked = Boolean(coverage) && task === "regression";
    $("promise").textContent = `${offers[task] || "Show all labels that may be right"}, ${at(coverage)}`;
  }

  const at = (coverage) => `at ${number(Math.floor(1000 * coverage) / 10)}\u00a0%`;
  const beside = () => ($("wanted").checked ? { coverage: state.about.coverage } : {});

  function field(column, id) {
    const whole = make("div", "field");
    const label = make("label", "", column.name);
    label.htmlFor = id;
    if (column.kind === "image") return imageField(whole, label, id);
    const cell = make(column.kind === "text" ? "textarea" : "input");
    cell.id = id;
    cell.dataset.column = column.name;
    cell.dataset.kind = column.kind;
    if (column.kind === "text") whole.classList.add("wide");
    if (column.kind === "number") cell.type = "number", cell.step = "any", cell.inputMode = "decimal";
    if (column.kind === "date") cell.type = "date";
    if (column.kind === "number" && column.low !== null) label.append(make("small", "", `  ${number(column.low)} to ${number(column.high)}`));
    whole.append(label, cell);
    if (column.values && column.values.length) {
      const list = make("datalist");
      list.id = `${id}-values`;
      list.append(...column.values.map((value) => Object.assign(make("option"), { value })));
      cell.setAttribute("list", list.id);
      cell.placeholder = column.values.slice(0, 3).join(", ");
      whole.append(list);
    }
    return whole;
  }

  function imageField(whole, label, id) {
    whole.classList.add("wide");
    label.className = "drop";
    const words = make("span", "", "Drop an image here, or choose one");
    const input = make("input");
    Object.assign(input, { id, type: "file", accept: "image/*" });
    label.replaceChildren(words, input);
    const take = (file) => {
      if (!file) return;
      state.image = file;
      const picture = make("img");
      picture.alt = file.name;
      picture.src = URL.createObjectURL(file);
      picture.onload = picture.onerror = () => URL.revokeObjectURL(picture.src);
      label.replaceChildren(picture, input);
      if (state.about.columns.length === 1) ask();
    };
    input.addEventListener("change", () => take(input.files[0]));
    label.addEventListener("dragover", (event) => { event.preventDefault(); label.classList.add("over-it"); });
    label.addEventListener("dragleave", () => label.classList.remove("over-it"));
    label.addEventListener("drop", (event) => {
      event.preventDefault();
      label.classList.remove("over-it");
      take(event.dataTransfer.files[0]);
    });
    whole.append(label);
    return whole;
  }

  function written() {
    const row = {};
    for (const cell of $("fields").querySelectorAll("[data-column]")) {
      const { column, kind } = cell.dataset;
      const empty = cell.value.trim() === "";
      row[column] = empty ? null : kind === "number" ? Number(cell.value) : cell.value;
    }
    return row;
  }

  function request() {
    const row = written();
    if (!state.about.columns.some((column) => column.kind === "image")) {
      return { body: JSON.stringify({ rows: [row], ...beside() }), headers: { "content-type": "application/json" } };
    }
    const form = new FormData();
    form.append("files", state.image);
    if (Object.keys(row).length) form.append("rows", JSON.stringify([row]));
    for (const [name, value] of Object.entries(beside())) form.append(name, value);
    return { body: form };
  }

  async function ask() {
    const needsImage = state.about.columns.some((column) => column.kind === "image");
    if (needsImage && !state.image) return say("Choose an image first.");
    if (!needsImage && Object.values(written()).every((cell) => cell === null)) return say("Fill in something first.");
    const mine = ++state.asked;
    $("ask").disabled = true;
    const began = performance.now();
    try {
      const response = await call("/predict", { method: "POST", ...request() });
      const found = await response.json();
      const took = performance.now() - began;
      if (mine !== state.asked) return;
      if (response.ok) show(found, took, response.headers.get("server-timing"));
      else say(found.error);
    } catch {
      say("The server does not answer.");
    } finally {
      $("ask").disabled = false;
    }
    look();
  }

  function say(words) {
    $("answer").replaceChildren(make("p", "wrong", words));
  }

  function show(found, took, timing) {
    const [row] = found.predictions;
    if (row.reason !== null) return say(`No answer: ${row.reason}.`);
    const answer = Array.isArray(row.prediction) ? row.prediction.join(", ") || "none of the labels" : row.prediction;
    const said = make("p", "said", typeof answer === "number" ? number(answer) : answer);
    const inside = /dur=([\d.]+)/.exec(timing || "");
    const told = `${took.toFixed(0)} ms${inside ? `, ${Number(inside[1]).toFixed(1)} ms of it in the server` : ""}`;
    $("answer").replaceChildren(said, ...maybe(row), make("p", "told basis", told));
    if (row.probabilities) $("answer").append(...bars(row));
    for (const warning of found.warnings) $("answer").append(make("p", "basis", warning));
  }

  function maybe(row) {
    const { coverage, labels } = state.about;
    if (typeof row.low === "number") return [make("p", "maybe", `between ${number(row.low)} and ${number(row.high)}, ${at(coverage)}`)];
    if (!Array.isArray(row.set)) return [];
    const every = row.set.length === labels.length;
    const told = row.set.length ? `May be right, ${at(coverage)}: ${every ? "every label" : row.set.join(", ")}` : `No label is likely enough, ${at(coverage)}`;
    return [make("p", "maybe", told)];
  }

  function bars(row) {
    const chosen = new Set([].concat(row.prediction));
    const ranked = Object.entries(row.probabilities).sort((a, b) => b[1] - a[1]);
    const list = (entries) => {
      const whole = make("ul", "bars");
      whole.append(...entries.map(([label, share]) => bar(label, share, chosen.has(label))));
      return whole;
    };
    if (ranked.length <= MOST_BARS + 2) return [list(ranked)];
    const rest = make("details");
    rest.append(make("summary", "", `${ranked.length - MOST_BARS} more`), list(ranked.slice(MOST_BARS)));
    return [list(ranked.slice(0, MOST_BARS)), rest];
  }

  function bar(label, share, first) {
    const item = make("li", first ? "first" : "");
    const names = make("div", "names");
    names.append(make("span", "", label), make("span", "num", percent(share)));
    const rail = make("div", "rail");
    const fill = make("div", "fill");
    fill.style.width = `${100 * share}%`;
    rail.append(fill);
    item.append(names, rail);
    return item;
  }

  async function look() {
    let drift, ok = false;
    try {
      const response = await call("/drift");
      ok = response.ok;
      if (ok) drift = (await response.json()).drift;
    } catch { /* told below */ }
    $("health").textContent = ok ? "" : "no connection";
    if (ok) showDrift(drift);
  }

  function showDrift(drift) {
    if (drift === null) {
      $("says").textContent = "Nobody knows";
      $("unlike").textContent = "This bundle was written without statistics of its training: make it again to have them.";
      return;
    }
    const waiting = drift.level === "waiting";
    $("level").className = `state ${drift.level}`;
    $("says").textContent = LEVELS[drift.level];
    $("unlike").textContent = waiting
      ? `${drift.rows} of the ${drift.needed} rows that are needed so far.`
      : `Of the last ${drift.rows} rows, ${percent(drift.unlike)} are unlike those of training; ${percent(drift.unlike_usual)} would be usual.`;
    $("more").hidden = waiting;
    $("signals").replaceChildren(...drift.shifts.map((shift) => {
      const line = make("tr");
      const change = `${shift.bin}: was ${percent(shift.usual)}, is ${percent(shift.recent)}`;
      line.append(make("td", "", shift.signal), make("td", `num ${shift.level}`, shift.index.toFixed(2)), make("td", "", change));
      return line;
    }));
  }

  function showCurl() {
    const plain = state.about.columns.filter((column) => column.kind !== "image");
    const examples = { text: "a text", number: 1, category: "a value", date: "2026-03-01" };
    const row = Object.fromEntries(plain.map((column) => [column.name, (column.values || [])[0] ?? examples[column.kind]]));
    const lines = [`curl ${location.origin}/predict`];
    if (sessionStorage.getItem("token")) lines.push('-H "Authorization: Bearer $METIER_TOKEN"');
    const quoted = (value) => `'${JSON.stringify(value).replaceAll("'", "'\\''")}'`;
    if (plain.length === state.about.columns.length) {
      lines.push("-H 'Content-Type: application/json'", `-d ${quoted({ rows: [row], ...beside() })}`);
    } else {
      lines.push("-F files=@photo.jpg");
      if (plain.length) lines.push(`-F rows=${quoted([row])}`);
      if ($("wanted").checked) lines.push(`-F coverage=${state.about.coverage}`);
    }
    if (sessionStorage.getItem("token")) document.querySelectorAll("#program a").forEach((link) => link.removeAttribute("href"));
    $("curl").textContent = lines.join(" \\\n  ");
  }

  function showFacts() {
    const { source, strategies, digest, versions, limits } = state.about;
    const facts = {
      "Made from": source || "nothing pretrained",
      "Made by": strategies.join(", then "),
      "Digest": digest.slice(0, 16),
      "Version": `metier ${versions.metier}`,
      "Rows in a request": `at most ${limits.rows}`,
    };
    $("facts").replaceChildren(...Object.entries(facts).filter(([, value]) => value).map(([name, value]) => {
      const fact = make("div");
      fact.append(make("dt", "", name), make("dd", "", value));
      return fact;
    }));
  }

  $("wanted").addEventListener("change", () => {
    showCurl();
    if (document.querySelector(".said")) ask();
  });
  $("row").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  $("row").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
  });
  $("door").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem("token", $("token").value);
    enter();
  });
  enter();
})();
