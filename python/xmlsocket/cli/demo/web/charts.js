// Three small charts of what the server counts, from the documents <stats …/> it sends.

const SECONDS = 60;
const WIDTH = 300;
const HEIGHT = 72;

const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function bytes(value) {
  if (value < 1000) return `${count.format(value)} B`;
  if (value < 1e6) return `${(value / 1e3).toFixed(1)} kB`;
  return `${(value / 1e6).toFixed(1)} MB`;
}

const number = (value) => count.format(value);

// Draws lines over the last minute into an SVG; every line is a list of [at, value].
function draw(svg, now, lines) {
  const top = Math.max(1, ...lines.flatMap(({ points }) => points.map(([, value]) => value)));
  const x = (at) => (WIDTH * (1 - (now - at) / SECONDS)).toFixed(1);
  const y = (value) => (HEIGHT - 2 - (HEIGHT - 6) * (value / top)).toFixed(1);
  const paths = [["base", `M0 ${HEIGHT - 1}H${WIDTH}`]];
  for (const { name, points } of lines) {
    if (!points.length) continue;
    const line = points.map(([at, value]) => `${x(at)} ${y(value)}`).join("L");
    if (name === "in") {
      const [[first]] = points, [last] = points.at(-1);
      paths.push(["area", `M${x(first)} ${HEIGHT - 1}L${line}L${x(last)} ${HEIGHT - 1}Z`]);
    }
    paths.push([name, `M${line}`]);
  }
  svg.replaceChildren(
    ...paths.map(([name, d]) => {
      const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
      path.setAttribute("class", name);
      path.setAttribute("d", d);
      return path;
    }),
  );
}

const peak = (points) => Math.max(0, ...points.map(([, value]) => value));

export class Charts {
  #samples = [];

  constructor(figures) {
    this.figures = figures;
  }

  // Takes an element <stats started= at= connections= accepted= documents-in= …/>.
  add(stats) {
    const sample = {};
    for (const { name, value } of stats.attributes) sample[name] = Number(value);
    const last = this.#samples.at(-1);
    if (last && sample.started !== last.started) this.#samples = []; // another server
    else if (last && sample.at <= last.at) return; // known: sent again after a reconnect
    this.#samples.push(sample);
    const oldest = sample.at - SECONDS - 2;
    while (this.#samples[0].at < oldest) this.#samples.shift();
  }

  show() {
    const now = this.#samples.at(-1);
    if (!now) return;
    const open = this.#samples.map(({ at, connections }) => [at, connections]);
    this.#figure("connections", now.at, number(now.connections), `${number(now.accepted)} since the start`, [
      { name: "in", points: open },
    ], `most ${number(peak(open))}`);
    for (const [id, write] of [["documents", number], ["bytes", bytes]]) {
      const incoming = this.#rates(`${id}-in`), outgoing = this.#rates(`${id}-out`);
      const latest = (points) => write(points.at(-1)?.[1] ?? 0);
      this.#figure(id, now.at, `${latest(incoming)} in`, `${latest(outgoing)} out · peak ${write(Math.max(peak(incoming), peak(outgoing)))}`, [
        { name: "in", points: incoming },
        { name: "out", points: outgoing },
      ], `most ${write(peak(incoming))} in, ${write(peak(outgoing))} out`);
    }
  }

  #rates(name) {
    return this.#samples
      .slice(1)
      .map((sample, n) => [sample.at, (sample[name] - this.#samples[n][name]) / (sample.at - this.#samples[n].at)]);
  }

  #figure(id, now, value, more, lines, most) {
    const figure = this.figures[id];
    figure.querySelector("b").textContent = value;
    figure.querySelector(".now span").textContent = more;
    const svg = figure.querySelector("svg");
    draw(svg, now, lines);
    svg.setAttribute("aria-label", `${figure.querySelector("figcaption").textContent}, last minute: now ${value}, ${most}`);
  }
}
