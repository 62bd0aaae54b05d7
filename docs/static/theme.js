// SPDX-License-Identifier: Apache-2.0
// Pictures listen to what JupyterLab says of its theme: the site says it the same way.
const follow = () => {
  const { theme } = document.body.dataset;
  if (theme === "light" || theme === "dark")
    document.body.dataset.jpThemeLight = String(theme === "light");
  else delete document.body.dataset.jpThemeLight;
};
follow();
new MutationObserver(follow).observe(document.body, {
  attributes: true,
  attributeFilter: ["data-theme"],
});
