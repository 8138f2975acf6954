// Before anything is drawn: the theme that was chosen here, where one was.
(() => {
  try {
    const theme = JSON.parse(localStorage.getItem("daybook.theme"));
    if (theme) document.documentElement.dataset.theme = theme;
  } catch { /* no storage: the system's theme */ }
})();
