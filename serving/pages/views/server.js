// One server: its load as it was, what is forecast and how sure that is, hits and misses, reasons, revisions.
import { choice, fill, h } from "../lib/dom.js";
import { ask, got } from "../lib/data.js";
import { keep, state } from "../lib/state.js";
import { hour, percent, second } from "../lib/told.js";
import { comingTable, markPicked, pastTable } from "../parts/hour_tables.js";
import { loadChart } from "../parts/load_chart.js";
import { serverLegend } from "../parts/legend.js";
import { showReasons } from "../parts/reasons.js";
import { showRevisions } from "../parts/revisions.js";

export const title = "Server";
const USUAL = { server: "", hour: "", hours: 96, ahead: 24 };
const HOURS = [48, 96, 168, 336].map((hours) => [hours, `${hours} h`]);
const AHEADS = [1, 3, 6, 12, 24, 36, 48].map((hours) => [hours, `${hours} h ahead`]);

export function show(main) {
  let chosen = state(USUAL), told = null, before = "", shown = "";
  if (!chosen.server) return ofWhich(main);
  document.title = `${chosen.server} - serverload`;
  const facts = h("p", { class: "summary" });
  const bar = h("div", { class: "bar" });
  const chart = h("div", { class: "chart load", tabindex: "0", role: "region", "aria-label": "Chart of load and forecast" });
  const hits = h("p", { class: "quiet", role: "status" });
  const coming = h("div", { class: "panel" }), why = h("div", { class: "panel", "aria-live": "polite" });
  const revisions = h("div", { class: "panel" }), past = h("details", { class: "panel" });
  fill(main, h("div", { class: "title" }, h("h1", {}, chosen.server), facts), bar,
    h("section", { class: "panel", "aria-label": "Load and forecast" }, serverLegend(), chart, hits),
    h("div", { class: "beside" }, coming, h("div", { class: "stack" }, why, revisions)), past);
  window.addEventListener("popstate", () => { chosen = state(USUAL); controls(); draw(); refresh(); });
  new ResizeObserver(() => drawChart()).observe(chart);
  controls();
  return refresh;

  function controls() {
    const set = (name) => (value) => {
      chosen = { ...chosen, [name]: Number(value) };
      keep(chosen, USUAL, { back: true });
      refresh();
    };
    fill(bar, choice("Past", HOURS, chosen.hours, set("hours")),
      choice("Hits and misses of forecasts", AHEADS, chosen.ahead, set("ahead")),
      h("a", { href: "/dashboard/fleet" }, "All servers"));
  }

  async function refresh() {
    const path = `/servers/${encodeURIComponent(chosen.server)}`;
    const [hours, horizon] = [Math.max(1, Math.min(744, chosen.hours)), Math.max(1, Math.min(168, chosen.ahead))];
    const [server, outcomes] = await Promise.all([got(path, { hours }), got(`${path}/outcomes`, { hours, horizon })]);
    if (!server || !outcomes) return;
    const known = JSON.stringify([server.data, outcomes.data]);
    if (known === before) return;
    before = known;
    told = { ...server.data, outcomes: outcomes.data.outcomes };
    draw();
  }

  function pick(time) {
    chosen = { ...chosen, hour: time };
    keep(chosen, USUAL, { back: true });
    drawPicked();
  }

  // The hour in the address, else the first that is high, else the first of all.
  function picked() {
    const { forecasts } = told;
    return forecasts.find((each) => chosen.hour && Date.parse(each.target_hour) === Date.parse(chosen.hour))
      ?? forecasts.find((each) => each.workload_class === "high") ?? forecasts[0];
  }

  function draw() {
    if (!told) return;
    fill(facts, `${told.group ? `group ${told.group}` : "without group"} · known since ${hour(told.first_hour)} · last session ${second(told.last_event)} UTC`);
    const right = told.outcomes.filter((each) => each.correct).length;
    hits.textContent = told.outcomes.length
      ? `${chosen.ahead} h ahead: ${right} of ${told.outcomes.length} hours right (${percent(right / told.outcomes.length)}).`
      : `No forecast made ${chosen.ahead} h ahead has matured in these hours.`;
    fill(coming, ...comingTable(told.forecasts, pick));
    fill(past, ...pastTable(told.hours, told.outcomes, chosen.ahead));
    drawPicked();
  }

  function drawPicked() {
    drawChart();
    markPicked(coming, picked());
    explain(picked());
  }

  function drawChart() {
    if (!told || !chart.clientWidth) return;
    const first = chart.childElementCount === 0;
    fill(chart, loadChart(told, { room: chart.clientWidth, picked: picked()?.target_hour, pick }));
    if (first) chart.scrollLeft = chart.scrollWidth;
  }

  // Reasons and revisions of the picked hour, asked for once for each forecast.
  async function explain(forecast) {
    const key = forecast && `${forecast.target_hour} ${forecast.issued_hour} ${forecast.revision}`;
    if (key === shown) return;
    shown = key;
    if (!forecast) {
      fill(why, h("h2", {}, "Why this forecast"), h("p", { class: "quiet" }, "There is no forecast for the coming hours."));
      fill(revisions);
      return;
    }
    const [from, to] = [forecast.target_hour, forecast.target_hour];
    const path = `/servers/${encodeURIComponent(chosen.server)}/reasons`;
    why.setAttribute("aria-busy", "true");
    const [reasons, every] = await Promise.all([
      ask(path, { hour: forecast.target_hour }), got("/forecasts", { server: chosen.server, from, to, revisions: "all" })]);
    if (shown !== key) return;
    why.removeAttribute("aria-busy");
    fill(why, ...showReasons(forecast, reasons));
    if (every) fill(revisions, ...showRevisions(forecast, every.data.forecasts));
  }
}

// Without a server in the address: which one?
function ofWhich(main) {
  const list = h("datalist", { id: "servers" });
  const form = h("form", { class: "bar", method: "get", action: location.pathname },
    h("label", { class: "choice" }, h("span", {}, "Server"), h("input", { name: "server", list: "servers", required: true, autocomplete: "off" })),
    h("button", { class: "main", type: "submit" }, "Show"), list);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(`${location.pathname}?${new URLSearchParams(new FormData(form))}`);
  });
  fill(main, h("div", { class: "title" }, h("h1", {}, title), h("p", { class: "summary" }, "Which one? The fleet leads to each, too.")), form);
  return async () => {
    const answer = await got("/servers");
    if (answer) fill(list, answer.data.groups.flatMap((group) => group.servers.map((each) => h("option", { value: each.server_ip }))));
  };
}
