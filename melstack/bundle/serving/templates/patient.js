const data = JSON.parse(document.getElementById("page-data").textContent);
const $ = (id) => document.getElementById(id);
const MB = 1e6;
let items = [];       // one per tile: {file, url, site, readable, fault}
let lastForm = null;  // the form of the answer on the page
let lastItems = [];   // the tiles of that form
let request = null;   // AbortController of the prediction that is under way

function make(tag, content = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(content)) {
    if (key in element) element[key] = value; else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
function percent(value) { return `${(100 * value).toFixed(value >= 0.01 ? 1 : 2)} %`; }
function say(text, busy = false) { $("status").textContent = text; $("status").classList.toggle("busy", busy); }
function fail(sentence, where = "") {
  $("error").textContent = sentence;
  $("error").hidden = !sentence;
  $("age").setAttribute("aria-invalid", String(where === "age"));
  if ($("token")) $("token").setAttribute("aria-invalid", String(where === "Authorization"));
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
function form(chosen = items) {
  const fields = new FormData();
  for (const item of chosen) fields.append("pictures", item.file, item.file.name);
  fields.append("age", $("age").value.trim());
  fields.append("sex", $("sex").value);
  for (const item of chosen) fields.append("site", item.site || $("site").value);
  for (const name of ["patient_id", "reference"]) fields.append(name, $(name).value.trim());
  return fields;
}
async function refusalOf(response) {
  let refusal = { error: `the server answered ${response.status}`, where: "", pictures: [] };
  try { refusal = { ...refusal, ...await response.json() }; } catch { /* without JSON, the status is all there is to report */ }
  return Object.assign(new Error(refusal.error), refusal);
}
async function post(url, fields, signal) {
  const headers = data.needs_token ? { Authorization: `Bearer ${$("token").value.trim()}` } : {};
  const response = await fetch(url, { method: "POST", body: fields, signal, headers });
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
    const answer = await (await post("/v1/predict?thumbnails=true", fields, own.signal)).json();
    lastForm = fields;
    lastItems = [...items];
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
    const url = URL.createObjectURL(await (await post(`/v1/predict.${kind}`, lastForm)).blob());
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
function axis(lesion) {
  const label = `${percent(lesion.probability)}, fold models ${percent(lesion.low)} to ${percent(lesion.high)}`;
  return charts.probabilityLine(label, lesion, data.prevalence);
}
function named(words, name) {
  return [`${words} `, words === name ? null : make("span", { className: "raw", textContent: name })].filter((part) => part !== null);
}
function share(part, most, side) {
  const sign = part.log_odds > 0 ? "+" : "−";
  return make("div", { className: "share" }, make("span", { className: "share-name" }, ...named(part.words, part.column)),
    make("span", { className: "share-value", textContent: `${sign}${Math.abs(part.log_odds).toFixed(2)}` }),
    charts.bar(Math.abs(part.log_odds), most, side));
}
// The bars of all lesions have one scale, so that they can be compared.
function largestPart(lesions) {
  return Math.max(1e-9, ...lesions.flatMap((lesion) => [...lesion.raising, ...lesion.lowering]).map((part) => Math.abs(part.log_odds)));
}
function reasons(lesion, most) {
  const column = (title, name, parts, side) => make("div", {}, make("h4", { className: name, textContent: title }),
    ...parts.map((part) => share(part, most, side)), parts.length ? charts.scale(most) : make("p", { className: "quiet small", textContent: "nothing" }));
  return make("div", {}, make("div", { className: "reasons" }, column("Raising the probability", "for", lesion.raising, "up"),
    column("Lowering the probability", "against", lesion.lowering, "down")),
    make("p", { className: "note", textContent: "Bars: log odds, on one scale for all lesions and both sides." }), leftEmpty(lesion));
}
function leftEmpty(lesion) {
  if (!lesion.left_empty.length) return "";
  const parts = lesion.left_empty.map((each) => `${each.field} left empty: ${each.log_odds < 0 ? "−" : "+"}${Math.abs(each.log_odds).toFixed(2)}`);
  return make("p", { className: "note left-empty", textContent: `${parts.join("; ")} (log odds; not counted as reasons).` });
}
function networks(lesion) {
  const items = lesion.networks.filter((network) => network.probability !== null)
    .map((network) => make("li", {}, ...named(network.words, network.name), " ", make("b", { textContent: percent(network.probability) })));
  return items.length ? make("div", { className: "networks" }, make("h4", { textContent: "Each network alone, not calibrated" }), make("ul", {}, ...items)) : null;
}
function decisions(lesion) {
  const items = lesion.decisions.map((decision) => make("li", {}, `${decision.name} (${percent(decision.threshold)}) `,
    make("b", { textContent: decision.malignant ? "malignant" : "benign" })));
  return items.length ? make("div", { className: "networks" }, make("h4", { textContent: "Predicted at the thresholds of the model" }), make("ul", {}, ...items)) : null;
}
async function heatMap(lesion) {
  const item = lastItems[lesion.picture];
  const [map] = await (await post("/v1/heat-maps", form([item]))).json();
  return map;
}
function showHeatMap(on, img, button, lesion) {
  button.setAttribute("aria-pressed", String(on));
  img.src = on ? lesion.heat_map : lesion.thumbnail;
  img.alt = `Picture ${lesion.name}${on ? ", heat map of the networks" : ""}`;
}
async function toggleHeatMap(img, button, reason, lesion) {
  const on = button.getAttribute("aria-pressed") === "false";
  if (on && !lesion.heat_map) {
    if (button.getAttribute("aria-busy") === "true") return undefined;
    button.setAttribute("aria-busy", "true");  // a disabled button would lose the keyboard's focus
    reason.textContent = "Computing the heat map …";
    try {
      const map = await heatMap(lesion);
      lesion.heat_map = map.image;
      reason.textContent = map.reason || "";
      if (!map.image) return button.remove();
    } catch (fault) {
      reason.textContent = `No heat map: ${fault instanceof TypeError ? "the server cannot be reached." : fault.message}`;
      return undefined;
    } finally {
      button.removeAttribute("aria-busy");
    }
  }
  return showHeatMap(on, img, button, lesion);
}
function picturePanel(lesion) {
  if (!lesion.thumbnail) return make("div", { className: "look" });
  const img = make("img", { src: lesion.thumbnail, alt: `Picture ${lesion.name}` });
  const reason = make("p", { className: "note", role: "status" });
  const button = make("button", { type: "button", className: "act", textContent: "Show the heat map of the networks", "aria-pressed": "false" });
  button.addEventListener("click", () => toggleHeatMap(img, button, reason, lesion));
  return make("div", { className: "look" }, img, button, reason);
}
function tags(lesion) {
  const labels = [make("span", { className: "tag", textContent: `rank ${lesion.rank} of ${lesion.pictures} in this patient` })];
  if (lesion.rank === 1 && lesion.pictures > 1) labels.push(make("span", { className: "tag accent", textContent: "highest" }));
  if (lesion.ugly_duckling) labels.push(make("span", { className: "tag bad", textContent: "ugly duckling" }));
  if (lesion.notices.length) labels.push(make("span", { className: "tag warn", textContent: "notice" }));
  return make("div", { className: "tags" }, ...labels);
}
function card(lesion, most) {
  const value = make("p", { className: "lesion-value" }, percent(lesion.probability),
    make("small", { textContent: `  fold models ${percent(lesion.low)} – ${percent(lesion.high)}` }));
  const site = make("p", { className: "quiet small", textContent: lesion.site ? `Site: ${lesion.site}` : "Site not known" });
  return make("article", { className: "panel lesion" }, picturePanel(lesion), make("div", {},
    make("div", { className: "lesion-head" }, make("h3", { textContent: lesion.name }), tags(lesion)),
    site, value, axis(lesion), ...lesion.notices.map((text) => make("p", { className: "notice warn", textContent: text })),
    decisions(lesion), reasons(lesion, most), networks(lesion)));
}
function present(answer) {
  const first = answer.lesions[0];
  $("lesions").replaceChildren(...answer.lesions.map((lesion) => card(lesion, largestPart(answer.lesions))));
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
