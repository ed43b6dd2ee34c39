// What to do about it: servers to merge, servers that need more, the quietest window of each, and how it has held.
import { choice, fill, h, table } from "../lib/dom.js";
import { got } from "../lib/data.js";
import { keep, state } from "../lib/state.js";
import { count, hour, load, percent } from "../lib/told.js";

export const title = "Plan";
const USUAL = { q: "", group: "", replay: "", days: 14 };
const DAYS = [7, 14, 30, 90].map((days) => [days, `${days} days`]);
const TOLD = { merge: "Merge", add: "Give more", maintain: "Maintain" };

export function show(main) {
  let chosen = state(USUAL), view = null, drawn = "";
  const summary = h("p", { class: "summary", role: "status" });
  const bar = h("form", { class: "bar", role: "search", onsubmit: (event) => event.preventDefault() });
  const body = h("div", {});
  const asked = h("div", { "aria-live": "polite" });
  const replay = h("details", { class: "panel", open: chosen.replay !== "", ontoggle: opened }, h("summary", {}, "How past advice has held"), asked);
  fill(main, h("div", { class: "title" }, h("h1", {}, title), summary), bar, body, replay);
  window.addEventListener("popstate", () => { chosen = state(USUAL); replay.open = chosen.replay !== ""; controls(); draw(); judge(); });
  controls();
  if (replay.open) judge();
  return refresh;

  function choose(name, value) {
    chosen = { ...chosen, [name]: value };
    keep(chosen, USUAL, { back: name !== "q" });
  }

  function controls() {
    const set = (name) => (value) => { choose(name, value); draw(); };
    const groups = [...new Set((view?.plan ?? []).map((each) => each.server_group ?? ""))].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
    const search = h("input", {
      type: "search", placeholder: "part of a name", value: chosen.q, autocomplete: "off", spellcheck: "false",
      oninput: (event) => set("q")(event.target.value),
    });
    fill(bar, h("label", { class: "choice" }, h("span", {}, "Find"), search),
      choice("Group", [["", "all groups"], ...groups.map((name) => [`=${name}`, name || "without group"])], chosen.group, set("group")));
  }

  async function refresh() {
    const answer = await got("/plan");
    const now = JSON.stringify(answer?.data);
    if (!answer || now === drawn) return;
    drawn = now;
    view = answer.data;
    controls();
    draw();
  }

  function draw() {
    if (!view) return;
    const part = chosen.q.toLowerCase();
    const rows = view.plan.filter((row) => (!chosen.group || `=${row.server_group ?? ""}` === chosen.group)
      && [row.server_ip, row.merged_servers ?? ""].some((name) => name.toLowerCase().includes(part)));
    const [merges, adds, windows] = Object.keys(TOLD).map((kind) => rows.filter((row) => row.advice === kind));
    const left = view.left_out.filter((row) => row.server_ip.toLowerCase().includes(part));
    const freed = merges.reduce((sum, row) => sum + others(row).length, 0);
    fill(summary, ...(view.issued_hour ? [h("b", {}, count(freed)), " servers could be freed, ", h("b", {}, count(adds.length)), " need more; ",
      `from the forecasts after ${hour(view.issued_hour)} UTC, stands until newer ones are issued, and until ${hour(view.expires_at)} at most`] : ["No forecasts yet, and so no advice."]));
    fill(body, view.issued_hour ? [
      section("Merge", "Each of these servers is forecast low in all of the next 48 hours; together they go high in none, at least as surely as told.", merges, [
        ["Onto", (row) => linked(row.server_ip)], ["These", (row) => spaced(others(row).map(linked))], ["Group", (row) => row.server_group ?? ""],
        ["Load in the busiest hour", (row) => load(row.expected_load), "number"], ...HOW_SURE]),
      section("Give more", "High is expected in some hour of these.", adds, [
        ["Server", (row) => linked(row.server_ip)], ["Group", (row) => row.server_group ?? ""],
        ["Load in the busiest hour", (row) => load(row.expected_load), "number"], ...HOW_SURE]),
      section("Maintain", "The quietest hours in a row of each server.", windows, [
        ["Server", (row) => linked(row.server_ip)], ["Group", (row) => row.server_group ?? ""], ["From", (row) => hour(row.first_hour)],
        ["Last hour", (row) => hour(row.last_hour)], ["Mean load", (row) => load(row.expected_load), "number"], ...HOW_SURE]),
      left.length ? section("Without advice", "", left, [["Server", (row) => linked(row.server_ip)], ["Why", (row) => row.reason]]) : null,
    ].filter(Boolean) : []);
  }

  function opened() {
    if ((chosen.replay !== "") === replay.open) return;
    choose("replay", replay.open ? "open" : "");
    judge();
  }

  // Judged once it is asked for: it takes the service some seconds.
  async function judge() {
    if (!replay.open) return;
    const days = Math.max(1, Math.min(92, chosen.days));
    const head = h("div", { class: "bar" }, choice("Of the newest", DAYS, days, (value) => { choose("days", Number(value)); judge(); }));
    const result = h("div", { "aria-busy": "true" });
    fill(asked, h("p", { class: "quiet" }, "Advice of each day, from the forecasts that were issued then, beside what came; and what one who knew all of it would have got."), head, result);
    const answer = await got("/plan/replay", { days });
    result.removeAttribute("aria-busy");
    if (answer) fill(result, replayed(answer.data.replay));
  }
}

const HOW_SURE = [["Confidence", (row) => percent(row.confidence, 1), "number"], ["Why", (row) => row.reason]];
const others = (row) => row.merged_servers?.split(",") ?? [];
const linked = (name) => h("a", { href: `/dashboard/server?${new URLSearchParams({ server: name })}` }, name);
const spaced = (links) => h("span", { class: "wrapped" }, links.flatMap((link) => [link, " "]));

function section(name, why, rows, columns) {
  return h("section", { class: "panel" }, h("h2", {}, `${name} (${count(rows.length)})`), why ? h("p", { class: "quiet" }, why) : null,
    rows.length ? table(name, columns, rows, { class: "advice" }) : h("p", { class: "quiet" }, "None."));
}

function replayed(rows) {
  if (!rows.length) return h("p", { class: "quiet" }, "No advice can be judged yet: that takes forecasts issued two days ago.");
  return table("How past advice has held", [
    ["Advice", (row) => TOLD[row.advice]], ["Plans", (row) => count(row.issued_hours), "number"], ["Given", (row) => count(row.given), "number"],
    ["Held", (row) => count(row.held), "number"], ["Share", (row) => percent(row.held_share, 1), "number"],
    ["Confidence", (row) => percent(row.confidence, 1), "number"], ["Brought", (row) => load(row.achieved), "number"],
    ["Knowing all", (row) => load(row.all_knowing), "number"], ["In", (row) => row.measure],
  ], rows);
}
