"use strict";
const told = JSON.parse(document.getElementById("told").textContent);
const $ = (id) => document.getElementById(id);
const MB = 1e6, NAMESPACE = "http://www.w3.org/2000/svg", LEAST = 0.001, WIDTH = 600;
let chosen = [];      // {file, url, site}
let asked = null;     // the form that the shown answer belongs to
let running = null;   // stops a request that is no longer wanted

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
  return [make("option", { value: "", textContent: "as for all" }),
    ...told.sites.map((site) => make("option", { value: site, textContent: site, selected: site === selected }))];
}
function tile(item, place) {
  const look = item.readable === false ? make("div", { className: "no-look", textContent: "DICOM or other" })
    : make("img", { src: item.url, alt: "" });
  look.addEventListener("error", () => { item.readable = false; show(); });
  const site = make("select", {}, ...sites(item.site));
  site.addEventListener("change", () => { item.site = site.value; });
  const remove = make("button", { type: "button", className: "remove", textContent: "✕", "aria-label": `Remove ${item.file.name}` });
  remove.addEventListener("click", () => drop(place));
  return make("li", { className: item.fault ? "tile fault" : "tile" }, look, remove,
    make("div", { className: "tile-name", textContent: item.file.name }),
    make("div", { className: "quiet", textContent: `${(item.file.size / MB).toFixed(2)} MB` }),
    make("label", { className: "field" }, "Site", site));
}
function show() {
  $("chosen").replaceChildren(...chosen.map(tile));
  $("predict").disabled = chosen.length === 0 || running !== null;
  $("clear").hidden = chosen.length === 0;
}
function count() { return chosen.length === 1 ? "1 picture" : `${chosen.length} pictures`; }
function drop(place) {
  URL.revokeObjectURL(chosen[place].url);
  chosen.splice(place, 1);
  show();
  say(`${count()} chosen.`);
  ($("chosen").querySelectorAll(".remove")[Math.min(place, chosen.length - 1)] || $("chooser")).focus();
}
function add(files) {
  const fits = [], over = [];
  for (const file of files) (file.size > told.limits.picture_mb * MB || file.size === 0 ? over : fits).push(file);
  const room = told.limits.pictures - chosen.length;
  chosen.push(...fits.slice(0, room).map((file) => ({ file, url: URL.createObjectURL(file), site: "" })));
  const left = fits.slice(room).map((file) => file.name);
  const sentences = over.map((file) => file.size ? `${file.name}: more than ${told.limits.picture_mb} MB` : `${file.name}: the file is empty`);
  if (left.length) sentences.push(`at most ${told.limits.pictures} pictures at once; left out: ${left.join(", ")}`);
  const total = chosen.reduce((sum, item) => sum + item.file.size, 0);
  if (total > told.limits.total_mb * MB) sentences.push(`more than ${told.limits.total_mb} MB together: remove some`);
  fail(sentences.join("; "));
  show();
  say(`${count()} chosen.`);
}
function clear() {
  if (running) running.abort();
  chosen.forEach((item) => URL.revokeObjectURL(item.url));
  chosen = [];
  asked = null;
  $("form").reset();
  $("lesions").replaceChildren();
  $("answered").hidden = true;
  $("summary").textContent = "They appear here.";
  fail("");
  show();
  say("No picture chosen yet.");
  $("chooser").focus();
}

/* Asking */
function form() {
  const data = new FormData();
  for (const item of chosen) data.append("pictures", item.file, item.file.name);
  data.append("age", $("age").value.trim());
  data.append("sex", $("sex").value);
  for (const item of chosen) data.append("site", item.site || $("site").value);
  return data;
}
async function refused(response) {
  let said = { error: `the server answered ${response.status}`, where: "", pictures: [] };
  try { said = { ...said, ...await response.json() }; } catch { /* no JSON: the number must do */ }
  return Object.assign(new Error(said.error), said);
}
async function post(where, data, signal) {
  const response = await fetch(where, { method: "POST", body: data, signal });
  if (!response.ok) throw await refused(response);
  return response;
}
function explain(fault) {
  if (fault.name === "AbortError") return;
  fail(fault instanceof TypeError ? "The server cannot be reached; is it still running?" : fault.message, fault.where);
  for (const place of fault.pictures || []) if (chosen[place]) chosen[place].fault = true;
}
async function predict(event) {
  event.preventDefault();
  if (!chosen.length || running) return;
  const data = form(), own = new AbortController();
  running = own;
  chosen.forEach((item) => { item.fault = false; });
  fail("");
  show();
  say(`Looking at ${count()} …`, true);
  try {
    const answer = await (await post("/api/predict?attention=true&thumbnails=true", data, own.signal)).json();
    asked = data;
    present(answer);
    say("Done.");
  } catch (fault) {
    explain(fault);
    if (fault.name !== "AbortError") say("Not predicted.");
  } finally {
    running = null;
    show();
  }
}
async function download(button, kind) {
  if (!asked) return;
  button.disabled = true;
  say(`Making the ${kind.toUpperCase()} …`, true);
  try {
    const url = URL.createObjectURL(await (await post(`/api/predict.${kind}`, asked)).blob());
    make("a", { href: url, download: `lesions.${kind}` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    say(`lesions.${kind} is downloaded.`);
  } catch (fault) {
    explain(fault);
    say("Not downloaded.");
  } finally {
    button.disabled = false;
  }
}

/* Answers */
function logit(value) { const clipped = Math.min(Math.max(value, LEAST), 1 - LEAST); return Math.log(clipped / (1 - clipped)); }
function at(value) { return 10 + (WIDTH - 20) * (logit(value) / logit(1 - LEAST) + 1) / 2; }
function axis(lesion) {
  const label = `${percent(lesion.probability)}, fold models ${percent(lesion.low)} to ${percent(lesion.high)}`;
  const svg = draw("svg", { class: "axis", role: "img", "aria-label": label, viewBox: `0 0 ${WIDTH} 44` });
  const line = (name, low, high) => draw("line", { class: name, x1: low, x2: high, y1: 14, y2: 14 });
  svg.append(line("track", 10, WIDTH - 10), line("reach", at(lesion.low), at(lesion.high)));
  if (told.prevalence !== null) svg.append(draw("line", { class: "usual", x1: at(told.prevalence), x2: at(told.prevalence), y1: 3, y2: 25 }));
  svg.append(draw("circle", { cx: at(lesion.probability), cy: 14, r: 8 }));
  const ticks = [[0.001, "0.1 %"], [0.01, "1 %"], [0.1, "10 %"], [0.5, "50 %"], [0.9, "90 %"], [0.99, "99 %"]];
  for (const [value, text] of ticks) svg.append(draw("text", { x: at(value), y: 40, "text-anchor": value === LEAST ? "start" : "middle" }, text));
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
  return make("div", { className: "reasons" }, column("For melanoma", "for", lesion.raising, "up"), column("Against", "against", lesion.lowering, "down"));
}
function networks(lesion) {
  const items = lesion.networks.filter((one) => one.probability !== null)
    .map((one) => make("li", {}, `${one.name} `, make("b", { textContent: percent(one.probability) })));
  return items.length ? make("div", { className: "networks" }, make("h4", { textContent: "Networks alone, not calibrated" }), make("ul", {}, ...items)) : null;
}
function look(lesion) {
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
  const found = [make("span", { className: "tag", textContent: `${lesion.rank} of ${lesion.pictures} of this patient` })];
  if (lesion.rank === 1 && lesion.pictures > 1) found.push(make("span", { className: "tag accent", textContent: "highest" }));
  if (lesion.ugly_duckling) found.push(make("span", { className: "tag bad", textContent: "ugly duckling" }));
  if (lesion.notices.length) found.push(make("span", { className: "tag warn", textContent: "notice" }));
  return make("div", { className: "tags" }, ...found);
}
function card(lesion) {
  const value = make("p", { className: "lesion-value" }, percent(lesion.probability),
    make("small", { textContent: `  fold models ${percent(lesion.low)} – ${percent(lesion.high)}` }));
  const site = make("p", { className: "quiet small", textContent: lesion.site ? `Site: ${lesion.site}` : "Site not known" });
  return make("article", { className: "panel lesion" }, look(lesion), make("div", {},
    make("div", { className: "lesion-head" }, make("h3", { textContent: lesion.name }), tags(lesion)),
    site, value, axis(lesion), ...lesion.notices.map((text) => make("p", { className: "notice warn", textContent: text })),
    reasons(lesion), networks(lesion)));
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
show();
