// How good the forecasts were: beside naive ones, bin by bin of their probabilities, class against class.
import { choice, fill, h, table } from "../lib/dom.js";
import { got } from "../lib/data.js";
import { keep, state } from "../lib/state.js";
import { CLASSES } from "../lib/classes.js";
import { count, figure, percent } from "../lib/told.js";
import { comparison, reliability } from "../parts/charts.js";

export const title = "Quality";
const USUAL = { by: "horizon", days: 14 };
const VIEWS = [["horizon", "hours ahead"], ["day", "day"], ["group", "server type"], ["class", "class that came"], ["model", "model version"]];
const DAYS = [1, 7, 14, 30, 90].map((days) => [days, days === 1 ? "1 day" : `${days} days`]);
const NAMES = { persistence: "as it is now", last_week: "as a week before" };

export function show(main) {
  let chosen = state(USUAL), drawn = "";
  const summary = h("p", { class: "summary", role: "status" });
  const bar = h("div", { class: "bar" }), body = h("div", {});
  fill(main, h("div", { class: "title" }, h("h1", {}, title), summary), bar, body);
  window.addEventListener("popstate", () => { chosen = state(USUAL); controls(); refresh(); });
  controls();
  return refresh;

  function controls() {
    const set = (name) => (value) => {
      chosen = { ...chosen, [name]: name === "days" ? Number(value) : value };
      keep(chosen, USUAL, { back: true });
      refresh();
    };
    fill(bar, choice("By", VIEWS, chosen.by, set("by")), choice("Of the newest", DAYS, chosen.days, set("days")));
  }

  async function refresh() {
    const by = VIEWS.some(([name]) => name === chosen.by) ? chosen.by : USUAL.by;
    const days = Math.max(1, Math.min(366, chosen.days));
    const answers = await Promise.all([
      got("/quality", { by, days }), got("/quality/naive", { by, days }),
      got("/quality/calibration", { days }), got("/quality/confusion", { days })]);
    const now = JSON.stringify(answers);
    if (answers.includes(null) || now === drawn) return;
    drawn = now;
    const [{ data: { quality } }, { data: { naive } }, { data: { calibration } }, { data: { confusion } }] = answers;
    const matured = confusion.reduce((sum, each) => sum + each.forecasts, 0);
    const right = confusion.filter((each) => each.actual_class === each.workload_class).reduce((sum, each) => sum + each.forecasts, 0);
    fill(summary, matured ? h("b", {}, percent(right / matured, 1)) : "", matured ? ` of ${count(matured)} matured forecasts were right` : "No forecast has matured yet.");
    fill(body, matured ? [scores(by, quality, naive), h("div", { class: "beside" }, calibrations(calibration), confused(confusion))] : []);
  }
}

function scores(by, quality, naive) {
  const column = by === "horizon" ? "horizons" : by;
  const group = (row) => row[column] || "without group";
  const ofSame = (row) => naive.find((each) => row.role !== "shadow" && each[column] === row[column]) ?? {};
  const beats = (row, name) => {
    const theirs = ofSame(row)[`${name}_accuracy`];
    return h("span", {}, percent(theirs, 1), theirs === undefined || theirs === null ? "" : h("span", { class: row.accuracy >= theirs ? "better" : "worse" }, gain(row.accuracy - theirs)));
  };
  const columns = [
    [VIEWS.find(([name]) => name === by)[1], (row) => `${group(row)}${row.role === "shadow" ? " (shadow)" : ""}`],
    ["Matured", (row) => count(row.matured), "number"],
    ["Right", (row) => percent(row.accuracy, 1), "number"],
    ...Object.entries(NAMES).map(([name, told]) => [`Right ${told}`, (row) => beats(row, name), "number"]),
    ["Macro F1", (row) => figure(row.macro_f1), "number"],
    ...CLASSES.map((name) => [`Recall ${name}`, (row) => percent(row[`recall_${name}`], 1), "number"]),
    ["RPS", (row) => figure(row.rps), "number"],
    ["Log-loss", (row) => figure(row.log_loss), "number"],
    ["Sets cover", (row) => percent(row.covered, 1), "number"],
  ];
  const told = [["forecast", "of-forecast", ""], ...Object.entries(NAMES).map(([name, each]) => [each, `of-${name.replace("_", "-")}`, `${name}_`])];
  const series = (score) => told.map(([name, style, of]) => [name, style, (row) => row[`${of}${score}`]]);
  const legend = h("p", { class: "legend" }, told.map(([name, style], place) => h("span", { class: `key ${style}` }, `${"●■▲"[place]} `, h("span", { class: "ink" }, name))));
  return h("section", { class: "panel" }, h("h2", {}, `Beside naive forecasts, by ${VIEWS.find(([name]) => name === by)[1]}`), legend,
    h("div", { class: "charts" },
      h("figure", {}, comparison("Share of forecasts that were right", naive, group, series("accuracy"), percent), h("figcaption", {}, "Right, the higher the better")),
      h("figure", {}, comparison("Ranked probability score", naive, group, series("rps"), (each) => figure(each, 2)), h("figcaption", {}, "RPS, the lower the better"))),
    table("Scores", columns, quality));
}

const gain = (share) => ` ${share < 0 ? "▼" : "▲"}${Math.abs(100 * share).toFixed(1)}`;

function calibrations(bins) {
  const columns = [
    ["Class", (row) => row.workload_class],
    ["Said", (row) => percent(row.mean_probability, 1), "number"],
    ["Came", (row) => percent(row.share_that_came, 1), "number"],
    ["Forecasts", (row) => count(row.rows), "number"],
  ];
  return h("section", { class: "panel" }, h("h2", {}, "Calibration: came as often as said?"),
    h("div", { class: "charts" }, CLASSES.map((name) => h("figure", {}, reliability(name, bins.filter((each) => each.workload_class === name)), h("figcaption", {}, name)))),
    h("p", { class: "quiet" }, "On the line what was said to be as probable came as often; the larger a dot, the more forecasts."),
    h("details", {}, h("summary", {}, "As a table"), table("Calibration", columns, bins)));
}

function confused(cells) {
  const of = (came, said) => cells.find((each) => each.actual_class === came && each.workload_class === said)?.forecasts ?? 0;
  const total = (came) => CLASSES.reduce((sum, said) => sum + of(came, said), 0);
  const cell = (said) => (came) => {
    const share = total(came) ? of(came, said) / total(came) : 0;
    const shade = h("span", { class: `confused ${came === said ? "right" : "wrong"}` }, h("b", {}, count(of(came, said))), ` ${percent(share, 1)}`);
    shade.style.setProperty("--share", `${Math.round(100 * share)}%`);
    return shade;
  };
  const columns = [["Came", (came) => came], ...CLASSES.map((said) => [`said ${said}`, cell(said), "number"]), ["in all", (came) => count(total(came)), "number"]];
  return h("section", { class: "panel" }, h("h2", {}, "Confusion: what was said, where what came"), table("Confusion", columns, CLASSES, { class: "confusion" }),
    h("p", { class: "quiet" }, "Shares are of the class that came."));
}
