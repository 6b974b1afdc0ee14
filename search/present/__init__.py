"""How answers leave beside what is printed: into a folder, onto a page, onto the screen. The table is in `sinks`."""
