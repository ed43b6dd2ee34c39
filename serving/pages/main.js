// Shows the page that the address names, and keeps it up to date.
import { onTrouble, forgetKey, hasKey } from "./lib/data.js";
import { keepLive } from "./lib/live.js";
import { showStanding } from "./lib/standing.js";
import { offerThemes } from "./lib/theme.js";

const page = location.pathname.split("/").pop();
const trouble = document.getElementById("trouble");
const forget = document.getElementById("forget");

offerThemes(document.getElementById("theme"));
onTrouble((line) => {
  trouble.textContent = line;
  trouble.hidden = !line;
  forget.hidden = !hasKey();
});
forget.addEventListener("click", () => { forgetKey(); location.reload(); });
for (const link of document.querySelectorAll("nav a")) {
  if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
}
const view = await import(`./views/${page}.js`);
document.title = `${view.title} - serverload`;
const refresh = view.show(document.getElementById("main"));
keepLive(document.getElementById("live"), [refresh, showStanding]);
