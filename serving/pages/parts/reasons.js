// What made up the probability of a forecast: terms that add up to it, as bars to the left and right of nothing.
import { h, table } from "../lib/dom.js";
import { hour, percent } from "../lib/told.js";

export function showReasons(picked, answer) {
  const heading = h("h2", {}, `Why ${hour(picked.target_hour)} is said to be ${picked.workload_class ?? "unknown"}`);
  if (answer.problem !== undefined) return [heading, h("p", { class: "quiet" }, `${answer.problem}.`)];
  const { forecast: [told], reasons } = answer.data;
  const widest = Math.max(...reasons.slice(1).map((each) => Math.abs(each.contribution)), 0.01);
  let sum = 0;
  const rows = reasons.map((each, place) => ({ ...each, first: place === 0, sum: (sum += each.contribution) }));
  const columns = [
    ["Feature", (row) => [h("span", { class: "mono" }, row.feature), h("span", { class: "meaning" }, row.meaning ?? "")]],
    ["Value", (row) => (row.value === null ? "" : String(Math.round(row.value * 100) / 100)), "number"],
    ["Adds", (row) => signed(row.contribution), "number"],
    ["Less, more", (row) => (row.first ? null : bar(row.contribution / widest))],
    ["Sum", (row) => percent(row.sum, 1), "number"],
  ];
  const changed = told.data_changed
    ? h("p", { class: "note" }, `Late data has come since it was issued with ${percent(told.issued_probability, 1)}; these are the reasons of the data as it is now.`) : null;
  return [heading,
    h("p", { class: "quiet" }, `${told.horizon_hours} h after ${hour(told.issued_hour)} UTC, model version ${told.model_version}: ${told.workload_class} has ${percent(told.probability, 1)}.`),
    changed, table("Reasons, from what is usual to what is said", columns, rows, { class: "reasons" })];
}

const signed = (share) => `${share < 0 ? "−" : "+"}${Math.abs(100 * share).toFixed(1)}`;

function bar(share) {
  const part = h("span", { class: share < 0 ? "less" : "more" });
  part.style.width = `${50 * Math.abs(share)}%`;
  return h("span", { class: "sway", "aria-hidden": "true" }, part);
}
