"use strict";
// Draws the panels of a recording with uPlot: one cursor and one zoom for all panels and the life bars. The page has
// the same figures as pictures and tables for browsers without JavaScript.
(async () => {
  const byId = (id) => document.getElementById(id);
  const make = (tag, text = "", attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const packed = Uint8Array.from(atob(byId("data").textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = JSON.parse(await new Response(stream).text());
  const count = data.panels[0].series[0]?.length ?? 0;
  const times = Array.from({ length: count + 1 }, (_, step) => step * data.step);
  const end = count * data.step;
  const bytes = (value) => {
    let unit = 0;
    for (; value >= 1024 && unit < 4; unit++) value /= 1024;
    return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)}${"BKMGT"[unit]}`;
  };
  const writers = {
    cores: (value) => value.toFixed(2), bytes, "bytes/s": (value) => `${bytes(value)}/s`,
    count: (value) => String(Math.round(value)),
  };
  const span = (seconds) => {
    if (seconds < 1) return `${Math.round(seconds * 1000)}ms`;
    if (seconds < 60) return `${+seconds.toFixed(2)}s`;
    return `${Math.floor(seconds / 60)}m${String(Math.floor(seconds % 60)).padStart(2, "0")}s`;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  const AXIS = 64, PAD = 8, HEIGHT = 150;
  const plots = [];
  let range = [0, end];
  let wholeWidth = 0; // read once: reading it between two changes would lay out the page again
  const width = () => wholeWidth;

  const zoom = (from, to) => {
    range = [Math.max(0, from), Math.min(end, to)];
    if (range[1] - range[0] < data.step) range = [0, end];
    for (const plot of plots) plot.setScale("x", { min: range[0], max: range[1] });
    moveBars();
    byId("reset").disabled = range[0] === 0 && range[1] === end;
  };

  const bars = document.querySelector("svg.bars");
  const lives = [...bars.querySelectorAll("g")].map((group) => ({
    group, text: group.querySelector("text"),
    rects: [...group.querySelectorAll("rect")].map((rect) => [rect, ...rect.dataset.life.split(" ").map(Number)]),
  }));
  const moveBars = () => {
    const wide = width() - AXIS - PAD, scale = wide / (range[1] - range[0]);
    const at = (seconds) => AXIS + Math.min(wide, Math.max(0, (seconds - range[0]) * scale));
    bars.setAttribute("viewBox", `0 0 ${width()} ${bars.dataset.height}`);
    bars.setAttribute("width", width());
    for (const { group, text, rects } of lives) {
      let first = width();
      for (const [rect, from, to] of rects) {
        const outside = to < range[0] || from > range[1], x = at(from);
        rect.setAttribute("x", x);
        rect.setAttribute("width", outside ? 0 : Math.max(1, at(to) - x));
        if (!outside) first = Math.min(first, x);
      }
      group.style.opacity = first === width() ? 0.3 : 1;
      const right = first > AXIS + wide * 0.55;
      text.setAttribute("x", first === width() ? AXIS : right ? first - 4 : first + 3);
      text.setAttribute("text-anchor", right && first !== width() ? "end" : "start");
    }
  };

  const keys = byId("keys");
  const values = [];
  const key = (name, fill) => {
    const entry = make("span");
    const box = make("i", "", { class: "key" });
    box.style.background = fill;
    entry.append(box, name);
    keys.append(entry);
  };
  data.names.forEach((name, place) => key(name, data.colours[Math.min(place, data.colours.length - 1)]));

  const marks = (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour("--hot");
    ctx.setLineDash([4, 3]);
    ctx.font = `${11 * devicePixelRatio}px sans-serif`;
    data.marks.forEach(([seconds, text], place) => {
      if (seconds < range[0] || seconds > range[1]) return;
      const x = plot.valToPos(seconds, "x", true), right = x > bbox.left + bbox.width * 0.7;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.textAlign = right ? "right" : "left";
      ctx.fillText(text.slice(0, 40), x + (right ? -4 : 4), bbox.top + (11 + (place % 4) * 12) * devicePixelRatio);
    });
    ctx.restore();
  };

  const draw = () => {
    wholeWidth = Math.max(200, byId("plots").clientWidth);
    byId("plots").replaceChildren();
    plots.splice(0).forEach((plot) => plot.destroy());
    values.length = 0;
    const axis = { stroke: colour("--dim"), grid: { stroke: "#8883", width: 1 }, ticks: { show: false } };
    for (const panel of data.panels) {
      const write = writers[panel.unit];
      const box = make("div", "", { class: "plot", role: "img", "aria-label": panel.heading });
      const heading = make("h3", panel.heading);
      const value = make("span", "", { class: "dim" });
      heading.append(value);
      box.append(heading);
      byId("plots").append(box);
      let low = new Array(count).fill(0);
      const sums = panel.series.map((series) => (low = series.map((each, step) => each + low[step])));
      const top = Math.max(...low.slice(0, count), 0);
      const idle = `, at most ${write(top)}`;
      value.textContent = idle;
      values.push((step) => {
        if (step == null) return void (value.textContent = idle);
        const parts = panel.series.map((series, place) => [series[step], data.names[place]]);
        const largest = parts.filter(([used]) => used > 0).sort((one, other) => other[0] - one[0]).slice(0, 4);
        const detail = panel.series.length > 1 ? largest.map(([used, name]) => `${name} ${write(used)}`).join(", ") : "";
        value.textContent = `: ${write(low[step])} at ${span(times[step])}${detail && ` (${detail})`}`;
      });
      plots.push(new uPlot({
        width: width(), height: HEIGHT, padding: [6, PAD, 0, 0], legend: { show: false },
        scales: { x: { time: false, range: () => range }, y: { range: (_, __, high) => [0, Math.max(high, 1e-9) * 1.05] } },
        axes: [
          { ...axis, values: (_, splits) => splits.map(span), size: 24 },
          { ...axis, size: AXIS, values: (_, splits) => splits.map(write) },
        ],
        cursor: { sync: { key: "prock" }, points: { show: false }, drag: { x: true, y: false, setScale: false } },
        series: [{}, ...sums.map((_, place) => {
          const fill = data.colours[Math.min(sums.length - 1 - place, data.colours.length - 1)];
          return { fill, stroke: fill, width: 1, points: { show: false }, paths: uPlot.paths.stepped({ align: 1 }) };
        })],
        hooks: {
          draw: [marks],
          setCursor: [(plot) => values.forEach((show) => show(plot.cursor.left < 0 ? null
            : Math.min(count - 1, Math.floor(plot.posToVal(plot.cursor.left, "x") / data.step))))],
          setSelect: [(plot) => {
            if (plot.select.width < 4) return;
            const { left, width: wide } = plot.select;
            plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
            zoom(plot.posToVal(left, "x"), plot.posToVal(left + wide, "x"));
          }],
        },
      }, [times, ...sums.reverse().map((series) => [...series, series.at(-1)])], box));
      plots.at(-1).over.addEventListener("dblclick", () => zoom(0, end));
    }
    moveBars();
  };

  const csv = () => {
    const quote = (text) => `"${text.replaceAll('"', '""')}"`;
    const heads = ["seconds"], columns = [times];
    for (const panel of data.panels)
      panel.series.forEach((series, place) => {
        heads.push(quote(panel.series.length > 1 ? `${panel.heading} (${panel.unit}): ${data.names[place]}` : panel.heading));
        columns.push(series);
      });
    const lines = times.slice(0, count).map((_, step) => columns.map((column) => column[step]).join(","));
    const link = make("a", "", { download: "recording.csv" });
    link.href = URL.createObjectURL(new Blob([[heads.join(","), ...lines, ""].join("\n")], { type: "text/csv" }));
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const table = byId("tree"), body = table.tBodies[0], rows = [...body.rows];
  rows.forEach((row, place) => {
    row.depth = Number(row.dataset.depth);
    if (!(Number(rows[place + 1]?.dataset.depth) > row.depth)) return;
    const fold = make("button", "▾", { class: "fold", "aria-expanded": "true", "aria-label": "fold" });
    row.cells[row.cells.length - 1].prepend(fold);
    fold.addEventListener("click", () => {
      row.folds = !row.folds;
      fold.textContent = row.folds ? "▸" : "▾";
      fold.setAttribute("aria-expanded", String(!row.folds));
      let hides = Infinity;
      for (const each of rows) {
        if (each.depth <= hides) hides = Infinity;
        each.classList.toggle("folded", hides !== Infinity);
        if (each.folds && hides === Infinity) hides = each.depth;
      }
    });
  });
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    head.tabIndex = 0;
    const sort = () => {
      const before = head.getAttribute("aria-sort");
      for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
      const next = { descending: "ascending", ascending: null }[before] ?? (before ? null : "descending");
      const value = (row) => row.cells[column].dataset.value;
      const compare = (one, other) => (isNaN(value(one)) || isNaN(value(other))
        ? value(one).localeCompare(value(other)) : value(one) - value(other));
      if (next) head.setAttribute("aria-sort", next);
      const sorted = next ? [...rows].sort((one, other) => (next === "ascending" ? 1 : -1) * compare(one, other)) : rows;
      body.append(...sorted);
    };
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  });
  byId("search").addEventListener("input", (event) => {
    const text = event.target.value.toLowerCase();
    for (const row of document.querySelectorAll("[data-text]"))
      row.classList.toggle("hidden", !row.dataset.text.toLowerCase().includes(text));
  });
  byId("csv").addEventListener("click", csv);
  byId("reset").addEventListener("click", () => zoom(0, end));
  document.addEventListener("keydown", (event) => {
    if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
    const [from, to] = range, quarter = (to - from) / 4;
    const move = Math.max(-from, Math.min(end - to, event.key === "ArrowLeft" ? -quarter : quarter));
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") zoom(from + move, to + move);
    else if (event.key === "+") zoom(from + quarter, to - quarter);
    else if (event.key === "-") zoom(from - 2 * quarter, to + 2 * quarter);
    else if (event.key === "0") zoom(0, end);
    else if (event.key === "/") byId("search").focus();
    else return;
    event.preventDefault();
  });
  byId("tools").hidden = byId("keys").hidden = false;
  byId("picture").hidden = true;
  draw();
  let timer = 0;
  addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(draw, 100); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  window.prockPage = { zoom, data, range: () => range };
})();
