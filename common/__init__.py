"""The workbench: everything that no single competition owns. Never imports `competitions`."""
