// The page: a form made from the columns that the specialist reads, and its answer.

import { load } from "./specialist.js";

const SHOWN = 8;
const WAIT = 250;

const $ = (id) => document.getElementById(id);

/** An element with attributes and children. */
function make(tag, attributes = {}, ...children) {
  const found = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) found.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) found.setAttribute(name, value);
  }
  found.append(...children);
  return found;
}

const plain = (name) => name.replaceAll("_", " ");
function percent(share) {
  if (share > 0 && share < 0.00005) return "< 0.01 %";
  return `${(100 * share).toFixed(share > 0.9995 || share < 0.0005 ? 2 : 1)} %`;
}

const figure = (value, digits = 6) => value.toLocaleString("en", { maximumSignificantDigits: digits });
const time = (ms) => (ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms).toLocaleString("en")} ms`);

/** What a column was in training, to show beside its field. */
function hint({ kind, low, high }) {
  if (low === null || high === null || low === undefined) return "";
  const told = kind === "date" ? [low, high].map((day) => String(day).slice(0, 10)) : [low, high].map((end) => figure(end, 3));
  return `${told[0]} to ${told[1]}`;
}

/** What a person entered, as it is written: to Python, a space belongs to a category too. */
const entered = (input) => (input.value.trim() === "" ? null : input.value);

/** One field a column; `own` are the attributes of its input, `read()` gives its cell, null when empty. */
const FIELDS = {
  text(column, own, alone) {
    const input = make("textarea", { ...own, rows: alone ? 5 : 3, spellcheck: "false" });
    return { input, read: () => entered(input) };
  },
  number(column, own) {
    const input = make("input", { ...own, type: "number", step: "any", inputmode: "decimal" });
    return { input, read: () => (input.value === "" ? null : Number(input.value)) };
  },
  date(column, own) {
    const input = make("input", { ...own, type: "date" });
    return { input, read: () => input.value || null };
  },
  category(column, own) {
    const list = `${own.id}-values`;
    const values = column.values ?? [];
    const input = make("input", { ...own, list: values.length ? list : null, autocomplete: "off" });
    const options = make("datalist", { id: list }, ...values.map((value) => make("option", { value })));
    return { input: make("div", {}, input, options), read: () => entered(input) };
  },
  image(column, own, alone, changed) {
    let blob = null;
    const picture = make("img", { alt: "the picture that was chosen", hidden: "" });
    const file = make("input", { ...own, type: "file", accept: "image/*" });
    const words = make("span", {}, make("b", {}, "Drop a picture here"), make("br"), "or choose a file");
    const zone = make("label", { class: "zone", for: own.id }, picture, words, file);
    const take = (given) => {
      if (!given) return;
      blob = given;
      URL.revokeObjectURL(picture.src);
      picture.src = URL.createObjectURL(given);
      picture.hidden = false;
      zone.classList.add("filled");
      changed();
    };
    file.addEventListener("change", () => take(file.files[0]));
    for (const kind of ["dragover", "dragleave", "drop"]) {
      zone.addEventListener(kind, (event) => {
        event.preventDefault();
        zone.classList.toggle("over", kind === "dragover");
        if (kind === "drop") take(event.dataTransfer.files[0]);
      });
    }
    document.addEventListener("paste", (event) => take(event.clipboardData.files[0]));
    return { input: zone, read: () => blob };
  },
};

/** The form of a specialist; gives back what reads a row from it. */
function form(about, changed) {
  const alone = about.columns.length === 1;
  const fields = about.columns.map((column, place) => {
    // By place: a column may be called as something else on this page is.
    const own = { id: `cell-${place}`, "data-column": column.name };
    const field = FIELDS[column.kind](column, own, alone, changed);
    field.input.addEventListener("input", changed);
    const said = hint(column);
    const label = make("label", { for: own.id }, plain(column.name), said ? make("small", {}, said) : "");
    $("form").append(make("div", { class: `field ${column.kind}` }, label, field.input));
    return [column.name, field.read];
  });
  return () => Object.fromEntries(fields.map(([name, read]) => [name, read()]));
}

function bar(label, share, chosen) {
  const fill = make("i");
  fill.style.width = `${100 * share}%`;
  return make(
    "li",
    { class: chosen ? "chosen" : null },
    make("span", {}, label),
    make("output", {}, percent(share)),
    make("div", { class: "bar" }, fill),
  );
}

/** Put an answer on the page. */
function show(found, target) {
  const many = Array.isArray(found.answer);
  const told = many ? found.answer.join(", ") || "none of the labels" : found.answer;
  $("target").textContent = plain(target);
  $("said").textContent = typeof told === "number" ? figure(told) : told;
  $("took").textContent = `${time(found.milliseconds.all)} on this device`;
  const chosen = new Set([found.answer].flat());
  const bars = (found.probabilities ?? [])
    .map((share, i) => ({ label: found.labels[i], share }))
    .sort((a, b) => b.share - a.share)
    .map(({ label, share }) => bar(label, share, chosen.has(label)));
  $("bars").replaceChildren(...bars.slice(0, SHOWN));
  $("rest").hidden = bars.length <= SHOWN;
  $("more").replaceChildren(...bars.slice(SHOWN));
  $("others").textContent = `${bars.length - SHOWN} more`;
  $("answer").hidden = false;
}

function complain(error) {
  $("status").textContent = error.message;
  $("status").className = "fault";
}

function ready({ odd }) {
  const warning = odd.length ? ` Text like “${odd[0]}” is read a little differently here than in Python.` : "";
  $("status").textContent = `Ready. What you enter stays on this device.${warning}`;
  $("status").className = odd.length ? "warned" : "quiet";
}

async function start() {
  const progress = (share) => {
    $("progress").value = share;
    $("status").textContent = `Loading the specialist, ${Math.round(100 * share)} %`;
  };
  const specialist = await load(progress);
  const { about } = specialist;
  // Several target columns are the labels themselves.
  const several = about.target.length > 1;
  const target = several ? "which labels fit" : about.target[0] ?? "answer";
  document.title = `${about.name}: ${plain(target)}`;
  $("title").textContent = about.name;
  const labels = `${about.labels.slice(0, 12).join(", ")}${about.labels.length > 12 ? ", …" : "."}`;
  const verb = several ? "Tells" : "Answers";
  $("about").textContent = `${verb} ${plain(target)}${about.labels.length ? `: ${labels}` : ", a number."}`;
  $("proof").textContent = about.proof ?? "";
  $("note").textContent = about.note ? `Note: ${about.note}.` : "";
  $("digest").textContent = about.digest.slice(0, 12);
  $("progress").hidden = true;

  let [waiting, turn] = [0, 0];
  const answerNow = async () => {
    const mine = ++turn;
    const row = read();
    if (Object.values(row).every((cell) => cell === null)) return;
    try {
      const found = await specialist.predict(row);
      if (mine !== turn) return;
      show(found, target);
      ready(specialist);
    } catch (error) {
      complain(error);
    }
  };
  const read = form(about, () => {
    clearTimeout(waiting);
    waiting = setTimeout(answerNow, WAIT);
  });
  $("form").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(waiting);
    answerNow();
  });
  ready(specialist);
  return specialist;
}

/** For programs that want to use the page: a promise of {about, predict(row)}. */
window.specialist = start();
window.specialist.catch((error) => {
  const asFile = location.protocol === "file:";
  complain(
    asFile ? new Error("Open this folder through a web server, for example: python -m http.server") : error,
  );
});
