"use strict";
// The charts that a page draws or moves itself; the geometry is that of charts.py, the colours are those of the style sheet.
const charts = (() => {
  const NAMESPACE = document.querySelector(".brand svg").namespaceURI;
  const LEFT = 56, WIDTH = 328, BOTTOM = 258, HEIGHT = 248;  // of the area within the axes of a chart
  const LEAST = 0.001;  // ends of a line of log odds, at this probability and at 1 minus this
  const PROBABILITIES = [0.001, 0.01, 0.1, 0.5, 0.9, 0.99];

  function draw(tag, attributes, text = "") {
    const element = document.createElementNS(NAMESPACE, tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.textContent = text;
    return element;
  }

  // Move the marker of a chart to [x, y]; y is null if only the vertical line moves.
  const fraction = ([low, high, root], value) =>
    root ? (Math.sqrt(Math.max(value, 0)) - Math.sqrt(low)) / (Math.sqrt(high) - Math.sqrt(low)) : (value - low) / (high - low);
  function mark(svg, [x, y]) {
    const axis = (name) => svg.dataset[name].split(" ").map(Number);
    const left = LEFT + fraction(axis("x"), x) * WIDTH;
    const circle = svg.querySelector(".marker"), rule = svg.querySelector(".rule");
    circle.setAttribute("cx", y === null ? -20 : left.toFixed(1));
    circle.setAttribute("cy", y === null ? -20 : (BOTTOM - fraction(axis("y"), y) * HEIGHT).toFixed(1));
    rule.setAttribute("x1", left.toFixed(1));
    rule.setAttribute("x2", left.toFixed(1));
  }

  // A probability with the range of the fold models on a line of log odds; usual is a probability to compare with, or null.
  function logit(value) { const visible = Math.min(Math.max(value, LEAST), 1 - LEAST); return Math.log(visible / (1 - visible)); }
  // In percent of the width, so that texts keep their size on a narrow page; the ends leave room for a point.
  function place(value) { return `${(2 + 96 * (logit(value) / logit(1 - LEAST) + 1) / 2).toFixed(2)}%`; }
  function probabilityLine(label, { probability, low, high }, usual) {
    const svg = draw("svg", { class: "axis", role: "img", "aria-label": label });
    const line = (name, from, to) => draw("line", { class: name, x1: from, x2: to, y1: 14, y2: 14 });
    svg.append(line("track", "2%", "98%"), line("reach", place(low), place(high)));
    if (usual !== null) svg.append(draw("line", { class: "usual", x1: place(usual), x2: place(usual), y1: 3, y2: 25 }));
    svg.append(draw("circle", { cx: place(probability), cy: 14, r: 8 }));
    for (const value of PROBABILITIES) {
      svg.append(draw("text", { x: place(value), y: 40, "text-anchor": value === LEAST ? "start" : "middle" }, `${100 * value} %`));
    }
    return svg;
  }

  // A bar from 0 to value on a scale up to most.
  function bar(value, most, tone) {
    const svg = draw("svg", { class: `bar ${tone}`, "aria-hidden": "true" });
    svg.append(draw("rect", { class: "track", width: "100%", height: "100%" }),
      draw("rect", { width: `${(100 * value / most).toFixed(1)}%`, height: "100%" }));
    return svg;
  }

  // The scale below bars from 0 to most: a tick at both ends and in the middle.
  function scale(most) {
    const svg = draw("svg", { class: "scale", "aria-hidden": "true" });
    for (const [share, anchor] of [[0, "start"], [0.5, "middle"], [1, "end"]]) {
      const x = `${100 * share}%`;
      svg.append(draw("line", { class: "grid", x1: x, x2: x, y1: 0, y2: 5 }),
        draw("text", { class: "tick", x, y: 16, "text-anchor": anchor }, (share * most).toFixed(2)));
    }
    return svg;
  }

  return { mark, probabilityLine, bar, scale };
})();
