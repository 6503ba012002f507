"""The practice leaderboard: a small server on this machine that the unmodified official client can speak to.

competition.py      what it holds: the data that may be downloaded, the solution that may not, the metric
store.py            its memory: uploads and submissions in SQLite
board.py            its rules: who may submit what and how often, and how it is scored
leaderboard.py      the table of the best scores
data.py             the downloads: archive, single files
datasets.py         private datasets in versions (their memory: dataset_store.py)
kernels.py          notebooks in versions (their memory: kernel_store.py)
runner.py           the queue of sessions; sandbox.py is where one runs, session.py what runs there, limits.py what
                    it may take
claim.py            who works at what, where several servers share one memory
code_submission.py  submissions of a notebook, which is run again on the whole test set
blobs.py            resumable uploads
addresses.py        signed addresses that expire
calls.py            the methods of the protocol, with the official client's own classes as schema
app.py              the protocol over HTTP; fields.py checks what it is sent
server.py           starting and stopping; settings.py: how quick it is
faults.py           a proxy before it that spoils one call, for tests of what speaks to it
"""
