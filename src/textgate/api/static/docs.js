"use strict";

// Nothing is asked of other hosts: no validator badge, no fonts.
window.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
  docExpansion: "list",
  displayRequestDuration: true,
});
