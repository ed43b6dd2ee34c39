// The hours of a server as tables: those ahead, one of which is picked, and those that were.
import { h, table } from "../lib/dom.js";
import { CLASSES } from "../lib/classes.js";
import { hour, load, percent } from "../lib/told.js";

export function comingTable(forecasts, pick) {
  const choose = (row) => h("button", {
    type: "button", class: "hour", "aria-pressed": "false", dataset: { hour: row.target_hour }, onclick: () => pick(row.target_hour),
  }, hour(row.target_hour));
  const columns = [
    ["Hour (UTC)", choose],
    ["Forecast", (row) => said(row.workload_class)],
    ["Low, medium, high", chances],
    ["High", (row) => percent(row.probability_high), "number"],
    ["Set", (row) => (row.prediction_set === "" ? "none" : row.prediction_set?.split(",").join(" ") ?? "-")],
    ["Basis", (row) => row.basis ?? "model"],
  ];
  return [h("h2", {}, "Coming hours"), forecasts.length ? table("Forecasts of the coming hours", columns, forecasts, { class: "coming" })
    : h("p", { class: "quiet" }, "None has been issued.")];
}

export function markPicked(element, picked) {
  for (const button of element.querySelectorAll("button.hour")) {
    button.setAttribute("aria-pressed", String(button.dataset.hour === picked?.target_hour));
  }
}

export const said = (name) => (name === null ? "no forecast" : h("span", { class: "said" }, h("span", { class: `c ${name}`, "aria-hidden": "true" }), name));

// Three probabilities as one bar.
function chances(row) {
  if (row.workload_class === null) return "-";
  const shares = CLASSES.map((name) => row[`probability_${name}`]);
  const bar = h("span", { class: "shares", role: "img", "aria-label": CLASSES.map((name, place) => `${name} ${percent(shares[place])}`).join(", ") });
  shares.forEach((share, place) => {
    const part = h("span", { class: `fill ${CLASSES[place]}` });
    part.style.width = `${100 * share}%`;
    bar.append(part);
  });
  return bar;
}

export function pastTable(hours, outcomes, ahead) {
  const of = new Map(outcomes.map((each) => [each.target_hour, each]));
  const outcome = (row) => of.get(row.hour);
  const columns = [
    ["Hour (UTC)", (row) => hour(row.hour)],
    ["State", (row) => row.state],
    ["Load", (row) => load(row.peak_load), "number"],
    [`Said ${ahead} h ahead`, (row) => outcome(row)?.workload_class ?? "-"],
    ["Came", (row) => outcome(row)?.actual_class ?? "-"],
    ["Outcome", (row) => (outcome(row) ? (outcome(row).correct ? "● hit" : "✕ miss") : "")],
    ["Chance of what came", (row) => percent(outcome(row)?.probability_of_actual), "number"],
  ];
  return [h("summary", {}, "Past hours as a table"), table("Past hours", columns, [...hours].reverse())];
}
