// Law: what a tile shows in place of a block that failed, on the server or here; the others go on.

function showProblem(panel, text) {
  panel.setTag("ERROR", "warn");
  panel.body.classList.add("problem");
  panel.body.replaceChildren(el("pre", { role: "alert", tabindex: "0" }, text));
}

// The panel's painter made and started, or what went wrong with it.
function madeOrProblem(panel, make) {
  if (panel.spec.kind === "problem") { showProblem(panel, panel.spec.text); return null; }
  try { return make(); } catch (error) { return failed(panel, error); }
}

function failed(panel, error) {
  console.error(error);
  showProblem(panel, `This block failed in the page: ${error.message}\nAll others go on. Reload the page to try again.`);
  return null;
}
