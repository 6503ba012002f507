"""What happens when things go wrong: the promises of docs/promises.md, each held with counts."""
