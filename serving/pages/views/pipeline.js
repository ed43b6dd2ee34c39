// How lines come in: how far, how fast, what was refused and why, which model is at work.
import { fill, h, table } from "../lib/dom.js";
import { got } from "../lib/data.js";
import { age, count, hour, percent, second, span } from "../lib/told.js";
import { batchBars } from "../parts/charts.js";

export const title = "Pipeline";

export function show(main) {
  const summary = h("p", { class: "summary", role: "status" });
  const stand = h("div", {}), [lines, happened, refused, versions] = [1, 2, 3, 4].map(() => h("section", { class: "panel" }));
  const shown = new Map();
  fill(main, h("div", { class: "title" }, h("h1", {}, title), summary), stand, lines, happened, refused, versions);
  return async () => {
    const [pipeline, told, registered] = await Promise.all([got("/pipeline"), got("/rejects"), got("/models")]);
    if (pipeline) {
      const wrong = Object.values(pipeline.data.troubles);
      fill(summary, wrong.length ? h("b", { class: "bad" }, wrong.join("; ")) : "no trouble is told of");
      fill(stand, tiles(pipeline.data));
      renew(lines, pipeline.data.batches, batches);
      renew(happened, pipeline.data.events, events);
    }
    if (told) renew(refused, told.data, reasons);
    if (registered) renew(versions, registered.data, promotions);
  };

  // What is the same is left alone: places scrolled to and examples laid open stay.
  function renew(element, data, parts) {
    const now = JSON.stringify(data);
    if (shown.get(element) === now) return;
    shown.set(element, now);
    fill(element, ...parts(data));
  }
}

function tiles({ now, watermark, newest_closed_hour, newest_issued_at, last_live_batch_at, lines, lost_offsets, servers }) {
  const tile = (name, main, more) => h("div", { class: "tile" }, h("dt", {}, name), h("dd", {}, h("b", {}, main), h("span", { class: "quiet" }, more)));
  const read = (source) => `${count(lines[source].read)} read, ${count(lines[source].rejected)} refused, ${count(lines[source].skipped)} skipped`;
  return h("dl", { class: "tiles", "aria-label": "How it stands" },
    tile("Watermark", watermark ? second(watermark) : "none yet", watermark ? `${span(watermark, now)} behind now` : "no sessions"),
    tile("Newest closed hour", newest_closed_hour ? hour(newest_closed_hour) : "none yet", `${count(servers)} servers`),
    tile("Newest forecasts", age(newest_issued_at, now), second(newest_issued_at)),
    tile("Last live batch", age(last_live_batch_at, now), second(last_live_batch_at)),
    tile("History", count(lines.history.accepted), read("history")),
    tile("Live", count(lines.live.accepted), read("live")),
    tile("Lost offsets", count(lost_offsets), lost_offsets ? "deleted before they were read" : "nothing was lost"));
}

function batches(rows) {
  const columns = [
    ["Committed", (row) => second(row.committed_at)], ["Source", (row) => row.source], ["Batch", (row) => String(row.batch_id), "number"],
    ["Read", (row) => count(row.read), "number"], ["Accepted", (row) => count(row.accepted), "number"], ["Refused", (row) => count(row.rejected), "number"],
    ["Skipped", (row) => count(row.skipped), "number"], ["Lost", (row) => count(row.lost_offsets ?? 0), "number"],
    ["Took", (row) => `${row.seconds.toFixed(1)} s`, "number"], ["Newest event", (row) => second(row.last_event)],
  ];
  if (!rows.length) return [h("h2", {}, "Newest batches"), h("p", { class: "quiet" }, "No batch has been committed yet.")];
  const key = (style, name) => h("span", { class: "key" }, h("span", { class: `swatch ${style}`, "aria-hidden": "true" }), name);
  return [h("h2", {}, "Newest batches"),
    h("p", { class: "legend" }, key("of-read", "lines read"), key("of-rejected", "refused"), key("of-seconds", "seconds from the batch's own time to its commit")),
    h("div", { class: "chart" }, batchBars(rows)), table("Batches", columns, rows, { class: "short" })];
}

function events(rows) {
  const columns = [["When", (row) => second(row.event_at)], ["Event", (row) => row.event], ["Version", (row) => row.model_version ?? ""], ["Detail", (row) => row.detail ?? ""]];
  return [h("h2", {}, "What befell the stream"), rows.length ? table("Events", columns, rows) : h("p", { class: "quiet" }, "Nothing is told of.")];
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
