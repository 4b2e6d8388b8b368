// Keeps the ticks of the path's progress list in the browser, for all languages of the site.
document.addEventListener("DOMContentLoaded", () => {
  const page = location.pathname.split("/").slice(-2).join("/");
  document.querySelectorAll("input.task-list-item-checkbox").forEach((box, number) => {
    const key = `minifw ${page} ${number}`;
    box.disabled = false;
    box.checked = localStorage.getItem(key) === "yes";
    box.addEventListener("change", () => localStorage.setItem(key, box.checked ? "yes" : "no"));
  });
});
