// The fleet: servers x hours, the past as it was and the next hours as forecast.
import { choice, fill, h } from "../lib/dom.js";
import { got } from "../lib/data.js";
import { keep, state } from "../lib/state.js";
import { age, count, hour, hoursAfter, iso } from "../lib/told.js";
import { FleetGrid } from "../parts/grid.js";
import { fleetLegend } from "../parts/legend.js";

export const title = "Fleet";
const USUAL = { q: "", group: "", show: "all", sort: "high", past: 48 };
const ORDERS = {
  high: ["hours of high ahead", (one, other) => other.high - one.high || other.expected - one.expected],
  expected: ["expected hours of high", (one, other) => other.expected - one.expected],
  group: ["group", (one, other) => one.group.localeCompare(other.group, "en", { numeric: true }) || ORDERS.high[1](one, other)],
  name: ["name", () => 0],
};
const SHOWN = {
  all: ["all servers", () => true],
  high: ["with high ahead", (row) => row.high > 0],
  unsure: ["with some high expected", (row) => row.expected >= 0.5],
  without: ["without a forecast", (row) => row.said.every((each) => each === null)],
};
const PASTS = [24, 48, 96, 168].map((hours) => [hours, `${hours} h`]);

export function show(main) {
  let chosen = state(USUAL), view = null, etag = null;
  const summary = h("p", { class: "summary", id: "summary", role: "status" });
  const bar = h("form", { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() });
  const pointed = h("p", { class: "pointed" }, " ");
  const empty = h("p", { class: "empty", hidden: true });
  const grid = new FleetGrid(address, (line) => { pointed.textContent = line; });
  fill(main, h("div", { class: "fleet" },
    h("div", { class: "title" }, h("h1", {}, title), summary), bar, fleetLegend(), empty, grid.element, pointed));
  window.addEventListener("popstate", () => { chosen = state(USUAL); controls(); draw(); refresh(); });
  controls();
  return refresh;

  function address(row, column) {
    const query = new URLSearchParams({ server: grid.rows[row].name });
    if (column >= view.past_hours) query.set("hour", iso(hoursAfter(view.first_hour, column)));
    return `/dashboard/server?${query}`;
  }

  function controls() {
    const set = (name) => (value) => {
      chosen = { ...chosen, [name]: typeof USUAL[name] === "number" ? Number(value) : value };
      keep(chosen, USUAL, { back: name !== "q" });
      if (name === "past") refresh(); else draw();
    };
    const groups = view ? [...new Set(view.groups)].sort((one, other) => one.localeCompare(other, "en", { numeric: true })) : [];
    const options = (of) => Object.entries(of).map(([name, [told]]) => [name, told]);
    const search = h("input", {
      type: "search", placeholder: "part of a name", value: chosen.q, autocomplete: "off", spellcheck: "false",
      oninput: (event) => set("q")(event.target.value),
    });
    fill(bar, h("label", { class: "choice" }, h("span", {}, "Find"), search),
      choice("Group", [["", "all groups"], ...groups.map((name) => [`=${name}`, name || "without group"])], chosen.group, set("group")),
      choice("Show", options(SHOWN), chosen.show, set("show")),
      choice("Sort by", options(ORDERS), chosen.sort, set("sort")),
      choice("Past", PASTS, chosen.past, set("past")));
  }

  async function refresh() {
    const past = Math.max(1, Math.min(168, chosen.past));
    const answer = await got("/fleet", { past });
    if (!answer || answer.etag === etag) return;
    etag = answer.etag;
    const groups = String(view?.groups);
    view = answer.data;
    if (groups !== String(view.groups)) controls();
    draw();
  }

  function draw() {
    if (!view) return;
    const [, compare] = ORDERS[chosen.sort] ?? ORDERS.high, [, shown] = SHOWN[chosen.show] ?? SHOWN.all;
    const part = chosen.q.toLowerCase();
    const all = view.servers.map(row);
    const rows = all.filter((each) => each.name.toLowerCase().includes(part)
      && (!chosen.group || `=${each.group}` === chosen.group) && shown(each)).sort(compare);
    const span = { first: view.first_hour, past: view.past_hours, ahead: view.hours_ahead };
    const nothing = view.first_hour === null;
    empty.hidden = rows.length > 0;
    empty.textContent = nothing ? "This home has no hours yet: backfill a history, or start a stream." : "No server is as you ask; change Find, Group or Show.";
    grid.element.hidden = rows.length === 0;
    if (!nothing) grid.show(rows, span);
    const ahead = all.filter((each) => each.high).length;
    fill(summary, h("b", {}, count(rows.length)), rows.length === all.length ? " servers" : ` of ${count(all.length)} servers`,
      ", ", h("b", { class: "high-count" }, count(ahead)), " with high ahead; ",
      view.issued_hour ? `forecast after ${hour(view.issued_hour)} UTC, issued ${age(view.issued_at)}` : "no forecasts yet");
  }

  function row(name, place) {
    return {
      name, group: view.groups[place], high: view.high_hours[place], expected: view.expected_high_hours[place],
      past: view.past[place], loads: view.loads[place], coming: view.coming[place],
      said: view.said_percent[place], highs: view.high_percent[place],
    };
  }
}
