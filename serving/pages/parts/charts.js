// Small charts that several pages share.
import { CLASSES } from "../lib/classes.js";
import { count, hour, percent } from "../lib/told.js";

const { d3 } = window;

function canvas(label, width, height) {
  return d3.create("svg").attr("viewBox", `0 0 ${width} ${height}`).attr("width", width).attr("class", "fluid").attr("role", "img").attr("aria-label", label);
}

function shareAxis(svg, y, left, right, ticks = 4) {
  svg.append("g").attr("class", "axis grid-lines").attr("transform", `translate(${left},0)`)
    .call(d3.axisLeft(y).ticks(ticks).tickFormat((each) => percent(each)).tickSize(left - right));
}

// Probabilities of the three classes over the hours in which they were issued.
export function chanceLines(rows) {
  const [width, height, left, right, bottom] = [600, 140, 44, 92, 20];
  const svg = canvas("Probability of each class by the hour of issue; the table has the figures", width, height);
  const times = rows.map((each) => new Date(each.issued_hour));
  const x = d3.scaleTime().domain(d3.extent(times)).range([left, width - right]);
  const y = d3.scaleLinear().domain([0, 1]).range([height - bottom - 4, 8]);
  shareAxis(svg, y, left, width - right, 2);
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - bottom})`)
    .call(d3.axisBottom(x).tickValues(d3.extent(times)).tickFormat(hour).tickSizeOuter(0))
    .selectAll("text").attr("text-anchor", (_, place) => ["start", "end"][place]);
  const last = rows[rows.length - 1];
  for (const name of CLASSES) {
    const share = (each) => each[`probability_${name}`];
    const drawn = d3.line().curve(d3.curveStepAfter).x((each) => x(new Date(each.issued_hour))).y((each) => y(share(each)));
    svg.append("path").attr("class", `stroke-${name}`).attr("d", drawn(rows));
    svg.append("text").attr("class", "line-name").attr("x", width - right + 5).attr("y", y(share(last)) + 4).text(`${name} ${percent(share(last))}`);
  }
  apart(svg.selectAll(".line-name"), 12);
  return svg.node();
}

// Names at the ends of lines must not lie on one another: the lowest stays, others move up.
function apart(names, space) {
  const sorted = names.nodes().sort((one, other) => other.getAttribute("y") - one.getAttribute("y"));
  sorted.reduce((below, each) => {
    const y = Math.min(Number(each.getAttribute("y")), below - space);
    each.setAttribute("y", y);
    return y;
  }, Infinity);
}

// Of several forecasters a mark for each group; `series`: name, class, and a value of a row.
export function comparison(label, rows, group, series, told) {
  const [width, height, left, bottom] = [520, 210, 48, 26];
  const svg = canvas(`${label}; the table has the figures`, width, height);
  const values = rows.flatMap((row) => series.map(([, , value]) => value(row))).filter((each) => each !== null);
  const x = d3.scalePoint().domain(rows.map(group)).range([left, width - 10]).padding(0.5);
  const y = d3.scaleLinear().domain(d3.extent([...values, 0])).nice().range([height - bottom, 10]);
  if (told === percent) y.domain([Math.max(0, Math.floor(10 * d3.min(values)) / 10 - 0.1), 1]);
  svg.append("g").attr("class", "axis grid-lines").attr("transform", `translate(${left},0)`)
    .call(d3.axisLeft(y).ticks(5).tickFormat((each) => told(each)).tickSize(left - width + 10));
  const every = Math.ceil(rows.length / 8);
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - bottom})`)
    .call(d3.axisBottom(x).tickValues(x.domain().filter((_, place) => place % every === 0)).tickSizeOuter(0));
  const shapes = [d3.symbolCircle, d3.symbolSquare, d3.symbolTriangle];
  series.forEach(([name, style, value], place) => {
    const known = rows.filter((row) => value(row) !== null);
    svg.append("path").attr("class", `line ${style}`).attr("d", d3.line().x((row) => x(group(row))).y((row) => y(value(row)))(known));
    svg.append("g").attr("class", `dots ${style}`).selectAll("path").data(known).enter().append("path")
      .attr("d", d3.symbol().type(shapes[place]).size(44)()).attr("transform", (row) => `translate(${x(group(row))},${y(value(row))})`)
      .append("title").text((row) => `${group(row)}: ${name} ${told(value(row), 1)}`);
  });
  return svg.node();
}

// How often a class came over how probable it was said to be.
export function reliability(name, bins) {
  const [size, left, bottom] = [200, 44, 26];
  const svg = canvas(`Calibration of ${name}; the table has the figures`, size + 10, size);
  const x = d3.scaleLinear().domain([0, 1]).range([left, size]), y = d3.scaleLinear().domain([0, 1]).range([size - bottom, 8]);
  shareAxis(svg, y, left, size);
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${size - bottom})`).call(d3.axisBottom(x).ticks(2).tickFormat((each) => percent(each)));
  svg.append("path").attr("class", "even").attr("d", `M${x(0)},${y(0)}L${x(1)},${y(1)}`);
  const most = d3.max(bins, (each) => each.rows) ?? 1;
  const place = (each) => [x(each.mean_probability), y(each.share_that_came)];
  svg.append("path").attr("class", `stroke-${name}`).attr("d", d3.line()(bins.map(place)));
  svg.append("g").selectAll("circle").data(bins).enter().append("circle").attr("class", `bin ${name}`)
    .attr("cx", (each) => place(each)[0]).attr("cy", (each) => place(each)[1]).attr("r", (each) => 2 + 5 * Math.sqrt(each.rows / most))
    .append("title").text((each) => `said ${percent(each.mean_probability, 1)}, came ${percent(each.share_that_came, 1)} of ${count(each.rows)}`);
  return svg.node();
}

// Lines of each batch as bars, refused ones on top, and the seconds that it took as a line.
export function batchBars(batches) {
  const [width, height, left, right, bottom] = [760, 180, 60, 46, 22];
  const svg = canvas("Lines and seconds of the newest batches; the table has the figures", width, height);
  const rows = [...batches].reverse();
  const x = d3.scaleBand().domain(d3.range(rows.length)).range([left, width - right]).padding(0.15);
  const y = d3.scaleLinear().domain([0, d3.max(rows, (each) => each.read) || 1]).nice().range([height - bottom, 8]);
  const seconds = d3.scaleLinear().domain([0, d3.max(rows, (each) => each.seconds) || 1]).nice().range([height - bottom, 8]);
  svg.append("g").attr("class", "axis grid-lines").attr("transform", `translate(${left},0)`)
    .call(d3.axisLeft(y).ticks(4, "~s").tickSize(left - width + right));
  svg.append("g").attr("class", "axis").attr("transform", `translate(${width - right},0)`)
    .call(d3.axisRight(seconds).ticks(4).tickFormat((each) => `${each} s`));
  const bars = svg.append("g").selectAll("g").data(rows).enter().append("g");
  bars.append("rect").attr("class", "bar-read").attr("x", (_, place) => x(place)).attr("width", x.bandwidth())
    .attr("y", (each) => y(each.read)).attr("height", (each) => y(0) - y(each.read));
  bars.append("rect").attr("class", "bar-rejected").attr("x", (_, place) => x(place)).attr("width", x.bandwidth())
    .attr("y", (each) => y(each.read)).attr("height", (each) => y(0) - y(each.rejected));
  bars.append("title").text((each) => `${hour(each.committed_at)}: ${count(each.read)} lines, ${count(each.rejected)} refused, ${each.seconds.toFixed(1)} s`);
  svg.append("path").attr("class", "seconds").attr("d", d3.line().x((_, place) => x(place) + x.bandwidth() / 2).y((each) => seconds(each.seconds))(rows));
  const ends = rows.length > 1 ? [0, rows.length - 1] : [0];
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${height - bottom})`)
    .call(d3.axisBottom(x).tickValues(ends).tickFormat((place) => hour(rows[place].committed_at)).tickSizeOuter(0));
  return svg.node();
}
