"""Pages to look at: a run, a competition, the study, and an index of them.

Every page is one file that opens from disk: style, script, charts and pictures are inside, and nothing is fetched. A
page that would come out the same is not made again; see `common.report.page`.
"""
