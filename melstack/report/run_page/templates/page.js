(() => {
  const $ = (id) => document.getElementById(id);
  const points = JSON.parse($("points").textContent);
  const rows = points.columns;
  const slider = $("slider");
  const percent = (value, digits = 1) => (value === null ? "–" : `${(100 * value).toFixed(digits)} %`);
  const count = (value) => value.toLocaleString("en-US");

  const at = {
    roc: (i) => [1 - rows.specificity[i], rows.sensitivity[i]],
    precision: (i) => [rows.sensitivity[i], rows.ppv[i]],
    reliability: (i) => [rows.threshold[i], null],
    decision: (i) => [rows.threshold[i], rows.net_benefit[i]],
  };

  function sentence(ppv, positives) {
    const all = points.positives + points.negatives;
    const perMelanoma = ppv ? (1 / ppv).toFixed(1) : "–";
    return `Of ${count(all)} pictures ${count(positives)} are predicted malignant (${percent(positives / all)}); at a ` +
      `prevalence of ${percent(points.prevalence, 2)} there are ${perMelanoma} of them for each true melanoma among them.`;
  }

  // A frozen threshold (preset) has measures of outer folds, which did not choose it; other positions have those of the rows.
  function show(index, preset) {
    const measure = (name) => preset ? preset.measures[name]
      : { value: rows[name][index], low: rows[`${name}_low`][index], high: rows[`${name}_high`][index] };
    const truePositives = preset ? preset.true_positives : rows.true_positives[index];
    const falsePositives = preset ? preset.false_positives : rows.false_positives[index];
    $("threshold-value").textContent = percent(rows.threshold[index], rows.threshold[index] < 0.01 ? 3 : rows.threshold[index] < 0.1 ? 2 : 1);
    for (const name of ["sensitivity", "specificity", "ppv", "npv"]) {
      const { value, low, high } = measure(name);
      $(name).textContent = percent(value);
      $(`${name}-range`).textContent = low === null ? "" : `${(100 * low).toFixed(1)} – ${(100 * high).toFixed(1)}`;
    }
    $("true-positives").textContent = count(truePositives);
    $("false-negatives").textContent = count(points.positives - truePositives);
    $("false-positives").textContent = count(falsePositives);
    $("true-negatives").textContent = count(points.negatives - falsePositives);
    $("sentence").textContent = sentence(measure("ppv").value, truePositives + falsePositives);
    $("evaluation").textContent = preset
      ? `Frozen for ${preset.label}: measured on patients that did not choose this threshold.`
      : "Measured on all rows at once. If you choose a threshold by these numbers, new patients will reach less.";
    document.querySelectorAll("svg[data-marker]").forEach((svg) => charts.mark(svg, at[svg.dataset.marker](index)));
    document.querySelectorAll(".presets button").forEach((button) =>
      button.setAttribute("aria-pressed", String(button.textContent === preset?.label)));
    slider.setAttribute("aria-valuetext", $("threshold-value").textContent);
    slider.style.setProperty("--done", `${(100 * index) / Math.max(1, Number(slider.max))}%`);
  }

  slider.addEventListener("input", () => show(Number(slider.value)));
  document.querySelectorAll(".presets button").forEach((button) =>
    button.addEventListener("click", () => choose(button.textContent)));
  function choose(label) {
    const preset = points.presets.find((each) => each.label === label);
    slider.value = preset ? preset.index : slider.value;
    show(Number(slider.value), preset);
  }
  choose(points.presets.find((each) => each.index === Number(slider.value))?.label);

  // Tables: unknown values (empty text) stay at the end in both sort orders.
  function compare(kind, down) {
    const sign = down ? -1 : 1;
    return ([a], [b]) => {
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * (kind === "number" ? Number(a) - Number(b) : a.localeCompare(b, "en", { numeric: true }));
    };
  }

  function sort(button) {
    const head = button.closest("th"), body = button.closest("table").tBodies[0];
    const down = head.hasAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : button.dataset.kind === "number";
    const pairs = [...body.rows].map((row) => [row.cells[head.cellIndex].dataset.value ?? "", row]);
    pairs.sort(compare(button.dataset.kind, down));
    head.parentElement.querySelectorAll("[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...pairs.map(([, row]) => row));
  }
  document.querySelectorAll("table.sortable th button").forEach((button) => button.addEventListener("click", () => sort(button)));

  // The bar on top highlights the section on the screen.
  const links = new Map([...document.querySelectorAll(".bar-top nav a")].map((link) => [link.hash.slice(1), link]));
  const bar = document.querySelector(".bar-top nav");
  const observer = new IntersectionObserver((entries) => {
    const entry = entries.find((each) => each.isIntersecting);
    if (!entry) return;
    const link = links.get(entry.target.id);
    links.forEach((other) => other.classList.toggle("here", other === link));
    bar.scrollTo({ left: link.offsetLeft - bar.clientWidth / 3, behavior: "smooth" });
  }, { rootMargin: "-10% 0px -70% 0px" });
  links.forEach((link, id) => { if ($(id)) observer.observe($(id)); });
})();
