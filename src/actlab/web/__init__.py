"""The workbench in the browser: a local server whose pages show what the verbs answer."""
