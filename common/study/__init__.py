"""The study: does progress on ImageNet transfer to real-world data sets?

The paper is "Does progress on ImageNet transfer to real-world datasets?" (Fang, Kornblith and Schmidt, 2023). Its
tables are data in `tables/`; every statistic and figure is recomputed from them, or from a table of one's own results.

Throughout, a *table of scores* is a pandas frame with one row a model and the columns `imagenet_top1` and one a data
set, all as fractions (0.76, never 76); a score that is not known is NaN.
"""
