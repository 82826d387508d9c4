"use strict";
const data = JSON.parse(document.getElementById("page-data").textContent);
const $ = (id) => document.getElementById(id);
const MB = 1e6, NAMESPACE = "http://www.w3.org/2000/svg", LEAST = 0.001, WIDTH = 600;
let items = [];       // one per tile: {file, url, site, readable, fault}
let lastForm = null;  // the form of the answer on the page
let request = null;   // AbortController of the prediction that is under way

function make(tag, content = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(content)) {
    if (key in element) element[key] = value; else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
function draw(tag, attributes, text = "") {
  const element = document.createElementNS(NAMESPACE, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.textContent = text;
  return element;
}
function percent(value) { return `${(100 * value).toFixed(value >= 0.01 ? 1 : 2)} %`; }
function say(text, busy = false) { $("status").textContent = text; $("status").classList.toggle("busy", busy); }
function fail(sentence, where = "") {
  $("error").textContent = sentence;
  $("error").hidden = !sentence;
  $("age").setAttribute("aria-invalid", String(where === "age"));
}

/* Pictures */
function sites(selected) {
  return [make("option", { value: "", textContent: "as for all pictures" }),
    ...data.sites.map((site) => make("option", { value: site, textContent: site, selected: site === selected }))];
}
function tile(item, index) {
  const preview = item.readable === false ? make("div", { className: "no-look", textContent: "No preview" })
    : make("img", { src: item.url, alt: "" });
  preview.addEventListener("error", () => { item.readable = false; renderTiles(); });
  const site = make("select", {}, ...sites(item.site));
  site.addEventListener("change", () => { item.site = site.value; });
  const remove = make("button", { type: "button", className: "remove", textContent: "✕", "aria-label": `Remove ${item.file.name}` });
  remove.addEventListener("click", () => removeItem(index));
  return make("li", { className: item.fault ? "tile fault" : "tile" }, preview, remove,
    make("div", { className: "tile-name", textContent: item.file.name }),
    make("div", { className: "quiet", textContent: `${(item.file.size / MB).toFixed(2)} MB` }),
    make("label", { className: "field" }, "Site", site));
}
function renderTiles() {
  $("chosen").replaceChildren(...items.map(tile));
  $("predict").disabled = items.length === 0 || request !== null;
  $("clear").hidden = items.length === 0;
}
function count() { return items.length === 1 ? "1 picture" : `${items.length} pictures`; }
function removeItem(index) {
  URL.revokeObjectURL(items[index].url);
  items.splice(index, 1);
  renderTiles();
  say(`${count()} chosen.`);
  ($("chosen").querySelectorAll(".remove")[Math.min(index, items.length - 1)] || $("chooser")).focus();
}
function add(files) {
  const fitting = [], unfit = [];
  for (const file of files) (file.size > data.limits.picture_mb * MB || file.size === 0 ? unfit : fitting).push(file);
  const room = data.limits.pictures - items.length;
  items.push(...fitting.slice(0, room).map((file) => ({ file, url: URL.createObjectURL(file), site: "" })));
  const excess = fitting.slice(room).map((file) => file.name);
  const sentences = unfit.map((file) => file.size ? `${file.name}: more than ${data.limits.picture_mb} MB` : `${file.name}: the file is empty`);
  if (excess.length) sentences.push(`at most ${data.limits.pictures} pictures at once; left out: ${excess.join(", ")}`);
  const total = items.reduce((sum, item) => sum + item.file.size, 0);
  if (total > data.limits.total_mb * MB) sentences.push(`more than ${data.limits.total_mb} MB in total; remove some pictures`);
  fail(sentences.join("; "));
  renderTiles();
  say(`${count()} chosen.`);
}
function clear() {
  if (request) request.abort();
  items.forEach((item) => URL.revokeObjectURL(item.url));
  items = [];
  lastForm = null;
  $("form").reset();
  $("lesions").replaceChildren();
  $("answered").hidden = true;
  $("summary").textContent = "The lesions appear here after the prediction.";
  fail("");
  renderTiles();
  say("No picture chosen yet.");
  $("chooser").focus();
}

/* Requests */
function form() {
  const fields = new FormData();
  for (const item of items) fields.append("pictures", item.file, item.file.name);
  fields.append("age", $("age").value.trim());
  fields.append("sex", $("sex").value);
  for (const item of items) fields.append("site", item.site || $("site").value);
  return fields;
}
async function refusalOf(response) {
  let refusal = { error: `the server answered ${response.status}`, where: "", pictures: [] };
  try { refusal = { ...refusal, ...await response.json() }; } catch { /* without JSON, the status is all there is to report */ }
  return Object.assign(new Error(refusal.error), refusal);
}
async function post(url, fields, signal) {
  const response = await fetch(url, { method: "POST", body: fields, signal });
  if (!response.ok) throw await refusalOf(response);
  return response;
}
function report(fault) {
  if (fault.name === "AbortError") return;
  fail(fault instanceof TypeError ? "The server cannot be reached; is it still running?" : fault.message, fault.where);
  for (const index of fault.pictures || []) if (items[index]) items[index].fault = true;
}
async function predict(event) {
  event.preventDefault();
  if (!items.length || request) return;
  const fields = form(), own = new AbortController();
  request = own;
  items.forEach((item) => { item.fault = false; });
  fail("");
  renderTiles();
  say(`Predicting ${count()} …`, true);
  try {
    const answer = await (await post("/api/predict?attention=true&thumbnails=true", fields, own.signal)).json();
    lastForm = fields;
    present(answer);
    say("Done.");
  } catch (fault) {
    report(fault);
    if (fault.name !== "AbortError") say("The prediction failed.");
  } finally {
    request = null;
    renderTiles();
  }
}
async function download(button, kind) {
  if (!lastForm) return;
  button.disabled = true;
  say(`Creating the ${kind.toUpperCase()} …`, true);
  try {
    const url = URL.createObjectURL(await (await post(`/api/predict.${kind}`, lastForm)).blob());
    make("a", { href: url, download: `lesions.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    say(`lesions.${kind} has been downloaded.`);
  } catch (fault) {
    report(fault);
    say("The download failed.");
  } finally {
    button.disabled = false;
  }
}

/* Answers */
function logit(value) { const visible = Math.min(Math.max(value, LEAST), 1 - LEAST); return Math.log(visible / (1 - visible)); }
function position(value) { return 10 + (WIDTH - 20) * (logit(value) / logit(1 - LEAST) + 1) / 2; }
function axis(lesion) {
  const label = `${percent(lesion.probability)}, fold models ${percent(lesion.low)} to ${percent(lesion.high)}`;
  const svg = draw("svg", { class: "axis", role: "img", "aria-label": label, viewBox: `0 0 ${WIDTH} 44` });
  const line = (name, low, high) => draw("line", { class: name, x1: low, x2: high, y1: 14, y2: 14 });
  svg.append(line("track", 10, WIDTH - 10), line("reach", position(lesion.low), position(lesion.high)));
  if (data.prevalence !== null) svg.append(draw("line", { class: "usual", x1: position(data.prevalence), x2: position(data.prevalence), y1: 3, y2: 25 }));
  svg.append(draw("circle", { cx: position(lesion.probability), cy: 14, r: 8 }));
  const ticks = [[0.001, "0.1 %"], [0.01, "1 %"], [0.1, "10 %"], [0.5, "50 %"], [0.9, "90 %"], [0.99, "99 %"]];
  for (const [value, text] of ticks) svg.append(draw("text", { x: position(value), y: 40, "text-anchor": value === LEAST ? "start" : "middle" }, text));
  return svg;
}
function share(part, most, side) {
  const bar = make("i");
  bar.style.width = `${100 * Math.abs(part.log_odds) / most}%`;
  const sign = part.log_odds > 0 ? "+" : "−";
  return make("div", { className: "share" }, make("span", { className: "share-name", textContent: part.column }),
    make("span", { className: "share-value", textContent: `${sign}${Math.abs(part.log_odds).toFixed(2)}` }),
    make("span", { className: `share-track ${side}` }, bar));
}
function reasons(lesion) {
  const most = Math.max(1e-9, ...[...lesion.raising, ...lesion.lowering].map((part) => Math.abs(part.log_odds)));
  const column = (title, name, parts, side) => make("div", {}, make("h4", { className: name, textContent: title }),
    ...parts.map((part) => share(part, most, side)), parts.length ? null : make("p", { className: "quiet small", textContent: "nothing" }));
  return make("div", { className: "reasons" }, column("Raising the probability", "for", lesion.raising, "up"), column("Lowering the probability", "against", lesion.lowering, "down"));
}
function networks(lesion) {
  const items = lesion.networks.filter((network) => network.probability !== null)
    .map((network) => make("li", {}, `${network.name} `, make("b", { textContent: percent(network.probability) })));
  return items.length ? make("div", { className: "networks" }, make("h4", { textContent: "Each network alone, not calibrated" }), make("ul", {}, ...items)) : null;
}
function decisions(lesion) {
  const items = lesion.decisions.map((decision) => make("li", {}, `${decision.name} (${percent(decision.threshold)}) `,
    make("b", { textContent: decision.malignant ? "malignant" : "benign" })));
  return items.length ? make("div", { className: "networks" }, make("h4", { textContent: "Predicted at the thresholds of the model" }), make("ul", {}, ...items)) : null;
}
function picturePanel(lesion) {
  if (!lesion.thumbnail) return make("div", { className: "look" });
  const img = make("img", { src: lesion.thumbnail, alt: `Picture ${lesion.name}` });
  if (!lesion.attention) return make("div", { className: "look" }, img);
  const button = make("button", { type: "button", className: "act", textContent: "Show where the networks look", "aria-pressed": "false" });
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(on));
    img.src = on ? lesion.attention : lesion.thumbnail;
    img.alt = `Picture ${lesion.name}${on ? ", with the networks' attention" : ""}`;
  });
  return make("div", { className: "look" }, img, button);
}
function tags(lesion) {
  const labels = [make("span", { className: "tag", textContent: `rank ${lesion.rank} of ${lesion.pictures} in this patient` })];
  if (lesion.rank === 1 && lesion.pictures > 1) labels.push(make("span", { className: "tag accent", textContent: "highest" }));
  if (lesion.ugly_duckling) labels.push(make("span", { className: "tag bad", textContent: "ugly duckling" }));
  if (lesion.notices.length) labels.push(make("span", { className: "tag warn", textContent: "notice" }));
  return make("div", { className: "tags" }, ...labels);
}
function card(lesion) {
  const value = make("p", { className: "lesion-value" }, percent(lesion.probability),
    make("small", { textContent: `  fold models ${percent(lesion.low)} – ${percent(lesion.high)}` }));
  const site = make("p", { className: "quiet small", textContent: lesion.site ? `Site: ${lesion.site}` : "Site not known" });
  return make("article", { className: "panel lesion" }, picturePanel(lesion), make("div", {},
    make("div", { className: "lesion-head" }, make("h3", { textContent: lesion.name }), tags(lesion)),
    site, value, axis(lesion), ...lesion.notices.map((text) => make("p", { className: "notice warn", textContent: text })),
    decisions(lesion), reasons(lesion), networks(lesion)));
}
function present(answer) {
  const first = answer.lesions[0];
  $("lesions").replaceChildren(...answer.lesions.map(card));
  $("answered").hidden = false;
  const number = answer.lesions.length;
  $("summary").textContent = `${number} lesion${number > 1 ? "s" : ""} predicted. ` +
    `${number > 1 ? "Highest: " : ""}${first.name}, ${percent(first.probability)}. ${answer.disclaimer}`;
  $("results").focus({ preventScroll: true });
  $("results").scrollIntoView();
}

$("chooser").addEventListener("change", (event) => { add([...event.target.files]); event.target.value = ""; });
for (const name of ["dragenter", "dragover"]) $("drop").addEventListener(name, (event) => { event.preventDefault(); $("drop").classList.add("over"); });
for (const name of ["dragleave", "drop"]) $("drop").addEventListener(name, () => $("drop").classList.remove("over"));
$("drop").addEventListener("drop", (event) => { event.preventDefault(); add([...event.dataTransfer.files]); });
for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
$("form").addEventListener("submit", predict);
$("clear").addEventListener("click", clear);
for (const kind of ["csv", "pdf"]) $(kind).addEventListener("click", () => download($(kind), kind));
renderTiles();
