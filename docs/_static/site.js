// The theme's buttons that show the pages below a page have no name; screen readers need one.
for (const button of document.querySelectorAll("details > summary:not([aria-label])")) {
  const link = button.closest("li")?.querySelector("a");
  if (link && !button.textContent.trim()) button.setAttribute("aria-label", `Pages below ${link.textContent.trim()}`);
}
