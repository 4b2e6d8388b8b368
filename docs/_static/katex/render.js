// Draws every formula of the page; one that is wrong stays as text, in red.
document.addEventListener("DOMContentLoaded", () => {
  for (const place of document.querySelectorAll(".math[data-display]")) {
    const displayMode = place.dataset.display === "true";
    katex.render(place.textContent, place, { displayMode, throwOnError: false });
    if (!displayMode) keepMarks(place);
  }

  // Keeps a bracket or a full stop in the line of its formula, if this is short enough to stay in one line.
  function keepMarks(place) {
    if (place.querySelectorAll(".katex-html > .katex-base").length > 2) return;
    const [before, after] = [place.previousSibling, place.nextSibling].map((node) => (node?.nodeType === 3 ? node : null));
    const opening = before?.data.match(/[(（“"]$/)?.[0] ?? "";
    const closing = after?.data.match(/^[)）”",.;:?!，。；：、？！]+/)?.[0] ?? "";
    if (!opening && !closing) return;
    if (opening) before.data = before.data.slice(0, -opening.length);
    if (closing) after.data = after.data.slice(closing.length);
    const together = document.createElement("span");
    together.className = "with-marks";
    place.replaceWith(together);
    together.append(opening, place, closing);
  }
});
