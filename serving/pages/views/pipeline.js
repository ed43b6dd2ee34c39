// How lines come in: how far, how fast, what was refused and why, which model is at work.
import { fill, h, table } from "../lib/dom.js";
import { got } from "../lib/data.js";
import { age, count, hour, percent, second } from "../lib/told.js";
import { batchBars } from "../parts/charts.js";

export const title = "Pipeline";

export function show(main) {
  const summary = h("p", { class: "summary", role: "status" });
  const body = h("div", { class: "stack" }), refused = h("section", { class: "panel" }), versions = h("section", { class: "panel" });
  let rejects = "", models = "";
  fill(main, h("div", { class: "title" }, h("h1", {}, title), summary), body, refused, versions);
  return async () => {
    const [pipeline, told, registered] = await Promise.all([got("/pipeline"), got("/rejects"), got("/models")]);
    if (pipeline) {
      const { troubles } = pipeline.data, wrong = Object.values(troubles);
      fill(summary, wrong.length ? h("b", { class: "bad" }, wrong.join("; ")) : "no trouble is told of");
      fill(body, tiles(pipeline.data), batches(pipeline.data), events(pipeline.data));
    }
    // examples stay open while they are the same
    if (told && rejects !== (rejects = JSON.stringify(told.data))) fill(refused, ...reasons(told.data));
    if (registered && models !== (models = JSON.stringify(registered.data))) fill(versions, ...promotions(registered.data));
  };
}

function tiles({ now, watermark, newest_closed_hour, newest_issued_at, last_live_batch_at, lines, lost_offsets, servers }) {
  const tile = (name, main, more) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, h("b", {}, main), h("span", { class: "quiet" }, more)));
  const read = (source) => `${count(lines[source].read)} read, ${count(lines[source].rejected)} refused, ${count(lines[source].skipped)} skipped`;
  return h("dl", { class: "tiles", "aria-label": "How it stands" },
    tile("Watermark", watermark ? second(watermark) : "none yet", watermark ? `event time lags ${age(watermark, now)}` : "no sessions"),
    tile("Newest closed hour", newest_closed_hour ? hour(newest_closed_hour) : "none yet", `${count(servers)} servers`),
    tile("Newest forecasts", age(newest_issued_at, now), second(newest_issued_at)),
    tile("Last live batch", age(last_live_batch_at, now), second(last_live_batch_at)),
    tile("History", count(lines.history.accepted), read("history")),
    tile("Live", count(lines.live.accepted), read("live")),
    tile("Lost offsets", count(lost_offsets), lost_offsets ? "deleted before they were read" : "nothing was lost"));
}

function batches({ batches: rows }) {
  const columns = [
    ["Committed", (row) => second(row.committed_at)], ["Source", (row) => row.source], ["Batch", (row) => String(row.batch_id), "number"],
    ["Read", (row) => count(row.read), "number"], ["Accepted", (row) => count(row.accepted), "number"], ["Refused", (row) => count(row.rejected), "number"],
    ["Skipped", (row) => count(row.skipped), "number"], ["Lost", (row) => count(row.lost_offsets ?? 0), "number"],
    ["Took", (row) => `${row.seconds.toFixed(1)} s`, "number"], ["Newest event", (row) => second(row.last_event)],
  ];
  return h("section", { class: "panel" }, h("h2", {}, "Newest batches"),
    rows.length ? [h("p", { class: "legend" }, h("span", { class: "key of-read" }, "■ ", h("span", { class: "ink" }, "lines read")),
      h("span", { class: "key of-rejected" }, "■ ", h("span", { class: "ink" }, "refused")), h("span", { class: "key of-seconds" }, "― ", h("span", { class: "ink" }, "seconds from the batch's own time to its commit"))),
    h("div", { class: "chart" }, batchBars(rows)), table("Batches", columns, rows, { class: "short" })] : h("p", { class: "quiet" }, "No batch has been committed yet."));
}

function events({ events: rows }) {
  const columns = [["When", (row) => second(row.event_at)], ["Event", (row) => row.event], ["Version", (row) => row.model_version ?? ""], ["Detail", (row) => row.detail ?? ""]];
  return h("section", { class: "panel" }, h("h2", {}, "What befell the stream"),
    rows.length ? table("Events", columns, rows) : h("p", { class: "quiet" }, "Nothing is told of."));
}

function reasons({ read, rejects }) {
  const total = rejects.reduce((sum, each) => sum + each.lines, 0);
  const examples = (row) => h("details", {}, h("summary", {}, `${row.examples.length} examples`),
    row.examples.map((each) => h("figure", { class: "example" }, h("pre", {}, each.line), h("figcaption", {}, `${each.origin}, ${each.source}, ${second(each.rejected_at)}`))));
  const columns = [
    ["Reason", (row) => row.reason], ["Lines", (row) => count(row.lines), "number"], ["Of all read", (row) => percent(row.lines / read, 2), "number"],
    ["Last", (row) => second(row.last_at)], ["Examples", (row) => (row.examples.length ? examples(row) : "none are kept")],
  ];
  return [h("h2", {}, "Refused lines"), rejects.length
    ? [h("p", { class: "quiet" }, `${count(total)} of ${count(read)} lines.`), table("Refused lines by reason", columns, rejects, { class: "rejects" })]
    : h("p", { class: "quiet" }, "None was refused.")].flat();
}

function promotions({ answering, models }) {
  const moves = (row) => [row.promoted_at && `promoted ${second(row.promoted_at)}: ${row.promoted_why}`,
    row.rolled_back_at && `rolled back ${second(row.rolled_back_at)}: ${row.rolled_back_why}`].filter(Boolean).map((line) => h("div", {}, line));
  const columns = [
    ["Version", (row) => row.version], ["Aliases", (row) => row.aliases || ""], ["Made", (row) => (row.created ? second(row.created) : "")],
    ["By", (row) => row.job ?? ""], ["Features", (row) => row.feature_set ?? ""], ["Trained and tested on", (row) => row.data_range ?? ""],
    ["Scores of its test", (row) => row.scores ?? ""], ["Promotions", moves],
  ];
  return [h("h2", {}, "Model versions"), h("p", { class: "quiet" }, answering ? `Version ${answering.version} of ${answering.name} answers.` : "No model answers yet."),
    models.length ? table("Model versions", columns, models) : null].flat();
}
