// The excerpts of search results do not draw formulas: three points stand for one.
document.addEventListener("DOMContentLoaded", () => {
  const textOf = Search.htmlToText;
  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    for (const formula of page.querySelectorAll(".math")) formula.textContent = "…";
    return textOf(page.documentElement.outerHTML, anchor);
  };
});
