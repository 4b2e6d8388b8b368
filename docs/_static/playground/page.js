// The page: controls, two drawings, and the table of every value. network.js has the mathematics.
"use strict";

addEventListener("DOMContentLoaded", () => {
  const RATES = [0.01, 0.03, 0.1, 0.3, 0.6, 1.2, 2.4, 5, 10, 30, 100, 1000];
  const SCALES = [0, 0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10];
  const PACE = 0.6; // steps in a millisecond, if a picture's steps take less than
  const BUDGET = 20; // milliseconds
  const ROUND = 10000; // Run pauses after so many steps, as the notes stop
  const TOO_LARGE = 100; // a cost; a guess costs log 2 = 0.69
  const LIMIT = 4.7; // of both axes of the picture
  const SIDE = 81; // points of the grid below the boundary, in each direction
  const GROUPS = {
    given: ["X", "Y", "W1", "b1", "W2", "b2"],
    forward: ["Z1", "A1", "Z2", "A2", "J"],
    backward: ["dZ2", "dW2", "db2", "dA1", "dZ1", "dW1", "db1"],
  };
  const SYMBOLS = Object.values(GROUPS).flat();
  const { Matrix, formulas } = network;
  const [X, Y] = [Matrix.from(flower.X), Matrix.from(flower.Y)];
  const m = X.rows;
  const words = playgroundWords[document.documentElement.lang.slice(0, 2)] ?? playgroundWords.en;
  const say = (key, filled = {}) => words[key].replace(/\{(\w+)\}/g, (_, name) => filled[name]);
  const minus = (text) => text.replaceAll("-", "\u2212"); // no line ends after it
  const formulaOf = (symbol) =>
    minus(formulas[symbol] ?? "").replace(/column sums of (.+)/, (_, of) => say("columnSums", { of }));

  // -- what is on the page ----------------------------------------------------------------------
  const slider = (id, from, to, value) =>
    `<label>${say(id)} <b></b><input type="range" data-id="${id}" min="${from}" max="${to}" value="${value}"></label>`;
  const number = (id, to) =>
    `<label>${say(id)} <input type="number" data-id="${id}" min="1" max="${to}" value="1"></label>`;
  const button = (id) => `<button type="button" data-id="${id}">${say(id)}</button>`;
  const head = (id) => `<th scope="col">${say(id)}</th>`;
  const row = (symbol) =>
    `<tr data-id="${symbol}"><th scope="row"><button type="button">${symbol}</button></th>
      <td>${formulaOf(symbol)}</td><td></td><td></td><td></td><td></td></tr>`;
  const group = ([name, symbols]) =>
    `<tbody><tr><th colspan="5" scope="rowgroup">${say(name)}</th></tr>${symbols.map(row).join("")}</tbody>`;
  const root = document.createElement("div");
  root.className = "playground";
  root.innerHTML = `
    <div class="controls">${slider("units", 1, 20, 4)}${slider("rate", 0, RATES.length - 1, RATES.indexOf(1.2))}
      ${slider("scale", 0, SCALES.length - 1, SCALES.indexOf(0.01))}
      <div class="buttons">${["step", "run", "reset"].map(button).join("")}</div></div>
    <p class="state"><b data-id="state"></b> <span data-id="right"></span></p>
    <p class="stopped" role="alert" data-id="stopped"></p><p class="unseen" role="status" data-id="news"></p>
    <div class="columns"><div>
      <canvas class="square" data-id="boundary" role="img"></canvas>
      <p class="legend"><span class="class0">●</span> ${say("class0")} &ensp;
        <span class="class1">■</span> ${say("class1")} &ensp; ${say("choose")}</p>
      <canvas class="curve" data-id="curve" role="img"></canvas>
      <ol data-id="thousands"></ol></div>
    <div><table><caption>${say("caption")}</caption>
      <thead><tr>${["symbol", "formula", "shape", "min", "max", "norm"].map(head).join("")}</tr></thead>
      ${Object.entries(GROUPS).map(group).join("")}</table></div></div>
    <div class="large"><div class="chosen"><b data-id="name"></b>
      <span>${number("example", m)} ${number("unit", 4)}</span></div><div data-id="large"></div></div>`;
  document.getElementById("playground").before(root);
  document.getElementById("playground").classList.add("replaced");
  const get = Object.fromEntries([...root.querySelectorAll("[data-id]")].map((node) => [node.dataset.id, node]));
  const color = (name) => getComputedStyle(root).getPropertyValue(name);

  // -- training ---------------------------------------------------------------------------------
  let values, costs, units, rate; // every value of this step by its symbol; the cost of each iteration
  let chosen = "Z1"; // row of the table
  let before = 0; // when the last picture was drawn; 0 while nothing runs

  function see(parameters) {
    values = network.trace(parameters, X, Y);
    costs.push(values.J);
  }

  function reset() {
    units = get.unit.max = Number(get.units.value);
    get.unit.value = Math.min(units, get.unit.value);
    get.stopped.textContent = "";
    costs = [];
    see(network.start(flower.normals, units, SCALES[get.scale.value]));
    pause();
  }

  function step() {
    see(network.step(values, rate));
    if (values.J <= TOO_LARGE) return true; // not if it is NaN
    get.stopped.textContent = say("stopped", { cost: short(values.J) });
    return false;
  }

  function frame(now) {
    if (!before) return;
    const started = performance.now();
    for (let due = (now - before) * PACE; due > 0 && performance.now() < started + BUDGET; due--) {
      if (!step() || (costs.length - 1) % ROUND === 0) return pause();
      if ((costs.length - 1) % 1000 === 0) get.news.textContent = sentence();
    }
    before = now;
    draw();
    requestAnimationFrame(frame);
  }

  function run() {
    before = performance.now();
    get.run.textContent = say("pause");
    get.large.ariaLive = "off"; // these numbers change too often
    requestAnimationFrame(frame);
  }

  function pause() {
    before = 0;
    get.run.textContent = say("run");
    get.large.ariaLive = "polite";
    get.news.textContent = sentence();
    draw();
  }

  // -- numbers ----------------------------------------------------------------------------------
  const sentence = () => say("cost", { n: costs.length - 1, cost: values.J.toFixed(6) });
  const short = (v) => {
    const long = v !== 0 && (Math.abs(v) < 1e-3 || Math.abs(v) >= 1e5);
    const text = long ? v.toExponential(3) : String(Number(v.toPrecision(4)) + 0); // + 0: no -0
    return minus(text);
  };
  const factor = (v) => (v < 0 ? `(${short(v)})` : short(v));
  const list = (numbers) => (numbers.length === 1 ? short(numbers[0]) : `(${numbers.map(short).join(", ")})`);
  const product = ([a, b]) => `${factor(a)} · ${factor(b)}`;

  // The numbers of a row of the table for one example and one hidden unit, and a sentence.
  function filled(symbol) {
    const [e, i] = [get.example.value - 1, get.unit.value - 1];
    const v = (name, r = 0, k = 0) => values[name].at(r, k);
    const features = (name, r) => [v(name, r, 0), v(name, r, 1)];
    const [x, y, w1, dw1] = [features("X", e), v("Y", e), features("W1", i), features("dW1", i)];
    const [b1, w2, b2, z1, a1] = [v("b1", 0, i), v("W2", 0, i), v("b2"), v("Z1", e, i), v("A1", e, i)];
    const [z2, a2, dz2, da1, dz1] = [v("Z2", e), v("A2", e), v("dZ2", e), v("dA1", e, i), v("dZ1", e, i)];
    const terms = Array.from({ length: Math.min(units, 4) }, (_, k) => product([v("A1", e, k), v("W2", 0, k)]));
    const loss = network.cost(Matrix.from([[z2]]), Matrix.from([[y]]));
    const next = (now, slopes) => [list(now), say("next", { next: list(now.map((w, k) => w - rate * slopes[k])) })];
    const sum = (text, part, total) => [text, say("part", { part: list(part), m, sum: list(total) })];
    const both = x.map((feature) => dz1 * feature);
    return {
      X: () => [list(x)],
      Y: () => [short(y)],
      W1: () => next(w1, dw1),
      b1: () => next([b1], [v("db1", 0, i)]),
      W2: () => next([w2], [v("dW2", 0, i)]),
      b2: () => next([b2], [v("db2")]),
      Z1: () => [`${product([x[0], w1[0]])} + ${product([x[1], w1[1]])} + ${factor(b1)} = ${short(z1)}`],
      A1: () => [`tanh(${short(z1)}) = ${short(a1)}`],
      Z2: () => [`${terms.join(" + ")}${units > 4 ? " + ..." : ""} + ${factor(b2)} = ${short(z2)}`],
      A2: () => [`1 / (1 + exp(${short(-z2)})) = ${short(a2)}`],
      J: () => [`-log(${y ? "" : "1 - "}${short(a2)}) = ${short(loss)}`, say("mean", { m, sum: short(values.J) })],
      dZ2: () => [`(${short(a2)} - ${y}) / ${m} = ${short(dz2)}`],
      dW2: () => sum(`${product([dz2, a1])} = ${short(dz2 * a1)}`, [dz2 * a1], [v("dW2", 0, i)]),
      db2: () => sum(short(dz2), [dz2], [v("db2")]),
      dA1: () => [`${product([dz2, w2])} = ${short(da1)}`],
      dZ1: () => [`${factor(da1)} · (1 - ${factor(a1)}^2) = ${short(dz1)}`],
      dW1: () => sum(`${factor(dz1)} · ${list(x)} = ${list(both)}`, both, dw1),
      db1: () => sum(short(dz1), [dz1], [v("db1", 0, i)]),
    }[symbol]();
  }

  // -- drawing ----------------------------------------------------------------------------------
  // What draws on a canvas, in CSS pixels, and its size.
  function clean(canvas) {
    const { clientWidth: width, clientHeight: height } = canvas;
    const pen = canvas.getContext("2d");
    const pixels = [width, height].map((length) => Math.round(length * devicePixelRatio));
    if (canvas.width !== pixels[0] || canvas.height !== pixels[1]) [canvas.width, canvas.height] = pixels;
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, width, height);
    return { pen, width, height };
  }

  const ticks = Array.from({ length: SIDE }, (_, k) => LIMIT * ((2 * k) / (SIDE - 1) - 1));
  const grid = Matrix.from(ticks.flatMap((y) => ticks.map((x) => [x, -y]))); // (SIDE * SIDE, 2), from the top
  const field = document.createElement("canvas"); // a pixel for each point of the grid
  field.width = field.height = SIDE;

  function drawBoundary() {
    const { pen, width } = clean(get.boundary);
    const [ink, paper] = ["foreground", "background"].map((ground) => color(`--color-${ground}-primary`));
    const classes = ["--class0", "--class1"].map(color);
    const outline = (strokeStyle, lineWidth) => Object.assign(pen, { strokeStyle, lineWidth }).stroke();
    const { A2, Z2 } = network.forward(values, grid);
    const paint = field.getContext("2d");
    paint.clearRect(0, 0, SIDE, SIDE);
    const cell = width / (SIDE - 1);
    const steps = [0, 1, SIDE, SIDE + 1]; // to the corners of a cell
    pen.beginPath();
    A2.values.forEach((a, n) => {
      const [column, line] = [n % SIDE, Math.floor(n / SIDE)];
      paint.fillStyle = classes[Number(a > 0.5)];
      paint.globalAlpha = 0.08 + 0.8 * Math.abs(a - 0.5);
      paint.fillRect(column, line, 1, 1);
      if (column === SIDE - 1 || line === SIDE - 1) return;
      if (steps.filter((right) => Z2.values[n + right] > 0).length % 4 === 0) return; // one side
      // Where Z2 crosses 0, and A2 so 1/2, on the sides of the cell to the lower right, in proportion.
      const corners = [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]].map(([x, y]) => [x, y, Z2.values[n + x + SIDE * y]]);
      const sides = [0, 1, 2, 3].filter((k) => corners[k][2] > 0 !== corners[k + 1][2] > 0);
      sides.forEach((k, crossing) => {
        const [[x0, y0, a0], [x1, y1, a1]] = corners.slice(k, k + 2);
        const [x, y] = [[x0, x1], [y0, y1]].map(([from, to]) => from + ((to - from) * a0) / (a0 - a1));
        pen[crossing % 2 ? "lineTo" : "moveTo"](cell * (column + x), cell * (line + y));
      });
    });
    pen.drawImage(field, -cell / 2, -cell / 2, width + cell, width + cell);
    outline(ink, 2);
    const place = (v) => (width * (v + LIMIT)) / (2 * LIMIT);
    for (let e = 0; e < m; e++) {
      const [x, y] = [place(X.at(e, 0)), place(-X.at(e, 1))];
      pen.beginPath();
      if (Y.at(e, 0)) pen.rect(x - 2.7, y - 2.7, 5.4, 5.4);
      else pen.arc(x, y, 3.2, 0, 7);
      pen.fillStyle = classes[Y.at(e, 0)];
      pen.fill();
      outline(paper, 1);
    }
    const e = get.example.value - 1;
    pen.beginPath();
    pen.arc(place(X.at(e, 0)), place(-X.at(e, 1)), 8, 0, 7);
    outline(ink, 2.5);
  }

  function drawCurve() {
    const { pen, width, height } = clean(get.curve);
    const apart = Math.ceil(costs.length / 500);
    const points = [...costs.entries()].filter(([n]) => n % apart === 0 || n === costs.length - 1);
    const [last, top] = [Math.max(100, costs.length - 1), Math.max(0.8, ...points.map(([, J]) => J))];
    const x = (n) => 40 + ((width - 42) * n) / last;
    const y = (J) => height - 18 - ((height - 24) * J) / top;
    pen.strokeStyle = color("--color-foreground-border");
    pen.lineWidth = 1;
    pen.strokeRect(x(0), y(top), x(last) - x(0), y(0) - y(top));
    pen.fillStyle = color("--color-foreground-secondary");
    pen.font = `11px ${getComputedStyle(root).fontFamily}`;
    pen.textAlign = "right";
    for (const [text, ...at] of [["0", 35, y(0)], [short(top), 35, y(top) + 9], [last, x(last), height - 4]])
      pen.fillText(text, ...at);
    pen.beginPath();
    for (const [n, J] of points) pen.lineTo(x(n), y(J));
    [pen.strokeStyle, pen.lineWidth] = [color("--color-brand-content"), 2];
    pen.stroke();
  }

  function drawTable() {
    for (const symbol of SYMBOLS) {
      const { rows, columns, values: numbers } = symbol === "J" ? Matrix.from([[values.J]]) : values[symbol];
      const shape = symbol === "J" ? "()" : /b/.test(symbol) ? `(${columns},)` : `(${rows}, ${columns})`;
      const shown = [Math.min(...numbers), Math.max(...numbers), Math.hypot(...numbers)].map(short);
      [shape, ...shown].forEach((text, k) => (get[symbol].children[k + 2].textContent = text));
    }
  }

  function drawLarge() {
    const [numbers, after = ""] = filled(chosen);
    const lines = formulas[chosen] ? [`${chosen} = ${formulaOf(chosen)}`] : [];
    const equals = lines.length ? "= " : `${chosen} = `;
    lines.push(`${lines.length && after ? "" : equals}${minus(numbers)}`); // one example is not the sum
    const meaning = words[chosen] ?? say("derivative", { of: chosen.slice(1) });
    get.name.textContent = say("name", { symbol: chosen, meaning });
    get.large.innerHTML = lines.map((line) => `<p class="formula">${line}</p>`).join("") + `<p>${after}</p>`;
  }

  function draw() {
    const right = Y.values.filter((y, e) => values.A2.values[e] > 0.5 === y > 0.5).length;
    get.state.textContent = sentence();
    get.right.textContent = say("right", { right, m });
    const thousands = [...costs.entries()].filter(([n]) => n % 1000 === 0).slice(-11);
    get.thousands.innerHTML = thousands.map(([n, J]) => `<li>${n}: ${J.toFixed(6)}</li>`).join("");
    get.boundary.ariaLabel = `${say("boundary")}. ${get.right.textContent}.`;
    get.curve.ariaLabel = `${say("curve")}. ${sentence()}.`;
    for (const show of [drawBoundary, drawCurve, drawTable, drawLarge]) show();
  }

  // -- what the reader does ---------------------------------------------------------------------
  function choose(symbol) {
    chosen = symbol;
    for (const other of SYMBOLS) {
      get[other].classList.toggle("is-chosen", other === symbol);
      get[other].querySelector("button").tabIndex = other === symbol ? 0 : -1; // one stop of the tab key
    }
    drawLarge();
  }

  function set() {
    rate = RATES[get.rate.value];
    for (const [id, value] of Object.entries({ units: get.units.value, rate, scale: SCALES[get.scale.value] }))
      get[id].ariaValueText = get[id].previousElementSibling.textContent = value;
  }

  get.step.addEventListener("click", () => (step(), pause()));
  get.run.addEventListener("click", () => (before ? pause() : run()));
  get.reset.addEventListener("click", reset);
  for (const id of ["units", "rate", "scale"])
    get[id].addEventListener("input", () => (set(), id === "rate" ? draw() : reset()));
  for (const box of [get.example, get.unit])
    box.addEventListener("input", () => box.value && box.checkValidity() && draw());
  get.boundary.addEventListener("click", ({ offsetX, offsetY }) => {
    const [x, y] = [offsetX, offsetY].map((pixels) => LIMIT * ((2 * pixels) / get.boundary.clientWidth - 1));
    const far = flower.X.map((point) => Math.hypot(point[0] - x, point[1] + y));
    get.example.value = far.indexOf(Math.min(...far)) + 1;
    draw();
  });
  for (const symbol of SYMBOLS)
    // Not "pointerenter": rows that scroll past a mouse at rest do not become chosen.
    for (const event of ["pointermove", "click", "focusin"])
      get[symbol].addEventListener(event, () => symbol === chosen || choose(symbol));
  root.querySelector("table").addEventListener("keydown", (event) => {
    const next = SYMBOLS[SYMBOLS.indexOf(chosen) + { ArrowDown: 1, ArrowUp: -1 }[event.key]];
    if (!next) return;
    event.preventDefault();
    const button = get[next].querySelector("button");
    button.focus({ preventScroll: true });
    button.scrollIntoView({ behavior: "instant", block: "nearest" }); // above the numbers at the foot of the window
  });
  document.addEventListener("visibilitychange", () => document.hidden && before && pause());
  new ResizeObserver(draw).observe(get.boundary);
  new MutationObserver(draw).observe(document.body, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  set();
  reset();
  choose(chosen);
});
