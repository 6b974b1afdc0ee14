"""The REST interface and the page: `app` says what can be asked, `service` answers from `search`, `guard` lets in."""
