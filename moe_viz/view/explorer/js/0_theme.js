// Dark or light, as the place says that shows the picture: JupyterLab, VS Code, a deck, or the system.
function isDark() {
  const jupyter = document.body.getAttribute("data-jp-theme-light");
  if (jupyter !== null) return jupyter === "false";
  if (document.body.classList.contains("vscode-dark")) return true;
  if (document.body.classList.contains("vscode-light")) return false;
  return matchMedia("(prefers-color-scheme: dark)").matches;
}
function onThemeChange(act) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", act);
  new MutationObserver(act).observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class"] });
}
