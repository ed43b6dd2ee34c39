// Light, dark, or as the system has it; a matter of this browser, not of the page's address.
const KEY = "serverload.theme";
const THEMES = ["system", "light", "dark"];

export function offerThemes(button) {
  const set = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    localStorage.setItem(KEY, theme);
  };
  const now = () => THEMES.indexOf(localStorage.getItem(KEY) ?? "system");
  button.addEventListener("click", () => set(THEMES[(now() + 1) % THEMES.length]));
  set(THEMES[Math.max(0, now())]);
}
