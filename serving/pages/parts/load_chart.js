// The load of a server as a line over bands of the classes, and beside it how probable each band is for the hours ahead.
import { CLASSES } from "../lib/classes.js";
import { clock, day, hour, load } from "../lib/told.js";

// On a screen that is narrower it is scrolled.
const NARROWEST = 720;
const HEIGHT = 300, LEFT = 52, RIGHT = 12, TOP = 10, BOTTOM = 54, HOUR = 3600e3;
const { d3 } = window;
const at = (row) => new Date(row.hour ?? row.target_hour);

export function loadChart({ server_ip, hours, forecasts, outcomes, low_max, medium_max }, { room, picked, pick }) {
  const width = Math.max(NARROWEST, room);
  const all = [...hours, ...forecasts].map(at);
  const svg = d3.create("svg").attr("viewBox", `0 0 ${width} ${HEIGHT}`).attr("width", width).attr("height", HEIGHT)
    .attr("role", "img").attr("aria-label", `Load and forecast of ${server_ip}; the tables below have the same figures`);
  if (!all.length) return svg.node();
  const x = d3.scaleTime().domain([d3.min(all), new Date(+d3.max(all) + HOUR)]).range([LEFT, width - RIGHT]);
  const top = Math.max(medium_max * 1.8, 1.1 * (d3.max(hours, (each) => each.peak_load) ?? 0));
  // a root, so that low hours can be read beside a peak
  const y = d3.scaleSqrt().domain([0, top]).range([HEIGHT - BOTTOM, TOP]);
  const bands = { low: [0, low_max], medium: [low_max, medium_max], high: [medium_max, top] };
  const wide = Math.max(1, x(new Date(+all[0] + HOUR)) - x(all[0]));

  backs(svg, bands, x, y, width);
  axes(svg, x, y, [low_max, medium_max], width);
  gaps(svg, hours, x, y, wide);
  chances(svg, forecasts, bands, { x, y, wide, picked, pick });
  line(svg, hours, x, y, wide);
  marks(svg, outcomes, x, wide);
  return svg.node();
}

function backs(svg, bands, x, y, width) {
  for (const [name, [from, to]] of Object.entries(bands)) {
    svg.append("rect").attr("class", `band ${name}`).attr("x", LEFT).attr("width", width - RIGHT - LEFT)
      .attr("y", y(to)).attr("height", y(from) - y(to));
    svg.append("text").attr("class", "band-name").attr("x", LEFT + 6).attr("y", y(to) + 13).text(name);
  }
}

function axes(svg, x, y, borders, width) {
  const days = d3.utcDays(d3.utcDay.ceil(x.domain()[0]), x.domain()[1]);
  const wide = x(new Date(HOUR)) - x(new Date(0));
  const step = [3, 6, 12].find((hours) => hours * wide >= 44);
  const ticks = step ? x.ticks(d3.utcHour.every(step)) : [];
  const named = d3.utcDay.every(Math.ceil(76 / (24 * wide)));
  svg.append("g").attr("class", "axis").attr("transform", `translate(0,${HEIGHT - BOTTOM})`)
    .call(d3.axisBottom(x).tickValues(ticks).tickFormat(clock).tickSizeOuter(0));
  svg.append("g").attr("class", "days").selectAll("text").data(days.filter((each) => x(each) < width - 70 && +named.floor(each) === +each)).enter().append("text")
    .attr("x", (each) => x(each) + 4).attr("y", HEIGHT - 6).text(day);
  svg.append("g").attr("class", "days").selectAll("line").data(days).enter().append("line")
    .attr("x1", (each) => x(each)).attr("x2", (each) => x(each)).attr("y1", TOP).attr("y2", HEIGHT - 2);
  svg.append("g").attr("class", "axis").attr("transform", `translate(${LEFT},0)`)
    .call(d3.axisLeft(y).tickValues([0, ...borders, ...y.ticks(4).filter((each) => each > 1.3 * borders[1])]).tickFormat(load));
}

function gaps(svg, hours, x, y, wide) {
  const holes = hours.filter((each) => each.state === "missing");
  const [low, high] = y.range();
  svg.append("defs").append("pattern").attr("id", "hatch").attr("width", 5).attr("height", 5).attr("patternUnits", "userSpaceOnUse")
    .attr("patternTransform", "rotate(45)").append("line").attr("class", "hatch").attr("y2", 5);
  svg.append("g").attr("class", "gaps").selectAll("rect").data(holes).enter().append("rect")
    .attr("x", (each) => x(at(each))).attr("width", wide).attr("y", high).attr("height", low - high).attr("fill", "url(#hatch)")
    .append("title").text((each) => `${hour(each.hour)}: missing`);
}

function chances(svg, forecasts, bands, { x, y, wide, picked, pick }) {
  const columns = svg.append("g").attr("class", "ahead").selectAll("g").data(forecasts).enter().append("g")
    .attr("data-hour", (each) => each.target_hour).on("click", (each) => pick(each.target_hour));
  for (const name of CLASSES) {
    const [from, to] = bands[name];
    columns.append("rect").attr("class", (each) => `chance ${name}${inSet(each, name) ? " set" : ""}`)
      .attr("x", (each) => x(at(each)) + 0.5).attr("width", Math.max(1, wide - 1)).attr("y", y(to) + 1).attr("height", y(from) - y(to) - 2)
      .attr("fill-opacity", (each) => each[`probability_${name}`] ?? 0);
  }
  columns.append("title").text((each) => (each.workload_class === null ? `${hour(each.target_hour)}: no forecast`
    : `${hour(each.target_hour)}: ${each.workload_class}; ${CLASSES.map((name) => `${name} ${Math.round(100 * each[`probability_${name}`])} %`).join(", ")}`));
  const [low, high] = y.range();
  const now = forecasts.length ? x(at(forecasts[0])) : null;
  if (now !== null) svg.append("line").attr("class", "now").attr("x1", now).attr("x2", now).attr("y1", high).attr("y2", low);
  if (picked) {
    svg.append("rect").attr("class", "picked").attr("x", x(new Date(picked))).attr("width", wide).attr("y", high - 2).attr("height", low - high + 4);
  }
}

const inSet = (each, name) => (each.prediction_set ?? "").split(",").includes(name);

function line(svg, hours, x, y, wide) {
  const drawn = d3.line().defined((each) => each.peak_load !== null).curve(d3.curveStepAfter)
    .x((each) => x(at(each))).y((each) => y(each.peak_load));
  // each hour is drawn to its end, also the last before a gap
  const ended = hours.flatMap((each, place) => {
    const next = hours[place + 1];
    const close = each.peak_load !== null && (!next || next.peak_load === null);
    return close ? [each, { hour: new Date(+at(each) + HOUR), peak_load: each.peak_load }, { hour: at(each), peak_load: null }] : [each];
  });
  svg.append("path").attr("class", "came").attr("d", drawn(ended));
}

function marks(svg, outcomes, x, wide) {
  const middle = HEIGHT - 22;
  const each = svg.append("g").attr("class", "marks").selectAll("g").data(outcomes).enter().append("g")
    .attr("class", (row) => (row.correct ? "hit" : "miss")).attr("transform", (row) => `translate(${x(at(row)) + wide / 2},${middle})`);
  each.filter((row) => row.correct).append("circle").attr("r", Math.min(2.2, wide / 2));
  each.filter((row) => !row.correct).append("path").attr("d", "M-3,-3L3,3M-3,3L3,-3");
  each.append("title").text((row) => `${hour(row.target_hour)}: said ${row.workload_class}, came ${row.actual_class}`);
}
