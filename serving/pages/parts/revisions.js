// How the belief about one hour came about: every forecast that was issued for it, the newest first.
import { h, table } from "../lib/dom.js";
import { CLASSES } from "../lib/classes.js";
import { hour, percent, second } from "../lib/told.js";
import { chanceLines } from "./charts.js";
import { said } from "./hour_tables.js";

export function showRevisions(picked, every) {
  const issued = every.filter((each) => each.workload_class !== null);
  const columns = [
    ["Issued after", (row) => hour(row.issued_hour)],
    ["Ahead", (row) => `${row.horizon_hours} h`, "number"],
    ["Revision", (row) => String(row.revision), "number"],
    ["Forecast", (row) => said(row.workload_class)],
    ...CLASSES.map((name) => [name, (row) => percent(row[`probability_${name}`]), "number"]),
    ["Written", (row) => second(row.issued_at)],
    ["Version", (row) => row.model_version, "number"],
  ];
  const late = issued.filter((each) => each.revision > 0).length;
  return [h("h2", {}, `What was said of ${hour(picked.target_hour)}`),
    h("p", { class: "quiet" }, `${issued.length} forecasts, ${late} of them because late data changed it.`),
    issued.length > 1 ? h("div", { class: "chart" }, chanceLines(issued)) : null,
    h("details", {}, h("summary", {}, "Every forecast"), table("Forecasts issued for this hour", columns, [...issued].reverse()))];
}
