// Asks for what is new every few seconds, while the page is seen and unless it is told to stand still.
const SECONDS = 10;

export function keepLive(button, refreshes) {
  let live = true, running = false;
  const all = async () => {
    if (running) return;
    running = true;
    await Promise.allSettled(refreshes.map((refresh) => refresh()));
    running = false;
  };
  button.addEventListener("click", () => {
    live = !live;
    button.setAttribute("aria-pressed", String(live));
    button.textContent = live ? "Live" : "Paused";
    if (live) all();
  });
  document.addEventListener("visibilitychange", () => { if (live && !document.hidden) all(); });
  setInterval(() => { if (live && !document.hidden) all(); }, 1000 * SECONDS);
  all();
}
