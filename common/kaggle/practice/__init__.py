"""The practice leaderboard: a small server on this machine that the unmodified official client can speak to.

competition.py  what it holds: the data that may be downloaded, the solution that may not, the metric
store.py        its memory: uploads and submissions in SQLite
board.py        its rules: who may submit what and how often, and how it is scored
data.py         the downloads: archive, single files, signed addresses
app.py          the protocol: POST /v1/<Service>/<Method>, with the official client's own classes as schema
server.py       starting and stopping
"""
