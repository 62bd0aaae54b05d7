// @ts-check
// SPDX-License-Identifier: Apache-2.0
// Dark or light, as the place says that shows the picture: JupyterLab, VS Code, a deck, the system.

const SYSTEM = "(prefers-color-scheme: dark)";

export function isDark() {
  const jupyter = document.body.getAttribute("data-jp-theme-light");
  if (jupyter !== null) return jupyter === "false";
  if (document.body.classList.contains("vscode-dark")) return true;
  if (document.body.classList.contains("vscode-light")) return false;
  return matchMedia(SYSTEM).matches;
}

/**
 * Call `act` whenever the theme may have changed, until the signal says stop.
 * @param {() => void} act
 * @param {AbortSignal} [signal]
 */
export function onThemeChange(act, signal) {
  matchMedia(SYSTEM).addEventListener("change", act, { signal });
  const observer = new MutationObserver(act);
  observer.observe(document.body, {
    attributes: true,
    attributeFilter: ["data-jp-theme-light", "class"],
  });
  signal?.addEventListener("abort", () => observer.disconnect());
}
