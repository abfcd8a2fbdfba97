"use strict";
// Draws any column of the points against any other. The page is whole without it.
(() => {
  const data = JSON.parse(document.getElementById("points").textContent);
  const { settings, metrics, rows } = data;
  const MEAN = "accuracy mean";
  const names = [...settings, ...metrics];
  const column = (row, name) => row[names.indexOf(name)];
  const values = (name) => [...new Set(rows.map((row) => column(row, name)))];
  const numeric = (name) => values(name).every((value) => value === "" || Number.isFinite(Number(value)));
  const varying = settings.filter((name) => values(name).length > 1);
  const best = rows[data.best ?? 0];
  const section = document.getElementById("explore");
  const [controls, criterion] = section.querySelectorAll("form");
  const [said, found] = section.querySelectorAll("p");
  const figure = section.querySelector("figure");
  const ANY = "any";
  const COLOURS = 8;

  const words = (name) => name.replaceAll("_", " ");
  function choice(label, options, chosen, form = controls) {
    const select = document.createElement("select");
    for (const [value, text] of options) select.add(new Option(text, value, false, value === chosen));
    const outer = document.createElement("label");
    outer.append(label, select);
    form.append(outer);
    return select;
  }
  const asOptions = (list) => list.map((name) => [name, words(name)]);
  const axes = varying.filter(numeric);
  // Where the best point has a place.
  const first = axes.find((name) => column(best, name) !== "") ?? metrics[metrics.length - 1];
  const second = varying.find((name) => name !== first) ?? "";
  const across = choice("Across", asOptions([...axes, ...metrics]), first);
  const up = choice("Up", asOptions(metrics), MEAN);
  const apart = choice("A colour for each", [["", "–"], ...asOptions(varying)], second);
  // As at the best point, unless that leaves nothing to compare.
  const free = [first, second];
  const alike = rows.filter((row) => varying.every((name) => free.includes(name) || column(row, name) === column(best, name)));
  const held = varying.map((name) => {
    const all = values(name);
    const options = [[ANY, ANY], ...all.map((value) => [`=${value}`, value === "" ? "–" : value])];
    return [name, choice(name, options, alike.length < 2 ? ANY : `=${column(best, name)}`)];
  });

  const SVG = "http://www.w3.org/2000/svg";
  function add(parent, kind, attributes, text) {
    const element = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    parent.append(element);
    return element;
  }
  function scale(list, from, to) {
    let [low, high] = [Math.min(...list), Math.max(...list)];
    if (low > 0 && high >= 30 * low) {
      const place = (value) => from + (Math.log(value / low) / Math.log(high / low)) * (to - from);
      const powers = [];
      for (let p = Math.ceil(Math.log10(low) - 1e-9); p <= Math.log10(high) + 1e-9; p++) powers.push(10 ** p);
      return { place, ticks: powers };
    }
    if (low === high) [low, high] = [low - 1, high + 1];
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const nice = power * [1, 2, 5, 10].find((digit) => rough <= digit * power * (1 + 1e-9));
    // Between whole numbers there is nothing to mark.
    const step = list.every((value) => Number.isInteger(value)) ? Math.max(nice, 1) : nice;
    const ticks = [];
    for (let n = Math.ceil(low / step - 1e-9); n <= high / step + 1e-9; n++) ticks.push(n * step);
    return { place: (value) => from + ((value - low) / (high - low)) * (to - from), ticks };
  }
  const short = (value) => String(Number(value.toPrecision(6))).replace("-", "−");

  function draw() {
    const [x, y, by] = [across.value, up.value, apart.value];
    for (const [name, select] of held) {
      select.parentElement.hidden = name === x || name === by;
    }
    const fits = (row) =>
      held.every(([name, select]) =>
        name === x || name === by || select.value === ANY || select.value === `=${column(row, name)}`);
    const known = (row) => [x, y].every((name) => column(row, name) !== null && column(row, name) !== "");
    const shown = rows.filter((row) => fits(row) && known(row));
    figure.replaceChildren();
    if (shown.length === 0) {
      said.textContent = "No point has these settings.";
      return;
    }
    const there = by === "" ? [""] : values(by).filter((value) => shown.some((row) => column(row, by) === value));
    const groups = there.slice(0, COLOURS);
    // On a narrow screen names stand below, and text keeps its size.
    const narrow = window.matchMedia("(max-width: 640px)").matches;
    const below = narrow && by !== "" ? 19 * groups.length : 0;
    const [width, height, left, right, top, bottom] =
      narrow ? [380, 330 + below, 70, 368, 20, 270] : [920, 430, 90, 720, 20, 368];
    const svg = add(figure, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    svg.setAttribute("aria-label", `${words(y)} against ${words(x)}`);
    const at = (row) => [Number(column(row, x)), Number(column(row, y))];
    const wide = scale(shown.map((row) => at(row)[0]), left + 24, right - 24);
    const half = (row) => (y === MEAN ? (column(row, "accuracy ci95") ?? 0) : 0);
    // Accuracy ends at 0 and 100, whatever its interval says.
    const edge = (row, aside) => (half(row) > 0 ? Math.min(100, Math.max(0, at(row)[1] + aside)) : at(row)[1]);
    const ends = shown.flatMap((row) => [edge(row, -half(row)), edge(row, half(row))]);
    const tall = scale(ends, bottom - 12, top + 12);
    for (const tick of tall.ticks) {
      const py = tall.place(tick);
      add(svg, "line", { x1: left, x2: right, y1: py, y2: py, stroke: "var(--grid)" });
      add(svg, "text", { x: left - 9, y: py + 4.5, "text-anchor": "end", class: "tick" }, short(tick));
    }
    for (const tick of wide.ticks) {
      const px = wide.place(tick);
      add(svg, "line", { x1: px, x2: px, y1: bottom, y2: bottom + 5, stroke: "var(--muted)" });
      add(svg, "text", { x: px, y: bottom + 22, "text-anchor": "middle", class: "tick" }, short(tick));
    }
    add(svg, "line", { x1: left, x2: right, y1: bottom, y2: bottom, stroke: "var(--muted)" });
    add(svg, "text", { x: (left + right) / 2, y: bottom + 50, "text-anchor": "middle" }, words(x));
    const middle = (top + bottom) / 2;
    add(svg, "text", { x: 20, y: middle, "text-anchor": "middle", transform: `rotate(-90 20 ${middle})` }, words(y));
    groups.forEach((group, number) => {
      const colour = `var(--series-${number})`;
      const mine = shown.filter((row) => by === "" || column(row, by) === group);
      mine.sort((a, b) => at(a)[0] - at(b)[0]);
      const places = mine.map((row) => [wide.place(at(row)[0]), tall.place(at(row)[1])]);
      // A line only where nothing else differs along it.
      const alike = (name) => name === x || mine.every((row) => column(row, name) === column(mine[0], name));
      if (settings.includes(x) && varying.every(alike)) {
        const points = places.map((place) => place.join(",")).join(" ");
        add(svg, "polyline", { points, fill: "none", stroke: colour, "stroke-width": 1.8 });
      }
      mine.forEach((row, index) => {
        const [px, py] = places[index];
        if (half(row) > 0) {
          const [y1, y2] = [-half(row), half(row)].map((aside) => tall.place(edge(row, aside)));
          add(svg, "line", { x1: px, x2: px, y1, y2, stroke: colour, "stroke-width": 6, opacity: 0.4 });
        }
        const marker = add(svg, "circle", { cx: px, cy: py, r: 4.5, fill: colour });
        const where = varying.map((name) => `${name} ${column(row, name)}`).join(", ");
        add(marker, "title", {}, `${where}: ${words(y)} ${short(at(row)[1])}, ${words(x)} ${short(at(row)[0])}`);
      });
      if (by !== "") {
        const [nx, ny] = narrow ? [14, 334 + number * 19] : [right + 18, top + 8 + number * 19];
        add(svg, "circle", { cx: nx, cy: ny, r: 4.5, fill: colour });
        add(svg, "text", { x: nx + 10, y: ny + 4.5 }, `${by.split(".").at(-1)} ${group || "–"}`);
      }
    });
    const all = shown.map((row) => at(row)[1]);
    const more = there.length > COLOURS ? ` Shown are the first ${COLOURS} of ${there.length} values of ${by}.` : "";
    said.textContent =
      `${shown.length} of ${rows.length} points; ${words(y)} from ${short(Math.min(...all))} to ${short(Math.max(...all))}.` + more;
  }

  // The criterion of the reader's choice: the least of a cost within some points of a reference, among the points that
  // share its images and its strength of variation.
  const where = (row) => varying.map((name) => `${name} ${column(row, name) || "–"}`).join(", ");
  const costs = data.costs.filter((name) => names.includes(name) && new Set(values(name)).size > 1);
  const least = choice("The least", asOptions(costs), costs[0], criterion);
  const within = document.createElement("input");
  Object.assign(within, { type: "number", min: 0, max: 100, step: 0.1, value: data.within });
  const beside = document.createElement("label");
  beside.append("within points of accuracy", within);
  criterion.append(beside);
  const references = [["best", "the most accurate"], ...rows.map((row, index) => [String(index), where(row)])];
  const reference = choice("below", references, "best", criterion);
  function choose() {
    const other = reference.value === "best" ? best : rows[Number(reference.value)];
    const enough = column(other, MEAN) - Number(within.value);
    const shared = data.shared.filter((name) => settings.includes(name));
    const beside = rows.filter((row) => shared.every((name) => column(row, name) === column(other, name)));
    const good = beside.filter((row) => column(row, MEAN) >= enough);
    const priced = good.filter((row) => column(row, least.value) !== null);
    const cost = (row) => Number(column(row, least.value));
    const said = (row) => `${where(row)}: ${column(row, MEAN).toFixed(2)} %, ${words(least.value)} ${short(cost(row))}`;
    if (priced.length === 0) {
      found.textContent = good.length === 0 ? `No point has ${enough.toFixed(2)} %.` : `None of these has ${words(least.value)}.`;
      return;
    }
    const cheapest = priced.reduce((a, b) => (cost(b) < cost(a) ? b : a));
    const compared = beside.length < rows.length ? "comparable points" : "points";
    found.textContent =
      `${good.length} of ${beside.length} ${compared} have ${enough.toFixed(2)} % or more; of these the least is ` +
      `${said(cheapest)}. The reference is ${said(other)}.`;
  }
  for (const form of [controls, criterion]) form.addEventListener("submit", (event) => event.preventDefault());
  controls.addEventListener("change", draw);
  criterion.hidden = costs.length === 0;
  if (costs.length > 0) {
    criterion.addEventListener("input", choose);
    choose();
  }
  window.matchMedia("(max-width: 640px)").addEventListener("change", draw);
  section.hidden = false;
  draw();
})();
