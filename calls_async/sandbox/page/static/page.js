// What htmx leaves to do. Everything else is in the templates.
"use strict";

const trouble = document.getElementById("trouble");

function tell(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
}

// A click on a number or on “Details” notes the job in the form that the next request for the table sends along.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-toggle]");
  if (!button) return;
  const cell = button.parentElement;
  const note = cell.querySelector("input[type=hidden]");
  if (note) {
    note.remove();
  } else {
    const input = document.createElement("input");
    Object.assign(input, { type: "hidden", name: button.dataset.toggle, value: button.dataset.job });
    cell.prepend(input);
  }
  holding = true;
  htmx.trigger("#jobs", "change");
  holding = false;
});

// Rows stay where they are while somebody points at them, or goes through them by keyboard.
let holding = false;
document.addEventListener("htmx:configRequest", (event) => {
  const table = document.querySelector("#jobs tbody");
  const tick = event.detail.path === "/sandbox/jobs" && event.detail.elt.id !== "jobs";
  if (!holding && !(tick && (table.matches(":hover") || table.querySelector(":focus-visible")))) return;
  for (const row of table.querySelectorAll("tr[id^=job-]")) event.detail.formData.append("held", row.id.slice(4));
});

// What somebody is typing stays.
document.addEventListener("htmx:beforeRequest", (event) => {
  const tick = event.detail.requestConfig.path === "/sandbox/faults" && event.detail.requestConfig.verb === "get";
  if (tick && document.activeElement.matches("#faults input")) event.preventDefault();
});

document.addEventListener("htmx:afterSettle", () => {
  document.title = document.getElementById("warnings") ? "⚠ Calls API sandbox" : "Calls API sandbox";
});

document.addEventListener("submit", (event) => {
  if (event.target.getAttribute("role") === "search") event.preventDefault();
});

let refused = false;
document.addEventListener("htmx:sendError", () => {
  refused = false;
  tell("The sandbox does not answer.");
});
document.addEventListener("htmx:responseError", (event) => {
  refused = event.detail.requestConfig.verb !== "get";
  tell(event.detail.xhr.responseText);
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (!event.detail.successful) return;
  const change = event.detail.requestConfig.verb !== "get";
  if (change || !refused) {
    refused = false;
    tell("");
  }
  if (change && event.detail.elt.hasAttribute("data-reset")) event.detail.elt.reset();
});
