// Draws every formula of the page; one that is wrong stays as text, in red.
document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll(".math[data-display]")) {
    const displayMode = place.dataset.display === "true";
    katex.render(place.textContent, place, { displayMode, throwOnError: false });
  }
});
