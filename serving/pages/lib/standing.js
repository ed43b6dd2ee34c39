// One line at the top: whether the service is fit to answer, as /readyz tells it.
import { fill, h } from "./dom.js";

export async function showStanding() {
  const answer = await fetch("/readyz", { cache: "no-cache" }).catch(() => null);
  const told = answer && await answer.json().catch(() => null);
  const ready = answer !== null && answer.ok;
  const line = !told ? "the service does not answer" : ready ? fresh(told.checks) : told.detail;
  const element = document.getElementById("standing");
  if (element.textContent === line) return;
  element.dataset.ready = ready;
  fill(element, h("span", { class: "lamp", "aria-hidden": "true" }), line);
  element.title = line;
}

const fresh = (checks) => checks.filter((check) => ["model", "forecasts"].includes(check.check))
  .map((check) => check.found.replace("the newest forecasts were ", "")).join(" · ");
